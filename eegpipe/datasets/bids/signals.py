"""The signal files of BIDS-EEG behind one face: EDF and BDF, BrainVision, EEGLAB.

Read here and not with MNE, which believes the sizes in these files, guesses units, and gives volts after a rounding of
its own. Every size is compared with the file before memory is taken; what is not understood is refused.

Formats: EDF/BDF as in :mod:`eegpipe.datasets.formats.edf`. BrainVision Core Data Format 1.0 (Brain Products): a text
header, numbers in a file of their own, markers of which only ``New Segment`` is read. EEGLAB: a MATLAB structure
``EEG`` (or its fields one by one), numbers inside or as float32 in a ``.fdt`` file, channels within each sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.datasets.formats import edf, mat5, matlab
from eegpipe.errors import DataProblem

EXTENSIONS = (".edf", ".bdf", ".vhdr", ".set")
_CURE = "Copy or download the file again."
_MOST_CHANNELS = 1024
_HIGHEST_HZ = 100_000.0
_LARGEST_TEXT = 16 * 2**20
# Samples that are converted at a time.
_PIECE = 262_144


@dataclass(frozen=True)
class SignalFile:
    """A signal file of which only the head is read.

    names, units
        Of all channels, as the file spells them; an empty unit is none.
    rates_hz, samples
        Of each channel; only EDF and BDF have channels that differ.
    breaks
        Samples at which a new stretch begins that was recorded later.
    read(channels) -> (channel, sample) float32 or float64
        The values of channels of one rate, in the file's unit.
    notes
        What was unusual and how it was read.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    rates_hz: tuple[float, ...]
    samples: tuple[int, ...]
    read: Callable[[Sequence[int]], np.ndarray]
    breaks: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def open_signal(path: Path, where: str) -> SignalFile:
    """The head of a signal file, chosen by the end of its name.

    Raises
    ------
    DataProblem
        If the file is not what its name says, is incomplete, or holds epochs instead of a continuous recording.
    """
    if not path.is_file():
        raise DataProblem(where, "a link to nothing" if path.is_symlink() else "no file", "the signal", _GET)
    with path.open("rb") as file:
        if re.match(rb"[./]*(\.git/|/)annex/objects/", file.read(64)):
            raise DataProblem(where, "only the name of a file that was not downloaded", "the signal", _GET)
    return {".edf": _edf, ".bdf": _edf, ".vhdr": _brainvision, ".set": _eeglab}[path.suffix.lower()](path, where)


_GET = "Download the content: the clone of a DataLad or OpenNeuro repository holds only names (`datalad get`)."


# --- EDF and BDF ------------------------------------------------------------------------------------------------------


def _edf(path: Path, where: str) -> SignalFile:
    header = edf.read_header(path, where)
    signals = header.signals
    return SignalFile(
        names=tuple(header.labels[index] for index in signals),
        units=tuple(header.units[index] for index in signals),
        rates_hz=tuple(header.rate_hz(index) for index in signals),
        samples=tuple(header.records * header.samples_per_record[index] for index in signals),
        read=lambda channels: _edf_values(path, header, [signals[channel] for channel in channels]),
    )


def _edf_values(path: Path, header: edf.EdfHeader, signals: Sequence[int]) -> np.ndarray:
    """As :func:`edf.read_values`, a few records at a time into float32: half the memory."""
    size = header.samples_per_record[signals[0]]
    values = np.empty((len(signals), header.records * size), np.float32)
    step = max(1, _PIECE // size)
    for first in range(0, header.records, step):
        stop = min(first + step, header.records)
        values[:, first * size : stop * size] = edf.read_values(path, header, signals, first=first, stop=stop)
    return values


# --- BrainVision ------------------------------------------------------------------------------------------------------

_NUMBERS = {"INT_16": "<i2", "INT_32": "<i4", "IEEE_FLOAT_32": "<f4"}
# Where a unit is left out the format means microvolt.
_DEFAULT_UNIT = "µV"


def _brainvision(path: Path, where: str) -> SignalFile:
    text = _sections(path, where)
    common, binary = text.get("common infos", {}), text.get("binary infos", {})

    def fact(section: dict[str, str], key: str) -> str:
        if key not in section:
            raise DataProblem(where, f"no entry '{key}'", "a BrainVision header", _CURE)
        return section[key]

    for key, right in (("dataformat", "BINARY"), ("datatype", "TIMEDOMAIN"), ("segmentationtype", "NOTSEGMENTED")):
        if common.get(key, right).upper() != right:
            cure = "Export it again as continuous binary data."
            raise DataProblem(f"{where}: {key}", common[key], right, cure)
    order = common.get("dataorientation", "MULTIPLEXED").upper()
    kind = _NUMBERS.get(fact(binary, "binaryformat").upper())
    if kind is None or order not in ("MULTIPLEXED", "VECTORIZED"):
        found = f"{binary['binaryformat']}, {order}"
        raise DataProblem(f"{where}: format", found, f"{', '.join(_NUMBERS)}; multiplexed or vectorized", _CURE)
    count = _whole(fact(common, "numberofchannels"), f"{where}: NumberOfChannels")
    interval_us = _number(fact(common, "samplinginterval"), f"{where}: SamplingInterval")
    if not 1 <= count <= _MOST_CHANNELS or not 1e6 / _HIGHEST_HZ <= interval_us <= 1e8:
        found = f"{count} channels, {interval_us:g} microseconds from sample to sample"
        raise DataProblem(where, found, "a BrainVision header", _CURE)
    names, units, gains = [], [], []
    infos = text.get("channel infos", {})
    for number in range(1, count + 1):
        name, _, resolution, unit = (*fact(infos, f"ch{number}").split(","), "", "", "")[:4]
        names.append(name.replace("\\1", ",").strip())
        units.append(unit.strip() or _DEFAULT_UNIT)
        gains.append(_number(resolution, f"{where}: resolution of {names[-1]}") if resolution.strip() else 1.0)
    data, notes = _beside(path, fact(common, "datafile"), (".eeg", ".dat", ".avg"), where)
    size, width = data.stat().st_size, np.dtype(kind).itemsize * count
    samples = size // width
    if size % width or not samples:
        expected = f"a multiple of {width} bytes, for {count} channels of {binary['binaryformat']}"
        raise DataProblem(f"{where}: {data.name}", f"{size} bytes", expected, _CURE)
    shape = (samples, count) if order == "MULTIPLEXED" else (count, samples)

    def read(channels: Sequence[int]) -> np.ndarray:
        stored = np.memmap(data, kind, mode="r", shape=shape)
        values = np.empty((len(channels), samples), np.float32)
        for first in range(0, samples, _PIECE):
            cut = slice(first, first + _PIECE)
            piece = stored[cut].T if order == "MULTIPLEXED" else stored[:, cut]
            values[:, cut] = piece[list(channels)] * np.array([[gains[channel]] for channel in channels])
        return values

    breaks = _segments(path, common.get("markerfile", ""), samples)
    rate_hz = 1e6 / interval_us
    # The interval is written with a few digits: 3906.25 is exact, 1953.125 is often cut.
    rate_hz = float(round(rate_hz)) if abs(rate_hz - round(rate_hz)) < 1e-5 * rate_hz else rate_hz
    return SignalFile(
        tuple(names), tuple(units), (rate_hz,) * count, (samples,) * count, read, tuple(breaks), tuple(notes)
    )


def _sections(path: Path, where: str) -> dict[str, dict[str, str]]:
    """The sections of a BrainVision text file, names and keys in lower case."""
    if path.stat().st_size > _LARGEST_TEXT:
        raise DataProblem(where, f"{path.stat().st_size} bytes", "a small text file", _CURE)
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:  # of before 2010: the micro sign in Latin 1
        text = content.decode("latin1")
    if not re.match(r"(Brain ?Vision|BrainVision)( V-Amp)? Data Exchange \w+ File", text, re.IGNORECASE):
        raise DataProblem(where, "another first line", "a BrainVision header", _CURE)
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"\[(.+)\]\s*", line):
            current = sections.setdefault(heading[1].strip().lower(), {})
            if heading[1].strip().lower() == "comment":
                break  # free text to the end
        elif "=" in line and not line.startswith(";"):
            key, value = line.split("=", 1)
            current.setdefault(key.strip().lower(), value.strip())
    return sections


def _segments(path: Path, name: str, samples: int) -> list[int]:
    """Where recording went on after a pause, in samples from 0. Without a marker file there is none to know of."""
    plain = name.replace("$b", path.stem)
    candidates = [path.with_name(plain)] if plain and Path(plain).name == plain else []
    file = next((one for one in (*candidates, path.with_suffix(".vmrk")) if one.is_file()), None)
    if file is None:
        return []
    markers = _sections(file, file.name).get("marker infos", {})
    found = {
        int(cells[2]) - 1
        for cells in (value.split(",") for value in markers.values())
        if cells[0].strip().lower() == "new segment" and len(cells) > 2 and re.fullmatch(r"\d{1,12}", cells[2].strip())
    }
    return sorted(sample for sample in found if 0 < sample < samples)


def _beside(path: Path, name: str, suffixes: Sequence[str], where: str) -> tuple[Path, list[str]]:
    """The file of numbers that a header names. Whoever renames files for BIDS often leaves the old name inside."""
    plain = name.replace("$b", path.stem)
    named = path.with_name(plain) if Path(plain).name == plain and plain not in ("", ".", "..") else None
    if named is not None and named.is_file():
        return named, []
    same = next((one for one in map(path.with_suffix, suffixes) if one.is_file()), None)
    if same is None:
        raise DataProblem(f"{where}: data file", f"no file '{name}' beside it", "the file of numbers", _GET)
    return same, [f"{where} names '{name}', which is not there; {same.name} was read."]


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise DataProblem(where, f"'{text}'", "a positive number", _CURE)
    return value


def _whole(text: str, where: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise DataProblem(where, f"'{text}'", "a whole number", _CURE)
    return int(text)


# --- EEGLAB -----------------------------------------------------------------------------------------------------------

# Fields that are large, or unreadable in old files, and say nothing about the raw signal.
_SKIPPED = (
    "icaact", "icawinv", "icasphere", "icaweights", "icachansind", "urchanlocs", "chaninfo", "urevent", "epoch",
    "eventdescription", "epochdescription", "reject", "stats", "specdata", "specicaact", "dipfit", "history", "etc",
    "comments", "times", "roi",
)  # fmt: skip
_WANTED = ("nbchan", "trials", "pnts", "srate", "data", "chanlocs", "event")
# What a variable may take in memory: the file may be compressed, but EEG hardly shrinks to a tenth.
_SMALL, _RATIO = 256 * 2**20, 32


def _eeglab(path: Path, where: str) -> SignalFile:
    largest = _SMALL + _RATIO * path.stat().st_size
    variables = matlab.list_variables(path, where)
    if "EEG" in variables:
        value = matlab.read_variable(path, where, "EEG", largest=largest, skip=_SKIPPED)
        elements = matlab.structs(value, where)
        if len(elements) != 1:
            raise DataProblem(where, f"{len(elements)} data sets", "one", "Save each data set in a file of its own.")
        fields = elements[0]
    else:  # newer EEGLAB saves the fields one by one
        fields = {
            name: matlab.read_variable(path, where, name, largest=largest, skip=_SKIPPED)
            for name in _WANTED
            if name in variables
        }
    if missing := [name for name in ("nbchan", "pnts", "srate", "data", "chanlocs") if name not in fields]:
        raise DataProblem(where, f"no field {', '.join(missing)}", "an EEGLAB data set", _CURE)
    count, samples = (int(_scalar(fields[name], f"{where}: {name}")) for name in ("nbchan", "pnts"))
    rate_hz = _scalar(fields["srate"], f"{where}: srate")
    trials = int(_scalar(fields["trials"], f"{where}: trials")) if "trials" in fields else 1
    if trials != 1:
        cure = "Use the recording as it was before it was cut into epochs."
        raise DataProblem(where, f"{trials} epochs", "a continuous recording", cure)
    if not (1 <= count <= _MOST_CHANNELS and samples >= 1 and 0 < rate_hz <= _HIGHEST_HZ):
        found = f"{count} channels, {samples} samples, {rate_hz:g} Hz"
        raise DataProblem(where, found, "an EEGLAB data set", _CURE)
    places = matlab.structs(fields["chanlocs"], f"{where}: chanlocs")
    names = [matlab.text(place.get("labels")) or "" for place in places]
    if len(names) != count:
        raise DataProblem(f"{where}: chanlocs", f"{len(names)} channels", f"{count}, as nbchan says", _CURE)
    read, notes = _eeglab_values(path, fields["data"], (count, samples), where)
    return SignalFile(
        names=tuple(names),
        units=(_DEFAULT_UNIT,) * count,  # EEGLAB has no unit; everything in it is taken for microvolt
        rates_hz=(rate_hz,) * count,
        samples=(samples,) * count,
        read=read,
        breaks=tuple(_boundaries(fields.get("event"), samples)),
        notes=tuple(notes),
    )


def _eeglab_values(
    path: Path, data: Any, shape: tuple[int, int], where: str
) -> tuple[Callable[[Sequence[int]], np.ndarray], list[str]]:
    count, samples = shape
    if isinstance(data, np.ndarray):
        if data.shape != shape:
            found = " x ".join(map(str, data.shape))
            raise DataProblem(f"{where}: data", found, f"{count} channels x {samples} samples", _CURE)
        return (lambda channels: data[list(channels)].astype(np.float32)), []
    name = matlab.text(data)
    if name is None or name.lower().endswith(".dat"):
        found = "a .dat file of old EEGLAB" if name else "neither numbers nor the name of a file"
        raise DataProblem(f"{where}: data", found, "numbers, or the name of a .fdt file", "Save it in EEGLAB again.")
    file, notes = _beside(path, name, (".fdt",), where)
    if file.stat().st_size != 4 * count * samples:
        expected = f"{4 * count * samples} bytes for {count} channels x {samples} samples"
        raise DataProblem(f"{where}: {file.name}", f"{file.stat().st_size} bytes", expected, _CURE)

    def read(channels: Sequence[int]) -> np.ndarray:
        stored = np.memmap(file, "<f4", mode="r", shape=(samples, count))
        values = np.empty((len(channels), samples), np.float32)
        for first in range(0, samples, _PIECE):
            cut = slice(first, first + _PIECE)
            values[:, cut] = stored[cut].T[list(channels)]
        return values

    return read, notes


def _scalar(value: Any, where: str) -> float:
    array = matlab.numbers(value, where)
    if array.size != 1 or not math.isfinite(array.flat[0]):
        raise DataProblem(where, f"numbers of shape {array.shape}", "one number", _CURE)
    return float(array.flat[0])


def _boundaries(events: Any, samples: int) -> list[int]:
    """EEGLAB's ``boundary`` events: where data was cut out or recordings were joined."""
    if not isinstance(events, mat5.Struct):
        return []
    found = set()
    for event in events.elements:
        latency = event.get("latency")
        if matlab.text(event.get("type")) == "boundary" and isinstance(latency, np.ndarray) and latency.size == 1:
            at = float(latency.flat[0])  # counted from 1; a joint lies half a sample before its second side
            if 1 < at < samples:
                found.add(math.ceil(at - 1))
    return sorted(found)
