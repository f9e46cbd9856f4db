"""EmoEEG-MC, variant raw: continuous EDF+ files of one or two runs, 64 EEG channels at 600 or 1200 Hz."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eegpipe.channels import canonical
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.emoeeg_mc import guide as guides
from eegpipe.datasets.emoeeg_mc.facts import (
    CHANNELS,
    CLIP_S,
    CURE,
    IMAGERY_S,
    STIMULI,
    TRIGGERS,
    find_root,
    label,
)
from eegpipe.datasets.emoeeg_mc.marks import felt, identifier, read_ratings, read_trials
from eegpipe.datasets.folders import natural_key, numbers_text
from eegpipe.datasets.formats.edf import EdfHeader, read_header, read_values
from eegpipe.datasets.formats.tables import read_table
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"sub-([0-9]{2})_task-emotion(?:_run-0?([12]))?_eeg\.edf")
_CHUNK_S = 600  # of signal that is held beside the joined recording

# The subjects with one file; the others have two runs.
_ONE_RUN = (2, 3, 4, 5, 6, 9, 11, 14, 15, 33, 39, 53, 55, 56, 60)
_FAST = (2, 3, 4, 5, 8, 55, 56)  # 1200 Hz
_EITHER_RATE = (8,)  # by its sidecar 1200 Hz; its published times are those of 600 Hz and twice too long
# The unit texts of the files are not published; a voltage is scaled as its own header says.
_MICROVOLTS = {"uV": 1.0, "µV": 1.0, "nV": 1e-3, "mV": 1e3, "V": 1e6}

FACTS = Facts(
    subjects=59,
    sessions=1,
    trials=2 * len(STIMULI),
    rate_hz=600.0,
    channels=CHANNELS,
    trial_s=(IMAGERY_S,) * len(STIMULI) + tuple(CLIP_S[name] for name in STIMULI),
    reference="unknown ('common' in the data set's description)",
    line_hz=50.0,
    people=tuple(range(2, 61)),
    other_rates_hz=(1200.0,),
)


def recognise(root: Path) -> bool:
    folder = find_root(root)
    return folder is not None and any(_runs(folder, number) for number in range(1, 61)) and _has_behaviour(folder)


def _has_behaviour(folder: Path) -> bool:
    return any((folder / behaviour(number)).is_file() for number in range(1, 61))


def behaviour(subject: int) -> str:
    """The table of ratings, relative to the data set."""
    return f"sub-{subject:02d}/beh/sub-{subject:02d}_task-emotion_beh.tsv"


def _runs(root: Path, subject: int) -> list[str]:
    """The EDF files of a subject in order of their runs, relative to the data set."""
    folder = root / f"sub-{subject:02d}" / "eeg"
    if not folder.is_dir():
        return []
    names = sorted((child.name for child in folder.iterdir() if child.is_file()), key=natural_key)
    own = [name for name in names if (match := _FILE.fullmatch(name)) and int(match[1]) == subject]
    return [f"sub-{subject:02d}/eeg/{name}" for name in own]


runs_of = _runs


def discover(root: Path) -> Discovery:
    folder = find_root(root)
    facts = FACTS.expected(folder or root)
    found = Discovery(folder or root, [], simulated=simulated_marker(folder or root) is not None)
    if folder is None or not any(_runs(folder, number) for number in range(1, 61)):
        found.problems.append(
            DataProblem(
                "EmoEEG-MC folder",
                "no file like sub-06/eeg/sub-06_task-emotion_eeg.edf",
                f"the EDF files of {facts.subjects} subjects",
                "Name the folder that holds sub-02 and so on; the files are free: openneuro.org/datasets/ds005540.",
            )
        )
        return found
    shared = guides.files(folder)
    shared += ["participants.tsv"] if (folder / "participants.tsv").is_file() else []
    if not guides.files(folder):
        cure = f"Download it with the data, or write {guides.CODES_TABLE} and {guides.ORDER_TABLE}."
        found.problems.append(DataProblem("README.md", "no file", "event codes and order of stimuli", cure))
    for subject in facts.numbers:
        runs = _runs(folder, subject)
        names = [Path(run).name for run in runs]
        expected = 1 if subject in _ONE_RUN else 2
        numbers = [match[2] for name in names if (match := _FILE.fullmatch(name))]
        if numbers != ([None] if expected == 1 else ["1", "2"]):
            wanted = "one EDF file" if expected == 1 else "EDF files of run-01 and run-02"
            text = numbers_text(names) or "no EDF file"
            found.problems.append(DataProblem(f"sub-{subject:02d}/eeg", text, wanted, CURE))
            continue
        table = behaviour(subject)
        if not (folder / table).is_file():
            found.problems.append(DataProblem(table, "no file", "the ratings of every trial", CURE))
        own = [table] if (folder / table).is_file() else []
        found.entries.append(RecordingEntry(RecordingId(f"{subject:02d}"), (*runs, *own, *shared)))
    if (folder / "sub-01").is_dir() and not _runs(folder, 1):
        found.notes.append("sub-01 has no EDF file in the release.")
    if (folder / "derivatives").is_dir():
        found.notes.append("Not read: derivatives (variant derivative), GSR and PPG.")
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    simulated = simulated_marker(root) is not None
    subject = int(entry.id.subject)
    edfs = [file for file in entry.files if file.endswith(".edf")]
    notes: list[str] = []
    headers = [_header(root, file, subject) for file in edfs]
    rates = {header.rate_hz(picks[0]) for header, picks in headers}
    if len(rates) != 1:
        text = numbers_text(f"{rate:g}" for rate in sorted(rates))
        raise DataProblem(f"{edfs[-1]}: rate", f"{text} Hz in two runs", "one rate", CURE)
    rate_hz = rates.pop()
    guide = guides.read_guide(root)
    trials = read_trials(root, edfs, subject, guide, facts, simulated=simulated, notes=notes)
    table = next((file for file in entry.files if file.endswith("_beh.tsv")), None)
    ratings = read_ratings(root / table, table, trials, notes) if table else {}

    lengths = [header.records * header.samples_per_record[picks[0]] for header, picks in headers]
    chunks = [_chunks(header) for header, _ in headers]

    def blocks() -> Iterator[tuple[str, np.ndarray]]:
        for file, (header, picks), parts in zip(edfs, headers, chunks, strict=True):
            scale = np.array([[_MICROVOLTS[header.units[pick]]] for pick in picks])
            for first, stop in parts:
                values = read_values(root / file, header, picks, first=first, stop=stop)
                values *= scale
                yield file, values

    pieces = [
        (stop - first) * header.samples_per_record[picks[0]]
        for (header, picks), parts in zip(headers, chunks, strict=True)
        for first, stop in parts
    ]
    one = len(pieces) == 1
    raw = join(blocks(), pieces, eeg_channels(CHANNELS), rate_hz, facts.line_hz, in_place=one)
    events = boundaries(lengths, rate_hz)
    starts = np.cumsum([0, *lengths[:-1]]) / rate_hz
    for trial in trials:
        if trial.stimulus is None:
            continue
        if not 0 <= trial.start_s < trial.end_s <= lengths[trial.run] / rate_hz:
            where = f"{edfs[trial.run]}: {trial.context} trial {trial.place}"
            text = f"{trial.start_s:.1f} to {trial.end_s:.1f} s"
            raise DataProblem(where, text, f"a stretch of the {lengths[trial.run] / rate_hz:.1f} s of signal", CURE)
        # Marks are samples; their times in the file are rounded.
        first, stop = (round(time * rate_hz) for time in (trial.start_s, trial.end_s))
        own = ratings.get(trial.row, {})
        events.append(
            Event(
                onset_s=float(starts[trial.run]) + first / rate_hz,
                duration_s=(stop - first) / rate_hz,
                kind="stimulus",
                trial=trial.number,
                stimulus=identifier(trial.context, trial.stimulus),
                label=label(trial.stimulus),
                ratings=own,
                affect=felt(trial.stimulus, own),
            )
        )
    events.sort(key=lambda event: event.onset_s)
    sex, age = person(root, entry, subject)
    return Recording(
        entry.id, raw, events, facts.reference, facts.line_hz, sex=sex, age=age, notes=tuple(dict.fromkeys(notes))
    )


def _header(root: Path, file: str, subject: int) -> tuple[EdfHeader, list[int]]:
    """The header, and which of its signals are the 64 channels."""
    header = read_header(root / file, file)
    signals = header.signals
    known = [(name, index) for index in signals if (name := canonical(header.labels[index]))]
    places = dict(known)
    missing = [name for name in CHANNELS if name not in places]
    if missing or len(signals) != len(CHANNELS) + TRIGGERS or len(known) != len(CHANNELS):
        expected = f"{len(CHANNELS)} EEG and {TRIGGERS} trigger channels"
        lost = f", without {numbers_text(missing)}" if missing else f", {len(known)} of them EEG"
        raise DataProblem(f"{file}: channels", f"{len(signals)} channels{lost}", expected, CURE)
    picks = [places[name] for name in CHANNELS]
    allowed = (600.0, 1200.0) if subject in _EITHER_RATE else (1200.0,) if subject in _FAST else (600.0,)
    rates = {header.rate_hz(pick) for pick in picks}
    if len(rates) != 1 or not rates <= set(allowed):
        text = numbers_text(f"{rate:g}" for rate in sorted(rates))
        expected = " or ".join(f"{rate:g}" for rate in allowed)
        raise DataProblem(f"{file}: rate", f"{text} Hz", f"{expected} Hz for sub-{subject:02d}", CURE)
    if wrong := sorted({header.units[pick] for pick in picks} - set(_MICROVOLTS)):
        raise DataProblem(f"{file}: units", numbers_text(map(repr, wrong)), "a voltage, such as uV", CURE)
    return header, picks


def _chunks(header: EdfHeader) -> list[tuple[int, int]]:
    """(first, stop) records of stretches of about ten minutes; a short rest belongs to the last one."""
    step = max(1, round(_CHUNK_S / header.record_s))
    edges = [*range(0, max(1, header.records - step // 2), step), header.records]
    return list(itertools.pairwise(edges))


def person(root: Path, entry: RecordingEntry, subject: int) -> tuple[str | None, int | None]:
    """Sex and age from ``participants.tsv``, None where it does not say."""
    if "participants.tsv" not in entry.files:
        return None, None
    for row in read_table(root / "participants.tsv", "participants.tsv", delimiter="\t"):
        if row.get("participant_id") == f"sub-{subject:02d}":
            sex, age = row.get("gender", row.get("sex", ""))[:1].upper(), row.get("age", "")
            return (sex if sex in ("F", "M") else None), (int(age) if re.fullmatch("[0-9]{1,3}", age) else None)
    return None, None
