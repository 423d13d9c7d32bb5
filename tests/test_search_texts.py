"""The texts that search takes its excerpts from."""

import json
import sys
from pathlib import Path

import pytest
from prerequisites import built_book

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))

import search_texts  # noqa: E402


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<math><msup><mi>n</mi><mn>2</mn></msup></math>", "n^2"),
        ("<math><msub><mi>a</mi><mrow><mi>i</mi><mi>j</mi></mrow></msub></math>", "a_ij"),
        ("<math><msubsup><mi>a</mi><mi>i</mi><mn>2</mn></msubsup></math>", "a_i^2"),
        ("<math><mfrac><mn>1</mn><msqrt><mi>d</mi></msqrt></mfrac></math>", "1/(√d)"),
        ("<math><mi>𝐐</mi><mo>=</mo><mi>𝐖</mi><mi>𝐱</mi></math>", "Q = Wx"),
        ("<math><mtext>for all </mtext><mi>x</mi></math>", "for all x"),
    ],
)
def test_a_formula_is_read_as_plain_text(markup: str, text: str) -> None:
    assert search_texts.formula(markup) == text


def page(body: str) -> str:
    return f'<nav>no</nav><article class="bd-article">{body}</article><footer>no</footer>'


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("<p>a <b>b</b>c</p><p>d</p>", [["", "a bc d"]]),
        (
            '<section id="x"><h1>X<a class="headerlink" href="#x">#</a></h1><p>one</p>'
            '<section id="y"><p>two</p></section></section>',
            [["x", "X one"], ["y", "two"]],
        ),
        ('<p>a</p><dl><dt id="f">f()</dt><dd>does</dd></dl>', [["", "a"], ["f", "f() does"]]),
        (
            "<p>1 &lt; 2 &amp; <math><mi>n</mi><mo>&lt;</mo><mn>3</mn></math></p>",
            [["", "1 < 2 & n < 3"]],
        ),
        ('<div class="attn-explorer"><p>no <img src="a"> no</p></div><p>yes</p>', [["", "yes"]]),
        ("<svg><text>no</text></svg><script>no</script><button>no</button>", []),
        ('<summary><p class="collapsed title">Show</p></summary><pre>code</pre>', [["", "code"]]),
    ],
)
def test_a_page_is_read_in_parts(body: str, parts: list[list[str]]) -> None:
    assert search_texts.texts(page(body)) == parts


@pytest.mark.book
def test_every_page_is_in_the_script() -> None:
    text = (built_book() / "_static" / "search-texts.js").read_text(encoding="utf-8")
    found = json.loads(text.removeprefix("window.SEARCH_TEXTS = ").rstrip(";\n"))
    pages = {
        path.relative_to(HTML).with_suffix("").as_posix() for path in HTML.glob("book/**/*.html")
    }
    assert set(found) == pages
    assert all(parts for parts in found.values())
    said = " ".join(text for _, text in found["book/05-linformer"])
    assert "With mean pooling the slots are averages of neighbours" in said
    assert "Show code cell" not in said
    assert "<math" not in said
