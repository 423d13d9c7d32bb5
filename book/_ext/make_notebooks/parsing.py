"""MyST's own parser, made to tell where in its source every inline token came from.

What needs no translation can then be copied letter for letter, in place of being written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

__all__ = ["closing", "parser_of"]

# How many characters stand before the bracket that opens each of these.
BEFORE_BRACKET = {"link": 0, "image": 1, "span": 0}


def parser_of(extensions: Iterable[str]) -> MarkdownIt:
    """Return MyST's parser, made to record where in its source every inline token came from.

    Parameters
    ----------
    extensions : iterable of str
        MyST's, as in ``myst_enable_extensions``.

    Returns
    -------
    MarkdownIt
        Its inline tokens hold in ``meta`` the ``span`` that they take up in the source, what part
        of it stands in their ``brackets`` and, where they have any, the ``attrs`` behind them.
    """
    config = MdParserConfig(enable_extensions=set(extensions), dmath_double_inline=True)
    md = create_md_parser(config, RendererHTML)
    for rule in md.inline.ruler.__rules__:
        rule.fn = _recording(rule.name, rule.fn)
    md.inline.ruler.__cache__ = None
    return md


def _recording(name: str, rule: Callable[..., bool]) -> Callable[..., bool]:
    opening = BEFORE_BRACKET.get(name)

    def recorded(state: Any, silent: bool) -> bool:
        start, count, label_end = state.pos, len(state.tokens), -1
        if opening is not None and not silent and state.src[start + opening :].startswith("["):
            label_end = state.md.helpers.parseLinkLabel(state, start + opening, name != "image")
        done = rule(state, silent)
        if done and not silent:
            new = state.tokens[count:]
            if name == "emphasis":
                # One token each marker of a run, behind the text before them.
                for at, token in enumerate(reversed(new)):
                    token.meta["span"] = (state.pos - at - 1, state.pos - at)
            for token in new:
                token.meta.setdefault("span", (start, state.pos))
                token.meta.setdefault("brackets", (start + (opening or 0) + 1, label_end))
            if name == "attr":
                state.tokens[-1].meta["attrs"] = (start, state.pos)
        return done

    return recorded


def closing(tokens: list[Token], start: int) -> int:
    """Return the index of the token that closes ``tokens[start]``; its own if it opens nothing."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += tokens[index].nesting
        if depth <= 0:
            return index
    raise AssertionError("the parser's tokens are balanced")
