"""The stage ``clean`` over many recordings: one worker against two, and 1, 4 and 16 recordings.

    python benchmarks/clean_parallel.py [--json FILE] [--recordings 1 4 16] [--minutes 3]

docs/performance.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import chains
import planted_recording
from measure import Row, end_cleanly, print_machine, sampled, table, tree_cpu_ms, watched, write_rows
from planted_recording import Case

from eegpipe import bids
from eegpipe.clean.settings import CleanSettings
from eegpipe.clean.stage import clean_dataset
from eegpipe.datasets.base import About
from eegpipe.datasets.seed.simulate import AMPLIFIER as SEED
from eegpipe.parallel import Outcome
from eegpipe.recording import RecordingId


@dataclass(frozen=True)
class Run:
    """One call of the stage. ``cpu_s``, ``peak_bytes``: of this process and its workers together."""

    recordings: int
    workers: int
    wall_s: float
    cpu_s: float
    peak_bytes: int

    @property
    def per_minute(self) -> float:
        return 60 * self.recordings / self.wall_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the recordings, run the stage over them in fresh processes, print and write the figures."""
    options = _options(arguments)
    end_cleanly()
    print_machine()
    case = Case("seed", SEED.channels, 200.0, options.minutes, SEED.reference)
    with tempfile.TemporaryDirectory(prefix="eegpipe-benchmark-") as folder:
        source = Path(folder) / "bids"
        most = options.recordings[-1]
        for number in range(1, most + 1):
            _write(replace(case, seed=number), source, RecordingId(f"{number:02d}"), Path(folder) / "planted")
        plan = [(count, 1) for count in options.recordings] + [(most, 2)]
        runs = [_run(source, Path(folder), count, workers) for count, workers in plan]
    print(f"\nRecordings of {len(case.channels)} channels, {case.rate_hz:g} Hz, {case.minutes:g} min\n")
    print(_table(runs))
    rows = _rows(runs)
    print("\n" + table(("figure", "ratio"), [(row.name, f"{row.ratio:.3g}") for row in rows]))
    if options.json:
        write_rows(options.json, rows)


def _write(case: Case, root: Path, recording: RecordingId, folder: Path) -> None:
    planted = planted_recording.write(case, folder)
    made = chains.in_memory(planted.signal_uv, case.channels, case.rate_hz)
    bids.write_recording(replace(made, id=recording), root)
    shutil.rmtree(folder)


def _run(source: Path, folder: Path, recordings: int, workers: int) -> Run:
    """The stage over the first so many recordings, in a process of its own."""
    part, out = folder / "part", folder / "out"
    for number in range(1, recordings + 1):
        shutil.copytree(source / f"sub-{number:02d}", part / f"sub-{number:02d}")
    bids.write_root(part, about=About("benchmark", "Simulated recordings for a benchmark", simulated=True))
    answer = folder / "answer.json"
    command = [sys.executable, __file__, "--stage", str(part), str(out), str(workers), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The stage failed with {workers} workers:\n{done.stderr[-3000:]}")
    shutil.rmtree(part)
    shutil.rmtree(out)
    return Run(recordings, workers, **json.loads(answer.read_text(encoding="utf-8")))


def _stage(source: str, out: str, workers: str, answer: str) -> None:
    """In the child: one call of the stage, measured with the imports that it does by itself."""
    before_ms = tree_cpu_ms()

    def stage() -> list[Outcome]:
        return clean_dataset(source, out, CleanSettings(), workers=int(workers))

    # Workers are no children of this process that it could ask for their time when they have ended.
    (outcomes, cpu_ms), wall_s, peak = watched(lambda: sampled(stage, tree_cpu_ms, 0.5))
    failed = [outcome.problem for outcome in outcomes if outcome.status != "done"]
    if failed:
        raise SystemExit("\n".join(failed))
    figures = {"wall_s": wall_s, "cpu_s": (cpu_ms - before_ms) / 1000, "peak_bytes": peak}
    Path(answer).write_text(json.dumps(figures), encoding="utf-8")


def _rows(runs: Sequence[Run]) -> list[Row]:
    """``throughput`` and ``memory`` compare two workers with one; ``linear`` compares CPU seconds with as
    many in proportion: what other programs do at the same time disturbs them less than wall time.
    """
    *alone, two = runs
    one = alone[-1]
    rates = two.per_minute, one.per_minute
    peaks = two.peak_bytes / 1e9, one.peak_bytes / 1e9
    rows = [
        Row("throughput.2_workers", round(rates[0], 3), round(rates[1], 3), round(rates[0] / rates[1], 4), "1/min"),
        Row("memory.2_workers", round(peaks[0], 3), round(peaks[1], 3), round(peaks[0] / peaks[1], 4), "GB"),
    ]
    for fewer, more in itertools.pairwise(alone):
        cost, share = more.cpu_s / fewer.cpu_s, more.recordings / fewer.recordings
        name = f"linear.{more.recordings}_over_{fewer.recordings}"
        rows.append(Row(name, round(cost, 4), share, round(cost / share, 4), "CPU s over CPU s"))
        peak = more.peak_bytes / fewer.peak_bytes
        name = f"linear_memory.{more.recordings}_over_{fewer.recordings}"
        rows.append(Row(name, round(peak, 4), 1.0, round(peak, 4), "peak over peak"))
    return rows


def _table(runs: Sequence[Run]) -> str:
    head = ("recordings", "workers", "wall s", "CPU s", "CPU s per recording", "per minute", "peak GB")
    rows = [
        (
            str(run.recordings),
            str(run.workers),
            f"{run.wall_s:.1f}",
            f"{run.cpu_s:.1f}",
            f"{run.cpu_s / run.recordings:.2f}",
            f"{run.per_minute:.1f}",
            f"{run.peak_bytes / 1e9:.2f}",
        )
        for run in runs
    ]
    return table(head, rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the stage clean over many recordings.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--recordings", type=int, nargs="+", default=[1, 4, 16], metavar="N", help="how many, ascending"
    )
    parser.add_argument("--minutes", type=float, default=3.0, metavar="M", help="length of each recording")
    options = parser.parse_args(arguments)
    if options.recordings != sorted(set(options.recordings)) or options.recordings[0] < 1:
        parser.error(f"--recordings: found {options.recordings}, expected different numbers of 1 or more, ascending.")
    if options.minutes < 1:
        parser.error(f"--minutes: found {options.minutes:g}, expected at least 1.")
    return options


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stage"]:
        _stage(*sys.argv[2:6])
    else:
        main()
