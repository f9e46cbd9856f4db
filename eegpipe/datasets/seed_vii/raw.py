"""SEED-VII, variant EEG_raw: the same sessions as continuous NeuroScan recordings, 67 channels, 1000 Hz.

Subject, date and session are in the name, in this order. The clips lie between marks: begin, end, begin, end. The marks
are compared with the times in ``save_info/<stem>_trigger_info.csv``; in two files they are unusable, and those times
are all there is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative, stray_note
from eegpipe.datasets.formats import bcmi, cnt
from eegpipe.datasets.seed_vii import experiment
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

_FILE = re.compile(r"([0-9]{1,2})_([0-9]{8})_([1-4])\.cnt")
_SIDE_FILE = re.compile(r"(?i)readme.*|.*\.xlsx|.*\.locs|.*\.json|\..*")
_FOLDERS = experiment.folders("eeg_raw")

# Which 67 channels is known, in which order they stand is not: they are taken by name.
ORDER_67 = (*(name for name in bcmi.ORDER_66 if name not in ("VEO", "HEO")), "ECG", "HEO", "VEO")

# Recordings whose marks are unusable, and the time of day at which they began (MAET, the authors' code).
BEGAN = {"14_20221015_1": (14, 25, 34), "9_20221111_3": (14, 1, 27)}
# How far a mark may lie from its time in the table, after the clocks were aligned. Two clocks drift by less in an hour.
TOLERANCE_S = 1.0
_MOST_MARKS = 400

FACTS = Facts(
    subjects=experiment.SUBJECTS,
    sessions=experiment.SESSIONS,
    trials=experiment.TRIALS,
    rate_hz=bcmi.RAW_RATE_HZ,
    channels=ORDER_67,
    reference=bcmi.REFERENCE,
    line_hz=50.0,
)


def recognise(root: Path) -> bool:
    return find_folder(root, _FILE, _FOLDERS) is not None


def discover(root: Path) -> Discovery:
    facts = experiment.expected(FACTS, root)
    simulated = simulated_marker(root) is not None
    folder = find_folder(root, _FILE, _FOLDERS)
    if folder is None:
        return Discovery(
            root,
            [],
            [
                DataProblem(
                    "SEED-VII raw folder",
                    "no file like 1_20221001_1.cnt",
                    f"{facts.subjects * facts.sessions} files in EEG_raw",
                    "Name the folder that holds EEG_raw and save_info, or EEG_raw itself.",
                )
            ],
            simulated,
        )
    base, folder = experiment.package(root, folder)
    found = Discovery(base, [], simulated=simulated)
    tables = experiment.save_info(base)
    files: dict[tuple[int, int], list[Path]] = {}
    for match, file in matching(folder, _FILE):
        files.setdefault((int(match[1]), int(match[3])), []).append(file)
    for subject in sorted({subject for subject, _ in files} | set(facts.numbers)):
        where = f"{relative(folder, base)}: subject {subject}"
        mine = {session: files.get((subject, session), []) for session in range(1, experiment.SESSIONS + 1)}
        if subject not in facts.numbers:
            cure = "Take the file away if it is not the vendor's."
            expected = f"subjects {numbers_text(facts.numbers)}"
            found.problems.append(DataProblem(where, "an unknown subject", expected, cure))
            continue
        if missing := [session for session in range(1, facts.sessions + 1) if not mine[session]]:
            expected = f"sessions 1 to {facts.sessions}"
            found.problems.append(
                DataProblem(where, f"no session {numbers_text(missing)}", expected, "Copy the missing files.")
            )
        for session, one in mine.items():
            if len(one) > 1 or (one and session > facts.sessions):
                names = numbers_text(sorted(file.name for file in one))
                expected = f"one file for each of {facts.sessions} sessions"
                cure = "Take away the file that is not the vendor's."
                found.problems.append(DataProblem(where, f"{names} for session {session}", expected, cure))
            elif one:
                more = (
                    table for kind in ("save", "trigger") for table in tables.of(kind, subject, session, one[0].stem)
                )
                id = RecordingId(f"{subject:02d}", str(session))
                found.entries.append(RecordingEntry(id, (relative(one[0], base), *more)))
    here = {(int(one.id.subject), int(one.id.session or 0)): Path(one.files[0]).stem for one in found.entries}
    lost = {
        "save": "Without it the trials have no score",
        "trigger": "Without it the marks of the recording are not compared with the times of the clips",
    }
    found.problems += tables.problems(here, lost)
    found.notes += stray_note(folder, base, [_FILE, _SIDE_FILE])
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = experiment.expected(FACTS, root)
    subject, session = int(entry.id.subject), int(entry.id.session or 0)
    file, *tables = entry.files
    table = {kind: name for name in tables for kind in ("save", "trigger") if name.endswith(f"_{kind}_info.csv")}
    scores: list[dict[str, float]] = [{} for _ in range(facts.trials)]
    if name := table.get("save"):
        scores = experiment.read_scores(root / name, name, session, facts.trials)
    times = experiment.read_times(root / name, name, facts.trials) if (name := table.get("trigger")) else None
    header = cnt.read_header(root / file, file)
    if header.rate_hz != facts.rate_hz:
        cure = "Take the vendor's own file; this one was resampled."
        raise DataProblem(f"{file}: rate", f"{header.rate_hz:g} Hz", f"{facts.rate_hz:g} Hz", cure)
    stem = Path(file).stem
    if stem in BEGAN:
        marks, notes = _by_the_clock(stem, file, times, header)
    else:
        events = cnt.read_events(root / file, file, header)
        marks, notes = _by_marks(sorted({event.sample for event in events}), times, file, facts)
    _check_lengths(marks, f"{file}: marks", session, facts)
    clips = [
        bcmi.ShownClip(
            trial=trial,
            stimulus=experiment.stimulus(session, trial),
            label=experiment.EMOTIONS[session - 1][trial - 1],
            start_s=marks[2 * trial - 2] / facts.rate_hz,
            stop_s=marks[2 * trial - 1] / facts.rate_hz,
            ratings=scores[trial - 1],
        )
        for trial in range(1, facts.trials + 1)
    ]
    return bcmi.read_cnt(
        entry.id,
        root / file,
        file,
        clips,
        channels=facts.channels,
        rate_hz=facts.rate_hz,
        line_hz=facts.line_hz,
        sex=experiment.SEX[subject - 1],
        age=experiment.AGE[subject - 1],
        notes=notes,
        header=header,
    )


def _by_the_clock(
    stem: str, file: str, times: Sequence[float] | None, header: cnt.CntHeader
) -> tuple[list[int], list[str]]:
    """The samples at which clips begin and end, from the times of day of the table alone."""
    if times is None:
        raise DataProblem(
            f"{file}: marks",
            f"marks that are known to be unusable, and no save_info/{stem}_trigger_info.csv",
            "the times at which the clips began and ended",
            "Copy save_info from the vendor's archive, next to EEG_raw.",
        )
    hours, minutes, seconds = BEGAN[stem]
    began_s = 3600 * hours + 60 * minutes + seconds
    notes = [
        f"The marks of this file are known to be unusable: the clips were found by the times of "
        f"{stem}_trigger_info.csv, counted from {hours:02d}:{minutes:02d}:{seconds:02d}, good to about a second."
    ]
    if header.start_s_of_day is not None and abs(header.start_s_of_day - began_s) > TOLERANCE_S:
        notes.append(f"The head of the file gives another start, {header.start_s_of_day - began_s:+.0f} s later.")
    return [round((time - began_s) * header.rate_hz) for time in times], notes


def _by_marks(marks: list[int], times: Sequence[float] | None, file: str, facts: Facts) -> tuple[list[int], list[str]]:
    """The marks of the clips, two a clip: all of them, or those that the table knows. Codes are not looked at."""
    where, wanted = f"{file}: marks", 2 * facts.trials
    expected = f"{wanted} marks, at the beginning and the end of every clip"
    if times is None:
        if len(marks) != wanted:
            cure = f"Copy save_info/{Path(file).stem}_trigger_info.csv, which tells which marks are the clips'."
            raise DataProblem(where, f"{len(marks)} marks", expected, cure)
        return marks, ["The marks were not compared with the times in save_info, which is missing."]
    found = np.array(marks) / facts.rate_hz
    if wanted <= len(found) <= _MOST_MARKS:
        known = np.array(times) - times[0]
        best, fitting = np.inf, np.zeros(0, int)
        for first in found[: len(found) - wanted + 1]:  # the clocks are aligned so that this mark is the first time
            nearest = np.abs(found[:, np.newaxis] - first - known).argmin(axis=0)
            far = float(np.abs(found[nearest] - first - known).max())
            if far < best and len(set(nearest)) == wanted:
                best, fitting = far, nearest
        if best <= TOLERANCE_S:
            stray = [f"{time:.1f}" for time in np.delete(found, fitting)]
            notes = []
            if stray:
                notes = [f"{len(stray)} marks that save_info does not know were left out (at {numbers_text(stray)} s)."]
            return [marks[place] for place in fitting], notes
    cure = (
        "Copy the recording and its table from the vendor's archive again. Without the table only the marks are used."
    )
    fit = f"{len(marks)} marks, which do not fit the times in save_info to {TOLERANCE_S:g} s"
    raise DataProblem(where, fit, expected, cure)


def _check_lengths(marks: Sequence[int], where: str, session: int, facts: Facts) -> None:
    for trial in range(1, facts.trials + 1):
        seconds = (marks[2 * trial - 1] - marks[2 * trial - 2]) / facts.rate_hz
        expected = experiment.implausible(seconds, facts, session, trial)
        if expected or marks[0] < 0 or (trial > 1 and marks[2 * trial - 2] < marks[2 * trial - 3]):
            raise DataProblem(
                where,
                f"trial {trial} from {marks[2 * trial - 2] / facts.rate_hz:.1f} s on, for {seconds:.1f} s",
                expected or "clips one after the other, inside the recording",
                "A mark is missing or too many, or the table is another recording's: copy both from the archive again.",
            )
