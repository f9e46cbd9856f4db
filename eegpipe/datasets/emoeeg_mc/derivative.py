"""EmoEEG-MC, variant derivative: the authors' cleaned trials of 30 s, one array per context, 64 channels at 200 Hz.

Read are the reordered files, whose order of trials is published: sad4 sad5 sad8, dis4 ... ins8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.emoeeg_mc import guide as guides
from eegpipe.datasets.emoeeg_mc import raw
from eegpipe.datasets.emoeeg_mc.facts import (
    CHANNELS,
    CLIP_S,
    CONTEXTS,
    CURE,
    STIMULI,
    VIDEO,
    find_root,
    label,
)
from eegpipe.datasets.emoeeg_mc.marks import Trial, felt, identifier, read_ratings, read_trials
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats.npy import read_npy, read_npy_header
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_WINDOW_S = 30.0
_INCOMPLETE = (55, 56, 57, 58, 59, 60)

FACTS = Facts(
    subjects=60,
    sessions=1,
    trials=2 * len(STIMULI),
    rate_hz=200.0,
    channels=CHANNELS,
    trial_s=(_WINDOW_S,) * (2 * len(STIMULI)),
    reference="average of the 64 EEG channels",
    line_hz=50.0,
)

# The README says 0.1 Hz, the sidecar and the authors' code 0.5 Hz; which was applied is not known.
_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Downsampling": {"to (Hz)": 200.0},
    "Bandpass": {"low cutoff (Hz)": "0.1 or 0.5", "high cutoff (Hz)": 47.0},
    "Interpolation": {"method": "bad channels: mean of three neighbours"},
    "ICA": {"method": "eye and muscle components removed by the data set's authors"},
    "Re-reference": {"reference": "average"},
}


def _file(root: Path, subject: int, context: str) -> str | None:
    """The reordered trials; some subjects lack the level ``eeg/``."""
    name = f"sub-{subject:02d}_ses-{context}_task-emotion_reorder.npy"
    base = f"derivatives/sub-{subject:02d}/ses-{context}"
    return next((file for file in (f"{base}/eeg/{name}", f"{base}/{name}") if (root / file).is_file()), None)


def _any(root: Path) -> bool:
    return any(_file(root, number, context) for number in range(1, 61) for context in CONTEXTS)


def recognise(root: Path) -> bool:
    folder = find_root(root)
    return folder is not None and _any(folder)


def discover(root: Path) -> Discovery:
    folder = find_root(root)
    facts = FACTS.expected(folder or root)
    found = Discovery(folder or root, [], simulated=simulated_marker(folder or root) is not None)
    if folder is None or not _any(folder):
        found.problems.append(
            DataProblem(
                "EmoEEG-MC folder",
                "no file like derivatives/sub-06/ses-vid/eeg/sub-06_ses-vid_task-emotion_reorder.npy",
                f"two of them for each of {facts.subjects} subjects",
                "Name the folder that holds derivatives; the files are free: openneuro.org/datasets/ds005540.",
            )
        )
        return found
    texts = guides.files(folder)
    texts += ["participants.tsv"] if (folder / "participants.tsv").is_file() else []
    for subject in facts.numbers:
        files = {context: _file(folder, subject, context) for context in CONTEXTS}
        if missing := [CONTEXTS[context] for context, file in files.items() if file is None]:
            where = f"derivatives/sub-{subject:02d}"
            text = f"no reordered file of {numbers_text(missing)}"
            found.problems.append(DataProblem(where, text, "one of imagery and one of video", CURE))
            continue
        # The raw files beside them, if they are there, say in which order the ratings were given.
        own = [*raw.runs_of(folder, subject)]
        own += [table] if (folder / (table := raw.behaviour(subject))).is_file() else []
        arrays = [file for file in files.values() if file]
        found.entries.append(RecordingEntry(RecordingId(f"{subject:02d}"), (*arrays, *own, *texts)))
    found.notes.append("Not read: filtered and ica arrays, whose order is not published; features; physiology.")
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    assert facts.trial_s is not None
    subject = int(entry.id.subject)
    # A simulated tree says how long its films and scenes are; the window is never longer than the shortest.
    samples = round(facts.rate_hz * min(_WINDOW_S, *facts.trial_s))
    arrays = dict(zip(CONTEXTS, entry.files[:2], strict=True))
    shown = {context: _stimuli(root, subject, context, file, samples) for context, file in arrays.items()}
    notes: list[str] = []
    ratings = _ratings(root, entry, subject, notes)

    def blocks() -> Iterator[tuple[str, np.ndarray]]:
        for context, file in arrays.items():
            largest = (len(CHANNELS) * len(STIMULI) * samples) * 8 + 2**16
            content = read_npy(root / file, file, largest=largest)
            for place, stimulus in enumerate(shown[context]):
                yield f"{file}: trial {place + 1} ({stimulus})", content[:, place]

    lengths = [samples] * sum(map(len, shown.values()))
    joined = join(blocks(), lengths, eeg_channels(CHANNELS), facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    window_s, start = samples / facts.rate_hz, 0
    for context, stimuli in shown.items():
        for stimulus in stimuli:
            own = ratings.get((context, stimulus), {})
            film = context == VIDEO and simulated_marker(root) is None
            events.append(
                Event(
                    onset_s=start / facts.rate_hz,
                    duration_s=window_s,
                    kind="stimulus",
                    trial=STIMULI.index(stimulus) + 1 + (len(STIMULI) if context == VIDEO else 0),
                    stimulus=identifier(context, stimulus),
                    stimulus_offset_s=CLIP_S[stimulus] - window_s if film else 0.0,
                    label=label(stimulus),
                    ratings=own,
                    affect=felt(stimulus, own),
                )
            )
            start += samples
    sex, age = raw.person(root, entry, subject)
    reference, line_hz = facts.reference, facts.line_hz
    return Recording(entry.id, joined, events, reference, line_hz, _HISTORY, sex=sex, age=age, notes=tuple(notes))


def _stimuli(root: Path, subject: int, context: str, file: str, samples: int) -> tuple[str, ...]:
    """The stimuli of the trials in an array, after a check of its shape that reads no signal."""
    header = read_npy_header(root / file, file)
    if header.kind != "f" or header.item_bytes != 8:
        kind = "Python objects, which can run code" if header.kind == "O" else f"{header.kind}{header.item_bytes}"
        raise DataProblem(file, f"an array of {kind}", "an array of float64", CURE)
    stimuli = STIMULI
    if subject in _INCOMPLETE:
        listed = guides.read_guide(root).order_of(subject, context)
        stimuli = tuple(stimulus for stimulus in STIMULI if stimulus in listed)
    expected = (len(CHANNELS), len(stimuli), samples)
    if header.shape != expected:
        raise DataProblem(file, f"shape {header.shape}", f"{expected}: channel x trial x sample", CURE)
    return stimuli


def _ratings(
    root: Path, entry: RecordingEntry, subject: int, notes: list[str]
) -> dict[tuple[str, str], dict[str, float]]:
    """Ratings by context and stimulus. They are in order of time, which only the marks of the raw files tell."""
    edfs = [file for file in entry.files if file.endswith(".edf")]
    table = next((file for file in entry.files if file.endswith("_beh.tsv")), None)
    if not edfs or table is None:
        notes.append(
            "Valence and arousal are those of the emotion word: ratings are in order of time, which only the raw EDF "
            "files of the subject tell."
        )
        return {}
    simulated = simulated_marker(root) is not None
    facts = raw.FACTS.expected(root)
    try:
        guide = guides.read_guide(root)
        trials: list[Trial] = read_trials(root, edfs, subject, guide, facts, simulated=simulated, notes=[])
        rows = read_ratings(root / table, table, trials, notes)
    except DataProblem as problem:
        notes.append(f"Valence and arousal are those of the emotion word: {problem}")
        return {}
    return {(one.context, one.stimulus): rows[one.row] for one in trials if one.stimulus and one.row in rows}
