"""The first cell of every notebook: it sees to the library, with nothing of ours to lean on yet."""

from __future__ import annotations

from .book import Book

__all__ = ["install"]

# Colab's torch and NumPy are built for its machine, and a kernel that has loaded one cannot change
# it: pip is told to keep exactly those. The archive of the repository needs no git.
CELL = """\
# {clone_or_else}
import importlib.metadata, importlib.util, subprocess, sys
from pathlib import Path

address = "{address}"
here = Path.cwd()
clone = next((f for f in (here, *here.parents) if (f / "attn_lib" / "catalog.py").is_file()), None)
if clone:
    sys.path.insert(0, str(clone))
try:
    import attn_lib.explorers, attn_lib.figures
except ImportError:
    print("{adding}")
    wanted = [f"attn_lib @ {{address}}"]
    if clone:
        import tomllib
        project = tomllib.loads((clone / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted = project["dependencies"]
    kept = [x for x in ("torch", "numpy") if importlib.util.find_spec(x)]
    wanted += [f"{{x}}=={{importlib.metadata.version(x)}}" for x in kept]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *wanted]
    done = subprocess.run(pip, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        raise ImportError(f\"\"\"{{done.stderr.strip()}}
{offline}\"\"\") from None
    importlib.invalidate_caches()
    import attn_lib.explorers, attn_lib.figures
print("{library}", Path(attn_lib.__file__).parent)"""


def install(book: Book) -> str:
    """Return the source of a cell that finds the library, or lets pip fetch it.

    It takes the library of the clone that the notebook lies in, else the one that is installed,
    else the repository's.
    """
    words = book.words
    return CELL.format(
        address=book.addresses.archive,
        clone_or_else=words.clone_or_else,
        adding=words.adding,
        offline=words.offline.format(command='pip wheel -w wheels "attn_lib @ {address}"'),
        library=words.library,
    )
