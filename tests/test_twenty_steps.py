"""A block of every mechanism trains in every way: processes, checkpoints, graphs, bfloat16."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import twenty_steps

import attn_lib
from attn_lib.catalog import MECHANISMS


def test_every_mechanism_is_tried():
    assert set(twenty_steps.LAYERS) == {one.name for one in MECHANISMS}, "tests/twenty_steps.py"


@pytest.mark.soak
def test_every_mechanism_trains_in_every_way():
    script = Path(__file__).parent / "twenty_steps.py"
    root = str(Path(attn_lib.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1 + len(MECHANISMS) * 5
