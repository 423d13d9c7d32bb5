"""Every word that the PDF adds to the book's pages, in each of its languages."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["UNFOLDED_LAST", "words_of"]

UNFOLDED_LAST = ("Answer", "Solution", "Hint", "Which", "答案", "解答", "提示", "哪")
"""How the title of a fold begins that gives an answer away."""

WORDS = {
    "en": {
        "contents": "Contents",
        "answers": "Answers and solutions",
        "question": "Question {number}",
        "reply": "Reply",
        "solution": "Solution",
        "page": "page",
        "right": "right",
        "other": "Any other number",
        "set to": "Set to",
        "here": "Alive at",
        "live": "The same book with pictures that move: {address}",
    },
    "zh": {
        "contents": "目录",
        "answers": "答案与解答",
        "question": "问题 {number}",
        "reply": "回应",
        "solution": "解答",
        "page": "第",
        "right": "对",
        "other": "其他任何数",
        "set to": "设置",
        "here": "可操作的图",
        "live": "本书的交互版：{address}",
    },
}


def words_of(language: str) -> Mapping[str, str]:
    """Return the words of a language; English where the book has none of its own."""
    return WORDS.get(language[:2], WORDS["en"])
