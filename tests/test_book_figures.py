"""Figures on their way from a cell to a page: messages, dress, catalogues, and the kernels."""

import base64
import io
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from babel.messages.pofile import read_po
from lookalike import in_lookalikes

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))

mpl.use("agg")

import catalogues  # noqa: E402
import figure_mathematics  # noqa: E402
import figure_messages  # noqa: E402
import figure_words  # noqa: E402
import figures_on_page  # noqa: E402
import kernel_settings  # noqa: E402
from docutils import nodes  # noqa: E402
from docutils.utils import new_document  # noqa: E402
from figure_dress import dress  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402

from attn_lib import figures  # noqa: E402

SETTINGS = ROOT / "book" / "_ext" / "kernel_profile"


def as_the_kernels_draw(draw: Callable[[], object]) -> str:
    """Return the figure that `draw` leaves, as a cell's output."""
    with mpl.rc_context(fname=kernel_settings.SETTINGS / kernel_settings.STYLE):
        draw()
        written = io.StringIO()
        metadata = dict.fromkeys(["Creator", "Date", "Format", "Type"])
        plt.savefig(written, format="svg", bbox_inches="tight", metadata=metadata)
        plt.close("all")
    return written.getvalue()


def curves() -> None:
    lines = {"stride 16": [1, 30, 400], "full attention": [2, 20, 4e5]}
    names = {"xlabel": "tokens n", "ylabel": "megabytes"}
    figures.curves([1, 32, 1024], lines, logx=True, logy=True, **names)


def matrix() -> None:
    weights = np.random.default_rng(2).dirichlet(np.ones(7), size=7)
    tokens = ["the", "mouse", "$b", "<i>", "“", "…", "&"]
    figures.matrix(weights, tokens=tokens, title="Layer 1, head 11: who reads whom")


def english(message: str) -> str:
    return message


def dressed(
    draw: Callable[[], object], prefix: str = "f-", translate=english
) -> ElementTree.Element:
    return ElementTree.fromstring(
        dress(as_the_kernels_draw(draw), prefix=prefix, translate=translate)
    )


def by(words: dict[str, str]) -> Callable[[str], str]:
    """Return a translation that knows some words."""
    return lambda message: words.get(message, message)


def texts(figure: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in figure.iter("text")]


# Messages


@pytest.mark.parametrize(
    ("text", "message", "numbers"),
    [
        ("tokens", "tokens", []),
        ("stride 16", "stride {0}", ["16"]),
        ("1,024 tokens, 0.50 of .75", "{0} tokens, {1} of {2}", ["1,024", "0.50", ".75"]),
        ("(1, 8): 16 keys", "({0}, {1}): {2} keys", ["1", "8", "16"]),
        ("50% of −3 and 2×4", "{0}% of −{1} and {2}×{3}", ["50", "3", "2", "4"]),
        ("f32 on MiniLM-L6 in 2D", "f32 on MiniLM-L6 in 2D", []),
        ("up to 1. Then 2.", "up to {0}. Then {1}.", ["1", "2"]),
        (r"error $\epsilon_2$ of 3", r"error $\epsilon_2$ of {0}", ["3"]),
        (r"5 \$ each", r"{0} \$ each", ["5"]),
    ],
)
def test_message_has_a_hole_for_each_number(text: str, message: str, numbers: list[str]) -> None:
    assert figure_messages.message_of(text) == (message, numbers)
    assert figure_messages.fill(message, numbers) == text
    assert figure_messages.translated(text, english) == text


@pytest.mark.parametrize(
    "text",
    ["", "16", "n", "κ = 4", "d, 8", "1e6", r"$\mathdefault{10^{3}}$", r"$\alpha\beta$", "…"],
)
def test_text_without_a_word_is_no_message(text: str) -> None:
    assert figure_messages.message_of(text) is None
    assert figure_messages.translated(text, in_lookalikes) == text


def test_translation_may_move_its_numbers() -> None:
    turned = {"{0} of {1} keys": "键：{1} 中的 {0}"}
    assert figure_messages.translated("3 of 64 keys", turned.__getitem__) == "键：64 中的 3"


def test_translation_with_a_hole_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must have holes below 1, got 'Schritt \{1\}'"):
        figure_messages.translated("stride 16", {"stride {0}": "Schritt {1}"}.__getitem__)


# Words of a figure


def test_messages_of_a_figure_are_its_words_without_data() -> None:
    svg = as_the_kernels_draw(matrix)
    assert figure_words.messages(svg) == ["key", "query", "Layer {0}, head {1}: who reads whom"]
    svg = as_the_kernels_draw(curves)
    assert figure_words.messages(svg) == ["tokens n", "megabytes", "stride {0}", "full attention"]


def test_what_a_cell_marks_as_data_is_data() -> None:
    def draw() -> None:
        _, ax = plt.subplots()
        ax.text(0.5, 0.5, "mouse", gid="data")
        ax.text(0.5, 0.2, "a note", gid="database")

    assert figure_words.messages(as_the_kernels_draw(draw)) == ["a note"]


def test_lines_of_a_text_are_one_message() -> None:
    def draw() -> None:
        plt.title("first line\nand second")

    assert figure_words.messages(as_the_kernels_draw(draw)) == ["first line\nand second"]
    once = dressed(draw, translate=by({"first line\nand second": "eins"}))
    assert [text for text in texts(once) if text.isalpha()] == ["eins"]
    more = dressed(draw, translate=by({"first line\nand second": "a\nb\nc"}))
    assert "a" in texts(more)
    assert "b\nc" in texts(more)


def test_name_says_titles_axes_and_legend_in_the_pages_language() -> None:
    assert dressed(curves).get("aria-label") == (
        "megabytes against tokens n. stride 16; full attention"
    )
    name = dressed(matrix).get("aria-label")
    assert name == "Layer 1, head 11: who reads whom. query against key"
    name = dressed(matrix, translate=in_lookalikes).get("aria-label")
    assert not re.search("[a-zA-Z]{2}", name)
    given = dress(as_the_kernels_draw(matrix), prefix="", translate=english, label='<"who">')
    assert ElementTree.fromstring(given).get("aria-label") == '<"who">'


def test_name_says_once_what_panels_share() -> None:
    def draw() -> None:
        _, axes = plt.subplots(1, 2)
        for ax, title in zip(axes, ("strided", "fixed"), strict=True):
            figures.mask(np.eye(5, dtype=bool), title=title, ax=ax)
            ax.label_outer()

    assert dressed(draw).get("aria-label") == "strided. query against key. fixed"


def test_figure_without_words_has_a_name() -> None:
    assert dressed(lambda: plt.plot([1, 2])).get("aria-label") == "Figure"


# Dress


def test_dressed_figure_is_an_element_of_a_page() -> None:
    markup = dress(as_the_kernels_draw(matrix), prefix="f-", translate=english)
    assert markup.startswith('<svg class="drawn-figure" role="img" aria-label="')
    assert not re.search(r"<\?|<!|xmlns|metadata|<style|font-family|\n", markup)
    figure = ElementTree.fromstring(markup)
    box = [float(number) for number in figure.get("viewBox").split()]
    assert float(figure.get("width")) == pytest.approx(box[2] * 100 / 72, abs=1)
    assert float(figure.get("height")) == pytest.approx(box[3] * 100 / 72, abs=1)


def test_ids_have_the_prefix_and_are_all_used() -> None:
    for draw in (curves, matrix):
        markup = dress(as_the_kernels_draw(draw), prefix="f-7-", translate=english)
        ids = re.findall(r' id="([^"]*)"', markup)
        assert len(ids) == len(set(ids)) > 0
        assert all(name.startswith("f-7-") for name in ids)
        assert set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', markup)) <= {
            *((name, "") for name in ids),
            *(("", name) for name in ids),
        }
        used = set(re.findall(r'(?:url\(|href=")#([^)"]*)', markup))
        assert used == set(ids)


def test_grey_ink_becomes_the_pages_and_colours_stay() -> None:
    markup = dress(as_the_kernels_draw(curves), prefix="", translate=english)
    assert "#7b7b7b" not in markup
    assert {"#0072b2", "#d55e00"} <= set(re.findall("#[0-9a-f]{6}", markup))
    for text in ElementTree.fromstring(markup).iter("text"):
        assert "fill:currentColor" in text.get("style")


def test_words_that_a_cell_paints_keep_their_colour() -> None:
    def draw() -> None:
        plt.text(0.5, 0.5, "light", color="white")
        plt.text(0.5, 0.2, "plain", color="black")

    fills = {text.text: text.get("style") for text in dressed(draw).iter("text")}
    assert "fill:#ffffff" in fills["light"]
    assert "fill:currentColor" in fills["plain"]


def test_matrix_keeps_its_own_pixels() -> None:
    from PIL import Image

    (image,) = dressed(matrix).iter("image")
    assert (image.get("width"), image.get("height")) == ("7", "7")
    assert "image-rendering:pixelated" in image.get("style")
    packed = base64.b64decode(image.get("href").removeprefix("data:image/webp;base64,"))
    assert Image.open(io.BytesIO(packed)).size == (7, 7)


def test_translated_words_take_the_place_of_the_english_and_data_stays() -> None:
    words = {"key": "键", "query": "查询", "Layer {0}, head {1}: who reads whom": "第 {0} 层 <{1}>"}
    seen = texts(dressed(matrix, translate=by(words)))
    data = ["the", "mouse", "$b", "<i>", "“", "…", "&"]
    assert Counter(seen) == Counter([*data, *data, "键", "查询", "第 1 层 <11>"])


def test_no_english_word_is_left_in_a_made_up_language() -> None:
    seen = texts(dressed(curves, translate=in_lookalikes))
    assert [text for text in seen if re.search("[a-zA-Z]{2}", text)] == []
    assert any("16" in text for text in seen)


def test_figure_grows_with_long_words() -> None:
    def box(translate) -> list[float]:
        figure = dressed(curves, translate=translate)
        return [float(number) for number in figure.get("viewBox").split()]

    usual = box(english)
    assert usual[:2] == [0, 0]
    longer = box(lambda message: message * 9)
    assert longer[1] + longer[3] > usual[3]
    assert longer[1] < 0
    assert longer[0] + longer[2] > usual[2]


def test_powers_flow_in_any_font() -> None:
    figure = dressed(curves)
    powers = [text for text in figure.iter("text") if len(text) == 2]
    assert {"".join(text.itertext()) for text in powers} >= {"103", "210"}
    for text in powers:
        base, power = text
        assert base.get("x") is power.get("x") is power.get("dx") is None
        assert float(power.get("dy")) < -2
        assert float(power.get("font-size")) == 7


def test_formulas_in_words_are_set_in_the_translation_too() -> None:
    def draw() -> None:
        plt.xlabel(r"size of $x_i^2$ in 3 layers")

    assert figure_words.messages(as_the_kernels_draw(draw)) == ["size of $x_i^2$ in {0} layers"]
    (label,) = [t for t in dressed(draw, translate=in_lookalikes).iter("text") if len(t) > 2]
    runs = [(run.text, run.get("font-style"), float(run.get("dy", 0))) for run in label]
    x, i, two = runs[1:4]
    assert x == ("x", "italic", 0)
    assert i[:2] == ("i", "italic")
    assert i[2] > 0
    assert two[0] == "2"
    assert two[2] < -i[2]
    assert sum(run[2] for run in runs) == pytest.approx(0, abs=0.02)
    assert "3" in runs[4][0]


def test_fractions_stay_as_matplotlib_draws_them() -> None:
    def draw() -> None:
        plt.title(r"half: $\frac{a}{b}$")

    svg = as_the_kernels_draw(draw)
    assert figure_words.messages(svg) == []
    figure = dressed(draw)
    assert len([rect for rect in figure.iter("rect") if rect.get("height") == ".75"]) == 1
    assert "font-family" not in ElementTree.tostring(figure, encoding="unicode")


def test_widths_are_those_of_a_wide_font() -> None:
    assert figure_mathematics.width_of("") == 0
    assert 2 < figure_mathematics.width_of("wide") < 3
    assert figure_mathematics.width_of("注意") == 2


# Determinism, and the kernels


@pytest.mark.parametrize("draw", [curves, matrix])
def test_drawing_twice_gives_the_same_bytes(draw: Callable[[], None]) -> None:
    svg = as_the_kernels_draw(draw)
    assert as_the_kernels_draw(draw) == svg
    assert "<dc:date>" not in svg
    assert dress(svg, prefix="a", translate=english) == dress(svg, prefix="a", translate=english)


def test_kernels_leave_figures_as_svg_and_no_trace_in_a_persons_profile(tmp_path: Path) -> None:
    cell = (
        "import matplotlib\n"
        "from IPython import get_ipython\n"
        "import matplotlib.pyplot\n"
        "from matplotlib_inline.config import InlineBackend\n"
        "print(sorted(InlineBackend.instance(parent=get_ipython()).figure_formats))\n"
        "print(matplotlib.rcParams['svg.fonttype'], get_ipython().ipython_dir)\n"
    )
    variables = kernel_settings.prepare(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "from nbclient import NotebookClient as C\nimport nbformat.v4 as v4,"
         f"sys\nnb = v4.new_notebook(cells=[v4.new_code_cell({cell!r})])\nC(nb).execute()\n"
         "print(nb.cells[0].outputs[0].text)"],
        env={**os.environ, **variables},
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["['svg']", "none", str(tmp_path)]


def test_kernels_settings_last_as_long_as_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", "/a/person's")
    monkeypatch.delenv("MATPLOTLIBRC", raising=False)
    ends = {}
    app = SimpleNamespace(connect=ends.__setitem__)
    kernel_settings.settle(app, None)
    folder = Path(os.environ["IPYTHONDIR"])
    assert [path.name for path in folder.rglob("*.py")] == [kernel_settings.PROFILE]
    assert Path(os.environ["MATPLOTLIBRC"]).is_file()
    ends["build-finished"](app, None)
    assert not folder.exists()
    assert os.environ["IPYTHONDIR"] == "/a/person's"
    assert "MATPLOTLIBRC" not in os.environ


def test_cache_of_outputs_follows_the_kernels_settings() -> None:
    assert kernel_settings.settings() == [
        path.read_text(encoding="utf-8")
        for path in (SETTINGS / "ipython_kernel_config.py", SETTINGS / "matplotlibrc")
    ]


# On the page


def page_with(tmp_path: Path, kinds: dict[str, str]) -> tuple[nodes.document, SimpleNamespace]:
    (tmp_path / "a.svg").write_text(as_the_kernels_draw(curves), encoding="utf-8")
    bundle = nodes.container(nb_element="mime_bundle")
    for kind, uri in kinds.items():
        bundle += nodes.container("", nodes.image(uri=uri), mime_type=kind)
    document = new_document("page")
    document += nodes.container("", bundle, classes=["cell_output"])
    document += nodes.image(uri="a.svg")
    config = SimpleNamespace(locale_dirs=["locale"], language="de")
    builder = SimpleNamespace(format="html")
    return document, SimpleNamespace(srcdir=str(tmp_path), config=config, builder=builder)


def test_figure_of_a_cell_becomes_part_of_the_page(tmp_path: Path) -> None:
    document, app = page_with(tmp_path, {"image/svg+xml": "a.svg"})
    folder = tmp_path / "locale" / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "figures.po").write_text('msgid "megabytes"\nmsgstr "Megabyte"\n', encoding="utf-8")
    (folder / "page.po").write_text(
        "", encoding="utf-8"
    )  # else the page, and all on it, is English
    figures_on_page.dress_page(app, document, "page")
    (raw,) = document.findall(nodes.raw)
    assert ">Megabyte</text>" in raw.astext()
    assert 'aria-label="Megabyte against tokens n.' in raw.astext()
    assert [image["uri"] for image in document.findall(nodes.image)] == ["a.svg"]


def test_other_formats_keep_the_file(tmp_path: Path) -> None:
    document, app = page_with(tmp_path, {"image/svg+xml": "a.svg"})
    app.builder.format = "latex"
    figures_on_page.dress_page(app, document, "page")
    assert list(document.findall(nodes.raw)) == []


def test_pictures_beside_something_alive_and_rasters_are_no_figures(tmp_path: Path) -> None:
    document, _ = page_with(tmp_path, {"image/svg+xml": "a.svg", "text/html": "b.html"})
    assert list(figures_on_page.figures_in(document)) == []
    document, _ = page_with(tmp_path, {"image/png": "a.png"})
    assert list(figures_on_page.figures_in(document)) == []


# Catalogues


def test_catalogue_reads_translations_plurals_and_no_fuzzy_ones(tmp_path: Path) -> None:
    for name, text in {"a": "eins", "b": "zwei"}.items():
        folder = tmp_path / name / "pl" / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "explorers.po").write_text(
            'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n'
            '"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && '
            '(n%100<10 || n%100>=20) ? 1 : 2);\\n"\n\n'
            f'msgid "both"\nmsgstr "{text}"\n\nmsgid "only {name}"\nmsgstr "{text}"\n\n'
            '#, fuzzy\nmsgid "unsure"\nmsgstr "x"\n\n'
            'msgid "{n} key"\nmsgid_plural "{n} keys"\n'
            'msgstr[0] "{n} klucz"\nmsgstr[1] "{n} klucze"\nmsgstr[2] "{n} kluczy"\n',
            encoding="utf-8",
        )
    found = catalogues.read("explorers", [tmp_path / "a", tmp_path / "b"], "pl")
    assert [found.gettext(m) for m in ("both", "only a", "only b", "unsure", "new")] == [
        "eins", "eins", "zwei", "unsure", "new",
    ]  # fmt: skip
    assert found.gettext("") == ""
    forms = [found.ngettext("{n} key", "{n} keys", n) for n in (1, 2, 5)]
    assert forms == ["{n} klucz", "{n} klucze", "{n} kluczy"]


def test_language_without_catalogues_says_english(tmp_path: Path) -> None:
    found = catalogues.read("figures", [tmp_path], "zh_CN")
    assert found.gettext("tokens") == "tokens"
    assert [found.ngettext("key", "keys", n) for n in (1, 2)] == ["key", "keys"]


def test_template_lists_each_message_once_with_its_places(tmp_path: Path) -> None:
    Entry = catalogues.Entry
    entries = [
        Entry("tokens n", places=(("book/01.md", 7),)),
        Entry("{n} key", "{n} keys", comments=("n: a number",)),
        Entry("tokens n", places=(("book/02.md", 9),)),
    ]
    paths = [tmp_path / name for name in ("a.pot", "b.pot")]
    for path in paths:
        catalogues.write_template(path, entries)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    catalogue = read_po(io.BytesIO(paths[0].read_bytes()))
    assert [message.id for message in catalogue if message.id] == [
        "tokens n",
        ("{n} key", "{n} keys"),
    ]
    assert catalogue["tokens n"].locations == [("book/01.md", 7), ("book/02.md", 9)]
    assert catalogue[("{n} key", "{n} keys")].auto_comments == ["n: a number"]
