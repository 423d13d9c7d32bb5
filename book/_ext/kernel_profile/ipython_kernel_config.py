"""How the kernels that run the book's cells show figures (see ``kernel_settings.py``)."""

c = get_config()  # noqa: F821  (IPython puts it there)

# Figures whose words are text, so that a page can show them in its own language and colours. No
# metadata: the same cells must give the same bytes on every day.
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.print_figure_kwargs = {
    "bbox_inches": "tight",
    "metadata": dict.fromkeys(["Creator", "Date", "Format", "Type"]),
}
