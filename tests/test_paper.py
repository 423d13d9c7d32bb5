"""The book on paper and in one file to carry: what needs no browser."""

import sys
import zipfile
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))

import make_zip  # noqa: E402
from make_pdf import answers, chapter, contents, explorers, file  # noqa: E402
from make_pdf.command import site_of  # noqa: E402
from make_pdf.words import words_of  # noqa: E402

from book._ext import downloads  # noqa: E402

NAMES = ["book/intro", "book/a", "book/api/b"]
WORDS = words_of("en")


def prefixed(markup: str, name: str, site: str = "") -> str:
    soup = BeautifulSoup(f"<article>{markup}</article>", "html.parser")
    chapter.with_prefix(soup.article, name, NAMES, site)
    return soup.article.decode_contents()


@pytest.mark.parametrize(
    ("markup", "name", "wanted"),
    [
        ('<p id="x"></p>', "book/a", '<p id="a--x"></p>'),
        ('<a href="#x">y</a>', "book/a", '<a href="#a--x">y</a>'),
        ('<a href="a.html">y</a>', "book/intro", '<a href="#a">y</a>'),
        ('<a href="a.html#x">y</a>', "book/intro", '<a href="#a--x">y</a>'),
        ('<a href="../a.html#x">y</a>', "book/api/b", '<a href="#a--x">y</a>'),
        ('<a href="api/b.html#x">y</a>', "book/a", '<a href="#api-b--x">y</a>'),
        ('<a href="gone.html">y</a>', "book/a", "<a>y</a>"),
        ('<a href="https://x.org/a.html">y</a>', "book/a", '<a href="https://x.org/a.html">y</a>'),
        ('<g clip-path="url(#c)"></g>', "book/a", '<g clip-path="url(#a--c)"></g>'),
        ('<i aria-labelledby="c d"></i>', "book/a", '<i aria-labelledby="a--c a--d"></i>'),
    ],
)
def test_places_of_pages_keep_apart_on_one(markup: str, name: str, wanted: str) -> None:
    assert prefixed(markup, name) == wanted


def test_pages_stand_in_the_order_of_the_contents() -> None:
    toc = {
        "root": "book/intro",
        "parts": [
            {
                "caption": "One",
                "chapters": [
                    {"file": "book/a", "sections": [{"file": "book/api/b"}]},
                    {"file": "book/c"},
                ],
            }
        ],
    }
    assert list(contents.pages_of(toc)) == [
        contents.Page("book/intro"),
        contents.Page("book/a", "One"),
        contents.Page("book/api/b", is_section=True),
        contents.Page("book/c"),
    ]


def test_what_is_not_on_paper_is_linked_where_the_book_stands_on_the_web() -> None:
    markup = '<a href="../notebooks/x.ipynb">y</a>'
    wanted = '<a href="https://x.org/notebooks/x.ipynb">y</a>'
    assert prefixed(markup, "book/a", "https://x.org") == wanted
    assert prefixed(markup, "book/a") == "<a>y</a>"


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"html": {"baseurl": "https://x.org/b/"}, "repository": {"url": ""}}, "https://x.org/b"),
        ({"repository": {"url": "https://github.com/Some/one.git"}}, "https://some.github.io/one"),
        ({"repository": {"url": "https://example.org/one"}}, ""),
    ],
)
def test_the_book_stands_where_the_settings_say(config: dict, wanted: str) -> None:
    assert site_of(config) == wanted


def answered(markup: str) -> tuple[BeautifulSoup, list]:
    soup = BeautifulSoup(f"<article>{markup}</article>", "html.parser")
    answers.answers_last(soup, soup.article, "a", WORDS)
    return soup, soup.select(".paper-answers > .paper-answer")


def test_solutions_move_to_the_end_and_the_rest_unfolds() -> None:
    soup, found = answered(
        "<section><h2>Exercises</h2><p><strong>1. By hand.</strong> How many?</p>"
        "<details><summary>Hint</summary><p>Count.</p></details>"
        "<details><summary>Solution</summary><p>Two.</p></details>"
        "<details><summary>Proof</summary><p>So.</p></details></section>"
    )
    assert [each.get_text(" ") for each in found] == [
        "1. By hand · Hint Count.",
        "1. By hand Two.",
    ]
    links = [(note["href"], note.get_text()) for note in soup.select("p.paper-see a")]
    assert links == [
        ("#a--answer-1", "Hint: page 000"),
        ("#a--answer-2", "Solution: page 000"),
    ]
    assert [each["id"] for each in found] == ["a--answer-1", "a--answer-2"]
    assert soup.select_one(".paper-unfolded").get_text(" ") == "Proof So."
    assert not soup.select("details, summary")


def test_a_solution_in_code_moves_with_its_check_and_its_lead() -> None:
    soup, found = answered(
        "<section><p><strong>3. In code.</strong> Write it.</p>"
        "<div class='cell'><pre>def mine(): ...</pre></div>"
        "<p>The solution, and its check:</p>"
        "<div class='cell'><details class='hide'><summary>Show</summary>"
        "<pre>def solution(x):\n    return x</pre></details></div>"
        "<div class='cell'><pre>check(solution)</pre></div><p>After.</p></section>"
    )
    assert found[0].get_text(" ", strip=True).endswith("return x check(solution)")
    left = soup.select_one("section").get_text(" ", strip=True)
    assert left == "3. In code. Write it. def mine(): ... Solution: page 000 After."


def test_a_questions_replies_stand_at_the_end() -> None:
    soup, found = answered(
        "<section><h2>Predict</h2>"
        "<div class='ask' data-asks='choice'><p>Which?</p><div class='ask-answers'>"
        "<div class='ask-answer'><div class='ask-choice'><span>This.</span></div>"
        "<div class='ask-reply' hidden><p>No.</p></div></div>"
        "<div class='ask-answer' data-right><div class='ask-choice'><span>That.</span></div>"
        "<div class='ask-reply' hidden><p>Yes.</p></div></div></div></div>"
        "<div class='ask' data-asks='number'><p>How many?</p><div class='ask-answers'>"
        "<div class='ask-answer' data-right data-value='2' data-within='0'>"
        "<div class='ask-reply' hidden>Two.</div></div>"
        "<div class='ask-answer'><div class='ask-reply' hidden>Count.</div></div></div></div>"
        "</section>"
    )
    said = [" ".join(each.get_text(" ").split()) for each in found]
    assert said == [
        "Question 1 This. No. That. ✓ right Yes.",
        "Question 2 2 ✓ right Two. Any other number Count.",
    ]
    asked = [" ".join(each.get_text(" ").split()) for each in soup.select("div.ask")]
    assert asked == [
        "Question 1 Which? This. That. Reply: page 000",
        "Question 2 How many? Reply: page 000",
    ]


CHROMIUM = (
    b"%PDF-1.4\n1 0 obj\n<</Title (A \\(b\\))\n/Creator (Mozilla/5.0 \\(X11\\) and much more, so"
    b" that there is room for an author)\n/Producer (Skia/PDF m156)\n"
    b"/CreationDate (D:20261130134733+00'00')\n/ModDate (D:20261130134733+00'00')>>\nendobj\n"
)


def test_facts_take_the_place_of_chromiums() -> None:
    dated = file.with_facts(CHROMIUM, "We (all)", 86_400)
    assert len(dated) == len(CHROMIUM)
    assert b"/Title (A \\(b\\))\n/Author (We \\(all\\))\n" in dated
    assert b"/CreationDate (D:19700102000000Z)\n/ModDate (D:19700102000000Z)" in dated
    assert b"Date" not in file.with_facts(CHROMIUM, "We", None)
    assert b"/Author <FEFF4E66>" in file.with_facts(CHROMIUM, "书", None)
    with pytest.raises(ValueError, match="must fit"):
        file.with_facts(CHROMIUM, "n" * 300, None)
    with pytest.raises(ValueError, match="must begin with the facts"):
        file.with_facts(b"%PDF-1.4", "We", None)


@pytest.mark.book
def test_an_explorers_controls_are_said_in_words() -> None:
    page = HTML / "book" / "05-linformer.html"
    if not page.exists():
        pytest.skip("the book is not built: run `make book` first")
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    explorer = soup.select_one(".attn-explorer")
    said = explorers.settings(explorer)
    assert "Rank r: 16" in said
    assert "Tokens: 128" in said
    address = explorers.addressed(explorer, "https://x.org/a.html", 2)
    assert address == "https://x.org/a.html#low-rank-attention-2.length=128"


def test_the_same_book_makes_the_same_file_to_carry(tmp_path: Path) -> None:
    folder = tmp_path / "html"
    (folder / "book").mkdir(parents=True)
    (folder / "index.html").write_text("<p>书</p>", encoding="utf-8")
    (folder / "book" / "a.html").write_text("<p>a</p>", encoding="utf-8")
    mark = downloads.sentence("To carry:", "", "en", {})
    (folder / "book" / "intro.html").write_text(f"<p>{mark}</p>", encoding="utf-8")
    targets = [tmp_path / f"{k}.zip" for k in range(2)]
    for target in targets:
        assert make_zip.main([f"--html={folder}", f"--output={target}"]) == 0
        (folder / "index.html").touch()
    assert targets[0].read_bytes() == targets[1].read_bytes()
    with zipfile.ZipFile(targets[0]) as archive:
        assert archive.read("inside-the-transformer/book/intro.html") == b"<p></p>"
        assert archive.namelist() == [
            "inside-the-transformer/book/a.html",
            "inside-the-transformer/book/intro.html",
            "inside-the-transformer/index.html",
        ]


def test_a_folder_without_a_book_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        make_zip.main([f"--html={tmp_path}"])
    assert "--html must be a built book, got" in capsys.readouterr().err


def test_pages_offer_the_files_that_lie_beside_them(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    page = tmp_path / "book" / "intro.html"
    before = downloads.sentence("To carry it:", "../", "en", {})
    page.write_text(f"<p>书 {before}</p>", encoding="utf-8")
    assert "make pdf" in before
    assert "href" not in before

    made = tmp_path / "made"
    made.write_bytes(bytes(18_600_000))
    downloads.put(made, tmp_path, "pdf")
    text = page.read_text(encoding="utf-8")
    assert 'To carry it: <a href="../inside-the-transformer.pdf">' in text
    assert "(19 MB).</span></p>" in text
    made.write_bytes(bytes(420_000))
    downloads.put(made, tmp_path, "zip")
    assert "(0.4 MB)." in page.read_text(encoding="utf-8")
    assert all((tmp_path / name).exists() for name in downloads.FILES.values())

    for name in downloads.FILES.values():
        (tmp_path / name).unlink()
    downloads.offer(tmp_path)
    assert page.read_text(encoding="utf-8") == f"<p>书 {before}</p>"
    assert downloads.without(f"<p>书 {before}</p>") == "<p>书 </p>"
