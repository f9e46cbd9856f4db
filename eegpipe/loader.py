"""Segments as training and evaluation use them: arrays, whose signal lies in memory or in a decoded file.

A single random segment through Zarr costs the decoding of a whole chunk. So a store is decoded once, block after block:
into one float32 array if it fits into the memory that may be taken (:mod:`eegpipe.memory`), else into a file that rows
are read from (:mod:`eegpipe.decoded`). What comes out has the same bytes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
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

    eeg : (n, channel, time) float32, microvolt; read-only where it is streamed from a file
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

    def windows(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``eeg[rows]`` for positions from 0: (len(rows), channel, time) float32.

        ``out``: an array for it, of at least as many rows, whose first ones are overwritten and returned. A fresh array
        for every batch takes as long as the copying, because the system clears its pages first.
        """
        from eegpipe.decoded import Streamed, cores, threads

        if out is None:
            return self.eeg[rows]
        out = out[: len(rows)]
        if isinstance(self.eeg, Streamed) and self.eeg.file is not None:
            self.eeg.read_into(rows, out)
            return out
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        if self.eeg.dtype != out.dtype:
            out[...] = self.eeg[rows]
            return out
        # With bounds that are known, numpy copies straight into `out` instead of through a buffer, and lets other
        # threads run meanwhile: one alone does not use all of the memory's speed.
        copiers = min(_COPIERS, cores()) if out.nbytes >= _WORTH_THREADS else 1
        step = max(1, len(rows) * _PIECE // out.nbytes) if copiers > 1 and out.nbytes else max(1, len(rows))
        pieces = deque(slice(first, first + step) for first in range(0, len(rows), step))

        def copy() -> None:
            # Who is free takes the next piece: a thread that the system starts late holds nobody up.
            while True:
                try:
                    piece = pieces.popleft()
                except IndexError:
                    return
                np.take(self.eeg, rows[piece], axis=0, out=out[piece], mode="clip")

        others = [threads().submit(copy) for _ in range(copiers - 1)]
        copy()
        for other in others:
            other.result()
        return out

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


# Threads that copy a batch of so many bytes or more; more of them find the memory busy.
_COPIERS = 4
_WORTH_THREADS = 2**23
_PIECE = 2**21

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


def load_labels(path: Path, digest: str | None = None) -> Segments:
    """What a store says of its segments, without the signal: ``eeg`` has its shape, is 0 and takes no memory.

    ``digest``: of the store, where it is known already.

    Raises
    ------
    UsageProblem
        ``path`` is no segment store.
    """
    from eegpipe.store import open_store, store_digest

    with open_store(path) as store:
        eeg = np.broadcast_to(np.float32(0), store["eeg"].shape)
        return _segments(store, eeg, digest or store_digest(path))


def _segments(store: xarray.Dataset, eeg: np.ndarray, digest: str) -> Segments:
    attributes = store.attrs
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
        **{name: store[name].to_numpy() for name in PER_SEGMENT if name != "eeg"},
    )


# Segments that are decoded at once where memory is short: four chunks.
_FEW = 64
# Below this nothing is said of where the signal lies.
_WORTH_A_LINE = 10**9


def load(path: Path, *, cache: Path | None = None, memory: int | None = None) -> Segments:
    """Read a segment store; see :func:`load_all`.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder.
    cache : Path or None
        A folder: the signal is decoded into ``<cache>/<digest>.npy``, which stays there, and read from it in any case.
    memory : int or None
        Bytes that the signal may take; None: :func:`eegpipe.memory.allowed_bytes`.

    Raises
    ------
    UsageProblem
        ``path`` is no segment store, or a decoded file has no room.
    DataProblem
        The signal holds NaN, which is also how a lost shard file reads.
    """
    if cache is not None:
        return _load(Path(path), (Path(cache), True))
    return load_all([path], memory=memory)[0]


def load_all(paths: Sequence[Path], *, memory: int | None = None) -> list[Segments]:
    """Read the stores of one training.

    Signals are decoded into memory, the smallest first, as long as their sum stays below ``memory`` bytes; the others
    are decoded into files that are read batch by batch. A line on standard error says so where it matters. Results do
    not depend on it.

    Raises
    ------
    UsageProblem, DataProblem
        As :func:`load`.
    """
    from eegpipe.decoded import cache_folder
    from eegpipe.memory import allowed_bytes
    from eegpipe.progress import say
    from eegpipe.store import open_store

    paths = [Path(path) for path in paths]
    allowed = allowed_bytes() if memory is None else memory
    sizes = []
    for path in paths:
        with open_store(path) as store:
            sizes.append(4 * math.prod(store["eeg"].shape))
    left = allowed
    resident = [False] * len(paths)
    for index in sorted(range(len(paths)), key=lambda index: sizes[index]):
        resident[index] = sizes[index] <= left
        left -= sizes[index] if resident[index] else 0
    folder = cache_folder()
    streamed = [index for index, here in enumerate(resident) if not here]
    if streamed or sum(sizes) > _WORTH_A_LINE:
        text = f"Segments: {(allowed - left) / 1e9:.1f} GB in memory, {allowed / 1e9:.1f} GB allowed"
        if streamed:
            names = ", ".join(paths[index].stem for index in streamed)
            text += f"; {names} ({sum(sizes[index] for index in streamed) / 1e9:.1f} GB) streamed from {folder[0]}"
        say(text)
    return [_load(path, None if here else folder) for path, here in zip(paths, resident, strict=True)]


def _load(path: Path, folder: tuple[Path, bool] | None) -> Segments:
    """``folder``: where the decoded file lies and whether it stays; None: into memory."""
    from eegpipe.decoded import stream
    from eegpipe.progress import bar
    from eegpipe.store import SHARD_SEGMENTS, open_store, store_digest

    with open_store(path) as store:
        digest = store_digest(path)
        shape = store["eeg"].shape
        if folder is None:
            eeg = np.empty(shape, np.float32)
            at = 0
            for block in _blocks(store["eeg"], SHARD_SEGMENTS, path.name):
                eeg[at : at + len(block)] = block
                at += len(block)
        else:

            def blocks() -> Iterator[np.ndarray]:
                with bar(f"Decoding {path.name}", shape[0]) as advance:
                    for block in _blocks(store["eeg"], _FEW, path.name):
                        yield block
                        advance(len(block))

            eeg = stream(blocks, shape, digest, folder[0], stays=folder[1])
        return _segments(store, eeg, digest)


def _blocks(variable: xarray.DataArray, size: int, name: str) -> Iterator[np.ndarray]:
    """The signal from the start on, ``size`` segments at a time."""
    for start in range(0, len(variable), size):
        block = variable[start : start + size].to_numpy()
        if not np.isfinite(block).all():
            raise DataProblem(
                name,
                f"NaN in segments {start} to {start + len(block) - 1}",
                "finite signal",
                "A file of the store is missing or damaged: restore it (dvc checkout) or run the segment stage again.",
            )
        yield block
