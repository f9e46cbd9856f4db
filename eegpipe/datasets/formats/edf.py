"""EDF files through MNE, after a check that the file is as long as its own header says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eegpipe.errors import DataProblem

if TYPE_CHECKING:
    import mne

_CURE = "Download the file again."


@dataclass(frozen=True)
class EdfHeader:
    """What is needed to judge a file before its signal is read. ``labels`` include the annotation channel, if any."""

    labels: tuple[str, ...]
    units: tuple[str, ...]
    records: int
    record_s: float
    samples_per_record: tuple[int, ...]

    @property
    def duration_s(self) -> float:
        return self.records * self.record_s


def read_header(path: Path, where: str) -> EdfHeader:
    """The header, checked against the size of the file.

    Raises
    ------
    DataProblem
        If this is no EDF file, or holds fewer or more bytes than its header promises (an interrupted download).
    """
    with path.open("rb") as file:
        main = file.read(256)
        try:
            if main[:8].strip() != b"0":
                raise ValueError("no EDF version")
            records, record_s, signals = int(main[236:244]), float(main[244:252]), int(main[252:256])
            if records < 1 or record_s <= 0 or not 1 <= signals <= 512:
                raise ValueError("counts out of range")
            fields = file.read(256 * signals)
            if len(fields) != 256 * signals:
                raise ValueError("header incomplete")
            labels = _texts(fields, signals, 0, 16)
            units = _texts(fields, signals, 96, 8)
            samples = tuple(int(text) for text in _texts(fields, signals, 216, 8))
        except ValueError as error:
            raise DataProblem(where, f"no EDF header ({error})", "an EDF file", _CURE) from None
    expected = 256 * (signals + 1) + records * sum(samples) * 2
    size = path.stat().st_size
    if size != expected:
        raise DataProblem(where, f"{size} bytes", f"{expected} bytes by the file's own header", _CURE)
    return EdfHeader(labels, units, records, record_s, samples)


def _texts(fields: bytes, signals: int, before: int, width: int) -> tuple[str, ...]:
    """One header field of every signal; ``before`` is the width of the fields in front of it."""
    start = before * signals
    cut = (fields[start + index * width : start + (index + 1) * width] for index in range(signals))
    return tuple(part.decode("latin1").strip() for part in cut)


def read_edf(path: Path, where: str) -> mne.io.BaseRaw:
    """The file through MNE, in volts, preloaded."""
    import mne

    try:
        return mne.io.read_raw_edf(path, preload=True, verbose="error")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataProblem(where, f"a file that cannot be read ({reason})", "an EDF file", _CURE) from None
