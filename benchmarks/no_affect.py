"""The central test: without planted affect what is leak free is at chance and what leaks is not; with it all rise.

    python benchmarks/no_affect.py [--worlds 4] [--to-leak] [--networks] [--only METHOD ...] [--cache FOLDER]
                                   [--json FILE] [--figure FILE]
    python benchmarks/no_affect.py --every [--worlds 4] ...
    python benchmarks/no_affect.py [--every] --again FILE [--worlds 4] ...
    python benchmarks/no_affect.py [--every] --together [--worlds 10] ...

Each world is one simulation (other people, other clips), once with and once without affect, all else the same; it
passes the whole way from vendor files to metrics. Without ``--every`` it is one of SEED under the protocols that most
people use; with it, smaller ones of four data sets under every protocol. Chance is that of a row's own answers
(:func:`eegpipe.metrics.dealt_anew`). ``--again`` takes what such a study has written (``--json``) and repeats the
leak-free rows that missed it, or that of guesses, without affect, on simulations that it has not seen. ``--together``
is without affect alone and judges all rows by one rule. Encoders are those of the project: run `dvc repro` first. A
study that was interrupted goes on when it is started again.
docs/evaluation.md has the results.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from measure import end_cleanly, print_machine
from no_affect_figure import figure, off_chance, panels
from no_affect_plans import EVERY, METHODS, NETWORKS, SLOWEST, Plan, Study, World, usual
from no_affect_rows import (
    CONFIDENCE,
    Name,
    Repeated,
    Row,
    Score,
    Scores,
    by_protocol,
    repeated,
    rows_of,
    summary,
    table_of_repeated,
)
from no_affect_together import PEOPLE_ALONE, Scored, report, scored

from eegpipe import across, datasets, forked
from eegpipe import params as settings_file
from eegpipe.bids import convert
from eegpipe.clean.stage import clean_dataset
from eegpipe.errors import UsageProblem
from eegpipe.evaluate import METHODS as EVALUATED
from eegpipe.evaluate import evaluate, linear_head
from eegpipe.finetune import SUFFIX, FineTuner, fine_tuner
from eegpipe.fingerprint import code_digest, digest, file_digest, imported_modules
from eegpipe.loader import Segments, load
from eegpipe.models.art_settings import FineTuneSettings
from eegpipe.models.emod_settings import EmodFineTuning
from eegpipe.params import Params
from eegpipe.protocols import PROTOCOLS, NotApplicable, SplitSettings, shuffled
from eegpipe.segment import segment_dataset
from eegpipe.simulate import SimulateSettings, simulate
from eegpipe.splits import Split, make
from eegpipe.terminal import exit_code, print_outcomes
from eegpipe.train import Encoder, load_pretrained

ROOT = Path(__file__).resolve().parents[1]
_WHICH = f"of {', '.join(METHODS)} (the default), {', '.join(NETWORKS)}, {SLOWEST}"
_NO_EFFECT = ("eegpipe.__init__", "eegpipe.errors", "eegpipe.forked", "eegpipe.parallel", "eegpipe.progress")
_OF_NETWORKS = "networks"  # the store that networks on raw windows read, where it is no other method's


def prepare(dataset: str, wanted: SimulateSettings, params: Params, study: Study, folder: Path) -> dict[str, Path]:
    """The segment store of each windowing; each step brings what is there up to date."""
    raw, done = folder / "raw", folder / "raw.json"
    mark = digest(asdict(wanted), code_digest(*imported_modules("eegpipe.simulate", without=_NO_EFFECT)))
    if not done.is_file() or done.read_text(encoding="utf-8") != mark:
        shutil.rmtree(raw, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        simulate(dataset, raw, wanted, truth=folder / "truth")
        done.write_text(mark, encoding="utf-8")
    clean = params.clean if study.ica else replace(params.clean, ica=replace(params.clean.ica, enabled=False))
    for outcomes in (
        convert(datasets.at(dataset, raw), str(raw), folder / "bids"),
        clean_dataset(folder / "bids", folder / "clean", clean),
    ):
        if print_outcomes(outcomes, allow_partial=False):
            raise UsageProblem(f"{folder}: a recording failed. See above.")
    windowings = {name: (name, params.windowing[name][params.size]) for name in params.windowings}
    if study.short:
        windowings[_OF_NETWORKS] = ("art", replace(windowings["art"][1], **study.short))
    stores = {}
    for name, (windowing, settings) in windowings.items():
        stores[name] = folder / f"{name}.zarr"
        segment_dataset(folder / "clean", stores[name], windowing=windowing, settings=settings)
    return stores


def score(
    method: str, world: World, study: Study, stores: Mapping[str, Path], params: Params, models: Path, folder: Path
) -> dict[str, Score]:
    """Protocol -> score, remembered under the digest of all that it depends on."""
    family = method.removesuffix(SUFFIX)
    frozen = family in params.methods
    baseline = params.baseline[params.size]
    store = stores[family if frozen else params.windowings[0]]
    if method in (*NETWORKS, SLOWEST):
        store = stores[_OF_NETWORKS if study.short else "art"]
        baseline = replace(baseline, raw=replace(baseline.raw, **{**study.networks, **world.networks}))
    target = load(store)
    plan = study.plans.get(method, study.usual)
    split = replace(params.split, groups=plan.groups, subject_folds=plan.subject_folds)
    splits = _splits(plan, world, target, split)
    if not splits:
        return {}
    settings = replace(params.evaluate[params.size], resamples=0)
    more: dict[str, Any] = {"baseline": baseline}
    weights = ""
    if frozen:
        encoder = load_pretrained(models / family / world.encoders)
        weights = file_digest(models / family / world.encoders / "weights.safetensors")
        tuned = method.endswith(SUFFIX)
        more = {"tuner": _tuner(encoder, params, study, world)} if tuned else {"encoder": encoder}
    code = code_digest(*imported_modules("eegpipe.evaluate", "eegpipe.train", without=_NO_EFFECT))
    parts = [
        [one.hash for one in splits],
        target.digest,
        weights,
        asdict(settings),
        asdict(params.art[params.size].graph),
        {"art": asdict(_art(params, study)), "emod": asdict(_emod(params, study, world))},
        asdict(baseline),
        code,
    ]
    known = folder / f"{method}-{digest(*parts)}.json"
    if not known.is_file():
        out = folder / f"{method}.out"
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
        found = {name: asdict(_score(entry)) for name, entry in content["protocols"].items()}
        _write(known, json.dumps(found) + "\n")
    return {name: Score(**entry) for name, entry in json.loads(known.read_text(encoding="utf-8")).items()}


def score_across(
    method: str,
    world: World,
    stores: Mapping[str, Mapping[str, Path]],
    params: Params,
    models: Path,
    folder: Path,
) -> Score:
    """As :func:`score`, by a classifier that learned from all other data sets of ``stores``."""
    windowing = method if method in params.methods else params.windowings[0]
    target = load(stores[world.dataset][windowing])
    others = [load(its[windowing]) for name, its in stores.items() if name != world.dataset]
    encoder = load_pretrained(models / method / world.encoders) if method in params.methods else None
    settings = replace(params.evaluate[params.size], resamples=0)
    split = across.split_across(target, others, params.split)
    joint = across.joined(target, others)
    code = code_digest(*imported_modules("eegpipe.evaluate", "eegpipe.train", without=_NO_EFFECT))
    weights = file_digest(models / method / world.encoders / "weights.safetensors") if encoder else ""
    baseline = params.baseline[params.size]
    stores_used = [one.digest for one in (target, *others)]
    parts = [split.hash, stores_used, weights, asdict(settings), asdict(baseline), params.seed, code]
    known = folder / f"{method}{across.SUFFIX}-{digest(*parts)}.json"
    if not known.is_file():
        head = linear_head(baseline) if method == "de_linear" else None
        features = across.JoinedFeatures(joint, target, others, encoder, settings, head)
        out = folder / f"{method}{across.SUFFIX}.out"
        content = evaluate(
            method + across.SUFFIX,
            joint,
            split,
            out / "metrics.json",
            out,
            encoder=encoder,
            settings=settings,
            seed=params.seed,
            workers=forked.cores(),
            features=features,
        )
        (entry,) = content["protocols"].values()
        _write(known, json.dumps({across.PROTOCOL: asdict(_score(entry))}) + "\n")
    return Score(**json.loads(known.read_text(encoding="utf-8"))[across.PROTOCOL])


def _score(entry: Mapping[str, Any]) -> Score:
    """``entry``: of a protocol, in a metrics file."""
    chance = entry["chance"]
    return Score(entry["balanced_accuracy"]["value"], entry["leak_free"], chance["uniform"], chance["dealt"])


def _splits(plan: Plan, world: World, target: Segments, settings: SplitSettings) -> list[Split]:
    """Of the protocols that the data set can have those of world and plan, with as many folds as the plan allows."""
    made = []
    for name in world.protocols or PROTOCOLS:
        if plan.protocols is not None and name not in plan.protocols:
            continue
        try:
            split = make(name, target, settings=settings)
        except NotApplicable:
            continue
        if split.leak_free or plan.leaking is None or name in plan.leaking:
            chosen = set(shuffled((fold.name for fold in split.folds), "no affect", name)[: plan.most_folds])
            made.append(replace(split, folds=tuple(fold for fold in split.folds if fold.name in chosen)))
    return made


def _emod(params: Params, study: Study, world: World) -> EmodFineTuning:
    return replace(params.emod[params.size].finetune, **{**study.emod, **world.emod})


def _art(params: Params, study: Study) -> FineTuneSettings:
    return replace(params.art[params.size].finetune, **study.art)


def _tuner(encoder: Encoder, params: Params, study: Study, world: World) -> FineTuner:
    if encoder.method.name == "emod":
        return fine_tuner(encoder, settings=_emod(params, study, world))
    return fine_tuner(encoder, settings=_art(params, study), graph=params.art[params.size].graph)


def run_study(study: Study, count: int, methods: Sequence[str], params: Params, models: Path, cache: Path) -> list[Row]:
    """World by world, so that an early end leaves all methods with equally many."""
    scores: Scores = {}
    for number in range(count):
        for affect in (False, True):
            start = time.perf_counter()
            for name, value in _arm(study, number, affect, methods, params, models, cache):
                scores.setdefault(name, {False: [], True: []})[affect].append(value)
            spent = time.perf_counter() - start
            print(f"world {number + 1} of {count}, affect {affect}: {spent:.0f} s", flush=True)
    return rows_of(scores)


def run_again(
    missed: Sequence[Row], study: Study, count: int, params: Params, models: Path, cache: Path
) -> list[Repeated]:
    """The rows' protocols alone, without affect, on ``count`` simulations of ``study``."""
    datasets_of = {row.dataset for row in missed}
    if not any(row.protocol == across.PROTOCOL for row in missed):  # whose classifiers learn from all data sets
        study = replace(study, worlds=tuple(world for world in study.worlds if world.dataset in datasets_of))
    methods = tuple(dict.fromkeys(row.method for row in missed))
    plans = {
        method: replace(
            study.plans.get(method, study.usual),
            protocols=tuple(dict.fromkeys(row.protocol for row in missed if row.method == method)),
        )
        for method in methods
    }
    study = replace(study, plans=plans)
    scores: dict[Name, list[Score]] = {(row.dataset, row.method, row.protocol): [] for row in missed}
    for number in range(count):
        start = time.perf_counter()
        for name, value in _arm(study, number, False, methods, params, models, cache):
            if name in scores:
                scores[name].append(value)
        print(f"world {number + 1} of {count}: {time.perf_counter() - start:.0f} s", flush=True)
    return repeated(missed, scores)


def run_together(
    study: Study, count: int, methods: Sequence[str], params: Params, models: Path, cache: Path, *, affect: bool = False
) -> list[Scored]:
    """Only one of the two arms. Says nothing of the scores before all simulations are there."""
    scores: dict[Name, list[Score]] = {}
    for number in range(count):
        start = time.perf_counter()
        for name, value in _arm(study, number, affect, methods, params, models, cache):
            scores.setdefault(name, []).append(value)
        spent = time.perf_counter() - start
        print(f"world {number + 1} of {count}, affect {affect}: {spent:.0f} s", flush=True)
    return scored(scores)


def leaking_people(study: Study) -> Study:
    """Of ``study`` the data sets under protocols whose leak shows only with affect; maybe none."""
    return replace(study, worlds=tuple(one for one in study.worlds if set(one.protocols or ()) & set(PEOPLE_ALONE)))


def _arm(
    study: Study, number: int, affect: bool, methods: Sequence[str], params: Params, models: Path, cache: Path
) -> Iterator[tuple[Name, Score]]:
    """Every score of the ``number``-th simulation of all data sets."""
    seed = study.first_seed + number
    stores, folders = {}, {}
    for world in study.worlds:
        usual_settings = params.simulate.get(world.dataset, SimulateSettings())
        settings = replace(usual_settings, **world.simulated, seed=seed, affect=affect)
        kind = digest(asdict(settings), study.ica)[:12]
        folder = cache / f"{seed}-{world.dataset}-{'affect' if affect else 'none'}-{kind}"
        folders[world.dataset], stores[world.dataset] = folder, prepare(world.dataset, settings, params, study, folder)
        for method in methods:
            found = score(method, world, study, stores[world.dataset], params, models, folder)
            for protocol, value in found.items():
                yield (world.dataset, method, protocol), value
    for world in study.worlds:
        if world.dataset == study.across:
            for method in methods:
                if method + across.SUFFIX in EVALUATED and _wanted(study, method):
                    value = score_across(method, world, stores, params, models, folders[world.dataset])
                    yield (world.dataset, method, across.PROTOCOL), value


def _wanted(study: Study, method: str) -> bool:
    chosen = study.plans.get(method, study.usual).protocols
    return chosen is None or across.PROTOCOL in chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, print the table, write the figures."""
    options = _options(arguments)
    end_cleanly()
    params = settings_file.load(options.params)
    study = EVERY if options.every else usual(to_leak=options.to_leak)
    if options.first_seed is not None:
        study = replace(study, first_seed=options.first_seed)
    _check_models(params.methods, study.worlds, options.models)
    before = _read(options.again) if options.again else None
    print_machine()
    if before:
        _again(before, study, params, options)
        return
    every = (*METHODS, *NETWORKS, SLOWEST)
    chosen = options.only or (every if options.every else METHODS + NETWORKS if options.networks else METHODS)
    if options.together:
        how = (options.worlds, chosen, params, options.models, options.cache)
        together = run_together(study, *how)
        people = leaking_people(study)
        planted = run_together(people, *how, affect=True) if people.worlds else []
        print("\n" + report(together, planted))
        if options.json:
            _write_rows(options.json, together, study, options.worlds, planted=[asdict(row) for row in planted])
        if options.figure:
            _write(options.figure, off_chance(together, options.worlds))
        return
    rows = run_study(study, options.worlds, chosen, params, options.models, options.cache)
    print("\n" + summary(rows))
    if options.every:
        print("\n" + by_protocol(rows))
    if options.json:
        _write_rows(options.json, rows, study, options.worlds)
    if options.figure:
        _write(options.figure, (panels if options.every else figure)(rows, options.worlds))


def _again(before: Mapping[str, Any], study: Study, params: Params, options: argparse.Namespace) -> None:
    """``before``: what ``--json`` wrote of the same study."""
    rows_before = [Row(**entry) for entry in before["rows"]]
    missed = [row for row in rows_before if row.leak_free and not (row.covers_chance and row.covers_guesses)]
    if not missed:
        print(f"\n{options.again}: every leak-free row covers either chance.")
        return
    if before["simulated"] != json.loads(json.dumps(_simulated(study))):
        raise UsageProblem(f"--again: {options.again} is of another study. Give the options that it was made with.")
    used = range(before["first_seed"], before["first_seed"] + before["worlds"])
    first = used.stop if options.first_seed is None else options.first_seed
    if first < used.stop and first + options.worlds > used.start:
        raise UsageProblem(f"--first-seed: found {first}, but {options.again} has the seeds {used[0]} to {used[-1]}.")
    rows = run_again(missed, replace(study, first_seed=first), options.worlds, params, options.models, options.cache)
    print("\n" + table_of_repeated(rows))
    if options.json:
        _write_rows(options.json, rows, replace(study, first_seed=first), options.worlds)


def _read(path: Path) -> dict[str, Any]:
    """A file of ``--json``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in fields(Row)}
        if {"worlds", "first_seed", "simulated"} <= content.keys() and all(
            row.keys() == names for row in content["rows"]
        ):
            return content
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        pass
    raise UsageProblem(f"--again: {path} is not what --json of this study writes.")


def _simulated(study: Study) -> dict[str, Any]:
    return {world.dataset: dict(world.simulated) for world in study.worlds}


def _write_rows(path: Path, rows: Iterable[Row | Repeated | Scored], study: Study, worlds: int, **more: Any) -> None:
    content = {
        "worlds": worlds,
        "first_seed": study.first_seed,
        "confidence": CONFIDENCE,
        "simulated": _simulated(study),
        "rows": [asdict(row) for row in rows],
        **more,
    }
    _write(path, json.dumps(content, indent=1) + "\n")


def _check_models(methods: Iterable[str], worlds: Sequence[World], models: Path) -> None:
    for target in dict.fromkeys(world.encoders for world in worlds):
        for method in methods:
            if not (models / method / target / "manifest.json").is_file():
                cure = "Run `dvc repro` first" + (f", with {target} among the `targets`." if target != "seed" else ".")
                raise UsageProblem(f"{models / method / target}: no encoder. {cure}")


def _write(path: Path, content: str) -> None:
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(content, encoding="utf-8")
    beside.replace(path)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Is what is leak free at chance where no affect is planted?")
    parser.add_argument("--worlds", type=int, default=4, metavar="N", help="simulations; default 4")
    parser.add_argument("--first-seed", type=int, metavar="N", help="of the simulations, to have others")
    parser.add_argument(
        "--to-leak", action="store_true", help="clips and trials that differ more, whatever their label"
    )
    parser.add_argument("--networks", action="store_true", help="also those on raw windows; needs eegpipe[baselines]")
    parser.add_argument(
        "--every",
        action="store_true",
        help="every protocol and every method, on smaller simulations of four data sets that leak; needs "
        "eegpipe[baselines] and encoders for the targets seed and faced",
    )
    parser.add_argument("--only", nargs="+", choices=(*METHODS, *NETWORKS, SLOWEST), metavar="METHOD", help=_WHICH)
    parser.add_argument(
        "--again",
        type=Path,
        metavar="FILE",
        help="of --json: repeat its leak-free rows that missed chance",
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="without affect alone; all rows judged by the rule of docs/evaluation.md",
    )
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml", metavar="FILE")
    parser.add_argument("--models", type=Path, default=ROOT / "models", metavar="FOLDER", help="of the pipeline")
    cache = ROOT / "models/.no_affect"
    parser.add_argument("--cache", type=Path, default=cache, metavar="FOLDER", help="what is finished, to go on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw them as SVG")
    options = parser.parse_args(arguments)
    if options.worlds < 1:
        parser.error(f"--worlds: found {options.worlds}, expected at least 1.")
    if options.together and options.again:
        parser.error("--together: found with --again, expected without.")
    if options.together and options.worlds < 2:
        parser.error("--together: found one simulation, expected at least 2 (--worlds).")
    return options


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
