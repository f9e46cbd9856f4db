"""SEED-V, variant EEG_raw: 16 subjects x 3 sessions x 15 film clips as continuous NeuroScan recordings, 1000 Hz.

A name is ``<subject>_<session>_<yyyymmdd>.cnt``. The session is the set of clips, not the order in time: nine people
saw the sets in another order. The clips are where the vendor's ``trial_start_end_timestamp.txt`` says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry
from eegpipe.datasets.folders import find_folder, numbers_text, stray_note
from eegpipe.datasets.formats import bcmi
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

_FILE = re.compile(r"([0-9]{1,2})_([1-3])_([0-9]{8})(_repaired)?\.cnt")
_SIDE_FILE = re.compile(r"(?i)trial_start_end_timestamp\.txt|read ?me.*|.*\.xlsx|.*\.json|.*\.ipynb|\..*")
_FOLDERS = ("eeg_raw", "seed-v", "seed_v", "seedv")
_TIMES = "trial_start_end_timestamp.txt"
_UNREAD = ("EEG_DE_features", "Eye_raw", "Eye_movement_features", "Scores.xlsx")
_LARGEST_TEXT = 64 * 2**10

LABELS = ("disgust", "fear", "sad", "neutral", "happy")  # in the order of the vendor's codes 0 to 4
SEX = "FMFFMFFMFMFFFMMF"  # subjects 1..16
AGE = (21, 21, 23, 21, 20, 23, 23, 21, 23, 24, 24, 20, 22, 22, 19, 19)
SEQUENCES = (
    (4, 1, 3, 2, 0, 4, 1, 3, 2, 0, 4, 1, 3, 2, 0),
    (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
    (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
)
# Seconds from the beginning of the recording, per session.
START_S = (
    (30, 132, 287, 555, 773, 982, 1271, 1628, 1730, 2025, 2227, 2435, 2667, 2932, 3204),
    (30, 299, 548, 646, 836, 1000, 1091, 1392, 1657, 1809, 1966, 2186, 2333, 2490, 2741),
    (30, 353, 478, 674, 825, 908, 1200, 1346, 1451, 1711, 2055, 2307, 2457, 2726, 2888),
)
STOP_S = (
    (102, 228, 524, 742, 920, 1240, 1568, 1697, 1994, 2166, 2401, 2607, 2901, 3172, 3359),
    (267, 488, 614, 773, 967, 1059, 1331, 1622, 1777, 1908, 2153, 2302, 2428, 2709, 2817),
    (321, 418, 643, 764, 877, 1147, 1284, 1418, 1679, 1996, 2275, 2425, 2664, 2857, 3066),
)

FACTS = Facts(
    subjects=16,
    sessions=3,
    trials=15,
    rate_hz=bcmi.RAW_RATE_HZ,
    channels=bcmi.ORDER_66,
    sessions_trial_s=tuple(
        tuple(float(stop - start) for start, stop in zip(starts, stops, strict=True))
        for starts, stops in zip(START_S, STOP_S, strict=True)
    ),
    sessions_start_s=tuple(tuple(map(float, starts)) for starts in START_S),
    reference=bcmi.REFERENCE,
    line_hz=50.0,
)


def recognise(root: Path) -> bool:
    return find_folder(root, _FILE, _FOLDERS) is not None


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    nothing = DataProblem(
        "SEED-V folder",
        "no file like 1_1_20180804.cnt",
        f"{facts.subjects * facts.sessions} files in EEG_raw",
        "Name the folder that holds EEG_raw, or that folder itself.",
    )
    found, folder, files = bcmi.discover_cnt(root, facts, _FILE, _FOLDERS, _TIMES, nothing, choose=_repaired)
    if folder is None:
        return found
    found.notes += [
        f"{chosen.name} is read, and the file of which it is the repaired copy is not."
        for several in files.values()
        if len(several) > 1 and (chosen := _repaired(several))
    ]
    unread = [name for name in _UNREAD if any((place / name).exists() for place in bcmi.places(root, folder))]
    found.notes += [f"Not read: {', '.join(unread)}."] if unread else []
    found.notes += stray_note(folder, root, [_FILE, _SIDE_FILE])
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    file, *time_file = entry.files
    session, subject = int(entry.id.session or 1), int(entry.id.subject)
    durations, starts = facts.durations(session), facts.starts(session)
    assert durations is not None
    assert starts is not None
    stops = tuple(start + duration for start, duration in zip(starts, durations, strict=True))
    for times in time_file:
        _check_times(root / times, times, session, starts, stops)
    clips = [
        bcmi.ShownClip(trial, f"seed_v/{15 * (session - 1) + trial:02d}", LABELS[code], start, stop)
        for trial, (code, start, stop) in enumerate(
            zip(SEQUENCES[session - 1][: facts.trials], starts, stops, strict=True), start=1
        )
    ]
    return bcmi.read_cnt(
        entry.id,
        root / file,
        file,
        clips,
        channels=facts.channels,
        rate_hz=facts.rate_hz,
        line_hz=facts.line_hz,
        sex=SEX[subject - 1],
        age=AGE[subject - 1],
        notes=("The repaired copy of the file was read.",) if "_repaired" in Path(file).stem else (),
    )


def _repaired(files: Sequence[Path]) -> Path | None:
    """Of a file and its repaired copy the copy; None if the files are not those two."""
    names = {file.stem: file for file in files}
    plain = [name for name in names if f"{name}_repaired" in names]
    return names[f"{plain[0]}_repaired"] if len(files) == 2 and plain else None


def _check_times(path: Path, where: str, session: int, starts: Sequence[float], stops: Sequence[float]) -> None:
    """The vendor's list (``Session 1:``, ``start_second: [...]``, ``end_second: [...]``) against the published one."""
    with path.open("rb") as file:
        text = file.read(_LARGEST_TEXT).decode("utf-8", errors="replace")
    part = re.search(rf"(?is)session\s*{session}\s*:(.*?)(?:session\s*[0-9]\s*:|\Z)", text)
    for name, expected in (("start_second", starts), ("end_second", stops)):
        match = re.search(rf"{name}\s*:\s*\[([^\]]*)\]", part[1]) if part else None
        written = [float(number) for number in re.findall(r"[0-9]{1,9}", match[1])] if match else []
        if written != list(expected):
            raise DataProblem(
                f"{where}: session {session}, {name}",
                f"the seconds {_seconds_text(written)}" if match else "no such list",
                _seconds_text(expected),
                "Copy the file from the vendor, or take it away: then the published times are used.",
            )


def _seconds_text(seconds: Sequence[float]) -> str:
    return numbers_text(f"{one:g}" for one in seconds)
