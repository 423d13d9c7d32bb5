"""A made-up language: every letter of a message gives way to one that looks like it."""

import re

LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "αḃċđéƒğħíĵķłḿñøρʠřšťúνẁχýžÀΒÇĐÉƑĞĦÎĴĶĹΜŃØΡǪŘŠŤÛṼẀΧΥŽ",
        strict=True,
    )
)


def in_lookalikes(message: str) -> str:
    """Return `message` in the made-up language, its holes and its formulas as they are."""
    pieces = re.split(r"(\$(?:[^$\\]|\\.)+\$|\{\w+\})", message)
    return "".join(
        piece if number % 2 else "".join(LETTERS.get(char, char) for char in piece)
        for number, piece in enumerate(pieces)
    )
