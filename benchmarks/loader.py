"""Random batches, the size of the store, streaming: our segment store beside other ways to keep the same windows.

    python benchmarks/loader.py [--segments N] [--batch N ...] [--rounds N] [--only batches|size|streaming|dvc ...]
                                [--steps N] [--torcheeg FOLDER] [--folder FOLDER] [--json FILE]

docs/performance-loading.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from batches import Reader, copy_ceiling, memmap, ours, overall, rates, torcheeg_lmdb, zarr_python
from eeg_windows import WindowSet
from measure import Row, end_cleanly, print_machine, table, write_rows
from streaming import Job, forget, run

from eegpipe import datasets
from eegpipe.loader import Segments, load
from eegpipe.params import load as load_params
from eegpipe.segment import WindowingSettings
from eegpipe.store import MANTISSA_BITS, SHARD_SEGMENTS

PARTS = ("batches", "size", "streaming", "dvc")
PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
# Rounds of readers that are slow.
_SLOW_ROUNDS = 3
# Of the trainings.
_TURNS = 2
# Windows on which other codings are compared: two shards.
_CODED = 2 * SHARD_SEGMENTS


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the windows, run the parts one after the other, print tables, write all figures."""
    options = _options(arguments)
    end_cleanly()
    print_machine()
    os.environ["EEGPIPE_CACHE"] = ""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="eegpipe-loader-") as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # decoded files lie on the same disk and go with it
        made = WindowSet(options.segments)
        store = made.write(Path(folder) / "bench.zarr", mantissa_bits=WindowingSettings().mantissa_bits)
        parts = {"batches": _batches, "size": _size, "streaming": _streaming, "dvc": _dvc}
        for name in options.only:
            rows += parts[name](store, made, Path(folder), options)
            if options.json:  # after every part: what was measured is not lost with the next
                write_rows(options.json, rows)


# -- batches -----------------------------------------------------------------------------------------------------------


def _batches(store: Path, made: WindowSet, folder: Path, options: argparse.Namespace) -> list[Row]:  # noqa: ARG001
    resident = load(store, memory=2**62)
    streamed, cold = load(store, memory=0), load(store, cache=folder / "cold")  # not the same file
    largest = max(options.batch)
    readers = {
        "ours, in memory": Reader(ours(resident, largest), options.rounds),
        "memmap": Reader(memmap(resident.eeg, folder), options.rounds),
        "ours, streamed, file in the page cache": Reader(ours(streamed, largest), options.rounds),
        "ours, streamed, file on the disk": Reader(_cold(cold, largest), options.rounds),
        "zarr-python": Reader(zarr_python(store), min(_SLOW_ROUNDS, options.rounds)),
    }
    try:
        lmdb = torcheeg_lmdb(resident.eeg, folder, options.torcheeg)
        readers["torcheeg LMDB"] = Reader(lmdb, options.rounds)
    except ImportError as missing:
        print(
            f"\ntorcheeg's LMDB is not measured: {missing}. `pip install --no-deps --target FOLDER torcheeg lmdb`, "
            "then --torcheeg FOLDER."
        )
    found = rates(readers, len(resident), options.batch, options.rounds)
    window = resident.eeg[0].nbytes
    ceiling = copy_ceiling(largest * window)
    head = ("reader", *(f"{size} windows" for size in options.batch), "all, windows/s", "GB/s", "of the ceiling")
    lines = []
    for name, by_size in found.items():
        rate = overall(by_size)
        share = rate * window / ceiling
        sizes = (f"{by_size[size]:,.0f}" for size in options.batch)
        lines.append((name, *sizes, f"{rate:,.0f}", f"{rate * window / 1e9:.2f}", f"{share:.0%}"))
    print(f"\n## Random batches\n\n{len(resident)} windows of {window / 1000:.0f} kB.", end=" ")
    print(
        f"Ceiling: one thread copies {ceiling / 1e9:.1f} GB/s from memory to memory.\n\n{table(head, lines)}",
        flush=True,
    )
    mine = overall(found["ours, in memory"])
    names = {"memmap": "memmap", "zarr-python": "zarr_python", "torcheeg LMDB": "torcheeg_lmdb"}
    return [
        _row(f"random_batches_vs_{short}", mine, overall(found[name]), "windows/s", higher_is_better=True)
        for name, short in names.items()
        if name in found
    ] + [_row("random_batches_vs_copy", mine * window / 1e9, ceiling / 1e9, "GB/s", higher_is_better=True)]


def _cold(segments: Segments, largest: int):  # type: ignore[no-untyped-def]
    """Every batch from the disk. What it takes to make the system forget the file is part of the time."""
    gather = ours(segments, largest)

    def from_disk(rows: np.ndarray) -> np.ndarray:
        forget(segments)
        return gather(rows)

    return from_disk


# -- size --------------------------------------------------------------------------------------------------------------


def _size(store: Path, made: WindowSet, folder: Path, options: argparse.Namespace) -> list[Row]:  # noqa: ARG001
    plain = 4 * math.prod(load(store, memory=0).eeg.shape)
    stored = sum(file.stat().st_size for file in _files(store))
    print(f"\n## Size\n\n{stored / 1e6:,.0f} MB, {stored / plain:.3f} of float32 ({plain / 1e6:,.0f} MB).\n")
    few = replace(made, segments=min(made.segments, _CODED))
    exact = None
    lines = []
    for label, (dtype, bits) in (
        *((f"{bits} bits", ("float32", bits)) for bits in (MANTISSA_BITS, 13, 12, 11, 10)),
        ("float16", ("float16", MANTISSA_BITS)),
    ):
        path = few.write(folder / "coded.zarr", dtype=dtype, mantissa_bits=bits)
        start = time.perf_counter()
        eeg = load(path, memory=2**62).eeg
        seconds = time.perf_counter() - start
        exact = eeg if exact is None else exact
        error = float(np.sqrt(np.mean((eeg.astype(np.float64) - exact) ** 2)))
        share = sum(file.stat().st_size for file in _files(path)) / eeg.nbytes
        lines.append((label, f"{error:.5f}", f"{share:.3f}", f"{eeg.nbytes / seconds / 1e6:,.0f}"))
    print(table(("stored", "rms error, uV", "size, of float32", "decoded, MB/s"), lines))
    windows, files = seed_files(store)
    count = len(_files(store))
    expected = math.ceil(made.per_trial * 60 / SHARD_SEGMENTS) + _other_files(store)
    if count != expected:
        raise SystemExit(f"{count} files in the store, {expected} expected.")
    print(f"\n{count} files here; a store of SEED ({windows:,} windows of 5 s every 2 s) has {files}.", flush=True)
    return [
        _row("store_size_vs_float32", stored / 1e6, plain / 1e6, "MB", higher_is_better=False, ours_over_rival=True),
        _row("seed_store_files", files, windows, "files, of ours and of one a window", higher_is_better=False),
    ]


def seed_files(store: Path) -> tuple[int, int]:
    """Windows of all of SEED with the default windowing, and the files of a store of them, with as many beside the
    signal as ``store`` has."""
    facts = datasets.get("seed").variants[0].facts
    durations = facts.durations()
    assert durations is not None
    settings = WindowingSettings()
    rate_hz = settings.rate_hz or 0.0
    of_session = sum(len(settings.starts(int(seconds * rate_hz), rate_hz)) for seconds in durations)
    windows = of_session * facts.subjects * facts.sessions
    return windows, math.ceil(windows / SHARD_SEGMENTS) + _other_files(store)


def _files(store: Path) -> list[Path]:
    return [path for path in store.rglob("*") if path.is_file()]


def _other_files(store: Path) -> int:
    return sum((store / "eeg" / "c") not in path.parents for path in _files(store))


# -- streaming ---------------------------------------------------------------------------------------------------------


def _streaming(store: Path, made: WindowSet, folder: Path, options: argparse.Namespace) -> list[Row]:  # noqa: ARG001
    params = load_params(PARAMS).mdjpt["demo"]
    size = 4 * math.prod(load(store, memory=0).eeg.shape)
    allowed = size // 10
    jobs = {
        "in memory": Job(store, params, size, options.steps),
        "streamed, file in the page cache": Job(store, params, allowed, options.steps),
        "streamed, every batch from the disk": Job(store, params, allowed, options.steps, cold=True),
    }
    # In turn, and the quicker run of each: other programs only make one slower.
    runs = [{name: run(job) for name, job in jobs.items()} for _ in range(_TURNS)]
    found = {name: min((one[name] for one in runs), key=lambda one: one.step_s) for name in jobs}
    if len({one.weights for all_ in runs for one in all_.values()}) > 1:
        raise SystemExit("Training from files gave other weights than training from memory.")
    head = ("signal", "s a step", "of these gathering", "peak of own memory, MB")
    lines = [
        (name, f"{one.step_s:.3f}", f"{one.waiting_s / one.step_s:.1%}", f"{one.peak_bytes / 1e6:,.0f}")
        for name, one in found.items()
    ]
    print(
        f"\n## Streaming\n\n{size / 1e6:,.0f} MB of signal, {allowed / 1e6:,.0f} MB allowed; mdJPT at the demo's size, "
        f"{options.steps} steps; the same weights in the end.\n\n{table(head, lines)}",
        flush=True,
    )
    memory, warm, disk = found.values()
    most = max(warm.peak_bytes, disk.peak_bytes)
    held = most - (memory.peak_bytes - size)
    print(f"\nBeside what a step needs either way, streaming holds {max(0, held) / 1e6:,.0f} MB of signal.", flush=True)
    return [
        _row("streaming_vs_resident", 1 / disk.step_s, 1 / memory.step_s, "steps/s, from disk", higher_is_better=True),
        _row("streaming_cached_vs_resident", 1 / warm.step_s, 1 / memory.step_s, "steps/s", higher_is_better=True),
        _row("streaming_peak_memory", most / 1e6, memory.peak_bytes / 1e6, "MB of own memory", higher_is_better=False),
    ]


# -- dvc ---------------------------------------------------------------------------------------------------------------


def _dvc(store: Path, made: WindowSet, folder: Path, options: argparse.Namespace) -> list[Row]:  # noqa: ARG001
    """``dvc add`` in a project with the cache settings of ours, first of a folder with next to nothing in it."""
    with _dvc_project(folder) as project:
        (project / "tiny").mkdir()
        (project / "tiny" / "file").write_text("1\n")
        starting_s = _timed(project, "dvc", "add", "tiny")
        store.rename(project / store.name)
        try:
            files = _files(project / store.name)
            bytes_ = sum(file.stat().st_size for file in files)
            start = time.perf_counter()
            for file in files:
                with file.open("rb") as stream:
                    hashlib.file_digest(stream, "md5")
            hashing_s = time.perf_counter() - start
            adding_s = _timed(project, "dvc", "add", store.name)
        finally:
            (project / store.name).rename(store)
    print(
        f"\n## dvc add\n\n{len(files)} files, {bytes_ / 1e6:,.0f} MB: {adding_s:.2f} s, of which {starting_s:.2f} s "
        f"are for nearly nothing; md5 of the same bytes {hashing_s:.2f} s ({bytes_ / hashing_s / 1e6:,.0f} MB/s).",
        flush=True,
    )
    unit = "s, dvc add less its start, and md5"
    return [
        _row("dvc_add_vs_md5", adding_s - starting_s, hashing_s, unit, higher_is_better=False, ours_over_rival=True)
    ]


@contextmanager
def _dvc_project(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        project = Path(name)
        for command in (
            ("git", "init", "-q"),
            ("dvc", "init", "-q"),
            ("dvc", "config", "core.analytics", "false"),
            ("dvc", "config", "cache.type", "reflink,hardlink,symlink,copy"),
        ):
            _timed(project, *command)
        yield project


def _timed(project: Path, *command: str) -> float:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=project, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return time.perf_counter() - start


# ----------------------------------------------------------------------------------------------------------------------


def _row(
    name: str, ours: float, rival: float, unit: str, *, higher_is_better: bool, ours_over_rival: bool = False
) -> Row:
    ratio = ours / rival if higher_is_better or ours_over_rival else rival / ours
    return Row(name, round(ours, 4), round(rival, 4), round(ratio, 4), unit)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the segment store and the loader.")
    parser.add_argument("--segments", type=int, default=4_000, metavar="N", help="windows of 240 kB, about (4000)")
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[64, 128, 256], metavar="N", help="windows (64 128 256)"
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="batches of each size and reader (15)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=["batches", "size", "streaming"], help="parts")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="of a training, for streaming (20)")
    parser.add_argument("--torcheeg", type=Path, metavar="FOLDER", help="where torcheeg and lmdb are installed")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="for the windows: several times their size")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file; others stay in it")
    options = parser.parse_args(arguments)
    for name in ("segments", "rounds", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: found {getattr(options, name)}, expected at least 1.")
    if min(options.batch) < 1:
        parser.error(f"--batch: found {min(options.batch)}, expected at least 1.")
    return options


if __name__ == "__main__":
    main()
