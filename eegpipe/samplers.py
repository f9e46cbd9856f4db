"""Which segments a training step sees: each method's rule for a batch.

A draw is a pure function of (seed, number of the draw), so that a run that was killed continues exactly where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple
from zlib import crc32

import numpy as np

from eegpipe.errors import DataProblem
from eegpipe.loader import Segments

# With one shared stimulus there is nothing to tell the partner apart from.
LEAST_SHARED_STIMULI = 2


class Pair(NamedTuple):
    """Two subjects of one data set who saw the same stimuli in the same session (indices into the Segments' names)."""

    first: int
    second: int
    session: int


class Batch(NamedTuple):
    """Rows of the segments, (n,) each: ``first[i]`` and ``second[i]`` share stimulus and stimulus time."""

    first: np.ndarray
    second: np.ndarray


class _Source:
    """The pairs of one data set and how to draw windows of a pair."""

    def __init__(self, segments: Segments, seed: int) -> None:
        self.name = segments.dataset
        self._stimulus = segments.stimulus
        # A moment is a stimulus and a time in it, numbered in that order. Times are compared in whole samples, because
        # they come from sums of floats.
        sample = np.round(np.asarray(segments.stimulus_time) * segments.rate_hz).astype(np.int64)
        moments = np.unique(np.stack([segments.stimulus, sample], axis=1), axis=0, return_inverse=True)[1]
        self._moment = moments.ravel()
        self._slots: dict[tuple[int, int], np.ndarray] = {}
        for session in np.unique(segments.session):
            for subject in np.unique(segments.subject):
                rows = np.flatnonzero((segments.session == session) & (segments.subject == subject))
                if len(rows):
                    # A stimulus shown twice to a subject in one session: the first showing counts.
                    rows = rows[np.argsort(segments.trial[rows], kind="stable")]
                    rows = rows[np.unique(self._moment[rows], return_index=True)[1]]
                    self._slots[int(session), int(subject)] = rows
        self.pairs = self._list_pairs()
        np.random.default_rng([seed, crc32(self.name.encode())]).shuffle(self.pairs)

    def _list_pairs(self) -> list[Pair]:
        where = f"{self.name}: segments"
        subjects = {subject for _, subject in self._slots}
        if len(subjects) < 2:
            raise DataProblem(
                where,
                f"{len(subjects)} subject{'' if len(subjects) == 1 else 's'}",
                "at least two subjects (a step compares two who saw the same stimuli)",
                "Leave the data set out of pre-training.",
            )
        slots = sorted(self._slots)
        same_session = [
            Pair(first, second, session)
            for index, (session, first) in enumerate(slots)
            for other, second in slots[index + 1 :]
            if other == session
        ]
        if not same_session:
            raise DataProblem(
                where,
                "no two subjects with the same session",
                "at least one session that two subjects took part in",
                "Check the session names of the recordings, or leave the data set out of pre-training.",
            )
        pairs = [pair for pair in same_session if len(self.shared(pair)) >= LEAST_SHARED_STIMULI]
        if not pairs:
            most = max(len(self.shared(pair)) for pair in same_session)
            raise DataProblem(
                where,
                f"at most {most} stimuli that two subjects share at the same stimulus time in a session",
                f"at least {LEAST_SHARED_STIMULI}",
                "Segment the data set with a step that starts at stimulus onset, or leave it out of pre-training.",
            )
        return pairs

    def shared(self, pair: Pair) -> list[Batch]:
        """For every stimulus that both saw: the rows of the two subjects at the same times, in order of time."""
        first, second = self._slots[pair.session, pair.first], self._slots[pair.session, pair.second]
        _, at_first, at_second = np.intersect1d(
            self._moment[first], self._moment[second], assume_unique=True, return_indices=True
        )
        first, second = first[at_first], second[at_second]
        borders = np.flatnonzero(np.diff(self._stimulus[first])) + 1
        return [
            Batch(*rows)
            for rows in zip(np.split(first, borders), np.split(second, borders), strict=True)
            if len(rows[0])
        ]

    def draw(self, pair: Pair, rng: np.random.Generator, most_stimuli: int) -> Batch:
        """One window of every shared stimulus (of ``most_stimuli`` of them if not 0), at the same time in both."""
        stimuli = self.shared(pair)
        if 0 < most_stimuli < len(stimuli):
            stimuli = [stimuli[index] for index in np.sort(rng.choice(len(stimuli), most_stimuli, replace=False))]
        at = [int(rng.integers(len(stimulus.first))) for stimulus in stimuli]
        return Batch(
            np.array([stimulus.first[index] for stimulus, index in zip(stimuli, at, strict=True)]),
            np.array([stimulus.second[index] for stimulus, index in zip(stimuli, at, strict=True)]),
        )


class PairSampler:
    """mdJPT's batch: for every data set two subjects, one session, one window of every stimulus that both saw.

    Parameters
    ----------
    sources : sequence of Segments
        One for each data set.
    seed : int
    pair_draw
        ``independent``: every data set draws its pair uniformly, on its own. ``coupled``: one integer below the length
        of the longest list of pairs for all data sets, modulo each list's length, as the published code does; pairs at
        the head of a shorter list are then drawn slightly more often, and the data sets' draws depend on each other.
    most_stimuli : int
        At most this many stimuli in a draw, chosen anew each time; 0: all.

    Raises
    ------
    DataProblem
        If a data set has one subject only, no two subjects with a common session, or fewer than two shared stimuli.
    """

    def __init__(
        self,
        sources: Sequence[Segments],
        *,
        seed: int,
        pair_draw: Literal["independent", "coupled"] = "independent",
        most_stimuli: int = 0,
    ) -> None:
        self._sources = [_Source(segments, seed) for segments in sources]
        self._seed, self._pair_draw, self._most_stimuli = seed, pair_draw, most_stimuli

    @property
    def pairs(self) -> list[list[Pair]]:
        """The pairs of each data set, in shuffled order."""
        return [source.pairs for source in self._sources]

    def draw(self, number: int) -> list[Batch]:
        """The batch of each data set for the ``number``-th draw (from 0); depends on the seed and the number only."""
        common = np.random.default_rng([self._seed, number])
        integer = int(common.integers(max(len(source.pairs) for source in self._sources)))
        batches = []
        for source in self._sources:
            # Seeded by name: what a data set draws does not change when another one is added.
            rng = np.random.default_rng([self._seed, number, crc32(source.name.encode())])
            own = int(rng.integers(len(source.pairs)))
            pair = source.pairs[integer % len(source.pairs) if self._pair_draw == "coupled" else own]
            batches.append(source.draw(pair, rng, self._most_stimuli))
        return batches
