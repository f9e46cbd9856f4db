"""What the central test found: one row a data set, method and protocol, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from measure import table
from scipy import stats

from eegpipe.protocols import PROTOCOLS

CONFIDENCE = 0.95
ROUNDED = 1e-5  # scores are stored with six digits


@dataclass(frozen=True)
class Score:
    """Balanced accuracy of segments in one world, and what the split says of itself.

    chance : of guesses, one of the classes at random
    dealt : chance of the answers that were given, :func:`eegpipe.metrics.dealt_anew`
    """

    value: float
    leak_free: bool
    chance: float
    dealt: float


@dataclass(frozen=True)
class OffChance:
    """What a row says without affect; Student's t over worlds, ends ``low`` and ``high``.

    chance : of guesses; ``off``: score minus the chance of the answers that were given, world by world
    """

    dataset: str
    method: str
    protocol: str
    chance: float
    without: float
    without_low: float
    without_high: float
    off: float
    off_low: float
    off_high: float

    @property
    def covers_chance(self) -> bool:
        """Whether the score may be that of answers that know nothing of the signal."""
        return self.off_low - ROUNDED <= 0 <= self.off_high + ROUNDED

    @property
    def covers_guesses(self) -> bool:
        """Whether the interval of the score holds the chance of guesses."""
        return self.without_low - ROUNDED <= self.chance <= self.without_high + ROUNDED


@dataclass(frozen=True)
class Row(OffChance):
    """One method under one protocol over all worlds; balanced accuracy of segments.

    ``rise``: with affect minus without, world by world
    """

    leak_free: bool
    planted: float
    rise: float
    rise_low: float
    rise_high: float


@dataclass(frozen=True)
class Repeated(OffChance):
    """A row that missed chance without affect, on other simulations. ``before``: its score on the first ones."""

    before: float


Name = tuple[str, str, str]  # data set, method, protocol
Scores = dict[Name, dict[bool, list[Score]]]  # -> affect -> one a world


def rows_of(scores: Scores) -> list[Row]:
    """As :func:`in_order`."""
    rows = []
    for (dataset, method, protocol), both in scores.items():
        without, planted = (np.array([score.value for score in both[affect]]) for affect in (False, True))
        first = both[False][0]
        mean, low, high = interval(planted - without)
        rows.append(
            Row(
                dataset,
                method,
                protocol,
                first.chance,
                **_without(both[False]),
                leak_free=first.leak_free,
                planted=float(planted.mean()),
                rise=mean,
                rise_low=low,
                rise_high=high,
            )
        )
    return in_order(rows)


class _Placed(Protocol):
    """What has a place in the tables."""

    @property
    def dataset(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def leak_free(self) -> bool: ...


_T = TypeVar("_T", bound=_Placed)


def in_order(rows: Sequence[_T]) -> list[_T]:
    """What is leak free first, then in the order of data sets and protocols."""
    order = [*dict.fromkeys(row.dataset for row in rows), *PROTOCOLS]
    return sorted(rows, key=lambda row: (not row.leak_free, order.index(row.dataset), order.index(row.protocol)))


def repeated(missed: Sequence[Row], scores: Mapping[Name, Sequence[Score]]) -> list[Repeated]:
    """``scores``: without affect, one a simulation."""
    return [
        Repeated(
            row.dataset,
            row.method,
            row.protocol,
            row.chance,
            **_without(scores[row.dataset, row.method, row.protocol]),
            before=row.without,
        )
        for row in missed
    ]


def _without(scores: Sequence[Score]) -> dict[str, float]:
    """Score and distance from the chance of its answers, each with its interval; names of :class:`OffChance`."""
    values, dealt = (np.array([getattr(score, name) for score in scores]) for name in ("value", "dealt"))
    found = (*interval(values), *interval(values - dealt))
    names = ("without", "without_low", "without_high", "off", "off_low", "off_high")
    return dict(zip(names, found, strict=True))


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one data set and protocol together, in the order of rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.dataset, row.protocol), []).append(row)
    return list(groups.values())


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Mean and the ends of the interval of Student's t; the ends are NaN for one value."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def summary(rows: Sequence[Row]) -> str:
    """The table, and in words how many rows are as they should be and which are not."""
    cells = [
        (
            row.dataset,
            row.method,
            row.protocol,
            "yes" if row.leak_free else "no",
            f"{row.chance:.3f}",
            f"{row.without:.3f}",
            f"{row.without_low:.3f} to {row.without_high:.3f}",
            f"{row.off:+.3f}",
            f"{row.off_low:+.3f} to {row.off_high:+.3f}",
            f"{row.planted:.3f}",
            f"{row.rise:+.3f}",
            f"{row.rise_low:+.3f} to {row.rise_high:+.3f}",
        )
        for row in rows
    ]
    head = (
        "data set",
        "method",
        "protocol",
        "leak free",
        "chance of guesses",
        "no affect",
        "95 % interval",
        "off own chance",
        "95 % interval of it",
        "affect",
        "rise",
        "95 % interval of it",
    )
    free = [row for row in rows if row.leak_free]
    leaking = [row for row in rows if not row.leak_free]
    text = (
        f"\n\nWithout affect: {sum(row.covers_chance for row in free)} of {len(free)} leak-free rows cover own chance, "
        f"{sum(row.covers_guesses for row in free)} that of guesses; "
        f"{sum(row.off_low > 0 for row in leaking)} of {len(leaking)} leaking rows lie above it, "
        f"{sum(row.off > 0 for row in leaking)} by their mean. With affect "
        f"{sum(row.rise_low > 0 for row in free)} of {len(free)} leak-free rows rise, "
        f"{sum(row.rise > 0 for row in free)} by their mean."
    )
    for what, some in (
        ("Leak free, own chance not covered", [row for row in free if not row.covers_chance]),
        ("Leaking, not above own chance", [row for row in leaking if not row.off_low > 0]),
        ("Leak free, not risen", [row for row in free if not row.rise_low > 0]),
    ):
        text += "".join(f"\n{what}: {row.method} on {row.dataset}, {row.protocol}." for row in some)
    return table(head, cells) + text


def table_of_repeated(rows: Sequence[Repeated]) -> str:
    """The rows that were repeated, and in words how many of them cover chance now."""
    cells = [
        (
            row.dataset,
            row.method,
            row.protocol,
            f"{row.chance:.3f}",
            f"{row.before:.3f}",
            f"{row.without:.3f}",
            f"{row.off:+.3f}",
            f"{row.off_low:+.3f} to {row.off_high:+.3f}",
            "yes" if row.covers_chance else "no",
        )
        for row in rows
    ]
    head = (
        "data set",
        "method",
        "protocol",
        "chance of guesses",
        "before",
        "again",
        "off own chance",
        "95 % interval",
        "covers it",
    )
    covering = sum(row.covers_chance for row in rows)
    return table(head, cells) + f"\n\nOn other simulations {covering} of {len(rows)} cover own chance."


def by_protocol(rows: Sequence[Row]) -> str:
    """One line a data set and protocol: how many methods there are, and what of them is as it should be."""
    cells = [
        (
            some[0].protocol,
            some[0].dataset,
            "yes" if some[0].leak_free else "no",
            str(len(some)),
            f"{some[0].chance:.3f}",
            _range([row.without for row in some]),
            f"{sum(row.covers_chance for row in some)}",
            f"{sum(row.off_low > 0 for row in some)}",
            _range([row.planted for row in some]),
            f"{sum(row.rise_low > 0 for row in some)}",
        )
        for some in grouped(rows)
    ]
    head = (
        "protocol",
        "data set",
        "leak free",
        "methods",
        "chance of guesses",
        "no affect: lowest, mean, highest",
        "cover own chance",
        "above own chance",
        "affect: lowest, mean, highest",
        "rise",
    )
    return table(head, cells)


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f}, {np.mean(values):.2f}, {max(values):.2f}"
