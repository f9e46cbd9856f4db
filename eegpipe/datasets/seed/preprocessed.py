"""SEED, variant Preprocessed_EEG: 15 subjects x 3 sessions x 15 film clips, 62 channels, 200 Hz, microvolt.

One MATLAB file a session, one variable a trial. The letters before ``_eeg<number>`` differ per subject, ``_eeg10``
sorts before ``_eeg2`` as text, and the session is nowhere written: it is the rank of the date within the subject.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative, stray_note
from eegpipe.datasets.formats import bcmi, matlab
from eegpipe.datasets.seed import experiment
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

_FILE = re.compile(r"([0-9]{1,2})_([0-9]{8})\.mat")
_SIDE_FILE = re.compile(r"(?i)label\.mat|readme.*|channel.order.*|.*\.xlsx|subject-id.*|.*\.json|\..*")
_FOLDERS = ("preprocessed_eeg", "seed_eeg", "seed")
# SEED-IV's files have names of the same form, in eeg_raw_data/1, 2, 3 and their neighbours.
_SEED_IV = re.compile(r"(?i)(eeg|eye)_(raw_data|feature_smooth)")

FACTS = Facts(
    subjects=15,
    sessions=3,
    trials=15,
    rate_hz=bcmi.RATE_HZ,
    channels=bcmi.ORDER_62,
    trial_s=experiment.TRIAL_S,
    reference=bcmi.REFERENCE,
    line_hz=50.0,
)

_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Downsampling": {"from (Hz)": 1000.0, "to (Hz)": 200.0},
    "Bandpass": {"low cutoff (Hz)": 0.0, "high cutoff (Hz)": 75.0},
}


def recognise(root: Path) -> bool:
    folder = find_folder(root, _FILE, _FOLDERS)
    return folder is not None and not _SEED_IV.fullmatch(folder.resolve().parent.name)


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
    labels = _labels(root, label_file[0], facts.trials) if label_file else experiment.LABEL_SEQUENCE[: facts.trials]
    lengths = [round(facts.rate_hz * duration) + 1 for duration in facts.trial_s]
    keys = _trial_keys(root / signal, signal, facts, lengths)

    trials = [
        bcmi.CutTrial(trial, key, length, f"seed/{trial:02d}", experiment.WORDS[label], f"trial {trial}")
        for trial, (key, length, label) in enumerate(zip(keys, lengths, labels, strict=True), start=1)
    ]
    sex = experiment.SEX[int(entry.id.subject) - 1]
    return bcmi.read_cut(entry.id, root / signal, signal, trials, facts, _HISTORY, sex=sex)


def _labels(root: Path, file: str, trials: int) -> tuple[int, ...]:
    where = f"{file}: label"
    values = matlab.numbers(matlab.read_variable(root / file, file, "label"), where).ravel()
    expected = experiment.LABEL_SEQUENCE[:trials]
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
    keys = bcmi.trial_keys(variables, facts.trials, where, "Preprocessed_EEG")
    for number, (key, length) in enumerate(zip(keys, lengths, strict=True), start=1):
        shape, kind = variables[key]
        expected = (len(facts.channels), length)
        if shape != expected or kind != "double":
            raise DataProblem(
                f"{where}: trial {number}",
                f"{kind} of shape {shape}",
                f"double of shape {expected}: channels x (200 Hz x seconds + 1)",
                "Copy the file from the vendor's Preprocessed_EEG.",
            )
    return keys
