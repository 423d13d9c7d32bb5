"""Public addresses stay: those of pages, headings, equations, functions and explorers' states."""

from pathlib import Path

import addresses
import pytest
from prerequisites import built_book

from attn_lib import explorers

pytestmark = pytest.mark.book


@pytest.fixture(scope="module")
def there() -> set[str]:
    built_book()
    return addresses.built()


def test_no_address_is_gone(there: set[str]) -> None:
    gone = sorted(addresses.listed() - there)
    assert not gone, f"keep each as a label, (old-name)=, on the line before its place: {gone}"


def test_every_address_is_listed(there: set[str]) -> None:
    new = sorted(there - addresses.listed())
    assert not new, f"python -m tests.addresses adds {new}"


def test_a_page_tells_its_addresses(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text(
        '<section id="one"><span id="id7"></span><span id="old"></span><h1>One</h1>'
        '<div class="math math-block" id="equation-x"></div>'
        '<div class="attn-explorer" data-explorer="LSHCircle"><span id="within"></span></div>'
        '<div class="attn-explorer" data-explorer="LSHCircle"></div></section>',
        encoding="utf-8",
    )
    found = addresses.built(tmp_path)
    assert {f"index.html#{name}" for name in ("one", "old", "equation-x")} < found
    assert {"index.html", "index.html#lsh-circle.rounds", "index.html#lsh-circle-2.turn"} < found
    assert not {"index.html#id7", "index.html#within"} & found
    points = explorers.LSHCircle.controls()["points"].spec()["options"]
    assert {f"index.html#lsh-circle.points={value}" for value in points} < found
