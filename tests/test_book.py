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

import pytest
import yaml

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))

import bilingual_titles  # noqa: E402
import book_style  # noqa: E402
import execution_cache  # noqa: E402
import lighten_images  # noqa: E402
import notebook_buttons  # noqa: E402
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
    if not (HTML / "index.html").exists():
        reason = "the book is not built: run `make book` first"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return HTML


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
        assert markup.count("<mjx-container") == 1
        assert markup.count("<math ") == 1
        assert "merror" not in markup
    assert "MathJax_Main-Regular.woff" in rendered.css
    assert "http" not in rendered.css


def test_unreadable_formula_is_reported_and_the_others_are_set() -> None:
    rendered = prerender_math.render([(r"\nosuchcommand x", False), ("x", False)])
    assert rendered.errors == {
        (r"\nosuchcommand x", False): r"Undefined control sequence \nosuchcommand"
    }
    assert set(rendered.html) == {("x", False)}


def test_characters_reads_escapes_and_plain_text() -> None:
    css = r'.a::before { content: "\221A"; } .b::before { content: "x"; } .c { content: "\""; }'
    assert prerender_math.characters(css) == {0x221A, ord("x"), ord('"')}


def test_fonts_are_cut_to_the_characters_in_use(tmp_path: Path) -> None:
    from fontTools.ttLib import TTFont

    source = prerender_math.mathjax_folder() / "output" / "chtml" / "fonts" / "woff-v2"
    prerender_math.write_fonts(source, tmp_path, {ord("x"), ord("+")})
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in source.glob("*.woff")
    }
    cut = tmp_path / "MathJax_Main-Regular.woff"
    assert TTFont(cut).getBestCmap().keys() == {ord("x"), ord("+")}
    assert cut.stat().st_size < 3000


# Header buttons and the theme's files


def test_colab_address_names_the_notebook() -> None:
    address = notebook_buttons.colab_address("https://github.com/a/b.git", "main", "01-x.ipynb")
    assert address == "https://colab.research.google.com/github/a/b/blob/main/notebooks/01-x.ipynb"


@pytest.mark.parametrize("url", ["https://example.org/a/b", "https://github.com/a", "a/b"])
def test_colab_opens_github_alone(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be https://github\.com/OWNER/NAME, got"):
        notebook_buttons.colab_address(url, "main", "01-x.ipynb")


def test_unused_scripts_stay_off_a_page_but_not_off_the_search() -> None:
    scripts = ["_static/searchtools.js", "_static/design-tabs.js", "_static/book.js"]
    for page, left in [("book/intro", scripts[2:]), ("search", [scripts[0], scripts[2]])]:
        context = {"script_files": list(scripts)}
        trim_theme.leave_out_scripts(None, page, "page.html", context, None)
        assert context["script_files"] == left


def test_icon_rules_leave_the_style_sheet_and_others_stay(tmp_path: Path) -> None:
    sheet = tmp_path / "_static" / "styles" / "theme.css"
    sheet.parent.mkdir(parents=True)
    icons = (
        '.fa-a:before,.fa-b:before{content:"\\f0c9"}@font-face{font-family:"Font Awesome 7 Free"}'
    )
    sheet.write_text(f".fade{{opacity:0}}{icons}.fa-spin{{--fa-x:1}}", encoding="utf-8")
    trim_theme.remove_files(SimpleNamespace(outdir=str(tmp_path)), None)
    assert sheet.read_text(encoding="utf-8") == ".fade{opacity:0}.fa-spin{--fa-x:1}"


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
