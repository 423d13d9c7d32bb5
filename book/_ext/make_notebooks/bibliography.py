"""Citations become links to the paper, and a page's end lists the works that it cites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pybtex.database import Entry, Person
from pybtex.richtext import Text as LatexText

from .book import Place
from .lines import one_line
from .words import Words

__all__ = ["citation", "works"]


def citation(style: str, keys: str, place: Place) -> str:
    """Return the citation of one work or several, and note that the page cites them.

    Parameters
    ----------
    style : str
        ``"p"`` for one in parentheses, ``"t"`` for one that is part of the sentence.
    keys : str
        The keys of the bibliography, with commas between them.
    place : Place
        Where the citation stands.

    Raises
    ------
    SourceError
        If the bibliography has no such work, or the style no translation.
    """
    if style not in ("p", "t"):
        raise place.error(f"no translation for the role {{cite:{style}}}")
    words, parts = place.book.words, []
    for key in (key.strip() for key in keys.split(",")):
        if key not in place.book.entries:
            raise place.error(f"the bibliography has no {key!r}")
        if key not in place.page.cited:
            place.page.cited.append(key)
        entry = place.book.entries[key]
        names = _short_names(entry.persons.get("author", []), words)
        year = entry.fields["year"]
        form = words.cited_in_text if style == "t" else words.cited
        text = form.format(names=names, year=year)
        address = _address(entry)
        parts.append(f"[{text}]({address})" if address else text)
    if style == "t":
        return words.between_cited_in_text.join(parts)
    return words.all_cited.format(cited=words.between_cited.join(parts))


def works(cited: Iterable[str], entries: Mapping[str, Entry], words: Words) -> list[str]:
    """Return the list of the works cited, by their authors' names."""
    return [
        f"- {_full_entry(entry, words)}"
        for entry in sorted((entries[key] for key in cited), key=_sort_key)
    ]


def _plain(latex: str) -> str:
    return one_line(str(LatexText.from_latex(latex)))


def _last_name(person: Person) -> str:
    return _plain(" ".join([*person.prelast_names, *person.last_names]))


def _whole_name(person: Person) -> str:
    given = [*person.first_names, *person.middle_names]
    return _plain(" ".join([*given, *person.prelast_names, *person.last_names]))


def _short_names(people: list[Person], words: Words) -> str:
    names = [_last_name(person) for person in people]
    if len(names) > 2 or names[1:] == ["others"]:
        return words.more_authors.format(first=names[0])
    return _joined(names, words)


def _joined(names: list[str], words: Words) -> str:
    if len(names) < 2:
        return "".join(names)
    return words.two_authors.format(first=", ".join(names[:-1]), last=names[-1])


def _sort_key(entry: Entry) -> tuple[list[str], str]:
    return [_last_name(p).lower() for p in entry.persons.get("author", [])], entry.fields["year"]


def _address(entry: Entry) -> str:
    if entry.fields.get("eprint"):
        return f"https://arxiv.org/abs/{entry.fields['eprint']}"
    if entry.fields.get("doi"):
        return f"https://doi.org/{entry.fields['doi']}"
    return str(entry.fields.get("url", ""))


def _full_entry(entry: Entry, words: Words) -> str:
    names = [_whole_name(person) for person in entry.persons.get("author", [])]
    if names[-1:] == ["others"]:
        people = words.all_authors.format(most=", ".join(names[:-1]))
    else:
        people = _joined(names, words)
    fields = entry.fields
    venue = fields.get("journal") or fields.get("booktitle") or fields.get("howpublished") or ""
    where = ", ".join(filter(None, [_plain(venue), fields.get("volume", ""), fields["year"]]))
    address = _address(entry)
    label = f"arXiv:{fields['eprint']}" if fields.get("eprint") else address
    link = f" [{label}]({address})." if address else ""
    return f"{people}. *{_plain(fields['title'])}*. {where}.{link}"
