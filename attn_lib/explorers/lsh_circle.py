"""Which points share a bucket: angular hashing on a circle, and of real keys.

The hash is that of Nikita Kitaev, Łukasz Kaiser, Anselm Levskaya. *Reformer: The Efficient
Transformer.* ICLR 2020, arXiv:2001.04451, section 2: arg max([xR; −xR]).
"""

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._text import TextExplorer, of_head, remembered, shown_tokens
from attn_lib.explorers.words import Message, Plural, Rounded
from attn_lib.mechanisms.reformer import reformer_buckets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ANGLES", "LSHCircle", "collision_probability"]

ANGLES = np.arange(0, 181, 5)
"""Degrees at which the curves are given."""

_ROUNDS = 8
_SPOTS = 36
_KEYS = 64
_CHOSEN = "#009E73"
_HEADS = ("0.2", "2.8", "5.0")


def collision_probability(degrees: float, buckets: int) -> float:
    """Probability that two vectors at an angle share one of `buckets` buckets.

    Parameters
    ----------
    degrees : float
        The angle, from 0 to 180.
    buckets : int
        An even number.

    Returns
    -------
    float
        Over Gaussian rotations R. The projections of the two vectors on a column of R are Gaussian
        with the cosine of the angle as their correlation, in any dimension; both must have their
        largest size at the same column, with the same sign.

    Examples
    --------
    >>> round(collision_probability(90, 2), 6), round(collision_probability(45, 2), 6)
    (0.5, 0.75)
    """
    if degrees == 0:
        return 1.0
    rho = math.cos(math.radians(degrees))
    spread = math.sqrt(1 - rho * rho)
    if spread < 1e-9:
        return 0.0
    node, weight = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(64))
    s = 4 * (node + 1)  # the first projection, up to 8 standard deviations
    low = (-rho * s / spread).clamp(-8, 8)[:, None]  # below it the second one is negative
    half = (8 - low) / 2
    z = low + half * (node + 1)
    t = rho * s[:, None] + spread * z
    # Another column must be smaller for both: |x| < s and |rho x + spread y| < t.
    x = s[:, None] * node
    within = torch.special.ndtr((t[..., None] - rho * x[:, None]) / spread)
    within = within - torch.special.ndtr((-t[..., None] - rho * x[:, None]) / spread)
    box = (within * (_density(x) * weight * s[:, None])[:, None]).sum(dim=-1)
    share = box.clamp(min=0) ** (buckets // 2 - 1)
    first, second = _density(s)[:, None] * (4 * weight)[:, None], _density(z) * half * weight
    return float(buckets * (first * second * share).sum())


def _density(x: Tensor) -> Tensor:
    return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


@functools.cache
def _theory(buckets: int) -> NDArray[np.float32]:
    """Return the probability of a shared bucket in one round or more: (rounds, angles)."""
    once = np.array([collision_probability(float(angle), buckets) for angle in ANGLES])
    rounds = np.arange(1, _ROUNDS + 1)[:, None]
    return (1 - (1 - once) ** rounds).astype(np.float32)


@functools.cache
def _ring(buckets: int) -> NDArray[np.uint8]:
    """Return the bucket of every degree of the circle, in every round: (rounds, 360)."""
    angles = torch.arange(360, dtype=torch.float64).deg2rad()
    circle = torch.stack([angles.cos(), angles.sin()], dim=-1)[None, None]
    return _buckets(circle, buckets)


def _buckets(points: Tensor, buckets: int) -> NDArray[np.uint8]:
    """Hash into so many buckets; a new generator always starts in the same state."""
    n = points.shape[2]
    size = -(-n // buckets)
    # As many chunks as buckets, so that there are as many buckets.
    points = torch.nn.functional.pad(points, (0, 0, 0, size * buckets - n), value=1.0)
    options = {"bucket_size": size, "num_hashes": _ROUNDS}
    found = reformer_buckets(points, generator=torch.Generator(), **options)
    return found[0, 0, :, :n].numpy().astype(np.uint8)


@functools.cache
def _on_circle(buckets: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the ring, and the share of its turns at which an angle falls into one bucket."""
    ring = _ring(buckets)
    shared = np.stack([ring == np.roll(ring, -angle, axis=1) for angle in ANGLES], axis=1)
    measured = np.logical_or.accumulate(shared, axis=0).mean(axis=-1)
    return ring, measured.astype(np.float32)


@remembered(288)
def _of_keys(passage: Passage, head: str, buckets: int) -> dict[str, NDArray[Any]]:
    """Return a head's queries as unit keys: on two main axes, their buckets and their angles."""
    layer, number = map(int, head.split("."))
    qk = passage.head(layer, number)[0][:, :, :_KEYS].double()
    keys = torch.nn.functional.normalize(qk[0, 0], dim=-1)
    found = _buckets(qk, buckets)
    degrees = (keys @ keys.mT).clamp(-1, 1).acos().rad2deg().numpy()
    _, _, axes = torch.linalg.svd(keys, full_matrices=False)
    axes = axes[:2] * axes[:2].sum(dim=-1, keepdim=True).sign()  # the sign is anybody's
    together = np.logical_or.accumulate(found[:, :, None] == found[:, None, :], axis=0)
    pairs = ~np.eye(len(keys), dtype=bool)
    near = np.rint(degrees / 5).astype(int)
    measured = np.full((_ROUNDS, len(ANGLES)), -1, dtype=np.float32)
    for place in range(len(ANGLES)):
        some = pairs & (near == place)
        if some.sum() >= 16:
            measured[:, place] = together[:, some].mean(axis=1)
    return {
        "xy": (keys @ axes.mT).numpy().astype(np.float32),
        "bucket": found,
        "degrees": np.rint(degrees).astype(np.uint8),
        "measured": measured,
    }


class LSHCircle(TextExplorer):
    """Angular hashing: who shares a bucket with the chosen point, and how likely that was.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    points : {"circle", "0.0", …, "5.11"}
        36 points on a circle, or the queries of a layer and head as unit keys, the first 64 of a
        passage. The book carries 3 of the 72 heads, the kernel all of them.
    buckets : {2, 4, 8, 16}
        How many buckets a round has.
    rounds : int
        From 1 to 8. The borders shown are those of the last one.
    turn : int
        Degrees that the rotations are turned by, on the circle.

    Notes
    -----
    `compute` returns, for the eight rounds whatever `rounds` is:

    ``xy`` (points, 2) float32
        The points; of keys, their coordinates on the two main axes of all 64.
    ``bucket`` (8, points) uint8
        The bucket of each point in each round.
    ``ring`` (8, 360) uint8, or (8, 0) for keys
        The bucket of each degree of the circle.
    ``degrees`` (points, points) uint8
        Angles between the points, for keys in all their dimensions.
    ``theory``, ``measured`` (8, 37) float32
        Probability that vectors at the angles of `ANGLES` share a bucket in this round or one
        before; and how often they do, over all turns of the circle, or over the pairs of keys
        within 2.5 degrees of the angle (-1 where those are fewer than 8).
    """

    points = Choice(
        "circle",
        label="Points",
        options={
            "circle": "on a circle",
            **{f"{a}.{b}": f"queries of layer {a}, head {b}" for a in range(6) for b in range(12)},
        },
        grid=("circle", *_HEADS),
    )
    buckets = Choice(
        4,
        label="Buckets b",
        options={2: "2", 4: "4", 8: "8", 16: "16"},
    )
    rounds = Range(
        1,
        label="Rounds",
        grid=range(1, _ROUNDS + 1),
        low=1,
        high=_ROUNDS,
        step=1,
        help="hashes with a rotation of their own; the borders shown are those of the last one",
    )
    turn = Range(
        0,
        label="Turn, in degrees",
        grid=range(0, 360, 15),
        low=0,
        high=359,
        step=1,
        play=True,
        when={"points": ["circle"]},
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "xy": "float16",
        "bucket": "uint8",
        "ring": "uint8",
        "degrees": "uint8",
        "theory": "float16",
        "measured": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        "disc": "Points, and the buckets of the last round",
        "help": "Point at a point, tap it, or walk round with the arrow keys.",
        "chosen": "chosen point",
        "now": "shares its bucket in the last round",
        "before": "shared it in an earlier round",
        "apart": "never shared it",
        "near": "Of its 8 nearest, found",
        "far": "Of the others, found",
        "of": "{found} of {all}",
        "used": "Buckets in use, last round",
        "used_value": "{used} of {buckets}",
        "chart": "Sharing a bucket in one round or more, against the angle",
        "still_chart_short": "Sharing a bucket in one round or more",
        "chart_x": "angle, in degrees",
        "theory": "probability",
        "measured_circle": "measured, over all turns",
        "measured_keys": "measured, over the pairs of queries",
        "chart_now": "at {angle}°: probability {theory}",
        "chart_seen": "at {angle}°: probability {theory}, measured {measured}",
        "say_circle": Plural(
            "r",
            "The point at {at}°: in one round it shares a bucket with {near} of its {near_all}"
            " nearest points, and with {far} of the other {far_all}.",
            "The point at {at}°: in {r} rounds it shares a bucket with {near} of its {near_all}"
            " nearest points, and with {far} of the other {far_all}.",
        ),
        "say_key": Plural(
            "r",
            "“{token}” ({i}): in one round it shares a bucket with {near} of its {near_all}"
            " nearest points, and with {far} of the other {far_all}.",
            "“{token}” ({i}): in {r} rounds it shares a bucket with {near} of its {near_all}"
            " nearest points, and with {far} of the other {far_all}.",
        ),
        "change": "Nearest points that share a bucket with the chosen one: {found} of {near},"
        " before {was_found}. Probability at 30 degrees: {chance}, before {was_chance}.",
        "alt": Plural(
            "r",
            "{n} points in {buckets} buckets. In one round a chosen point shares its bucket with"
            " {found} of its {near} nearest points. Beside them the probability of that against"
            " the angle: {chance} at 30 degrees.",
            "{n} points in {buckets} buckets. In {r} rounds a chosen point shares a bucket with"
            " {found} of its {near} nearest points. Beside them the probability of that against"
            " the angle: {chance} at 30 degrees.",
        ),
    }

    longest: ClassVar[int] = _KEYS
    own_words: ClassVar[Mapping[str, Message]] = {"near": "Of its nearest, found"}

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        queries = of_head(cls.points, passage)
        names = {name: f"queries of {text}" for name, text in queries.options.items()}
        start = next((name for name in _HEADS if name in names), queries.default_value)
        circle = {"circle": cls.points.options["circle"]}
        points = cls.points.among({**circle, **names}, start)
        return {"points": points, "words": {**cls.words, **cls.own_words}}

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        n = cls._count()
        return {
            "tokens": [text for text, _ in shown_tokens(cls._pieces())],
            "near": min(8, n // 2),
            "angles": ANGLES.tolist(),
            "most": max(_SPOTS, n),
            "start": 4,
        }

    @classmethod
    def _frame(cls, points: str, buckets: int, rounds: int, turn: int) -> dict[str, NDArray[Any]]:
        frame: dict[str, NDArray[Any]] = {"theory": _theory(buckets).copy()}
        if points != "circle":
            frame["ring"] = np.zeros((_ROUNDS, 0), dtype=np.uint8)
            found = _of_keys(cls._passage(), points, buckets)
            return frame | {name: x.copy() for name, x in found.items()}
        ring, measured = _on_circle(buckets)
        turned = np.roll(ring, turn, axis=1)
        spots = np.arange(_SPOTS) * (360 // _SPOTS)
        away = np.abs(spots[:, None] - spots)
        angles = np.deg2rad(spots)
        return frame | {
            "xy": np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32),
            "bucket": turned[:, spots],
            "ring": turned,
            "degrees": np.minimum(away, 360 - away).astype(np.uint8),
            "measured": measured.copy(),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure
        from matplotlib.patches import Wedge

        from attn_lib import figures
        from attn_lib.explorers import _stills

        last = controls["rounds"] - 1
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        blue, orange, *_, grey = figures.PALETTE
        look = {"chosen": _CHOSEN, "now": blue, "before": orange, "apart": grey}
        bucket = frame["bucket"]
        chosen = cls._facts()["start"] % len(frame["xy"])
        together = bucket[: last + 1] == bucket[: last + 1, chosen, None]
        kinds = np.where(together[last], "now", np.where(together.any(axis=0), "before", "apart"))
        kinds[chosen] = "chosen"
        for kind, colour in look.items():
            some = frame["xy"][kinds == kind]
            style: dict[str, Any] = {"s": 70, "zorder": 3} if kind == "chosen" else {"s": 28}
            if kind == "apart":
                style["alpha"] = 0.45
            left.scatter(*some.T, color=colour, linewidths=0, **style, label=cls._word(kind))
        ring = frame["ring"][last]
        edges = np.flatnonzero(np.diff(ring, prepend=-1))
        # Keys have no ring.
        for k, (start, end) in enumerate(zip(edges, [*edges, len(ring)][1:], strict=True)):
            own = ring[start] == bucket[last, chosen]
            shade = {"color": blue if own else grey, "alpha": 1.0 if own else (0.25, 0.55)[k % 2]}
            left.add_patch(
                Wedge((0, 0), 1.25, float(start), float(end), width=0.1, linewidth=0, **shade)
            )
        left.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
        left.set_title(cls._word("disc"), color=grey, fontsize="small")
        left.axis("off")
        lines = {cls._word("theory"): frame["theory"][last]}
        figures.curves(ANGLES, lines, xlabel=cls._word("chart_x"), ylabel="", ax=right)
        seen = frame["measured"][last]
        there = seen >= 0
        measured = "measured_circle" if controls["points"] == "circle" else "measured_keys"
        right.scatter(
            ANGLES[there], seen[there], color=orange, s=16, zorder=3, label=cls._word(measured)
        )
        _stills.ticks(right, (0, 45, 90, 135, 180))
        right.set_ylim(-0.03, 1.03)
        near = np.sort(np.delete(frame["degrees"][chosen], chosen))[cls._facts()["near"] - 1]
        _stills.marker(right, 5 * round(float(near) / 5))
        right.set_title(cls._word("still_chart_short"), color=grey, fontsize="small")
        right.legend(frameon=False, labelcolor=grey, fontsize="small")
        named = {cls._word(kind): colour for kind, colour in look.items()}
        _stills.legend(left, named, lines=True, columns=2)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        last = controls["rounds"] - 1
        place = int(np.flatnonzero(ANGLES == 30)[0])
        chosen, near = cls._facts()["start"] % len(frame["xy"]), cls._facts()["near"]
        order = frame["degrees"][chosen].argsort(kind="stable")
        nearest = order[order != chosen][:near]
        bucket = frame["bucket"][: last + 1]
        found = (bucket[:, nearest] == bucket[:, chosen, None]).any(axis=0).sum()
        return "alt", {
            "n": len(frame["xy"]),
            "found": int(found),
            "near": near,
            "buckets": controls["buckets"],
            "r": controls["rounds"],
            "chance": Rounded(float(frame["theory"][last, place]), 2),
        }
