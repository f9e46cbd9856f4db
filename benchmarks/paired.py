"""What a paired comparison says: mean difference, interval over seeds and people, verdict by a rule fixed before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

# The smallest gain that would matter. Where the interval excludes it, a claim does not hold.
MARGIN = 0.02
CONFIDENCE = 0.95

Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """``low`` and ``high`` are None where there is only one seed or one person: no spread, no interval."""

    mean: float
    low: float | None
    high: float | None

    @property
    def positive(self) -> bool:
        return self.low is not None and self.low > 0


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of ``values`` (seed, person) with an interval that is to hold for other seeds and other people.

    Both are drawn at random and crossed: everybody is tested under every seed. The variance of the mean is that of the
    seeds' means over their number plus that of the people's means over theirs, with Student's t and the degrees of
    freedom of Welch and Satterthwaite. The spread that is left within seed and person counts in both parts, so that the
    interval is rather too wide than too narrow.
    """
    seeds, people = values.shape
    mean = float(values.mean())
    if seeds < 2 or people < 2:
        return Estimate(mean, None, None)
    of_seeds = values.mean(axis=1).var(ddof=1) / seeds
    of_people = values.mean(axis=0).var(ddof=1) / people
    total = of_seeds + of_people
    if total == 0:
        return Estimate(mean, mean, mean)
    freedom = total**2 / (of_seeds**2 / (seeds - 1) + of_people**2 / (people - 1))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(total))
    return Estimate(mean, mean - half, mean + half)


def verdict(difference: Estimate, *, informative: bool, margin: float = MARGIN) -> Verdict:
    """The rule.

    Parameters
    ----------
    difference : Estimate
        Claimed minus other, larger is better.
    informative : bool
        Whether at least one of the two is above chance: two that are both at chance cannot be told apart, however
        narrow the interval is.

    Returns
    -------
    str
        ``holds``: the interval is above 0. ``does not hold``: it is below the smallest gain that would matter.
        ``undecided``: everything else, and always where nothing is above chance or there is no interval.
    """
    if not informative or difference.low is None or difference.high is None:
        return "undecided"
    if difference.low > 0:
        return "holds"
    return "does not hold" if difference.high < margin else "undecided"
