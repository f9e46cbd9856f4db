"""NeuroScan CNT files as the amplifier's program writes them, and as damaged or oversized recordings turn out.

Layout: :mod:`eegpipe.datasets.formats.cnt` (not used here, so that the reader and the writer share no mistake). What
calibration the vendors' files have is not known; it is a parameter.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from eegpipe.simulate.brain import Person
from eegpipe.simulate.continuous import Continuous, Placed, record_continuously
from eegpipe.simulate.plan import Clip, Plan
from eegpipe.simulate.record import Amplifier
from eegpipe.simulate.streams import stream

# Steps of a 24-bit converter over one volt. Sensitivity as the header has it: 204.8 steps of it are one microvolt.
SENSITIVITY = float(np.float32(204.8 * 1e6 / 2**25))
# Place and width of the fields about the person and of the session's label.
_TEXTS = {"id": (21, 20), "name": (121, 20), "sex": (143, 1), "hand": (144, 1), "session": (205, 20)}
_EVENT_WIDTH = {1: 8, 2: 19, 3: 19}
# What the amplifier's program writes behind the event table. Only one byte of it is known, and its length is not.
BEHIND_BYTES = 256
_RAISE_BY, _OFFSETS_UV, _NOISE_UV = 5, 150.0, 0.5
# What is recorded before, between and behind the clips: of the vendors' files, and where clips are shortened.
_TAIL_S, _SHORT_GAP_S = 45, 2


@dataclass(frozen=True, eq=False)
class RawSession:
    """What a CNT file holds.

    counts : (channel, sample) int32, with ``calibration`` (channel,) for :func:`write_cnt`.
    scalp
        The scalp channels as a right reader gives them back, in the amplifier's order.
    """

    counts: np.ndarray
    calibration: np.ndarray
    scalp: Continuous


def schedule(clips: Sequence[Clip], starts_s: Sequence[int], stops_s: Sequence[int]) -> tuple[list[int], int]:
    """Where the clips begin in a raw recording, and how long it is, in seconds.

    The published times if the clips have their full length; else one after the other with short gaps.
    """
    if all(clip.stimulus_s == stop - start for clip, start, stop in zip(clips, starts_s, stops_s, strict=True)):
        return list(starts_s), stops_s[-1] + _TAIL_S
    starts, at = [], _SHORT_GAP_S
    for clip in clips:
        starts.append(at)
        at += clip.stimulus_s + _SHORT_GAP_S
    return starts, at


def record_session(
    amplifier: Amplifier,
    channels: Sequence[str],
    placed: Sequence[Placed],
    seconds: int,
    person: Person,
    session: int,
    plan: Plan,
) -> RawSession:
    """Record a session at five times the amplifier's rate, with the channels of a CNT file.

    Parameters
    ----------
    amplifier
        Of the scalp channels only, so that they are the same as in a variant without the others.
    channels
        Names in the order of the file: the amplifier's in capitals, and any of M1, M2, VEO, HEO, ECG.
    """
    samples = round(seconds * amplifier.rate_hz)

    def record(one: Amplifier, noise_uv: float) -> Continuous:
        return record_continuously(
            one, placed, samples, person, session, plan, raise_by=_RAISE_BY, offsets_uv=_OFFSETS_UV, noise_uv=noise_uv
        )

    scalp = record(amplifier, _NOISE_UV)
    rows = {name.upper(): row for name, row in zip(amplifier.channels, scalp.signal_uv, strict=True)}
    mastoids = replace(amplifier, channels=("M1", "M2"), bad_channels=0.0)
    rows |= dict(zip(mastoids.channels, record(mastoids, _NOISE_UV).signal_uv, strict=True))
    random = stream(plan.settings.seed, plan.design.name, person.subject, session, "eyes and heart")
    beat = 2 * np.pi * person.pulse_hz * np.arange(len(rows["M1"])) / scalp.rate_hz
    # Above against below an eye, left against right of them: what the nearest scalp electrodes see, larger.
    rows["VEO"] = 0.8 * (rows["FP1"] + rows["FP2"]) - 1.6 * rows["FPZ"].mean()
    rows["HEO"] = 1.5 * (rows["F7"] - rows["F8"])
    rows["ECG"] = 900 * np.exp(8 * (np.cos(beat) - 1)) + 10 * random.standard_normal(len(beat))
    calibration = calibrations(len(channels))
    counts = np.empty((len(channels), len(beat)), np.int32)
    for row, name in enumerate(channels):
        counts[row] = to_counts(rows.pop(name)[np.newaxis], calibration[row])[0]
    for row, name in enumerate(amplifier.channels):
        at = channels.index(name.upper())
        scalp.signal_uv[row] = to_microvolt(counts[at : at + 1], calibration[at])[0]
    return RawSession(counts, calibration, scalp)


def calibrations(channels: int) -> np.ndarray:
    """(channel,) float32: about one, and different, so that a reader must use them."""
    return (1 + 0.01 * np.sin(np.arange(channels))).astype(np.float32)


def to_counts(
    signal_uv: np.ndarray, calibration: np.ndarray | float = 1.0, *, sensitivity: float = SENSITIVITY, baseline: int = 0
) -> np.ndarray:
    """(channel, sample) microvolt as the whole numbers of a file, int32."""
    counts = np.round(signal_uv / _step_uv(calibration, sensitivity, len(signal_uv))[:, np.newaxis]) + baseline
    return counts.astype(np.int32)


def to_microvolt(
    counts: np.ndarray, calibration: np.ndarray | float = 1.0, *, sensitivity: float = SENSITIVITY, baseline: int = 0
) -> np.ndarray:
    """(channel, sample) whole numbers of a file as microvolt, float64: what a right reader gives back."""
    return (counts.astype(np.float64) - baseline) * _step_uv(calibration, sensitivity, len(counts))[:, np.newaxis]


def write_cnt(
    path: Path,
    channels: Sequence[str],
    rate_hz: int,
    counts: np.ndarray,
    *,
    calibration: np.ndarray | float = 1.0,
    sensitivity: float = SENSITIVITY,
    baseline: int = 0,
    events: Sequence[tuple[int, int]] = (),
    event_type: Literal[1, 2, 3] = 1,
    header_count: Literal["right"] | int = "right",
    event_position: Literal["right", "overflow"] = "right",
    person_fields: Mapping[str, str] | None = None,
    started: tuple[str, str] = ("", ""),
    behind: bool = False,
) -> None:
    """Write a file.

    Parameters
    ----------
    counts : (channel, sample) int32
    events
        (sample, code); sample 0 is the first.
    event_type
        1 and 2 store an event's place in bytes, 3 its sample.
    header_count
        What the header says about the number of samples.
    event_position
        ``"overflow"``: the header's places of the event table and of what is behind it are nonsense, as in recordings
        that grew too large.
    person_fields
        ``id``, ``name``, ``sex``, ``hand``, ``session``: invented ones only.
    started
        Date ("27/10/13") and time ("14:25:34") of the header.
    behind
        Also write what newer versions of the amplifier's program write behind the event table.
    """
    n_channels, n_samples = counts.shape
    start = 900 + 75 * n_channels
    frame = 4 * n_channels
    table_at = start + n_samples * frame
    setup = bytearray(900)
    _put(setup, 0, 12, "Version 3.0")
    for name, text in (person_fields or {}).items():
        _put(setup, *_TEXTS[name], text)
    _put(setup, 225, 10, started[0])
    _put(setup, 235, 12, started[1])
    struct.pack_into("<H", setup, 370, n_channels)
    struct.pack_into("<H", setup, 376, rate_hz)
    struct.pack_into("<I", setup, 864, n_samples if header_count == "right" else header_count)
    behind_at = table_at + 9 + len(events) * _EVENT_WIDTH[event_type]
    struct.pack_into("<i", setup, 12, behind_at if behind and event_position == "right" else 0)
    struct.pack_into("<i", setup, 886, table_at if event_position == "right" else -732)
    struct.pack_into("<f", setup, 890, n_samples / rate_hz)
    struct.pack_into("<i", setup, 894, 1)
    factors = np.broadcast_to(np.asarray(calibration, np.float32), n_channels)
    with path.open("wb") as file:
        file.write(setup)
        for index, (name, factor) in enumerate(zip(channels, factors, strict=True)):
            channel = bytearray(75)
            _put(channel, 0, 10, name)
            struct.pack_into("<ff", channel, 19, 50.0 * (1 + index % 9), 50.0 * (1 + index // 9))  # place on the screen
            struct.pack_into("<h", channel, 47, baseline)
            struct.pack_into("<f", channel, 59, sensitivity)
            struct.pack_into("<f", channel, 71, factor)
            file.write(channel)
        for at in range(0, n_samples, 100_000):
            file.write(np.ascontiguousarray(counts[:, at : at + 100_000].T, "<i4").tobytes())
        file.write(struct.pack("<Bii", event_type, len(events) * _EVENT_WIDTH[event_type], 0))
        for sample, code in events:
            place = sample if event_type == 3 else start + sample * frame
            file.write(struct.pack("<HBBI", code, 0, 0, place).ljust(_EVENT_WIDTH[event_type], b"\0"))
        if behind:
            rest = bytearray(BEHIND_BYTES)
            rest[52] = 1  # samples have four bytes
            file.write(rest)


def _step_uv(calibration: np.ndarray | float, sensitivity: float, channels: int) -> np.ndarray:
    """(channel,) microvolts per step, from the numbers as the header stores them."""
    factors = np.broadcast_to(np.asarray(calibration, np.float32), channels).astype(np.float64)
    return factors * float(np.float32(sensitivity)) / 204.8


def _put(content: bytearray, at: int, width: int, text: str) -> None:
    content[at : at + width] = text.encode("ascii")[:width].ljust(width, b"\0")
