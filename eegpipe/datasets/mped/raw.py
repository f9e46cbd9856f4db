"""MPED, variant raw_EEG_signals: 23 subjects, 28 film clips in two parts, 62 channels and two mastoids, 1000 Hz.

A folder per person with two MATLAB files, one variable a trial: ``raw_eeg1`` to ``raw_eeg17`` and ``raw_eeg18`` to
``raw_eeg34``. Of these 34 trials two are rest, and four carry the label 8, which nothing published explains; the other
28 are the film clips. Folders and files are called after persons: see :mod:`eegpipe.datasets.mped.people`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, numbers_text, relative
from eegpipe.datasets.formats import matlab
from eegpipe.datasets.mped.people import KEY, PrivatePath, key_file, nameless, ranked, read_key, write_key
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_LABEL_FILE = re.compile(r"(?i)raw_eeg_label\.mat")
_SIGNALS = re.compile(r"(?i)raw_eeg_signals")
_PART = re.compile(r"(?i)(.+?)_(dd?)\.mat")
_TRIAL = re.compile(r"raw_eeg([0-9]{1,2})")
_FOLDERS = ("raw_eeg_signals", "mped")
_NO_PERSON = re.compile(r"(?i)[._].*|raw_eeg_signals|eeg_feature.*|gsr_.*")
_CURE = "Copy this subject's folder from the vendor's archive again."

# Of the raw trials 1 to 34. 0 is rest. What 8 means is not known; users leave these four trials out.
LABEL_SEQUENCE = (
    0, 2, 1, 4, 3, 5, 6, 7, 8, 1, 2, 3, 8, 6, 7, 4, 5,
    0, 1, 5, 6, 2, 2, 1, 8, 7, 6, 4, 4, 3, 5, 3, 7, 8,
)  # fmt: skip
WORDS = {1: "neutral", 2: "joy", 3: "funny", 4: "angry", 5: "fear", 6: "disgust", 7: "sadness"}
CLIP_TRIALS = tuple(trial for trial, label in enumerate(LABEL_SEQUENCE, start=1) if label in WORDS)
PARTS = (range(1, 18), range(18, 35))

# The files hold no names. That the first 64 rows are the order of a NeuroScan cap, mastoids inside, is what one public
# reader takes, and it leaves exactly SEED's order; what the rows beyond are is not known.
_ORDER = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 M1 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 M2 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
)
_MOST_ROWS = 128  # only a limit for the memory that a damaged file may ask for
# Clips last 122 to 295 s. Whether a trial is cut to its clip, or holds the hint (10 s) and the rest (30 s) around it,
# is not known; a total of 41.9 hours that is published fits the latter. Nobody publishes which clip is which trial.
_TRIAL_S = (100.0, 340.0)

FACTS = Facts(
    subjects=23,
    sessions=1,
    trials=len(CLIP_TRIALS),
    rate_hz=1000.0,
    channels=tuple(_ORDER.split()),
    trial_s=None,
    reference="unknown",
    line_hz=50.0,
)


class _Person(NamedTuple):
    number: int
    folder: Path


def recognise(root: Path) -> bool:
    return _folder(root) is not None


def _folder(root: Path) -> Path | None:
    """Where the people's folders lie: beside the label file, or without it where a folder's file has its name."""
    if (folder := find_folder(root, _LABEL_FILE, _FOLDERS)) is not None:
        return folder
    folder = root
    while (holder := find_folder(folder, _SIGNALS, _FOLDERS)) is not None:
        folder = next(child for child in sorted(holder.iterdir()) if _SIGNALS.fullmatch(child.name))
    return folder if folder.is_dir() and any(_parts(child) for child in _people(folder)) else None


def _people(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_dir() and not _NO_PERSON.fullmatch(child.name)]


def _files(folder: Path) -> list[Path]:
    """The files of a person's folder; none if it cannot be opened, since the system's own message would name it."""
    try:
        return [child for child in folder.iterdir() if child.is_file()]
    except OSError:
        return []


def _parts(folder: Path) -> list[tuple[int, Path]]:
    """(part, file) of the files that are called after the folder."""
    pairs = ((_PART.fullmatch(file.name), file) for file in _files(folder))
    own = [(len(match[2]), file) for match, file in pairs if match and match[1].casefold() == folder.name.casefold()]
    return sorted(own)


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = _folder(root)
    if folder is None:
        found.problems.append(
            DataProblem(
                "MPED folder",
                "no file raw_EEG_Label.mat and no folders of persons",
                f"raw_EEG_signals with {facts.subjects} folders of two files each",
                "Name the folder that holds raw_EEG_signals, or that folder itself.",
            )
        )
        return found
    labels = sorted(file for file in folder.iterdir() if _LABEL_FILE.fullmatch(file.name))
    shared = tuple(relative(file, root) for file in labels[:1])
    if not shared:
        found.problems.append(
            DataProblem(
                f"{folder.name}: raw_EEG_Label.mat",
                "no file",
                "the label of every trial",
                "Copy it from the vendor's raw_EEG_signals. Without it the published label sequence is used.",
            )
        )
    stray = sum(file.is_file() and not _LABEL_FILE.fullmatch(file.name) for file in folder.iterdir())
    for person in _numbered(folder, facts, found):
        where = f"{folder.name}: subject {person.number:02d}"
        parts = _parts(person.folder)
        stray += len(_files(person.folder)) - len(parts)
        if problem := _problem_of(parts, where):
            found.problems.append(problem)
            continue
        # Nobody but the reader may see these: they hold a name.
        files = tuple(PrivatePath(relative(file, root)) for _, file in parts)
        found.entries.append(RecordingEntry(RecordingId(f"{person.number:02d}"), (*files, *shared)))
    if found.entries:
        found.notes.append(
            f"Of each subject's {len(LABEL_SEQUENCE)} trials, the 2 of rest and the 4 of the unexplained label 8 are "
            "not carried over."
        )
    if stray:
        found.notes.append(f"Not read: {stray} other files (not named here, because names of files are persons').")
    return found


def _numbered(folder: Path, facts: Facts, found: Discovery) -> list[_Person]:
    """The people in the order of their numbers; what is wrong with their folders goes to ``found``."""
    folders = {child.name: child for child in _people(folder)}
    file = key_file(found.root)
    key = read_key(file, FACTS.numbers) if file else None
    if key is not None:
        if unknown := len(folders.keys() - key.keys()):
            cure = f"Add them to the table that {KEY} names, or move it away, so that it is written anew."
            problem = DataProblem(f"{folder.name}: subjects", f"{unknown} folders not in your table", "none", cure)
            found.problems.append(problem)
        people = sorted((_Person(key[name], folders[name]) for name in folders if name in key), key=_number)
        here = {person.number for person in people}
        if missing := [number for number in facts.numbers if number not in here]:
            text = f"no folder for subjects {numbers_text(missing)}"
            found.problems.append(DataProblem(f"{folder.name}: subjects", text, f"{facts.subjects} folders", _CURE))
        return people
    if len(folders) != facts.subjects:
        cure = f"Copy the missing folders. Subjects are numbered by those that are there, unless {KEY} names a table."
        if len(folders) > facts.subjects:
            cure = "Take away what is not the vendor's; a name does not tell which."
        expected = f"{facts.subjects}, one per person"
        found.problems.append(DataProblem(f"{folder.name}: subjects", f"{len(folders)} folders", expected, cure))
    if len(folders) > facts.subjects:
        return []
    people = [
        _Person(number, folders[name]) for number, name in zip(facts.numbers, ranked(list(folders)), strict=False)
    ]
    if file and len(folders) == facts.subjects:
        write_key(file, {person.folder.name: person.number for person in people})
    return people


def _number(person: _Person) -> int:
    return person.number


def _problem_of(parts: list[tuple[int, Path]], where: str) -> DataProblem | None:
    for number, ending in enumerate(("_d.mat", "_dd.mat"), start=1):
        files = [file for part, file in parts if part == number]
        if len(files) != 1:
            found = f"{len(files)} files" if files else "no file"
            expected = f"one file called after its folder, ending in {ending}"
            return DataProblem(f"{where}: part {number}", found, expected, _CURE)
        if not files[0].stat().st_size:
            return DataProblem(f"{where}: part {number}", "an empty file", "34 trials in two files", _CURE)
    return None


# --- one recording ----------------------------------------------------------------------------------------------------


class _Trial(NamedTuple):
    number: int
    file: str
    where: str
    rows: int
    samples: int


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    files, labels = entry.files[:2], entry.files[2:]
    who = f"subject {entry.id.subject}"
    with nameless(who, files):
        for file in labels:
            _check_labels(root / file, f"{who}: {file}")
        trials = [
            trial
            for part, file in enumerate(files, start=1)
            for trial in _trials(root, file, PARTS[part - 1], f"{who}: part {part}", facts)
        ]
        if len(rows := {trial.rows for trial in trials}) != 1:
            raise DataProblem(who, f"trials of {numbers_text(sorted(rows))} rows", "the same rows in all", _CURE)
        shown = [trial for trial in trials if trial.number in CLIP_TRIALS]
        lengths = [trial.samples for trial in shown]
        channels = len(facts.channels)

        def blocks() -> Iterator[tuple[str, np.ndarray]]:
            for trial in shown:  # one in memory at a time: each is 150 MB
                largest = 8 * trial.rows * trial.samples + 2**10
                name = f"raw_eeg{trial.number}"
                value = matlab.read_variable(root / trial.file, trial.where, name, largest=largest)
                yield trial.where, matlab.numbers(value, trial.where)[:channels]

        raw = join(blocks(), lengths, eeg_channels(facts.channels), facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    onsets_s = np.cumsum([0, *lengths[:-1]]) / facts.rate_hz
    for trial, onset_s in zip(shown, onsets_s, strict=True):
        word = WORDS[LABEL_SEQUENCE[trial.number - 1]]
        events.append(
            Event(
                onset_s=float(onset_s),
                duration_s=trial.samples / facts.rate_hz,
                kind="stimulus",
                trial=trial.number,
                # Labels are the same for everybody, so the clips are taken to be; their own numbers are not published.
                stimulus=f"mped/{trial.number:02d}",
                label=word,
                affect=affect.from_word(word),
            )
        )
    more = shown[0].rows - channels
    notes = (f"The last {more} of {shown[0].rows} rows are not read: what they are is not published.",) if more else ()
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, notes=notes)


def _check_labels(path: Path, where: str) -> None:
    values = matlab.numbers(matlab.read_variable(path, where, "eeg_label"), where).ravel()
    if tuple(values) != LABEL_SEQUENCE:
        raise DataProblem(
            f"{where}: eeg_label",
            f"the {values.size} labels {', '.join(f'{value:g}' for value in values[:34])}",
            f"the 34 labels {', '.join(map(str, LABEL_SEQUENCE))}",
            "The list of 30 labels belongs to the features: copy raw_EEG_Label.mat from the vendor's raw_EEG_signals.",
        )


def _trials(root: Path, file: str, wanted: range, where: str, facts: Facts) -> list[_Trial]:
    """The trials of one file in the order of their numbers, checked by their heads; no signal is read."""
    variables = matlab.list_variables(root / file, where)
    heads = {int(match[1]): head for name, head in variables.items() if (match := _TRIAL.fullmatch(name))}
    if sorted(heads) != list(wanted):
        # Other names are not repeated here: they might be a person's.
        found = f"the trials {numbers_text(sorted(heads))}" if heads else f"{len(variables)} arrays of other names"
        raise DataProblem(where, found, f"raw_eeg{wanted[0]} to raw_eeg{wanted[-1]}", _CURE)
    durations = dict(zip(CLIP_TRIALS, facts.trial_s or (), strict=False))  # of a simulated tree
    trials = []
    for number in wanted:
        shape, kind = heads[number]
        at = f"{where}: raw_eeg{number}"
        rows = len(facts.channels)
        if len(shape) != 2 or kind not in ("double", "single") or not rows <= shape[0] <= _MOST_ROWS:
            raise DataProblem(at, f"{kind} of shape {shape}", f"double of shape ({rows} or a few more, samples)", _CURE)
        seconds = shape[1] / facts.rate_hz
        low, high = (durations[number],) * 2 if number in durations else _TRIAL_S
        if number in CLIP_TRIALS and not low <= seconds <= high:
            expected = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
            raise DataProblem(at, f"{seconds:g} s", f"{expected} at {facts.rate_hz:g} Hz", _CURE)
        trials.append(_Trial(number, file, at, shape[0], shape[1]))
    return trials
