"""Recordings of random numbers, and a data set whose vendor files are one text file a subject.

For tests of what happens between readers and later stages; no reader of a real format is involved.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np

from eegpipe import channels
from eegpipe.affect import UNKNOWN, Affect, AffectSource, from_rating, from_word
from eegpipe.datasets.base import Dataset, Discovery, Facts, RecordingEntry, Variant
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

FIRST = RecordingId("01")
SCALP = ("Fp1", "Fz", "Cz", "Pz", "O2", "T7", "CB1", "CB2")
# name -> (type, unit); voltages beside the scalp, and values that are no voltages
OTHERS = {
    "A1": ("misc", "V"),
    "hEOG": ("eog", "V"),
    "EMG1": ("emg", "V"),
    "GSR": ("gsr", "S"),
    "Resp": ("misc", ""),
    "Temp": ("temperature", "C"),
}


def make_recording(
    recording: RecordingId = FIRST, *, seed: int = 0, others: bool = True, rate_hz: float = 200.0
) -> Recording:
    """Two joined blocks of five seconds: noise whose every value is a float32 number of microvolts."""
    generator = np.random.default_rng(seed)
    names = [*SCALP, *(OTHERS if others else ())]
    kinds = ["eeg"] * len(SCALP) + [OTHERS[name][0] for name in names[len(SCALP) :]]
    info = mne.create_info(names, rate_hz, kinds, verbose="error")
    with info._unlock():
        info["line_freq"] = 50.0
    n_samples = int(10 * rate_hz)
    values = (generator.standard_normal((len(names), n_samples)) * 30).astype(np.float32).astype(np.float64)
    for row, (name, channel) in enumerate(zip(names, info["chs"], strict=True)):
        if name in SCALP or OTHERS[name][1] == "V":
            values[row] *= 1e-6
            channel["unit"] = mne.io.constants.FIFF.FIFF_UNIT_V
    raw = mne.io.RawArray(values, info, verbose="error")
    positions = {name: channels.position(name) for name in SCALP}
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"), verbose="error")
    sample_s = 1 / rate_hz
    events = [
        Event(0.0, 1.0, "baseline", 1, "made/01"),
        Event(
            1.0,
            4.0,
            "stimulus",
            1,
            "made/01",
            0.0,
            "joy",
            {"valence": 6.77, "arousal": 1.1},
            from_rating(6.77, 1.1, (1, 9)),
        ),
        Event(5.0, 0.0, "boundary"),
        Event(5.0, 3 + sample_s, "stimulus", 2, "made/02", 31.5, "fear", {"valence": 9.0}, from_word("fear")),
        Event(
            8 + 7 * sample_s, 1 / 3, "stimulus", 3, "made/10", affect=Affect(0.1 + 0.2, -4.0, AffectSource.CLIP_NORM)
        ),
        Event(9.0, 1.0, "stimulus", 4, "made/11", affect=UNKNOWN),
    ]
    history = {"Bandpass": {"low cutoff (Hz)": 4.0, "high cutoff (Hz)": 45.0}, "Reference": {"kind": "average"}}
    return Recording(recording, raw, events, "average of all", 50.0, history, sex="F", age=23)


# --- the data set -----------------------------------------------------------------------------------------------------

CONTENT = "seed {}\n"


def make_vendor_folder(root: Path, subjects: int) -> Path:
    root.mkdir(parents=True)
    for subject in range(1, subjects + 1):
        (root / f"s{subject:02}.txt").write_text(CONTENT.format(subject))
    return root


def recognise(root: Path) -> bool:
    return any(root.glob("s*.txt"))


def discover(root: Path) -> Discovery:
    entries = [RecordingEntry(RecordingId(path.stem[1:]), (path.name,)) for path in sorted(root.glob("s*.txt"))]
    problems = []
    if entries and len(entries) < 2:
        problems.append(DataProblem("s02.txt", "no file", "2 subjects", "Copy it from the archive."))
    return Discovery(root, entries, problems, simulated=(root / "simulated").exists())


def read(root: Path, entry: RecordingEntry) -> Recording:
    text = (root / entry.files[0]).read_text()
    if not text.startswith("seed"):
        raise DataProblem(entry.files[0], "another text", "seed N", "Copy it from the archive.")
    recording = make_recording(entry.id, seed=int(text.split()[1]))
    if "NaN" in text:
        recording.raw._data[2, 500] = math.nan
    return recording


DATASET = Dataset(
    name="made",
    title="Made-up recordings",
    variants=(
        Variant(
            name="text",
            files="text files",
            tree="s01.txt, s02.txt, ...",
            facts=Facts(subjects=2, sessions=1, trials=4, rate_hz=200.0, channels=SCALP),
            recognise=recognise,
            discover=discover,
            read=read,
        ),
    ),
    labels=("fear", "joy"),
    ratings={"valence": (1.0, 9.0), "arousal": (1.0, 9.0)},
    licence="CC0",
    authors=("Ann Author", "Bob Author"),
    citation="Author & Author 2020",
    url="https://example.org/made",
    manufacturer="Made Ltd",
    task_description="Watching nothing",
)


def with_variant(**changes) -> Dataset:
    """The data set with other facts, readers or flags of its one variant."""
    return replace(DATASET, variants=(replace(DATASET.variants[0], **changes),))
