"""What a saved notebook shows of an explorer without a kernel: a picture, and its words."""

from collections.abc import Callable
from pathlib import Path

import nbconvert
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Page

from attn_lib.explorers import LSHCircle, SparsePatterns

pytestmark = pytest.mark.browser


def saved(folder: Path) -> Path:
    """Save a notebook with two explorers as JupyterLab does, without the state of widgets."""
    cells = []
    for number, made in enumerate((SparsePatterns(stride=13), LSHCircle()), start=1):
        data, metadata = made._repr_mimebundle_()
        shown = new_output("execute_result", data, execution_count=number, metadata=metadata)
        cells.append(new_code_cell(repr(made), execution_count=number, outputs=[shown]))
    path = folder / "saved.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_a_notebook_as_html_shows_the_picture_without_a_network(
    offline_page: Callable[..., Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATTN_LIB_BOOK", raising=False)
    exporter = nbconvert.HTMLExporter(mathjax_url="", require_js_url="", mermaid_js_url="")
    page_of, _ = exporter.from_filename(saved(tmp_path))
    (tmp_path / "saved.html").write_text(page_of, encoding="utf-8")
    page = offline_page(java_script_enabled=False)
    page.goto((tmp_path / "saved.html").as_uri())
    alts = [SparsePatterns.describe(stride=13), LSHCircle.describe()]
    pictures = page.locator(".jp-OutputArea-output img").all()
    assert [picture.get_attribute("alt") for picture in pictures] == alts
    for picture in pictures:
        assert picture.evaluate("img => img.complete && img.naturalWidth >= 500")
        assert picture.bounding_box()["width"] > 300
    assert "model not found" not in page.content()
    assert "object at 0x" not in page.content()
