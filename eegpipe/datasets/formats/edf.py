"""EDF, EDF+ and BDF files: header, signal in whole counts, annotations; read here so that every number can be checked.

Why not MNE: it takes a unit text that it does not know (FACED's ``?V``) for volt, renames blank labels (DEAP), believes
record counts, and gives volts after a rounding of its own. Here the header is checked against the size of the file
before anything is read, and values are counts times the header's own scale, in the header's own unit.

Formats: Kemp et al. 1992 (EDF), Kemp & Olivan 2003 (EDF+), BioSemi (BDF: 24-bit samples, first byte 0xFF).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eegpipe.errors import DataProblem

_CURE = "Copy or download the file again."
_MOST_SIGNALS = 1024
_PIECE_BYTES = 4 * 2**20  # of a file that is read at a time
_LONGEST_RECORD = 2**30  # bytes: more is no amplifier's, and reading goes by whole records
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")


@dataclass(frozen=True)
class EdfHeader:
    """What is needed to judge a file before its signal is read. ``labels`` include annotation channels, if any.

    physical, digital : (lowest, highest) of each signal
    record_s : seconds of a data record
    bytes_per_sample : 2 (EDF) or 3 (BDF)
    """

    labels: tuple[str, ...]
    units: tuple[str, ...]
    prefilters: tuple[str, ...]
    physical: tuple[tuple[float, float], ...]
    digital: tuple[tuple[int, int], ...]
    records: int
    record_s: float
    samples_per_record: tuple[int, ...]
    bytes_per_sample: int
    start: tuple[str, str]  # date and time of day, as written: "dd.mm.yy", "hh.mm.ss"
    reserved: str = ""  # "24BIT", "EDF+C"; "EDF+D", "BDF+D": there may be pauses between the records

    @property
    def duration_s(self) -> float:
        return self.records * self.record_s

    @property
    def header_bytes(self) -> int:
        return 256 * (len(self.labels) + 1)

    @property
    def signals(self) -> tuple[int, ...]:
        """The indices of all signals that are no annotations."""
        return tuple(index for index, label in enumerate(self.labels) if label not in ANNOTATIONS)

    def rate_hz(self, index: int) -> float:
        return self.samples_per_record[index] / self.record_s

    def scale(self, index: int) -> tuple[float, float]:
        """(gain, offset): value = gain x count + offset, in the header's unit."""
        (low, high), (least, most) = self.physical[index], self.digital[index]
        gain = (high - low) / (most - least)
        return gain, low - gain * least


def read_header(path: Path, where: str) -> EdfHeader:
    """The header, checked against the size of the file.

    Raises
    ------
    DataProblem
        If this is no EDF or BDF file, or holds fewer or more bytes than its header promises (an interrupted copy).
    """
    with path.open("rb") as file:
        main = file.read(256)
        try:
            if main[:8] == b"\xffBIOSEMI":
                width = 3
            elif main[:8].strip() == b"0":
                width = 2
            else:
                raise ValueError("neither EDF's nor BDF's first bytes")
            texts = [main[at:stop].decode("latin1") for at, stop in ((184, 192), (236, 244), (244, 252), (252, 256))]
            header_bytes, records, signals = (_whole(texts[index]) for index in (0, 1, 3))
            record_s = _number(texts[2])
            if records < 1 or not 0 < record_s < 3600 or not 1 <= signals <= _MOST_SIGNALS:
                raise ValueError("counts out of range")
            if header_bytes != 256 * (signals + 1):
                raise ValueError(f"a header of {header_bytes} bytes for {signals} signals")
            fields = file.read(256 * signals)
            if len(fields) != 256 * signals:
                raise ValueError("header incomplete")
            columns = _columns(fields, signals)
            samples = tuple(map(_whole, columns["samples"]))
            if min(samples) < 1:
                raise ValueError("a signal without samples")
            if sum(samples) * width > _LONGEST_RECORD:
                raise ValueError(f"records of {sum(samples) * width} bytes")
            header = EdfHeader(
                labels=columns["label"],
                units=columns["unit"],
                prefilters=columns["prefilter"],
                physical=tuple(zip(map(_number, columns["low"]), map(_number, columns["high"]), strict=True)),
                digital=tuple(zip(map(_whole, columns["least"]), map(_whole, columns["most"]), strict=True)),
                records=records,
                record_s=record_s,
                samples_per_record=samples,
                bytes_per_sample=width,
                start=(main[168:176].decode("latin1").strip(), main[176:184].decode("latin1").strip()),
                reserved=main[192:236].decode("latin1").strip(" \0"),
            )
            limit = 2 ** (8 * width - 1)
            for index, (least, most) in enumerate(header.digital):
                # One above the largest number is what some writers say.
                if not -limit <= least < most <= limit or not np.isfinite(header.scale(index)).all():
                    raise ValueError(f"signal {index + 1} without a range: {least} to {most}")
        except ValueError as error:
            raise DataProblem(where, f"no EDF or BDF header ({error})", "an EDF or BDF file", _CURE) from None
    expected = header.header_bytes + records * sum(samples) * width
    size = path.stat().st_size
    if size != expected:
        raise DataProblem(where, f"{size} bytes", f"{expected} bytes by the file's own header", _CURE)
    return header


def _whole(text: str) -> int:
    """A whole number as EDF writes it; ``int`` alone would take ``1_0`` and other alphabets' digits."""
    if not re.fullmatch(r"[+-]?[0-9]{1,8}", text := text.strip(" \0")):
        raise ValueError(f"{text!r} where a whole number should be")
    return int(text)


def _number(text: str) -> float:
    """A finite number as EDF writes it; a decimal comma is taken for a point, as MNE does."""
    text = text.strip(" \0").replace(",", ".")
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text):
        raise ValueError(f"{text!r} where a number should be")
    return _finite(float(text), text)


def _finite(value: float, text: str) -> float:
    if not np.isfinite(value):
        raise ValueError(f"{text!r} where a finite number should be")
    return value


_WIDTHS = {
    "label": 16, "transducer": 80, "unit": 8, "low": 8, "high": 8, "least": 8, "most": 8, "prefilter": 80, "samples": 8,
}  # fmt: skip


def _columns(fields: bytes, signals: int) -> dict[str, tuple[str, ...]]:
    """Each header field of every signal, as text without the padding."""
    columns, at = {}, 0
    for name, width in _WIDTHS.items():
        cut = (fields[at + index * width : at + (index + 1) * width] for index in range(signals))
        columns[name] = tuple(part.decode("latin1").strip(" \0") for part in cut)
        at += width * signals
    return columns


def read_counts(
    path: Path, header: EdfHeader, signals: Sequence[int], *, first: int = 0, stop: int | None = None
) -> np.ndarray:
    """The digital values of some signals of one rate, (signal, sample) int32, from data record ``first`` to ``stop``.

    Only the wanted records are read, a few at a time: memory is that of the answer.

    Raises
    ------
    DataProblem
        If the file pauses between its records (``EDF+D``), or became shorter since its header was read.
    """
    if header.reserved[3:5] == "+D":
        _check_no_pause(path, header)
    stop = header.records if stop is None else min(stop, header.records)
    sizes = {header.samples_per_record[index] for index in signals}
    if len(sizes) != 1:
        raise ValueError(f"signals of several rates: {sorted(sizes)} samples a record")
    size, width = sizes.pop(), header.bytes_per_sample
    begins = np.concatenate([[0], np.cumsum(header.samples_per_record)]) * width
    record_bytes = int(begins[-1])
    counts = np.empty((len(signals), (stop - first) * size), dtype=np.int32)
    chunk = max(1, _PIECE_BYTES // record_bytes)
    with path.open("rb") as file:
        file.seek(header.header_bytes + first * record_bytes)
        for start in range(first, stop, chunk):
            many = min(chunk, stop - start)
            content = file.read(many * record_bytes)
            if len(content) != many * record_bytes:
                raise DataProblem(path.name, "a file that became shorter", "the size of its header", _CURE)
            block = np.frombuffer(content, np.uint8).reshape(many, record_bytes)
            at = slice((start - first) * size, (start - first + many) * size)
            for row, index in enumerate(signals):
                counts[row, at] = _integers(block[:, begins[index] : begins[index] + size * width], width)
    return counts


def _integers(content: np.ndarray, width: int) -> np.ndarray:
    """Little-endian two's complement of ``width`` bytes, (record, byte) -> (sample,) int32."""
    parts = content.reshape(-1, width)
    if width == 2:
        return np.ascontiguousarray(parts).view("<i2").ravel().astype(np.int32)
    wide = np.zeros((len(parts), 4), np.uint8)
    wide[:, 1:] = parts  # in the upper three bytes, so that the shift back carries the sign
    return wide.view("<i4").ravel() >> 8


def read_values(
    path: Path, header: EdfHeader, signals: Sequence[int], *, first: int = 0, stop: int | None = None
) -> np.ndarray:
    """The values of some signals of one rate in the header's own unit, (signal, sample) float64.

    Counts are taken piece by piece: memory is that of the answer.
    """
    stop = header.records if stop is None else min(stop, header.records)
    size = header.samples_per_record[signals[0]]
    values = np.empty((len(signals), (stop - first) * size))
    pieces = max(1, _PIECE_BYTES // (header.bytes_per_sample * sum(header.samples_per_record)))
    for start in range(first, stop, pieces):
        counts = read_counts(path, header, signals, first=start, stop=min(start + pieces, stop))
        at = (start - first) * size
        for row, index in enumerate(signals):
            gain, offset = header.scale(index)
            part = values[row, at : at + counts.shape[1]]
            np.multiply(counts[row], gain, out=part)
            part += offset
    return values


@dataclass(frozen=True)
class Annotation:
    """One text of a time-stamped annotation list, seconds from the start of the file."""

    onset_s: float
    duration_s: float
    text: str


_STAMP = re.compile(
    rb"([+-][0-9]{1,9}(?:\.[0-9]{0,12})?)(?:\x15([0-9]{1,9}(?:\.[0-9]{0,12})?))?\x14(.*)\x14", re.DOTALL
)


def read_annotations(path: Path, header: EdfHeader) -> list[Annotation]:
    """The annotations of all annotation channels, in file order; those that only keep time are left out.

    Times count from the first record, whose own time stamp is a fraction of a second after the header's start.

    A piece that is no time-stamped annotation list is skipped: files are cut short in it, and what it would have said
    is then missing from the list, which the facts notice.
    """
    found: list[Annotation] = []
    start_s: float | None = None
    for lists in _annotation_lists(path, header):
        for piece in lists.split(b"\0"):
            if match := _STAMP.fullmatch(piece):
                onset_s, duration_s = float(match[1]), float(match[2] or 0)
                texts = [text for text in match[3].decode("utf-8", errors="replace").split("\x14") if text]
                if start_s is None:
                    start_s = 0.0 if texts else onset_s
                found += [Annotation(onset_s - start_s, duration_s, text) for text in texts]
    return found


def _annotation_lists(path: Path, header: EdfHeader) -> Iterator[bytes]:
    """The annotation channels' content, one record after the other, the first channel first."""
    width = header.bytes_per_sample
    begins = [width * sum(header.samples_per_record[:index]) for index in range(len(header.labels) + 1)]
    with path.open("rb") as file:
        for index in (index for index, label in enumerate(header.labels) if label in ANNOTATIONS):
            for record in range(header.records):
                file.seek(header.header_bytes + record * begins[-1] + begins[index])
                yield file.read(begins[index + 1] - begins[index])


def _check_no_pause(path: Path, header: EdfHeader) -> None:
    """Refuse a file whose records do not follow one another: joined, its signal would jump."""
    stamps = (_STAMP.match(lists) for lists in itertools.islice(_annotation_lists(path, header), header.records))
    starts_s = [float(stamp[1]) if stamp else np.nan for stamp in stamps]
    expected_s = header.record_s * np.arange(len(starts_s)) + (starts_s[0] if starts_s else 0)
    if len(starts_s) != header.records or not np.allclose(starts_s, expected_s, rtol=0, atol=1e-3):
        raise DataProblem(
            f"{path.name}: records",
            "a recording with pauses (EDF+D), or without the time stamps of its records",
            "one without pauses",
            "Export it again without pauses, or take the vendor's own file.",
        )
