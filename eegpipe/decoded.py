"""The decoded signal of a store in a file: for sets that are larger than memory.

The file is written once. Rows are read from it when they are asked for, by several threads at a time, because a disk
that is asked for one row after the other gives a fraction of what it can. Nothing of it stays in this process, so the
memory that a training takes is that of its batches.

Processes that use the same store share one file: it is named by the digest of the store and locked (flock) while in
use. In the user's cache it goes with its last user, and what a killed process left goes with the next one. In a folder
that the user names (``EEGPIPE_CACHE``) files stay.
"""

from __future__ import annotations

import errno
import fcntl
import io
import math
import os
import random
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.errors import DataProblem, UsageProblem

# Reads that are under way at a time. Rows of 240 kB from one SSD: 1 gives 1,000 a second, 8 give 3,800.
_THREADS = 8
# Neighbouring rows are read together up to so many bytes: large enough for a disk, small enough to be shared out.
_READ_BYTES = 2**22
# Of entries smaller than this the system is told beforehand, all at once; threads would cost more than they bring.
_SMALL_BYTES = 2**15
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)

Blocks = Callable[[], Iterator[np.ndarray]]


def cache_folder(environment: Mapping[str, str] = os.environ) -> tuple[Path, bool]:
    """Where decoded files lie, and whether they stay: ``EEGPIPE_CACHE``, else a folder of the user's cache."""
    if named := environment.get("EEGPIPE_CACHE"):
        return Path(named), True
    base = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache"
    return Path(base) / "eegpipe", False


def stream(blocks: Blocks, shape: tuple[int, ...], digest: str, folder: Path, *, stays: bool) -> Streamed:
    """The signal as a file that rows are read from.

    Parameters
    ----------
    blocks : callable
        Gives the signal from the start on, float32, block after block along the first dimension. Called only if no
        other process has written the file.
    shape : (n, channel, time)
    digest : str
        Of the store.
    folder : Path
        Where the file lies or is written.
    stays : bool
        Whether it is kept when nobody uses it any more.

    Raises
    ------
    UsageProblem
        The folder cannot be written or has no room.
    """
    header = _header(shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not stays:
            _sweep(folder, f"{digest}.npy")
        file = _shared(folder / f"{digest}.npy", header, shape, blocks, stays=stays)
    except OSError as problem:
        raise UsageProblem(
            f"{folder}: the decoded signal cannot be kept there ({problem.strerror}). Set EEGPIPE_CACHE to a folder "
            "that can be written, or EEGPIPE_MEMORY to more memory."
        ) from None
    with os.fdopen(os.dup(file.descriptor), "rb") as opened:
        array = Streamed(opened, dtype=np.float32, mode="r", offset=len(header), shape=shape)
    array.file = file
    return array


class Streamed(np.memmap):
    """(n, channel, time) float32, read-only. Rows (an integer, a slice, positions or a mask) and single channels of
    rows (two lists of positions) are read from the file into a new array. Every other access goes through the mapping
    of the file."""

    file: _File | None = None

    def __array_finalize__(self, obj: Any) -> None:
        super().__array_finalize__(obj)
        self.file = None  # a view begins elsewhere

    def __getitem__(self, index: Any) -> Any:
        if self.file is None:
            return super().__getitem__(index)
        rows = _rows(index, len(self))
        if rows is not None:
            return self.file.read(rows, self.shape[1:])
        if isinstance(index, int | np.integer):
            return self.file.read(_within(np.array([index]), len(self)), self.shape[1:])[0]
        if isinstance(index, tuple) and len(index) == 2 and all(_positions(one) for one in index):
            first, second = (_within(one, size) for one, size in zip(index, self.shape[:2], strict=True))
            if first.shape == second.shape:
                return self.file.read(first * self.shape[1] + second, self.shape[2:])
        return np.asarray(super().__getitem__(index))

    def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        """``out[:] = self[rows]`` without an array in between; ``out`` is contiguous."""
        assert self.file is not None
        self.file.read(_within(rows, len(self)), self.shape[1:], out)


def _rows(index: Any, count: int) -> np.ndarray | None:
    """The rows that an index means, None if it is no choice of rows."""
    if isinstance(index, slice):
        return np.arange(count)[index]
    if isinstance(index, list):
        index = np.asarray(index, dtype=None if index else np.intp)
    if isinstance(index, np.ndarray) and index.dtype == bool and index.shape == (count,):
        return np.flatnonzero(index)
    return _within(index, count) if _positions(index) else None


def _positions(index: Any) -> bool:
    return isinstance(index, np.ndarray) and index.ndim == 1 and np.issubdtype(index.dtype, np.integer)


def _within(positions: np.ndarray, count: int) -> np.ndarray:
    positions = positions.astype(np.int64)
    if len(positions) and not (-count <= positions.min() and positions.max() < count):
        raise IndexError(f"rows {positions.min()} to {positions.max()} of {count}")
    return np.where(positions < 0, positions + count, positions)


class _File:
    """An open file of float32 numbers behind a header of ``offset`` bytes, and the lock on it."""

    def __init__(self, descriptor: int, path: Path, offset: int, *, stays: bool) -> None:
        self.descriptor, self.path, self.offset = descriptor, path, offset
        weakref.finalize(self, _release, descriptor, path, stays, os.getpid())
        _advise(descriptor, 0, 0, "RANDOM")  # reading ahead would fetch rows that nobody asked for

    def read(self, places: np.ndarray, shape: tuple[int, ...], out: np.ndarray | None = None) -> np.ndarray:
        """Entries of the given shape at these places, counted in such entries, (len(places), *shape)."""
        size = 4 * math.prod(shape)
        if out is None:
            out = np.empty((len(places), *shape), np.float32)
        if not len(places):
            return out
        together = max(1, _READ_BYTES // size)
        number = np.arange(1, len(places))
        starts = np.concatenate([[0], number[(np.diff(places) != 1) | (number % together == 0)]])
        counts = np.diff(np.append(starts, len(places)))
        reads = list(zip(starts.tolist(), places[starts].tolist(), counts.tolist(), strict=True))
        assert out.flags.c_contiguous
        target = out.reshape(-1).view(np.uint8).data

        # What the system still knows is copied at once; the rest is fetched by all threads.
        missing = [read for read in reads if not self._known(target, size, *read)]

        def fetch(some: list[tuple[int, int, int]]) -> None:
            for at, place, count in some:
                self._fill(target[at * size : (at + count) * size], place * size)

        if len(missing) == 1 or size < _SMALL_BYTES:
            for _, place, count in missing:
                _advise(self.descriptor, self.offset + place * size, count * size, "WILLNEED")
            fetch(missing)
        elif missing:
            list(threads().map(fetch, [missing[first::_THREADS] for first in range(_THREADS)]))
        return out

    def _known(self, target: memoryview, size: int, at: int, place: int, count: int) -> bool:
        """Copy what can be had without waiting for the disk; whether that was all."""
        if not hasattr(os, "RWF_NOWAIT"):  # only on Linux
            return False
        here = target[at * size : (at + count) * size]
        try:
            return os.preadv(self.descriptor, [here], self.offset + place * size, os.RWF_NOWAIT) == len(here)
        except OSError:  # nothing is known, or this file system cannot tell
            return False

    def _fill(self, target: memoryview, start: int) -> None:
        done = 0
        while done < len(target):
            count = os.preadv(self.descriptor, [target[done:]], self.offset + start + done)
            if not count:
                raise DataProblem(
                    self.path.name, "a shorter file than was written", "all segments", "Run the command again."
                )
            done += count


@cache
def threads() -> ThreadPoolExecutor:
    """For reading and copying: work that leaves other threads running."""
    os.register_at_fork(after_in_child=threads.cache_clear)  # threads do not live on in a child
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="segments")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _advise(descriptor: int, start: int, count: int, what: str) -> None:
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(descriptor, start, count, getattr(os, f"POSIX_FADV_{what}"))


# -- the file and who uses it ------------------------------------------------------------------------------------------


def _header(shape: tuple[int, ...]) -> bytes:
    """Of a .npy file, so that numpy.load opens what lies there."""
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(text, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return text.getvalue()


def _shared(path: Path, header: bytes, shape: tuple[int, ...], blocks: Blocks, *, stays: bool) -> _File:
    """The complete file at ``path``, locked for reading; written here if nobody has done so."""
    while True:
        descriptor = _open(path)
        try:
            if not _lock(descriptor, fcntl.LOCK_SH):  # waits for whoever is writing it
                os.close(descriptor)
                return _private(path, header, shape, blocks)
            complete = _complete(descriptor, header, shape)
            if not complete and _lock_alone(descriptor):
                if _is_at(descriptor, path) and not _complete(descriptor, header, shape):
                    _write(descriptor, path, header, shape, blocks)
                _lock(descriptor, fcntl.LOCK_SH)
                complete = True
            if complete and _is_at(descriptor, path):
                return _File(descriptor, path, len(header), stays=stays)
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise
        # Its last user removed it in between, or another process is about to write it.
        os.close(descriptor)
        time.sleep(random.SystemRandom().uniform(0.005, 0.05))


def _private(path: Path, header: bytes, shape: tuple[int, ...], blocks: Blocks) -> _File:
    """On a file system without locks (some cluster mounts): a file of this process alone, without a name."""
    own = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}.npy")
    with suppress(OSError):
        if not path.stat().st_size:  # what was opened to be locked
            path.unlink()
    descriptor = _open(own)
    try:
        _write(descriptor, own, header, shape, blocks)
    except BaseException:
        os.close(descriptor)
        raise
    own.unlink()
    return _File(descriptor, own, len(header), stays=True)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:  # somebody else's, which may be read
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _lock(descriptor: int, how: int) -> bool:
    """False: this file system has no locks."""
    try:
        fcntl.flock(descriptor, how)
    except OSError as problem:
        if problem.errno in _NO_LOCKS:
            return False
        raise
    return True


def _lock_alone(descriptor: int) -> bool:
    """The lock of the one who writes, if nobody else has any; otherwise none is left. Whoever waited for it here would
    wait for the one who wrote the file and now uses it, to the end of that training."""
    try:
        return _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False


def _complete(descriptor: int, header: bytes, shape: tuple[int, ...]) -> bool:
    """Whether the header, which is written last, is there."""
    size = os.fstat(descriptor).st_size
    return size == len(header) + 4 * math.prod(shape) and os.pread(descriptor, len(header), 0) == header


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, path: Path, header: bytes, shape: tuple[int, ...], blocks: Blocks) -> None:
    """The signal, then the header: a file with a header is complete. Removed if it cannot be completed."""
    size = len(header) + 4 * math.prod(shape)
    try:
        if (free := shutil.disk_usage(path.parent).free) < size:
            raise UsageProblem(
                f"{path.parent}: {size / 1e9:.1f} GB of decoded signal do not fit, {free / 1e9:.1f} GB are free. Set "
                "EEGPIPE_CACHE to a folder with more room, or EEGPIPE_MEMORY to more memory."
            )
        os.ftruncate(descriptor, 0)
        at = len(header)
        for block in blocks():
            at += _put(descriptor, np.ascontiguousarray(block, np.float32), at)
        _put(descriptor, np.frombuffer(header, np.uint8), 0)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _put(descriptor: int, values: np.ndarray, at: int) -> int:
    view, done = values.reshape(-1).view(np.uint8).data, 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], at + done)
    return done


def _release(descriptor: int, path: Path, stays: bool, owner: int) -> None:
    """Close the file; the last user takes it away unless it stays."""
    try:
        if not stays and os.getpid() == owner:  # a child by fork has the lock of its parent
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                path.unlink()
    except OSError:  # others use it, or took it away
        pass
    finally:
        os.close(descriptor)


def _sweep(folder: Path, but: str) -> None:
    """Remove the files that nobody uses: processes that were killed left them."""
    for path in folder.glob("*.npy"):
        if path.name == but:
            continue
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _release(descriptor, path, stays=False, owner=os.getpid())
