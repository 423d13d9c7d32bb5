"""Who made what, under which licence, and how to cite it: nothing shown is left out."""

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from prerequisites import built_book

ROOT = Path(__file__).parents[1]
LICENCES = (ROOT / "LICENSES.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"[\w.-]+\.\w+", LICENCES))


def test_every_kept_file_of_data_has_a_licence() -> None:
    folder = ROOT / "attn_lib" / "data"
    kept = {line.split()[1] for line in (folder / "SHA256SUMS").read_text("utf-8").splitlines()}
    assert len(kept) > 6
    assert kept <= NAMED


@pytest.mark.book
def test_every_file_that_a_page_loads_has_a_licence() -> None:
    html = built_book()
    own = {".html", ".ipynb", ".inv", ".buildinfo", ".pdf", ".zip"}
    shown = {
        path.name
        for path in html.rglob("*")
        if path.is_file() and path.suffix not in own and path.name != ".buildinfo"
    }
    assert len(shown) > 10
    assert shown <= NAMED


def test_the_citation_keeps_to_its_schema_and_to_the_project() -> None:
    citation = yaml.load((ROOT / "CITATION.cff").read_text(encoding="utf-8"), yaml.BaseLoader)
    package = importlib.metadata.distribution("cffconvert")
    schema = Path(str(package.locate_file("cffconvert/schemas/1.2.0/schema.json")))
    jsonschema.validate(citation, json.loads(schema.read_text(encoding="utf-8")))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(citation | {"licence": "MIT"}, json.loads(schema.read_text("utf-8")))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert citation["title"].startswith(config["title"])
    assert [author["name"] for author in citation["authors"]] == [config["author"]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {citation['version']} · {citation['date-released']}" in changes
