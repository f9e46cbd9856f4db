"""SEED, variant Preprocessed_EEG: 15 subjects x 3 sessions x 15 film clips, 62 channels, 200 Hz, microvolt.

One MATLAB file a session, one variable a trial. The letters before ``_eeg<number>`` differ per subject, ``_eeg10``
sorts before ``_eeg2`` as text, and the session is nowhere written: it is the rank of the date within the subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, natural_key, numbers_text, relative, stray_note
from eegpipe.datasets.formats import matlab
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"([0-9]{1,2})_([0-9]{8})\.mat")
_SIDE_FILE = re.compile(r"(?i)label\.mat|readme.*|channel.order.*|.*\.xlsx|subject-id.*|.*\.json|\..*")
_TRIAL = re.compile(r"([A-Za-z]+)_eeg([0-9]{1,2})")
_FOLDERS = ("preprocessed_eeg", "seed_eeg", "seed")

_WORDS = {-1: "negative", 0: "neutral", 1: "positive"}
LABEL_SEQUENCE = (1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1)  # of the 15 clips, the same in every session
_SEX = "MFFMMMFFMFFMFMF"  # subjects 1..15, from the vendor's list of participants

_ORDER = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
)

FACTS = Facts(
    subjects=15,
    sessions=3,
    trials=15,
    rate_hz=200.0,
    channels=tuple(_ORDER.split()),
    trial_s=(235.0, 233.0, 206.0, 238.0, 185.0, 195.0, 237.0, 216.0, 265.0, 237.0, 235.0, 233.0, 235.0, 238.0, 206.0),
    reference="an electrode between CZ and CPZ",
    line_hz=50.0,
)

_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Downsampling": {"from (Hz)": 1000.0, "to (Hz)": 200.0},
    "Bandpass": {"low cutoff (Hz)": 0.0, "high cutoff (Hz)": 75.0},
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
                "SEED folder",
                "no file like 1_20131027.mat",
                f"{facts.subjects * facts.sessions} files in Preprocessed_EEG",
                "Name the folder that holds Preprocessed_EEG, or that folder itself.",
            )
        )
        return found
    labels = folder / "label.mat"
    shared = (relative(labels, root),) if labels.is_file() else ()
    if not shared:
        found.problems.append(
            DataProblem(
                relative(labels, root),
                "no file",
                "the label of every trial",
                "Copy label.mat from the vendor's Preprocessed_EEG. Without it the published label sequence is used.",
            )
        )
    dates: dict[int, list[tuple[str, Path]]] = {}
    for match, file in matching(folder, _FILE):
        dates.setdefault(int(match[1]), []).append((match[2], file))
    for subject in sorted(set(dates) | set(facts.numbers)):
        files = sorted(dates.get(subject, []))
        where = f"{relative(folder, root)}: subject {subject}"
        if subject not in facts.numbers:
            cure = "Take the file away if it is not the vendor's."
            found.problems.append(DataProblem(where, "an unknown subject", f"subjects 1 to {facts.subjects}", cure))
            continue
        if len(files) != facts.sessions:
            cure = "Copy the missing files. Sessions are numbered by the dates that are there."
            if len(files) > facts.sessions:
                cure = "Take away the files that are not the vendor's; their names do not tell which."
            dated = f" ({numbers_text(date for date, _ in files)})" if files else ""
            found.problems.append(DataProblem(where, f"{len(files)} files{dated}", f"{facts.sessions} sessions", cure))
        if len(files) > facts.sessions:
            continue
        for session, (_, file) in enumerate(files, start=1):
            found.entries.append(
                RecordingEntry(RecordingId(f"{subject:02d}", str(session)), (relative(file, root), *shared))
            )
    found.notes += stray_note(folder, root, [_FILE, _SIDE_FILE])
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    assert facts.trial_s is not None
    signal, *label_file = entry.files
    labels = _labels(root, label_file[0], facts.trials) if label_file else LABEL_SEQUENCE[: facts.trials]
    lengths = [round(facts.rate_hz * duration) + 1 for duration in facts.trial_s]
    keys = _trial_keys(root / signal, signal, facts, lengths)

    largest = 8 * len(facts.channels) * max(lengths) + 2**10

    def blocks() -> Iterator[tuple[str, np.ndarray]]:
        for number, key in enumerate(keys, start=1):
            where = f"{signal}: trial {number} ({key})"
            yield where, matlab.numbers(matlab.read_variable(root / signal, signal, key, largest=largest), where)

    raw = join(blocks(), lengths, eeg_channels(facts.channels), facts.rate_hz, facts.line_hz)
    starts = np.cumsum([0, *lengths[:-1]])
    events = boundaries(lengths, facts.rate_hz)
    for trial, (start, length, label) in enumerate(zip(starts, lengths, labels, strict=True), start=1):
        events.append(
            Event(
                onset_s=float(start) / facts.rate_hz,
                duration_s=length / facts.rate_hz,
                kind="stimulus",
                trial=trial,
                stimulus=f"seed/{trial:02d}",
                label=_WORDS[label],
                affect=affect.from_word(_WORDS[label]),
            )
        )
    sex = _SEX[int(entry.id.subject) - 1]
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, _HISTORY, sex=sex)


def _labels(root: Path, file: str, trials: int) -> tuple[int, ...]:
    where = f"{file}: label"
    values = matlab.numbers(matlab.read_variable(root / file, file, "label"), where).ravel()
    expected = LABEL_SEQUENCE[:trials]
    if values.shape != (trials,) or tuple(values) != expected:
        raise DataProblem(
            where,
            f"the labels {', '.join(f'{value:g}' for value in values[:24])}",
            ", ".join(map(str, expected)),
            "This is not SEED's label.mat (SEED-IV has another): copy it from Preprocessed_EEG.",
        )
    return expected


def _trial_keys(path: Path, where: str, facts: Facts, lengths: list[int]) -> list[str]:
    """The variable of every trial in order, after a check of names and shapes that reads no signal."""
    variables = matlab.list_variables(path, where)
    matches = {key: match for key in variables if (match := _TRIAL.fullmatch(key))}
    by_number = {int(match[2]): key for key, match in matches.items()}
    prefixes = {match[1] for match in matches.values()}
    wanted = range(1, facts.trials + 1)
    if sorted(by_number) != list(wanted) or len(prefixes) != 1 or len(matches) != len(by_number):
        names = sorted(matches or variables, key=natural_key)
        hint = " This looks like ExtractedFeatures." if any(name.startswith("de_") for name in variables) else ""
        raise DataProblem(
            where,
            f"the variables {numbers_text(names) or '(none)'}",
            f"<letters>_eeg1 to <letters>_eeg{facts.trials}, one set of letters",
            f"Copy the file from the vendor's Preprocessed_EEG.{hint}",
        )
    for number, length in zip(wanted, lengths, strict=True):
        shape, kind = variables[by_number[number]]
        expected = (len(facts.channels), length)
        if shape != expected or kind != "double":
            raise DataProblem(
                f"{where}: trial {number} ({by_number[number]})",
                f"{kind} of shape {shape}",
                f"double of shape {expected}: channels x (200 Hz x seconds + 1)",
                "Copy the file from the vendor's Preprocessed_EEG.",
            )
    return [by_number[number] for number in wanted]
