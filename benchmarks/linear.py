"""Does the cost of training grow linearly: an epoch over 1, 2 and 4 times the segments, and over 1, 2 and 4 data sets.

    python benchmarks/linear.py [--only METHOD ...] [--rounds N] [--json FILE]

docs/performance-training.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import full_size
import numpy as np
import torch
from full_size import Source
from measure import Row, end_cleanly, fresh, print_machine, resident_bytes, sampled, table, write_rows
from steps import optimiser_of, step

from eegpipe import methods
from eegpipe.fit import with_steps
from eegpipe.methods import Request
from eegpipe.params import MethodParams, Params
from eegpipe.params import load as load_params
from eegpipe.segment import WindowingSettings

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
METHODS = ("mdjpt", "emod", "art")
TIMES = (1, 2, 4)
# Alike in all but the name, so that two of them are twice one.
_NAMES = ("deap", "faced", "seed", "seed_iv")
_CHANNELS, _STIMULI, _WINDOWS, _SUBJECTS = 30, 9, 4, 6
# What mdJPT calls an epoch does not depend on the data.
_STEPS_OF_MDJPT = 8


@dataclass(frozen=True)
class Job:
    """An epoch of a method over ``sets`` data sets, each of ``larger`` times the people."""

    method: str
    params: MethodParams
    windowing: WindowingSettings
    larger: int
    sets: int


@dataclass(frozen=True)
class Epoch:
    """Its steps and windows, CPU seconds, and the largest resident memory above that of the imports."""

    windows: int
    steps: int
    cpu_s: float
    peak_bytes: int


def run(job: Job) -> Epoch:
    """In this process, on one thread."""
    torch.set_num_threads(1)
    some = methods.get("mdjpt")
    some.network(some.config())  # what torch imports late is no cost of the data
    before = resident_bytes()
    (windows, steps, cpu_s), peak = sampled(partial(_train, job), resident_bytes, 0.005)
    return Epoch(windows, steps, cpu_s, peak - before)


def _train(job: Job) -> tuple[int, int, float]:
    shape = Source("", _CHANNELS, _STIMULI, windows=_WINDOWS, subjects=_SUBJECTS * job.larger, rate_hz=200.0)
    sources = [full_size.segments(replace(shape, name=name), job.windowing) for name in _NAMES[: job.sets]]
    params: Any = job.params
    training = replace(params.training, draws_per_step=1)
    objective: Any = methods.get(job.method).objective(Request(sources, params.model, training, None, {}, 1, "cpu"))
    asked = _STEPS_OF_MDJPT if job.method == "mdjpt" else None
    count = with_steps(replace(training, steps_per_epoch=asked), objective).steps_per_epoch
    assert count is not None
    objective.model.train()
    optimiser = optimiser_of(objective, params)
    step(objective, optimiser, 0, training)  # warms up
    start = time.process_time()
    for number in range(1, count + 1):
        step(objective, optimiser, number, training)
    return sum(len(one.subject) for one in sources), count, time.process_time() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all, print the tables, write the figures."""
    options = _options(arguments)
    end_cleanly()
    print_machine()
    params = load_params(PARAMS)
    rows = []
    for what, axis in (("segments", [(times, 1) for times in TIMES]), ("data sets", [(1, times) for times in TIMES])):
        cells = []
        for method in options.only or METHODS:
            epochs = [_quickest(_job(method, params, *size), options.rounds) for size in axis]
            cells += [_cells(method, times, epoch) for times, epoch in zip(TIMES, epochs, strict=True)]
            rows += _rows(method, what, epochs)
        head = ("method", f"times the {what}", "windows", "steps", "CPU s", "CPU s a step", "peak MB")
        print(f"\nAn epoch over more {what}\n\n" + table(head, cells), flush=True)
    print("\n" + table(("figure", "ratio"), [(row.name, f"{row.ratio:.3g}") for row in rows]))
    if options.json:
        write_rows(options.json, rows)


def _job(method: str, params: Params, larger: int, sets: int) -> Job:
    own: dict[str, Any] = {"mdjpt": params.mdjpt, "emod": params.emod, "art": params.art}
    return Job(method, own[method]["demo"], params.windowing[method]["demo"], larger, sets)


def _quickest(job: Job, rounds: int) -> Epoch:
    """Other programs can only make an epoch slower."""
    epochs = [fresh(run, job) for _ in range(rounds)]
    return epochs[int(np.argmin([epoch.cpu_s for epoch in epochs]))]


def _cells(method: str, times: int, epoch: Epoch) -> tuple[str, ...]:
    each = f"{epoch.cpu_s / epoch.steps:.3f}"
    return method, str(times), str(epoch.windows), str(epoch.steps), f"{epoch.cpu_s:.2f}", each, _mb(epoch.peak_bytes)


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f}"


def _rows(method: str, what: str, epochs: Sequence[Epoch]) -> list[Row]:
    """Cost beside cost in proportion; 1 is linear, less is better."""
    rows = []
    for times, epoch in zip(TIMES[1:], epochs[1:], strict=True):
        cost = epoch.cpu_s / epochs[0].cpu_s
        name = f"{method}.{what.replace(' ', '_')}_{times}_over_1"
        rows.append(Row(name, round(cost, 4), times, round(cost / times, 4), "CPU s over CPU s"))
    return rows


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Does the cost of a training grow linearly?")
    parser.add_argument("--only", nargs="+", choices=METHODS, metavar="METHOD", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="the quickest counts; default 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds: found {options.rounds}, expected at least 1.")
    return options


if __name__ == "__main__":
    main()
