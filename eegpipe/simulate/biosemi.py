"""EDF, EDF+ and BDF files as amplifiers write them, for simulated vendor files. Equal content gives equal bytes.

A file is a header of text fields, then data records of equal length in time: in each, the samples of the first signal,
then those of the second, and so on. EDF holds 16-bit numbers, BDF 24-bit ones; little-endian two's complement.

Formats: Kemp et al. 1992 (EDF), Kemp & Olivan 2003 (EDF+), BioSemi's "Which file format" page (BDF, status words).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BDF_DIGITAL = (-8388608, 8388607)
EDF_DIGITAL = (-32768, 32767)
BIOSEMI_UV = (-262144.0, 262143.0)  # one count is 31.25 nV


@dataclass(frozen=True, eq=False)
class Signal:
    """One signal of a file.

    physical, digital : (lowest, highest)
        The header's two ranges, which give the scale. Physical limits must have a text of at most 8 characters.
    samples_per_record
        The rate times the seconds of a record.
    counts : (sample,) integers
        Of the whole file: a whole number of records.
    """

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[int, int]
    samples_per_record: int
    counts: np.ndarray
    prefilter: str = ""
    transducer: str = ""

    @property
    def gain(self) -> float:
        """The unit's size of one count, by the header's text."""
        (low, high), (least, most) = self.physical, self.digital
        return (float(number_text(high)) - float(number_text(low))) / (most - least)

    @property
    def values(self) -> np.ndarray:
        """What the file says, in ``unit``: counts times gain plus offset, (sample,) float64."""
        return np.asarray(self.counts, np.float64) * self.gain + self.offset

    @property
    def offset(self) -> float:
        """The value of count 0."""
        return float(number_text(self.physical[0])) - self.gain * self.digital[0]


def counted(values: np.ndarray, physical: tuple[float, float], digital: tuple[int, int]) -> np.ndarray:
    """Values as counts of that scale, rounded, and clipped where the amplifier saturates; int32."""
    low, high = (float(number_text(limit)) for limit in physical)
    gain = (high - low) / (digital[1] - digital[0])
    return np.clip(np.round((values - low) / gain + digital[0]), *digital).astype(np.int32)


def biosemi_signal(
    label: str, values: np.ndarray, samples_per_record: int, *, unit: str = "uV", transducer: str = ""
) -> Signal:
    """A signal of a BioSemi ActiveTwo: 24 bit, 31.25 nV a count (or ``unit`` / 32)."""
    counts = counted(values, BIOSEMI_UV, BDF_DIGITAL)
    prefilter = "HP: DC; LP: 104 Hz"
    return Signal(label, unit, BIOSEMI_UV, BDF_DIGITAL, samples_per_record, counts, prefilter, transducer)


def biosemi_status(words: np.ndarray, samples_per_record: int, *, label: str = "Status") -> Signal:
    """The status channel: unsigned 24-bit words. Bits 0-15 are triggers, 16 a new epoch, 20 the amplifier in range."""
    counts = np.asarray(words, np.int64)
    counts = np.where(counts > BDF_DIGITAL[1], counts - 2**24, counts).astype(np.int32)
    physical = (float(BDF_DIGITAL[0]), float(BDF_DIGITAL[1]))
    return Signal(
        label, "Boolean", physical, BDF_DIGITAL, samples_per_record, counts, "No filtering", "Triggers and Status"
    )


Annotation = tuple[float, float | None, str]


def write_edf(
    path: Path,
    signals: Sequence[Signal],
    record_s: float,
    *,
    kind: str = "EDF",
    annotations: Sequence[Annotation] | None = None,
    annotation_bytes: int | None = None,
    records: int | None = None,
    reserved: str | None = None,
    start_date: str = "01.01.11",
    start_time: str = "00.00.00",
    patient: str = "",
    recording: str = "",
) -> None:
    """Write one file.

    Parameters
    ----------
    record_s
        Seconds of a data record.
    kind
        ``"EDF"`` (16 bit) or ``"BDF"`` (24 bit).
    annotations
        (onset in seconds, duration or None, text). If given, even empty, the file is EDF+ or BDF+: a last signal
        ``EDF Annotations`` holds them, each in the record of its onset or the next one with room, after the record's
        own time stamp.
    annotation_bytes
        Of the annotation signal in each record; rounded up to whole samples. None: what the fullest record needs.
    records
        Only if there are no signals.
    reserved
        The header's free text. None: ``EDF+C`` or ``BDF+C`` with annotations, ``24BIT`` for BDF, else empty.
    start_date, start_time
        ``dd.mm.yy``, ``hh.mm.ss``.

    Raises
    ------
    ValueError
        If signals have different durations, counts do not fit their bits, a text is too long, or annotations do not
        fit.
    """
    width = {"EDF": 2, "BDF": 3}[kind]
    lengths = {len(signal.counts) / signal.samples_per_record for signal in signals} or {float(records or 1)}
    if len(lengths) != 1 or not lengths.copy().pop().is_integer():
        raise ValueError(f"signals of {sorted(lengths)} records")
    n_records = int(lengths.pop())
    parts = [_packed(signal, n_records, width) for signal in signals]
    columns = [
        (signal.label, signal.transducer, signal.unit, *map(number_text, signal.physical), *map(str, signal.digital),
         signal.prefilter, str(signal.samples_per_record), "")
        for signal in signals
    ]  # fmt: skip
    if annotations is not None:
        content = _annotation_records(annotations, n_records, record_s, annotation_bytes, width)
        parts.append(content)
        least, most = EDF_DIGITAL if kind == "EDF" else BDF_DIGITAL
        samples = str(content.shape[1] // width)
        columns.append((f"{kind} Annotations", "", "", "-1", "1", str(least), str(most), "", samples, ""))
    if reserved is None:
        reserved = f"{kind}+C" if annotations is not None else ("24BIT" if kind == "BDF" else "")
    version = b"0       " if kind == "EDF" else b"\xffBIOSEMI"
    main = [
        (patient, 80), (recording, 80), (start_date, 8), (start_time, 8), (str(256 * (len(columns) + 1)), 8),
        (reserved, 44), (str(n_records), 8), (number_text(record_s), 8), (str(len(columns)), 4),
    ]  # fmt: skip
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    fields = [(column[field], size) for field, size in enumerate(widths) for column in columns]
    with path.open("wb") as file:
        file.write(version + b"".join(_padded(text, size) for text, size in main + fields))
        step = max(1, 2**22 // max(1, sum(part.shape[1] for part in parts)))
        for first in range(0, n_records, step):
            file.write(np.concatenate([part[first : first + step] for part in parts], axis=1).tobytes())


def number_text(value: float) -> str:
    """The shortest text of a number that an EDF header has room for (8 characters), as near to it as they allow."""
    if float(value).is_integer() and len(str(int(value))) <= 8:
        return str(int(value))
    texts = [f"{value:.{digits}g}" for digits in range(1, 9)]
    fitting = [text for text in texts if len(text) <= 8]
    return min(fitting, key=lambda text: (abs(float(text) - value), len(text)))


def _padded(text: str, size: int) -> bytes:
    content = text.encode("latin1")
    if len(content) > size:
        raise ValueError(f"'{text}' is longer than {size} bytes")
    return content.ljust(size)


def _packed(signal: Signal, n_records: int, width: int) -> np.ndarray:
    """(record, byte) uint8."""
    counts = np.asarray(signal.counts)
    limit = 2 ** (8 * width - 1)
    if counts.dtype.kind not in "iu" or counts.ndim != 1:
        raise ValueError(f"{signal.label}: counts are a one-dimensional array of integers")
    if counts.size and (counts.min() < -limit or counts.max() >= limit):
        raise ValueError(f"{signal.label}: counts {counts.min()} to {counts.max()} in {8 * width} bits")
    wide = np.ascontiguousarray(counts, "<i4").view(np.uint8).reshape(-1, 4)
    return wide[:, :width].reshape(n_records, signal.samples_per_record * width)


def _annotation_records(
    annotations: Sequence[Annotation], n_records: int, record_s: float, size: int | None, width: int
) -> np.ndarray:
    """The annotation signal, (record, byte) uint8: time-stamped lists, filled up with zeros."""
    texts = [b"+" + _seconds(record * record_s) + b"\x14\x14\0" for record in range(n_records)]
    for onset_s, duration_s, text in sorted(annotations, key=lambda one: one[0]):
        duration = b"" if duration_s is None else b"\x15" + _seconds(duration_s)
        content = (b"" if onset_s < 0 else b"+") + _seconds(onset_s) + duration
        content += b"\x14" + text.encode() + b"\x14\0"
        record = min(max(0, math.floor(onset_s / record_s + 1e-9)), n_records - 1)
        while size is not None and len(texts[record]) + len(content) > size:
            record += 1
            if record == n_records:
                raise ValueError(f"no room for the annotation '{text}' at {onset_s} s")
        texts[record] += content
    size = max(map(len, texts)) if size is None else size
    size += -size % width
    if max(map(len, texts)) > size:
        raise ValueError(f"time stamps longer than {size} bytes")
    return np.frombuffer(b"".join(text.ljust(size, b"\0") for text in texts), np.uint8).reshape(n_records, size)


def _seconds(value: float) -> bytes:
    return f"{value:.6f}".rstrip("0").rstrip(".").encode()
