"""What a translation into Chinese must keep, and how it is set: rules that ask for no judgement.

``python -m book._ext.translation_rules book/04-reformer`` names what a file of translations breaks
of them. Formulas, code, roles, targets of links and numbers are the same as in English. No space
stands beside Chinese, since the style sheet makes it; no half-width mark follows it. Terms have the
form of the glossary. Whether a sentence means what it should, only readers can say.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "book" / "locale"
LANGUAGE = "zh_CN"
STAYS = "stays"
"""A translator's comment: this message is the same in both languages."""

ROLE = re.compile(r"\{(?P<role>[\w:-]+)\}`(?P<inside>[^`]*)`")
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
CODE = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)")
LINK = re.compile(
    r"\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]*(?:\([^()]*\)[^()\s]*)*)\)"
)
TITLED = re.compile(r"(?s)(?P<title>.*?)\s*<(?P<target>[^<>]+)>")
HOLE = re.compile(r"\{\w*\}")
LIVE_HOLE = re.compile(r"\{[a-z]+\}(?!`)")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
BOLD = re.compile(r"\*\*[^*]+\*\*")
HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
WIDE = HAN + r"，。；：？！、（）《》“”‘’—…"
SPACED = re.compile(rf"[{HAN}，。；：？！、（）《》]\s|\s[{HAN}，。；：？！、（）《》]")
SLOPED = re.compile(r"\*([^*]+)\*")
HALF_WIDTH = re.compile(rf"[{HAN}][,.;:?!()\"']")
# What is said by the text of a role, and not by its target.
SAID = frozenset({"downloads"})
PLACEHOLDER = "\ufffc"


@dataclass(frozen=True)
class Parts:
    """What a message holds beside its words; what is left of it has marks in its place.

    Attributes
    ----------
    held : Counter
        Pairs of a kind and what was found of it.
    titles : list of (str, str)
        Targets of ``{term}``, and what is said of each.
    words : str
        The message with a placeholder for each formula, code span and role.
    """

    held: Counter[tuple[str, str]]
    titles: list[tuple[str, str]]
    words: str


def parts(message: str) -> Parts:
    """Take a message of MyST apart."""
    held: Counter[tuple[str, str]] = Counter()
    titles: list[tuple[str, str]] = []

    def role(found: re.Match[str]) -> str:
        name, inside = found["role"], found["inside"]
        titled = TITLED.fullmatch(inside)
        title, target = (titled["title"], titled["target"]) if titled else (inside, inside)
        if name in SAID:
            held[f"role {name}", ""] += 1
            return inside
        if name == "term":
            target = " ".join(target.lower().split())
            titles.append((target, title))
        held[f"role {name}", target] += 1
        return title if titled else PLACEHOLDER

    def formula(found: re.Match[str]) -> str:
        held["formula", found[0]] += 1
        return PLACEHOLDER

    def code(found: re.Match[str]) -> str:
        held["code", found["code"]] += 1
        return PLACEHOLDER

    def link(found: re.Match[str]) -> str:
        held["link", found["target"]] += 1
        return found["text"]

    # Roles before code, code before formulas: each may hold what looks like the next.
    words = LINK.sub(link, FORMULA.sub(formula, CODE.sub(code, ROLE.sub(role, message))))
    for number in NUMBER.findall(words):
        held["number", number] += 1
    return Parts(+held, titles, words)


def unequal(english: str, chinese: str) -> Iterator[str]:
    """Say what a translation holds otherwise than its source."""
    source, target = parts(english).held, parts(chinese).held
    for kind, what in sorted((source - target).keys()):
        yield f"lacks the {kind} {what}".rstrip()
    for kind, what in sorted((target - source).keys()):
        yield f"has a {kind} that the English has not: {what}".rstrip(": ")
    # What leads in may be in italics in English, and is bold in Chinese.
    words = parts(english).words
    bold = len(BOLD.findall(words))
    sloped = len(SLOPED.findall(BOLD.sub("", words)))
    found = len(BOLD.findall(parts(chinese).words))
    if not bold <= found <= bold + sloped:
        yield f"has {found} bold parts, not {bold}"


def badly_set(chinese: str) -> Iterator[str]:
    """Say where spaces and marks of a translation are not set as Chinese ones."""
    words = parts(chinese).words.replace("*", "")
    for found in SPACED.finditer(words):
        yield f"a space beside Chinese: {_around(words, found)}"
    for found in HALF_WIDTH.finditer(words):
        yield f"a half-width mark after Chinese: {_around(words, found)}"
    for found in SLOPED.finditer(parts(chinese).words.replace("**", "")):
        if re.search(f"[{HAN}]", found[1]):
            yield f"Chinese in italics: {found[0]!r}"
    if "\n" in chinese:
        yield "a line break"


def _around(words: str, found: re.Match[str]) -> str:
    return repr(words[max(0, found.start() - 6) : found.end() + 6])


@dataclass(frozen=True)
class Term:
    """A term as a translation says it, and whether its English comes with it at first."""

    chinese: str
    with_english: bool


def table(text: str) -> Iterator[list[str]]:
    """Yield the cells of every row of a document's Markdown tables."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def terms(base: Path = LOCALE / "terms.md") -> dict[str, Term]:
    """Return the glossary's terms by their English names, as the term base has them."""
    found = {}
    for cells in table(base.read_text(encoding="utf-8").split("\n## 2.")[0]):
        if len(cells) >= 6 and cells[0] != "English":
            for name in cells[0].split(" / "):
                found[name.lower()] = Term(cells[1], cells[2].startswith("first"))
    return found


def forbidden(words: Path = LOCALE / LANGUAGE / "avoid.txt") -> dict[str, str]:
    """Return the renderings that no translation has, and what is written instead."""
    found = {}
    for line in words.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            avoided, _, instead = line.partition("→")
            found[avoided.strip()] = instead.strip()
    return found


def bare(text: str) -> str:
    """Return a text without spaces: where they stand is another rule's."""
    return "".join(text.split())


def wrong_terms(chinese: str, base: Mapping[str, Term], avoid: Mapping[str, str]) -> Iterator[str]:
    """Say which terms of a translation have another form than the term base gives them."""
    for target, title in parts(chinese).titles:
        known = base.get(target)
        if known and bare(re.split("[；，（]", known.chinese)[0]) not in bare(title):
            yield f"the term {target!r} is said {title!r}, not {known.chinese!r}"
    words = parts(chinese).words
    for word, instead in avoid.items():
        if word in words:
            yield f"{word!r}, where the term base has {instead!r}"


def without_english(page: Iterable[str], base: Mapping[str, Term]) -> Iterator[str]:
    """Say which terms stand on a page with no English beside them at their first place."""
    introduced: list[str] = []
    seen: set[str] = set()
    for chinese in page:
        introduced += re.findall(r"（([^（）]*)）", chinese.replace("*", ""))
        for target, _ in parts(chinese).titles:
            if target in seen or target not in base or not base[target].with_english:
                continue
            seen.add(target)
            stem = target.rstrip("s")
            if not any(stem in said.lower() for said in introduced):
                yield f"the term {target!r} comes first without its English in brackets"


def of_message(
    message: Message, base: Mapping[str, Term], avoid: Mapping[str, str], holes: bool = False
) -> Iterator[str]:
    """Say what is wrong with one message of a catalogue.

    Parameters
    ----------
    message : babel.messages.catalog.Message
    base, avoid
        What `terms` and `forbidden` return.
    holes : bool
        Whether braces are holes that something is put in, as in explorers and figures.
    """
    english = message.id if isinstance(message.id, str) else message.id[-1]
    chinese = chinese_of(message)
    if message.fuzzy:
        yield "is fuzzy: its English has changed; read it, and take the mark away"
    if not chinese:
        yield "has no translation"
        return
    if chinese == english:
        if STAYS not in message.user_comments:
            yield f"is its English; where that is right, `# {STAYS}` says so"
        return
    if holes or LIVE_HOLE.search(FORMULA.sub("", english)):
        source, target = (Counter(HOLE.findall(text)) for text in (english, chinese))
        if source != target:
            yield f"has other holes: {sorted(target)}, not {sorted(source)}"
        english, chinese = (HOLE.sub(PLACEHOLDER, text) for text in (english, chinese))
    yield from unequal(english, chinese)
    yield from badly_set(chinese)
    yield from wrong_terms(chinese, base, avoid)


def path(domain: str) -> Path:
    """Return the file of a domain's translations."""
    return LOCALE / LANGUAGE / "LC_MESSAGES" / f"{domain}.po"


def load(domain: str) -> Catalog:
    """Return a domain's translations."""
    with path(domain).open("rb") as file:
        return read_po(file, locale=LANGUAGE, abort_invalid=True)


def translated_pages() -> dict[str, str]:
    """Return the English source of every page that is translated, by its name."""
    folder = LOCALE / LANGUAGE / "LC_MESSAGES"
    names = [file.relative_to(folder).with_suffix("") for file in sorted(folder.glob("*/*.po"))]
    return {name.as_posix(): (ROOT / f"{name}.md").read_text("utf-8") for name in names}


def is_shown(message: Message, pages: Mapping[str, str]) -> bool:
    """Say whether pages show what an explorer or a figure says: it is English on all others."""
    files = [Path(file) for file, _ in message.locations]
    explorers = [file.stem.replace("_", "") for file in files if file.suffix == ".py"]
    calls = {name.lower() for text in pages.values() for name in re.findall(r"(\w+)\(", text)}
    named = [file.with_suffix("").as_posix() for file in files if file.suffix == ".md"]
    return not files or not calls.isdisjoint(explorers) or not pages.keys().isdisjoint(named)


def english_of(message: Message) -> str:
    """Return the English of a message; the singular, where it has two forms."""
    return message.id if isinstance(message.id, str) else message.id[0]


def chinese_of(message: Message) -> str:
    """Return the translation of a message: Chinese has one form for all numbers."""
    return message.string if isinstance(message.string, str) else message.string[0]


def of_domain(domain: str, catalogue: Catalog | None = None) -> Iterator[str]:
    """Say what is wrong with a domain's translations, each with its message."""
    catalogue, base, avoid = catalogue or load(domain), terms(), forbidden()
    is_page = "/" in domain
    pages = {} if is_page else translated_pages()
    messages = [
        message
        for message in catalogue
        if message.id and (is_page or chinese_of(message) or is_shown(message, pages))
    ]
    for message in messages:
        for fault in of_message(message, base, avoid, holes=not is_page):
            yield f"{domain}: {shortened(english_of(message))} {fault}"
    for old in catalogue.obsolete:
        english = old if isinstance(old, str) else old[0]
        yield f"{domain}: {shortened(english)} is said no more: take it out"
    if is_page:
        said = [str(message.string) for message in messages]
        yield from (f"{domain}: {fault}" for fault in without_english(said, base))


def drift(domain: str, english: Iterable[str], catalogue: Catalog | None = None) -> Iterator[str]:
    """Say which messages of a page have changed since it was translated.

    Parameters
    ----------
    domain : str
    english : iterable of str
        What the page says now.
    """
    known = {english_of(message) for message in catalogue or load(domain) if message.id}
    now = dict.fromkeys(english)
    gone = [message for message in known if message not in now]
    for message in now:
        if message in known:
            continue
        near = difflib.get_close_matches(message, gone, n=1)
        was = f"; it was {shortened(near[0], message)}" if near else ""
        yield f"{domain}: {shortened(message, near[0] if near else '')} is new{was}"
        gone = [one for one in gone if one not in near]
    for message in gone:
        yield f"{domain}: {shortened(message)} is said no more"


def shortened(text: str, other: str = "") -> str:
    """Return a text as a line shows it: from shortly before where it differs from another."""
    both = enumerate(zip(text, other, strict=False))
    start = max(0, next((k for k, (one, two) in both if one != two), 0) - 20)
    part = text[start : start + 70]
    return f"{'…' if start else ''}{part}{'…' if start + 70 < len(text) else ''}".join("“”")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is wrong with the domains that the command line names."""
    faults = [fault for domain in arguments or sys.argv[1:] for fault in of_domain(domain)]
    print("\n".join(faults) or "nothing to mend")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
