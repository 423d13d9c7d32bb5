"""What the chapters trained: the files, their loader, and the script that writes them."""

import json
import re
from pathlib import Path

import pytest

from attn_lib.data import PageResults, _measured, load_page_results
from benchmarks import pages
from benchmarks.cells import ROOT, fingerprint

EVERY = [(page, name) for page, names in pages.EXPERIMENTS.items() for name in names]
SMALL = """\
---
kernelspec:
  name: python3
---

# A page

```{code-cell} ipython3
import torch

print("said by a cell")
width = 3
```

```{code-cell} ipython3
raise MemoryError("a cell that nothing needs")
```

```{code-cell} ipython3
def trained(steps=2):
    losses = torch.ones(steps) / width
    return {"losses": losses, "counts": (1, True, None), 64: {"name": "ÿ"}}
```

```{code-cell} ipython3
def other():
    return [1 / 3]
```
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a book of one page, and return the file that its results go to."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "12-small.md").write_text(SMALL, encoding="utf-8")
    monkeypatch.setattr(pages, "BOOK", tmp_path / "book")
    monkeypatch.setattr(pages, "RESULTS", tmp_path / "results" / "pages")
    monkeypatch.setattr(pages, "EXPERIMENTS", {"12-small": ("trained", "other")})
    monkeypatch.setattr(_measured, "_folder", lambda: tmp_path / "results")
    monkeypatch.setattr(pages.torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(pages.torch, "use_deterministic_algorithms", lambda on: None)
    return tmp_path / "results" / "pages" / "12-small.json"


@pytest.mark.parametrize(("page", "name"), EVERY)
def test_the_results_are_those_of_the_page_as_it_is_printed(page: str, name: str) -> None:
    """If it fails, run ``python -m benchmarks.pages --stale``, and read the text around it."""
    found = load_page_results(page).cells.get(name)
    word = f"the cells of {page} have changed: python -m benchmarks.pages {page} --only {name}"
    assert found == fingerprint(pages.cells_of(page, name)), word


def test_each_file_belongs_to_a_page_that_reads_it() -> None:
    files = {path.stem for path in pages.RESULTS.glob("*.json")}
    assert files == set(pages.EXPERIMENTS)
    for page, names in pages.EXPERIMENTS.items():
        text = (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")
        assert f'load_page_results("{page}")' in text
        found = load_page_results(page)
        assert tuple(found.results) == tuple(found.seconds) == tuple(found.cells) == names
        for name in names:
            assert f'made["{name}"]' in text, f"{page} never reads {name}"


@pytest.mark.parametrize("page", pages.EXPERIMENTS)
def test_a_file_says_how_it_was_made(page: str) -> None:
    found = load_page_results(page)
    assert found.page == page
    assert found.command == f"python -m benchmarks.pages {page}"
    assert found.threads == 1
    assert found.versions["torch"]
    assert re.fullmatch(
        rf"made by python -m benchmarks\.pages {page}, \d{{4}}-\d\d-\d\d, torch \S+: \d+ s",
        str(found),
    )


def test_the_script_runs_the_cells_and_the_loader_reads_what_it_writes(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pages.main(["12"]) == 0
    shown = capsys.readouterr()
    assert "said by a cell" not in shown.out
    assert shown.out.startswith("written to ")
    found = load_page_results("12-small")
    assert isinstance(found, PageResults)
    assert found["trained"] == {
        "losses": [0.333333, 0.333333],
        "counts": [1, True, None],
        "64": {"name": "ÿ"},
    }
    assert found["other"] == [0.333333]
    with pytest.raises(KeyError):
        found["nothing"]


def test_only_what_is_stale_is_made_again(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pages.main([]) == 0
    before = json.loads(small.read_text(encoding="utf-8"))
    page = pages.BOOK / "12-small.md"
    page.write_text(SMALL.replace("width = 3", "width = 4"), encoding="utf-8")
    capsys.readouterr()
    assert pages.main(["12-small", "--stale"]) == 0
    shown = capsys.readouterr().err
    assert "trained took" in shown
    assert "other" not in shown
    after = json.loads(small.read_text(encoding="utf-8"))
    assert after["results"]["trained"]["losses"] == [0.25, 0.25]
    assert after["cells"]["other"] == before["cells"]["other"]
    assert after["cells"]["trained"] != before["cells"]["trained"]
    assert list(after["results"]) == ["trained", "other"]


def test_one_function_can_be_made_alone(small: Path) -> None:
    assert pages.main(["12", "--only", "other"]) == 0
    assert list(load_page_results("12-small").results) == ["other"]


def test_what_is_not_there_is_named(small: Path) -> None:
    with pytest.raises(SystemExit, match=r"page must begin one of 12-small, got '13'"):
        pages.main(["13"])
    with pytest.raises(FileNotFoundError, match=r"^page must have trained results, got '12-small'"):
        load_page_results("12-small")
    pages.main(["12"])
    document = json.loads(small.read_text(encoding="utf-8"))
    small.write_text(json.dumps(document | {"schema_version": 2}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"schema_version must be 1, got 2 in 12-small\.json"):
        load_page_results("12-small")
