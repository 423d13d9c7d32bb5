"""The book as files: its contents, its links, and the small extensions that build it."""

import gzip
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
import yaml
from prerequisites import built_book
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))

import bilingual_titles  # noqa: E402
import book_style  # noqa: E402
import execution_cache  # noqa: E402
import lighten_images  # noqa: E402
import mathml  # noqa: E402
import mend_markup  # noqa: E402
import notebook_buttons  # noqa: E402
import one_style_sheet  # noqa: E402
import prerender_math  # noqa: E402
import trim_theme  # noqa: E402

COMPRESSED = frozenset({".png", ".jpg", ".woff", ".woff2", ".gz", ".webp"})


def compressed_size(path: Path) -> int:
    """Return what `path` weighs on its way to a browser."""
    content = path.read_bytes()
    return len(content) if path.suffix in COMPRESSED else len(gzip.compress(content, 9))


def configuration() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def listed_pages() -> set[str]:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [chapter for part in contents["parts"] for chapter in part["chapters"]]
    entries += [section for chapter in entries for section in chapter.get("sections", ())]
    chapters = [entry["file"] for entry in entries]
    assert len(chapters) == len(set(chapters))
    return {contents["root"], *chapters}


@pytest.fixture(scope="module")
def book() -> Path:
    return built_book()


class Page(HTMLParser):
    """What a page offers to be linked to, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"id", "name"} and value:
                self.ids.add(value)
            if name in {"href", "src", "poster"} and value and tag not in {"base", "use"}:
                self.links.append(value)


# The text


def test_contents_list_every_page_of_the_book() -> None:
    paths = [*ROOT.glob("book/*.md"), *ROOT.glob("book/api/*.md")]
    written = {path.relative_to(ROOT).with_suffix("").as_posix() for path in paths}
    assert listed_pages() == written


def test_every_chapter_is_a_notebook() -> None:
    for path in sorted(ROOT.glob("book/[0-9][0-9]-*.md")):
        head = path.read_text(encoding="utf-8").split("---", 2)[1]
        assert yaml.safe_load(head)["kernelspec"]["name"] == "python3", path.name


def test_repository_address_is_set_in_one_place() -> None:
    url = configuration()["repository"]["url"]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    name = urlsplit(url).path.strip("/")
    holders = set()
    for line in listed.stdout.splitlines():
        path = ROOT / line
        text = path.read_bytes() if path.is_file() else b""
        if line.split("/")[0] != "notebooks" and name.encode() in text:
            holders.add(line)
    assert holders == {"_config.yml"}


# The built book


@pytest.mark.book
def test_every_internal_link_leads_somewhere(book: Path) -> None:
    pages = {path: Page(path) for path in book.rglob("*.html") if "_static" not in path.parts}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                dead.append(f"{path.relative_to(book)}: {link}")
                continue
            ids = pages[target].ids if target in pages else set()
            if parts.fragment and target in pages and unquote(parts.fragment) not in ids:
                dead.append(f"{path.relative_to(book)}: {link}")
    assert dead == []


@pytest.mark.book
def test_pages_load_nothing_from_other_hosts(book: Path) -> None:
    loaded = re.compile(
        r'(?:<script[^>]*src|<link[^>]*stylesheet[^>]*href|<img[^>]*src)="(?:https?:)?//'
    )
    for path in book.rglob("*.html"):
        assert not loaded.search(path.read_text(encoding="utf-8")), path.name
    for path in book.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.book
def test_every_written_page_is_built(book: Path) -> None:
    assert {page for page in listed_pages() if not (book / f"{page}.html").exists()} == set()


@pytest.mark.book
def test_built_book_carries_no_unused_weight(book: Path) -> None:
    assert [name for name in trim_theme.UNUSED_FILES if (book / name).exists()] == []
    assert list(book.rglob("*.map")) == []
    assert not any("require" in path.name for path in book.rglob("*.js"))


# The cache of executed notebooks


def test_fingerprint_follows_every_kind_of_source(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    seen = {execution_cache.fingerprint([tmp_path])}
    for number, suffix in enumerate([".py", ".npz", ".json", ".csv", ".txt"]):
        (tmp_path / "inner" / f"file{suffix}").write_text("a", encoding="utf-8")
        seen.add(execution_cache.fingerprint([tmp_path]))
        (tmp_path / "inner" / f"file{suffix}").write_text("b", encoding="utf-8")
        seen.add(execution_cache.fingerprint([tmp_path]))
        assert len(seen) == 3 + 2 * number
    (tmp_path / "inner" / "file.py").rename(tmp_path / "inner" / "other.py")
    seen.add(execution_cache.fingerprint([tmp_path]))
    seen.add(execution_cache.fingerprint([tmp_path], ["torch 2"]))
    assert len(seen) == 13


def test_fingerprint_ignores_compiled_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1", encoding="utf-8")
    before = execution_cache.fingerprint([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"0")
    for name in ("view.mjs", "book.js", "style.css"):  # no cell's output holds what draws it
        (tmp_path / name).write_text("", encoding="utf-8")
    assert execution_cache.fingerprint([tmp_path]) == before
    assert execution_cache.fingerprint([tmp_path, tmp_path / "absent"]) != before


def test_prune_keeps_the_current_cache_and_the_newest(tmp_path: Path) -> None:
    for age, name in enumerate("abcdef"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    execution_cache.prune(tmp_path, current="f", kept=3)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "f"}


@pytest.mark.parametrize(
    ("warnings", "exception", "kept"), [(0, None, True), (1, None, False), (0, ValueError(), False)]
)
def test_environment_is_forgotten_after_warnings(
    tmp_path: Path, warnings: int, exception: Exception | None, kept: bool
) -> None:
    pickle = tmp_path / "environment.pickle"
    pickle.touch()
    app = SimpleNamespace(doctreedir=str(tmp_path), _warncount=warnings)
    execution_cache.forget_after_warnings(app, exception)
    assert pickle.exists() == kept


# Mathematics

HARD = {
    r"\operatorname{softmax}(\mathbf{x})_i = \frac{\exp(x_i)}{\sum_{j=1}^{n} \exp(x_j)}": True,
    r"\begin{aligned} a &= b \\ c &= d \end{aligned}": True,
    r"\begin{cases} 1 & \text{if } i \le j \\ 0 & \text{otherwise} \end{cases}": True,
    r"\widetilde{A} \in \mathbb{R}^{n \times n},\ \overline{x},\ \boldsymbol{\omega}": False,
    r"\sum_{\substack{i \le n \\ i \ne j}} a_{ij}": True,
    r"\text{注意力 < \& }": False,
}


def test_hard_formulas_are_set() -> None:
    rendered = prerender_math.render(HARD.items())
    assert rendered.errors == {}
    assert rendered.html.keys() == set(HARD.items())
    for markup in rendered.html.values():
        assert markup.count("<math") == 1
        assert "merror" not in markup
        assert "http" not in markup


# What browsers draw of MathML: https://www.w3.org/TR/mathml-core/#mathml-elements-and-attributes
CORE_ELEMENTS = {
    *("math", "mi", "mn", "mo", "mtext", "mspace", "mrow", "mfrac", "msqrt", "mstyle"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
}
CORE_ATTRIBUTES = {
    *("accent", "accentunder", "class", "depth", "display", "displaystyle", "form", "height"),
    *("lspace", "mathvariant", "maxsize", "minsize", "movablelimits", "rspace", "scriptlevel"),
    *("stretchy", "symmetric", "width"),
}


def test_formulas_keep_to_what_browsers_draw() -> None:
    pages = sorted((ROOT / "_build" / "html" / "book").glob("*.html"))
    if not pages:
        pytest.skip("the book is not built: run `make book` first")
    formulas = set()
    for page in pages:
        formulas |= set(re.findall(r"<math.*?</math>", page.read_text(encoding="utf-8")))
    assert len(formulas) > 1000
    for formula in formulas:
        for element in ElementTree.fromstring(formula).iter():
            assert element.tag in CORE_ELEMENTS, formula
            assert element.attrib.keys() <= CORE_ATTRIBUTES, formula
            assert element.get("mathvariant", "normal") == "normal", formula


@pytest.mark.parametrize(
    ("tex", "drawn"),
    [
        (r"\mathbf{A1}", "𝐀𝟏"),
        (r"\mathbb{R}", "ℝ"),
        (r"\mathcal{L}\mathcal{G}", "ℒ𝒢"),
        (r"\boldsymbol{\omega}", "𝝎"),
        (r"\mathfrak{g}", "𝔤"),
        (r"\mathrm{LN}", "LN"),
    ],
)
def test_alphabets_become_characters(tex: str, drawn: str) -> None:
    (markup,) = prerender_math.render([(tex, False)]).html.values()
    assert "".join(ElementTree.fromstring(markup).itertext()) == drawn


@pytest.mark.parametrize(
    ("tex", "spaces"),
    [
        (r"2 \log n", ["0.167em", "0.167em"]),
        (r"\log(n)", []),
        (r"\cos a \sin b", ["0.167em", "0.167em", "0.167em"]),
        (r"(1 - u) \cos u", ["0.167em", "0.167em"]),
        (r"a \, b", ["0.167em"]),
    ],
)
def test_names_of_functions_keep_their_distance(tex: str, spaces: list[str]) -> None:
    (markup,) = prerender_math.render([(tex, False)]).html.values()
    found = [element.get("width") for element in ElementTree.fromstring(markup).iter("mspace")]
    assert found == spaces


def test_a_sign_after_a_relation_is_no_subtraction() -> None:
    (markup,) = prerender_math.render([("a = -b - (-c) - d", False)]).html.values()
    forms = [e.get("form") for e in ElementTree.fromstring(markup).iter("mo") if e.text == "−"]
    assert forms == ["prefix", None, "prefix", None]


def test_an_unknown_alphabet_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^mathvariant must be one of .*, got 'looped'"):
        mathml.core('<math><mi mathvariant="looped">x</mi></math>')


def test_unreadable_formula_is_reported_and_the_others_are_set() -> None:
    rendered = prerender_math.render([(r"\nosuchcommand x", False), ("x", False)])
    assert rendered.errors == {
        (r"\nosuchcommand x", False): r"Undefined control sequence \nosuchcommand"
    }
    assert set(rendered.html) == {("x", False)}


def test_characters_of_a_formula_are_those_that_are_drawn() -> None:
    found = mathml.characters(
        "<math><msqrt><mi>x</mi></msqrt><mi>log</mi><mn>2</mn><mtext>注</mtext></math>"
    )
    assert set(map(chr, found)) == set("√x𝑥log2")


def test_the_font_is_cut_to_the_characters_in_use(tmp_path: Path) -> None:
    from fontTools.ttLib import TTFont

    points = set(map(ord, "x𝑥+√"))
    path = tmp_path / "font.woff"
    prerender_math.write_font(path, points)
    font = TTFont(path)
    assert font.getBestCmap().keys() == points
    assert "MATH" in font
    assert "SIL Open Font License" in font["name"].getDebugName(13)
    assert path.stat().st_size < 12_000
    first = path.read_bytes()
    prerender_math.write_font(path, points)
    assert path.read_bytes() == first


def test_a_character_that_the_font_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExtensionError, match=r"STIXTwoMath-Regular\.ttf has no 注"):
        prerender_math.write_font(tmp_path / "font.woff", {ord("x"), ord("注")})


# Header buttons and the theme's files


def test_colab_address_names_the_notebook() -> None:
    address = notebook_buttons.colab_address("https://github.com/a/b.git", "main", "01-x.ipynb")
    assert address == "https://colab.research.google.com/github/a/b/blob/main/notebooks/01-x.ipynb"


@pytest.mark.parametrize("url", ["https://example.org/a/b", "https://github.com/a", "a/b"])
def test_colab_opens_github_alone(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be https://github\.com/OWNER/NAME, got"):
        notebook_buttons.colab_address(url, "main", "01-x.ipynb")


def test_unused_scripts_stay_off_a_page_but_not_off_the_search() -> None:
    scripts = ["_static/searchtools.js", "_static/scripts/bootstrap.js", "_static/book.js"]
    for page, left in [("book/intro", scripts[2:]), ("search", [scripts[0], scripts[2]])]:
        context = {"script_files": list(scripts)}
        trim_theme.leave_out_scripts(None, page, "page.html", context, None)
        assert context["script_files"] == left


def test_code_without_a_colour_of_its_own_is_in_no_element() -> None:
    line = '<span class="n">x</span><span class="w"> </span><span class="o">=</span>'
    context = {"body": f'{line}<span class="nb">len</span><span class="p">(</span>'}
    trim_theme.leave_plain_code(None, "book/x", "page.html", context, None)
    assert context["body"] == 'x <span class="o">=</span><span class="nb">len</span>('


USED = {"a", "b", "main"}


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (".a{top:0}.c{top:1px}", ".a{top:0}"),
        (".a .c, .b > .a:hover{top:0}", ".b > .a:hover{top:0}"),
        ("#main{top:0}#side{top:0}", "#main{top:0}"),
        (".a:not(.c){top:0}", ".a:not(.c){top:0}"),
        (".a:is(.b,.c){top:0}.d:is(.b){top:0}", ".a:is(.b,.c){top:0}"),
        ("p[lang|=zh]{top:0}", "p[lang|=zh]{top:0}"),
        ("@media print{.c{top:0}}", ""),
        ("@media print{.c{top:0}.a{top:0}}", "@media print{.a{top:0}}"),
        ("@keyframes x{from{top:0}50.5%{top:1px}}", "@keyframes x{from{top:0}50.5%{top:1px}}"),
        ('@font-face{font-family:"Font Awesome 7"}', ""),
        ('@import "../basic.css";@charset "utf-8";.a{top:0}', ".a{top:0}"),
        ("/* said */.a{top:0}", ".a{top:0}"),
    ],
)
def test_rules_that_no_page_needs_leave_the_sheet(written: str, left: str) -> None:
    whole = one_style_sheet.sheet([written], USED)
    assert whole == f"{left}\n{book_style.style_sheet()}"


LONG = "x" * 77


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        ('<summary aria-label="Toggle hidden content">', "<summary>"),
        ('<div id="a" role="doc-biblioentry">', '<div id="a">'),
        ("<pre>short\nlines</pre>", "<pre>short\nlines</pre>"),
        (f"<pre>a\n{LONG}</pre>", f'<pre tabindex="0">a\n{LONG}</pre>'),
        (f"<pre><b>{LONG[1:]}</b></pre>", f"<pre><b>{LONG[1:]}</b></pre>"),
        ("<pre>" + "&lt;" * 40 + "</pre>", "<pre>" + "&lt;" * 40 + "</pre>"),
        (
            '<button title="Toggle primary sidebar" data-bs-placement="bottom">',
            '<button aria-label="Contents of the book">',
        ),
    ],
)
def test_markup_is_mended_once(written: str, mended: str) -> None:
    assert mend_markup.mend(written) == mended
    assert mend_markup.mend(mended) == mended


def test_words_of_pages_and_scripts_are_in_use(tmp_path: Path) -> None:
    page, script = tmp_path / "a.html", tmp_path / "a.js"
    page.write_text('<p class="a b-c" id="main">d</p>', encoding="utf-8")
    script.write_text('node.classList.add("is-open")', encoding="utf-8")
    assert one_style_sheet.words_in_use([page], []) == {"a", "b-c", "main"}
    assert "is-open" in one_style_sheet.words_in_use([], [script])


def test_a_page_loads_one_sheet_and_the_explorers() -> None:
    context = {"css_files": ["_static/pygments.css", "_static/explorers.css"]}
    one_style_sheet._name_the_sheet(None, "book/x", "page.html", context, None)
    assert context["css_files"] == ["_static/explorers.css"]
    assert re.fullmatch(r"book\.css\?v=[0-9a-f]{8}", context["book_sheet"])


def test_pictures_are_packed_without_losing_a_pixel(tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "_images"
    folder.mkdir()
    picture = Image.effect_noise((13, 7), 90).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((13, 7)))
    picture.save(folder / "a.png")
    page = tmp_path / "page.html"
    page.write_text('<img src="../_images/a.png"><img src="../_static/a.png">', encoding="utf-8")
    builder = SimpleNamespace(format="html")
    lighten_images.lighten(SimpleNamespace(outdir=str(tmp_path), builder=builder), None)
    assert (
        page.read_text(encoding="utf-8")
        == '<img src="../_images/a.webp"><img src="../_static/a.png">'
    )
    assert [path.name for path in folder.iterdir()] == ["a.webp"]
    assert Image.open(folder / "a.webp").tobytes() == picture.tobytes()


def test_unused_files_are_removed_from_the_built_book(tmp_path: Path) -> None:
    kept = tmp_path / "_static" / "book.js"
    for path in [kept, tmp_path / "_static/vendor/x/a.woff2", tmp_path / "_static/a.js.map"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    trim_theme.remove_files(SimpleNamespace(outdir=str(tmp_path)), None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


@pytest.mark.parametrize(
    ("written", "chinese"),
    [
        ("Softmax attention · Softmax 注意力", "Softmax 注意力"),
        ("Part 1 · Sparse · 稀疏", "稀疏"),
        ("Part 1 · Sparse", None),
        ("注意力", None),
    ],
)
def test_chinese_half_of_a_title_is_set_apart(written: str, chinese: str | None) -> None:
    from docutils import nodes
    from docutils.utils import new_document

    document = new_document("page")
    document += nodes.section("", nodes.title("", written))
    bilingual_titles.split_title(None, document)
    title = next(iter(document.findall(nodes.title)))
    assert title.astext() == written
    found = [node.astext() for node in title.findall(bilingual_titles.chinese)]
    assert found == ([] if chinese is None else [chinese])


def test_the_style_sheet_is_all_its_parts() -> None:
    parts = {path.stem for path in book_style.FOLDER.glob("*.css")}
    assert parts == set(book_style.PARTS)
    assert len(book_style.PARTS) == len(parts)
    whole = book_style.style_sheet()
    assert whole.count("{") == whole.count("}") > 100


def test_each_page_says_once_where_to_report_a_mistake_on_it(book: Path) -> None:
    link = re.compile(r'href="([^"]*/issues/new[^"]*)"')
    for page in sorted(book.glob("book/**/*.html")):
        (address,) = link.findall(page.read_text(encoding="utf-8"))
        source = page.relative_to(book).with_suffix(".md").as_posix()
        assert f"title=Mistake+in+{source.replace('/', '%2F')}&amp;" in address
        assert (ROOT / source).exists()
