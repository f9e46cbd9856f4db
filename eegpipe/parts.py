"""What a fold names (subjects, sessions, trials, clips, windows) and which segments of a store these are.

Everything is a name or a rule, never a position in an array, so that a fold holds for every windowing of the trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eegpipe.errors import DataProblem, UsageProblem, did_you_mean
from eegpipe.fingerprint import digest
from eegpipe.trials import find_classes

if TYPE_CHECKING:
    from eegpipe.loader import Segments

# From the largest to the smallest; who keeps subjects apart keeps their sessions, trials and windows apart.
UNITS = ("subject", "session", "stimulus", "trial", "window")
# Between data set and subject in the names of subjects of other data sets (``across.joined``). No BIDS label has it.
SEPARATOR = "/"


@dataclass(frozen=True)
class WindowDraw:
    """Some windows of a subject, drawn at random whatever their trial.

    The windows of each class stand in the order of SHA-256 of data set, seed, subject, trial and the window's sample
    from stimulus onset; the first ``share`` of them (rounded, at least one, never all) are the ``drawn`` ones. A list
    of windows would hold for one windowing only: the rule holds for all, and the manifest's hash covers it.

    side : whether this part has the drawn windows or the rest
    target : what the classes are (:func:`trials.find_classes`)
    """

    side: Literal["drawn", "rest"]
    share: float
    seed: int
    target: str


@dataclass(frozen=True)
class Part:
    """Every trial of these subjects with these stimuli, by name; the other fields narrow it down.

    sessions : only these sessions
    trials : only these trials, ``session/number/stimulus``
    windows : only some of the windows
    """

    subjects: tuple[str, ...]
    stimuli: tuple[str, ...]
    sessions: tuple[str, ...] | None = None
    trials: tuple[str, ...] | None = None
    windows: WindowDraw | None = None


@dataclass(frozen=True)
class Fold:
    """One training and one test part. The folds of a group test each of their trials (windows) at most once."""

    name: str
    group: str
    train: Part
    validation: Part | None
    test: Part


def trial_name(session: str, number: int, stimulus: str) -> str:
    """How a part names a trial of its subjects."""
    return f"{session}/{number}/{stimulus}"


def plain_part(part: Part) -> dict[str, Any]:
    """For a manifest: what does not narrow the part down is left out."""
    content: dict[str, Any] = {"subjects": part.subjects, "stimuli": part.stimuli}
    if part.sessions is not None:
        content["sessions"] = part.sessions
    if part.trials is not None:
        content["trials"] = part.trials
    if part.windows is not None:
        content["windows"] = dict(vars(part.windows))
    return content


def read_fold(fold: Mapping[str, Any]) -> Fold:
    """A fold of a manifest."""

    def part(value: Mapping[str, Any]) -> Part:
        names = {name: tuple(value[name]) for name in ("subjects", "stimuli", "sessions", "trials") if name in value}
        unknown = set(value) - set(names) - {"windows"}
        if unknown:
            raise ValueError(f"unknown entry {min(unknown)}")
        return Part(**names, windows=WindowDraw(**value["windows"]) if "windows" in value else None)

    validation = part(fold["validation"]) if fold["validation"] else None
    return Fold(fold["name"], fold["group"], part(fold["train"]), validation, part(fold["test"]))


def part_mask(fold: Fold, part: str, segments: Segments) -> np.ndarray:
    """(segment,) bool: the segments of ``"train"``, ``"validation"`` or ``"test"``; all false for an absent part.

    Raises
    ------
    DataProblem
        A name that the store does not have.
    """
    chosen: Part | None = getattr(fold, part)
    if chosen is None:
        return np.zeros(len(segments.subject), dtype=bool)
    unknown = set(chosen.subjects) - set(segments.subject_names)
    unknown |= set(chosen.stimuli) - set(segments.stimulus_names.values())
    unknown |= set(chosen.sessions or ()) - set(segments.session_names)
    if unknown:
        raise _no_such(min(unknown), part, fold, segments)
    subjects = [index for index, name in enumerate(segments.subject_names) if name in chosen.subjects]
    stimuli = [key for key, name in segments.stimulus_names.items() if name in chosen.stimuli]
    mask = np.isin(segments.subject, subjects) & np.isin(segments.stimulus, stimuli)
    if chosen.sessions is not None:
        sessions = [index for index, name in enumerate(segments.session_names) if name in chosen.sessions]
        mask &= np.isin(segments.session, sessions)
    if chosen.trials is not None:
        rows = np.flatnonzero(mask)
        names, owner = _trials_of(segments, rows)
        missing = set(chosen.trials) - set(names)
        if missing:
            raise _no_such(min(missing), part, fold, segments)
        wanted = set(chosen.trials)
        mask[rows] = np.array([name in wanted for name in names], dtype=bool)[owner]
    if chosen.windows is not None:
        mask &= _drawn(chosen.windows, segments, mask)
    return mask


def _no_such(name: str, part: str, fold: Fold, segments: Segments) -> DataProblem:
    cure = "Make the split again with `eegpipe split`."
    return DataProblem(f"split, {part} part of {fold.name}", f"the name {name}", f"names of {segments.dataset}", cure)


def _trials_of(segments: Segments, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of the trials (without the subject) in these rows, and for each row which it is."""
    columns = (segments.session, segments.trial, segments.stimulus)
    table = np.stack([column[rows].astype(np.int64) for column in columns], axis=1)
    trials, owner = np.unique(table, axis=0, return_inverse=True)
    names = [
        trial_name(segments.session_names[session], number, segments.stimulus_names[stimulus])
        for session, number, stimulus in trials.tolist()
    ]
    return names, owner.reshape(-1)


def _drawn(draw: WindowDraw, segments: Segments, mask: np.ndarray) -> np.ndarray:
    label = find_classes(segments, draw.target).of_segment
    taken = np.zeros(len(mask), dtype=bool)
    for subject in np.unique(segments.subject[mask]):
        purpose = (segments.dataset, draw.seed, "windows", segments.subject_names[subject])
        own = np.flatnonzero(mask & (segments.subject == subject) & (label >= 0))
        names, owner = _trials_of(segments, own)
        sample = np.round(segments.stimulus_time[own] * segments.rate_hz).astype(np.int64)
        keys = np.array([digest(*purpose, names[one], at) for one, at in zip(owner, sample.tolist(), strict=True)])
        for number in np.unique(label[own]):
            mine = np.flatnonzero(label[own] == number)
            count = min(max(round(draw.share * len(mine)), 1), len(mine) - 1)
            taken[own[mine[np.argsort(keys[mine])[:count]]]] = True
    return taken if draw.side == "drawn" else ~taken


def units(segments: Segments, mask: np.ndarray, kind: str) -> set[str]:
    """Names of the subjects, sessions, stimuli or trials that have segments under ``mask``."""
    if kind == "subject":
        return {segments.subject_names[index] for index in np.unique(segments.subject[mask])}
    if kind == "stimulus":
        return {segments.stimulus_names[int(key)] for key in np.unique(segments.stimulus[mask])}
    if kind == "session":
        pairs = set(zip(segments.subject[mask].tolist(), segments.session[mask].tolist(), strict=True))
        return {f"{segments.subject_names[subject]}/{segments.session_names[session]}" for subject, session in pairs}
    if kind == "trial":
        columns = (segments.subject, segments.session, segments.trial, segments.stimulus)
        return {
            f"{segments.subject_names[subject]}/"
            + trial_name(segments.session_names[session], trial, segments.stimulus_names[clip])
            for subject, session, trial, clip in set(zip(*(column[mask].tolist() for column in columns), strict=True))
        }
    raise UsageProblem(f"No kind of unit '{kind}'.{did_you_mean(kind, UNITS)}")


def sharing_samples(segments: Segments, learned: np.ndarray, tested: np.ndarray) -> set[str]:
    """Trials in which a window under ``learned`` and one under ``tested`` have a sample in common, or are the same."""
    rows = np.flatnonzero(learned | tested)
    columns = (segments.subject, segments.session, segments.trial, segments.stimulus)
    keys = np.stack([column[rows].astype(np.int64) for column in columns])
    sample = np.round(segments.stimulus_time[rows] * segments.rate_hz).astype(np.int64)
    order = np.lexsort((sample, *keys[::-1]))
    rows, keys, sample = rows[order], keys[:, order], sample[order]
    # Windows are of one length: if any two of different sides overlap, so do two neighbours in time of different sides.
    close = (keys[:, 1:] == keys[:, :-1]).all(axis=0) & (np.diff(sample) < segments.eeg.shape[-1])
    close &= tested[rows[1:]] != tested[rows[:-1]]
    shared = rows[1:][close]
    twice = np.flatnonzero(learned & tested)
    found = np.zeros(len(learned), dtype=bool)
    found[np.concatenate([shared, twice])] = True
    return units(segments, found, "trial")


def shared_units(segments: Segments, learned: np.ndarray, tested: np.ndarray, kind: str) -> set[str]:
    """What both sides have of this kind; for ``window`` the trials in which windows share samples."""
    if kind == "window":
        return sharing_samples(segments, learned, tested)
    return units(segments, learned, kind) & units(segments, tested, kind)
