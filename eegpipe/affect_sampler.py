"""EMOD's batch: equally many segments of each of nine regions of the valence-arousal plane, from every data set.

A draw is a pure function of (seed, number of the draw), as in :mod:`eegpipe.samplers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from zlib import crc32

import numpy as np

from eegpipe.affect import LIMIT
from eegpipe.errors import DataProblem
from eegpipe.loader import Segments

REGIONS = 9
_SIDE = 3  # regions along each axis
_STEP = 3.0  # length of a region's side; the last one ends at LIMIT


def region_of(valence: np.ndarray, arousal: np.ndarray) -> np.ndarray:
    """Region 0 to 8: valence low, middle, high (fast axis) by arousal low, middle, high; -1 where either is NaN.

    On the axes from -4 to 4 the borders are -1 and 2, so that the points of a rating 1 to 9 fall three by three.
    """
    known = np.isfinite(valence) & np.isfinite(arousal)
    columns = [
        np.clip(np.floor((np.where(known, axis, 0.0) + LIMIT) / _STEP), 0, _SIDE - 1).astype(np.int64)
        for axis in (valence, arousal)
    ]
    return np.where(known, columns[0] + _SIDE * columns[1], -1)


class RegionSampler:
    """Item k of the stream asks every data set for a segment of region k mod 9; a draw is ``9 x per_region`` items.

    Segments are drawn with replacement, uniformly within the region. Segments whose valence or arousal is unknown (NaN)
    are never drawn; ``left_out`` says how many.

    Parameters
    ----------
    sources : sequence of Segments
        One for each data set. The order matters for ``carried`` only.
    seed : int
    per_region : int
        Items of each region in a draw.
    missing
        What stands in for a region that a data set does not have. ``next``: the following region (cyclic) that it has.
        ``carried``: the same, and the data sets after it are asked for that region too, as the public code does.
        ``even``: the requests are dealt in turn to the regions that it has.

    Raises
    ------
    DataProblem
        If a data set has no segment with valence and arousal.
    """

    def __init__(
        self,
        sources: Sequence[Segments],
        *,
        seed: int,
        per_region: int = 4,
        missing: Literal["next", "carried", "even"] = "next",
    ) -> None:
        self._seed, self._missing = seed, missing
        self._names = [segments.dataset for segments in sources]
        self._items = REGIONS * per_region
        regions = [region_of(segments.valence, segments.arousal) for segments in sources]
        self.left_out = {name: int((region < 0).sum()) for name, region in zip(self._names, regions, strict=True)}
        for name, region in zip(self._names, regions, strict=True):
            if not (region >= 0).any():
                raise DataProblem(
                    f"{name}: segments",
                    f"no valence and arousal in any of {len(region)} segments",
                    "both for at least one segment (the loss compares them)",
                    "Leave the data set out of EMOD's pre-training, or give its events valence and arousal.",
                )
        # Rows ordered by region: a region is a stretch of them.
        self._rows = [np.flatnonzero(region >= 0)[np.argsort(region[region >= 0], kind="stable")] for region in regions]
        self._counts = [np.bincount(region[region >= 0], minlength=REGIONS) for region in regions]
        self._segments = sum(len(rows) for rows in self._rows)

    @property
    def regions(self) -> dict[str, np.ndarray]:
        """Usable segments of each data set in each region, (9,)."""
        return dict(zip(self._names, self._counts, strict=True))

    @property
    def steps_per_epoch(self) -> int:
        """The code's length of an epoch: segments of a mean data set over items of a draw; at least 1."""
        return max(1, self._segments // len(self._rows) // self._items)

    def asked(self, number: int) -> list[np.ndarray]:
        """Region of every item of the ``number``-th draw, (9 x per_region,) for each data set."""
        item = np.arange(number * self._items, (number + 1) * self._items)
        asked = item % REGIONS
        result = []
        for counts in self._counts:
            present = np.flatnonzero(counts)
            if self._missing == "even":
                # A request that can be met is met; the others go round.
                turn = present[(item // REGIONS + asked) % len(present)]
                result.append(np.where(counts[asked] > 0, asked, turn))
            else:
                here = present[np.searchsorted(present, asked) % len(present)]
                asked = here if self._missing == "carried" else item % REGIONS
                result.append(here)
        return result

    def draw(self, number: int) -> list[np.ndarray]:
        """Rows of the segments, (9 x per_region,) for each data set, for the ``number``-th draw (from 0)."""
        batches = []
        for name, rows, counts, region in zip(self._names, self._rows, self._counts, self.asked(number), strict=True):
            # Seeded by name: what a data set draws does not change when another one is added.
            rng = np.random.default_rng([self._seed, number, crc32(name.encode())])
            within = rng.integers(counts[region])
            batches.append(rows[(np.cumsum(counts) - counts)[region] + within])
        return batches
