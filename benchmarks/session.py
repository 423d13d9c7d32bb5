"""The measuring loop: one row after another, its lengths ascending, written after every length."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks import record
from benchmarks.entries import fill, line_of, new_entry
from benchmarks.limits import MIN_ROUNDS, available_bytes, predict, rounds_for, steady_rounds
from benchmarks.machine import Limits, Load
from benchmarks.measure import Case, check, quartiles, timed, watched
from benchmarks.memory import OutOfMemory, measure_peak
from benchmarks.peers import BASELINE
from benchmarks.profiles import profiled, sentence
from benchmarks.spec import BATCH, HEAD_DIM, HEADS, PASSES, Absent, Implementation, Row, dense
from benchmarks.work import WORK, moved_bytes, of_pass

__all__ = ["Options", "Session"]

PROBES = (1024, 2048)
MEMORY_SHARE = 0.7
PEAK_OVER_LARGEST = 4.0
AFTER_ITSELF = 0.5
"""Seconds of a call that runs once untimed before each of its times, so that caches know it."""
ENOUGH = 0.6
"""The share of the machine's limit below which a row of ours says where its time goes."""

Key = tuple[str, str]


@dataclass(frozen=True)
class Options:
    """What to measure and how long it may take (seconds)."""

    sizes: tuple[int, ...]
    repeats: int = 9
    memory: bool = True
    limit: float = 20.0
    budget: float = 60.0
    threads: int = 1
    flags: frozenset[str] = frozenset()
    peers: bool = True


@dataclass
class _History:
    """What the smaller lengths took: seconds and bytes by length, and where the row stopped."""

    seconds: dict[int, float] = field(default_factory=dict)
    largest: dict[int, float] = field(default_factory=dict)
    peak: dict[int, float] = field(default_factory=dict)
    stopped: int | None = None


class Session:
    """Measures rows into a document; ``save`` is called whenever the document has grown."""

    def __init__(
        self,
        document: record.Document,
        run: int,
        options: Options,
        *,
        save: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.document = document
        self.run = run
        self.options = options
        self.save = save
        self.say = say
        self.wrong = False
        self._history: dict[tuple[str, str, str], _History] = {}
        self._bytes = available_bytes()
        self._spent: dict[tuple[str, int], float] = {}
        self._once: dict[tuple[int, str], float] = {}

    def measure(self, rows: Sequence[Row], *, skip_done: bool = False) -> None:
        """Check and measure every row at every length."""
        sizes = sorted(self.options.sizes)
        waiting = [(row, n) for row in rows for n in sizes]
        total = len(waiting)
        present: dict[str, list[Implementation]] = {}
        for number, (row, n) in enumerate(waiting, 1):
            name = row.mechanism
            if name not in present:
                present[name] = self._present(row)
            wanted = [(one.name, p) for one in present[name] for p in one.passes]
            if skip_done and record.is_done(
                self.document, name, n, wanted, memory=self.options.memory
            ):
                self.say(f"[{number}/{total}] {name}, n = {n}: already measured")
                for one in self.document["rows"]:
                    if (one["mechanism"], one["n"]) == (name, n):
                        self._remember(one)
                continue
            if n >= PROBES[0]:
                gc.collect()
            self.say(f"[{number}/{total}] {name}, n = {n}{self._time_left(waiting[number - 1 :])}")
            start = time.perf_counter()
            entries = self._measure_length(row, n, present[name])
            self._spent[name, n] = time.perf_counter() - start
            record.replace(self.document, name, n, entries)
            self.save()

    def weigh(self, rows: Sequence[Row]) -> None:
        """Measure again the memory of what was timed at the lengths asked for, and nothing else."""
        found = {
            (row.mechanism, one.name): (row, one) for row in rows for one in row.implementations
        }
        waiting = [
            entry
            for entry in self.document["rows"]
            if entry["status"] == "ok"
            and entry["n"] in self.options.sizes
            and (entry["mechanism"], entry["implementation"]) in found
        ]
        for number, entry in enumerate(waiting, 1):
            name = ", ".join(
                str(entry[key]) for key in ("mechanism", "implementation", "n", "pass")
            )
            self.say(f"[{number}/{len(waiting)}] {name}: memory")
            row, one = found[entry["mechanism"], entry["implementation"]]
            self._weigh(row, one, entry["n"], entry["pass"], entry)
            self.save()

    def _time_left(self, waiting: Sequence[tuple[Row, int]]) -> str:
        """Say how long the rest may take, from what the same or the last length took so far."""
        if not self._spent:
            return ""
        by_size: dict[int, list[float]] = {}
        for (_, size), seconds in self._spent.items():
            by_size.setdefault(size, []).append(seconds)
        mean = {size: sum(seconds) / len(seconds) for size, seconds in by_size.items()}
        last = max(mean)
        left = sum(mean.get(n, mean[last] * n / last) for _, n in waiting)
        return f" (about {max(1, round(left / 60))} min left)"

    def _present(self, row: Row) -> list[Implementation]:
        """Check the row's implementations; return those that run here and are right."""
        for key in ("absent", "checks"):
            self.document[key] = [
                one for one in self.document[key] if one["mechanism"] != row.mechanism
            ]
        present = []
        for implementation in row.implementations if self.options.peers else (row.ours,):
            label = f"{row.mechanism}: {implementation.name}"
            if implementation.flag and implementation.flag not in self.options.flags:
                self._absent(row, implementation, f"only with --{implementation.flag}")
                continue
            try:
                verdict = check(row, implementation)
            except Exception as error:
                expected = isinstance(error, ImportError | Absent)
                reason = line_of(error) if expected else f"{type(error).__name__}: {line_of(error)}"
                self._absent(row, implementation, reason)
                self.wrong = self.wrong or implementation is row.ours
                continue
            self.document["checks"].append(verdict)
            if verdict["agrees"] is False:
                self.wrong = True
                self._absent(row, implementation, "differs from the dense oracle; not timed")
                continue
            errors = [verdict["forward_error"], verdict["gradient_error"]]
            shown = ", ".join(f"{error:.0e}" for error in errors if error is not None)
            self.say(f"  {label}: {f'errors {shown}' if shown else 'not compared'}")
            present.append(implementation)
        return present

    def _absent(self, row: Row, implementation: Implementation, reason: str) -> None:
        self.document["absent"].append(
            {
                "mechanism": row.mechanism,
                "implementation": implementation.name,
                "reason": reason,
            }
        )
        self.say(f"  {row.mechanism}: {implementation.name} absent ({reason})")

    def _measure_length(
        self, row: Row, n: int, present: Sequence[Implementation]
    ) -> list[dict[str, Any]]:
        entries = {
            (one.name, pass_): new_entry(row, one, n, pass_, self.run)
            for one in present
            for pass_ in PASSES
        }
        if self.options.memory:
            self.say("  peak memory, each call in a process of its own")
        load = Load()
        baseline = self._baseline_once(n)
        cases: dict[str, Case] = {}
        times: dict[Key, list[float]] = {}
        for row_, one in self._with_baseline(row, present, alone=bool(baseline)):
            for pass_ in PASSES:
                key = (one.name, pass_)
                entry = entries.get(key)
                if baseline and one.name == BASELINE.name:
                    self._weigh(row_, one, n, pass_, entries[key])
                elif self._prepare(row_, one, n, pass_, entry, cases):
                    times[key] = []
        least = self._least_ms(row, n) if entries else {}
        self._time(cases, times, entries)

        timed_too = {pass_: times.get((BASELINE.name, pass_)) for pass_ in PASSES}
        kept = steady_rounds([x for x in timed_too.values() if x])
        described = load.described()
        for key, entry in entries.items():
            once = baseline.get(key[1])
            entry["load"] = described
            if key in times:
                fill(entry, times[key], timed_too[key[1]] or (once and [once]), kept)
            elif once is not None and key[0] == BASELINE.name:
                fill(entry, [once], [once], [])
            self._remember(entry)
            self._hold_to_limit(row, entry, least, cases)
        if row.mechanism != "full":
            for pass_, seconds in timed_too.items():
                if seconds:
                    self._past("full", BASELINE.name, pass_).seconds[n] = quartiles(seconds)[1]
        return list(entries.values())

    def _with_baseline(
        self, row: Row, present: Sequence[Implementation], *, alone: bool
    ) -> list[tuple[Row, Implementation]]:
        group = [(row, one) for one in present]
        if not alone and all(one.name != BASELINE.name for one in present):
            group.insert(0, (_baseline_row(), BASELINE))
        return group

    def _baseline_once(self, n: int) -> dict[str, float]:
        """Return the baseline's seconds by pass where its rounds would not fit the budget.

        It then runs once a length for all rows, and may take longer than the limit.
        """
        past = {pass_: self._past("full", BASELINE.name, pass_).seconds for pass_ in PASSES}
        expected = [predict(seconds, n) for seconds in past.values()]
        if None in expected or sum(x or 0.0 for x in expected) * MIN_ROUNDS <= self.options.budget:
            return {}
        for pass_ in PASSES:
            if (n, pass_) not in self._once:
                self.say(f"  {BASELINE.name}, {pass_}, once")
                case = Case.of(_baseline_row(), BASELINE, n)
                self._once[n, pass_] = timed(case, pass_)
        return {pass_: self._once[n, pass_] for pass_ in PASSES}

    def _least_ms(self, row: Row, n: int) -> dict[str, float]:
        """Measure what the machine can do at a row's shapes; return the least time of each pass."""
        self.document["limits"] = [
            one
            for one in self.document["limits"]
            if (one["mechanism"], one["n"]) != (row.mechanism, n)
        ]
        if row.mechanism not in WORK:
            return {}
        products = {pass_: of_pass(WORK[row.mechanism](n), pass_) for pass_ in PASSES}
        made = BATCH * HEADS * n * HEAD_DIM
        limits = Limits.measured(products[PASSES[-1]], made)
        self.document["limits"].append(
            {"mechanism": row.mechanism, "n": n, "run": self.run, **limits.described()}
        )
        given = sum(x.numel() for x in row.inputs(n, torch.Generator().manual_seed(0)))
        return {
            pass_: 1e3 * limits.least_seconds(products[pass_], moved_bytes(given, made, pass_))
            for pass_ in PASSES
        }

    def _hold_to_limit(
        self,
        row: Row,
        entry: dict[str, Any],
        least: Mapping[str, float],
        cases: Mapping[str, Case],
    ) -> None:
        """Write the least time that this machine allows, and the share of it that was reached."""
        pass_ = entry["pass"]
        if pass_ not in least or entry["status"] != "ok":
            return
        entry.update(limit_ms=least[pass_], limit_share=least[pass_] / entry["ms"])
        ours = entry["implementation"] == row.ours.name
        if ours and entry["limit_share"] < ENOUGH:
            entry["profile"] = profiled(cases[row.ours.name], pass_)
            entry["note"] = sentence(entry["profile"])

    def _time(
        self,
        cases: Mapping[str, Case],
        times: dict[Key, list[float]],
        entries: Mapping[Key, dict[str, Any]],
    ) -> None:
        """Run every case once to look at its tensors, then time those that are fast enough."""
        warm = {}
        for key in list(times):
            entry = entries.get(key, {})
            try:
                seconds, largest = watched(cases[key[0]], key[1])
            except Exception as error:
                del times[key]
                entry.update(status="failed", reason=f"{type(error).__name__}: {line_of(error)}")
                continue
            entry["largest_tensor_mb"] = None if largest is None else largest / 1e6
            if seconds > self.options.limit:
                del times[key]
                limit = f"limit {self.options.limit:g} s"
                entry.update(status="over limit", reason=f"one run took {seconds:.2f} s ({limit})")
            else:
                warm[key] = seconds
        if times:
            self._interleave(cases, times, warm)

    def _interleave(
        self, cases: Mapping[str, Case], times: dict[Key, list[float]], warm: dict[Key, float]
    ) -> None:
        """Time every case once a round, starting each round one place further on.

        A short call would pay for what ran before it (always the same, in a fixed order), so it
        runs twice, and the second is timed.
        """
        short = {key for key, seconds in warm.items() if seconds < AFTER_ITSELF}
        one_round = sum(seconds * (1 + (key in short)) for key, seconds in warm.items())
        rounds = rounds_for(one_round, self.options.repeats, self.options.budget)
        self.say(f"  timing {len(times)} calls × {rounds} rounds, about {one_round * rounds:.0f} s")
        order = list(times)
        gc.disable()
        try:
            for turn in range(rounds):
                shift = turn % len(order)
                for key in order[shift:] + order[:shift]:
                    if key in short:
                        timed(cases[key[0]], key[1])
                    times[key].append(timed(cases[key[0]], key[1]))
        finally:
            gc.enable()

    def _prepare(
        self,
        row: Row,
        one: Implementation,
        n: int,
        pass_: str,
        entry: dict[str, Any] | None,
        cases: dict[str, Case],
    ) -> bool:
        """Decide whether this call may run, build it, and measure its memory. True if it may.

        ``entry`` is None for the baseline of another row, which is only timed.
        """
        memory = self.options.memory and entry is not None
        entry = {} if entry is None else entry
        if pass_ not in one.passes:
            entry.update(status="absent", reason="has no backward pass")
            return False
        past = self._past(row.mechanism, one.name, pass_)
        try:
            if not past.seconds and n > PROBES[-1]:
                self._probe(row, one, pass_, past)
            if reason := self._over_limit(past, n):
                entry.update(status="over limit", reason=reason)
                return False
            if one.name not in cases:
                cases[one.name] = Case.of(row, one, n)
            if memory:
                self._weigh(row, one, n, pass_, entry)
        except (OutOfMemory, MemoryError, TimeoutError) as error:
            entry.update(status="over limit", reason=line_of(error))
            return False
        except Exception as error:
            entry.update(status="failed", reason=f"{type(error).__name__}: {line_of(error)}")
            return False
        return True

    def _weigh(
        self, row: Row, one: Implementation, n: int, pass_: str, entry: dict[str, Any]
    ) -> None:
        """Measure the peak of memory, if it is wanted."""
        if self.options.memory:
            peak = measure_peak(
                row.mechanism,
                one.name,
                n,
                pass_,
                threads=self.options.threads,
                timeout=60 + 10 * self.options.limit,
            )
            entry.update(peak_mb=peak["peak_bytes"] / 1e6, peak_method=peak["method"])
            entry["peak_run"] = self.run

    def _probe(self, row: Row, one: Implementation, pass_: str, past: _History) -> None:
        """Measure two small lengths, so that there is something to predict from."""
        for n in PROBES:
            case = Case.of(row, one, n)
            timed(case, pass_)
            past.seconds[n], largest = watched(case, pass_)
            if largest is not None:
                past.largest[n] = largest

    def _over_limit(self, past: _History, n: int) -> str:
        if past.stopped is not None and past.stopped < n:
            return f"over the limit already at n = {past.stopped}"
        seconds = predict(past.seconds, n)
        if seconds is not None and seconds > self.options.limit:
            return f"predicted {seconds:.2g} s (limit {self.options.limit:g} s)"
        size = predict(past.peak, n)
        if size is None and (largest := predict(past.largest, n)) is not None:
            size = PEAK_OVER_LARGEST * largest
        if size is not None and self._bytes is not None and size > MEMORY_SHARE * self._bytes:
            limit = f"limit {MEMORY_SHARE * self._bytes / 1e9:.0f} GB"
            return f"predicted {size / 1e9:.0f} GB of memory ({limit})"
        return ""

    def _past(self, mechanism: str, name: str, pass_: str) -> _History:
        return self._history.setdefault((mechanism, name, pass_), _History())

    def _remember(self, entry: dict[str, Any]) -> None:
        past = self._past(entry["mechanism"], entry["implementation"], entry["pass"])
        n = entry["n"]
        if entry["status"] == "over limit":
            past.stopped = n if past.stopped is None else min(n, past.stopped)
        if entry["status"] == "ok":
            past.seconds[n] = entry["ms"] / 1e3
            if entry["largest_tensor_mb"] is not None:
                past.largest[n] = entry["largest_tensor_mb"] * 1e6
            if entry["peak_mb"] is not None:
                past.peak[n] = entry["peak_mb"] * 1e6


def _baseline_row() -> Row:
    return Row("full", BASELINE, dense())
