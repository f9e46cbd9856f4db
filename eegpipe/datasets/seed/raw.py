"""SEED, variant SEED_RAW_EEG: the same sessions as continuous NeuroScan recordings, 66 channels, 1000 Hz.

The session number is in the name (``<subject>_<session>.cnt``). No usable marks are known in the files: the clips are
where the vendor's ``time.txt`` says, at the same times in every recording.
"""

from __future__ import annotations

import re
from pathlib import Path

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry
from eegpipe.datasets.folders import find_folder, numbers_text, stray_note
from eegpipe.datasets.formats import bcmi
from eegpipe.datasets.seed import experiment
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

_FILE = re.compile(r"([0-9]{1,2})_([1-3])\.cnt")
_SIDE_FILE = re.compile(r"(?i)time\.txt|readme.*|.*\.xlsx|subject-id.*|.*\.json|\..*")
_FOLDERS = ("seed_raw_eeg", "01-eeg-raw", "chinese", "seed_eeg", "seed_multimodal", "seed")
_TIMES = "time.txt"
_LARGEST_TEXT = 64 * 2**10

FACTS = Facts(
    subjects=15,
    sessions=3,
    trials=15,
    rate_hz=bcmi.RAW_RATE_HZ,
    channels=bcmi.ORDER_66,
    trial_s=experiment.TRIAL_S,
    sessions_start_s=(tuple(map(float, experiment.START_S)),) * 3,
    reference=bcmi.REFERENCE,
    line_hz=50.0,
)


def recognise(root: Path) -> bool:
    return find_folder(root, _FILE, _FOLDERS) is not None


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    nothing = DataProblem(
        "SEED raw folder",
        "no file like 1_1.cnt",
        f"{facts.subjects * facts.sessions} files in SEED_RAW_EEG",
        "Name the folder that holds SEED_RAW_EEG (or Chinese/01-EEG-raw), or that folder itself.",
    )
    found, folder, _ = bcmi.discover_cnt(root, facts, _FILE, _FOLDERS, _TIMES, nothing)
    if folder:
        found.notes += stray_note(folder, root, [_FILE, _SIDE_FILE])
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    file, *time_file = entry.files
    session = int(entry.id.session or 1)
    durations, starts = facts.durations(session), facts.starts(session)
    assert durations is not None
    assert starts is not None
    stops = [start + duration for start, duration in zip(starts, durations, strict=True)]
    for times in time_file:
        _check_times(root / times, times, starts, stops)
    clips = [
        bcmi.ShownClip(trial, f"seed/{trial:02d}", experiment.WORDS[code], start, stop)
        for trial, (code, start, stop) in enumerate(
            zip(experiment.LABEL_SEQUENCE[: facts.trials], starts, stops, strict=True), start=1
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
        sex=experiment.SEX[int(entry.id.subject) - 1],
    )


def _check_times(path: Path, where: str, starts: tuple[float, ...], stops: list[float]) -> None:
    """The vendor's ``start_point_list=[27000,...]`` and ``end_point_list=[...]`` against the published times."""
    with path.open("rb") as file:
        text = file.read(_LARGEST_TEXT).decode("utf-8", errors="replace")
    for name, expected_s in (("start_point_list", starts), ("end_point_list", stops)):
        expected = [round(time_s * bcmi.RAW_RATE_HZ) for time_s in expected_s]
        match = re.search(rf"{name}\s*=\s*\[([^\]]*)\]", text)
        written = [int(number) for number in re.findall(r"[0-9]{1,10}", match[1])] if match else []
        if written != expected:
            raise DataProblem(
                f"{where}: {name}",
                f"the samples {numbers_text(written)}" if match else "no such list",
                numbers_text(expected),
                "Copy time.txt from the vendor's SEED_RAW_EEG, or take it away: then the published times are used.",
            )
