"""The pages of reference: whole, in step with the library, and linked with the chapters."""

import ast
import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from docutils import nodes
from docutils.utils import new_document
from sphinx.addnodes import toctree
from sphinx.util.inventory import InventoryFile

from attn_lib.catalog import MECHANISMS

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))

import code_links  # noqa: E402
import reference  # noqa: E402

CHAPTERS = sorted(ROOT.glob("book/[0-9][0-9]-*.md"))
# The rooms that a page of their own explains, and the names that it owes.
ROOMS = {
    room: f"attn_lib.{room}"
    for room in (
        *("catalog", "copy", "costs", "data", "exercises", "explorers", "figures", "layers"),
        *("masks", "numerics"),
    )
}
MECHANISM_PAGES = {
    one.name.replace("_", "-"): f"attn_lib.mechanisms.{one.name}" for one in MECHANISMS
}


def objects() -> dict[str, str]:
    """Return where everything of the library has its place in the built book."""
    if not (HTML / "objects.inv").exists():
        pytest.skip("the book is not built: run `make book` first")
    with (HTML / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda uri, part: part)
    found = {}
    for kind, names in inventory.items():
        if kind.startswith("py:"):
            found |= {name: entry[2].replace("$", name) for name, entry in names.items()}
    return found


# Whole


def test_every_public_room_has_a_page() -> None:
    package = ROOT / "attn_lib"
    rooms = {path.stem for path in package.glob("[!_]*.py")}
    rooms |= {path.parent.name for path in package.glob("[!_]*/__init__.py")}
    assert rooms == {*ROOMS, "mechanisms"}
    pages = {path.stem for path in (ROOT / "book" / "api").glob("*.md")}
    assert pages == {"index", *ROOMS, *MECHANISM_PAGES}


@pytest.mark.book
@pytest.mark.parametrize(("page", "module"), (ROOMS | MECHANISM_PAGES).items())
def test_every_public_name_is_on_the_page_of_its_module(page: str, module: str) -> None:
    found = objects()
    public = "attn_lib" if page in MECHANISM_PAGES else module
    for name in importlib.import_module(module).__all__:
        place = found.get(f"{public}.{name}")
        assert place == f"book/api/{page}.html#{public}.{name}", f"{module}.{name} has no place"


def imported(path: Path) -> set[str]:
    """Return the full names that a chapter's cells take from the library."""
    text = path.read_text(encoding="utf-8")
    names = set()
    for line in re.findall(r"^from attn_lib[\w.]* import .*$", text, re.M):
        (node,) = ast.parse(line).body
        names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.book
def test_what_chapters_import_has_a_place() -> None:
    wanted = set().union(*map(imported, CHAPTERS))
    assert len(wanted) > 50
    assert wanted - objects().keys() == set()


@pytest.mark.book
@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda one: one.name)
def test_a_mechanism_and_its_chapter_lead_to_each_other(mechanism) -> None:
    page = mechanism.name.replace("_", "-")
    objects()
    there = (HTML / "book" / "api" / f"{page}.html").read_text(encoding="utf-8")
    back = (HTML / "book" / f"{mechanism.chapter}.html").read_text(encoding="utf-8")
    assert f'href="../{mechanism.chapter}.html"' in there
    assert f'href="api/{page}.html#attn_lib.{mechanism.name}_' in back


@pytest.mark.book
def test_pages_of_reference_are_the_same_in_every_build() -> None:
    objects()
    for path in (HTML / "book" / "api").glob("*.html"):
        assert not re.search(r"\bat 0x[0-9a-f]+", path.read_text(encoding="utf-8")), path.name


def test_only_other_projects_names_may_have_no_place() -> None:
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]
    assert settings["nitpicky"]
    patterns = [re.compile(pattern) for _, pattern in settings["nitpick_ignore_regex"]]
    assert any(pattern.fullmatch("torch.Tensor") for pattern in patterns)
    for name in ("attn_lib.masks.Mask", "Tensor", "q", "torchless"):
        assert not any(pattern.fullmatch(name) for pattern in patterns)


# Docstrings and signatures


def plain(value: int, *, option: str = "a") -> int:
    """Return it."""
    return value


def explained(value: int, *, option: str = "a") -> int:
    """Return it.

    Parameters
    ----------
    value : int
    option : str

    Returns
    -------
    int
    """
    return value


def signed(what: str, value: object, arguments: str, returned: str | None) -> object:
    return reference.sign(None, what, "name", value, None, arguments, returned)


def test_a_signature_has_the_types_that_the_docstring_has_not() -> None:
    written = ("(value: int, *, option: str = 'a')", "int")
    assert signed("function", plain, *written) == written
    assert signed("function", explained, *written) == ("(value, *, option='a')", None)
    private = signed("function", plain, "(x: ~attn_lib.data._pages.Pages)", "~attn_lib.a._b.C")
    assert private == ("(x: ~attn_lib.data.Pages)", "~attn_lib.a.C")
    assert signed("data", plain, *written) is None


def test_an_explorers_signature_has_its_controls() -> None:
    from attn_lib.explorers import LSHCircle, SparsePatterns

    assert signed("class", LSHCircle, "(*args, **kwargs)", None) == (
        "(*, passage=None, points='circle', buckets=4, rounds=1, turn=0)",
        None,
    )
    arguments, _ = signed("class", SparsePatterns, "(*args, **kwargs)", None)
    assert arguments.startswith("(*, pattern='strided', ")


def test_a_modules_formulas_stay_as_they_are() -> None:
    lines = [
        "With l,",
        "",
        "    a   = b",
        "",
        "    ab  = c",
        "",
        "done",
        "",
        ".. math:: x",
        "",
        "    y",
    ]
    reference.keep_formulas(None, "module", "name", None, None, lines)
    assert lines[2:5] == [".. code-block:: none", "", "    a   = b"]
    assert lines.count(".. code-block:: none") == 1
    untouched = ["With l,", "", "    a = b"]
    reference.keep_formulas(None, "function", "name", None, None, untouched)
    assert untouched == ["With l,", "", "    a = b"]


def test_a_long_signature_is_no_list_of_definitions() -> None:
    app = SimpleNamespace(config=SimpleNamespace(reference_pages="book/api/"))
    body = (
        "<b>(</b>\n\n<dl>\n<dd><em>q</em>,</dd>\n<dd><em>k</em>,</dd>\n</dl>\n\n<b>)</b><dl>\n<dt>"
    )
    for page, kept in [("book/intro", True), ("book/api/masks", False)]:
        context = {"body": body}
        reference.set_lines(app, page, "page.html", context, None)
        assert (context["body"] == body) == kept
    line = '<span class="sig-line"><em>{}</em>,</span>'
    lines = line.format("q") + line.format("k")
    assert context["body"] == f"<b>(</b>{lines}<b>)</b><dl>\n<dt>"


def test_a_source_link_leads_to_the_lines() -> None:
    found = reference.source_address(
        "attn_lib.masks", "dense", repository="https://host/a/b.git", branch="dev", root=ROOT
    )
    address, _, lines = found.partition("#")
    assert address == "https://host/a/b/blob/dev/attn_lib/masks.py"
    first, last = (int(number) for number in re.findall(r"\d+", lines))
    source = (ROOT / "attn_lib" / "masks.py").read_text(encoding="utf-8").splitlines()
    assert source[first - 1] == "def dense("
    assert last <= len(source)
    for name in ("absent", "Mask"):
        options = {"repository": "https://host/a/b", "branch": "main", "root": ROOT}
        assert reference.source_address("attn_lib.masks", name, **options) is None


@pytest.mark.parametrize(
    ("builder", "page", "left"),
    [("gettext", "book/api/masks", 0), ("gettext", "book/intro", 1), ("html", "book/api/masks", 1)],
)
def test_templates_of_translations_leave_the_reference_out(
    builder: str, page: str, left: int
) -> None:
    config = SimpleNamespace(reference_pages="book/api/")
    app = SimpleNamespace(builder=SimpleNamespace(name=builder), config=config)
    document = new_document("page")
    document += nodes.paragraph("", "words")
    reference.leave_untranslated(app, document, page)
    assert len(document) == left


def test_lists_of_pages_without_a_caption_have_no_message() -> None:
    document = new_document("page")
    document += [toctree(rawcaption=caption) for caption in ("", "Part", None)] + [toctree()]
    reference.forget_empty_captions(None, document)
    assert [node.get("rawcaption", "none") for node in document] == ["none", "Part", "none", "none"]


# Links from code

KNOWN = {"attn_lib.f", "attn_lib.masks", "attn_lib.masks.causal", "attn_lib.data.load"}


def read(*cells: str) -> list[list[tuple[str, str, bool]]]:
    reader = code_links.Reader(KNOWN)
    return [
        [(use.name, cell[use.start : use.end], use.imported) for use in reader.read(cell)]
        for cell in cells
    ]


def test_names_are_read_as_python_reads_them() -> None:
    first, second = read(
        "from attn_lib import f as g, masks\nfrom attn_lib.data import load\nf = 'é', g(load())\n",
        "x.masks.causal; masks.causal().shape; g = 2\ng(3)\n",
    )
    assert first == [
        ("attn_lib.f", "f", True),
        ("attn_lib.masks", "masks", True),
        ("attn_lib.data.load", "load", True),
        ("attn_lib.f", "g", False),
        ("attn_lib.data.load", "load", False),
    ]
    assert second == [("attn_lib.masks.causal", "masks.causal", False)]


def test_a_readers_own_function_is_not_the_librarys() -> None:
    _, own, after = read("from attn_lib import f", "def f(x):\n    return x", "f(1)")
    assert own == []
    assert after == []
    assert read("%time f(1)", "from elsewhere import f\nf(1)") == [[], []]


def test_a_name_is_linked_once_where_it_is_first_seen_in_use() -> None:
    def use(name: str, start: int, imported: bool = False) -> code_links.Use:
        return code_links.Use(name, start, start + 1, imported)

    cells = [
        (False, [use("a", 0, imported=True), use("b", 5, imported=True)]),
        (True, [use("a", 0), use("c", 5)]),
        (False, [use("a", 7), use("a", 9)]),
    ]
    linked = code_links.chosen(cells)
    assert linked == [[use("b", 5, imported=True)], [use("c", 5)], [use("a", 7)]]


def test_links_stand_around_whole_tokens_and_leave_the_code_alone() -> None:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    code = "from attn_lib import f, masks\nx = 'a & b', f(masks.causal(), 1 < 2)\n"
    markup = highlight(code, PythonLexer(), HtmlFormatter(nowrap=True))
    uses = code_links.Reader(KNOWN).read(code_links.plain(markup))
    addresses = {name: f"api/x.html#{name}" for name in KNOWN}
    linked = code_links.link(markup, uses, addresses)
    assert code_links.plain(linked) == code
    assert re.sub(r"</?a\b[^>]*>", "", linked) == markup
    inner = re.findall(r'<a class="in-code" href="api/x.html#([\w.]+)">(.*?)</a>', linked)
    assert [name for name, _ in inner] == [use.name for use in uses]
    for _, tokens in inner:
        assert tokens.startswith("<span")
        assert tokens.endswith("</span>")
        assert tokens.count("<span") == tokens.count("</span>")


@pytest.mark.book
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapters_links_from_code_are_few(path: Path) -> None:
    objects()
    page = (HTML / "book" / f"{path.stem}.html").read_text(encoding="utf-8")
    places = re.findall(r'<a class="in-code" href="([^"]*)"', page)
    assert 5 < len(places) < 40
    assert len(places) == len(set(places))
