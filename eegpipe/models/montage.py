"""What mdJPT asks of its input: 60 channels in one order, and one amplitude scale per subject.

The projection is a fixed matrix per list of channels, so that any data set of the channel schema can feed one encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Literal

import numpy as np

from eegpipe.channels import channel_id, position, schema
from eegpipe.errors import DataProblem
from eegpipe.loader import Segments

# SEED's 62 channels in SEED's order without the two cerebellar ones, which are in no 10-05 system.
MONTAGE: tuple[str, ...] = tuple(name for name, (row, _) in schema().items() if row < 62 and name not in ("CB1", "CB2"))

NEIGHBOURS = 3

# Where the published neighbour table departs from plain distance between template positions by more than a near tie.
RELEASED_FIRST = {
    "FC3": ("F3", "FC1", "FC5", "C3"),
    "FC1": ("FC3", "FCz", "C1", "F1"),
    "CP3": ("C3", "P3", "CP5", "CP1"),
    "P4": ("P2", "P6", "PO4", "CP4"),
    "O2": ("PO6", "PO4", "PO8", "Oz"),
}

# Samples beyond this many medians of |x| are artefacts and do not count for a subject's mean and spread.
OUTLIER_MEDIANS = 30.0
# Windows whose scale is taken at once: bounds memory. Part of the result in its last digits.
_BLOCK = 64


def neighbour_ranking(name: str, ranking: Literal["distance", "released"] = "distance") -> tuple[str, ...]:
    """The other 59 channels of the montage, nearest first.

    ``distance``: Euclidean, between template positions; equal distances in montage order. ``released``: the same with
    the first four neighbours of five channels as in the published table.
    """
    here = np.array(position(name))
    others = [other for other in MONTAGE if other != name]
    others.sort(key=lambda other: float(np.linalg.norm(np.array(position(other)) - here)))
    first = RELEASED_FIRST.get(name, ()) if ranking == "released" else ()
    return first + tuple(other for other in others if other not in first)


def channel_projection(
    channels: Sequence[str], ranking: Literal["distance", "released"] = "distance", *, where: str = "channels"
) -> np.ndarray:
    """The matrix that maps a data set's channels to the montage.

    A present channel is copied, a missing one is the plain mean of the first three present channels of its ranking.
    References and every other channel outside the montage get a column of zeros.

    Parameters
    ----------
    channels : sequence of str
        Canonical names (:mod:`eegpipe.channels`), in the order of the data.
    ranking
        See :func:`neighbour_ranking`.
    where : str
        What an error message calls the list.

    Returns
    -------
    ndarray, float32, (60, len(channels))

    Raises
    ------
    DataProblem
        If no channel belongs to the montage, or one occurs twice.
    UsageProblem
        If a name is not in the schema.
    """
    for name in channels:
        channel_id(name)  # refuses names that the schema does not hold
    repeated = sorted({name for name in channels if list(channels).count(name) > 1})
    if repeated:
        raise DataProblem(
            where, f"{', '.join(repeated)} more than once", "every channel once", "Write the segments again."
        )
    column = {name: index for index, name in enumerate(channels) if name in MONTAGE}
    if not column:
        raise DataProblem(
            where,
            f"none of the {len(MONTAGE)} scalp channels ({', '.join(channels) or 'no channel at all'})",
            f"at least one of {MONTAGE[0]}, {MONTAGE[1]}, ... {MONTAGE[-1]}",
            "Check the channel names and types of the data set.",
        )
    matrix = np.zeros((len(MONTAGE), len(channels)), dtype=np.float32)
    for row, name in enumerate(MONTAGE):
        if name in column:
            matrix[row, column[name]] = 1.0
        else:
            nearest = [other for other in neighbour_ranking(name, ranking) if other in column][:NEIGHBOURS]
            for other in nearest:
                matrix[row, column[other]] = 1.0 / len(nearest)
    return matrix


def amplitude(eeg: np.ndarray, *, where: str = "eeg") -> tuple[float, float]:
    """Mean and standard deviation (divisor: count) over the samples with ``|x| < 30 median(|x|)``.

    Parameters
    ----------
    eeg : ndarray
        All of one subject's signal, any shape and unit.

    Raises
    ------
    DataProblem
        If there are values that are no finite numbers, or the signal is flat.
    """
    return amplitude_of_blocks(lambda: iter([eeg]), where=where)


def amplitude_of_blocks(blocks: Callable[[], Iterator[np.ndarray]], *, where: str = "eeg") -> tuple[float, float]:
    """:func:`amplitude` of a signal that is not in memory as a whole.

    ``blocks`` gives its pieces, float32 for more than one; they are passed several times. The median is exact. How the
    signal is cut changes the last digits of the sums, so it must not depend on the machine.
    """
    bad = sum(int(block.size - np.count_nonzero(np.isfinite(block))) for block in blocks())
    if bad:
        raise DataProblem(
            where, f"{bad} values that are not finite", "finite microvolts", "Clean and segment the data again."
        )
    limit = OUTLIER_MEDIANS * _median_magnitude(blocks)
    count, mean, squares = 0, 0.0, 0.0
    for block in blocks():
        kept = block[np.abs(block) < limit].astype(np.float64)
        if not kept.size:
            continue
        # Sums of squared distances to each block's own mean, joined as in Chan, Golub and LeVeque (1983).
        own = float(kept.mean())
        total = count + kept.size
        squares += float(np.square(kept - own).sum()) + (own - mean) ** 2 * count * kept.size / total
        mean += (own - mean) * kept.size / total
        count = total
    spread = math.sqrt(squares / count) if count else 0.0
    if spread == 0.0:
        raise DataProblem(
            where, "a flat signal", "a signal that varies", "Leave the subject out or look at its cleaned recording."
        )
    return mean, spread


def _median_magnitude(blocks: Callable[[], Iterator[np.ndarray]]) -> np.floating:
    """The median of ``|x|``, as numpy.median takes it of the whole."""
    first = list(islice(blocks(), 2))
    if len(first) == 1:
        return np.median(np.abs(first[0]))
    # Bit patterns of positive floats are ordered as their values: count upper halves, then lower halves in the one or
    # two bins that hold the middle.
    upper = np.zeros(1 << 16, np.int64)
    for block in blocks():
        upper += np.bincount(_pattern(block) >> np.uint32(16), minlength=len(upper))
    total = int(upper.sum())
    ends = np.cumsum(upper)
    ranks = [(total - 1) // 2, total // 2]
    bins = [int(np.searchsorted(ends, rank, side="right")) for rank in ranks]
    lower = {one: np.zeros(1 << 16, np.int64) for one in bins}
    for block in blocks():
        pattern = _pattern(block)
        high = pattern >> np.uint32(16)
        for one, counts in lower.items():
            counts += np.bincount(pattern[high == one] & np.uint32(0xFFFF), minlength=len(counts))
    middle = []
    for rank, one in zip(ranks, bins, strict=True):
        inside = rank - int(ends[one] - upper[one])
        low = int(np.searchsorted(np.cumsum(lower[one]), inside, side="right"))
        middle.append(np.uint32((one << 16) | low))
    return np.mean(np.array(middle, np.uint32).view(np.float32))


def _pattern(block: np.ndarray) -> np.ndarray:
    return np.abs(np.ascontiguousarray(block, np.float32)).ravel().view(np.uint32)


class MontageWindows:
    """A data set as mdJPT sees it: 60 channels, each subject scaled to mean 0 and spread 1.

    The scale is one pair of numbers per subject over all of the subject's segments, channels and sessions, taken on the
    channels inside the montage. Segments that overlap weigh their common samples twice. Signal is converted window by
    window, so that the memory needed is that of the batch.
    """

    def __init__(self, segments: Segments, ranking: Literal["distance", "released"]) -> None:
        self.segments = segments
        matrix = channel_projection(segments.channels, ranking, where=f"{segments.dataset}: channels")
        self._inside = np.flatnonzero(matrix.any(axis=0))
        self._matrix = matrix[:, self._inside]
        self._buffer = np.empty((0, *segments.eeg.shape[1:]), np.float32)  # taken again for every batch
        self._scale = {
            int(subject): amplitude_of_blocks(
                partial(self._blocks, np.flatnonzero(segments.subject == subject)),
                where=f"{segments.dataset}: subject {segments.subject_names[subject]}",
            )
            for subject in np.unique(segments.subject)
        }

    def _blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), _BLOCK):
            yield self.segments.eeg[rows[start : start + _BLOCK]][:, self._inside]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Windows of the named segments, float32, (len(rows), 60, time). For one thread at a time."""
        if len(rows) > len(self._buffer):
            self._buffer = np.empty((len(rows), *self.segments.eeg.shape[1:]), np.float32)
        eeg = self.segments.windows(rows, self._buffer)
        if len(self._inside) < eeg.shape[1]:
            eeg = eeg[:, self._inside]
        scale = np.array([self._scale[int(subject)] for subject in self.segments.subject[rows]], dtype=np.float32)
        eeg -= scale[:, :1, None]
        eeg /= scale[:, 1:, None]
        return np.matmul(self._matrix, eeg)
