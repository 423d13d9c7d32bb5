"""Blocks: a text is read block by block, and each that only Sphinx understands gives way.

A kind of block that plain Markdown does not have has its function, which returns the edits that
translate it; a kind that is in neither is an error.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace

import yaml
from markdown_it.token import Token

from .book import Place, SourceError
from .definitions import definition_list
from .directive import Directive, taken_apart
from .directives import translated
from .edits import Code, Cut, Edit, Heading, Piece, Works, rewritten, spliced
from .formulas import display, environment
from .inline import inline, substitution
from .lines import blank_ends_removed, head_of
from .own_text import own_text
from .parsing import closing
from .references import check_html
from .tables import table

__all__ = ["blocks", "markdown"]

COPIED = {"hr", "code_block"}
READ_WHOLE = {"table_open", "dl_open", "footnote_reference_open"}
COPIED_AROUND = {"paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote"}


def blocks(text: str, place: Place) -> list[Piece]:
    """Translate a text; what has no translation is kept among the book's errors.

    Parameters
    ----------
    text : str
        A whole page, or what stands inside a block of one.
    place : Place
        Where it begins; at its ``top``, headings and cells cut it into pieces.

    Returns
    -------
    list
        Runs of Markdown, and between them headings, cuts, code cells and the list of works.
    """
    tokens, lines = place.book.md.parse(text, place.page.env), text.split("\n")
    edits: list[Edit] = []
    index = 0
    while index < len(tokens):
        block = Block(tokens, index, lines, place)
        try:
            edits += _edits(block)
            # What a container holds are blocks in their turn, unless its function read them.
            index = block.last if _is_read_whole(block) else index
        except SourceError as error:
            place.book.note(error)
            index = block.last
        index += 1
    return spliced(lines, edits)


def markdown(text: str, place: Place) -> list[str]:
    """Translate a text that stands inside something else; the result is lines."""
    pieces = blocks(text, replace(place, top=False))
    return blank_ends_removed("".join(p for p in pieces if isinstance(p, str)).split("\n"))


@dataclass(frozen=True)
class Block:
    """A block among the tokens of a text, and the lines that it came from."""

    tokens: list[Token]
    index: int
    lines: list[str]
    origin: Place

    @property
    def token(self) -> Token:
        """The token that the block begins with."""
        return self.tokens[self.index]

    @property
    def last(self) -> int:
        """The index of the token that the block ends with."""
        return closing(self.tokens, self.index)

    @property
    def start(self) -> int:
        """The block's first line."""
        return self.token.map[0] if self.token.map else 0

    @property
    def end(self) -> int:
        """The first line behind the block."""
        return self.token.map[1] if self.token.map else 0

    @property
    def place(self) -> Place:
        """Where the block begins."""
        return self.origin.at(self.origin.line + self.start)

    @property
    def is_top(self) -> bool:
        """Whether the block stands in no other one of its page."""
        return self.origin.top and self.token.level == 0

    def head(self, mark: str | None, level: int | None = None) -> str:
        """Return what stands before the block, given what the block itself begins with."""
        return head_of(self.lines[self.start], mark, self.token.level if level is None else level)

    def inside(self, mark: str) -> Place:
        """Return the place of what the block holds, given what the block begins with."""
        return self.place.behind(self.head(mark, 1))

    def becomes(
        self, lines: list[str], mark: str | None = None, end: int | None = None
    ) -> list[Edit]:
        """Return the edit by which the block gives way to ``lines``."""
        return [Edit(self.start, end or self.end, lines, head=self.head(mark))]

    def becomes_piece(self, piece: Piece) -> list[Edit]:
        """Return the edit by which the block gives way to a piece of another kind."""
        return [Edit(self.start, self.end, None, piece)]


def _is_read_whole(block: Block) -> bool:
    kind = block.token.type
    return kind in READ_WHOLE or (kind == "heading_open" and block.is_top)


def _edits(block: Block) -> list[Edit]:
    kind = block.token.type
    if kind == "heading_open" and block.is_top:
        return _heading(block)
    if kind in READ:
        return READ[kind](block)
    if kind in COPIED or kind.removesuffix("_open").removesuffix("_close") in COPIED_AROUND:
        return []
    raise block.place.error(f"no translation for {kind!r}")


def _paragraph(block: Block) -> list[Edit]:
    place = block.place.behind(block.head(None))
    old = block.token.content
    new = inline(old, block.token.children or [], place)
    if new == old:
        return []
    try:
        return [rewritten(block.lines, block.start, block.end, old, new)]
    except ValueError as error:
        raise place.error(str(error)) from error


def _heading(block: Block) -> list[Edit]:
    text = replace(block, index=block.index + 1)
    place, level = block.place, int(block.token.tag[1])
    title = place.page.heading_in_source(place.line)
    edits = [Edit(block.start, block.start, None, Heading(level, title))]
    edits += _paragraph(text)
    if level == 1:
        edits.append(Edit(block.end, block.end, [_under_title(place)]))
    return edits


def _under_title(place: Place) -> str:
    book, page = place.book, place.page
    address = book.addresses.in_book(page)
    return book.words.under_title.format(
        title=book.title,
        book=book.addresses.repository,
        colab=book.addresses.colab(page),
        text=book.addresses.blob(page.file),
        page=book.words.page_in_book.format(page=address) if address else "",
    )


def _fence(block: Block) -> list[Edit]:
    token, place = block.token, block.place
    if not token.info.startswith("{"):
        if token.type == "colon_fence":
            raise place.error(f"':::' needs a directive in braces, got {token.info!r}")
        return []
    directive = taken_apart(token, place)
    if directive.name in ("code-cell", "bibliography"):
        if not block.is_top:
            raise place.error(f"a {directive.name} must stand at the top level of its page")
        is_code = directive.name == "code-cell"
        return block.becomes_piece(_code_cell(directive) if is_code else Works())
    inside = replace(block.inside(token.markup), top=False)
    return block.becomes(translated(directive, inside, markdown), token.markup)


def _code_cell(directive: Directive) -> Code:
    tags = directive.options.get("tags", "")
    if isinstance(tags, str):
        tags = yaml.safe_load(tags) if tags.startswith("[") else re.split(r"[\s,]+", tags)
    return Code(directive.body.rstrip("\n"), tuple(tag for tag in tags if tag))


def _formula(block: Block) -> list[Edit]:
    number = block.place.number() if block.token.info else 0
    return block.becomes(display(block.token.content, number, block.inside("$$")), "$$")


def _environment(block: Block) -> list[Edit]:
    content = block.token.content
    end = block.start + content.count("\n") + 1
    return block.becomes(environment(content, block.inside("\\begin")), "\\begin", end)


def _nothing(block: Block) -> list[Edit]:
    return [Edit(block.start, block.end, [])]


def _comment(block: Block) -> list[Edit]:
    code = own_text(block.token.content, block.place) if block.is_top else None
    return block.becomes_piece(code) if code else _nothing(block)


def _cut(block: Block) -> list[Edit]:
    return block.becomes_piece(Cut())


def _html(block: Block) -> list[Edit]:
    check_html(block.token.content, block.place)
    return []


def _substitution(block: Block) -> list[Edit]:
    place = block.place
    return block.becomes(markdown(substitution(block.token.content, place), place))


def _table(block: Block) -> list[Edit]:
    return block.becomes(table(block.tokens[block.index : block.last], block.origin))


def _definition_list(block: Block) -> list[Edit]:
    tokens = block.tokens[block.index : block.last + 1]
    # The end of a definition list is that of its last definition, trailing blanks apart.
    end = max(token.map[1] for token in tokens if token.map)
    while end > block.start and not block.lines[end - 1].strip(" >"):
        end -= 1
    return block.becomes(definition_list(tokens, block.lines, block.origin, markdown), None, end)


def _footnote(block: Block) -> list[Edit]:
    end = max(t.map[1] for t in block.tokens[block.index : block.last + 1] if t.map)
    first = re.sub(r"^\s*\[\^[^\]]+\]:\s*", "", block.lines[block.start])
    rest = textwrap.dedent("\n".join(block.lines[block.start + 1 : end]))
    lines = markdown(f"{first}\n{rest}".strip(), block.place)
    block.place.page.note_texts[block.token.meta["label"]] = "\n".join(lines)
    return [Edit(block.start, end, [])]


READ: dict[str, Callable[[Block], list[Edit]]] = {
    "inline": _paragraph,
    "fence": _fence,
    "colon_fence": _fence,
    "math_block": _formula,
    "math_block_label": _formula,
    "amsmath": _environment,
    "front_matter": _nothing,
    "myst_target": _nothing,
    "myst_line_comment": _comment,
    "myst_block_break": _cut,
    "html_block": _html,
    "substitution_block": _substitution,
    "table_open": _table,
    "dl_open": _definition_list,
    "footnote_reference_open": _footnote,
}
