"""Write ``notebooks/*.ipynb`` from the MyST notebooks of the book.

``python book/_ext/make_notebooks.py`` writes one notebook for every page of ``_toc.yml`` that has a
jupytext header; ``--check`` writes nothing and fails when a notebook on disk differs.

MyST's own parser reads the text. Whatever plain Markdown also understands is copied as it stands;
what only Sphinx understands is translated. A directive, a role or an option that has no translation
here is an error that names its file and line, so that nothing is lost without notice.

Choices that are not obvious:

- Links to another chapter are relative (``01-sparse-transformer.ipynb``). They lead to the sibling
  in a folder, on GitHub, and in Colab when the notebook was opened from the repository, whose
  address the page then carries. A copy in somebody's Drive has no siblings, so the last cell lists
  every chapter's full Colab address.
- Links inside a notebook lead to headings. JupyterLab gives every heading an anchor made from its
  text (of a formula: of its letters) and strips ``id`` and ``name`` from other elements; Colab
  makes no anchors but keeps ``<a id>``. A heading that is linked to therefore gets an ``<a id>``
  of the same name.
- Images are data addresses, not cell attachments, which Colab does not show.
- Display mathematics inside a quotation stands on one line: Jupyter cuts formulas out before it
  reads Markdown, so a ``>`` at the start of a second line would end up in the formula.
- Equations, figures, tables and listings have the book's numbers, which count through all pages.
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import html
import json
import mimetypes
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import default_slugify
from myst_parser.parsers.mdit import create_md_parser
from pybtex.database import Entry, Person
from pybtex.database import parse_file as parse_bibliography
from pybtex.richtext import Text as LatexText

ROOT = Path(__file__).resolve().parents[2]

ADMONITIONS = {
    "attention": "Attention",
    "caution": "Caution",
    "danger": "Danger",
    "error": "Error",
    "hint": "Hint",
    "important": "Important",
    "note": "Note",
    "seealso": "See also",
    "tip": "Tip",
    "warning": "Warning",
}
LITERAL = {"bibliography", "code", "code-block", "code-cell", "glossary", "literalinclude", "math"}
NUMBERED = {
    "figure": "figure",
    "list-table": "table",
    "table": "table",
    "code-block": "listing",
    "literalinclude": "listing",
}
NUMBER_NAMES = {"figure": "Figure", "table": "Table", "listing": "Listing"}
LONG = 60  # lines of an included file from which on the notebook folds it
# What only concerns the look of the HTML page is read and left out.
LOOK = {"class", "name", "width", "height", "scale", "align", "figwidth", "figclass", "widths"}
OPTIONS = {
    "admonition": LOOK,
    "dropdown": LOOK | {"open", "animate", "color", "icon", "chevron", "margin"},
    "margin": LOOK,
    "sidebar": LOOK,
    "figure": LOOK | {"alt"},
    "image": LOOK | {"alt"},
    "list-table": LOOK | {"header-rows", "stub-columns"},
    "table": LOOK,
    "math": LOOK | {"label", "nowrap"},
    "glossary": {"sorted"},
    "bibliography": {"filter", "style", "all", "cited"},
    "code-cell": {"tags"},
    "code": LOOK | {"linenos", "emphasize-lines"},
    "code-block": LOOK | {"linenos", "emphasize-lines", "caption", "lineno-start"},
    "literalinclude": LOOK
    | {"language", "caption", "linenos", "lineno-match", "emphasize-lines", "dedent"}
    | {"pyobject", "lines", "start-at", "start-after", "end-at", "end-before"},
}
SELF_CLOSED = {"hr", "code_block", "softbreak", "hardbreak", "text", "code_inline", "text_special"}
CONTAINERS = {"paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote"}
INLINE_CONTAINERS = {"em", "strong", "s"}


class SourceError(Exception):
    """A construct that has no translation, with the file and line where it stands."""


@dataclass(frozen=True)
class Place:
    """Where a piece of text stands, and what surrounds it."""

    page: Page
    line: int = 1
    top: bool = False
    quoted: bool = False
    cell: bool = False

    def error(self, message: str, line: int | None = None) -> SourceError:
        """Return an error that names this page's file and the line."""
        return SourceError(f"{self.page.file}:{line or self.line}: {message}")


@dataclass
class Page:
    """One page of the table of contents."""

    name: str
    file: str
    folder: Path
    text: str
    is_notebook: bool
    env: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    headings: dict[str, Target] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    cited: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    note_texts: dict[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """The file name without folder and ending."""
        return self.name.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Target:
    """What a label stands for."""

    page: Page
    kind: str
    title: str = ""
    number: int = 0
    anchor: str = ""
    slug: str = ""


@dataclass(frozen=True)
class Directive:
    """A directive taken apart."""

    name: str
    argument: str
    options: dict[str, str]
    body: str
    line: int
    body_line: int


@dataclass(frozen=True)
class Heading:
    """A cut before a heading at the top level of a page."""

    level: int
    title: str
    anchor: str


@dataclass(frozen=True)
class Cut:
    """A cut between two Markdown cells that the author asked for."""


@dataclass(frozen=True)
class Code:
    """A code cell."""

    source: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Works:
    """The place of the list of works cited."""


Piece = str | Heading | Cut | Code | Works


@dataclass
class Edit:
    """Lines ``start`` to ``end`` of a text give way to ``lines``, or to one other piece."""

    start: int
    end: int
    lines: list[str] | None
    piece: Piece | None = None
    block: bool = True
    head: str = ""
    rest: str = ""


def parser_of(extensions: list[str]) -> MarkdownIt:
    """Return MyST's parser, made to record where in its source every inline token came from."""
    config = MdParserConfig(enable_extensions=set(extensions), dmath_double_inline=True)
    md = create_md_parser(config, RendererHTML)
    for rule in md.inline.ruler.__rules__:
        rule.fn = _recording(rule.name, rule.fn)
    md.inline.ruler.__cache__ = None
    return md


def _recording(name: str, rule: Callable[..., bool]) -> Callable[..., bool]:
    opening = {"link": 0, "image": 1, "span": 0}.get(name)

    def recorded(state: Any, silent: bool) -> bool:
        start, count, label_end = state.pos, len(state.tokens), -1
        if opening is not None and not silent and state.src[start + opening :].startswith("["):
            label_end = state.md.helpers.parseLinkLabel(state, start + opening, name != "image")
        done = rule(state, silent)
        if done and not silent:
            new = state.tokens[count:]
            for token in new:
                token.meta.setdefault("span", (start, state.pos))
                token.meta.setdefault("label", (start + (opening or 0) + 1, label_end))
            if name == "attr":
                state.tokens[-1].meta["attrs"] = (start, state.pos)
        return done

    return recorded


def closing(tokens: list[Token], start: int) -> int:
    """Return the index of the token that closes ``tokens[start]``."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += tokens[index].nesting
        if depth == 0:
            return index
    raise AssertionError("the parser's tokens are balanced")


def blank_ends_removed(lines: list[str]) -> list[str]:
    """Return ``lines`` without the blank ones at both ends."""
    return "\n".join(lines).strip("\n").split("\n") if any(map(str.strip, lines)) else []


def fenced(code: str, language: str) -> list[str]:
    """Return ``code`` between fences longer than any that it holds."""
    ticks = max([2, *(len(run) for run in re.findall(r"`+", code))]) + 1
    return [f"{'`' * ticks}{language}", *code.rstrip("\n").split("\n"), "`" * ticks]


def one_line(text: str) -> str:
    """Return a text with its line breaks turned into spaces."""
    return re.sub(r"\s*\n\s*", " ", text.strip())


def slug_of(text: str) -> str:
    """Return letters, digits and hyphens that stand for ``text`` in a cell's id."""
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\$[^$]*\$", " ", text.lower())).strip("-")
    return slug[:40].strip("-") or "s" + hashlib.sha256(text.encode()).hexdigest()[:8]


class Book:
    """The pages of a book, its labels, numbers and bibliography.

    Parameters
    ----------
    root : Path
        The folder of ``_config.yml`` and ``_toc.yml``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.errors: list[str] = []
        self.config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
        extensions = self.config.get("parse", {}).get("myst_enable_extensions", [])
        self.md = parser_of(extensions)
        self.plain = MarkdownIt("commonmark").use(
            dollarmath_plugin, renderer=lambda text, _: f"${html.escape(text)}$"
        )
        self.plain.add_render_rule(
            "math_inline", lambda _, tokens, i, *__: f"${html.escape(tokens[i].content)}$"
        )
        repository = self.config["repository"]
        self.url = repository["url"].rstrip("/").removesuffix(".git")
        self.branch = repository.get("branch", "main")
        self.site = (self.config.get("html") or {}).get("baseurl", "").rstrip("/")
        self.entries: dict[str, Entry] = {}
        for name in self.config.get("bibtex_bibfiles", []):
            if (root / name).exists():
                self.entries.update(parse_bibliography(str(root / name)).entries)
        self.pages: dict[str, Page] = {}
        self.targets: dict[str, Target] = {}
        self.terms: dict[str, str] = {}
        self.numbers: dict[tuple[str, int], int] = {}
        self.counts: dict[str, int] = {}
        toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
        for name in _toc_files(toc):
            self._add_page(name)
        for page in self.pages.values():
            self._collect(page)

    # Reading

    def _add_page(self, name: str) -> None:
        path = self.root / f"{name.removesuffix('.md')}.md"
        name = name.removesuffix(".md")
        if not path.exists():
            raise SourceError(f"_toc.yml: {name} has no file {path.relative_to(self.root)}")
        text = path.read_text(encoding="utf-8")
        header = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
        is_notebook = bool(header) and "jupytext" in (yaml.safe_load(header[1]) or {})
        file = path.relative_to(self.root).as_posix()
        self.pages[name] = Page(name, file, path.parent, text, is_notebook)

    def _collect(self, page: Page) -> None:
        heading = Target(page, "page")
        pending: list[tuple[str, int]] = []

        def settle(target: Target) -> None:
            for label, line in pending:
                if label in self.targets:
                    other = self.targets[label].page.file
                    self._note(SourceError(f"{page.file}:{line}: label {label!r}: also in {other}"))
                self.targets[label] = target
            pending.clear()

        def numbered(kind: str, line: int, title: str = "") -> Target:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.numbers[page.name, line] = self.counts[kind]
            return replace(heading, kind=kind, number=self.counts[kind], title=title)

        def walk(text: str, line: int, top: bool) -> None:
            nonlocal heading
            for index, token in enumerate(tokens := self.md.parse(text, page.env)):
                at = line + (token.map[0] if token.map else 0)
                if token.type == "myst_target":
                    pending.append((token.content.strip(), at))
                elif token.type == "heading_open" and top and token.level == 0:
                    heading = self._heading(page, tokens[index + 1], token.tag)
                    settle(heading)
                elif token.type == "math_block_label":
                    pending.append((token.info, at))
                    settle(numbered("equation", at))
                elif token.type in ("fence", "colon_fence") and token.info.startswith("{"):
                    inside(token, at)
                elif token.nesting >= 0 and token.level == 0 and token.map:
                    settle(heading)

        def inside(token: Token, at: int) -> None:
            try:
                directive = self._directive(token, Place(page, at))
            except SourceError as error:
                self._note(error)
                return
            name, options = directive.name, directive.options
            if options.get("name"):
                pending.append((options["name"], at))
            if name == "math":
                if options.get("label"):
                    pending.append((options["label"], at))
                settle(numbered("equation", at) if pending else heading)
            elif name == "glossary":
                self._glossary(directive, Place(page, at))
                settle(heading)
            elif name in NUMBERED and (caption := self._caption(directive)):
                settle(numbered(NUMBERED[name], at, caption))
            else:
                settle(heading)
            if name not in LITERAL:
                walk(directive.body, directive.body_line, False)

        walk(page.text, 1, True)
        settle(heading)
        page.title = page.title or page.stem
        self.targets.setdefault(page.name, Target(page, "page", page.title))

    def _heading(self, page: Page, inline: Token, tag: str) -> Target:
        children = inline.children or []
        words = [c.content for c in children if c.type in ("text", "code_inline")]
        slug = base = default_slugify("".join(words))
        count = 1
        while slug in page.headings:
            slug = f"{base}-{count}"
            count += 1
        shown = "".join(
            _spoken(c.content) if c.type == "math_inline" else c.content
            for c in children
            if c.type in ("text", "code_inline", "math_inline")
        )
        title = inline.content.strip()
        target = Target(page, "heading", title, 0, shown.strip().replace(" ", "-"), slug)
        page.headings[slug] = target
        if tag == "h1" and not page.title:
            page.title = title
        return target

    @staticmethod
    def _caption(directive: Directive) -> str:
        if directive.name in ("list-table", "table"):
            return directive.argument
        if directive.name == "figure":
            return directive.body.strip().split("\n\n")[0]
        return directive.options.get("caption", "")

    def _glossary(self, directive: Directive, place: Place) -> None:
        for names, text, _ in self._glossary_entries(directive, place):
            for name in names:
                self.terms[name.lower()] = f"**{names[0]}** — {text}"
                self.targets.setdefault(f"term:{name.lower()}", Target(place.page, "term", name))

    @staticmethod
    def _glossary_entries(
        directive: Directive, place: Place
    ) -> Iterator[tuple[list[str], str, int]]:
        names: list[str] = []
        text: list[str] = []
        start = directive.body_line
        for offset, line in enumerate([*directive.body.split("\n"), "end"]):
            if line.strip() and not line[0].isspace():
                if text:
                    yield names, textwrap.dedent("\n".join(text)).strip(), start
                    names, text = [], []
                    start = directive.body_line + offset
                names.append(line.split(" : ")[0].strip())
            elif text or line.strip():
                if not names:
                    raise place.error("a glossary begins with a term", directive.body_line + offset)
                text.append(line)

    def _directive(self, token: Token, place: Place) -> Directive:
        match = re.match(r"\{([^\s}]+)\}\s*(.*)$", token.info.strip(), re.DOTALL)
        if not match:
            raise place.error(f"cannot read the directive {token.info.strip()!r}")
        name, argument = match[1], match[2].strip()
        lines = token.content.rstrip("\n").split("\n") if token.content.strip() else []
        options: dict[str, str] = {}
        taken = 0
        if lines and lines[0].strip() == "---":
            end = next((i for i, text in enumerate(lines[1:], 1) if text.strip() == "---"), None)
            if end is None:
                raise place.error(f"the options of {name!r} have no closing ---")
            loaded = yaml.safe_load("\n".join(lines[1:end])) or {}
            options = {str(k): v if isinstance(v, list) else str(v) for k, v in loaded.items()}
            taken = end + 1
        else:
            while taken < len(lines):
                option = re.match(r":([\w.-]+):(?:\s+(.*))?$", lines[taken])
                if not option:
                    break
                options[option[1]] = (option[2] or "").strip()
                taken += 1
        while taken < len(lines) and not lines[taken].strip():
            taken += 1
        known = OPTIONS.get(name, LOOK if name in ADMONITIONS else None)
        if known is None:
            raise place.error(f"no translation for the directive {{{name}}}")
        for option_name in options:
            if option_name not in known:
                raise place.error(f"no translation for the option {option_name!r} of {{{name}}}")
        body, line = "\n".join(lines[taken:]), place.line + 1 + taken
        if name in ADMONITIONS and argument:
            # These have no title of their own: what stands on the first line begins the text.
            body, line, argument = f"{argument}\n{body}".rstrip("\n"), line - 1, ""
        return Directive(name, argument, options, body, place.line, line)

    def _note(self, error: SourceError) -> None:
        if str(error) not in self.errors:
            self.errors.append(str(error))

    # Translating blocks

    def blocks(self, text: str, place: Place) -> list[Piece]:
        """Translate a text; strings are runs of Markdown."""
        tokens = self.md.parse(text, place.page.env)
        lines = text.split("\n")
        edits: list[Edit] = []
        index = 0
        while index < len(tokens):
            token = tokens[index]
            line = place.line + (token.map[0] if token.map else 0)
            at = replace(place, line=line)
            try:
                end, new = self._block(tokens, index, lines, at)
            except SourceError as error:
                self._note(error)
                end, new = (closing(tokens, index) if token.nesting == 1 else index), []
            edits.extend(new)
            index = end + 1
        return _spliced(lines, edits)

    def markdown(self, text: str, place: Place) -> list[str]:
        """Translate a text that stands inside something else; the result is lines."""
        pieces = self.blocks(text, replace(place, top=False))
        return blank_ends_removed("".join(p for p in pieces if isinstance(p, str)).split("\n"))

    def _block(
        self, tokens: list[Token], index: int, lines: list[str], place: Place
    ) -> tuple[int, list[Edit]]:
        token = tokens[index]
        kind = token.type
        base = place.line - (token.map[0] if token.map else 0)
        start, end = token.map or (0, 0)

        def block(new: list[str], mark: str | None = None, upto: int = end) -> list[Edit]:
            head = _head(lines[start], mark, token.level)
            return [Edit(start, upto, new, head=head, rest=re.sub(r"[^\s>]", " ", head))]

        if kind == "inline":
            head = _head(lines[start], None, token.level)
            at = replace(place, quoted=place.quoted or ">" in head)
            return index, self._paragraph(token, lines, at)
        if kind == "heading_open" and place.top and token.level == 0:
            inline = tokens[index + 1]
            target = self._heading_at(place.page, inline)
            level = int(token.tag[1])
            cut = Heading(level, inline.content, target.anchor)
            edits = [Edit(start, start, None, cut)]
            edits += self._paragraph(inline, lines, place)
            if level == 1:
                edits.append(Edit(end, end, [self._under_title(place.page)]))
            return index + 2, edits
        if kind in ("fence", "colon_fence"):
            if not token.info.startswith("{"):
                if kind == "colon_fence":
                    raise place.error(f"':::' needs a directive in braces, got {token.info!r}")
                return index, []
            directive = self._directive(token, place)
            if directive.name == "code-cell":
                if not place.top or token.level:
                    raise place.error("a code-cell must stand at the top level of its page")
                return index, [Edit(start, end, None, self._code_cell(directive, place))]
            if directive.name == "bibliography":
                if not place.top or token.level:
                    raise place.error("a bibliography must stand at the top level of its page")
                return index, [Edit(start, end, None, Works())]
            at = replace(
                place, top=False, quoted=place.quoted or ">" in _head(lines[start], token.markup, 1)
            )
            return index, block(self._translated(directive, at), token.markup)
        if kind in ("math_block", "math_block_label"):
            at = replace(place, quoted=place.quoted or ">" in _head(lines[start], "$$", 1))
            number = self.numbers[place.page.name, place.line] if token.info else 0
            return index, block(self._display(token.content, number, at), "$$")
        if kind == "amsmath":
            at = replace(place, quoted=place.quoted or ">" in _head(lines[start], "\\begin", 1))
            upto = start + token.content.count("\n") + 1
            return index, block(self._environment(token.content, at), "\\begin", upto)
        if kind in ("front_matter", "myst_target", "myst_line_comment"):
            return index, [Edit(start, end, [])]
        if kind == "myst_block_break":
            return index, [Edit(start, end, None, Cut())]
        if kind == "html_block":
            self._check_html(token.content, place)
            return index, []
        if kind == "table_open":
            stop = closing(tokens, index)
            return stop, block(self._table(tokens[index:stop], replace(place, line=base)))
        if kind == "dl_open":
            stop = closing(tokens, index)
            # The end of a definition list is that of its last definition, trailing blanks apart.
            upto = max(t.map[1] for t in tokens[index:stop] if t.map)
            while upto > start and not lines[upto - 1].strip(" >"):
                upto -= 1
            new = self._definitions(tokens[index : stop + 1], lines, replace(place, line=base))
            return stop, block(new, None, upto)
        if kind == "footnote_reference_open":
            stop = closing(tokens, index)
            last = max(t.map[1] for t in tokens[index : stop + 1] if t.map)
            label = token.meta["label"]
            first = re.sub(r"^\s*\[\^[^\]]+\]:\s*", "", lines[start])
            rest = textwrap.dedent("\n".join(lines[start + 1 : last]))
            place.page.note_texts[label] = "\n".join(
                self.markdown(f"{first}\n{rest}".strip(), place)
            )
            return stop, [Edit(start, last, [])]
        if kind == "substitution_block":
            return index, block(self.markdown(self._substitution(token.content, place), place))
        if kind in SELF_CLOSED or kind.removesuffix("_open").removesuffix("_close") in CONTAINERS:
            return index, []
        raise place.error(f"no translation for {kind!r}")

    @staticmethod
    def _heading_at(page: Page, inline: Token) -> Target:
        title = inline.content.strip()
        return next(t for t in page.headings.values() if t.title == title)

    def _paragraph(self, token: Token, lines: list[str], place: Place) -> list[Edit]:
        old = token.content
        new = self.inline(old, token.children or [], place)
        if new == old:
            return []
        assert token.map is not None
        start, end = token.map
        heads = []
        tail = ""
        for line, text in zip(lines[start:end], old.split("\n"), strict=False):
            at = line.rfind(text.rstrip())
            if at < 0:
                raise place.error("cannot find this paragraph's text in its source line")
            heads.append(line[:at])
            tail = line[at + len(text.rstrip()) :].rstrip()
        rest = heads[-1] if len(heads) > 1 else re.sub(r"[^\s>]", " ", heads[0])
        result = [
            (heads[i] if i < len(heads) else rest) + text for i, text in enumerate(new.split("\n"))
        ]
        result[-1] += tail
        return [Edit(start, start + len(heads), result, block=False)]

    def _under_title(self, page: Page) -> str:
        return (
            f"From [*{self.config['title']}*]({self.url}) · [open in Colab]({self.colab(page)}) · "
            f"[text of this page]({self.blob(page.file)})"
        )

    def colab(self, page: Page) -> str:
        """Return the address that opens a page's notebook in Colab."""
        path = self.url.removeprefix("https://github.com/")
        return (
            "https://colab.research.google.com/github/"
            f"{path}/blob/{self.branch}/notebooks/{page.stem}.ipynb"
        )

    def blob(self, file: str) -> str:
        """Return the address of a file in the repository."""
        return f"{self.url}/blob/{self.branch}/{file}"

    # Translating directives

    def _translated(self, directive: Directive, place: Place) -> list[str]:
        name = directive.name
        classes = directive.options.get("class", "").split()
        if name == "dropdown" or "dropdown" in classes:
            return self._details(directive, place)
        if name in ADMONITIONS or name in ("admonition", "margin", "sidebar"):
            return self._quotation(directive, place)
        method = {
            "code": self._code_block,
            "code-block": self._code_block,
            "figure": self._figure,
            "glossary": self._glossary_list,
            "image": self._figure,
            "list-table": self._list_table,
            "literalinclude": self._included,
            "math": self._math_directive,
            "table": self._captioned_table,
        }[name]
        return method(directive, place)

    def _title(self, directive: Directive, place: Place) -> str:
        named = ADMONITIONS.get(directive.name, "")
        title = directive.argument or named or ("Details" if directive.name == "dropdown" else "")
        if directive.name == "admonition" and not title:
            raise place.error("an admonition needs a title")
        return self.text(title, place)

    def _quotation(self, directive: Directive, place: Place) -> list[str]:
        quoted = replace(place, quoted=True)
        title = self._title(directive, quoted)
        inner = self.markdown(directive.body, replace(quoted, line=directive.body_line))
        heading = [f"**{title}**", ""] if title else []
        return [f"> {text}".rstrip() for text in blank_ends_removed([*heading, *inner])]

    def _details(self, directive: Directive, place: Place) -> list[str]:
        title = self._title(directive, place)
        inner = self.markdown(directive.body, replace(place, line=directive.body_line))
        opened = " open" if "open" in directive.options else ""
        summary = f"<summary><b>{self.plain.renderInline(title)}</b></summary>"
        return [f"<details{opened}>", summary, "", *inner, "", "</details>"]

    def _label(self, kind: str, directive: Directive, place: Place) -> str:
        number = self.numbers.get((place.page.name, directive.line))
        return f"**{NUMBER_NAMES[kind]} {number}.** " if number else ""

    def _figure(self, directive: Directive, place: Place) -> list[str]:
        alt = directive.options.get("alt", "")
        source = self._image(directive.argument, place)
        width = directive.options.get("width", "").removesuffix("px")
        if width.isdigit():
            alt_text = html.escape(alt)
            picture = f'<img src="{source}" alt="{alt_text}" width="{width}">'
        else:
            alt_text = re.sub(r"([\[\]])", r"\\\1", alt)
            picture = f"![{alt_text}]({source})"
        if not directive.body.strip():
            return [picture]
        body = self.markdown(directive.body, replace(place, line=directive.body_line))
        body[0] = self._label("figure", directive, place) + body[0]
        return [picture, "", *body]

    def _image(self, path: str, place: Place) -> str:
        if re.match(r"(https?|data):", path):
            return path
        file = self._file(path, place)
        mime = mimetypes.guess_type(file.name)[0]
        if mime is None or not mime.startswith("image/"):
            raise place.error(f"{path!r} is not an image")
        return f"data:{mime};base64,{base64.b64encode(file.read_bytes()).decode()}"

    def _file(self, path: str, place: Place) -> Path:
        file = self.root / path[1:] if path.startswith("/") else place.page.folder / path
        if not file.is_file():
            raise place.error(f"there is no file {path!r}")
        return file.resolve()

    def _code_cell(self, directive: Directive, place: Place) -> Code:
        tags = directive.options.get("tags", "")
        if isinstance(tags, str):
            tags = yaml.safe_load(tags) if tags.startswith("[") else re.split(r"[\s,]+", tags)
        return Code(directive.body.rstrip("\n"), tuple(tag for tag in tags if tag))

    def _code_block(self, directive: Directive, place: Place) -> list[str]:
        lines = fenced(directive.body, directive.argument)
        if caption := directive.options.get("caption"):
            label = self._label("listing", directive, place)
            lines = [label + self.text(caption, place), "", *lines]
        return lines

    def _included(self, directive: Directive, place: Place) -> list[str]:
        file = self._file(directive.argument, place)
        name = file.relative_to(self.root.resolve()).as_posix()
        code = _selected(file.read_text(encoding="utf-8"), directive.options, place)
        language = directive.options.get("language", "python" if file.suffix == ".py" else "")
        caption = self.text(directive.options.get("caption", ""), place)
        caption = caption + ("" if caption.endswith((".", "?", "!")) else ".") if caption else ""
        link = f"From [`{name}`]({self.blob(name)}):"
        label = self._label("listing", directive, place)
        lines = [
            " ".join(filter(None, [label.strip(), caption, link])),
            "",
            *fenced(code, language),
        ]
        if len(lines) > LONG:
            summary = f"<summary><b>Show {code.count(chr(10)) + 1} lines of source</b></summary>"
            lines[2:] = ["<details>", summary, "", *lines[2:], "", "</details>"]
        return lines

    def _math_directive(self, directive: Directive, place: Place) -> list[str]:
        body = "\n".join(filter(None, [directive.argument, directive.body]))
        return self._display(body, self.numbers.get((place.page.name, directive.line), 0), place)

    @staticmethod
    def _display(content: str, number: int, place: Place) -> list[str]:
        parts = [part.strip("\n") for part in re.split(r"\n\s*\n", content.strip())]
        parts = [_wrapped("aligned", part) if _has_bare_rows(part) else part for part in parts]
        body = parts[0] if len(parts) == 1 else _wrapped("gathered", " \\\\\n".join(parts))
        lines = [line.rstrip() for line in body.split("\n") if line.strip()]
        tag = [rf"\tag{{{number}}}"] if number else []
        if place.quoted:
            bare = [
                re.sub(r"(?<!\\)((?:\\\\)*)%.*$", r"\1", line).strip() for line in [*lines, *tag]
            ]
            return [f"$${' '.join(filter(None, bare))}$$"]
        return ["$$", *lines, *tag, "$$"]

    def _environment(self, content: str, place: Place) -> list[str]:
        match = re.match(r"\\begin\{(\w+)\*\}(.*)\\end\{\1\*\}$", content.strip(), re.DOTALL)
        inner = {"align": "aligned", "gather": "gathered", "equation": ""}
        if not match or match[1] not in inner:
            raise place.error(
                "of the bare environments only equation*, align* and gather* have a "
                "translation; a numbered formula is written $$ … $$ (label)"
            )
        name, body = inner[match[1]], match[2].strip("\n")
        return self._display(_wrapped(name, body) if name else body, 0, place)

    # Tables and definitions

    def _rows(self, rows: list[list[str]], header: bool, aligns: list[str]) -> list[str]:
        width = max(map(len, rows))
        rows = [row + [""] * (width - len(row)) for row in rows]
        head, body = (rows[0], rows[1:]) if header else ([""] * width, rows)
        rule = [aligns[i] if i < len(aligns) else "---" for i in range(width)]
        return [f"| {' | '.join(row)} |" for row in [head, rule, *body]]

    def _cell(self, token: Token, place: Place) -> str:
        text = self.inline(token.content, token.children or [], replace(place, cell=True))
        return re.sub(r"(?<!\\)\|", r"\\|", one_line(text))

    def _table(self, tokens: list[Token], place: Place) -> list[str]:
        rows: list[list[str]] = []
        aligns = []
        marks = {"left": ":---", "center": ":---:", "right": "---:"}
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "th_open":
                style = str(token.attrs.get("style", "")).removeprefix("text-align:")
                aligns.append(marks.get(style, "---"))
            elif token.type == "inline":
                assert token.map is not None
                at = replace(place, line=place.line + token.map[0])
                rows[-1].append(self._cell(token, at))
        return self._rows(rows, True, aligns)

    def _list_table(self, directive: Directive, place: Place) -> list[str]:
        tokens = self.md.parse(directive.body, place.page.env)
        rows: list[list[list[str]]] = []
        for token in tokens:
            at = replace(place, line=directive.body_line + (token.map[0] if token.map else 0))
            if token.type == "list_item_open" and token.level == 1:
                rows.append([])
            elif token.type == "list_item_open" and token.level == 3:
                rows[-1].append([])
            elif token.type == "inline" and rows and rows[-1]:
                rows[-1][-1].append(self._cell(token, at))
            elif token.type not in ("bullet_list_open", "paragraph_open") and token.nesting >= 0:
                raise at.error("a list-table is a list of lists whose items hold paragraphs only")
        if not rows:
            raise place.error("an empty list-table")
        cells = [["<br>".join(cell) for cell in row] for row in rows]
        headers = int(directive.options.get("header-rows") or 0)
        stubs = int(directive.options.get("stub-columns") or 0)
        if headers > 1:
            raise place.error("a list-table may have one header row at most")
        for row in cells[headers:]:
            row[:stubs] = [f"**{cell}**" if cell else "" for cell in row[:stubs]]
        return self._with_caption(directive, self._rows(cells, headers == 1, []), place)

    def _captioned_table(self, directive: Directive, place: Place) -> list[str]:
        body = self.markdown(directive.body, replace(place, line=directive.body_line))
        return self._with_caption(directive, body, place)

    def _with_caption(self, directive: Directive, lines: list[str], place: Place) -> list[str]:
        if not directive.argument:
            return lines
        label = self._label("table", directive, place)
        return [label + self.text(directive.argument, place), "", *lines]

    def _definitions(self, tokens: list[Token], lines: list[str], place: Place) -> list[str]:
        out: list[str] = []
        for index, token in enumerate(tokens):
            if token.map is None:
                continue
            at = replace(place, line=place.line + token.map[0])
            if token.type == "dt_open":
                inline = tokens[index + 1]
                out.append(f"- **{self.inline(inline.content, inline.children or [], at)}**")
            elif token.type == "dd_open":
                # The definition's own lines are those of its blocks; the plugin's differ by one.
                inside = [x.map for x in tokens[index + 1 : closing(tokens, index)] if x.map]
                start, end = min(x[0] for x in inside), max(x[1] for x in inside)
                head = _head(lines[start], ":", 1)
                body = [line[len(head) :] for line in lines[start:end]]
                text = textwrap.dedent(body[0].replace(":", " ", 1) + "\n" + "\n".join(body[1:]))
                new = self.markdown(text.strip("\n"), at)
                out += ["", *(f"  {line}".rstrip() for line in new), ""]
        return blank_ends_removed(_tight(out))

    def _glossary_list(self, directive: Directive, place: Place) -> list[str]:
        out = []
        for names, text, line in self._glossary_entries(directive, place):
            body = self.markdown(text, replace(place, line=line + len(names)))
            out += [f"- **{', '.join(names)}** — {body[0]}", *(f"  {x}".rstrip() for x in body[1:])]
        return out

    # Translating inline text

    def text(self, text: str, place: Place) -> str:
        """Translate one run of inline text."""
        if not text:
            return ""
        tokens = self.md.parseInline(text, place.page.env)
        return self.inline(tokens[0].content, tokens[0].children or [], place)

    def inline(self, source: str, children: list[Token], place: Place) -> str:
        """Translate inline tokens; what needs no translation is copied from ``source``."""
        edits: list[tuple[int, int, str]] = []
        index = 0
        while index < len(children):
            token = children[index]
            kind = token.type
            start, end = token.meta.get("span", (0, 0))
            at = replace(place, line=place.line + source.count("\n", 0, start))
            if "attrs" in token.meta:
                edits.append((*token.meta["attrs"], ""))
            if kind == "myst_role":
                edits.append((start, end, self._role(token.meta["name"], token.content, at)))
            elif kind in ("math_inline", "math_inline_double"):
                edits.append((start, end, self._formula(token, at)))
            elif kind in ("link_open", "span_open"):
                index = closing(children, index)
                first, last = token.meta["label"]
                if "attrs" in children[index].meta:
                    edits.append((*children[index].meta["attrs"], ""))
                if token.markup == "autolink":
                    self._check_scheme(str(token.attrs["href"]), at)
                elif kind == "span_open":
                    edits.append((start, end, self.text(source[first:last], at)))
                else:
                    new = self._link(token, source[first:last], at)
                    edits.append((start, end, new))
            elif kind == "image":
                alt = source[slice(*token.meta["label"])]
                edits.append((start, end, f"![{alt}]({self._image(str(token.attrs['src']), at)})"))
            elif kind == "footnote_ref":
                label = token.meta["label"]
                number = place.page.notes.setdefault(label, len(place.page.notes) + 1)
                edits.append((start, end, f"<sup>{number}</sup>"))
            elif kind == "substitution_inline":
                edits.append((start, end, self._substitution(token.content, at)))
            elif kind == "html_inline":
                self._check_html(token.content, at)
            elif kind not in SELF_CLOSED and kind.rsplit("_", 1)[0] not in INLINE_CONTAINERS:
                raise at.error(f"no translation for {kind!r}")
            index += 1
        out, done = [], 0
        for start, end, new in sorted(edits):
            out += [source[done:start], new]
            done = end
        return "".join([*out, source[done:]])

    @staticmethod
    def _formula(token: Token, place: Place) -> str:
        content = token.content.strip()
        if place.quoted or place.cell:
            content = one_line(content)
        if place.cell:
            content = content.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
        mark = "$"
        if token.type == "math_inline_double":
            mark = "$$"
            if _has_bare_rows(content):
                content = _wrapped("aligned", content)
                content = one_line(content) if place.quoted or place.cell else content
        return f"{mark}{content}{mark}"

    @staticmethod
    def _check_html(source: str, place: Place) -> None:
        for address in re.findall(r"\b(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", source):
            if not re.match(r"(https?:|data:|mailto:|#)", address):
                raise place.error(f"the HTML address {address!r} is no use in a notebook")

    @staticmethod
    def _check_scheme(address: str, place: Place) -> None:
        scheme = address.split(":", 1)[0]
        if scheme in ("project", "path", "inv", "myst"):
            raise place.error(f"no translation for links with {scheme}:")

    def _substitution(self, name: str, place: Place) -> str:
        values = self.config.get("parse", {}).get("myst_substitutions") or {}
        if name.strip() not in values:
            raise place.error(f"there is no substitution {name.strip()!r}")
        return self.text(str(values[name.strip()]), place)

    def _link(self, token: Token, label: str, place: Place) -> str:
        href = str(token.attrs["href"])
        title = f' "{token.attrs["title"]}"' if token.attrs.get("title") else ""
        self._check_scheme(href, place)
        text = self.text(label, place)
        if re.match(r"[a-z][a-z0-9+.-]*:", href):
            return f"[{text}]({href}{title})"
        target = self._resolve(href, place)
        if isinstance(target, str):
            return f"[{text or f'`{href}`'}]({target}{title})"
        return self._reference(target, text, place)

    def _resolve(self, href: str, place: Place) -> Target | str:
        """Return what a link without a scheme leads to: a target, or a file's address."""
        path, _, anchor = href.partition("#")
        if not path:
            return self._anchored(place.page, anchor, place)
        if not path.endswith(".md"):
            if path in self.targets and not anchor:
                return self.targets[path]
            file = self._file(path, place)
            return self.blob(file.relative_to(self.root.resolve()).as_posix())
        file = self.root / path[1:] if path.startswith("/") else place.page.folder / path
        for page in self.pages.values():
            if (self.root / page.file).resolve() == file.resolve():
                return self._anchored(page, anchor, place) if anchor else self.targets[page.name]
        if file.is_file():
            return self.blob(file.resolve().relative_to(self.root.resolve()).as_posix())
        raise place.error(f"there is no page {path!r}")

    def _anchored(self, page: Page, anchor: str, place: Place) -> Target:
        if anchor in self.targets:
            return self.targets[anchor]
        if anchor in page.headings:
            return page.headings[anchor]
        raise place.error(f"{page.file} has no anchor {anchor!r}")

    def _reference(self, target: Target, text: str, place: Place) -> str:
        """Return a link to ``target`` that reads well; ``text`` if given, else its own title."""
        if not text:
            if target.kind == "equation":
                text = f"({target.number})"
            elif target.kind in NUMBER_NAMES:
                text = f"{NUMBER_NAMES[target.kind]} {target.number}"
            elif target.title:
                text = self.text(target.title, place)
            else:
                raise place.error("a reference to something without a title needs a text")
            if target.kind == "equation" and target.page is not place.page:
                text = f"{text} of {target.page.title}"
        return f"[{text}]({self._address(target, place.page)})"

    def _address(self, target: Target, page: Page) -> str:
        other = target.page
        if other.is_notebook:
            if target.anchor:
                other.linked.add(target.anchor)
            fragment = _fragment(target.anchor) if target.anchor else ""
            if other is page:
                return fragment or _fragment(next(iter(page.headings.values())).anchor)
            return f"{other.stem}.ipynb{fragment}"
        fragment = f"#{quote(target.slug)}" if target.slug else ""
        if self.site:
            return f"{self.site}/{other.name}.html{fragment}"
        return self.blob(other.file) + fragment

    def _role(self, name: str, content: str, place: Place) -> str:
        if name == "cite" or name.startswith("cite:"):
            return self._citation(name.partition(":")[2] or "p", content, place)
        match = re.match(r"(.*?)\s*<([^<>]+)>$", content, re.DOTALL)
        text, label = (match[1], match[2]) if match else ("", content)
        text, label = text.strip(), label.strip()
        if name == "ref":
            return self._reference(self._labelled(label, place), self.text(text, place), place)
        if name == "numref":
            target = self._labelled(label, place)
            if target.kind not in NUMBER_NAMES:
                raise place.error(f"{label!r} has no number")
            text = text.replace("%s", str(target.number)).replace("{number}", str(target.number))
            return self._reference(target, self.text(text, place), place)
        if name == "eq":
            target = self._labelled(label, place)
            if target.kind != "equation":
                raise place.error(f"{label!r} is not an equation")
            return self._reference(target, self.text(text, place), place)
        if name == "doc":
            stem = label.removesuffix(".md")
            file = self.root / stem[1:] if stem.startswith("/") else place.page.folder / stem
            for page in self.pages.values():
                if (self.root / page.name).resolve() == file.resolve():
                    return self._reference(self.targets[page.name], self.text(text, place), place)
            raise place.error(f"there is no page {label!r}")
        if name == "term":
            if label.lower() not in self.terms:
                raise place.error(f"the glossary has no term {label!r}")
            if label.lower() not in place.page.terms:
                place.page.terms.append(label.lower())
            return self.text(text, place) or label
        if name == "math":
            return self._formula(Token("math_inline", "", 0, content=content), place)
        if name == "abbr":
            short, _, long = content.partition("(")
            return (
                f'<abbr title="{html.escape(long.rstrip(")"))}">{html.escape(short.strip())}</abbr>'
            )
        if name in ("sub", "sup", "kbd"):
            tag = {"sub": "sub", "sup": "sup", "kbd": "kbd"}[name]
            return f"<{tag}>{html.escape(content)}</{tag}>"
        if name in ("code", "py:func", "py:class", "py:mod", "func", "class", "mod"):
            ticks = "``" if "`" in content else "`"
            return f"{ticks}{content.lstrip('~')}{ticks}"
        raise place.error(f"no translation for the role {{{name}}}")

    def _labelled(self, label: str, place: Place) -> Target:
        if label not in self.targets:
            raise place.error(f"there is no label {label!r}")
        return self.targets[label]

    # Citations

    def _citation(self, style: str, content: str, place: Place) -> str:
        if style not in ("p", "t"):
            raise place.error(f"no translation for the role {{cite:{style}}}")
        parts = []
        for key in (key.strip() for key in content.split(",")):
            if key not in self.entries:
                raise place.error(f"the bibliography has no {key!r}")
            if key not in place.page.cited:
                place.page.cited.append(key)
            entry = self.entries[key]
            names, year = _short_names(entry.persons.get("author", [])), entry.fields["year"]
            text = f"{names} ({year})" if style == "t" else f"{names}, {year}"
            address = _entry_address(entry)
            parts.append(f"[{text}]({address})" if address else text)
        return ", ".join(parts) if style == "t" else f"({'; '.join(parts)})"

    def _works(self, page: Page) -> list[str]:
        keys = sorted(page.cited, key=lambda key: _sort_key(self.entries[key]))
        return [f"- {_full_entry(self.entries[key])}" for key in keys]

    # Notebooks

    def notebooks(self) -> dict[str, str]:
        """Return the text of every notebook by its file name.

        Raises
        ------
        SourceError
            With one line for every construct that has no translation.
        """
        chapters = [page for page in self.pages.values() if page.is_notebook]
        translated = {
            page.name: self.blocks(page.text, Place(page, 1, top=True)) for page in chapters
        }
        glossaries = {page.name: self._terms(page) for page in chapters}
        for page in chapters:
            for label in page.notes.keys() - page.note_texts.keys():
                self._note(SourceError(f"{page.file}:1: footnote {label!r} has no text"))
        if self.errors:
            raise SourceError("\n".join(self.errors))
        files = {}
        for page in chapters:
            cells = self._cells(page, translated[page.name], glossaries[page.name], chapters)
            book = {
                "cells": cells,
                "metadata": {
                    "colab": {"provenance": [], "toc_visible": True},
                    "kernelspec": {
                        "display_name": "Python 3",
                        "language": "python",
                        "name": "python3",
                    },
                    "language_info": {"name": "python"},
                },
                "nbformat": 4,
                "nbformat_minor": 5,
            }
            name = f"{page.stem}.ipynb"
            if name in files:
                raise SourceError(f"_toc.yml: two pages would be written to {name}")
            files[name] = json.dumps(book, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        return files

    def _terms(self, page: Page) -> list[str]:
        entries = {}
        for term in page.terms:
            source = self.targets[f"term:{term}"].page
            entries[self.terms[term]] = source
        return [
            f"- {one_line(self.text(text, Place(page)))}" for text in sorted(entries, key=str.lower)
        ]

    def _cells(
        self, page: Page, pieces: list[Piece], terms: list[str], chapters: list[Page]
    ) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = []
        section, counts = "start", {"": 0}
        run: list[str] = []
        has_works = any(isinstance(piece, Works) for piece in pieces)

        def add(kind: str, source: str, metadata: dict[str, Any], name: str = "") -> None:
            if not name:
                stem = f"{section}-{'code' if kind == 'code' else 'text'}"
                counts[stem] = counts.get(stem, 0) + 1
                name = f"{stem}-{counts[stem]}"
            cell = {"cell_type": kind, "id": name, "metadata": metadata}
            cell["source"] = source.splitlines(keepends=True)
            if kind == "code":
                cell |= {"execution_count": None, "outputs": []}
            cells.append(cell)

        def flush() -> None:
            text = "\n".join(blank_ends_removed("".join(run).split("\n")))
            run.clear()
            if text:
                add("markdown", text, {})

        add("code", self._install(), {}, "install")
        sections: dict[str, int] = {}
        for piece in pieces:
            if isinstance(piece, str):
                run.append(piece)
            elif isinstance(piece, Heading):
                if piece.level <= 3:
                    flush()
                    section = slug_of(piece.title)
                    sections[section] = sections.get(section, 0) + 1
                    if sections[section] > 1:
                        section += f"-{sections[section]}"
                if piece.anchor in page.linked:
                    anchor = html.escape(piece.anchor)
                    run.append(f'\n<a id="{anchor}"></a>\n\n')
            elif isinstance(piece, Cut):
                flush()
            elif isinstance(piece, Code):
                flush()
                add("code", piece.source, _metadata(piece.tags))
            else:
                run += ["\n".join(self._works(page)), "\n"]
        flush()
        if page.notes:
            notes = sorted(page.notes.items(), key=lambda item: item[1])
            lines = [f"{number}. {one_line(page.note_texts[label])}" for label, number in notes]
            add("markdown", "\n".join(["## Notes", "", *lines]), {}, "end-notes")
        if page.cited and not has_works:
            add("markdown", "\n".join(["## Works cited", "", *self._works(page)]), {}, "end-works")
        if terms:
            add("markdown", "\n".join(["## Terms used here", "", *terms]), {}, "end-terms")
        add("markdown", self._siblings(page, chapters), {}, "end-chapters")
        return cells

    def _install(self) -> str:
        return textwrap.dedent(f"""\
            # The book's library; an installed one is kept as it is.
            try:
                import attn_lib
            except ImportError:
                %pip install -q "attn_lib @ git+{self.url}"
            """).rstrip()

    def _siblings(self, page: Page, chapters: list[Page]) -> str:
        lines = [
            f"- {self.text(other.title, Place(page))}: [in Colab]({self.colab(other)}), "
            f"[beside this file]({other.stem}.ipynb)"
            for other in chapters
            if other is not page
        ]
        head = f"[The book and its library]({self.url})"
        return "\n".join(["## Other chapters", "", *lines, f"- {head}"])


def _wrapped(environment: str, latex: str) -> str:
    return f"\\begin{{{environment}}}\n{latex}\n\\end{{{environment}}}"


def _spoken(latex: str) -> str:
    """Return the letters and signs that a simple formula leaves in a heading's anchor."""
    return re.sub(r"\\[a-zA-Z]+|[\\^_{}\s]", "", latex)


def _fragment(anchor: str) -> str:
    """Return the link to an anchor; JupyterLab wants it written out, not percent-encoded."""
    return "#" + re.sub(r"[\s()<>\[\]\\\"'`|*%]", lambda match: quote(match[0]), anchor)


def _has_bare_rows(latex: str) -> bool:
    """Return whether rows or columns stand outside every environment; Sphinx aligns those."""
    depth = 0
    for match in re.finditer(r"\\begin\b|\\end\b|\\\\|\\&|&", latex):
        depth += {r"\begin": 1, r"\end": -1}.get(match[0], 0)
        if not depth and match[0] in ("\\\\", "&"):
            return True
    return False


def _toc_files(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _toc_files(item)
    elif isinstance(node, dict):
        for key in ("root", "file"):
            if key in node:
                yield node[key]
        for key in ("parts", "chapters", "sections", "subtrees", "entries"):
            yield from _toc_files(node.get(key))


def _head(line: str, mark: str | None, level: int) -> str:
    """Return what stands before a block on its first line: indentation, ``>``, a list's mark."""
    if mark is not None and mark in line:
        return line[: line.index(mark)]
    if not level:
        return line[: len(line) - len(line.lstrip())]
    match = re.match(r"(?:\s*>|\s*(?:[-*+]|\d+[.)])\s+)*\s*", line)
    return match[0] if match else ""


def _tight(lines: list[str]) -> list[str]:
    """Return ``lines`` without a second blank one in a row."""
    return [x for i, x in enumerate(lines) if x.strip() or (i and lines[i - 1].strip())]


def _spliced(lines: list[str], edits: list[Edit]) -> list[Piece]:
    """Return the text of ``lines`` with the edits made, other pieces in their places."""
    pieces: list[Piece] = []
    out: list[str] = []
    done = 0

    def flush() -> None:
        if out:
            pieces.append("\n".join(out) + "\n")
            out.clear()

    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        out += lines[done : edit.start]
        done = max(done, edit.end)
        if edit.piece is not None:
            flush()
            pieces.append(edit.piece)
        elif edit.lines and edit.block:
            bare = not edit.head.strip(" >")
            if bare and out and out[-1].strip(" >"):
                out.append(edit.head.rstrip())
            heads = [edit.head, *[edit.rest] * (len(edit.lines) - 1)]
            out += [(h + x).rstrip() for h, x in zip(heads, edit.lines, strict=True)]
            if done < len(lines) and lines[done].strip(" >"):
                out.append(edit.rest.rstrip())
        elif edit.lines:
            out += edit.lines
        elif done < len(lines) and not lines[done].strip() and not (out and out[-1].strip()):
            done += 1
    out += lines[done:]
    flush()
    return pieces


def _selected(text: str, options: dict[str, str], place: Place) -> str:
    """Return the part of a file that a ``literalinclude`` asks for."""
    lines = text.split("\n")

    def find(mark: str, start: int = 0) -> int:
        for index in range(start, len(lines)):
            if mark in lines[index]:
                return index
        raise place.error(f"no line of the included file holds {mark!r}")

    if name := options.get("pyobject"):
        body: list[Any] = ast.parse(text).body
        node = None
        for part in name.split("."):
            node = next((n for n in body if getattr(n, "name", None) == part), None)
            if node is None:
                raise place.error(f"the included file has no {name!r}")
            body = getattr(node, "body", [])
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        lines = lines[first - 1 : node.end_lineno]
    if spec := options.get("lines"):
        chosen: list[str] = []
        for part in spec.split(","):
            low, dash, high = part.strip().partition("-")
            last = int(high) if high else (len(lines) if dash else int(low))
            chosen += lines[int(low or 1) - 1 : last]
        lines = chosen
    if "start-at" in options:
        lines = lines[find(options["start-at"]) :]
    elif "start-after" in options:
        lines = lines[find(options["start-after"]) + 1 :]
    if "end-at" in options:
        lines = lines[: find(options["end-at"], 1 if "start-at" in options else 0) + 1]
    elif "end-before" in options:
        lines = lines[: find(options["end-before"], 1 if "start-at" in options else 0)]
    code = "\n".join(lines).strip("\n")
    return textwrap.dedent(code) if "dedent" in options else code


def _metadata(tags: tuple[str, ...]) -> dict[str, Any]:
    """Return a code cell's metadata; the notebook keeps hidden code, folded where it was hidden.

    ``skip-execution`` is left out: what the book's build may not run, a reader may.
    """
    kept = [tag for tag in tags if tag != "skip-execution"]
    metadata: dict[str, Any] = {"tags": kept} if kept else {}
    jupyter = {}
    if {"hide-input", "hide-cell", "remove-input"} & set(kept):
        metadata["cellView"] = "form"
        jupyter["source_hidden"] = True
    if {"hide-output", "hide-cell"} & set(kept):
        jupyter["outputs_hidden"] = True
    return metadata | ({"jupyter": jupyter} if jupyter else {})


def _plain(latex: str) -> str:
    return one_line(str(LatexText.from_latex(latex)))


def _last_name(person: Person) -> str:
    return _plain(" ".join([*person.prelast_names, *person.last_names]))


def _short_names(people: list[Person]) -> str:
    names = [_last_name(person) for person in people]
    if len(names) > 2:
        return f"{names[0]} et al."
    return f"{names[0]} et al." if names[1:] == ["others"] else " and ".join(names)


def _sort_key(entry: Entry) -> tuple[list[str], str]:
    return [_last_name(p).lower() for p in entry.persons.get("author", [])], entry.fields["year"]


def _entry_address(entry: Entry) -> str:
    if entry.fields.get("eprint"):
        return f"https://arxiv.org/abs/{entry.fields['eprint']}"
    if entry.fields.get("doi"):
        return f"https://doi.org/{entry.fields['doi']}"
    return str(entry.fields.get("url", ""))


def _full_entry(entry: Entry) -> str:
    """Return one line of the list of works cited."""
    names = []
    for person in entry.persons.get("author", []):
        given = [*person.first_names, *person.middle_names]
        names.append(_plain(" ".join([*given, *person.prelast_names, *person.last_names])))
    others = names[-1:] == ["others"]
    names = names[:-1] if others else names
    if others:
        people = ", ".join(names) + " et al"
    else:
        people = " and ".join(filter(None, [", ".join(names[:-1]), names[-1] if names else ""]))
    fields = entry.fields
    venue = fields.get("journal") or fields.get("booktitle") or fields.get("howpublished") or ""
    place = ", ".join(filter(None, [_plain(venue), fields.get("volume", ""), fields["year"]]))
    address = _entry_address(entry)
    label = f"arXiv:{fields['eprint']}" if fields.get("eprint") else address
    link = f" [{label}]({address})." if address else ""
    return f"{people}. *{_plain(fields['title'])}*. {place}.{link}"


def main(arguments: list[str] | None = None) -> int:
    """Write the notebooks, or check them."""
    parser = argparse.ArgumentParser(description="Write notebooks/*.ipynb from book/*.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when stale")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.root / "notebooks"
    try:
        files = Book(options.root).notebooks()
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    present = {path.name: path for path in folder.glob("*.ipynb")}
    stale = sorted(
        name
        for name in files.keys() | present.keys()
        if name not in files
        or name not in present
        or present[name].read_text(encoding="utf-8") != files[name]
    )
    if options.check:
        for name in stale:
            print(f"notebooks/{name} is stale: run `make notebooks`", file=sys.stderr)
        return 1 if stale else 0
    folder.mkdir(exist_ok=True)
    for name in stale:
        if name in files:
            (folder / name).write_text(files[name], encoding="utf-8", newline="\n")
        else:
            present[name].unlink()
        print(f"notebooks/{name}: {'written' if name in files else 'removed'}")
    if not stale:
        print(f"notebooks: {len(files)} up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
