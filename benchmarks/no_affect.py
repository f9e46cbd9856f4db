"""The central test: without planted affect what is leak free is at chance and what leaks is not; with it all rise.

    python benchmarks/no_affect.py [--worlds 4] [--to-leak] [--networks] [--only METHOD ...] [--cache FOLDER]
                                   [--json FILE] [--figure FILE]

Each world is one simulation of SEED (other people, other clips), once with and once without affect, all else the same;
it passes the whole way from vendor files to metrics. Encoders are those of the project: run `dvc repro` first. A study
that was interrupted goes on when it is started again. docs/evaluation.md has the result.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import end_cleanly, print_machine, table
from no_affect_figure import figure
from scipy import stats

from eegpipe import datasets, forked
from eegpipe import params as settings_file
from eegpipe.bids import convert
from eegpipe.clean.stage import clean_dataset
from eegpipe.errors import UsageProblem
from eegpipe.evaluate import evaluate
from eegpipe.finetune import SUFFIX, FineTuner, fine_tuner
from eegpipe.fingerprint import code_digest, digest, file_digest, imported_modules
from eegpipe.loader import load
from eegpipe.params import Params
from eegpipe.segment import segment_dataset
from eegpipe.simulate import SimulateSettings, simulate
from eegpipe.splits import make
from eegpipe.terminal import exit_code, print_outcomes
from eegpipe.train import Encoder, load_pretrained

ROOT = Path(__file__).resolve().parents[1]
TARGET = "seed"
LEAK_FREE = ("fewshot_subject_stimulus", "kfold_subject_stimulus", "zeroshot_subject_stimulus")
LEAKING = ("fewshot_subject", "zeroshot_subject", "art_within")
METHODS = ("de_linear", "de", "de_lstm", "mdjpt", "emod", "emod_finetuned", "art", "art_finetuned")
NETWORKS = ("eegnet", "shallow", "deep4")
SLOWEST = "eegconformer"  # only where asked for: minutes for each training
# `--to-leak` plants what can leak, stronger than in the demo: clips whose power differs whatever their label, trials
# that differ for no reason. Affect, where it is planted, has to be found beside it.
TO_LEAK = {"clip_size": 2.5, "wander_size": 2.0, "affect_size": 3.0}
CONFIDENCE = 0.95
_FIRST_SEED = 101  # not that of the pipeline, whose results chose the demo's settings
_WHICH = f"of {', '.join(METHODS)} (the default), {', '.join(NETWORKS)}, {SLOWEST}"
_ROUNDED = 1e-5  # scores are stored with six digits
_NO_EFFECT = ("eegpipe.__init__", "eegpipe.errors", "eegpipe.forked", "eegpipe.parallel", "eegpipe.progress")


@dataclass(frozen=True)
class Plan:
    """What of the pipeline's evaluation a method goes through here, for the sake of time."""

    protocols: tuple[str, ...] = (*LEAK_FREE, *LEAKING)
    groups: int = 3
    subject_folds: int = 2


# Where every fold trains a whole network: EMOD with its largest training parts and one leak of each kind; networks on
# raw windows with one training group, on short windows and for 100 steps of 16.
PLANS = {
    "emod_finetuned": Plan(("kfold_subject_stimulus", "fewshot_subject", "art_within")),
    **dict.fromkeys((*NETWORKS, SLOWEST), Plan(("fewshot_subject_stimulus", "fewshot_subject"), groups=1)),
}
_WINDOWING_OF_NETWORKS = "art"
_OF_NETWORKS = {"batch": 16, "epochs": 5, "least_steps": 100}


@dataclass(frozen=True)
class Row:
    """One method under one protocol over all worlds; balanced accuracy of segments, chance is the same everywhere.

    low, high : ends of the interval of Student's t over worlds; ``rise``: with affect minus without, world by world
    """

    method: str
    protocol: str
    leak_free: bool
    chance: float
    without: float
    without_low: float
    without_high: float
    planted: float
    rise: float
    rise_low: float
    rise_high: float

    @property
    def covers_chance(self) -> bool:
        """Whether the interval without affect holds chance."""
        return self.without_low - _ROUNDED <= self.chance <= self.without_high + _ROUNDED


def rows_of(scores: Mapping[str, Mapping[str, Mapping[bool, Sequence[float]]]], chance: float) -> list[Row]:
    """``scores``: method -> protocol -> affect -> one score a world, in the same order."""
    rows = []
    for protocol in (*LEAK_FREE, *LEAKING):
        for method, of_protocol in scores.items():
            if protocol not in of_protocol:
                continue
            without, planted = (np.array(of_protocol[protocol][affect]) for affect in (False, True))
            mean, low, high = interval(without)
            rise = interval(planted - without)
            free = protocol in LEAK_FREE
            rows.append(Row(method, protocol, free, chance, mean, low, high, float(planted.mean()), *rise))
    return rows


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and the ends of the interval of Student's t; the ends are NaN for one value."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def prepare(wanted: SimulateSettings, params: Params, folder: Path) -> dict[str, Path]:
    """The segment store of each windowing; each step brings what is there up to date."""
    raw, done = folder / "raw", folder / "raw.json"
    mark = digest(asdict(wanted), code_digest(*imported_modules("eegpipe.simulate", without=_NO_EFFECT)))
    if not done.is_file() or done.read_text(encoding="utf-8") != mark:
        shutil.rmtree(raw, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        simulate(TARGET, raw, wanted, truth=folder / "truth")
        done.write_text(mark, encoding="utf-8")
    for outcomes in (
        convert(datasets.at(TARGET, raw), str(raw), folder / "bids"),
        clean_dataset(folder / "bids", folder / "clean", params.clean),
    ):
        if print_outcomes(outcomes, allow_partial=False):
            raise UsageProblem(f"{folder}: a recording failed. See above.")
    stores = {}
    for windowing in params.windowings:
        stores[windowing] = folder / f"{windowing}.zarr"
        settings = params.windowing[windowing][params.size]
        segment_dataset(folder / "clean", stores[windowing], windowing=windowing, settings=settings)
    return stores


def score(method: str, stores: Mapping[str, Path], params: Params, models: Path, folder: Path) -> dict[str, float]:
    """Protocol -> balanced accuracy, remembered under the digest of all that it depends on."""
    family = method.removesuffix(SUFFIX)
    frozen = family in params.methods
    baseline = params.baseline[params.size]
    store = stores[family if frozen else params.windowings[0]]
    if method in (*NETWORKS, SLOWEST):
        store = stores[_WINDOWING_OF_NETWORKS]
        baseline = replace(baseline, raw=replace(baseline.raw, **_OF_NETWORKS))
    target = load(store)
    plan = PLANS.get(method, Plan())
    split = replace(params.split, groups=plan.groups, subject_folds=plan.subject_folds)
    settings = replace(params.evaluate[params.size], resamples=0)
    more: dict[str, Any] = {"baseline": baseline}
    weights = ""
    if frozen:
        encoder = load_pretrained(models / family / TARGET)
        weights = file_digest(models / family / TARGET / "weights.safetensors")
        tuned = method.endswith(SUFFIX)
        more = {"tuner": _tuner(encoder, params)} if tuned else {"encoder": encoder}
    code = code_digest(*imported_modules("eegpipe.evaluate", "eegpipe.train", without=_NO_EFFECT))
    parts = [
        plan.protocols,
        target.digest,
        weights,
        asdict(split),
        asdict(settings),
        asdict(params.art[params.size]),
        asdict(params.emod[params.size]),
        asdict(baseline),
        code,
    ]
    known = folder / f"{method}-{digest(*parts)}.json"
    if known.is_file():
        return json.loads(known.read_text(encoding="utf-8"))
    out = folder / f"{method}.out"
    splits = [make(name, target, settings=split) for name in plan.protocols]
    content = evaluate(
        method,
        target,
        splits,
        out / "metrics.json",
        out,
        settings=settings,
        seed=params.seed,
        workers=forked.cores(),
        **more,
    )
    result = {name: entry["balanced_accuracy"]["value"] for name, entry in content["protocols"].items()}
    beside = known.with_suffix(".part")
    beside.write_text(json.dumps(result) + "\n", encoding="utf-8")
    beside.replace(known)
    return result


def _tuner(encoder: Encoder, params: Params) -> FineTuner:
    if encoder.method.name == "emod":
        return fine_tuner(encoder, settings=params.emod[params.size].finetune)
    art = params.art[params.size]
    return fine_tuner(encoder, settings=art.finetune, graph=art.graph)


def study(
    worlds: int, methods: Sequence[str], params: Params, models: Path, cache: Path, sizes: Mapping[str, float]
) -> list[Row]:
    """World by world, so that an early end leaves all methods with equally many. ``sizes``: of what is planted, where
    they are not those of the settings."""
    scores: dict[str, dict[str, dict[bool, list[float]]]] = {method: {} for method in methods}
    for number in range(worlds):
        for affect in (False, True):
            start = time.perf_counter()
            folder = cache / f"world-{number + 1}-{'affect' if affect else 'none'}{'-to-leak' if sizes else ''}"
            planted: dict[str, Any] = {"seed": _FIRST_SEED + number, "affect": affect, **sizes}
            stores = prepare(replace(params.simulate[TARGET], **planted), params, folder)
            for method in methods:
                for protocol, value in score(method, stores, params, models, folder).items():
                    scores[method].setdefault(protocol, {True: [], False: []})[affect].append(value)
            spent = time.perf_counter() - start
            print(f"world {number + 1} of {worlds}, affect {affect}: {spent:.0f} s", flush=True)
    classes = 3  # of SEED
    return rows_of(scores, 1 / classes)


def summary(rows: Sequence[Row]) -> str:
    """The table, and in words how many rows are as they should be."""
    cells = [
        (
            row.method,
            row.protocol,
            "yes" if row.leak_free else "no",
            f"{row.without:.3f}",
            f"{row.without_low:.3f} to {row.without_high:.3f}",
            f"{row.planted:.3f}",
            f"{row.rise:+.3f}",
            f"{row.rise_low:+.3f} to {row.rise_high:+.3f}",
        )
        for row in rows
    ]
    head = ("method", "protocol", "leak free", "no affect", "95 % interval", "affect", "rise", "95 % interval of it")
    learning = [row for row in rows if row.method not in ("prior", "majority")]
    free = [row for row in rows if row.leak_free]
    leaking = [row for row in learning if not row.leak_free]
    covered = sum(row.covers_chance for row in free)
    above = sum(row.without_low > row.chance for row in leaking)
    rising = sum(row.rise_low > 0 for row in learning if row.leak_free)
    return (
        table(head, cells)
        + f"\n\nWithout affect: {covered} of {len(free)} leak-free rows cover chance; {above} of {len(leaking)} "
        f"leaking rows of methods that learn lie above it. With affect {rising} of "
        f"{sum(row.leak_free for row in learning)} leak-free rows of methods that learn rise."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, print the table, write the figures."""
    options = _options(arguments)
    end_cleanly()
    params = settings_file.load(options.params)
    for method in params.methods:
        if not (options.models / method / TARGET / "manifest.json").is_file():
            raise UsageProblem(f"{options.models / method / TARGET}: no encoder. Run `dvc repro` first.")
    print_machine()
    sizes = TO_LEAK if options.to_leak else {}
    chosen = options.only or (METHODS + NETWORKS if options.networks else METHODS)
    rows = study(options.worlds, chosen, params, options.models, options.cache, sizes)
    print("\n" + summary(rows))
    if options.json:
        content = {
            "worlds": options.worlds,
            "confidence": CONFIDENCE,
            "sizes": sizes,
            "rows": [asdict(row) for row in rows],
        }
        _write(options.json, json.dumps(content, indent=1) + "\n")
    if options.figure:
        _write(options.figure, figure(rows, options.worlds))


def _write(path: Path, content: str) -> None:
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(content, encoding="utf-8")
    beside.replace(path)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Is what is leak free at chance where no affect is planted?")
    parser.add_argument("--worlds", type=int, default=4, metavar="N", help="simulations; default 4")
    parser.add_argument(
        "--to-leak", action="store_true", help="clips and trials that differ more, whatever their label"
    )
    parser.add_argument("--networks", action="store_true", help="also those on raw windows; needs eegpipe[baselines]")
    parser.add_argument("--only", nargs="+", choices=(*METHODS, *NETWORKS, SLOWEST), metavar="METHOD", help=_WHICH)
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml", metavar="FILE")
    parser.add_argument("--models", type=Path, default=ROOT / "models", metavar="FOLDER", help="of the pipeline")
    cache = ROOT / "models/.no_affect"
    parser.add_argument("--cache", type=Path, default=cache, metavar="FOLDER", help="what is finished, to go on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw them as SVG")
    options = parser.parse_args(arguments)
    if options.worlds < 1:
        parser.error(f"--worlds: found {options.worlds}, expected at least 1.")
    return options


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
