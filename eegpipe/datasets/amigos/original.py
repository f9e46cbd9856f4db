"""AMIGOS, variant original: ``Data_Original_P01.mat``, the headset's own numbers at 128 Hz, ratings in a workbook.

Cells of ``EEG_DATA`` are time x column; the fourteen electrodes are 14 of 25 columns, the others are the headset's own
(counter, contact quality, motion). Cells are in order of presentation. ``ECG_DATA`` and ``GSR_DATA`` have other rates
and are not carried over.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from eegpipe.datasets.amigos import layout
from eegpipe.datasets.amigos.layout import CURE, ELECTRODES, RATINGS, VIDEOS
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry
from eegpipe.datasets.folders import find_folder, numbers_text, relative
from eegpipe.datasets.formats.xlsx import Cell, read_table
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

KIND = "Original"
# Not known: whether the original cells too begin with the 5 s of baseline that the preprocessed ones begin with. These
# were made from them by filters and a new reference only, so it is assumed. If it is wrong, the first 5 s of each video
# are called baseline; the other way round, baseline would be called video.
BASELINE_S = 5.0
# Where the electrodes are, from 0: from public readers, not from the vendor. Of 25 columns, by the vendor's text.
FIRST_COLUMN, COLUMNS = 3, 25
_TABLE = re.compile(r"(?i)self[ _]?assessment\.xlsx")
_TABLE_FOLDERS = ("metadata", "metadata_xlsx", "metadata xlsx", "data_original", "matlab original data", "amigos")
_BELOW = ("data_original", "matlab original data", "physiological recordings", "physiological_recordings")

FACTS = Facts(
    subjects=40,
    sessions=2,
    trials=len(VIDEOS["short"]),
    rate_hz=layout.RATE_HZ,
    channels=ELECTRODES,
    reference="CMS and DRL of the EPOC headset, at the mastoids",
    line_hz=50.0,
)


def recognise(root: Path) -> bool:
    return layout.recognise(root, KIND)


def discover(root: Path) -> Discovery:
    """Also looks for SelfAssessment.xlsx: below the folder that is named, or beside it."""
    found = layout.discover(root, KIND, FACTS)
    table, base = _find_table(root)
    if not found.entries:
        return found
    if table is None:
        cure = "Put it beside the data, in a folder Metadata. Without it, valence and arousal are unknown."
        found.problems.append(DataProblem("SelfAssessment.xlsx", "no such file", "the ratings of all people", cure))
        return found
    above = root.resolve().relative_to(base)
    found.root = base
    found.entries = [
        RecordingEntry(entry.id, ((above / entry.files[0]).as_posix(), relative(table, base)))
        for entry in found.entries
    ]
    return found


def _find_table(root: Path) -> tuple[Path | None, Path]:
    """(the workbook, the folder that holds it and the data). A user may have named the data's own folder."""
    base = root.resolve()
    while True:
        folder = find_folder(base, _TABLE, _TABLE_FOLDERS)
        if folder is not None:
            return next(file for file in sorted(folder.iterdir()) if _TABLE.fullmatch(file.name)), base
        if base.name.lower() not in _BELOW:
            return None, base
        base = base.parent


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    file, *tables = entry.files
    path, session = root / file, entry.id.session or "short"
    ids = layout.video_ids(path, file)
    ratings, notes = _ratings(root, tables[0], int(entry.id.subject)) if tables else ({}, [])
    last = FIRST_COLUMN + len(ELECTRODES)
    counts: set[int] = set()

    def columns(where: str, signal: np.ndarray) -> bool:
        if signal.ndim != 2 or signal.shape[1] < last:
            expected = f"(samples, {COLUMNS}): time x column"
            raise DataProblem(where, f"shape {signal.shape}", expected, CURE)
        counts.add(signal.shape[1])
        return True

    present, empty, other = layout.read_trials(path, file, "EEG_DATA", session, ids, columns)
    if not present:
        found = f"no signal in {len(empty)} cells"
        raise DataProblem(f"{file}: EEG_DATA, {session} videos", found, "a signal of each video", CURE)
    trials: list[layout.Trial] = []
    spoilt: list[layout.Trial] = []
    for trial in present:
        layout.check_duration(trial, f"{file}: EEG_DATA{{{trial.number}}}", session, BASELINE_S, facts)
        (spoilt if np.isnan(trial.signal[:, FIRST_COLUMN:last]).any() else trials).append(trial)
    reasons = {"EEG channels hold NaN": [trial.video for trial in spoilt], "the cell is empty": empty}
    notes += layout.left_out(session, f"{file}: EEG_DATA, EEG of all {session} videos", reasons, len(trials))
    if counts != {COLUMNS}:
        notes.append(
            f"Cells with {numbers_text(sorted(counts))} columns instead of {COLUMNS}; 4 to 17 are taken as EEG."
        )
    if other and session == "short" and int(entry.id.subject) in layout.NO_LONG_VIDEOS:
        notes.append(f"Not read, because documented to be missing: video {numbers_text(other)}.")
    signals = ((f"{file}: EEG_DATA{{{trial.number}}}", trial.signal.T[FIRST_COLUMN:last]) for trial in trials)
    return layout.build(entry, trials, signals, (), ratings, BASELINE_S, facts, {}, notes)


def _ratings(root: Path, file: str, subject: int) -> tuple[dict[str, dict[str, float]], list[str]]:
    """(video -> ratings, notes) of one person."""
    path = root / file
    stat = path.stat()
    by_person, notes = _table(path.resolve(), file, (stat.st_size, stat.st_mtime_ns))
    own = by_person.get(subject, {})
    for where, name, value in ((at, name, value) for at, row in own.values() for name, value in row.items()):
        layout.check_rating(name, value, where)
    return {video: row for video, (_, row) in own.items()}, list(notes)


@lru_cache(maxsize=1)
def _table(
    path: Path,
    file: str,
    version: tuple[int, int],  # noqa: ARG001 - bytes and time of change tell a replaced file from the one before
) -> tuple[dict[int, dict[str, tuple[str, dict[str, float]]]], tuple[str, ...]]:
    """(person -> video -> (where, ratings that are given), notes on columns and rows that are missing or not read).

    What else the workbook holds is not known (people also rated themselves before the first video), so a row of
    something else than a video is no reason to refuse; it is said.
    """
    rows = read_table(path, file, needed=("userid", "videoid", "arousal", "valence"))
    by_person: dict[int, dict[str, tuple[str, dict[str, float]]]] = {}
    unread: dict[str, None] = {}
    for row in rows:
        number = re.fullmatch(r"[A-Za-z]*0*([0-9]{1,3})", _text(row["userid"]))
        video = _text(row["videoid"]).upper()
        where = f"{file}: UserID {_text(row['userid']) or '(empty)'}, VideoID {video or '(empty)'}"
        if number is None or video not in layout.ALL_VIDEOS:
            unread[where.removeprefix(f"{file}: ")] = None
            continue
        given = {name: _number(row.get(name), name, where) for name in RATINGS if row.get(name) is not None}
        own = by_person.setdefault(int(number[1]), {})
        if given and own.setdefault(video, (where, given))[1] != given:
            raise DataProblem(where, "two rows with different ratings", "one row for a person and video", CURE)
    missing = [name for name in RATINGS if not any(name in row for row in rows)]
    notes = [f"{file} has no column {numbers_text(missing)}."] if missing else []
    notes += [f"Rows of {file} that are not read: {numbers_text(list(unread)[:3])} ({len(unread)})."] if unread else []
    return by_person, tuple(notes)


def _text(value: Cell) -> str:
    return f"{value:g}" if isinstance(value, float) else (value or "")


def _number(value: Cell, name: str, where: str) -> float:
    if not isinstance(value, float):
        raise DataProblem(where, f"{name} '{str(value)[:40]}'", "a number, or nothing", CURE)
    return value
