"""FACED's ``Data``: per person the whole recording (``data.bdf``), its markers (``evt.bdf``), ratings, a JSON.

The last 30 s of each clip are the same brain as in ``Processed_data``; what a clip shows before is a block of its own.
Between the clips are pauses. People 061-122 were recorded with other channel names in another order than 000-060.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from eegpipe.datasets.faced.simulate import (
    AMPLIFIER,
    LAST_OF_COHORT_1,
    RAW_1000_HZ,
    UNIT_LOST,
    last_block,
    presentation,
    shown_to,
    subject_folder,
    write_people,
    write_person,
)
from eegpipe.datasets.faced.simulate import DESIGN as PROCESSED
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import felt
from eegpipe.simulate.biosemi import BDF_DIGITAL, Annotation, Signal, counted, write_edf
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.continuous import Placed, record_continuously
from eegpipe.simulate.plan import Clip, Plan
from eegpipe.simulate.record import Amplifier, Block
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

_VIDEO_S = (
    81, 64, 73, 79, 69, 91, 56, 60, 106, 45, 60, 82, 35, 44, 39, 43, 56, 70, 73, 129, 77, 76, 34, 37, 68, 63, 54, 77,
)  # fmt: skip
_LAST_S = 30

DESIGN = replace(
    PROCESSED,
    clips=tuple(replace(clip, stimulus_s=length) for clip, length in zip(PROCESSED.clips, _VIDEO_S, strict=True)),
    # Both rates, both groups, both units; ten, eight and seven markers 100; another task with and without stray starts;
    # rest markers absent, complete and without the last; texts; the longer clip 22.
    trap_people=(0, 23, 45, 49, 61),
)

_COHORT_1 = (
    "Fp1", "Fp2", "Fz", "F3", "F4", "F7", "F8", "FC1", "FC2", "FC5", "FC6", "Cz", "C3", "C4", "T3", "T4", "A1", "A2",
    "CP1", "CP2", "CP5", "CP6", "Pz", "P3", "P4", "T5", "T6", "PO3", "PO4", "Oz", "O1", "O2",
)  # fmt: skip
_COHORT_2 = (
    "Fp1", "Fp2", "Fz", "F3", "F4", "F7", "F8", "FC1", "FC2", "FC5", "FC6", "Cz", "C3", "C4", "T7", "T8", "CP1", "CP2",
    "CP5", "CP6", "Pz", "P3", "P4", "P7", "P8", "PO3", "PO4", "Oz", "O1", "O2", "HEOR", "HEOL",
)  # fmt: skip
_TODAY = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8", "HEOR": "A2", "HEOL": "A1"}

_PHYSICAL_UV = (-375000.0, 375000.0)  # inferred from the published size of a count
_LONGER = range(36, 61)  # saw clip 22 with more at its beginning
_LONGER_S = 8.116

# Markers per person.
_HUNDREDS = {20: 10, 23: 10, 55: 10, 29: 8, 45: 8, 59: 8, 60: 8, 49: 7}
_USUAL_HUNDREDS = 5
_STRAY_START = (29, 45, 59, 60)
_OTHER_TASK = (29, 45, 49, 59, 60)
_NO_REST = frozenset({0, 1, 2, 3, 6, 7, *range(36, 50)})
# Not known: which two of the second group lack the last 202, and which ten recordings hold two texts each.
_NO_LAST_202 = (61, 62)
_TEXTS = (0, 10, 23, 30, 45, 50, 61, 70, 80, 90)

# Not known: the electrodes' offsets, the delay from the number of a video to its start, the data records of evt.bdf
# (their number and length), what is in recordInformation.json. The 36 s give the known size of evt.bdf, about 40 kB.
_OFFSETS_UV = 12000.0
_NUMBER_TO_START_S = 0.1
_MARKER_RECORD_S = (36.0, 4.0)  # of a recording in full length, of a shortened one
_INFORMATION = {"deviceName": "NeuSen W32", "channelCount": 32}

# In full length: median pause between clips, and the rest before and after. Shortened recordings have 2 s of each.
_PAUSE_S, _REST_S = (64.6, 2.0), (35.1, 2.0)
_JOINT_S = 0.1  # a moment without a clip between two parts of one, so that no step is heard
_RATE_HZ = 250  # of the simulated brain; 1000 Hz files are raised from it


@dataclass
class Timeline:
    """What happens in a recording: blocks of signal, markers, clips. Samples at 250 Hz."""

    placed: list[Placed] = field(default_factory=list)
    markers: list[Annotation] = field(default_factory=list)
    shown: list[tuple[Clip, int, int]] = field(default_factory=list)  # clip, first sample, samples; in order of time
    samples: int = 0

    def mark(self, onset_s: float, *codes: object) -> None:
        """Markers at one moment, 4 ms apart."""
        self.markers += [(round(onset_s + 0.004 * place, 3), None, str(code)) for place, code in enumerate(codes)]


@dataclass(frozen=True, eq=False)
class Person:
    """One simulated person's recording: the file's signals, and the truth about them in the order of Processed_data."""

    signals: list[Signal]
    timeline: Timeline
    rate_hz: int
    shown: list[Shown]
    ratings: dict[int, np.ndarray]


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``Data/sub000/`` and so on, four files each, and ``Recording_info.csv`` into ``folder``."""
    for subject in plan.people:
        ratings = write_person(folder, plan, subject)
        person = record_person(plan, subject, ratings, truth, unit="?V" if subject in UNIT_LOST else "uV")
        own = subject_folder(folder, plan, subject)
        write_edf(own / "data.bdf", person.signals, 1.0, kind="BDF")
        write_markers(own / "evt.bdf", person.timeline, shortened=plan.settings.trial_s is not None)
        (own / "recordInformation.json").write_text(json.dumps(_INFORMATION) + "\n", encoding="utf-8")
        advance()
    write_people(folder / "Recording_info.csv", plan)


def record_person(plan: Plan, subject: int, ratings: dict[int, np.ndarray], truth: Truth, *, unit: str) -> Person:
    """Record a person and note the truth."""
    time = timeline(plan, subject)
    labels = _COHORT_1 if subject <= LAST_OF_COHORT_1 else _COHORT_2
    names = tuple(_TODAY.get(label, label) for label in labels)
    raise_by = 4 if subject in RAW_1000_HZ else 1
    rate_hz = _RATE_HZ * raise_by
    amplifier = Amplifier(
        channels=names,
        rate_hz=float(_RATE_HZ),
        reference=("CPz",),
        band_hz=(0.0, 62.0),
        noise_uv=AMPLIFIER.noise_uv,
        line_uv=2.0,
        drift_uv=12.0,
        bad_channels=0.5,
    )
    recorded = record_continuously(
        amplifier,
        time.placed,
        time.samples,
        draw_person(plan.settings.seed, plan.design.name, subject),
        1,
        plan,
        raise_by=raise_by,
        offsets_uv=_OFFSETS_UV,
    )
    prefilter = f"HP: DC, LP: {rate_hz // 4}"
    signals = [
        Signal(label, unit, _PHYSICAL_UV, BDF_DIGITAL, rate_hz, counted(row, _PHYSICAL_UV, BDF_DIGITAL), prefilter)
        for label, row in zip(labels, recorded.signal_uv, strict=True)
    ]
    shown = [
        shown_to(clip, ratings[clip.number], raise_by * first, raise_by * samples, trial)
        for trial, (clip, first, samples) in enumerate(time.shown, start=1)
    ]
    order = [names.index(name) for name in AMPLIFIER.channels]
    truth.add(
        RecordingId(f"{subject:03d}"),
        plan,
        shown,
        rate_hz=float(rate_hz),
        channels=AMPLIFIER.channels,
        signal_uv=np.stack([signals[row].values.astype(np.float32) for row in order]),
        clean_uv=recorded.clean_uv[order],
        artefacts=recorded.artefacts,
        bad_channels=recorded.bad_channels,
    )
    return Person(signals, time, rate_hz, shown, ratings)


def timeline(plan: Plan, subject: int) -> Timeline:
    """Lay out a person's recording: markers of the beginning, rest, clips with pauses, rest."""
    shortened = plan.settings.trial_s is not None
    pause_s, rest_s = _PAUSE_S[shortened], _REST_S[shortened]
    random = stream(plan.settings.seed, plan.design.name, subject, "timeline")
    clips = {clip.number: clip for clip in plan.clips}
    last_s = _last_s(plan)
    time = Timeline()
    at_s = _beginning(time, plan.traps, subject)
    resting = not (plan.traps and subject in _NO_REST)
    if resting:
        time.mark(at_s, 201)
        time.mark(at_s + rest_s, 202)
    at_s += rest_s + 1
    for number in presentation(plan.settings.seed, subject):
        clip = clips[number]
        # Marked lengths differ by some tenths of a second from person to person: more or less of the beginning.
        lead_s = clip.stimulus_s - last_s + float(np.clip(random.normal(0, 0.12), -0.4, 0.8))
        extra_s = _LONGER_S if number == 22 and subject in _LONGER else 0.0
        start = round((at_s + _NUMBER_TO_START_S) * _RATE_HZ)
        end = _place_clip(time, plan, subject, clip, start, (extra_s, lead_s, last_s))
        time.mark(at_s, number)
        time.mark(start / _RATE_HZ, 101)
        time.mark(end / _RATE_HZ, 102)
        time.shown.append((clip, start, end - start))
        at_s = end / _RATE_HZ + pause_s
    if resting:
        time.mark(at_s, 201)
        if not (plan.traps and subject in _NO_LAST_202):
            time.mark(at_s + rest_s, 202)
    time.samples = _RATE_HZ * int(at_s + rest_s + 2)
    return time


def _last_s(plan: Plan) -> int:
    """Seconds at the end of each clip that are the same in Processed_data: 30, or less where clips are shorter."""
    full_s = sum(clip.stimulus_s for clip in plan.design.clips) / len(plan.design.clips)
    scale = 1.0 if plan.settings.trial_s is None else plan.settings.trial_s / full_s
    return max(1, min(int(_LAST_S * scale + 1e-9), min(clip.stimulus_s for clip in plan.clips) - 1))


def _beginning(time: Timeline, traps: bool, subject: int) -> float:
    """What is marked before the experiment proper; the second at which that begins."""
    if traps and subject in _TEXTS:
        time.mark(0.5, "Start Impedance")
        time.mark(1.5, "Stop Impedance")
    at_s = 2.0
    for _ in range(_HUNDREDS.get(subject, _USUAL_HUNDREDS) if traps else _USUAL_HUNDREDS):
        time.mark(at_s, 100)
        at_s += 0.5
    if traps and subject in _OTHER_TASK:
        for code in (91, 92, 97, 95, 98, 95, 93, 232, 77, 94, 106, 95, 107, 108, 103, 233, 99):
            time.mark(at_s, code)
            at_s += 0.2
        if subject in _STRAY_START:
            time.mark(at_s, 101)
            at_s += 0.5
    return at_s + 0.5


def _place_clip(
    time: Timeline, plan: Plan, subject: int, clip: Clip, start: int, parts_s: tuple[float, float, int]
) -> int:
    """Place the blocks of a clip: what only some people saw, what comes before the last seconds, the last seconds."""
    joint = round(_JOINT_S * _RATE_HZ)
    for number, (name, seconds) in enumerate((("extra", parts_s[0]), ("lead", parts_s[1])), start=1):
        if samples := round(seconds * _RATE_HZ):
            part = _part(plan, subject, clip, 100 * number + clip.number)
            time.placed.append(Placed(Block(samples - joint, part, key=(name, clip.number)), start))
            start += samples
    samples = parts_s[2] * _RATE_HZ
    time.placed.append(Placed(last_block(clip, samples), start))
    return start + samples


def _part(plan: Plan, subject: int, clip: Clip, number: int) -> Clip:
    """A part of a clip that drives the brain with a time course of its own, and is felt like the whole clip."""
    seed, name = plan.settings.seed, plan.design.name
    part = replace(clip, number=number)
    shift = felt(seed, name, subject, clip) - felt(seed, name, subject, part)
    valence, arousal, approach = (float(value) for value in np.array(clip.latent) + shift)
    return replace(part, latent=(valence, arousal, approach))


def write_markers(path: Path, time: Timeline, *, shortened: bool) -> None:
    """Write ``evt.bdf``: an empty signal and the annotations, 303 bytes a data record."""
    record_s = _MARKER_RECORD_S[shortened]
    records = int(np.ceil(time.samples / _RATE_HZ / record_s)) + 1
    empty = Signal("Empty Event Data", "uV", _PHYSICAL_UV, BDF_DIGITAL, 1, np.zeros(records, np.int32))
    write_edf(path, [empty], record_s, kind="BDF", annotations=time.markers, annotation_bytes=300)
