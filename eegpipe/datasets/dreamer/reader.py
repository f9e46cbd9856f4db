"""DREAMER: 23 subjects, 18 film clips, 14 channels of an Emotiv EPOC at 128 Hz, all in one DREAMER.mat.

Arrays are time x channel; each clip comes with a separate 61 s baseline; scores are stored as whole numbers of type
uint8. The electrocardiogram (256 Hz) is not carried over, because a recording has one sampling rate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, relative, stray_note
from eegpipe.datasets.formats import mat5, matlab
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"DREAMER\.mat")
_FOLDERS = ("dreamer",)
_BASELINE_S = 61.0
_CLIP_S = (60.0, 400.0)  # the shortest and longest clip are reported as 65 and 393 s
SCALE = (1.0, 5.0)
RATINGS = {"valence": "ScoreValence", "arousal": "ScoreArousal", "dominance": "ScoreDominance"}
# Bytes of one subject. With clips of 400 s it would be 205 MB, electrocardiogram included.
_LARGEST = 512 * 2**20
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
    arrays: list[np.ndarray]  # baseline, clip, baseline, clip ...: (sample, channel), microvolt
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
    [(_, outcome)] = read_together(root, [entry])
    if isinstance(outcome, DataProblem):
        raise outcome
    return outcome


def read_together(
    root: Path, entries: Sequence[RecordingEntry]
) -> Iterator[tuple[RecordingEntry, Recording | DataProblem]]:
    """Each subject as the file gives it, one in memory at a time; subjects without an entry are not built.

    The one variable of the file can only be read from its beginning, and what it says about itself stands behind the
    signals. So a first pass reads that, and the second one the subjects.
    """
    if not entries:
        return
    facts = FACTS.expected(root)
    file = entries[0].files[0]
    path = (root / file).resolve()
    stat = path.stat()
    _check_constants(path, file, facts, (stat.st_size, stat.st_mtime_ns))
    places = {facts.numbers.index(int(entry.id.subject)): entry for entry in entries}
    simulated = simulated_marker(root) is not None
    for part in _parts(path, file, set(places)):
        if part.field != "Data" or part.place not in places:
            continue
        entry = places.pop(part.place)
        try:
            if isinstance(part.value, DataProblem):
                raise part.value
            yield entry, _recording(entry, part.value, f"{file}: Data{{{part.place + 1}}}", facts, simulated)
        except DataProblem as problem:
            yield entry, problem
        del part  # before the next one is read
        if not places:  # what follows is not needed, and the first pass has read it to the checksum
            return


def _parts(path: Path, file: str, places: Collection[int]) -> Iterator[mat5.Part]:
    wanted = places.__contains__
    return matlab.walk(path, file, "DREAMER", field="Data", wanted=wanted, largest=_LARGEST, skip=("ECG",))


def _recording(entry: RecordingEntry, person: Any, where: str, facts: Facts, simulated: bool) -> Recording:
    subject = _subject(person, where, facts, simulated)
    names = [f"{where}.EEG.{part}{{{clip + 1}}}" for clip in range(facts.trials) for part in ("baseline", "stimuli")]
    lengths = [len(array) for array in subject.arrays]
    blocks = zip(names, (array.T for array in subject.arrays), strict=True)
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


@lru_cache(maxsize=4)
def _constants(path: Path, file: str, version: tuple[int, int]) -> dict[str, Any] | DataProblem:  # noqa: ARG001
    """Everything but the subjects, of which there is only the head of their cell array; or why it cannot be read.

    ``version`` (bytes, time of change) tells a replaced file from the one before. A refusal is returned, not raised, so
    that a bad file is not read again for every subject.
    """
    fields: dict[str, Any] = {}
    try:
        for part in _parts(path, file, ()):
            if part.place is None:
                fields[part.field] = part.value
    except DataProblem as problem:
        return problem
    return fields


def _check_constants(path: Path, file: str, facts: Facts, version: tuple[int, int]) -> None:
    where = f"{file}: DREAMER"
    fields = _constants(path, file, version)
    if isinstance(fields, DataProblem):
        raise fields
    if "" in fields:
        raise DataProblem(where, f"a {fields[''].kind} array of shape {fields[''].shape}", "one struct", _CURE)
    expected = {
        "EEG_SamplingRate": facts.rate_hz,
        "noOfSubjects": facts.subjects,
        "noOfVideoSequences": facts.trials,
    }
    for name, value in expected.items():
        found = matlab.numbers(matlab.struct_field(fields, name, where), f"{where}.{name}").ravel()
        if found.shape != (1,) or found[0] != value:
            raise DataProblem(f"{where}.{name}", _listed(found), f"{value:g}", _CURE)
    cells = matlab.cell(matlab.struct_field(fields, "EEG_Electrodes", where), f"{where}.EEG_Electrodes")
    electrodes = tuple(matlab.text(cell) or "" for cell in cells)
    if electrodes != facts.channels:
        raise DataProblem(f"{where}.EEG_Electrodes", " ".join(electrodes), " ".join(facts.channels), _CURE)
    people = matlab.struct_field(fields, "Data", where)
    if not isinstance(people, mat5.Variable) or people.kind != "cell":
        matlab.cell(people, f"{file}: Data")
        raise AssertionError("what is no cell array was refused")
    if math.prod(people.shape) != facts.subjects:
        raise DataProblem(f"{file}: Data", f"{math.prod(people.shape)} subjects", str(facts.subjects), _CURE)


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
            clips[part].append(array)
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
        [array for pair in zip(clips["baseline"], clips["stimuli"], strict=True) for array in pair],
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
