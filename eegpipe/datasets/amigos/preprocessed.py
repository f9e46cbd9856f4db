"""AMIGOS, variant preprocessed: ``Data_Preprocessed_P01.mat``, 14 EEG, 2 ECG and a skin channel at 128 Hz, 4-45 Hz.

Cells of ``joined_data`` are time x channel and begin with 5 s of baseline; cells of ``labels_selfassessment`` have
**arousal first**, then valence. Trials with NaN in an EEG channel, or with 16 columns, are left out and said in a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eegpipe.datasets.amigos import layout
from eegpipe.datasets.amigos.layout import CURE, ELECTRODES, RATINGS, VIDEOS
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats import matlab
from eegpipe.datasets.signal import Channel
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

KIND = "Preprocessed"
BASELINE_S = 5.0
PERIPHERAL = (
    # Not known: the unit of the electrocardiogram. Its numbers are carried as if they were microvolt.
    Channel("ECG Right", "ecg"),
    Channel("ECG Left", "ecg"),
    Channel("GSR", "misc", volts=False),  # skin resistance, re-encoded by the data set's authors
)
_COLUMNS = len(ELECTRODES) + len(PERIPHERAL)

FACTS = Facts(
    subjects=40,
    sessions=2,
    trials=len(VIDEOS["short"]),
    rate_hz=layout.RATE_HZ,
    channels=ELECTRODES + tuple(channel.name for channel in PERIPHERAL),
    reference="average of the 14 EEG channels",
    line_hz=50.0,
)

_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Re-reference": {"reference": "average"},
    "Bandpass": {"low cutoff (Hz)": 4.0, "high cutoff (Hz)": 45.0},
}


def recognise(root: Path) -> bool:
    return layout.recognise(root, KIND)


def discover(root: Path) -> Discovery:
    return layout.discover(root, KIND, FACTS)


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    (file,) = entry.files
    path, session = root / file, entry.id.session or "short"
    ids = layout.video_ids(path, file)
    ratings = _ratings(path, file, ids)
    narrow: list[str] = []

    def columns(where: str, signal: np.ndarray) -> bool:
        if signal.ndim == 2 and signal.shape[1] == _COLUMNS - 1:
            narrow.append(ids[int(where.rsplit("{", 1)[1][:-1]) - 1])
            return False
        if signal.ndim != 2 or signal.shape[1] != _COLUMNS:
            raise DataProblem(where, f"shape {signal.shape}", f"(samples, {_COLUMNS}): time x channel", CURE)
        return True

    present, empty, other = layout.read_trials(path, file, "joined_data", session, ids, columns)
    if not (present or narrow):
        found = f"no signal in {len(empty)} cells"
        raise DataProblem(f"{file}: joined_data, {session} videos", found, "a signal of each video", CURE)
    trials: list[layout.Trial] = []
    spoilt: list[layout.Trial] = []
    for trial in present:
        layout.check_duration(trial, f"{file}: joined_data{{{trial.number}}}", session, BASELINE_S, facts)
        (spoilt if np.isnan(trial.signal[:, : len(ELECTRODES)]).any() else trials).append(trial)
    reasons = {
        "EEG channels hold NaN": [trial.video for trial in spoilt],
        f"there are {_COLUMNS - 1} columns instead of {_COLUMNS}": narrow,
        "the cell is empty": empty,
    }
    notes = layout.left_out(session, f"{file}: joined_data, EEG of all {session} videos", reasons, len(trials))
    if tuple(ids) != layout.ALL_VIDEOS:
        notes.append("VideoIDs stand in another order than usual; signals and ratings are matched by id.")
    if other and session == "short" and int(entry.id.subject) in layout.NO_LONG_VIDEOS:
        notes.append(f"Not read, because documented to be missing: video {numbers_text(other)}.")
    # A channel beside the EEG that is NaN in any trial is no reason to lose the EEG.
    beside = range(len(ELECTRODES), _COLUMNS)
    good = [column for column in beside if not any(np.isnan(trial.signal[:, column]).any() for trial in trials)]
    if bad := [FACTS.channels[column] for column in beside if column not in good]:
        notes.append(f"Left out, because it holds NaN: channel {', '.join(bad)}.")
    chosen = [*range(len(ELECTRODES)), *good]
    signals = ((f"{file}: joined_data{{{trial.number}}}", trial.signal.T[chosen]) for trial in trials)
    others = [PERIPHERAL[column - len(ELECTRODES)] for column in good]
    return layout.build(entry, trials, signals, others, ratings, BASELINE_S, facts, _HISTORY, notes)


def _ratings(path: Path, file: str, ids: list[str]) -> dict[str, dict[str, float]]:
    """Video -> its twelve ratings; a video without any is not in it."""
    where = f"{file}: labels_selfassessment"
    cells = matlab.cell(matlab.read_variable(path, file, "labels_selfassessment"), where)
    if len(cells) != len(ids):
        raise DataProblem(where, f"{len(cells)} cells", f"{len(ids)}, one for each video", CURE)
    found: dict[str, dict[str, float]] = {}
    for number, (video, cell) in enumerate(zip(ids, cells, strict=True), start=1):
        at = f"{where}{{{number}}}"
        values = matlab.numbers(cell, at)
        if values.size == 0:
            continue
        if values.shape != (1, len(RATINGS)):
            raise DataProblem(at, f"shape {values.shape}", f"(1, {len(RATINGS)}), or empty", CURE)
        found[video] = dict(zip(RATINGS, map(float, values[0]), strict=True))
        for name, value in found[video].items():
            layout.check_rating(name, value, at)
    return found
