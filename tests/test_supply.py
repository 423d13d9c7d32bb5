"""What is installed is what was chosen: every package pinned, and every file by its hash."""

import importlib.metadata
import re
import shlex
import tarfile
from pathlib import Path

import builds
import pytest
import yaml

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ("requirements.txt", "requirements-no-deps.txt")
# What an environment has before its first package, and what torch brings for a platform.
OUTSIDE = {"pip", "setuptools", "attn-lib"}
PLATFORM = re.compile(r"(nvidia|cuda|triton)\b.*")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RECIPES = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
RUNS = re.findall(r"\$\(RUN\) -m pytest\b([^;&\n]*)", RECIPES)


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """Return the version of every package that the requirements name."""
    lines = [
        line.partition(";")[0].strip()
        for name in REQUIREMENTS
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    found = [line.split("==") for line in lines]
    assert all(len(pair) == 2 for pair in found), "each line is name==version"
    return {canonical(name): version for name, version in found}


def locked() -> dict[str, tuple[str, list[str]]]:
    """Return the version and the hashes of every package in the lock."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace(" \\\n", " ")
    found = {}
    for line in text.splitlines():
        pin, *hashes = line.split(" --hash=")
        name, version = pin.partition(";")[0].strip().split("==")
        found[canonical(name)] = (version, hashes)
    return found


def test_the_lock_has_what_the_requirements_pin_but_torch() -> None:
    wanted = pinned()
    del wanted["torch"]
    assert {name: version for name, (version, _) in locked().items()} == wanted


def test_every_locked_package_has_hashes() -> None:
    for name, (_, hashes) in locked().items():
        assert hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), name


def test_nothing_is_installed_that_is_not_pinned() -> None:
    wanted = pinned()
    for found in importlib.metadata.distributions():
        name = canonical(found.metadata["Name"])
        if name in OUTSIDE or PLATFORM.fullmatch(name):
            continue
        assert name in wanted, f"{name} {found.version} is pinned nowhere"
        assert found.version.partition("+")[0] == wanted[name], name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_little_and_not_for_long(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 180, name
        more = {"pages": "write", "id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == more, name
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@(v\d+|[0-9a-f]{40})", step["uses"]), step
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("words", RUNS)
def test_every_run_of_the_tests_has_this_projects_options(words: str) -> None:
    """Pytest takes the name of any file that exists for tests, and then looks for no others."""
    words = (
        words.replace("$(JOBS)", "1")
        .replace("$(ARGS)", "")
        .replace("_build/soak.json", "package.json")
    )
    shown = builds.run(["python", "-m", "pytest", *shlex.split(words), "--help"], ROOT).stdout
    assert "--report=FILE" in shown


def test_both_distributions_are_the_same_from_every_build(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "an other" / "书"
    build = ["python", "-m", "hatchling", "build", "--directory"]
    for folder, moment in ((one, builds.SOME_DAY), (other, builds.SOME_DAY + 10**8)):
        builds.copy(folder, moment)
        builds.run([*build, "dist", "--target", "sdist", "--target", "wheel"], folder)
    first, second = (builds.sums(folder / "dist") for folder in (one, other))
    assert len(first) == 2
    assert first == second
    # The library that pip makes of the source is the one in the wheel.
    (source,) = (one / "dist").glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (folder,) = (tmp_path / "source").iterdir()
    builds.run([*build, "dist", "--target", "wheel"], folder)
    again = builds.sums(folder / "dist")
    assert again == {name: digest for name, digest in first.items() if name.endswith(".whl")}
