"""NeuroScan CNT files: continuous EEG of 32-bit samples, read so that no field of the header is believed without proof.

Layout (little-endian): a setup header of 900 bytes, 75 bytes per channel, the samples (all channels of sample 0, then
of sample 1, ...), the event table. Offsets of the fields: NeuroScan's ``sethead.h``, as in MNE-Python's reader.

Why not MNE: it takes the number of samples from the header, where large recordings have 0 or nonsense, guesses from it
whether a sample has two or four bytes, and keeps name and sex of the person. Here

- the number of samples comes from the size of the file and the place of the event table;
- the place of the event table is believed only if an event table is there, and looked for from the end otherwise;
  there may be something behind the table, to which the field ``nextfile`` at byte 12 points;
- samples have four bytes; a file that makes sense only with two is refused, unless byte 52 of what ``nextfile`` points
  to says four (as EEGLAB's ``loadcnt`` knows);
- fields about the person are never read.

**Events.** The first sample of a recording has the number 0. Tables of type 1 and 2 hold the place of the event in the
file in bytes, ``900 + 75 * channels + sample * channels * 4``; tables of type 3 hold the number of the sample itself.
(MNE gives 1 sample less for types 1 and 2, and with 66 channels 24 samples less for type 3.)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from eegpipe.errors import DataProblem

SETUP_BYTES, CHANNEL_BYTES, TABLE_BYTES = 900, 75, 9
EVENT_BYTES = {1: 8, 2: 19, 3: 19}  # by type of the table
SAMPLE_BYTES = 4
_MOST_CHANNELS = 512
_TAIL_BYTES, _BEHIND_BYTES = 8 * 2**20, 4096  # where an event table is looked for, and an empty one
_CHUNK_BYTES = 8 * 2**20
# The spread of scalp EEG in microvolt, wide: only used to tell samples of four bytes from samples of two.
_SPREAD_UV = (0.02, 20_000.0)
_COPY_AGAIN = "Copy the file from the vendor's archive again."


@dataclass(frozen=True)
class CntHeader:
    """The head of a file.

    channels
        Names as the file spells them, in file order, blanks and NUL taken away.
    samples
        Per channel; what the file really holds.
    event_table
        Byte at which the event table begins; None: there is none.
    baseline, scale_uv : (channel,) float64
        Microvolt = (sample - baseline) * scale.
    declared_samples, declared_event_table
        What the header says; wrong in some of the vendors' files.
    start_s_of_day
        When the recording began, seconds since midnight, if the header says so. The date is not read.
    """

    channels: tuple[str, ...]
    rate_hz: float
    samples: int
    bytes_per_sample: int
    event_table: int | None
    baseline: np.ndarray
    scale_uv: np.ndarray
    declared_samples: int
    declared_event_table: int
    start_s_of_day: float | None

    @property
    def data_start(self) -> int:
        """The byte of the first sample."""
        return SETUP_BYTES + CHANNEL_BYTES * len(self.channels)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.bytes_per_sample * len(self.channels)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the header says wrongly, one sentence each."""
        told = []
        if self.declared_samples != self.samples:
            told.append(
                f"The header declares {self.declared_samples} samples; the file holds {self.samples}, which were read."
            )
        if self.event_table is not None and self.declared_event_table != self.event_table:
            told.append(
                "The header points to a wrong place for the event table; it was found near the end of the file."
            )
        elif self.event_table is None and self.declared_event_table != 0:
            told.append("The file has no event table, though its header points to one.")
        return tuple(told)


@dataclass(frozen=True)
class CntEvent:
    """A mark in the recording: the number of its sample (0 is the first) and its code."""

    sample: int
    code: int


def read_header(path: Path, where: str) -> CntHeader:
    """Read and check the head of a file; of the signal only what tells the size of a sample.

    Raises
    ------
    DataProblem
        If this is no CNT file, its channels are not readable, or its samples do not have four bytes.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        setup = file.read(SETUP_BYTES)
        if len(setup) < SETUP_BYTES or not setup.startswith(b"Version"):
            raise DataProblem(where, "no head of a NeuroScan file", "a file that begins with 'Version'", _COPY_AGAIN)
        count, rate = struct.unpack_from("<H", setup, 370)[0], struct.unpack_from("<H", setup, 376)[0]
        declared_samples = struct.unpack_from("<I", setup, 864)[0]
        behind, high = struct.unpack_from("<iI", setup, 12)
        table = struct.unpack_from("<I", setup, 886)[0] + (high << 32)
        block = struct.unpack_from("<i", setup, 894)[0]
        start = SETUP_BYTES + CHANNEL_BYTES * count
        if not 0 < count <= _MOST_CHANNELS or not rate or size < start + SAMPLE_BYTES * count:
            found = f"{count} channels at {rate} Hz in {size} bytes"
            raise DataProblem(where, found, "channels, a rate and at least one sample", _COPY_AGAIN)
        if block > 1:
            raise DataProblem(
                where,
                f"blocks of {block} samples per channel",
                "all channels of a sample side by side, as the amplifier writes them",
                "Take the vendor's own file; this one was written by another program.",
            )
        names, baseline, scale = _channels(file.read(CHANNEL_BYTES * count), count, where)
        frame = SAMPLE_BYTES * count
        ends = {size, behind} if start < behind < size else {size}
        found_at = table if _is_table(file, table, start, frame, size) else _find_table(file, ends, start, frame)
        header = CntHeader(
            channels=names,
            rate_hz=float(rate),
            samples=((found_at or size) - start) // frame,
            bytes_per_sample=SAMPLE_BYTES,
            event_table=found_at,
            baseline=baseline,
            scale_uv=scale,
            declared_samples=declared_samples,
            declared_event_table=table,
            start_s_of_day=_time_of_day(setup[235:247]),
        )
        if not _says_four(file, behind, size):
            _check_sample_size(file, header, where)
        return header


def read_microvolts(
    path: Path, where: str, header: CntHeader, channel_indices: list[int], first: int = 0, stop: int | None = None
) -> np.ndarray:
    """Samples ``first`` to ``stop`` (not included; None: the last) of some channels.

    Returns
    -------
    (channel, sample) float64, microvolt. The file is read in pieces, so that little more memory is taken than this.
    """
    stop = header.samples if stop is None else stop
    if not 0 <= first <= stop <= header.samples:
        raise ValueError(f"samples {first} to {stop} of {header.samples}")
    columns = np.asarray(channel_indices)
    baseline, scale = header.baseline[columns], header.scale_uv[columns]
    signal = np.empty((len(columns), stop - first))
    frames = max(1, _CHUNK_BYTES // header.frame_bytes)
    with path.open("rb") as file:
        file.seek(header.data_start + first * header.frame_bytes)
        for at in range(0, stop - first, frames):
            length = min(frames, stop - first - at)
            content = file.read(length * header.frame_bytes)
            if len(content) != length * header.frame_bytes:
                raise DataProblem(where, f"an end after {first + at} samples", f"{header.samples} samples", _COPY_AGAIN)
            piece = np.frombuffer(content, "<i4").reshape(length, len(header.channels))[:, columns]
            signal[:, at : at + length] = ((piece - baseline) * scale).T
    return signal


def read_events(path: Path, where: str, header: CntHeader) -> list[CntEvent]:
    """The marks, in the order of the file; none if the file has no event table.

    Raises
    ------
    DataProblem
        If a mark lies outside the recording.
    """
    if header.event_table is None:
        return []
    with path.open("rb") as file:
        file.seek(header.event_table)
        kind, size, _ = struct.unpack("<Bii", file.read(TABLE_BYTES))
        content = file.read(size)
    width = EVENT_BYTES[kind]
    events = []
    for number, at in enumerate(range(0, size, width), start=1):
        code, place = struct.unpack_from("<HxxI", content, at)
        sample = place if kind == 3 else (place - header.data_start) // header.frame_bytes
        if not 0 <= sample < header.samples:
            raise DataProblem(
                f"{where}: event {number}",
                f"a mark at {'sample' if kind == 3 else 'byte'} {place}",
                f"one of the {header.samples} samples of the recording",
                _COPY_AGAIN,
            )
        events.append(CntEvent(sample, code))
    return events


def _channels(content: bytes, count: int, where: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, baselines and microvolts per unit."""
    names, baseline, scale = [], np.empty(count), np.empty(count)
    for index in range(count):
        at = CHANNEL_BYTES * index
        names.append(content[at : at + 10].split(b"\0")[0].decode("latin-1").strip())
        baseline[index] = struct.unpack_from("<h", content, at + 47)[0]
        sensitivity, calibration = (
            struct.unpack_from("<f", content, at + 59)[0],
            struct.unpack_from("<f", content, at + 71)[0],
        )
        scale[index] = calibration * sensitivity / 204.8
    if not all(name.isprintable() and name for name in names) or len(set(names)) != count:
        raise DataProblem(where, "channels without names, or two of one name", f"{count} names", _COPY_AGAIN)
    wrong = [name for name, factor in zip(names, scale, strict=True) if not (np.isfinite(factor) and factor != 0)]
    if wrong:
        raise DataProblem(
            f"{where}: calibration",
            f"a scale of zero, or no number, in channel {', '.join(wrong[:5])}",
            "microvolts per step of the amplifier",
            _COPY_AGAIN,
        )
    return tuple(names), baseline, scale


def _is_table(file: BinaryIO, at: int, start: int, frame: int, size: int) -> bool:
    """Whether an event table begins at byte ``at``, behind a whole number of samples."""
    if not start < at <= size - TABLE_BYTES or (at - start) % frame:
        return False
    file.seek(at)
    kind, length, _ = struct.unpack("<Bii", file.read(TABLE_BYTES))
    width = EVENT_BYTES.get(kind)
    return width is not None and 0 <= length <= size - at - TABLE_BYTES and length % width == 0


def _find_table(file: BinaryIO, ends: Collection[int], start: int, frame: int) -> int | None:
    """The last event table of the file, whatever the header says; None if there is none.

    It begins behind a whole number of samples, and its marks lie before it. One with less than two marks must end near
    the end of the file, or where the header says that something else begins.
    """
    size = max(ends)
    first = start + max(0, size - _TAIL_BYTES - start) // frame * frame
    file.seek(first)
    tail = file.read(size - first)
    kinds = np.frombuffer(tail, np.uint8)[::frame]
    for place in np.flatnonzero(np.isin(kinds, list(EVENT_BYTES)))[::-1].tolist():
        at = place * frame
        if at + TABLE_BYTES > len(tail) or first + at <= start:
            continue
        kind, length, offset = struct.unpack_from("<Bii", tail, at)
        width, end = EVENT_BYTES[kind], at + TABLE_BYTES + length
        if offset or length < 0 or length % width or end > len(tail):
            continue
        marks = [
            struct.unpack_from("<I", tail, at + TABLE_BYTES + 4 + width * mark)[0] for mark in range(length // width)
        ]
        low, high = (0, (first + at - start) // frame) if kind == 3 else (start, first + at)
        sure = len(marks) > 1 or first + end in ends or len(tail) - end <= _BEHIND_BYTES
        if sure and all(low <= mark <= high for mark in marks):
            return first + at
    return None


def _says_four(file: BinaryIO, behind: int, size: int) -> bool:
    """Whether what lies behind the event table says that samples have four bytes; most programs write nothing there."""
    if not 0 < behind < size - 52:
        return False
    file.seek(behind + 52)
    return file.read(1) == b"\1"


def _check_sample_size(file: BinaryIO, header: CntHeader, where: str) -> None:
    """Refuse samples of two bytes: their values, or the header's count, fit two bytes and not four."""
    count, frame = len(header.channels), header.frame_bytes
    frames = min(header.samples, 1024)
    file.seek(header.data_start + (header.samples - frames) // 2 * frame)
    content = file.read(frames * frame)
    content = content[: len(content) // frame * frame]

    def typical_uv(kind: str) -> float:
        values = np.frombuffer(content, kind).reshape(-1, count).astype(np.float64)
        deviation = np.abs(values - np.median(values, axis=0))
        return float(np.median(1.4826 * np.median(deviation, axis=0) * np.abs(header.scale_uv)))

    low, high = _SPREAD_UV
    as_four, as_two = typical_uv("<i4"), typical_uv("<i2")
    doubled = header.declared_samples in (2 * header.samples, 2 * header.samples + 1)
    if low <= as_two <= high and as_four > high and (doubled or as_four > 100 * as_two):
        raise DataProblem(
            f"{where}: samples",
            f"values that make sense only with two bytes a sample (a spread of {as_four:.3g} microvolt with four)",
            "samples of four bytes",
            "Take the vendor's own file; this one was saved with 16 bits.",
        )


def _time_of_day(field: bytes) -> float | None:
    match = re.match(rb"\s*([0-9]{1,2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]+)?)", field)
    if not match:
        return None
    hours, minutes, seconds = (float(part) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds if hours < 24 and minutes < 60 and seconds < 60 else None
