"""Measured decoding: what one more token costs after a text of some length."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attn_lib.data import _measured

__all__ = ["Decoding", "DecodingRow", "load_decoding"]

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class DecodingRow:
    """One way to write, after one length of text.

    Attributes
    ----------
    decoder : str
        ``"KV cache"`` for softmax attention, or a mechanism of this library.
    n : int
        Tokens read before.
    ms : float
        Median time of one more token, all heads of one layer, in the rounds that count.
    ms_quartiles : tuple of float
        Of the same rounds.
    times_ms : tuple of float
        Of every round.
    kept : tuple of bool
        Whether a round counts: not where the KV cache took 15 % longer than in its fastest round at
        this length. It is the same for all ways to write.
    load : tuple of float
        The machine's load, a mean over a minute, before and after the rounds of this length.
    state_bytes : int
        What is kept of the n tokens, all heads of one layer: every tensor but parameters.
    read_bytes : int
        How much of that one query reads, by `attn_lib.costs.read_numbers`.
    """

    decoder: str
    n: int
    ms: float
    ms_quartiles: tuple[float, float]
    times_ms: tuple[float, ...]
    kept: tuple[bool, ...]
    load: tuple[float, float]
    state_bytes: int
    read_bytes: int

    @property
    def tokens_per_second(self) -> float:
        """One thousand over `ms`."""
        return 1e3 / self.ms


@dataclass(frozen=True)
class Decoding:
    """All rows of the file, with the date, the machine, and what has no decoder.

    Each entry of ``absent`` has a mechanism under ``"decoder"`` and the ``"reason"``.
    """

    date: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str | None]
    settings: Mapping[str, Any]
    absent: tuple[Mapping[str, str], ...]
    rows: tuple[DecodingRow, ...]

    @property
    def decoders(self) -> tuple[str, ...]:
        """The ways to write that were measured."""
        return tuple(dict.fromkeys(row.decoder for row in self.rows))

    def select(self, decoder: str) -> tuple[DecodingRow, ...]:
        """Return the rows of one way to write, ascending in n.

        Raises
        ------
        ValueError
            If it was not measured.
        """
        if decoder not in self.decoders:
            raise ValueError(f"decoder must be one of {self.decoders}, got {decoder!r}")
        found = (row for row in self.rows if row.decoder == decoder)
        return tuple(sorted(found, key=lambda row: row.n))


def load_decoding() -> Decoding:
    """Load what decoding was measured to cost.

    Returns
    -------
    Decoding

    Raises
    ------
    FileNotFoundError
        If nothing was measured.
    ValueError
        If the file has another schema than this version reads.

    Notes
    -----
    The file is written by ``python -m benchmarks.decoding``.
    """
    path = _measured._folder() / "decoding.json"
    if not path.exists():
        raise FileNotFoundError("decoding must be measured: python -m benchmarks.decoding does it")
    document = _measured._document(path, SCHEMA_VERSION)
    rows = tuple(
        DecodingRow(
            decoder=row["decoder"],
            n=row["n"],
            ms=row["ms"],
            ms_quartiles=tuple(row["ms_quartiles"]),
            times_ms=tuple(row["times_ms"]),
            kept=tuple(row["kept"]),
            load=tuple(row["load"]),
            state_bytes=row["state_bytes"],
            read_bytes=row["read_bytes"],
        )
        for row in document["rows"]
    )
    return Decoding(
        date=document["date"],
        machine=document["machine"],
        versions=document["versions"],
        settings=document["settings"],
        absent=tuple(document["absent"]),
        rows=rows,
    )
