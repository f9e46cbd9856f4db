"""The segment store: labelled windows of one data set as one Zarr v3 group that plain xarray opens.

One process owns the whole store. It writes whole shards one after the other into a hidden folder beside the final name
and renames that folder when the last byte is there: a store that exists is complete, and equal input gives equal bytes.
The variables are described in docs/segments.md.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import eegpipe
from eegpipe import affect, channels
from eegpipe.errors import DataProblem, UsageProblem

if TYPE_CHECKING:
    import xarray
    import zarr

# Raised when a variable changes its name, dimensions or meaning.
SCHEMA_VERSION = 1

# A chunk is the least that can be read, a shard is one file. Measured with 62 x 1000 float32 windows: chunks of 16 in
# shards of some hundred read sequentially at 0.5-1 GB/s and leave a handful of files for DVC to hash.
CHUNK_SEGMENTS = 16
SHARD_SEGMENTS = 256
# Of float32, without the leading one that is not stored.
MANTISSA_BITS = 23


@dataclass(frozen=True)
class TrialSegments:
    """The windows of one trial, in order of time; ``eeg`` of length 0 says that the trial is shorter than a window.

    eeg : array (segment, channel, time), microvolt
    channels : names of :mod:`eegpipe.channels`, the same in every trial of a store
    subject, session : BIDS labels without prefix (``"1"`` where a data set has one session)
    stimulus_time, recording_time : arrays (segment,), seconds from stimulus onset and from the recording's first sample
    """

    eeg: np.ndarray
    channels: tuple[str, ...]
    subject: str
    session: str
    trial: int
    stimulus: str
    stimulus_time: np.ndarray
    recording_time: np.ndarray
    label: str | None = None
    affect: affect.Affect = affect.UNKNOWN


@dataclass(frozen=True)
class StoreHeader:
    """What holds for the whole store. ``attributes`` (plain JSON values) are kept beside those that the writer sets."""

    dataset: str
    windowing: str
    rate_hz: float
    labels: tuple[str, ...]
    dtype: str = "float32"  # or "float16"
    # Bits of float32's mantissa that are kept, the nearest value with zeros in the others is stored; 23: all.
    mantissa_bits: int = MANTISSA_BITS
    attributes: Mapping[str, Any] = field(default_factory=dict)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key under which ``10`` comes after ``9``."""
    return tuple((0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", name))


def stimulus_key(name: str) -> int:
    """The number under which a stimulus is stored: CRC-32 of its id's UTF-8 bytes, equal in every store and version."""
    return zlib.crc32(name.encode())


def write_store(path: Path, trials: Iterable[TrialSegments], header: StoreHeader) -> None:
    """Write a segment store at ``path``; an older store there is replaced once the new one is complete.

    Trials are stored in the order in which they come. At most one trial and one shard are held in memory.

    Raises
    ------
    DataProblem
        No segment at all, channels that differ between trials, an unknown label, a value that is not finite or does not
        fit ``header.dtype``.
    UsageProblem
        Another process is writing the same store, or something else than a store is at ``path``.
    """
    path = Path(path)
    if path.exists() and not _is_store(path):
        raise UsageProblem(f"{path} exists and is no segment store: remove it or choose another name.")
    with _written_beside(path) as folder:
        _fill(folder, path.name, trials, header)


def open_store(path: Path) -> xarray.Dataset:
    """The store as an :class:`xarray.Dataset` of lazily read numpy arrays; the same as plain ``xarray.open_zarr(path)``
    but for dask, which one does not need to read whole shards."""
    import xarray

    if not _is_store(Path(path)):
        raise UsageProblem(f"{path} is no segment store (no zarr.json with the variable eeg in it).")
    return xarray.open_zarr(path, chunks=None)


def channel_names(path: Path) -> tuple[str, ...]:
    """Names of the channels of a store; nothing else of it is read."""
    with open_store(path) as store:
        return tuple(str(name) for name in store["channel"].to_numpy())


def store_digest(path: Path) -> str:
    """SHA-256 over the names and bytes of all files of a store, in natural order of their names."""
    path = Path(path)
    names = sorted((file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()), key=natural_key)
    total = hashlib.sha256()
    for name in names:
        with (path / name).open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{name}\t{content}\n".encode())
    return total.hexdigest()


def _is_store(path: Path) -> bool:
    return (path / "zarr.json").is_file() and (path / "eeg" / "zarr.json").is_file()


@contextmanager
def _written_beside(path: Path) -> Iterator[Path]:
    """An empty hidden folder beside ``path`` that takes its place if the block ends well and vanishes if it does not.

    The folder itself is locked, so a second writer is refused, while the remains of a killed one are simply reused.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(f".{path.name}.{what}") for what in ("partial", "old"))
    partial.mkdir(exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageProblem(f"Another process is writing {path.name}: wait for it or stop it.") from None
        except OSError:
            pass  # a file system without locks (some cluster mounts): one writer is then the user's care
        try:
            _empty(partial)
            yield partial
            # A folder cannot be renamed over a filled one, so the old store steps aside for an instant.
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                path.rename(old)
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _empty(folder: Path) -> None:
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink()


class _Shards:
    """The signal array: collects segments and writes them one whole shard at a time."""

    def __init__(self, group: zarr.Group, first: TrialSegments, header: StoreHeader) -> None:
        from zarr.codecs import BloscCodec

        dtype = header.dtype
        self.bits = header.mantissa_bits if dtype == "float32" else MANTISSA_BITS
        rounded = {} if self.bits == MANTISSA_BITS else {"mantissa_bits": self.bits}
        _, n_channels, n_times = first.eeg.shape
        self.array = group.create_array(
            "eeg",
            shape=(0, n_channels, n_times),
            dtype=dtype,
            chunks=(CHUNK_SEGMENTS, n_channels, n_times),
            shards=(SHARD_SEGMENTS, n_channels, n_times),
            compressors=BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize),
            fill_value=float("nan"),  # a shard that got lost must not read as silence
            dimension_names=("segment", "channel", "time"),
            attributes={"long_name": "EEG", "units": "uV", "coordinates": " ".join(_COORDINATES), **rounded},
        )
        self.buffer = np.empty((SHARD_SEGMENTS, n_channels, n_times), dtype)
        self.held = 0
        self.written = 0

    def append(self, eeg: np.ndarray) -> None:
        taken = 0
        while taken < len(eeg):
            count = min(len(eeg) - taken, SHARD_SEGMENTS - self.held)
            here = self.buffer[self.held : self.held + count]
            here[...] = eeg[taken : taken + count]
            if self.bits < MANTISSA_BITS:
                keep_mantissa(here, self.bits)
            self.held, taken = self.held + count, taken + count
            if self.held == SHARD_SEGMENTS:
                self.flush()

    def flush(self) -> None:
        if self.held:
            end = self.written + self.held
            self.array.resize((end, *self.array.shape[1:]))
            self.array[self.written : end] = self.buffer[: self.held]
            self.held, self.written = 0, end


def keep_mantissa(values: np.ndarray, bits: int) -> None:
    """Round float32 in place to the nearest number with so many mantissa bits, of two equally near ones to the even.

    The error is at most 2**-(bits + 1) of the value, and zeros compress. ``values`` : contiguous, finite.
    """
    lost = np.uint32(MANTISSA_BITS - bits)
    pattern = values.view(np.uint32)
    # Below one half rounds down, above up; at exactly one half the last kept bit decides.
    pattern += ((pattern >> lost) & np.uint32(1)) + np.uint32((1 << (int(lost) - 1)) - 1)
    pattern &= np.uint32(2**32 - (1 << int(lost)))


# Stored variable -> (dims, dtype, attributes); "eeg" apart.
_FLAGS = {
    "flag_values": [int(source) for source in affect.AffectSource],
    "flag_meanings": " ".join(source.name.lower() for source in affect.AffectSource),
}
_VARIABLES: dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]] = {
    "channel": (("channel",), str, {"long_name": "electrode, name of the unified channel schema"}),
    "time": (("time",), "float32", {"long_name": "time from the start of the segment", "units": "s"}),
    "channel_id": (("channel",), "int16", {"long_name": "electrode, number in the unified channel schema"}),
    "position": (
        ("channel", "xyz"),
        "float32",
        {"long_name": "template position: x right, y front, z up, head frame of MNE", "units": "m"},
    ),
    "subject": (("segment",), "int32", {"long_name": "subject, index into subject_names"}),
    "session": (("segment",), "int32", {"long_name": "session, index into session_names"}),
    "trial": (("segment",), "int32", {"long_name": "trial, the vendor's number"}),
    "stimulus": (
        ("segment",),
        "int64",
        {"long_name": "stimulus, CRC-32 of its name; see stimulus_ids, stimulus_names"},
    ),
    "stimulus_time": (("segment",), "float64", {"long_name": "stimulus onset to segment start", "units": "s"}),
    "recording_time": (
        ("segment",),
        "float64",
        {"long_name": "recording's first sample to segment start", "units": "s"},
    ),
    "valence": (
        ("segment",),
        "float32",
        {"long_name": "valence from unpleasant to pleasant; NaN: unknown", "units": "1", "valid_range": [-4.0, 4.0]},
    ),
    "arousal": (
        ("segment",),
        "float32",
        {"long_name": "arousal from calm to excited; NaN: unknown", "units": "1", "valid_range": [-4.0, 4.0]},
    ),
    "affect_source": (("segment",), "int8", {"long_name": "where valence and arousal come from", **_FLAGS}),
    "label": (("segment",), "int16", {"long_name": "native class, index into labels; -1: none"}),
}
# xarray takes dimension coordinates (channel, time) by themselves and these by their mention in eeg.
_COORDINATES = tuple(name for name in _VARIABLES if name not in ("channel", "time"))


def _fill(folder: Path, name: str, trials: Iterable[TrialSegments], header: StoreHeader) -> None:
    import zarr

    group = zarr.create_group(folder, zarr_format=3)
    columns: dict[str, list[Any]] = {column: [] for column, (dims, *_) in _VARIABLES.items() if dims == ("segment",)}
    shards: _Shards | None = None
    first: TrialSegments | None = None
    too_short = 0
    total = 0
    for trial in trials:
        total += 1
        where = f"{name}: subject {trial.subject}, session {trial.session}, trial {trial.trial}"
        count = len(trial.eeg)
        too_short += count == 0
        if first is None or shards is None:
            first, shards = trial, _Shards(group, trial, header)
        _check(trial, first, header, where)
        shards.append(trial.eeg)
        columns["stimulus_time"].extend(trial.stimulus_time)
        columns["recording_time"].extend(trial.recording_time)
        label = -1 if trial.label is None else header.labels.index(trial.label)
        for column, value in {
            "subject": trial.subject,
            "session": trial.session,
            "trial": trial.trial,
            "stimulus": trial.stimulus,
            "valence": trial.affect.valence,
            "arousal": trial.affect.arousal,
            "affect_source": int(trial.affect.source),
            "label": label,
        }.items():
            columns[column].extend([value] * count)
    if first is None or shards is None or not columns["trial"]:
        raise DataProblem(
            name,
            f"{total} trials, none as long as a window",
            "at least one segment",
            "Look at the events of the cleaned data set (eegpipe inspect) or choose a shorter window.",
        )
    shards.flush()

    names = {column: sorted(set(columns[column]), key=natural_key) for column in ("subject", "session", "stimulus")}
    keys = {stimulus: stimulus_key(stimulus) for stimulus in names["stimulus"]}
    if len(set(keys.values())) < len(keys):
        raise DataProblem(
            name,
            "two stimulus names with the same CRC-32",
            "one number a stimulus",
            "Rename one of them in the reader.",
        )
    columns["stimulus"] = [keys[stimulus] for stimulus in columns["stimulus"]]
    for column in ("subject", "session"):
        index = {text: number for number, text in enumerate(names[column])}
        columns[column] = [index[text] for text in columns[column]]
    values = columns | {
        "channel": list(first.channels),
        "channel_id": [channels.channel_id(channel) for channel in first.channels],
        "position": [channels.position(channel) for channel in first.channels],
        "time": np.arange(first.eeg.shape[2]) / header.rate_hz,
    }
    for variable, (dims, dtype, attributes) in _VARIABLES.items():
        data = np.asarray(values[variable], dtype=np.dtypes.StringDType() if dtype is str else dtype)
        group.create_array(
            variable, data=data, chunks=data.shape, dimension_names=dims, attributes=attributes, fill_value=None
        )
    group.update_attributes(
        {
            "title": f"EEG segments of {header.dataset}",
            "dataset": header.dataset,
            "windowing": header.windowing,
            "rate_hz": float(header.rate_hz),
            "subject_names": names["subject"],
            "session_names": names["session"],
            "stimulus_ids": [keys[stimulus] for stimulus in names["stimulus"]],
            "stimulus_names": names["stimulus"],
            "labels": list(header.labels),
            "trials": total,
            "trials_shorter_than_window": too_short,
            "package": "eegpipe",
            "package_version": eegpipe.__version__,
            "schema_version": SCHEMA_VERSION,
            **header.attributes,
        }
    )
    with warnings.catch_warnings():
        # Plain xarray.open_zarr asks for consolidated metadata and complains without; zarr complains about making it.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(group.store, zarr_format=3)


def _check(trial: TrialSegments, first: TrialSegments, header: StoreHeader, where: str) -> None:
    if trial.channels != first.channels or trial.eeg.shape[1:] != first.eeg.shape[1:]:
        differing = sorted(set(trial.channels) ^ set(first.channels), key=natural_key)
        raise DataProblem(
            where,
            f"{len(trial.channels)} channels, differing in {', '.join(differing) or 'their order'}",
            f"the {len(first.channels)} channels of the first recording",
            "Clean the data set again: interpolation keeps the set of channels.",
        )
    if trial.label is not None and trial.label not in header.labels:
        raise DataProblem(
            where,
            f"the label '{trial.label}'",
            f"one of {', '.join(header.labels) or 'none at all'}",
            "Correct the events of this recording.",
        )
    for axis, value in (("valence", trial.affect.valence), ("arousal", trial.affect.arousal)):
        if abs(value) > affect.LIMIT:  # NaN, unknown, passes
            raise DataProblem(
                where, f"{axis} {value:g}", f"-{affect.LIMIT:g} to {affect.LIMIT:g}", "Correct the events."
            )
    if not len(trial.eeg):
        return
    # Through max/min, because they hand NaN on and need no second array.
    peak = max(float(trial.eeg.max()), -float(trial.eeg.min()))
    if not np.isfinite(peak):
        raise DataProblem(where, "NaN or infinite samples", "finite signal", "Clean this recording again.")
    limit = float(np.finfo(header.dtype).max)
    if peak > limit:
        raise DataProblem(
            where, f"{peak:.0f} microvolt", f"at most {limit:.0f} ({header.dtype})", 'Choose dtype "float32".'
        )
