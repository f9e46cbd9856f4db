"""DEAP, variant data_preprocessed_python: 32 subjects, 40 one-minute music videos, 32 EEG + 8 other channels, 128 Hz.

One Python-2 pickle a subject. The 3 s before each video are inside the array (8064 samples = 63 s); trials are in the
order of Experiment_id, not of presentation; the columns of ``labels`` are valence, arousal, dominance, liking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative, stray_note
from eegpipe.datasets.formats.pickles import read_pickle
from eegpipe.datasets.signal import Channel, boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"s([0-9]{2})\.dat")
_FOLDERS = ("data_preprocessed_python", "deap")
_BASELINE_S = 3.0
SCALE = (1.0, 9.0)
RATINGS = ("valence", "arousal", "dominance", "liking")
_CURE = "Copy the file from the vendor's data_preprocessed_python again."

_PERIPHERAL = (
    Channel("hEOG", "eog"),
    Channel("vEOG", "eog"),
    Channel("zEMG", "emg"),
    Channel("tEMG", "emg"),
    Channel("GSR", "misc", volts=False),  # ohm
    Channel("Resp", "misc", volts=False),  # respiration belt, arbitrary
    Channel("Plet", "misc", volts=False),  # plethysmograph, arbitrary
    Channel("Temp", "misc", volts=False),  # skin temperature, as recorded
)
# The Geneva order, for every subject.
_ORDER = "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
_EEG = tuple(_ORDER.split())

FACTS = Facts(
    subjects=32,
    sessions=1,
    trials=40,
    rate_hz=128.0,
    channels=_EEG + tuple(channel.name for channel in _PERIPHERAL),
    trial_s=(63.0,) * 40,
    reference="average of the 32 EEG channels",
    line_hz=50.0,
)

_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Downsampling": {"from (Hz)": 512.0, "to (Hz)": 128.0},
    "EOG removal": {"method": "blind source separation, by the data set's authors"},
    "Bandpass": {"low cutoff (Hz)": 4.0, "high cutoff (Hz)": 45.0},
    "Re-reference": {"reference": "average"},
}


def recognise(root: Path) -> bool:
    return find_folder(root, _FILE, _FOLDERS) is not None


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = find_folder(root, _FILE, _FOLDERS)
    if folder is None:
        found.problems.append(
            DataProblem(
                "DEAP folder",
                "no file like s01.dat",
                f"{facts.subjects} files in data_preprocessed_python",
                "Name the folder that holds data_preprocessed_python, or that folder itself.",
            )
        )
        return found
    subjects = {int(match[1]): file for match, file in matching(folder, _FILE)}
    wanted = facts.numbers
    where = relative(folder, root)
    if missing := [f"s{number:02d}.dat" for number in wanted if number not in subjects]:
        found.problems.append(
            DataProblem(where, f"no {numbers_text(missing)}", f"s01.dat to s{facts.subjects:02d}.dat", _CURE)
        )
    if extra := [file.name for number, file in subjects.items() if number not in wanted]:
        cure = "Take these files away if they are not the vendor's."
        expected = f"s01.dat to s{facts.subjects:02d}.dat"
        found.problems.append(DataProblem(where, f"also {numbers_text(extra)}", expected, cure))
    found.entries = [
        RecordingEntry(RecordingId(f"{number:02d}"), (relative(subjects[number], root),))
        for number in wanted
        if number in subjects
    ]
    found.notes += stray_note(folder, root, [_FILE, re.compile(r"(?i)readme.*|.*\.json|\..*")])
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    assert facts.trial_s is not None
    (file,) = entry.files
    lengths = [round(facts.rate_hz * duration) for duration in facts.trial_s]
    shape = (facts.trials, len(facts.channels), lengths[0])
    # Protocol 0 writes a byte in up to four characters.
    content = read_pickle(root / file, file, largest=5 * int(np.prod(shape)) * 8 + 2**20)
    data = _array(content, "data", shape, file)
    labels = _array(content, "labels", (facts.trials, len(RATINGS)), file)
    low, high = SCALE
    inside = (labels >= low) & (labels <= high)  # NaN is not inside
    if not inside.all():
        trial, column = np.argwhere(~inside)[0]
        raise DataProblem(
            f"{file}: labels, trial {trial + 1}",
            f"{RATINGS[column]} {labels[trial, column]:g}",
            f"{low:g} to {high:g}",
            _CURE,
        )

    blocks = ((f"{file}: data, trial {number}", block) for number, block in enumerate(data, start=1))
    layout = [*eeg_channels(_EEG), *_PERIPHERAL]
    raw = join(blocks, lengths, layout, facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    for index, length in enumerate(lengths):
        start_s = sum(lengths[:index]) / facts.rate_hz
        ratings = dict(zip(RATINGS, map(float, labels[index]), strict=True))
        events.append(Event(start_s, _BASELINE_S, "baseline", trial=index + 1))
        events.append(
            Event(
                onset_s=start_s + _BASELINE_S,
                duration_s=length / facts.rate_hz - _BASELINE_S,
                kind="stimulus",
                trial=index + 1,
                stimulus=f"deap/{index + 1:02d}",
                ratings=ratings,
                affect=affect.from_rating(ratings["valence"], ratings["arousal"], SCALE),
            )
        )
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, _HISTORY)


def _array(content: object, key: str, shape: tuple[int, ...], file: str) -> np.ndarray:
    if not isinstance(content, dict) or key not in content:
        names = f"the keys {numbers_text(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        raise DataProblem(file, names, "a dict with 'data' and 'labels'", _CURE)
    value = content[key]
    where = f"{file}: {key}"
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataProblem(where, kind, "an array of floating-point numbers", _CURE)
    if value.shape != shape:
        raise DataProblem(where, f"shape {value.shape}", f"{shape}", _CURE)
    return value
