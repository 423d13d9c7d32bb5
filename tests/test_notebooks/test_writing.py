"""Writing: cells and their ids, the lists at a page's end, errors, and the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from book._ext.make_notebooks.book import SourceError
from book._ext.make_notebooks.cells import cells, code_metadata
from book._ext.make_notebooks.command import main
from book._ext.make_notebooks.edits import Code, Cut, Heading, Works
from book._ext.make_notebooks.notebook import notebooks
from book._ext.make_notebooks.words import ENGLISH, Words

ROOT = Path(__file__).resolve().parents[2]
HEADER = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n\n"


def test_title_line_leads_to_colab_and_source(write):
    text = "".join(write("Text.")[1]["source"])
    assert "https://colab.research.google.com/github/o/r/blob/main/notebooks/00-page.ipynb" in text
    assert "https://github.com/o/r/blob/main/book/00-page.md" in text


def test_pieces_make_cells_between_two_cuts():
    pieces = [
        Heading(1, "T"),
        "# T\n\n",
        Heading(4, "D"),
        "#### D\n",
        Cut(),
        Cut(),
        Code("1\n2", ("x",)),
        Heading(2, "T"),
        "## T\n",
        Works(),
    ]
    made = cells(pieces, works=["- a", "- b"])
    assert [(cell.id, cell.source) for cell in made] == [
        ("t-text-1", "# T\n\n#### D"),
        ("t-code-1", "1\n2"),
        ("t-2-text-1", "## T\n- a\n- b"),
    ]
    assert made[1].metadata == {"tags": ["x"]}


@pytest.mark.parametrize(
    ("tags", "metadata"),
    [
        ((), {}),
        (("skip-execution",), {}),
        (("hide-output",), {"tags": ["hide-output"], "jupyter": {"outputs_hidden": True}}),
        (
            ("hide-cell",),
            {
                "tags": ["hide-cell"],
                "cellView": "form",
                "jupyter": {"source_hidden": True, "outputs_hidden": True},
            },
        ),
    ],
)
def test_hidden_cells_are_folded(tags, metadata):
    assert code_metadata(tags) == metadata


def test_cells_keep_tags_and_fold(write):
    text = """\
        ```{code-cell} ipython3
        :tags: [hide-input]

        a = "{ref}`x`"


        b = 2
        ```
        ```{code-cell}
        ---
        tags: [remove-cell, skip-execution]
        ---
        c = 3
        ```
        """
    first, second = [c for c in write(text) if c["cell_type"] == "code"][1:]
    assert "".join(first["source"]) == 'a = "{ref}`x`"\n\n\nb = 2'
    assert first["metadata"] == {
        "cellView": "form",
        "jupyter": {"source_hidden": True},
        "tags": ["hide-input"],
    }
    assert second["metadata"] == {"tags": ["remove-cell"]}
    assert first["outputs"] == []
    assert first["execution_count"] is None


def test_cell_ids_do_not_move_when_another_section_grows(write):
    before = write("## A\n\nText.\n\n## 乙\n\n```{code-cell}\n1\n```\n")
    after = write("## A\n\nText.\n\n+++\n\nMore.\n\n## 乙\n\n```{code-cell}\n2\n```\n")
    old, new = ([c["id"] for c in cells] for cells in (before, after))
    assert set(old) < set(new)
    assert len(new) == len(set(new)) == len(old) + 1


def test_footnotes_are_collected(write):
    cells = write("One[^a], two[^b].\n\n[^b]: Note *b*.\n[^a]: Note $a$.\n")
    assert "One<sup>1</sup>, two<sup>2</sup>." in "".join(cells[1]["source"])
    assert "".join(cells[-2]["source"]) == "## Notes\n\n1. Note $a$.\n2. Note *b*."


def test_terms_are_explained_at_the_end(write):
    glossary = (
        "# G\n\n```{glossary}\nhead\n  注意力头. One of $h$\n  attentions.\n\nkey\n  K.\n```\n"
    )
    cells = write("Many {term}`heads <head>`.", others={"book/glossary": glossary})
    assert "Many heads." in "".join(cells[1]["source"])
    assert "".join(cells[-2]["source"]) == (
        "## Terms used here\n\n- **head** — 注意力头. One of $h$ attentions."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Text.\n\n{unknown}`x`", r"book/00-page\.md:11: no translation for the role \{unknown\}"),
        (
            "```{note}\nText\nand {bad}`x`\n```",
            r"book/00-page\.md:11: no translation for the role \{bad\}",
        ),
        ("```{tab-set}\n```", r"book/00-page\.md:9: no translation for the directive \{tab-set\}"),
        ("- a\n\n  ```{raw} html\n  ```", r":11: no translation for the directive \{raw\}"),
        ("```{note}\n:wrong: x\n```", r":9: no translation for the option 'wrong' of \{note\}"),
        (":::note\n:::", r":9: ':::' needs a directive in braces"),
        ("{cite:p}`nobody`", r":9: the bibliography has no 'nobody'"),
        ("{cite:year}`child2019sparse`", r":9: no translation for the role \{cite:year\}"),
        ("{ref}`nowhere`", r":9: there is no label 'nowhere'"),
        ("{term}`nothing`", r":9: the glossary has no term 'nothing'"),
        ("[x](missing.md)", r":9: there is no page 'missing\.md'"),
        ("[x](#missing)", r":9: book/00-page\.md has no anchor 'missing'"),
        ("![x](missing.png)", r":9: there is no file 'missing\.png'"),
        ('<img src="a.png">', r":9: the HTML address 'a\.png' is no use in a notebook"),
        ("{{ nothing }}", r":9: there is no substitution 'nothing'"),
        (":::{note}\n```{code-cell}\n1\n```\n:::", r":10: a code-cell must stand at the top level"),
    ],
)
def test_what_has_no_translation_is_an_error_with_file_and_line(write, text, message):
    with pytest.raises(SourceError, match=message):
        write(text)


def test_all_errors_are_reported_at_once(write):
    with pytest.raises(SourceError, match=r"(?s):9: .*:11: ") as error:
        write("{a}`x`\n\n{b}`x`")
    assert len(str(error.value).splitlines()) == 2


def test_two_pages_of_one_name_are_an_error(write):
    message = r"^_toc\.yml: two pages would be written to 00-page\.ipynb$"
    with pytest.raises(SourceError, match=message):
        write("Text.", others={"book/more/00-page": HEADER + "# More\n"})


def test_every_word_and_the_folder_can_be_another_languages(small_book):
    text = """\
        ```{note}
        A[^a] {term}`key` {cite:t}`child2019sparse`.
        ```

        ```{dropdown}
        B
        ```

        [^a]: C.
        """
    others = {"book/01-other": HEADER + "# O\n\n```{glossary}\nkey\n  K.\n```\n"}
    marked = {
        name: {key: f"@{word}" for key, word in value.items()}
        if isinstance(value, dict)
        else f"@{value}"
        for name, value in vars(ENGLISH).items()
    }
    book = small_book(text, others=others, words=Words(**marked), notebooks="notebooks/xx")
    written = json.loads(notebooks(book)["00-page.ipynb"])["cells"]
    text = "\n".join("".join(cell["source"]) for cell in written)
    for words in (
        *(
            "The library: of",
            "Installing",
            "No network",
            "The library is",
            "From [*T*]",
            "Note**",
            "Details<",
            "Child et al.",
            "Notes",
        ),
        *("Works cited", "Terms used here", "Other chapters", "O: [in Colab]"),
        "The book and its library",
    ):
        assert f"@{words}" in text
        assert not re.search(rf"(?<!@){re.escape(words)}", text)
    assert text.count("/blob/main/notebooks/xx/0") == 2


def test_command_writes_checks_and_removes(write, tmp_path, capsys):
    write("Text.")
    run = [*("--root", str(tmp_path))]
    assert main([*run, "--check"]) == 1
    assert main(run) == 0
    assert main([*run, "--check"]) == 0
    stale = tmp_path / "notebooks" / "gone.ipynb"
    stale.write_text("{}", encoding="utf-8")
    assert main([*run, "--check"]) == 1
    assert "gone.ipynb is stale" in capsys.readouterr().err
    assert main(run) == 0
    assert not stale.exists()


def test_command_reports_errors_and_writes_nothing(small_book, tmp_path, capsys):
    small_book("{bad}`x`")
    assert main(["--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "book/00-page.md:9: no translation for the role {bad}\n"
    assert not (tmp_path / "notebooks").exists()


def test_command_runs_as_a_module():
    command = [sys.executable, "-m", "book._ext.make_notebooks", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
