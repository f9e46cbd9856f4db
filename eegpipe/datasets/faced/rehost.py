"""FACED, variant rehost: NEMAR's nm000112, a BIDS data set with the samples of the vendor's ``data.bdf`` unchanged.

Its events tables hold one row a clip (``video_index``, twelve ratings) and rows without a video for all other
markers. ``trial_type`` is the title of a film, which several clips share, and ``value`` numbers the texts of one file:
neither says which clip it was.
"""

from __future__ import annotations

import re
from pathlib import Path

from eegpipe.datasets.base import Discovery, RecordingEntry, simulated_marker
from eegpipe.datasets.faced.bdf import FACTS, check_header, read_signal
from eegpipe.datasets.faced.clips import (
    RATINGS,
    VIDEO_LABEL,
    Presented,
    check_presented,
    check_ratings,
    stimuli,
)
from eegpipe.datasets.folders import find_folder, natural_key, numbers_text, relative
from eegpipe.datasets.formats.edf import EdfHeader
from eegpipe.datasets.formats.tables import read_table
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

TREE = """\
nm000112/
  participants.tsv
  sub-000/eeg/
    sub-000_task-watchingVideoClips_eeg.bdf
    sub-000_task-watchingVideoClips_events.tsv
    sub-000_task-watchingVideoClips_channels.tsv
    sub-000_task-watchingVideoClips_eeg.json, ..._events.json   (not read)
  sub-001/ ..."""

_FOLDER = re.compile(r"sub-([0-9]{3})")
_FOLDERS = ("nm000112", "faced", "bids")
_STEM = "sub-{:03d}_task-watchingVideoClips"
_SIGNAL, _EVENTS, _CHANNELS = "_eeg.bdf", "_events.tsv", "_channels.tsv"
_PEOPLE = "participants.tsv"
_CURE = "Download the file again from NEMAR (nm000112)."
_LINKS = "Download them again; in a git-annex clone, `git annex get` them first."
# Markers of the experiment that say nothing about clips.
_AROUND = ("Experiment start", "201", "202")
# How the unit of microvolt is written; n/a where the vendor's header had lost its micro sign.
_UNITS = ("µV", "μV", "uV", "n/a")
# The re-host took the word for neutral from a table of the vendor's that holds a backslash there.
_WORDS = {"\\": "neutral"}


def _folders(root: Path) -> dict[int, Path]:
    """Subject number -> ``sub-000/eeg``, by number."""
    folder = find_folder(root, _FOLDER, _FOLDERS)
    children = sorted(folder.iterdir(), key=lambda child: natural_key(child.name)) if folder else []
    matches = ((_FOLDER.fullmatch(child.name), child / "eeg") for child in children)
    return {int(match[1]): child for match, child in matches if match and child.is_dir()}


def recognise(root: Path) -> bool:
    # Of a clone without content the recordings are links that lead nowhere, so names are looked at, not files.
    return any(
        child.name.startswith(_STEM.format(number))
        for number, folder in _folders(root).items()
        for child in folder.iterdir()
    )


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folders = _folders(root)
    if not folders:
        expected = f"{facts.subjects} folders like sub-000/eeg"
        cure = "Name the folder that holds participants.tsv."
        found.problems.append(DataProblem("FACED's BIDS folder", "no folder like sub-000/eeg", expected, cure))
        return found
    top = next(iter(folders.values())).parent.parent
    where, wanted = top.name, facts.numbers
    expected = f"{facts.subjects} people, sub-{wanted[0]:03d} to sub-{wanted[-1]:03d}"
    if missing := [f"sub-{number:03d}" for number in wanted if number not in folders]:
        found.problems.append(DataProblem(where, f"no {numbers_text(missing)}", expected, _LINKS))
    if extra := [f"sub-{number:03d}" for number in folders if number not in wanted]:
        cure = "Take these folders away if they are not part of the data set."
        found.problems.append(DataProblem(where, f"also {numbers_text(extra)}", expected, cure))
    here = {number: folders[number] for number in wanted if number in folders}
    lacking: dict[str, list[str]] = {}
    for number, folder in here.items():
        files = {end: folder / f"{_STEM.format(number)}{end}" for end in (_SIGNAL, _EVENTS, _CHANNELS)}
        absent = [end for end, file in files.items() if not file.is_file()]
        for end in absent:
            lacking.setdefault(end, []).append(f"{number:03d}")
        if _SIGNAL in absent or _EVENTS in absent:
            continue
        own = [relative(file, root) for end, file in files.items() if end not in absent]
        people = [relative(top / _PEOPLE, root)] if (top / _PEOPLE).is_file() else []
        found.entries.append(RecordingEntry(RecordingId(f"{number:03d}"), (*own, *people)))
    for end, numbers in lacking.items():
        needed = "" if end != _CHANNELS else ", which are read without it"
        found.problems.append(
            DataProblem(where, f"no content of *{end} for sub-{numbers_text(numbers)}", f"one a person{needed}", _LINKS)
        )
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    assert facts.trial_s is not None
    signal, events, *others = entry.files
    subject = int(entry.id.subject)
    header = check_header(root / signal, signal, subject, simulated=simulated_marker(root) is not None)
    presented, ratings, notes = _read_events(root / events, events, header)
    check_presented(presented, subject, facts.trial_s, header.duration_s, events)
    for file in others:
        if file.endswith(_CHANNELS):
            _check_channels(root / file, file, header)
    sex, age = _person(root, others, subject)
    raw, unusual = read_signal(root / signal, header, signal)
    return Recording(
        entry.id,
        raw,
        stimuli(presented, subject, ratings),
        facts.reference,
        facts.line_hz,
        sex=sex,
        age=age,
        notes=(*unusual, *notes),
    )


def _read_events(
    path: Path, where: str, header: EdfHeader
) -> tuple[list[Presented], dict[int, dict[str, float]], list[str]]:
    """The clips in order of time, the ratings by video, notes."""
    rows = read_table(path, where, delimiter="\t")
    needed = ("onset", "duration", "video_index", "emotion_label")
    columns = {name for row in rows[:1] for name in row}
    if lacking := [name for name in needed if name not in columns]:
        raise DataProblem(where, f"no column {', '.join(lacking)}", f"the columns {', '.join(needed)}", _CURE)
    rated = {name.lower(): name for name in columns if name.lower() in RATINGS}
    if rated and len(rated) < len(RATINGS):
        lacking = [name for name in RATINGS if name not in rated]
        raise DataProblem(where, f"no column {', '.join(lacking)}", "twelve columns of ratings, or none", _CURE)
    presented, ratings, others = [], {}, 0
    for number, row in enumerate(rows, start=2):
        at = f"{where}: line {number}"
        if row["video_index"] in ("", "n/a"):
            others += row.get("trial_type", "") not in _AROUND
            continue
        video = _number(row, "video_index", at)
        if not video.is_integer() or not 1 <= video <= len(VIDEO_LABEL):
            raise DataProblem(at, f"video_index {video:g}", f"1 to {len(VIDEO_LABEL)}", _CURE)
        clip = Presented(int(video), _number(row, "onset", at), round(_number(row, "duration", at), 6))
        label = VIDEO_LABEL[clip.video - 1]
        word = _WORDS.get(row["emotion_label"], row["emotion_label"].lower())
        if word != label:
            raise DataProblem(f"{at}: emotion_label", f"'{word[:40]}' for video {clip.video}", f"'{label}'", _CURE)
        if row.get("sample", "n/a") not in ("", "n/a"):
            sample, expected = _number(row, "sample", at), clip.onset_s * header.rate_hz(0)
            if abs(sample - expected) > 1:
                found = f"sample {sample:g} at {clip.onset_s:g} s"
                raise DataProblem(at, found, f"sample {expected:.0f} at {header.rate_hz(0):g} Hz", _CURE)
        presented.append(clip)
        if rated:
            ratings[clip.video] = check_ratings([_number(row, rated[name], at) for name in RATINGS], at)
    presented.sort(key=lambda clip: clip.onset_s)
    notes = [f"Not used: {others} markers that belong to no clip."] if others else []
    if not rated:
        notes.append("The events table holds no ratings: valence and arousal are those of the emotion words.")
    return presented, ratings, notes


def _number(row: dict[str, str], name: str, where: str) -> float:
    text = row[name]
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?([eE]-?[0-9]{1,3})?", text):
        raise DataProblem(f"{where}: {name}", f"'{text[:40]}'", "a number", _CURE)
    return float(text)


def _check_channels(path: Path, where: str, header: EdfHeader) -> None:
    rows = read_table(path, where, delimiter="\t")
    names = tuple(row.get("name", "") for row in rows)
    if names != header.labels:
        found = f"the channels {numbers_text(name[:16] for name in names) or '(none)'}"
        raise DataProblem(f"{where}: name", found, "the channels of the recording, in its order", _CURE)
    units = {row.get("units", "n/a") for row in rows}
    if not units <= set(_UNITS):
        found = numbers_text(sorted(repr(unit[:16]) for unit in units))
        raise DataProblem(f"{where}: units", found, "microvolt, or n/a", _CURE)


def _person(root: Path, files: list[str], subject: int) -> tuple[str | None, int | None]:
    """Sex and age; what the table does not hold is unknown."""
    for file in files:
        rows = read_table(root / file, file, delimiter="\t") if file.endswith(_PEOPLE) else []
        for row in rows:
            if row.get("participant_id") == f"sub-{subject:03d}":
                sex, age = row.get("sex", "")[:1].upper(), row.get("age", "")
                return (sex if sex in ("F", "M") else None), (int(age) if re.fullmatch("[0-9]{1,3}", age) else None)
    return None, None
