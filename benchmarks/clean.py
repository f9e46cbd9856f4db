"""Our cleaning chain against the chain that users of MNE write, on recordings whose brain signal is known.

    python benchmarks/clean.py [--json FILE] [--only CASE ...] [--minutes M] [--rival both|infomax|picard|none]

docs/performance.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import chains
import numpy as np
import planted_recording
from measure import Row, end_cleanly, print_machine, table, write_rows
from planted_recording import Case, Planted
from residuals import Residuals, residuals

from eegpipe.datasets.deap.simulate_preprocessed import AMPLIFIER as DEAP
from eegpipe.datasets.dreamer.simulate import AMPLIFIER as DREAMER
from eegpipe.datasets.seed.simulate import AMPLIFIER as SEED

CASES = (
    Case("seed_62ch_200hz_57min", SEED.channels, 200.0, 57.0, SEED.reference),
    Case("deap_32ch_512hz_63min", DEAP.channels, 512.0, 63.0, ("C1",)),
    Case("cap_32ch_250hz_60min", DEAP.channels, 250.0, 60.0, ("CPz",)),
    Case("dreamer_14ch_128hz_60min", DREAMER.channels, 128.0, 60.0, DREAMER.reference),
)
THREADS = 2
# What a process of a chain does besides the chain, at most: imports, warming up, reading.
_AROUND_S = 60.0


@dataclass(frozen=True)
class Measured:
    """One chain on one case."""

    chain: str
    threads: int
    result: chains.Result
    residuals: Residuals


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cases one after the other, print a table for each, write all figures."""
    options = _options(arguments)
    end_cleanly()
    wanted = [case for case in CASES if not options.only or case.name in options.only]
    print_machine()
    rows: list[Row] = []
    for case in wanted:
        case = replace(case, minutes=min(case.minutes, options.minutes or case.minutes))
        with tempfile.TemporaryDirectory(prefix="eegpipe-benchmark-") as folder:
            rows += compare(case, Path(folder), options.rival, options.rival_threads)
        if options.json:  # after every case: an hour's work is not lost with the last
            write_rows(options.json, rows)
    if rows:
        print("\n" + _summary(rows))


def compare(case: Case, folder: Path, rivals: Sequence[str], threads: Sequence[int]) -> list[Row]:
    """Measure both chains on one case and print what was found. The fastest rival is the one that counts.

    Without a rival there are no rows.
    """
    planted = planted_recording.write(case, folder)
    gigabytes = case.float64_bytes / 1e9
    broken = ", ".join(f"{name} ({kind})" for name, kind in planted.bad.items())
    size = f"{len(case.channels)} channels, {case.rate_hz:g} Hz, {case.minutes:g} min, {gigabytes:.2f} GB as float64"
    print(f"\n## {case.name}\n\n{size}; broken: {broken}\n", flush=True)
    ours = _measure(chains.OURS, planted, folder, THREADS)
    others: list[Measured] = []
    for method in rivals:
        best = threads[0]
        if len(threads) > 1:
            best, seconds = chains.better_threads(method, folder, tuple(threads))
            words = ", ".join(f"{count}: {value:.1f} s" for count, value in seconds.items())
            print(f"{method}, a few steps by BLAS threads: {words}", flush=True)
        # A rival that is slower than another one does not count: it need not come to its end.
        quickest_s = min((one.result.cost.wall_s for one in others), default=None)
        try:
            others.append(_measure(method, planted, folder, best, quickest_s and quickest_s + _AROUND_S))
        except chains.TooSlow:
            print(f"{method}: ended, slower than {others[0].chain}", flush=True)
    print("\n" + _case_table(case, [ours, *others]) + "\n")
    for one in (ours, *others):
        print(f"{one.chain} removed {len(one.result.removed)}: {', '.join(one.result.removed)}")
    print(f"ours found broken: {', '.join(ours.result.bad) or 'none'}; the rival was told\n")
    profile = chains.run(chains.OURS, folder, THREADS, profile=True, keep_output=False)
    print(_profile_table(profile.steps, profile.cost.wall_s), flush=True)
    return _rows(case, ours, min(others, key=lambda one: one.result.cost.wall_s)) if others else []


def _measure(chain: str, planted: Planted, folder: Path, threads: int, most_s: float | None = None) -> Measured:
    result = chains.run(chain, folder, threads, most_s=most_s)
    assert result.output is not None
    spent = result.cost
    print(f"{chain}: {spent.wall_s:.1f} s, {spent.cpu_s:.1f} CPU s with {threads} threads", flush=True)
    left = residuals(np.load(result.output, mmap_mode="r"), planted, chains.BAND_HZ)
    result.output.unlink()
    return Measured(chain, threads, result, left)


def _rows(case: Case, ours: Measured, rival: Measured) -> list[Row]:
    def row(name: str, unit: str, pair: tuple[float, float], *, gain: bool) -> Row:
        mine, other = pair
        ratio = other / mine if gain else mine / other
        return Row(f"{case.name}.{name}", round(mine, 5), round(other, 5), round(ratio, 4), unit)

    mine, other = ours.residuals, rival.residuals
    costs = ours.result.cost, rival.result.cost
    return [
        row("time", "s", (costs[0].wall_s, costs[1].wall_s), gain=True),
        row(
            "peak_memory_per_float64",
            "bytes per byte of the recording as float64",
            (costs[0].peak_bytes / case.float64_bytes, costs[1].peak_bytes / case.float64_bytes),
            gain=True,
        ),
        row("error", "variance of the error / of the brain signal", (mine.error, other.error), gain=False),
        row("residual_blink", "share of the planted amplitude", (mine.blink, other.blink), gain=False),
        row("residual_muscle", "share of the planted power", (mine.muscle, other.muscle), gain=False),
        row("residual_line", "uV", (mine.line_uv, other.line_uv), gain=False),
    ]


def _case_table(case: Case, measured: Sequence[Measured]) -> str:
    costs = ("chain", "threads", "wall s", "CPU s", "peak / float64")
    head = (*costs, "error", "blink", "muscle", "muscle not there", "line uV", "steps")
    rows = [
        (
            one.chain,
            str(one.threads),
            f"{one.result.cost.wall_s:.1f}",
            f"{one.result.cost.cpu_s:.1f}",
            f"{one.result.cost.peak_bytes / case.float64_bytes:.2f}",
            f"{one.residuals.error:.4f}",
            f"{one.residuals.blink:.2%}",
            f"{one.residuals.muscle:.4%}",
            f"{one.residuals.absent:.4%}",
            f"{one.residuals.line_uv:.4f}",
            str(one.result.iterations or "-"),
        )
        for one in measured
    ]
    return table(head, rows)


def _profile_table(steps: Mapping[str, float], wall_s: float) -> str:
    """Where the time of ours goes, in a run of its own: functions with a hundredth of it or more."""
    total = sum(steps.values())
    order = sorted(steps, key=lambda name: -steps[name])
    shown = [name for name in order if steps[name] >= 0.01 * total]
    rows = [(name, f"{steps[name]:.2f}", f"{steps[name] / total:.0%}") for name in shown]
    rest = total - sum(steps[name] for name in shown)
    rows += [("all others", f"{rest:.2f}", f"{rest / total:.0%}"), ("sum over threads", f"{total:.2f}", "100%")]
    return table(("ours, function", "s", "share"), [*rows, ("wall", f"{wall_s:.2f}", "")])


def _summary(rows: Sequence[Row]) -> str:
    head = ("figure", "ours", "rival", "ratio")
    return table(head, [(row.name, f"{row.ours:.4g}", f"{row.rival:.4g}", f"{row.ratio:.3g}") for row in rows])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the cleaning chain with the usual chain of MNE.")
    names = [case.name for case in CASES]
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to this file; those of other cases stay in it"
    )
    parser.add_argument("--only", nargs="+", choices=names, metavar="CASE", help=f"of {', '.join(names)}")
    parser.add_argument("--minutes", type=float, metavar="M", help="at most so much of each recording, for trials")
    parser.add_argument("--rival", choices=["both", *chains.RIVALS, "none"], default="both", help="its ICA")
    parser.add_argument("--rival-threads", choices=["auto", "1", "2"], default="auto", help="BLAS threads of the rival")
    options = parser.parse_args(arguments)
    if options.minutes is not None and options.minutes < 1:
        parser.error(f"--minutes: found {options.minutes:g}, expected at least 1.")
    options.rival = {"both": chains.RIVALS, "none": ()}.get(options.rival, (options.rival,))
    options.rival_threads = (1, 2) if options.rival_threads == "auto" else (int(options.rival_threads),)
    return options


if __name__ == "__main__":
    main()
