"""EEGMAT (PhysioNet): 36 subjects at rest (``_1``) and doing mental arithmetic (``_2``), 19 channels, 500 Hz.

Open data (ODC-By 1.0) in which nothing is felt on purpose: valence and arousal stay unknown. It is the real recorded
signal that anyone can run the pipeline on, so any subset of subjects is accepted and said in a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eegpipe.datasets.base import Dataset, Discovery, Facts, RecordingEntry, Variant
from eegpipe.datasets.folders import find_folder, matching, natural_key, numbers_text, relative, stray_note
from eegpipe.datasets.formats.edf import read_header, read_values
from eegpipe.datasets.formats.people import person
from eegpipe.datasets.signal import Channel, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"Subject([0-9]{2})_([12])\.edf")
_SIDE_FILE = re.compile(r"(?i)subject-info\.csv|records.*|sha256sums.*|license.*|readme.*|annotators|index\.html|\..*")
_FOLDERS = ("eegmat", "eeg-during-mental-arithmetic-tasks-1.0.0", "1.0.0", "files", "physionet.org")
_TASKS = {1: "rest", 2: "arithmetic"}
# Most recordings last 182 s (rest) and 62 s (arithmetic); some were cut shorter when artefacts were taken out.
_USUAL_S = {"rest": 182.0, "arithmetic": 62.0}
_SHORTEST_S = 30.0
_CURE = "Download the file again from physionet.org/content/eegmat."

_ORDER = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz"
_SCALP = tuple(_ORDER.split())
_EAR_DIFFERENCE, _HEART = "A2-A1", "ECG"

FACTS = Facts(
    subjects=36,
    sessions=1,
    trials=2,
    rate_hz=500.0,
    channels=(*(f"EEG {name}" for name in (*_SCALP, _EAR_DIFFERENCE)), "ECG ECG"),
    trial_s=None,
    reference="linked ears",
    line_hz=50.0,
)

# As the prefilter fields of the files say. PhysioNet's page speaks of a 30 Hz high-pass, which the signal contradicts.
_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Bandpass": {"low cutoff (Hz)": 0.5, "high cutoff (Hz)": 45.0},
    "Notch": {"frequency (Hz)": 50.0},
    "ICA": {"method": "eye, muscle and heart components removed by the data set's authors"},
}


def _recognise(root: Path) -> bool:
    return find_folder(root, _FILE, _FOLDERS, depth=5) is not None


def _discover(root: Path) -> Discovery:
    found = Discovery(root, [])
    folder = find_folder(root, _FILE, _FOLDERS, depth=5)
    if folder is None:
        found.problems.append(
            DataProblem(
                "EEGMAT folder",
                "no file like Subject00_1.edf",
                f"two files for each of up to {FACTS.subjects} subjects",
                "Name the folder that holds the .edf files; they are free at physionet.org/content/eegmat.",
            )
        )
        return found
    files = {(int(match[1]), int(match[2])): file for match, file in matching(folder, _FILE)}
    people = folder / "subject-info.csv"
    shared = (relative(people, root),) if people.is_file() else ()
    if not shared:
        cure = "Download it from physionet.org/content/eegmat; without it age and sex are unknown."
        found.problems.append(DataProblem(relative(people, root), "no file", "age and sex of the subjects", cure))
    wanted = range(FACTS.subjects)
    if extra := [file.name for (subject, _), file in files.items() if subject not in wanted]:
        cure = "Take these files away if they are not PhysioNet's."
        expected = f"Subject00 to Subject{FACTS.subjects - 1}"
        found.problems.append(DataProblem(relative(folder, root), numbers_text(extra), expected, cure))
    here = [subject for subject in wanted if (subject, 1) in files or (subject, 2) in files]
    for subject in here:
        for number, task in _TASKS.items():
            name = f"Subject{subject:02d}_{number}.edf"
            file = files.get((subject, number))
            if file is None:
                cure = "Download the second file of this subject, or take the first away."
                where = relative(folder / name, root)
                found.problems.append(DataProblem(where, "no file", "both tasks of a subject", cure))
                continue
            entry = RecordingEntry(RecordingId(f"{subject:02d}", task=task), (relative(file, root), *shared))
            found.entries.append(entry)
            found.notes += _length_note(file, relative(file, root), task)
    if len(here) < FACTS.subjects:
        missing = numbers_text(f"{subject:02d}" for subject in wanted if subject not in here)
        found.notes.append(f"{len(here)} of {FACTS.subjects} subjects are here; not: {missing}. Any subset is fine.")
    found.notes += stray_note(folder, root, [_FILE, _SIDE_FILE])
    found.entries.sort(key=lambda entry: natural_key(entry.files[0]))
    return found


def _length_note(file: Path, where: str, task: str) -> list[str]:
    try:
        duration_s = read_header(file, where).duration_s
    except DataProblem:
        return []  # reading the recording will refuse it
    usual = _USUAL_S[task]
    return [] if duration_s == usual else [f"{where} lasts {duration_s:g} s; most last {usual:g} s."]


def _read(root: Path, entry: RecordingEntry) -> Recording:
    file, *people = entry.files
    header = read_header(root / file, file)
    signals = header.signals
    labels = tuple(header.labels[index] for index in signals)
    if labels != FACTS.channels:
        raise DataProblem(f"{file}: channels", ", ".join(labels), ", ".join(FACTS.channels), _CURE)
    units = {header.labels[index]: header.units[index] for index in signals}
    if wrong := [f"{label} in {unit!r}" for label, unit in units.items() if unit != _unit(label)]:
        raise DataProblem(f"{file}: units", ", ".join(wrong[:5]), "uV for EEG, mV for ECG", _CURE)
    if rates := {header.rate_hz(index) for index in signals} - {FACTS.rate_hz}:
        raise DataProblem(f"{file}: rate", f"{numbers_text(map(str, rates))} Hz", f"{FACTS.rate_hz:g} Hz", _CURE)
    task = entry.id.task
    if not _SHORTEST_S <= header.duration_s <= _USUAL_S[task]:
        expected = f"{_SHORTEST_S:g} to {_USUAL_S[task]:g} s"
        raise DataProblem(f"{file}: duration", f"{header.duration_s:g} s", expected, _CURE)

    block = read_values(root / file, header, signals)
    block[labels.index("ECG ECG")] *= 1e3  # from millivolt
    layout = [*eeg_channels(_SCALP), Channel(_EAR_DIFFERENCE, "misc"), Channel(_HEART, "ecg")]
    raw = join([(file, block)], [block.shape[1]], layout, FACTS.rate_hz, FACTS.line_hz)
    event = Event(
        onset_s=0.0,
        duration_s=block.shape[1] / FACTS.rate_hz,
        kind="stimulus",
        trial=next(number for number, name in _TASKS.items() if name == task),
        stimulus=f"eegmat/{task}",
        label=task,
    )
    sex, age = person(root / people[0], people[0], int(entry.id.subject), column="subject") if people else (None, None)
    return Recording(entry.id, raw, [event], FACTS.reference, FACTS.line_hz, _HISTORY, sex=sex, age=age)


def _unit(label: str) -> str:
    return "mV" if label.startswith("ECG") else "uV"


DATASET = Dataset(
    name="eegmat",
    title="EEGMAT: EEG before and during mental arithmetic",
    variants=(
        Variant(
            name="edf",
            files="EDF files at 500 Hz",
            tree="Subject00_1.edf, Subject00_2.edf and so on (any subjects)\nsubject-info.csv",
            facts=FACTS,
            recognise=_recognise,
            discover=_discover,
            read=_read,
            already_processed=True,
            memory_gb=0.3,
        ),
    ),
    labels=("rest", "arithmetic"),
    access=(
        "Download PhysioNet 'eegmat' (doi 10.13026/C2JQ1P, https://physionet.org/content/eegmat/) and name its folder."
    ),
    size="0.2 GB",
    licence="Open Data Commons Attribution License v1.0",
    authors=(
        "Igor Zyma",
        "Sergii Tukaev",
        "Ivan Seleznov",
        "Ken Kiyono",
        "Anton Popov",
        "Mariia Chernykh",
        "Oleksii Shpenkov",
    ),
    citation=(
        "Zyma, I., Tukaev, S., Seleznov, I., Kiyono, K., Popov, A., Chernykh, M., Shpenkov, O. (2019). "
        "Electroencephalograms during mental arithmetic task performance. Data 4(1), 14. doi:10.3390/data4010014. "
        "Data: PhysioNet, eegmat 1.0.0, doi:10.13026/C2JQ1P"
    ),
    url="https://physionet.org/content/eegmat/1.0.0/",
    manufacturer="XAI-MEDICA (Neurocom)",
    task_description="rest: sitting with closed eyes. arithmetic: serial subtraction of two numbers.",
)
