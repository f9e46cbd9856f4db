"""Time and memory of what runs in this process or in its children, and facts of the machine."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

_Value = TypeVar("_Value")
_Given = TypeVar("_Given")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PACKAGES = (
    "eegpipe",
    "torch",
    "mne",
    "mne-icalabel",
    "python-picard",
    "numpy",
    "scipy",
    "onnxruntime",
    "scikit-learn",
)


@dataclass(frozen=True)
class Cost:
    """``wall_s``, ``cpu_s`` (of all threads) and ``peak_bytes``, the largest resident memory above the baseline."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Row:
    """One figure of a benchmark. ``ratio`` above 1: ours is better in time and memory, worse in everything else."""

    name: str
    ours: float
    rival: float
    ratio: float
    unit: str

    def as_json(self) -> dict[str, float | str]:
        return asdict(self)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Put the rows into a JSON file; what it holds of the same names is replaced, everything else stays."""
    names = {row.name for row in rows}
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [row for row in old if row["name"] not in names]
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps([*kept, *(row.as_json() for row in rows)], indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def end_cleanly() -> None:
    """A request to end is an exception: children end and folders go with this process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def resident_bytes() -> int:
    """Resident memory of this process now."""
    return _status("VmRSS")


def cost(call: Callable[[], _Value], baseline_bytes: int) -> tuple[_Value, Cost]:
    """What ``call`` returns and what it cost. The kernel's own high-water mark where it can be reset (Linux), otherwise
    a sample every 5 ms."""
    sampler = None if _reset_peak() else _Sampler(resident_bytes, 0.005)
    if sampler:
        sampler.start()
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = sampler.stop() if sampler else _status("VmHWM")
    return result, Cost(wall, cpu, peak - baseline_bytes)


def fresh(call: Callable[[_Given], _Value], given: _Given) -> _Value:
    """What ``call`` returns for ``given``, from a new process of its own: memory starts at nothing.

    Raises
    ------
    SystemExit
        If the process is ended from outside, as a rule for want of memory.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(call, given).result()
        except BrokenProcessPool:
            raise SystemExit(
                f"A process was ended by the system, probably for want of memory: {given}. Measure a smaller case."
            ) from None


def anonymous_bytes() -> int:
    """Resident memory of this process that is its own: without files that are mapped."""
    return _status("RssAnon")


def sampled(call: Callable[[], _Value], read: Callable[[], int], every_s: float) -> tuple[_Value, int]:
    """What ``call`` returns, and the largest value of ``read`` meanwhile."""
    sampler = _Sampler(read, every_s)
    sampler.start()
    try:
        result = call()
    finally:
        largest = sampler.stop()
    return result, largest


def tree_cpu_ms() -> int:
    """CPU time of this process and of all that descend from it and still run."""
    import psutil

    own = psutil.Process()
    total_s = 0.0
    for process in [own, *own.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        total_s += times.user + times.system
    return round(1000 * total_s)


def watched(call: Callable[[], _Value]) -> tuple[_Value, float, int]:
    """What ``call`` returns, its seconds, and the largest memory of this process and all its children, sampled up to 10
    times a second: the sum of their proportional set sizes, which counts a page that is shared only once."""
    sampler = _Sampler(_tree_bytes, 0.1)
    sampler.start()
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start, sampler.stop()


def machine() -> dict[str, str]:
    """Cores, load and versions, for the head of a table."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"cores": str(cores), "processor": _processor(), "load": f"{os.getloadavg()[0]:.1f} before the run"}
    facts["python"] = platform.python_version()
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, the first to the left and all others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join([first.strip().ljust(widths[0]), *others]) + " |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])


def print_machine() -> None:
    facts: Mapping[str, str] = machine()
    print("Machine: " + ", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)


# A look at a tree of processes takes milliseconds of a core that these want for themselves: pauses between looks are
# at least so many times as long.
_PAUSE_PER_LOOK = 50


class _Sampler:
    """The largest value of ``read`` while it runs in a thread of its own."""

    def __init__(self, read: Callable[[], int], every_s: float):
        self._read, self._every_s, self._largest = read, every_s, read()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return max(self._largest, self._read())

    def _sample(self) -> None:
        pause_s = self._every_s
        while not self._ended.wait(pause_s):
            start = time.perf_counter()
            self._largest = max(self._largest, self._read())
            pause_s = max(self._every_s, _PAUSE_PER_LOOK * (time.perf_counter() - start))


def _status(field: str) -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    import psutil

    return psutil.Process().memory_info().rss


def _reset_peak() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    # Some kernels accept the word and do nothing; then the mark stays above what is resident now.
    return _status("VmHWM") <= resident_bytes() + 2**22


def _tree_bytes() -> int:
    import psutil

    total = 0
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
        except psutil.Error:  # it has just ended
            continue
    return total


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    return platform.machine()
