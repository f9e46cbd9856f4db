"""NeuroScan CNT files as the amplifier's program writes them, and as damaged or oversized recordings turn out.

Layout: :mod:`eegpipe.datasets.formats.cnt` (not used here, so that the reader and the writer share no mistake). calibration the vendors' files have is not known; it is a parameter.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

# Steps of a 24-bit converter over one volt. Sensitivity as the header has it: 204.8 steps of it are one microvolt.
SENSITIVITY = float(np.float32(204.8 * 1e6 / 2**25))
# Place and width of the fields about the person and of the session's label.
_TEXTS = {"id": (21, 20), "name": (121, 20), "sex": (143, 1), "hand": (144, 1), "session": (205, 20)}
_EVENT_WIDTH = {1: 8, 2: 19, 3: 19}


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
        ``"overflow"``: the header's place of the event table is negative, as in recordings that grew too large.
    person_fields
        ``id``, ``name``, ``sex``, ``hand``, ``session``: invented ones only.
    started
        Date ("27/10/13") and time ("14:25:34") of the header.
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
    struct.pack_into("<i", setup, 886, table_at if event_position == "right" else -732)
    struct.pack_into("<f", setup, 890, n_samples / rate_hz)
    struct.pack_into("<i", setup, 894, 1)
    factors = np.broadcast_to(np.asarray(calibration, np.float32), n_channels)
    with path.open("wb") as file:
        file.write(setup)
        for name, factor in zip(channels, factors, strict=True):
            channel = bytearray(75)
            _put(channel, 0, 10, name)
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


def _step_uv(calibration: np.ndarray | float, sensitivity: float, channels: int) -> np.ndarray:
    """(channel,) microvolts per step, from the numbers as the header stores them."""
    factors = np.broadcast_to(np.asarray(calibration, np.float32), channels).astype(np.float64)
    return factors * float(np.float32(sensitivity)) / 204.8


def _put(content: bytearray, at: int, width: int, text: str) -> None:
    content[at : at + width] = text.encode("ascii")[:width].ljust(width, b"\0")
