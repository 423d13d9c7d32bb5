"""Break the library on purpose, one line at a time, and see that a test notices.

Run as a script: ``python tests/mutants.py [mechanism ...]``. Every mutant changes one line in a
copy of the package, on which the mechanism's tests then run in a process of their own. A mutant
that no test fails is a hole in the tests, and the script ends with status 1. The tests run on an
unchanged copy first, which must pass.

A new mechanism adds four rows to `MUTANTS` (flip the mask, shift the diagonal, drop the scale,
change the pattern or the feature map) and one to `TESTS`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

__all__ = ["MUTANTS", "TESTS", "Mutant", "run", "survivors"]

ROOT = Path(__file__).resolve().parent.parent


class Mutant(NamedTuple):
    """One change: in `file` of the package the text `old`, found once, becomes `new`."""

    mechanism: str
    name: str
    file: str
    old: str
    new: str


LONG = "mechanisms/longformer.py"
PARTS = "numerics/parts.py"
SOFTMAX = "mechanisms/softmax.py"
SPARSE = "mechanisms/sparse_transformer.py"
EXPLICIT = "mechanisms/explicit_sparse.py"
REFORMER = "mechanisms/reformer.py"
ROUNDS = "numerics/rounds.py"
LINFORMER = "mechanisms/linformer.py"
LUNA = "mechanisms/luna.py"
PERFORMER = "mechanisms/performer.py"
EFFICIENT = "mechanisms/efficient.py"
LINEAR = "mechanisms/linear_transformer.py"
COSFORMER = "mechanisms/cosformer.py"
MUTANTS = (
    Mutant("softmax", "flip the mask", SOFTMAX, "allowed & key_mask[", "allowed & ~key_mask["),
    Mutant("softmax", "shift the diagonal", "masks.py", "kv_idx <= q_idx", "kv_idx < q_idx"),
    Mutant("softmax", "drop the scale", SOFTMAX, "float(q.shape[-1] ** -0.5)", "1.0"),
    Mutant("softmax", "change the pattern", SOFTMAX, "allowed & mask", "allowed | mask"),
    Mutant("softmax", "forget causality", SOFTMAX, "is_causal=causal", "is_causal=False"),
    Mutant(
        "softmax",
        "average where nothing is allowed",
        "numerics/masked.py",
        "return weights.masked_fill(~allowed.any(dim=-1, keepdim=True), 0.0)",
        "return weights",
    ),
    Mutant("sparse_transformer", "flip the mask", PARTS, "real[:, chosen]", "~real[:, chosen]"),
    Mutant("sparse_transformer", "shift the diagonal", SPARSE, "places.triu()", "places.triu(1)"),
    Mutant(
        "sparse_transformer",
        "drop the scale",
        SPARSE,
        "k.shape[2], q.shape[-1] ** -0.5",
        "k.shape[2], 1.0",
    ),
    Mutant(
        "sparse_transformer",
        "change the pattern",
        SPARSE,
        "position % stride >= stride - summary",
        "position % stride < summary",
    ),
    Mutant("sparse_transformer", "count a key twice", SPARSE, "beyond = 2", "beyond = 1"),
    Mutant(
        "sparse_transformer",
        "give the odd head to the summary",
        SPARSE,
        "half = -(-q.shape[1] // 2)",
        "half = q.shape[1] // 2",
    ),
    Mutant(
        "sparse_transformer",
        "lose a term of the gradient",
        PARTS,
        "grad_scores.sub_(tile.rows(inner))",
        "grad_scores",
    ),
    Mutant("explicit_sparse", "flip the mask", EXPLICIT, "~key_mask[some", "key_mask[some"),
    Mutant(
        "explicit_sparse",
        "shift the diagonal",
        EXPLICIT,
        "> position[:, None]",
        ">= position[:, None]",
    ),
    Mutant("explicit_sparse", "drop the scale", EXPLICIT, "q.to(compute) * scale", "q.to(compute)"),
    Mutant(
        "explicit_sparse",
        "keep one key fewer",
        EXPLICIT,
        "scores.flatten(0, 1), min(kept, seen)",
        "scores.flatten(0, 1), max(1, min(kept, seen) - 1)",
    ),
    Mutant("explicit_sparse", "let ties fall as they may", EXPLICIT, "if tied.any()", "if False"),
    Mutant(
        "explicit_sparse",
        "let three of a group play",
        EXPLICIT,
        "torch.arange(4, device=scores.device)",
        "torch.arange(3, device=scores.device)",
    ),
    Mutant(
        "explicit_sparse",
        "lose a term of the gradient",
        EXPLICIT,
        "(grad_share - (grad_share * share).sum(dim=-1, keepdim=True))",
        "grad_share",
    ),
    Mutant(
        "reformer",
        "flip the mask",
        REFORMER,
        "masked_fill(~key_mask[:, None, None], last)",
        "masked_fill(key_mask[:, None, None], last)",
    ),
    Mutant(
        "reformer",
        "shift the diagonal",
        ROUNDS,
        "columns[:, tile] >= rows[:, tile, piece]",
        "columns[:, tile] > rows[:, tile, piece]",
    ),
    Mutant("reformer", "drop the scale", ROUNDS, "turn.rows(q).mul_(scale)", "turn.rows(q)"),
    Mutant("reformer", "change the pattern", ROUNDS, "return min(2, self.chunks)", "return 1"),
    Mutant("reformer", "count a pair twice", ROUNDS, "nearest.le_(1)", "nearest.le_(0)"),
    Mutant("reformer", "hash into half the buckets", REFORMER, "< 0, alpha=half", "< 0, alpha=0"),
    Mutant(
        "reformer",
        "let keys grow with their length",
        ROUNDS,
        "grad_keys.sub_(keys * along)",
        "grad_keys",
    ),
    Mutant(
        "linformer",
        "flip the mask",
        LINFORMER,
        "masked_fill(~key_mask[:, None, None, :]",
        "masked_fill(key_mask[:, None, None, :]",
    ),
    Mutant(
        "linformer",
        "shift the positions",
        LINFORMER,
        "_mix(key_projection.to(compute), k)",
        "_mix(key_projection.to(compute).roll(1, -1), k)",
    ),
    Mutant("linformer", "drop the scale", LINFORMER, "mixed_v, scale=scale", "mixed_v, scale=1.0"),
    Mutant(
        "linformer",
        "change the pattern",
        LINFORMER,
        "_mix(value_projection",
        "_mix(key_projection",
    ),
    Mutant(
        "linformer",
        "let padding into the mixtures",
        LINFORMER,
        "hide_keys(v.to(compute), key_mask)",
        "v.to(compute)",
    ),
    Mutant(
        "luna",
        "flip the mask",
        "numerics/few_queries.py",
        "key_mask[:, None, None, :]",
        "~key_mask[:, None, None, :]",
    ),
    Mutant(
        "luna", "shift the diagonal", "numerics/causal_sums.py", "pairs.tril_()", "pairs.tril_(-1)"
    ),
    Mutant("luna", "drop the scale", LUNA, "(p * p.shape[-1] ** -0.5)", "p"),
    Mutant("luna", "change the feature map", LUNA, '== "elu"', '!= "elu"'),
    Mutant(
        "luna",
        "count masked keys too",
        LUNA,
        "key_mask.cumsum",
        "key_mask.new_ones(key_mask.shape).cumsum",
    ),
    Mutant(
        "luna", "unpack from P", LUNA, "attention(q_, packed, packed)", "attention(q_, p_, packed)"
    ),
    Mutant(
        "luna",
        "forget the token at hand",
        LUNA,
        "count = state.count + 1",
        "count = max(state.count, 1)",
    ),
    Mutant("longformer", "flip the mask", PARTS, "F.pad(real,", "F.pad(~real,"),
    Mutant("longformer", "shift the diagonal", LONG, "key_place <= place", "key_place < place"),
    Mutant(
        "longformer",
        "drop the scale",
        LONG,
        "q.to(compute), q.shape[-1] ** -0.5",
        "q.to(compute), 1.0",
    ),
    Mutant(
        "longformer", "change the pattern", LONG, ".abs() <= self.window", ".abs() < self.window"
    ),
    Mutant(
        "longformer",
        "count a global key twice",
        PARTS,
        "whole.index_fill(1, chosen, False)",
        "whole.clone()",
    ),
    Mutant(
        "longformer",
        "give the heads each other's dilation",
        LONG,
        "device=outs.device).argsort()]",
        "device=outs.device)]",
    ),
    Mutant(
        "longformer",
        "score global tokens with the wrong queries",
        LONG,
        "            q_global.to(compute)[:, :, hub],\n",
        "            window_q[:, :, hub],\n",
    ),
    Mutant(
        "longformer",
        "let global tokens read ahead",
        LONG,
        "allowed & (hub[:, None] >=",
        "allowed & (hub[:, None] >= 0 *",
    ),
    Mutant(
        "performer",
        "flip the mask",
        "numerics/levels.py",
        "~split(real[..., None]), -math.inf",
        "split(real[..., None]), -math.inf",
    ),
    Mutant(
        "performer",
        "shift the diagonal",
        "numerics/levels.py",
        "pairs = (phi_q @ phi_k.mT).tril_()",
        "pairs = (phi_q @ phi_k.mT).tril_(-1)",
    ),
    Mutant("performer", "drop the scale", PERFORMER, "w.shape[-1] ** -0.25", "1.0"),
    Mutant(
        "performer", "change the feature map", PERFORMER, "projected.add_(-half_norm)", "projected"
    ),
    Mutant(
        "performer",
        "keep a head's level",
        "numerics/levels.py",
        "total.mul_(factor)",
        "total.mul_(1.0)",
    ),
    Mutant(
        "performer",
        "let the future set the level",
        "numerics/levels.py",
        "levels = torch.maximum(before, logarithm[..., 0, :])",
        "levels = torch.maximum(before, tops[..., 1:, :])",
    ),
    Mutant(
        "performer",
        "forget the signs",
        "numerics/projections.py",
        ".sign()[:, None]",
        ".abs().sign()[:, None]",
    ),
    Mutant(
        "efficient",
        "flip the mask",
        EFFICIENT,
        "masked_fill(~key_mask[:, None, :, None]",
        "masked_fill(key_mask[:, None, :, None]",
    ),
    Mutant(
        "efficient", "shift the positions", EFFICIENT, "bmm(powers.mT", "bmm(powers.roll(1, 1).mT"
    ),
    Mutant("efficient", "drop the scale", EFFICIENT, "mT @ v / _count(k, key_mask)", "mT @ v"),
    Mutant(
        "efficient",
        "normalise queries over positions",
        EFFICIENT,
        "torch.softmax(q[s], dim=-1, out=mixture)\n        torch.bmm(mixture",
        "torch.softmax(q[s], dim=1, out=mixture)\n        torch.bmm(mixture",
    ),
    Mutant("efficient", "lose a term of the gradient", EFFICIENT, ".sub_(inner)", ""),
    Mutant(
        "efficient",
        "count padding too",
        EFFICIENT,
        "key_mask.sum(dim=1)",
        "torch.ones_like(key_mask).sum(dim=1)",
    ),
    Mutant(
        "linear_transformer",
        "flip the mask",
        LINEAR,
        "eps=eps, key_mask=key_mask)\n    return",
        "eps=eps, key_mask=key_mask if key_mask is None else ~key_mask)\n    return",
    ),
    Mutant(
        "linear_transformer",
        "shift the diagonal",
        "numerics/features.py",
        "pairs = (phi_q @ phi_k.mT).tril_()",
        "pairs = (phi_q @ phi_k.mT).tril_(-1)",
    ),
    Mutant(
        "linear_transformer",
        "change the feature map",
        LINEAR,
        "lambda *_: elu_plus_one",
        "lambda *_: torch.exp",
    ),
    Mutant(
        "linear_transformer",
        "drop epsilon",
        LINEAR,
        "causal=causal, eps=eps, key_mask",
        "causal=causal, key_mask",
    ),
    Mutant(
        "linear_transformer",
        "leave padding in the normaliser",
        LINEAR,
        "eps=eps, key_mask=key_mask)\n    return",
        "eps=eps)\n    return",
    ),
    Mutant(
        "linear_transformer",
        "forget the token at hand",
        LINEAR,
        "phi_q @ norm + state.eps",
        "phi_q @ state.norm + state.eps",
    ),
    Mutant(
        "cosformer",
        "flip the mask",
        COSFORMER,
        "hide_keys(k.to(compute), key_mask), hide_keys(v",
        "hide_keys(k.to(compute), key_mask if key_mask is None else ~key_mask), hide_keys(v",
    ),
    Mutant("cosformer", "shift the diagonal", COSFORMER, "similar.tril()", "similar.tril(-1)"),
    Mutant(
        "cosformer",
        "forget causality",
        COSFORMER,
        "k, v, causal=causal, eps=eps",
        "k, v, eps=eps",
    ),
    Mutant("cosformer", "change the feature map", COSFORMER, "(x.relu(), cos", "(x.exp(), cos"),
    Mutant(
        "cosformer",
        "stretch the cosine",
        COSFORMER,
        "step = math.pi / (2 * max_len)",
        "step = math.pi / (2 * max_len + 2)",
    ),
    Mutant("cosformer", "stand still", COSFORMER, "norm, place + 1", "norm, place"),
    Mutant(
        "cosformer",
        "take the last query's length for M",
        COSFORMER,
        "max(q.shape[2], k.shape[2]), max_len, eps)\n\n    compute = torch.promote_types(q.dtype,"
        " torch.float32)\n    k, v",
        "k.shape[2], max_len, eps)\n\n    compute = torch.promote_types(q.dtype,"
        " torch.float32)\n    k, v",
    ),
)
TESTS = {
    "longformer": ["tests/test_longformer.py", "tests/test_contract.py"],
    "softmax": ["tests/test_softmax.py", "tests/test_contract.py"],
    "sparse_transformer": ["tests/test_sparse_transformer.py", "tests/test_contract.py"],
    "explicit_sparse": ["tests/test_explicit_sparse.py", "tests/test_contract.py"],
    "reformer": ["tests/test_reformer.py", "tests/test_contract.py"],
    "linformer": ["tests/test_linformer.py", "tests/test_contract.py"],
    "luna": ["tests/test_luna.py", "tests/test_contract.py"],
    "performer": ["tests/test_performer.py", "tests/test_contract.py"],
    "efficient": ["tests/test_efficient.py", "tests/test_contract.py"],
    "linear_transformer": ["tests/test_linear_transformer.py", "tests/test_contract.py"],
    "cosformer": ["tests/test_cosformer.py", "tests/test_contract.py"],
}
# What is quick and telling; of the contract, the mechanism's own rows.
SELECTED = {
    "tests/test_cosformer.py": "by_hand or any_call or step or longer_of",
    "tests/test_contract.py": "{mechanism}- and masked and (weights_times or gradcheck)",
    "tests/test_longformer.py": "by_hand or projections_serve or any_call",
    "tests/test_sparse_transformer.py": "by_hand or split_gives or any_ or papers_sets and 17-",
    "tests/test_explicit_sparse.py": "by_hand or equal_scores or tournament or any_call",
    "tests/test_reformer.py": "by_hand or rounds_add_up or zero_vectors",
    "tests/test_linformer.py": "by_hand or any_lengths or papers_equation",
    "tests/test_efficient.py": "by_hand or any_call",
    "tests/test_linear_transformer.py": "by_hand or any_call or step",
    "tests/test_performer.py": "by_hand or papers_equation or any_size or reach_back or gaussian",
}


def _pytest(home: Path, mechanism: str) -> list[list[str]]:
    """Return the runs that judge a mechanism: arguments of pytest, cheapest first."""
    return [
        [
            *("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line"),
            *("--rootdir", str(home), "-c", str(home / "pyproject.toml")),
            *("-k", SELECTED.get(file, "test").format(mechanism=mechanism)),
            str(home / file),
        ]
        for file in TESTS[mechanism]
    ]


def _copy_tests(home: Path) -> None:
    """Lay the tests and their settings where no checkout can be mistaken for the copy."""
    (home / "tests").mkdir()
    for file in ROOT.glob("tests/*.py"):
        shutil.copy(file, home / "tests")
    shutil.copy(ROOT / "pyproject.toml", home)


def _judge(home: Path, shelf: Path, mechanism: str, log: Path) -> int:
    """Run the mechanism's tests on the package in `shelf`; return pytest's first non-zero status.

    Where the system can fork, the child starts with torch already loaded, which saves most of the
    time; elsewhere it is a fresh interpreter.
    """
    runs = _pytest(home, mechanism)
    if not hasattr(os, "fork"):
        code = f"import sys; sys.path.insert(0, {str(shelf)!r}); import pytest\n" + "".join(
            f"status = pytest.main({run!r})\nif status: sys.exit(int(status))\n" for run in runs
        )
        with log.open("w", encoding="utf-8") as out:
            return subprocess.run(
                [sys.executable, "-c", code], stdout=out, stderr=out, check=False, cwd=home
            ).returncode
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = _in_the_child(home, shelf, runs, log)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended)


def _in_the_child(home: Path, shelf: Path, runs: list[list[str]], log: Path) -> int:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(home)
    sys.path.insert(0, str(shelf))
    import pytest

    import attn_lib

    if Path(attn_lib.__file__).resolve().parent.parent != shelf.resolve():
        return 71
    for run in runs:
        status = int(pytest.main(run))
        if status:
            return status
    return 0


def run(mechanism: str, mutant: Mutant | None, home: Path) -> tuple[int, str]:
    """Return pytest's status on a copy with the mutant (or with none) and what it printed."""
    shelf = Path(tempfile.mkdtemp(dir=home, prefix="copy-"))
    unneeded = shutil.ignore_patterns("*.npz", "__pycache__")
    shutil.copytree(ROOT / "attn_lib", shelf / "attn_lib", ignore=unneeded)
    if mutant is not None:
        path = shelf / "attn_lib" / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise LookupError(
                f"{mutant.file} must contain {mutant.old!r} once, got {text.count(mutant.old)}"
            )
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    log = shelf / "log.txt"
    status = _judge(home, shelf, mechanism, log)
    printed = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    shutil.rmtree(shelf)
    return status, printed


def survivors(mechanisms: list[str]) -> list[str]:
    """Run every mutant of the given mechanisms; return what went otherwise than it must."""
    import torch

    torch.set_num_threads(1)
    failures = []
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary).resolve()
        _copy_tests(home)
        for mechanism in mechanisms:
            rows: list[Mutant | None] = [None]
            rows += [mutant for mutant in MUTANTS if mutant.mechanism == mechanism]
            for mutant in rows:
                name = f"{mechanism}: {mutant.name if mutant else 'unchanged'}"
                start = time.perf_counter()
                status, printed = run(mechanism, mutant, home)
                # pytest: 0 all passed, 1 some failed; anything else is no verdict.
                wanted = 0 if mutant is None else 1
                wrong = "SURVIVED" if mutant and not status else f"STATUS {status}"
                verdict = "as it must be" if status == wanted else wrong
                seconds = time.perf_counter() - start
                print(f"{name:60s} {verdict} ({seconds:.1f} s)", flush=True)
                if status != wanted:
                    failures.append(f"{name}: status {status}\n{printed[-1500:]}")
    return failures


def main(arguments: list[str]) -> int:
    """Run the mutants of the mechanisms named, or of all; return 1 if one was not noticed."""
    failures = survivors(arguments or list(TESTS))
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
