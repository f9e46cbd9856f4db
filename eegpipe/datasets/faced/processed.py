"""FACED, variant Processed_data: 123 subjects, 28 film clips, 30 scalp channels and 2 mastoids, last 30 s at 250 Hz.

The signal is a pickled array in order of video number; the ratings (``After_remarks.mat``) are in order of presentation
and are brought together by video number. The mastoids A2, A1 are the last two channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.faced.clips import VIDEO_S, stimulus
from eegpipe.datasets.faced.remarks import missing_remarks, people_file, read_remarks, remarks_files, sex_and_age
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative, stray_note
from eegpipe.datasets.formats.pickles import read_pickle
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

TREE = """\
FACED/
  Processed_data/sub000.pkl ... sub122.pkl
  Data/sub000/After_remarks.mat ...   (the ratings; Data/Data/ is fine)
  Recording_info.csv                  (sex and age, if there)"""

_FILE = re.compile(r"sub([0-9]{3})\.pkl")
_SIDE_FILE = re.compile(r"(?i)readme.*|.*\.(json|csv|xlsx|md)|\..*")
_FOLDERS = ("processed_data", "faced")
_FEATURES = "eeg_features"
_CURE = "Copy the file from the vendor's archive again."

_ORDER = "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2 A2 A1"
CHANNELS = tuple(_ORDER.split())

FACTS = Facts(
    subjects=123,
    people=tuple(range(123)),
    sessions=1,
    trials=28,
    rate_hz=250.0,
    channels=CHANNELS,
    trial_s=(30.0,) * 28,
    reference="average of all 32 channels, mastoids included",
    line_hz=50.0,
)

_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Resampling": {"to (Hz)": 250.0},
    "Bandpass": {"low cutoff (Hz)": 0.05, "high cutoff (Hz)": 47.0},
    "Bad channel interpolation": {"method": "by the data set's authors"},
    "ICA": {"method": "FastICA, components like Fp1 and Fp2 removed"},
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
                "FACED folder",
                "no file like sub000.pkl",
                f"{facts.subjects} files in Processed_data",
                "Name the folder that holds Processed_data (and Data), or Processed_data itself.",
            )
        )
        return found
    subjects = {int(match[1]): file for match, file in matching(folder, _FILE)}
    wanted = facts.numbers
    expected = f"{facts.subjects} files, sub{wanted[0]:03d}.pkl to sub{wanted[-1]:03d}.pkl"
    where = folder.name
    if missing := [f"sub{number:03d}.pkl" for number in wanted if number not in subjects]:
        found.problems.append(DataProblem(where, f"no {numbers_text(missing)}", expected, _CURE))
    if extra := [file.name for number, file in subjects.items() if number not in wanted]:
        cure = "Take these files away if they are not the vendor's."
        found.problems.append(DataProblem(where, f"also {numbers_text(extra)}", expected, cure))

    remarks, people = remarks_files(root), people_file(root, folder)
    for number in (number for number in wanted if number in subjects):
        own = (remarks[number],) if number in remarks else ()
        files = (relative(subjects[number], root), *own, *people)
        found.entries.append(RecordingEntry(RecordingId(f"{number:03d}"), files))
    if without := [number for number in wanted if number in subjects and number not in remarks]:
        found.problems.append(missing_remarks(without))
    found.notes += stray_note(folder, root, [_FILE, _SIDE_FILE])
    found.notes += [
        f"Not read: {relative(child, root)}, features that the data set's authors computed."
        for child in sorted({root, folder.parent} if folder != root else {root})
        for child in child.iterdir()
        if child.name.lower() == _FEATURES
    ]
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    assert facts.trial_s is not None
    signal = entry.files[0]
    lengths = [round(facts.rate_hz * duration) for duration in facts.trial_s]
    shape = (facts.trials, len(facts.channels), lengths[0])
    data = read_pickle(root / signal, signal, largest=5 * int(np.prod(shape)) * 8 + 2**20)
    if not isinstance(data, np.ndarray) or data.dtype != np.float64 or data.shape != shape:
        kind = f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataProblem(signal, kind, f"float64 of shape {shape}: video x channel x sample", _CURE)
    ratings = dict(read_remarks(root, entry.files, facts.trials))
    sex, age = sex_and_age(root, entry.files, int(entry.id.subject))

    blocks = ((f"{signal}: video {video}", block) for video, block in enumerate(data, start=1))
    raw = join(blocks, lengths, eeg_channels(facts.channels), facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    for index, length in enumerate(lengths):
        duration_s = length / facts.rate_hz
        events.append(
            stimulus(
                index + 1,
                trial=index + 1,
                onset_s=sum(lengths[:index]) / facts.rate_hz,
                duration_s=duration_s,
                offset_s=VIDEO_S[index] - duration_s,  # the signal ends where the video ends
                ratings=ratings,
            )
        )
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, _HISTORY, sex=sex, age=age)
