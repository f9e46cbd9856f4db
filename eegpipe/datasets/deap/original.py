"""DEAP, variant data_original: one BioSemi recording (.bdf) a person, 512 Hz, from before the first video to the end.

The last channel is the status, whatever it is called: its low byte is a code, 4 where a video begins. Trials are in the
order of presentation; ``participant_ratings.csv`` says which video each showed. The signal is carried over whole, in
microvolt as the header scales it (31.25 nV a count), rounded to float32 and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.channels import canonical
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry
from eegpipe.datasets.deap import experiment
from eegpipe.datasets.deap.experiment import GENEVA, LAST_IN_TWENTE, PEOPLE, SCALE, TRIALS, TWENTE
from eegpipe.datasets.deap.ratings import RatedTrial, read_person, read_ratings
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats.edf import EdfHeader, read_counts, read_header
from eegpipe.datasets.signal import Channel, check_block, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording

TREE = """\
DEAP/
  data_original/s01.bdf ... s32.bdf
  metadata_csv/participant_ratings.csv         (which video each trial showed)
  metadata_csv/participant_questionnaire.csv   (sex and age, if there)"""
_FILE = re.compile(r"s([0-9]{2})\.bdf")
_FOLDER = "data_original"
_CURE = "Copy the file from the vendor's data_original again."

_OTHERS = (
    "EXG1", "EXG2", "EXG3", "EXG4", "EXG5", "EXG6", "EXG7", "EXG8", "GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Plet",
    "Temp",
)  # fmt: skip
# The channels that are carried over, by the vendor's name. GSR2, Erg1 and Erg2 were not connected.
_ROLES = {
    "EXG1": Channel("EXG1", "eog"),  # left of the eyes
    "EXG2": Channel("EXG2", "eog"),  # right of the eyes
    "EXG3": Channel("EXG3", "eog"),  # above the right eye
    "EXG4": Channel("EXG4", "eog"),  # below it
    "EXG5": Channel("EXG5", "emg"),  # zygomaticus
    "EXG6": Channel("EXG6", "emg"),
    "EXG7": Channel("EXG7", "emg"),  # trapezius
    "EXG8": Channel("EXG8", "emg"),
    "GSR1": Channel("GSR", "misc", volts=False),  # ohm, see _skin_ohm
    "Resp": Channel("Resp", "misc", volts=False),
    "Plet": Channel("Plet", "misc", volts=False),
    "Temp": Channel("Temp", "misc", volts=False),
}
_COMMON = len(TWENTE) + len(_OTHERS)
# Behind those: the status alone, or an unused channel and the status (s29-s32).
_CHANNEL_COUNTS = (_COMMON + 1, _COMMON + 2)

FACTS = Facts(
    subjects=PEOPLE,
    sessions=1,
    trials=TRIALS,
    rate_hz=512.0,
    channels=(*TWENTE, *_OTHERS, "Status"),
    other_channels=((*GENEVA, *_OTHERS, "Status"),),  # in s24-s28 the last has no label, in s29-s32 the last two
    trial_s=(60.0,) * TRIALS,
    reference="none: BioSemi's active ground (CMS and DRL)",
    line_hz=50.0,
)

_FIXATION, _VIDEO, _VIDEO_END, _UNDOCUMENTED = 3, 4, 5, 6
_KNOWN_CODES = (1, 2, 3, 4, 5, 7)
_FIXATION_S, _FIXATION_TOLERANCE_S = 5.0, 1.0
# How far the end code of a video may lie from its 60 s.
_END_TOLERANCE_S = 5.0
# How far the table's Start_time may lie from the codes, counted from their common centre. Two computers' clocks drift
# apart by some tenths of a second in an hour; a trial takes about 100 s. How exact the times really are is not known.
_START_TOLERANCE_S = 2.0
_LONGEST_S = 4 * 3600.0  # a session takes about 1.2 h
_LEAST_NS = 1e-6
# Microvolt: with the sign of an ANSI page, of UTF-8 read as one, or spelled.
_MICROVOLT = ("uV", "\N{MICRO SIGN}V", "\N{LATIN CAPITAL LETTER A WITH CIRCUMFLEX}\N{MICRO SIGN}V", "microV")


def recognise(root: Path) -> bool:
    return experiment.find_recordings(root, _FILE, _FOLDER) is not None


def discover(root: Path) -> Discovery:
    return experiment.discover(root, FACTS, _FILE, "bdf", _FOLDER, needs_ratings=True)


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts, file, number = FACTS.expected(root), entry.files[0], int(entry.id.subject)
    table = experiment.ratings_table(entry.files)
    if table is None:
        raise DataProblem(
            f"{file}: trials",
            "no participant_ratings.csv",
            "the table that says which video each trial showed",
            "Unpack the vendor's metadata_csv beside data_original, and name the folder that holds both.",
        )
    rated = read_ratings(root / table, table, number, facts.trials)
    header = read_header(root / file, file)
    electrodes = _electrodes(header, file, facts)
    notes = _header_notes(header, electrodes, number)
    [words] = read_counts(root / file, header, [len(header.labels) - 1])
    codes = _codes(words)
    trials = _trials(codes, len(words), facts, f"{file}: status (last channel)")
    del words
    _check_starts(trials, rated, facts.rate_hz, file, table)
    notes += _code_notes(codes, trials)

    sex, age = None, None
    if people := experiment.people_table(entry.files):
        sex, age = read_person(root / people, people, number)
    rows = [*range(len(electrodes)), *(len(electrodes) + _OTHERS.index(name) for name in _ROLES)]
    layout = [*eeg_channels(electrodes), *_ROLES.values()]
    signal = _values(root / file, header, rows)
    gsr = [channel.name for channel in layout].index("GSR")
    if electrodes == TWENTE:
        notes += _skin_ohm(signal[gsr], header.scale(rows[gsr])[0])
    for trial, row in zip(trials, rated, strict=True):
        check_block(signal[:, trial.start : trial.stop], layout, f"{file}: trial {row.trial}")
    length = signal.shape[1]
    raw = join([(file, signal)], [length], layout, facts.rate_hz, facts.line_hz, in_place=True, check=False)
    events = [event for pair in zip(trials, rated, strict=True) for event in _events(*pair, facts.rate_hz)]
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, sex=sex, age=age, notes=tuple(notes))


# --- header -----------------------------------------------------------------------------------------------------------


def _electrodes(header: EdfHeader, file: str, facts: Facts) -> tuple[str, ...]:
    """The 32 electrodes by the header's own names, in one of the two documented orders; all other facts asserted."""
    labels = header.labels
    if header.bytes_per_sample != 3:
        raise DataProblem(file, "a 16-bit EDF file", "a 24-bit BDF file of BioSemi", _CURE)
    if header.duration_s > _LONGEST_S:
        raise DataProblem(
            f"{file}: duration", f"{header.duration_s / 3600:.1f} h", "a session of one to two hours", _CURE
        )
    if len(labels) not in _CHANNEL_COUNTS:
        raise DataProblem(f"{file}: channels", str(len(labels)), "48, or 49 (s29 to s32), with the status last", _CURE)
    names = tuple(canonical(label) or label for label in labels[: len(TWENTE)])
    if names not in (TWENTE, GENEVA):
        strange = [label or "(blank)" for label, name in zip(labels, names, strict=False) if name not in TWENTE]
        found = f"the labels {numbers_text(strange)}" if strange else f"the order {', '.join(names[:8])} ..."
        raise DataProblem(
            f"{file}: electrodes",
            found,
            "the order of Twente (Fp1 AF3 F7 F3 ...) or Geneva (Fp1 AF3 F3 F7 ...)",
            "The names are needed to know which electrode is which: take the vendor's file, whose header holds them.",
        )
    for index, expected in enumerate(_OTHERS, start=len(TWENTE)):
        if labels[index].lower() != expected.lower():
            where = f"{file}: channel {index + 1} of {len(labels)}"
            raise DataProblem(where, f"'{labels[index]}'", f"'{expected}'", _CURE)
    for index, label in enumerate(labels):
        if header.rate_hz(index) != facts.rate_hz:
            found = f"{header.rate_hz(index):g} Hz"
            raise DataProblem(f"{file}: channel {index + 1} '{label}'", found, f"{facts.rate_hz:g} Hz", _CURE)
    for index in range(len(TWENTE) + _OTHERS.index("GSR1")):  # electrodes and EXG1-EXG8
        low, high = header.physical[index]
        if header.units[index] not in _MICROVOLT or low >= high:
            found = f"unit '{header.units[index]}', {low:g} to {high:g}"
            raise DataProblem(f"{file}: channel {index + 1} '{labels[index]}'", found, "microvolt (uV), rising", _CURE)
    return names


def _header_notes(header: EdfHeader, electrodes: tuple[str, ...], number: int) -> list[str]:
    notes = []
    order = "Twente" if electrodes == TWENTE else "Geneva"
    if electrodes != (TWENTE if number <= LAST_IN_TWENTE else GENEVA):
        notes.append(f"The electrodes are in the order of {order}, unlike the other recordings made there.")
    unit, expected = header.units[len(electrodes) + _OTHERS.index("GSR1")], "nS" if electrodes == TWENTE else "Ohm"
    if unit.lower() != expected.lower():
        notes.append(f"GSR1 is in '{unit}' by its header; it is taken for {expected}, as documented for {order}.")
    if len(header.labels) == _CHANNEL_COUNTS[1]:
        notes.append("49 channels: the one before the last is not used, the last is the status.")
    if header.labels[-1] != "Status":
        label = header.labels[-1]
        notes.append(f"The status channel {f'is called {label!r}' if label else 'has no label'}; it is the last one.")
    return notes


def _values(path: Path, header: EdfHeader, rows: Sequence[int]) -> np.ndarray:
    """(row, sample) float64 in the header's units: in memory once, the counts a few channels at a time."""
    samples = header.records * header.samples_per_record[0]
    signal = np.empty((len(rows), samples))
    for first in range(0, len(rows), 12):
        some = rows[first : first + 12]
        for at, counts in enumerate(read_counts(path, header, some), start=first):
            gain, offset = header.scale(rows[at])
            np.multiply(counts, gain, out=signal[at])
            signal[at] += offset
    return signal


def _skin_ohm(values: np.ndarray, gain: float) -> list[str]:
    """Turn Twente's conductance (nS) into Geneva's resistance (ohm), in place.

    Where no current flowed, the resistance is what one count of the amplifier would be.
    """
    smallest = max(abs(gain), _LEAST_NS)
    share = float((values < smallest).mean())
    np.divide(1e9, np.maximum(values, smallest), out=values)
    if share:
        return [f"GSR1 shows no conductance in {100 * share:.2g} % of the samples; the highest resistance is there."]
    return []


# --- status -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Codes:
    """Where a code other than 0 begins (sample), and which; ``upper``: whether words hold more than the code."""

    at: np.ndarray
    code: np.ndarray
    upper: bool


@dataclass(frozen=True)
class _Trial:
    """Samples: the video's first and the one behind its last; where its fixation began (None: no such code)."""

    start: int
    stop: int
    fixation: int | None
    ended: bool  # by a code


def _codes(words: np.ndarray) -> _Codes:
    """Codes are the low byte; the bits above it are the amplifier's own (first sample of an epoch, in range ...)."""
    codes = words & 0xFF
    at = np.flatnonzero(np.diff(codes, prepend=0))
    at = at[codes[at] != 0]
    return _Codes(at, codes[at], bool((words != codes).any()))


def _trials(codes: _Codes, samples: int, facts: Facts, where: str) -> list[_Trial]:
    assert facts.trial_s is not None
    rate_hz = facts.rate_hz
    starts = codes.at[codes.code == _VIDEO].tolist()
    if len(starts) != facts.trials:
        raise DataProblem(
            where, f"{len(starts)} starts of a video (code 4)", str(facts.trials), f"{_CURE} Trials are never guessed."
        )
    trials, before = [], 0
    for number, (start, duration_s) in enumerate(zip(starts, facts.trial_s, strict=True), start=1):
        stop = start + round(duration_s * rate_hz)
        following = starts[number] if number < len(starts) else samples
        if stop > following:
            found = (
                f"{(following - start) / rate_hz:.1f} s until {'the next video' if number < len(starts) else 'the end'}"
            )
            raise DataProblem(f"{where}: trial {number}", found, f"{duration_s:g} s of video", _CURE)
        inside = (codes.at > start) & (codes.at < following) & (codes.code == _VIDEO_END)
        ends = codes.at[inside].tolist()
        if ends and abs((ends[0] - start) / rate_hz - duration_s) > _END_TOLERANCE_S:
            found = f"the end of the video (code 5) after {(ends[0] - start) / rate_hz:.1f} s"
            raise DataProblem(f"{where}: trial {number}", found, f"{duration_s:g} s", _CURE)
        fixations = codes.at[(codes.at >= before) & (codes.at < start) & (codes.code == _FIXATION)].tolist()
        near = bool(fixations) and abs((start - fixations[-1]) / rate_hz - _FIXATION_S) <= _FIXATION_TOLERANCE_S
        trials.append(_Trial(start, stop, fixations[-1] if near else None, bool(ends)))
        before = start
    return trials


def _check_starts(trials: list[_Trial], rated: list[RatedTrial], rate_hz: float, file: str, table: str) -> None:
    """Refuse a table whose times are not those of the codes: another person's, or another order of trials.

    Only differences count: what moment the table's zero is, in the recording's time, is not published.
    """
    apart_s = np.array([trial.start / rate_hz for trial in trials]) - [row.start_s for row in rated]
    apart_s -= np.median(apart_s)
    worst = int(np.argmax(np.abs(apart_s)))
    if abs(apart_s[worst]) > _START_TOLERANCE_S:
        raise DataProblem(
            f"{table}: Start_time of trial {worst + 1} against the status of {file}",
            f"{abs(apart_s[worst]):.1f} s apart",
            f"the same moments within {_START_TOLERANCE_S:g} s (Start_time is in units of 0.1 ms)",
            "The table or the recording belongs to another person, or a trial is missing: unpack both again.",
        )


def _code_notes(codes: _Codes, trials: list[_Trial]) -> list[str]:
    notes = []
    if codes.upper:
        notes.append("The status words hold more than the code; their low byte was taken.")
    if open_ended := [number for number, trial in enumerate(trials, start=1) if not trial.ended]:
        notes.append(f"No end code of the video in trial {numbers_text(open_ended)}; its 60 s count from its start.")
    if without := [number for number, trial in enumerate(trials, start=1) if trial.fixation is None]:
        notes.append(f"No fixation of 5 s before the video in trial {numbers_text(without)}: it has no baseline.")
    if count := int((codes.code == _UNDOCUMENTED).sum()):
        notes.append(f"Status code 6, which is not documented, {count} times; it was not used.")
    if others := sorted(set(codes.code.tolist()) - {*_KNOWN_CODES, _UNDOCUMENTED}):
        notes.append(f"Status codes that DEAP does not have: {numbers_text(others)}; they were not used.")
    return notes


def _events(trial: _Trial, row: RatedTrial, rate_hz: float) -> list[Event]:
    shown = Event(
        onset_s=trial.start / rate_hz,
        duration_s=(trial.stop - trial.start) / rate_hz,
        kind="stimulus",
        trial=row.trial,
        stimulus=f"deap/{row.video:02d}",
        ratings=row.ratings,
        affect=affect.from_rating(row.ratings["valence"], row.ratings["arousal"], SCALE),
    )
    if trial.fixation is None:
        return [shown]
    duration_s = (trial.start - trial.fixation) / rate_hz
    return [Event(trial.fixation / rate_hz, duration_s, "baseline", trial=row.trial), shown]
