"""The library's version: one number in three places, and a history that ends with it."""

import re
import tomllib
from pathlib import Path

import attn_lib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_package_knows_its_version():
    assert attn_lib.__version__ == PROJECT["version"]


def test_the_changelog_tells_every_version_newest_first():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    listed = re.findall(r"(?m)^## (\d+\.\d+\.\d+) · \d{4}-\d\d-\d\d$", text)
    assert listed[0] == PROJECT["version"]
    assert listed == sorted(listed, key=lambda x: [*map(int, x.split("."))], reverse=True)
    assert re.search(r"(?m)^## Unreleased$", text).start() < text.index(f"## {listed[0]}")


def test_the_changelog_names_the_floors_of_the_package():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (torch,) = (x for x in PROJECT["dependencies"] if x.startswith("torch"))
    assert f"`{torch}`, Python {PROJECT['requires-python'].removeprefix('>=')}" in text
