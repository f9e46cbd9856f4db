"""Segments in memory: what training and evaluation work on.

A store is read once, shard after shard, into one float32 array; from there any segment is a memory access away, where a
single random segment through Zarr costs the decoding of a whole chunk. Sets larger than memory go through ``cache``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eegpipe.errors import DataProblem

if TYPE_CHECKING:
    import xarray


@dataclass
class Segments:
    """Labelled windows of one data set. ``n`` segments share one montage, rate and length.

    eeg : (n, channel, time) float32, microvolt
    subject, session : (n,) int, index into ``subject_names``, ``session_names`` (BIDS labels in natural order)
    trial : (n,) int, the vendor's number
    stimulus : (n,) int64, key into ``stimulus_names``; the same clip has the same key in every store
    stimulus_time, recording_time : (n,) float64, seconds from stimulus onset and from the recording's first sample
    label : (n,) int16, index into ``labels``, -1: none
    valence, arousal : (n,) float32, -4 to 4, NaN: unknown; ``affect_source`` : (n,) int8, :class:`affect.AffectSource`
    digest : content of the store that these segments were read from
    """

    dataset: str
    windowing: str
    rate_hz: float
    channels: tuple[str, ...]
    eeg: np.ndarray
    subject: np.ndarray
    subject_names: tuple[str, ...]
    session: np.ndarray
    session_names: tuple[str, ...]
    trial: np.ndarray
    stimulus: np.ndarray
    stimulus_names: dict[int, str]
    stimulus_time: np.ndarray
    recording_time: np.ndarray
    label: np.ndarray
    labels: tuple[str, ...]
    valence: np.ndarray
    arousal: np.ndarray
    affect_source: np.ndarray
    digest: str

    def __len__(self) -> int:
        return len(self.eeg)

    def select(self, mask_or_index: np.ndarray) -> Segments:
        """The segments under a bool mask or at integer positions, in that order. Names and digest stay as they are."""
        chosen = np.asarray(mask_or_index)
        return replace(self, **{name: getattr(self, name)[chosen] for name in PER_SEGMENT})

    def describe(self, rows: np.ndarray) -> str:
        """Who and what the segments at these rows are, for messages: the first few of each and how many more.

        ``subjects 01, 03; sessions 1; beta/01 at 0 s, beta/02 at 4 s, beta/04 at 2 s and 5 more``
        """
        moments = dict.fromkeys(
            f"{self.stimulus_names[int(stimulus)]} at {time:g} s"
            for stimulus, time in zip(self.stimulus[rows], self.stimulus_time[rows], strict=True)
        )
        return (
            f"subjects {some([self.subject_names[index] for index in np.unique(self.subject[rows])])}; "
            f"sessions {some([self.session_names[index] for index in np.unique(self.session[rows])])}; "
            f"{some(list(moments))}"
        )


def some(names: Sequence[str], most: int = 3) -> str:
    """``a, b, c and 4 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# The fields of Segments with one entry a segment.
PER_SEGMENT = (
    "eeg",
    "subject",
    "session",
    "trial",
    "stimulus",
    "stimulus_time",
    "recording_time",
    "label",
    "valence",
    "arousal",
    "affect_source",
)


def load(path: Path, *, cache: Path | None = None) -> Segments:
    """Read a segment store.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder.
    cache : Path or None
        None: the signal is decoded into memory. A folder: it is decoded once into ``<cache>/<digest>.npy`` and mapped
        from there read-only, so that only the segments in use take memory.

    Raises
    ------
    UsageProblem
        ``path`` is no segment store.
    DataProblem
        The signal holds NaN, which is also how a lost shard file reads.
    """
    from eegpipe.store import open_store, store_digest

    path = Path(path)
    with open_store(path) as store:
        digest = store_digest(path)
        attributes = store.attrs
        columns = {name: store[name].to_numpy() for name in PER_SEGMENT if name != "eeg"}
        if cache is None:
            eeg = np.empty(store["eeg"].shape, np.float32)
            _decode(store["eeg"], eeg, path.name)
        else:
            eeg = _mapped(store["eeg"], cache, digest, path.name)
        return Segments(
            dataset=attributes["dataset"],
            windowing=attributes["windowing"],
            rate_hz=float(attributes["rate_hz"]),
            channels=tuple(str(name) for name in store["channel"].to_numpy()),
            eeg=eeg,
            subject_names=tuple(attributes["subject_names"]),
            session_names=tuple(attributes["session_names"]),
            stimulus_names=dict(zip(attributes["stimulus_ids"], attributes["stimulus_names"], strict=True)),
            labels=tuple(attributes["labels"]),
            digest=digest,
            **columns,
        )


def _decode(variable: xarray.DataArray, out: np.ndarray, name: str) -> None:
    """Whole shards, one after the other, straight to their place in ``out``."""
    from eegpipe.store import SHARD_SEGMENTS

    for start in range(0, len(out), SHARD_SEGMENTS):
        shard = variable[start : start + SHARD_SEGMENTS].to_numpy()
        if not np.isfinite(shard).all():
            raise DataProblem(
                name,
                f"NaN in segments {start} to {start + len(shard) - 1}",
                "finite signal",
                "A file of the store is missing or damaged: restore it (dvc checkout) or run the segment stage again.",
            )
        out[start : start + SHARD_SEGMENTS] = shard


def _mapped(variable: xarray.DataArray, cache: Path, digest: str, name: str) -> np.ndarray:
    target = cache / f"{digest}.npy"
    if not target.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        # Two jobs may decode the same store at the same time: each into its own file, the last rename wins.
        partial = cache / f".{digest}.{os.getpid()}.npy"
        try:
            array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=variable.shape)
            _decode(variable, array, name)
            array.flush()
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return np.load(target, mmap_mode="r")
