"""DREAMER: 23 subjects, 18 film clips, 14 channels of an Emotiv EPOC at 128 Hz, all in one DREAMER.mat.

Arrays are time x channel; each clip comes with a separate 61 s baseline; scores are stored as whole numbers of type
uint8. The electrocardiogram (256 Hz) is not carried over, because a recording has one sampling rate.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, relative, stray_note
from eegpipe.datasets.formats import matlab
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"DREAMER\.mat")
_FOLDERS = ("dreamer",)
_BASELINE_S = 61.0
_CLIP_S = (60.0, 400.0)  # the shortest and longest clip are reported as 65 and 393 s
SCALE = (1.0, 5.0)
RATINGS = {"valence": "ScoreValence", "arousal": "ScoreArousal", "dominance": "ScoreDominance"}
_LARGEST = 4 * 2**30  # bytes, decompressed: the format's own limit for one variable
_CURE = "Copy DREAMER.mat from the vendor's archive again."

# What each clip was chosen to evoke, clips 1..18; the order is the same for every subject.
TARGETS = (
    "calmness", "surprise", "amusement", "fear", "excitement", "disgust", "happiness", "anger", "sadness",
    "disgust", "calmness", "amusement", "happiness", "anger", "fear", "excitement", "sadness", "surprise",
)  # fmt: skip

_ORDER = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4"

FACTS = Facts(
    subjects=23,
    sessions=1,
    trials=18,
    rate_hz=128.0,
    channels=tuple(_ORDER.split()),
    trial_s=None,  # clips differ in length, and no list of lengths is published
    reference="CMS and DRL of the EPOC headset, at the mastoids",
    line_hz=50.0,
)


class _Subject(NamedTuple):
    baselines: list[np.ndarray]  # (channel, sample), float32 microvolt
    stimuli: list[np.ndarray]
    ratings: dict[str, np.ndarray]
    sex: str | None
    age: int | None


def recognise(root: Path) -> bool:
    return find_folder(root, _FILE, _FOLDERS) is not None


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = find_folder(root, _FILE, _FOLDERS)
    if folder is None:
        found.problems.append(
            DataProblem(
                "DREAMER folder",
                "no file DREAMER.mat",
                "one file that holds all subjects",
                "Name the folder that holds DREAMER.mat.",
            )
        )
        return found
    file = relative(folder / "DREAMER.mat", root)
    found.entries = [RecordingEntry(RecordingId(f"{number:02d}"), (file,)) for number in facts.numbers]
    found.notes += stray_note(folder, root, [_FILE, re.compile(r"(?i)readme.*|.*\.(json|pdf|txt)|\..*")])
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    (file,) = entry.files
    path = (root / file).resolve()
    stat = path.stat()
    simulated = simulated_marker(root) is not None
    outcome = _parsed(path, file, facts, simulated, (stat.st_size, stat.st_mtime_ns))
    if isinstance(outcome, DataProblem):
        raise outcome
    subject = outcome[int(entry.id.subject) - 1]
    if isinstance(subject, DataProblem):
        raise subject

    names: list[str] = []
    arrays: list[np.ndarray] = []
    for clip, (baseline, stimulus) in enumerate(zip(subject.baselines, subject.stimuli, strict=True), start=1):
        where = f"{file}: Data{{{int(entry.id.subject)}}}.EEG"
        names += [f"{where}.baseline{{{clip}}}", f"{where}.stimuli{{{clip}}}"]
        arrays += [baseline, stimulus]
    lengths = [array.shape[1] for array in arrays]
    blocks = zip(names, arrays, strict=True)
    raw = join(blocks, lengths, eeg_channels(facts.channels), facts.rate_hz, facts.line_hz)
    # Nothing published says that a baseline ends where its clip begins, so a boundary separates them too.
    events = boundaries(lengths, facts.rate_hz)
    starts_s = np.cumsum([0, *lengths[:-1]]) / facts.rate_hz
    for index in range(facts.trials):
        ratings = {name: float(scores[index]) for name, scores in subject.ratings.items()}
        baseline_s, stimulus_s = (lengths[2 * index + part] / facts.rate_hz for part in (0, 1))
        events.append(Event(float(starts_s[2 * index]), baseline_s, "baseline", trial=index + 1))
        events.append(
            Event(
                onset_s=float(starts_s[2 * index + 1]),
                duration_s=stimulus_s,
                kind="stimulus",
                trial=index + 1,
                stimulus=f"dreamer/{index + 1:02d}",
                label=TARGETS[index],
                ratings=ratings,
                affect=affect.from_rating(ratings["valence"], ratings["arousal"], SCALE),
            )
        )
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, {}, sex=subject.sex, age=subject.age)


@lru_cache(maxsize=1)
def _parsed(
    path: Path,
    file: str,
    facts: Facts,
    simulated: bool,
    version: tuple[int, int],  # noqa: ARG001 - part of the key of the cache only
) -> list[_Subject | DataProblem] | DataProblem:
    """All subjects, or why the file cannot be used.

    The one variable of the file can only be read from its beginning. A process therefore reads it once (measured with
    23 subjects and clips of 199 s: 12 s, a peak of 1.5 GB) and keeps the EEG as float32 (0.8 GB); ``version`` (bytes,
    time of change) tells a replaced file from the one before. Refusals are returned, not raised, so that a bad file is
    not read again for every subject.
    """
    try:
        content = matlab.read_variable(path, file, "DREAMER", largest=_LARGEST, skip=("ECG",))
        _check_constants(content, file, facts)
        people = matlab.cell(matlab.struct_field(content, "Data", f"{file}: DREAMER"), f"{file}: Data")
        if len(people) != facts.subjects:
            raise DataProblem(f"{file}: Data", f"{len(people)} subjects", str(facts.subjects), _CURE)
    except DataProblem as problem:
        return problem
    subjects: list[_Subject | DataProblem] = []
    for number in range(1, facts.subjects + 1):
        person, people[number - 1] = people[number - 1], None  # so that the large arrays are let go one by one
        try:
            subjects.append(_subject(person, f"{file}: Data{{{number}}}", facts, simulated))
        except DataProblem as problem:
            subjects.append(problem)
    return subjects


def _check_constants(content: Any, file: str, facts: Facts) -> None:
    where = f"{file}: DREAMER"
    expected = {
        "EEG_SamplingRate": facts.rate_hz,
        "noOfSubjects": facts.subjects,
        "noOfVideoSequences": facts.trials,
    }
    for name, value in expected.items():
        found = matlab.numbers(matlab.struct_field(content, name, where), f"{where}.{name}").ravel()
        if found.shape != (1,) or found[0] != value:
            raise DataProblem(f"{where}.{name}", _listed(found), f"{value:g}", _CURE)
    cells = matlab.cell(matlab.struct_field(content, "EEG_Electrodes", where), f"{where}.EEG_Electrodes")
    electrodes = tuple(matlab.text(cell) or "" for cell in cells)
    if electrodes != facts.channels:
        raise DataProblem(f"{where}.EEG_Electrodes", " ".join(electrodes), " ".join(facts.channels), _CURE)


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:8]) or "nothing"


def _subject(person: Any, where: str, facts: Facts, simulated: bool) -> _Subject:
    eeg = matlab.struct_field(person, "EEG", where)
    clips: dict[str, list[np.ndarray]] = {}
    for part in ("baseline", "stimuli"):
        cells = matlab.cell(matlab.struct_field(eeg, part, f"{where}.EEG"), f"{where}.EEG.{part}")
        if len(cells) != facts.trials:
            raise DataProblem(f"{where}.EEG.{part}", f"{len(cells)} clips", str(facts.trials), _CURE)
        clips[part] = []
        for clip, cell in enumerate(cells, start=1):
            array = matlab.numbers(cell, f"{where}.EEG.{part}{{{clip}}}")
            _check_clip(array, part, clip, f"{where}.EEG.{part}{{{clip}}}", facts, simulated)
            clips[part].append(np.ascontiguousarray(array.T, dtype=np.float32))
    ratings: dict[str, np.ndarray] = {}
    low, high = SCALE
    for name, field in RATINGS.items():
        scores = matlab.numbers(matlab.struct_field(person, field, where), f"{where}.{field}").ravel()
        if scores.shape != (facts.trials,):
            raise DataProblem(f"{where}.{field}", f"{scores.size} scores", str(facts.trials), _CURE)
        wrong = np.flatnonzero(~((scores >= low) & (scores <= high) & (scores == np.round(scores))))
        if wrong.size:
            found = f"{scores[wrong[0]]:g} for clip {wrong[0] + 1}"
            raise DataProblem(f"{where}.{field}", found, f"whole numbers {low:g} to {high:g}", _CURE)
        ratings[name] = scores
    sex = (matlab.text(matlab.struct_field(person, "Gender", where)) or "")[:1].upper()
    age = matlab.text(matlab.struct_field(person, "Age", where)) or ""
    years = re.fullmatch(r"([0-9]{1,3})(\.0*)?", age)
    return _Subject(
        clips["baseline"],
        clips["stimuli"],
        ratings,
        sex if sex in ("F", "M") else None,
        int(years[1]) if years else None,
    )


def _check_clip(array: np.ndarray, part: str, clip: int, where: str, facts: Facts, simulated: bool) -> None:
    channels = len(facts.channels)
    if array.ndim != 2 or array.shape[1] != channels:
        raise DataProblem(where, f"shape {array.shape}", f"(samples, {channels}): time x channel", _CURE)
    seconds = len(array) / facts.rate_hz
    if part == "baseline":
        low = high = _BASELINE_S
        if simulated:  # a simulated tree may shorten durations, and its marker lists those of the clips only
            low = 1.0
    elif facts.trial_s is not None:
        low = high = facts.trial_s[clip - 1]
    else:
        low, high = _CLIP_S
    if not low <= seconds <= high:
        expected = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
        raise DataProblem(where, f"{seconds:g} s ({len(array)} samples)", f"{expected} at {facts.rate_hz:g} Hz", _CURE)
