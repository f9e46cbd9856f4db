"""SEED-VII, variant EEG_preprocessed: one MATLAB file per subject with the 80 clips of its four sessions, 200 Hz.

The variables are called ``1`` to ``80``, which are no MATLAB names and sort as text in another order. The files of
EYE_features and continuous_labels have the same names and the same variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, natural_key, numbers_text, relative, stray_note
from eegpipe.datasets.formats import bcmi, matlab
from eegpipe.datasets.seed_vii import experiment
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

_FILE = re.compile(r"([0-9]{1,2})\.mat")
_SIDE_FILE = re.compile(r"(?i)readme.*|.*\.xlsx|.*\.locs|.*\.json|\..*")
_FOLDER = "eeg_preprocessed"
_FOLDERS = experiment.folders(_FOLDER)
_COPY = "Copy the file from the vendor's EEG_preprocessed."

FACTS = Facts(
    subjects=experiment.SUBJECTS,
    sessions=experiment.SESSIONS,
    trials=experiment.TRIALS,
    rate_hz=bcmi.RATE_HZ,
    channels=bcmi.ORDER_62,
    reference=bcmi.REFERENCE,
    line_hz=50.0,
)

_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Bad channel interpolation": {"method": "by the data set's authors"},
    "Bandpass": {"low cutoff (Hz)": 0.1, "high cutoff (Hz)": 70.0},
    "Notch": {"frequency (Hz)": 50.0},
    "Downsampling": {"from (Hz)": 1000.0, "to (Hz)": 200.0},
}


def _signal_folder(root: Path) -> Path | None:
    """Only the folder's name tells it from EEG_features, EYE_features and continuous_labels."""
    folder = find_folder(root, _FILE, _FOLDERS)
    return folder if folder is not None and folder.resolve().name.lower() == _FOLDER else None


def recognise(root: Path) -> bool:
    return _signal_folder(root) is not None


def discover(root: Path) -> Discovery:
    facts = experiment.expected(FACTS, root)
    simulated = simulated_marker(root) is not None
    folder = _signal_folder(root)
    if folder is None:
        return Discovery(
            root,
            [],
            [
                DataProblem(
                    "SEED-VII folder",
                    "no EEG_preprocessed with files like 1.mat",
                    f"{facts.subjects} files",
                    "Name the folder that holds EEG_preprocessed and save_info, or EEG_preprocessed itself.",
                )
            ],
            simulated,
        )
    base, folder = experiment.package(root, folder)
    found = Discovery(base, [], simulated=simulated)
    tables = experiment.save_info(base)
    files: dict[int, list[Path]] = {}
    for match, file in matching(folder, _FILE):
        files.setdefault(int(match[1]), []).append(file)
    here = {}
    for subject in sorted(set(files) | set(facts.numbers)):
        mine = files.get(subject, [])
        where = f"{relative(folder, base)}: subject {subject}"
        if subject not in facts.numbers:
            cure = "Take the file away if it is not the vendor's."
            expected = f"subjects {numbers_text(facts.numbers)}"
            found.problems.append(DataProblem(where, "an unknown subject", expected, cure))
        elif len(mine) != 1:
            cure = "Copy the missing file." if not mine else "Take away the copy that is not the vendor's."
            names = numbers_text(sorted(file.name for file in mine)) or "no file"
            found.problems.append(DataProblem(where, names, f"{subject}.mat", cure))
        else:
            for session in range(1, facts.sessions + 1):
                here[subject, session] = f"{subject}_*_{session}"
                scores = tables.of("save", subject, session)
                id = RecordingId(f"{subject:02d}", str(session))
                found.entries.append(RecordingEntry(id, (relative(mine[0], base), *scores)))
    found.problems += tables.problems(here, {"save": "Without it the trials have no score"})
    found.notes += stray_note(folder, base, [_FILE, _SIDE_FILE])
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = experiment.expected(FACTS, root)
    subject, session = int(entry.id.subject), int(entry.id.session or 0)
    file, *table = entry.files
    keys, lengths, notes = _trials(root / file, file, session, facts)
    scores: list[dict[str, float]] = [{} for _ in keys]
    for name in table:
        scores = experiment.read_scores(root / name, name, session, facts.trials)
    trials = [
        bcmi.CutTrial(
            trial=trial,
            variable=key,
            samples=length,
            stimulus=experiment.stimulus(session, trial),
            label=experiment.EMOTIONS[session - 1][trial - 1],
            called=f"trial {trial} (variable {key})",
            ratings=ratings,
        )
        for trial, (key, length, ratings) in enumerate(zip(keys, lengths, scores, strict=True), start=1)
    ]
    sex, age = experiment.SEX[subject - 1], experiment.AGE[subject - 1]
    return bcmi.read_cut(entry.id, root / file, file, trials, facts, _HISTORY, sex=sex, age=age, notes=notes)


def _trials(path: Path, where: str, session: int, facts: Facts) -> tuple[list[str], list[int], list[str]]:
    """Variable and samples of each trial of a session, and notes, after a check that reads no signal."""
    variables = matlab.list_variables(path, where)
    keys = [str(facts.trials * (session - 1) + trial) for trial in range(1, facts.trials + 1)]
    wanted = {str(number) for number in range(1, facts.trials * facts.sessions + 1)}
    others = sorted(set(variables) - wanted, key=natural_key)
    if missing := [key for key in keys if key not in variables]:
        found = f"no variables {numbers_text(missing)}" if len(missing) < len(keys) else "none of the variables"
        found += f", but {numbers_text(others)}" if others else ""
        hint = ""
        if any(name.startswith(("de_", "psd_")) for name in others):
            hint = " This looks like EEG_features."
        elif any(name.startswith("video") for name in others):
            hint = " This was cut by another program, in a way of its own."
        expected = f"{keys[0]} to {keys[-1]} (session {session})"
        raise DataProblem(where, found, expected, f"{_COPY}{hint}")
    rate, lengths = round(facts.rate_hz), []
    for trial, key in enumerate(keys, start=1):
        told = f"{where}: trial {trial} (variable {key})"
        shape, kind = variables[key]
        rows, length = shape if len(shape) == 2 else (0, 0)
        if rows != len(facts.channels) or kind != "double":
            expected = f"double of shape ({len(facts.channels)}, samples)"
            hint = " This looks like continuous_labels or EYE_features." if rows == 1 or length == 33 else ""
            raise DataProblem(told, f"{kind} of shape {shape}", expected, f"{_COPY}{hint}")
        seconds, rest = divmod(length, rate)
        expected_s = experiment.implausible(seconds, facts, session, trial)
        if rest or expected_s:
            expected = f"whole seconds at {rate} Hz" + (f", {expected_s}" if expected_s else "")
            raise DataProblem(told, f"{length} samples ({length / rate:g} s)", expected, _COPY)
        lengths.append(length)
    notes = [f"Not read: the variables {numbers_text(others)}."] if others else []
    return keys, lengths, notes
