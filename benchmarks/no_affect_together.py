"""Is all that is leak free at chance without affect? All rows by one rule, which stands in docs/evaluation.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from measure import table
from no_affect_rows import CONFIDENCE, ROUNDED, Name, OffChance, Score, in_order, interval

from eegpipe.protocols import PROTOCOLS

PEOPLE_ALONE = ("emod_seedv",)  # what these leak says something of the labels only where affect is planted


@dataclass(frozen=True)
class Scored:
    """One method under one protocol.

    guesses : chance of guesses
    scores, dealt : balanced accuracy of segments and the chance of the answers that were given, one each a simulation
    """

    dataset: str
    method: str
    protocol: str
    leak_free: bool
    guesses: float
    scores: Sequence[float]
    dealt: Sequence[float]

    @property
    def off(self) -> np.ndarray:
        """(n_simulations,) score minus the chance of the answers."""
        return np.subtract(self.scores, self.dealt)


@dataclass(frozen=True)
class Judged(OffChance):
    """What is held against chance. ``methods``: how many; ``method`` is the one, or says that it is their mean."""

    leak_free: bool
    methods: int

    @property
    def above(self) -> bool:
        """Whether the interval lies above the chance of the answers."""
        return self.off_low > ROUNDED

    @property
    def above_guesses(self) -> bool:
        """Whether the interval of the score lies above the chance of guesses."""
        return self.without_low > self.chance + ROUNDED

    @property
    def has_to_lie_above(self) -> bool:
        """Whether it leaks, and what it leaks can be seen without affect."""
        return not self.leak_free and self.protocol not in PEOPLE_ALONE


def scored(scores: Mapping[Name, Sequence[Score]]) -> list[Scored]:
    """``scores``: one a simulation. What is leak free first, then in the order of data sets and protocols."""
    rows = [
        Scored(*name, some[0].leak_free, some[0].chance, [one.value for one in some], [one.dealt for one in some])
        for name, some in scores.items()
    ]
    return in_order(rows)


def judged_rows(rows: Sequence[Scored]) -> list[Judged]:
    """Each row; intervals that all leak-free ones cover together with at least 95 % (Bonferroni)."""
    confidence = together(sum(row.leak_free for row in rows))
    return [_judged([row], confidence) for row in rows]


def judged_protocols(rows: Sequence[Scored]) -> list[Judged]:
    """The mean over methods of each data set and protocol. Leak free: intervals for all of these together. With leaks:
    each by itself, for it is asked of every single one that it lies above."""
    groups: dict[tuple[str, str], list[Scored]] = {}
    for row in rows:
        groups.setdefault((row.dataset, row.protocol), []).append(row)
    confidence = together(sum(some[0].leak_free for some in groups.values()))
    return [_judged(some, confidence if some[0].leak_free else CONFIDENCE) for some in groups.values()]


def together(count: int) -> float:
    """Confidence of each of ``count`` intervals, so that all hold with at least that of one (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(count, 1)


def _judged(rows: Sequence[Scored], confidence: float) -> Judged:
    first, count = rows[0], len(rows)
    method = first.method if count == 1 else f"mean of {count} methods"
    score = interval(np.mean([row.scores for row in rows], axis=0), confidence)
    off = interval(np.mean([row.off for row in rows], axis=0), confidence)
    return Judged(first.dataset, method, first.protocol, first.guesses, *score, *off, first.leak_free, count)


@dataclass(frozen=True)
class Gain:
    """How much higher a protocol that leaks people is than its counterpart; affect planted, mean over methods."""

    dataset: str
    protocol: str
    counterpart: str
    gain: float
    low: float
    high: float


def gains(planted: Sequence[Scored]) -> list[Gain]:
    """``planted``: with affect. Intervals of 95 % over simulations."""
    scores = {(row.dataset, row.method, row.protocol): np.asarray(row.scores) for row in planted}
    found = []
    for dataset, protocol in dict.fromkeys((row.dataset, row.protocol) for row in planted):
        counterpart = PROTOCOLS[protocol].counterpart
        if protocol in PEOPLE_ALONE and counterpart:
            methods = [method for at, method, name in scores if (at, name) == (dataset, protocol)]
            more = [scores[dataset, method, protocol] - scores[dataset, method, counterpart] for method in methods]
            found.append(Gain(dataset, protocol, counterpart, *interval(np.mean(more, axis=0))))
    return found


def holds(rows: Sequence[Scored]) -> bool:
    """The rule of what is measured without affect."""
    singles, protocols = judged_rows(rows), judged_protocols(rows)
    return (
        all(one.covers_chance for one in (*singles, *protocols) if one.leak_free)
        and not any(one.above_guesses for one in singles if one.leak_free)
        and all(one.above for one in protocols if one.has_to_lie_above)
    )


def report(rows: Sequence[Scored], planted: Sequence[Scored] = ()) -> str:
    """The table of protocols, and in words what of the rule holds and which rows stand against it. ``planted``: for
    :func:`gains`."""
    singles, protocols = judged_rows(rows), judged_protocols(rows)
    cells = [
        (
            one.protocol,
            one.dataset,
            "yes" if one.leak_free else "no",
            str(one.methods),
            f"{one.without:.3f}",
            f"{one.off:+.3f}",
            f"{one.off_low:+.3f} to {one.off_high:+.3f}",
            "chance" if one.covers_chance else "above" if one.above else "below",
        )
        for one in protocols
    ]
    head = ("protocol", "data set", "leak free", "methods", "mean score", "off own chance", "interval", "lies")
    free = [one for one in singles if one.leak_free]
    leaking = [one for one in singles if not one.leak_free]
    halves = [(one.off_high - one.off_low) / 2 for one in free]
    of_free = [one for one in protocols if one.leak_free]
    to_see = [one for one in protocols if one.has_to_lie_above]
    lines = [
        table(head, cells),
        "",
        f"Leak-free rows that cover own chance, intervals for all together: {_share(free, 'covers_chance')}; "
        f"that lie above guesses: {_share(free, 'above_guesses')}; that cover guesses: "
        f"{_share(free, 'covers_guesses')}. Half of these intervals reach less than "
        f"{np.median(halves):.3f} to either side.",
        "Leak-free protocols whose mean covers own chance, intervals for all together: "
        f"{_share(of_free, 'covers_chance')}.",
        f"Leaking protocols whose mean lies above own chance, each by its interval: {_share(to_see, 'above')} "
        f"(without {', '.join(PEOPLE_ALONE)}).",
        f"Leaking rows that lie above own chance by the interval of the leak-free rows: {_share(leaking, 'above')}.",
        f"Without affect the rule {'holds' if holds(rows) else 'does not hold'}.",
    ]
    against = [(one, "own chance not covered") for one in (*free, *of_free) if not one.covers_chance]
    against += [(one, "above guesses") for one in free if one.above_guesses]
    against += [(one, "leaks, not above own chance") for one in to_see if not one.above]
    for one, why in against:
        ends = f"{one.off_low:+.3f} to {one.off_high:+.3f}"
        lines.append(f"{why}: {one.method} on {one.dataset}, {one.protocol}, {one.off:+.3f} ({ends}).")
    for found in gains(planted):
        lines.append(
            f"With affect {found.protocol} lies {found.gain:+.3f} ({found.low:+.3f} to {found.high:+.3f}) off "
            f"{found.counterpart}, mean of the methods: {'above' if found.low > 0 else 'not above'} it."
        )
    return "\n".join(lines)


def _share(some: Sequence[Judged], what: str) -> str:
    return f"{sum(getattr(one, what) for one in some)} of {len(some)}"
