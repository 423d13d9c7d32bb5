"""Every mutant of `mutants.py` must fail a test: each is tried in the soak."""

import os
import subprocess
import sys
from pathlib import Path

import mutants
import pytest

from attn_lib.catalog import MECHANISMS


@pytest.mark.parametrize("name", [mechanism.name for mechanism in MECHANISMS])
def test_every_mechanism_has_four_mutants(name):
    assert len([mutant for mutant in mutants.MUTANTS if mutant.mechanism == name]) >= 4
    assert name in set(mutants.TESTS), "TESTS in tests/mutants.py says which tests are its own"


def test_each_mutant_has_a_place():
    package = mutants.ROOT / "attn_lib"
    for mutant in mutants.MUTANTS:
        text = (package / mutant.file).read_text(encoding="utf-8")
        assert text.count(mutant.old) == 1, mutant
        assert mutant.old != mutant.new


@pytest.mark.soak
@pytest.mark.parametrize("name", [mechanism.name for mechanism in MECHANISMS])
def test_no_mutant_survives(name):
    done = subprocess.run(
        [sys.executable, str(Path(mutants.__file__)), name],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
