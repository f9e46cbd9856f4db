"""Real optimiser steps of pre-training at the papers' sizes: time, memory, and what the whole would take.

    python benchmarks/pretrain.py [--method mdjpt|emod|art ...] [--size paper|demo] [--steps N] [--part K]
                                  [--rival plain|none] [--precision float32|bfloat16] [--compile] [--recompute]
                                  [--profile] [--device cpu|cuda] [--json FILE]

docs/performance-training.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import full_size
from measure import Cost, Row, end_cleanly, print_machine, table, write_rows
from steps import Job, Steps, run

from eegpipe.errors import UsageProblem
from eegpipe.params import ArtParams, MethodParams, Params, load
from eegpipe.precision import Precision

METHODS = ("mdjpt", "emod", "art")
PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
# Of loss and norm of the gradient. Two ways to the same number, in float32: sums in another order, and gradients add up
# over more of them. In bfloat16 products have three digits.
_TOLERANCES = {"float32": (1e-4, 1e-2), "bfloat16": (1e-2, 5e-2)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the methods one after the other, print tables, write all figures."""
    options = _options(arguments)
    end_cleanly()
    try:
        params = load(options.params)
    except UsageProblem as problem:
        raise SystemExit(str(problem)) from None
    print_machine()
    rows: list[Row] = []
    for name in options.method:
        job = job_of(name, params, options)
        whole: MethodParams = getattr(params, name)[options.size]
        rows += compare(job, whole, rival=options.rival == "plain")
        if options.json:  # after every method: what was measured is not lost with the next
            write_rows(options.json, rows)


def job_of(name: str, params: Params, options: argparse.Namespace) -> Job:
    """The settings of ``params.yaml``, but for what the options change: recomputation, and how much a step holds."""
    sized: MethodParams = getattr(params, name)[options.size]
    if options.precision:
        sized = _with_training(sized, precision=options.precision)
    if options.compile:
        sized = _with_training(sized, compile=True)
    if options.recompute and not isinstance(sized, ArtParams):
        sized = _with_training(sized, recompute=True)
    return Job(
        name,
        full_size.part_of(sized, options.part),
        params.windowing[name][options.size],
        options.steps,
        part=options.part,
        profile=options.profile,
        device=options.device,
        threads=options.threads,
    )


def _with_training(params: MethodParams, **changes: Any) -> MethodParams:
    return replace(params, training=replace(params.training, **changes))  # type: ignore[arg-type]


def compare(job: Job, whole: MethodParams, *, rival: bool) -> list[Row]:
    """Measure a method, with its plain form where asked for, and print what was found. ``whole``: settings of the
    undivided step, for the time of the whole pre-training."""
    ours = run(job)
    training = job.params.training
    recompute = ", activations recomputed" if getattr(training, "recompute", False) else ""
    print(
        f"\n## {job.method}\n\n{ours.parameters:,} parameters, {ours.windows} {_unit(job)} a step{recompute}, "
        f"{training.precision}{', compiled' if training.compile else ''}, "
        f"{ours.flops / 1e9:,.0f} GFLOP a step in products and convolutions, "
        f"loss of the first step {ours.loss:.5f}, {ours.waiting:.2%} of the time for data, "
        f"ceiling {ours.ceiling / 1e9:.1f} GFLOP/s\n",
        flush=True,
    )
    measured = [("ours", ours)]
    if rival:
        # The plain form is in float32, whatever ours is.
        other = run(replace(job, params=_with_training(job.params, precision="float32"), plain=True, profile=False))
        check_same(ours, other, training.precision)
        measured.append(("plain", other))
    print(_table(measured, job.device) + "\n")
    print(_projection(job, whole, ours) + "\n", flush=True)
    if job.profile:
        print(_profile_table(ours.operations) + "\n", flush=True)
    return _rows(job, *(one for _, one in measured))


def check_same(ours: Steps, other: Steps, precision: Precision) -> None:
    """Both must have computed the same first step. ``precision``: of ours; the other's is float32.

    Raises
    ------
    SystemExit
        If loss or gradient differ by more than rounding.
    """
    of_loss, of_gradient = _TOLERANCES[precision]
    for what, tolerance, mine, its in (
        ("loss", of_loss, ours.loss, other.loss),
        ("norm of the gradient", of_gradient, ours.gradient, other.gradient),
    ):
        if not math.isclose(mine, its, rel_tol=tolerance):
            raise SystemExit(f"The two forms differ: {what} {mine:.7g} and {its:.7g}, expected equal to {tolerance:g}.")


def _unit(job: Job) -> str:
    return "channels of windows" if job.method == "art" else "windows"


def seconds_of(one: Cost, device: str) -> float:
    """CPU seconds, because other programs use the cores too; on a GPU seconds."""
    return one.wall_s if device.startswith("cuda") else one.cpu_s


def mean_s(steps: Steps, device: str) -> float:
    """Of a step."""
    return sum(seconds_of(one, device) for one in steps.costs) / len(steps.costs)


def _table(measured: Sequence[tuple[str, Steps]], device: str) -> str:
    head = ("form", "step", "wall s", "CPU s", "peak GB", "GFLOP/s", "of the ceiling")
    rows = []
    for form, steps in measured:
        for number, one in enumerate(steps.costs, start=1):
            rate = steps.flops / seconds_of(one, device)
            figures = (f"{one.wall_s:.2f}", f"{one.cpu_s:.2f}", f"{one.peak_bytes / 1e9:.2f}", f"{rate / 1e9:.1f}")
            rows.append((form, str(number), *figures, f"{rate / steps.ceiling:.0%}"))
    return table(head, rows)


def _projection(job: Job, whole: MethodParams, ours: Steps) -> str:
    windows = full_size.windows_of_step(whole)
    steps = full_size.steps_of_budget(whole, job.windowing)
    hours = mean_s(ours, job.device) * windows / ours.windows * steps / 3600
    unit = "" if job.device.startswith("cuda") else "CPU "
    return (
        f"The whole pre-training: {steps:,} steps of {windows} {_unit(job)}, {hours:,.1f} {unit}hours "
        f"({hours / 24:,.1f} days)"
    )


def _profile_table(operations: Mapping[str, float]) -> str:
    """Operations with a hundredth of the time or more."""
    total = sum(operations.values())
    order = sorted(operations, key=lambda name: -operations[name])
    shown = [name for name in order if operations[name] >= 0.01 * total]
    rows = [(name, f"{operations[name]:.2f}", f"{operations[name] / total:.0%}") for name in shown]
    rest = total - sum(operations[name] for name in shown)
    return table(("operation", "s", "share"), [*rows, ("all others", f"{rest:.2f}", f"{rest / total:.0%}")])


def _rows(job: Job, ours: Steps, rival: Steps | None = None) -> list[Row]:
    unit = "s a step" if job.device.startswith("cuda") else "CPU s a step"
    mine = mean_s(ours, job.device)
    rate = ours.flops / mine
    whose = "of ours and of a square matrix product"
    rows = [_row(f"{job.method}.flop_rate", rate / 1e9, ours.ceiling / 1e9, f"GFLOP/s, {whose}")]
    if rival:
        memory = [max(one.peak_bytes for one in steps.costs) / 1e9 for steps in (ours, rival)]
        rows.insert(0, _row(f"{job.method}.time", mine, mean_s(rival, job.device), unit))
        rows.insert(1, _row(f"{job.method}.peak_memory", memory[0], memory[1], "GB above what the process had"))
    return rows


def _row(name: str, ours: float, rival: float, unit: str) -> Row:
    return Row(name, round(ours, 5), round(rival, 5), round(rival / ours, 4), unit)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure optimiser steps of pre-training.")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--size", choices=["paper", "demo"], default="paper", help="of the settings")
    parser.add_argument("--steps", type=int, default=3, help="measured, after one that is not (3)")
    parser.add_argument("--part", type=int, default=1, metavar="K", help="about one in K of the windows of a step")
    parser.add_argument("--rival", choices=["plain", "none"], default="plain", help="the textbook form, beside ours")
    parser.add_argument("--precision", choices=get_args(Precision), help="of our form's products (the settings')")
    parser.add_argument("--compile", action="store_true", help="our form's layers by torch.compile")
    parser.add_argument("--recompute", action="store_true", help="recompute activations, whatever the settings say")
    parser.add_argument("--profile", action="store_true", help="time the operations of one more step")
    parser.add_argument("--device", default="cpu", help="torch's name of it")
    parser.add_argument("--threads", type=int, default=1, help="of torch on a CPU (1)")
    parser.add_argument("--params", type=Path, default=PARAMS, metavar="FILE", help="the settings (params.yaml)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file; others stay in it")
    options = parser.parse_args(arguments)
    for name in ("steps", "part", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: found {getattr(options, name)}, expected at least 1.")
    if options.device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            parser.error(f"--device: {options.device}, but torch finds no GPU here.")
    return options


if __name__ == "__main__":
    main()
