"""The package as a user's type checker sees it, and as it is packed."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import attn_lib

ROOT = Path(__file__).parents[1]
USER = ROOT / "tests" / "typing" / "user.py"


def test_a_users_file_is_checked_strictly(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "empty.ini").write_text("[mypy]\n", encoding="utf-8")
    options = ["--strict", "--config-file", "empty.ini", "--cache-dir", "cache"]
    library = str(Path(attn_lib.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "user.py"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": library},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_users_file_names_all_that_the_package_exports() -> None:
    text = USER.read_text(encoding="utf-8")
    assert [name for name in attn_lib.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_the_wheel_says_that_it_is_typed(tmp_path: Path) -> None:
    code = (
        "import sys; from hatchling.builders.wheel import WheelBuilder;"
        "print(next(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=['standard'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    with zipfile.ZipFile(done.stdout.split()[-1]) as wheel:
        assert "attn_lib/py.typed" in wheel.namelist()
