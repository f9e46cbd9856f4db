"""Probes: does a method use of the test part only what its row declares?

A declaration comes from the settings and from what a method says of itself. A probe does not believe it: it changes a
few test segments and looks at what else changes. It costs one more answer for the first fold of a protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from eegpipe.features import streams, trials
from eegpipe.splits import LeakError

if TYPE_CHECKING:
    from eegpipe.loader import Segments

# Of a probability. Batches of another size round float32 otherwise; what depends on a loud segment moves far more.
_TOLERANCE = 1e-3
_SEGMENTS = 8  # an encoder is probed with this many


class _Answers(Protocol):
    def probabilities(self, segments: Segments) -> np.ndarray: ...


class _Encoder(Protocol):
    @property
    def across(self) -> bool: ...

    def features(self, segments: Segments) -> np.ndarray: ...


def probed(segments: Segments, tested: np.ndarray, uses: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which test segments are changed and which must not feel it, two (n,) bool along ``tested``.

    The last segment of each stream (one subject, one session) is changed and, where nothing may read the past, also the
    first. All others must not feel it, but for those of the same trial where smoothing within a trial is declared.

    Parameters
    ----------
    tested : (n,) int
        Positions in the store, ascending.
    uses : sequence of str
        What is declared, keys of ``protocols.TRANSDUCTIVE``.
    """
    past = {"causal_normalisation", "earlier_segments"} & set(uses)
    rows = [stream[[-1]] if past else stream[[0, -1]] for stream in streams(segments, tested)]
    changed = np.isin(tested, np.concatenate(rows))
    held = ~changed
    if "lds_smoothing" in uses:
        for trial in trials(segments, tested):
            at = np.searchsorted(tested, trial)
            if changed[at].any():
                held[at] = False
    return changed, held


def loud(values: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """The values, loud noise where ``changed``; (n, ...). An offset alone could be lost in a normalisation."""
    other = values.copy()
    noise = np.random.default_rng(0).normal(size=other[changed].shape)
    other[changed] = noise * (1 + 10 * np.abs(values).max())
    return other


def assert_declared(
    where: str,
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    answered: np.ndarray,
    answered_after: np.ndarray,
    held: np.ndarray,
) -> None:
    """Raise :class:`LeakError` if changed test segments reach training, or test segments that they may not reach.

    Parameters
    ----------
    before, after : mapping
        Treated features of each part, before and after the change of some test segments.
    answered, answered_after : (n, class)
        Probabilities of the test part.
    held : (n,) bool
        Test segments that must not feel the change.
    """
    for part, values in before.items():
        must_stay = held if part == "test" else np.ones(len(values), dtype=bool)
        # Exactly: what is computed from the same numbers in the same order is the same.
        if not np.array_equal(values[must_stay], after[part][must_stay]):
            whose = "other test segments" if part == "test" else f"the {part} part"
            raise LeakError(
                f"{where}: segments of the test part change the treated features of {whose}, "
                "which the row does not declare."
            )
    _assert_same(where, answered[held], answered_after[held])


def assert_answers_apart(
    fitted: _Answers, tested: Segments, probabilities: np.ndarray, across: bool, where: str
) -> None:
    """Raise :class:`LeakError` if answers for one subject depend on others, or on later segments without saying so.

    The first test subject is answered again alone. Unless ``across`` is declared, with its last segments changed.

    Parameters
    ----------
    tested : Segments
        The test part, n segments.
    probabilities : (n, class)
        What was answered for all of them together.
    """
    mine = np.flatnonzero(tested.subject == tested.subject[0])
    alone = tested.select(mine)
    held = np.ones(len(mine), dtype=bool)
    if not across:
        changed, held = probed(alone, np.arange(len(mine)), ())
        alone = replace(alone, eeg=loud(alone.eeg, changed))
    _assert_same(where, probabilities[mine][held], fitted.probabilities(alone)[held])


def _assert_same(where: str, answered: np.ndarray, again: np.ndarray) -> None:
    moved = np.abs(answered - again).max(axis=1, initial=0.0) > _TOLERANCE
    if moved.any():
        raise LeakError(
            f"{where}: the answers for {moved.sum()} of {len(moved)} test segments change with other test segments, "
            "which the row does not declare."
        )


def assert_alone(encoder: _Encoder, segments: Segments) -> None:
    """Raise :class:`LeakError` if features depend on the other segments given although the encoder says they do not.

    Such an encoder is given whole sessions, training and test part together.
    """
    if encoder.across:
        return
    few = segments.select(np.arange(min(_SEGMENTS, len(segments))))
    together = encoder.features(few).astype(np.float64)
    half = np.arange(len(few)) < (len(few) + 1) // 2
    alone = encoder.features(few.select(half)).astype(np.float64)
    if np.abs(together[half] - alone).max() > _TOLERANCE * max(np.abs(together).max(), 1e-12):
        raise LeakError(
            f"{segments.dataset}: the encoder says that it looks at each segment alone, but its features of a segment "
            "change with the other segments given. Training and test part would meet in it."
        )
