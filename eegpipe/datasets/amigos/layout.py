"""What both variants of AMIGOS share: who watched which videos, where the files lie, how trials become a recording.

One MATLAB file a person. Each of its variables is a cell array with a place for every video, in the order of
``VideoIDs``; the place of a video that was not watched, or not rated, holds an empty array.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, natural_key, numbers_text, relative, stray_note
from eegpipe.datasets.formats import mat5, matlab
from eegpipe.datasets.signal import Channel, boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

# Session -> videos, in the order of most files. Short videos first, long ones on another day.
VIDEOS: Mapping[str, tuple[str, ...]] = {
    "short": ("4", "5", "9", "10", "13", "18", "19", "20", "23", "30", "31", "34", "36", "58", "80", "138"),
    "long": ("N1", "P1", "B1", "U1"),
}
ALL_VIDEOS = (*VIDEOS["short"], *VIDEOS["long"])
NO_LONG_VIDEOS = (8, 24, 28)

SCALE, MARKED = (1.0, 9.0), (0.0, 1.0)
# In the order of the file: arousal comes before valence.
SCALED = ("arousal", "valence", "dominance", "liking", "familiarity")
RATINGS: Mapping[str, tuple[float, float]] = dict.fromkeys(SCALED, SCALE) | dict.fromkeys(
    ("neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness"), MARKED
)

RATE_HZ = 128.0
ELECTRODES = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
# Seconds of a video. Not published one by one: short ones are called shorter than 250 s, long ones longer than 14 min.
_VIDEO_S = {"short": (20.0, 250.0), "long": (600.0, 2400.0)}
# Bytes of one video: 2400 s of 25 columns are 62 MB.
_LARGEST = 128 * 2**20
CURE = "Copy the file from the vendor's archive again."
_FOLDERS = ("data_preprocessed", "data_original", "matlab preprocessed data", "matlab original data")
_ABOVE = ("amigos", "physiological recordings", "physiological_recordings")


@dataclass(frozen=True)
class Trial:
    """What one place of the cell arrays holds: ``signal`` (sample, column), time since the baseline began."""

    number: int  # place in the file, from 1
    video: str
    signal: np.ndarray


# --- finding the files ------------------------------------------------------------------------------------------------


def pattern(kind: str) -> re.Pattern[str]:
    """Files and folders of one variant: ``Data_<kind>_P01.mat``, or a folder of that name, as the archives unpack."""
    return re.compile(rf"Data_{kind}_P([0-9]{{2}})(\.mat)?")


def recognise(root: Path, kind: str) -> bool:
    return find_folder(root, pattern(kind), (*_FOLDERS, *_ABOVE)) is not None


def discover(root: Path, kind: str, base: Facts) -> Discovery:
    """The recordings of a variant: a person's short videos, then the long ones. Folders may be doubled."""
    facts = base.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = find_folder(root, pattern(kind), (*_FOLDERS, *_ABOVE))
    if folder is None:
        cure = f"Name the folder that holds the files Data_{kind}_P01.mat and so on, unpacked."
        expected = f"{facts.subjects} files, Data_{kind}_P01.mat and so on"
        found.problems.append(DataProblem("AMIGOS folder", f"no file like Data_{kind}_P01.mat", expected, cure))
        return found
    people, unread = _people(folder, kind)
    wanted = facts.numbers
    where = relative(folder, root)
    first_last = f"Data_{kind}_P{wanted[0]:02d}.mat to Data_{kind}_P{wanted[-1]:02d}.mat"
    if missing := [f"Data_{kind}_P{number:02d}.mat" for number in wanted if number not in people]:
        found.problems.append(DataProblem(where, f"no {numbers_text(missing)}", first_last, CURE))
    if extra := [file.name for number, file in people.items() if number not in wanted]:
        cure = "Take these files away if they are not the vendor's."
        found.problems.append(DataProblem(where, f"also {numbers_text(extra)}", first_last, cure))
    sessions = tuple(VIDEOS)[: facts.sessions]
    for number in wanted:
        if number in people:
            files = (relative(people[number], root),)
            has = [one for one in sessions if one == "short" or number not in NO_LONG_VIDEOS]
            found.entries += [RecordingEntry(RecordingId(f"{number:02d}", session), files) for session in has]
    absent = [number for number in wanted if number in NO_LONG_VIDEOS and number in people]
    if absent and "long" in sessions:
        found.notes.append(f"Without long videos, as documented: subject {numbers_text(absent)}.")
    if unread:
        found.notes.append(f"Not read, because the same person's file lies beside: {numbers_text(unread)}.")
    found.notes += stray_note(
        folder, root, [pattern(kind), re.compile(r"(?i)readme.*|.*\.(json|xlsx|ods|zip|txt)|\..*")]
    )
    return found


def _people(folder: Path, kind: str) -> tuple[dict[int, Path], list[str]]:
    """Number -> file, and what is there twice."""
    people: dict[int, Path] = {}
    unread = []
    for child in sorted(folder.iterdir(), key=lambda child: (child.is_dir(), natural_key(child.name))):
        match = pattern(kind).fullmatch(child.name)
        if match is None:
            continue
        own = child
        if child.is_dir():  # the archive of one person, perhaps unpacked into a folder of its own name
            name = re.compile(rf"Data_{kind}_P{match[1]}\.mat")
            inside = find_folder(child, name, (child.name.lower(),))
            own = inside / f"Data_{kind}_P{match[1]}.mat" if inside else child
        if not own.is_file() or own.suffix != ".mat":
            continue
        if int(match[1]) in people:
            unread.append(relative(own, folder))
        else:
            people[int(match[1])] = own
    return people, unread


# --- reading a file ---------------------------------------------------------------------------------------------------


def video_ids(path: Path, file: str) -> list[str]:
    """The videos in the order of the file's cells: each of the twenty once."""
    where = f"{file}: VideoIDs"
    cells = matlab.cell(matlab.read_variable(path, file, "VideoIDs"), where)
    ids = [(matlab.text(cell) or "").upper() for cell in cells]
    if sorted(ids) != sorted(ALL_VIDEOS):
        found = f"{len(ids)} videos: {numbers_text(ids)}"
        raise DataProblem(where, found, f"each of {' '.join(ALL_VIDEOS)} once", CURE)
    return ids


def read_trials(
    path: Path, file: str, variable: str, session: str, ids: Sequence[str], columns: Callable[[str, np.ndarray], bool]
) -> tuple[list[Trial], list[str], list[str]]:
    """(trials with a signal, videos of the session with an empty cell, videos of the other session with a signal).

    ``columns(where, array)`` says whether a table (sample, column) can be used, or raises a DataProblem.
    """
    trials, empty, other = [], [], []
    heads = matlab.walk(path, file, variable, wanted=lambda place: _belongs(ids, place, session), largest=_LARGEST)
    for part in heads:
        where = f"{file}: {variable}"
        if part.place is None:
            if part.value.kind != "cell" or np.prod(part.value.shape) != len(ids):
                found = f"a {part.value.kind} array of shape {part.value.shape}"
                raise DataProblem(where, found, f"a cell array of {len(ids)} videos", CURE)
            continue
        video, where = ids[part.place], f"{where}{{{part.place + 1}}}"
        if isinstance(part.value, mat5.Variable):
            other += [video] if np.prod(part.value.shape, dtype=float) else []
            continue
        if isinstance(part.value, DataProblem):
            raise part.value
        signal = matlab.numbers(part.value, where)
        if signal.size == 0:
            empty.append(video)
        elif columns(where, signal):
            trials.append(Trial(part.place + 1, video, signal))
    return trials, empty, other


def _belongs(ids: Sequence[str], place: int, session: str) -> bool:
    return place < len(ids) and ids[place] in VIDEOS[session]


def check_duration(trial: Trial, where: str, session: str, baseline_s: float, facts: Facts) -> None:
    """Refuse a length that the video cannot have, or that is not the one in a simulated tree's marker."""
    seconds = len(trial.signal) / facts.rate_hz
    durations = facts.durations(tuple(VIDEOS).index(session) + 1)
    if durations is None:
        low, high = (edge + baseline_s for edge in _VIDEO_S[session])
    else:
        low = high = durations[VIDEOS[session].index(trial.video)]
    if not low <= seconds <= high:
        expected = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
        found = f"{seconds:g} s ({len(trial.signal)} samples)"
        raise DataProblem(where, found, f"{expected} at {facts.rate_hz:g} Hz, baseline included", CURE)


def check_rating(name: str, value: float, where: str) -> None:
    """Refuse a rating outside its scale, or not a number."""
    low, high = RATINGS[name]
    inside = low <= value <= high if name in SCALED else value in (0.0, 1.0)
    if not inside:
        expected = f"{low:g} to {high:g}" if name in SCALED else "0 or 1"
        raise DataProblem(where, f"{name} {value:g}", expected, CURE)


def left_out(session: str, where: str, reasons: Mapping[str, Sequence[str]], kept: int) -> list[str]:
    """One note a reason for the videos that are left out; if there is no other, a refusal.

    ``reasons`` : in words -> videos.
    """
    told = {reason: videos for reason, videos in reasons.items() if videos}
    if kept:
        return [f"Left out, because {reason}: video {numbers_text(videos)}." for reason, videos in told.items()]
    found = "; ".join(f"{reason}: video {numbers_text(videos)}" for reason, videos in told.items())
    raise DataProblem(where, found, f"signals of the {session} videos", "Leave this recording out.")


def build(
    entry: RecordingEntry,
    trials: Sequence[Trial],
    signals: Iterator[tuple[str, np.ndarray]],
    others: Sequence[Channel],
    ratings: Mapping[str, Mapping[str, float]],
    baseline_s: float,
    facts: Facts,
    history: Mapping[str, Mapping[str, str | float]],
    notes: Sequence[str],
) -> Recording:
    """The trials one after the other, each a stretch of baseline and a video.

    Parameters
    ----------
    signals
        (where, (channel, sample)) of each trial: the fourteen electrodes, then ``others``.
    ratings
        Video -> ratings by name.
    """
    lengths = [len(trial.signal) for trial in trials]
    layout = [*eeg_channels(ELECTRODES), *others]
    raw = join(signals, lengths, layout, facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    start = 0
    for trial, length in zip(trials, lengths, strict=True):
        own = ratings.get(trial.video, {})
        onset_s = start / facts.rate_hz
        if baseline_s:
            events.append(Event(onset_s, baseline_s, "baseline", trial=trial.number))
        events.append(
            Event(
                onset_s=onset_s + baseline_s,
                duration_s=length / facts.rate_hz - baseline_s,
                kind="stimulus",
                trial=trial.number,
                stimulus=f"amigos/{trial.video}",
                ratings=own,
                affect=affect.from_rating(own["valence"], own["arousal"], SCALE)
                if {"valence", "arousal"} <= set(own)
                else affect.UNKNOWN,
            )
        )
        start += length
    if without := [trial.video for trial in trials if not {"valence", "arousal"} <= set(ratings.get(trial.video, {}))]:
        notes = [*notes, f"Not rated, so that valence and arousal are unknown: video {numbers_text(without)}."]
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, history, notes=tuple(notes))
