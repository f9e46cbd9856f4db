"""Random batches of the same windows through different doors, and how long each takes."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import default_collate

from eegpipe.loader import Segments

# Batches that a reader is asked for one after the other.
_IN_TURN = 3

Gather = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Reader:
    """``gather(rows)`` gives the windows of these rows as one array. ``rounds``: how often it is asked, at most."""

    gather: Gather
    rounds: int


def ours(segments: Segments, largest: int) -> Gather:
    out = np.empty((largest, *segments.eeg.shape[1:]), np.float32)
    return lambda rows: segments.windows(rows, out)


def memmap(eeg: np.ndarray, folder: Path) -> Gather:
    """The signal in one .npy file that is mapped, and indexed as numpy does it."""
    np.save(folder / "mapped.npy", eeg)
    mapped = np.load(folder / "mapped.npy", mmap_mode="r")
    return lambda rows: np.asarray(mapped[rows])


def zarr_python(store: Path) -> Gather:
    """Each window by an access of its own to our store."""
    import zarr

    array: Any = zarr.open_group(store, mode="r")["eeg"]
    return lambda rows: np.stack([array[row] for row in rows.tolist()])


def torcheeg_lmdb(eeg: np.ndarray, folder: Path, installed: Path | None) -> Gather:
    """torcheeg's own reader of its LMDB, an array a window as its data sets write them; put together by torch's
    DataLoader, which is how its users get batches.

    Raises
    ------
    ImportError
        If torcheeg or lmdb is not installed.
    """
    if installed is not None and str(installed) not in sys.path:
        sys.path.append(str(installed))
    io: Any = import_module("torcheeg.io").EEGSignalIO(
        str(folder / "lmdb"), io_size=2 * eeg.nbytes + 2**26, io_mode="lmdb"
    )
    keys = [io.write_eeg(window) for window in eeg]
    return lambda rows: default_collate([io.read_eeg(keys[row]) for row in rows.tolist()]).numpy()


def rates(readers: Mapping[str, Reader], count: int, sizes: Sequence[int], rounds: int) -> dict[str, dict[int, float]]:
    """Windows a second by reader and batch size, from the lower quartile of the times: other programs only make a round
    slower. In a round every reader gets the same batches, one reader after the other, so that what else runs on the
    machine meets all of them. Its first batch is not timed: the reader before it, and threads that have to wake up,
    would count.

    Raises
    ------
    SystemExit
        If two readers give other windows.
    """
    rng = np.random.default_rng(1)
    seconds: dict[str, dict[int, list[float]]] = {name: {size: [] for size in sizes} for name in readers}
    for number in range(rounds):
        for size in sizes:
            batches = rng.integers(count, size=(_IN_TURN, size))
            expected: np.ndarray | None = None
            # Another one is first in each round: what is left in the processor's cache helps all of them.
            order = deque(readers.items())
            order.rotate(number)
            for name, reader in order:
                if number >= reader.rounds:
                    continue
                reader.gather(batches[0])
                for rows in batches[1:]:
                    start = time.perf_counter()
                    windows = reader.gather(rows)
                    seconds[name][size].append(time.perf_counter() - start)
                if number:
                    continue
                if expected is None:
                    expected = windows.copy()
                elif not np.array_equal(expected, windows):
                    raise SystemExit(f"The windows of {name} are others.")
    return {name: {size: size / float(np.quantile(by[size], 0.25)) for size in sizes} for name, by in seconds.items()}


def overall(by_size: Mapping[int, float]) -> float:
    """Windows a second over batches of all sizes in turn."""
    return sum(by_size) / sum(size / rate for size, rate in by_size.items())


def copy_ceiling(bytes_: int, rounds: int = 9) -> float:
    """Bytes a second that one thread copies from one array to another of this size, both larger than a cache."""
    source, target = np.ones(bytes_, np.uint8), np.zeros(bytes_, np.uint8)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return bytes_ / float(np.quantile(seconds, 0.25))
