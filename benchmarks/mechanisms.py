"""What the papers claim of their mechanisms, tested with planted affect: paired arms, several seeds, intervals.

    python benchmarks/mechanisms.py [--only NAME ...] [--seeds 5] [--share 1.0] [--segments FOLDER] [--cache FOLDER]
                                    [--json FILE] [--figure FILE]

The segments are those of the pipeline: run `dvc repro segment` first. docs/mechanisms.md says what is compared, by what
rule, and what came out. A study that was interrupted goes on when it is started again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from measure import end_cleanly, print_machine, table
from mechanism_arms import PROTOCOLS, SILHOUETTE, Arm, Pretraining, Result, Stores, run
from mechanism_figure import forest
from paired import CONFIDENCE, MARGIN, Estimate, interval, verdict

from eegpipe import params as settings_file
from eegpipe.errors import UsageProblem
from eegpipe.loader import Segments, load
from eegpipe.models.settings import PretrainSettings
from eegpipe.params import Params
from eegpipe.terminal import exit_code

ROOT = Path(__file__).resolve().parents[1]
SOURCES, TARGET = ("deap", "dreamer", "faced"), "seed"
# ART's transfer to the 14 channels of DREAMER, as in its paper.
TRANSFER_SOURCES, TRANSFER_TARGET = ("deap", "seed"), "dreamer"
# The first three of the stored training groups: half the time, and each of eight people is still tested.
_GROUPS = 3
# Fine-tuning is slow, so it has fewer folds, and only those of the protocol that decides.
DECIDES = PROTOCOLS[:1]


@dataclass(frozen=True)
class Comparison:
    """A claim: the arm ``claimed`` is better than the arm ``other``.

    measures : protocols (balanced accuracy, higher is better) or the silhouette (lower is better)
    """

    name: str
    claim: str
    claimed: str
    other: str
    measures: tuple[str, ...] = PROTOCOLS


COMPARISONS = (
    Comparison("mdjpt_pretrained", "mdJPT: pre-trained above random weights", "mdjpt", "mdjpt_random"),
    Comparison("mdjpt_cda", "mdJPT: CDA (0.02) above none", "mdjpt", "mdjpt_no_cda", (*PROTOCOLS, SILHOUETTE)),
    Comparison("mdjpt_isa", "mdJPT: ISA + CDA above CDA alone", "mdjpt", "mdjpt_no_isa"),
    Comparison("emod_pretrained", "EMOD: pre-trained above random weights, frozen", "emod", "emod_random"),
    Comparison("emod_soft_hard", "EMOD: soft V-A above hard V-A", "emod", "emod_hard"),
    Comparison("emod_soft_augmentation", "EMOD: soft V-A above augmentation only", "emod", "emod_augmentation"),
    Comparison("emod_hard_augmentation", "EMOD: hard V-A above augmentation only", "emod_hard", "emod_augmentation"),
    Comparison("emod_scratch", "EMOD: pre-trained above scratch, fine-tuned", "emod_tuned", "emod_scratch", DECIDES),
    Comparison("art_pretrained", "ART: pre-trained above random weights, frozen", "art", "art_random"),
    Comparison(
        "art_scratch", "ART + GAT: pre-trained above random weights, tuned head", "art_gat", "art_scratch", DECIDES
    ),
    Comparison("art_gat_gcn", "ART: GAT above GCN", "art_gat", "art_gcn", DECIDES),
    Comparison("art_gat_none", "ART: GAT above no graph", "art_gat", "art_none", DECIDES),
    Comparison("art_union", "ART: union above intersection", "art_union", "art_intersection"),
)


def arms(params: Params, share: float = 1.0) -> dict[str, Arm]:
    """Every arm by name, with the settings of params.yaml. ``share``: of the steps of pre-training."""
    mdjpt, emod, art = params.mdjpt[params.size], params.emod[params.size], params.art[params.size]
    evaluation, split = params.evaluate[params.size], replace(params.split, groups=min(params.split.groups, _GROUPS))
    # Half of the people: from two of eight fine-tuning learns nothing, and nothing could be compared.
    half = replace(split, groups=2, training_fraction=0.5, clip_folds=2)
    tuned: dict[str, object] = {"split": half, "protocols": DECIDES}
    known: dict[str, Arm] = {}

    def add(name: str, encoder: Pretraining, **more: object) -> None:
        known[name] = replace(Arm(name, encoder, split, evaluation), **more)  # type: ignore[arg-type]

    full = Pretraining(mdjpt.model, _shorter(mdjpt.training, share), SOURCES, TARGET, params.cda_lambda)
    add("mdjpt", full, silhouette=True)
    add("mdjpt_no_cda", replace(full, cda_lambda=0.0), silhouette=True)
    add("mdjpt_no_isa", replace(full, model=replace(mdjpt.model, isa_weight=0.0)), silhouette=True)
    add("mdjpt_random", _random(full), silhouette=True)

    soft = Pretraining(emod.model, _shorter(emod.training, share), SOURCES, TARGET)
    add("emod", soft)
    add("emod_hard", replace(soft, model=replace(emod.model, contrast="hard")))
    add("emod_augmentation", replace(soft, model=replace(emod.model, contrast="augmentation")))
    add("emod_random", _random(soft))
    # EMOD trains its encoder along, which takes several times as long: one training group.
    tuned_emod = {**tuned, "split": replace(half, groups=1)}
    add("emod_tuned", soft, **tuned_emod, tuning=emod.finetune)
    add("emod_scratch", soft, **tuned_emod, tuning=replace(emod.finetune, scratch=True))

    union = Pretraining(art.model, _shorter(art.training, share), SOURCES, TARGET)
    add("art", union)
    add("art_random", _random(union))
    graphs: tuple[Literal["gat", "gcn", "none"], ...] = ("gat", "gcn", "none")
    for graph in graphs:
        add(f"art_{graph}", union, **tuned, tuning=art.finetune, graph=replace(art.graph, graph=graph))
    scratch = replace(art.finetune, scratch=True)
    add("art_scratch", union, **tuned, tuning=scratch, graph=art.graph)
    # High against low valence: nine classes by clip are beyond six people.
    valence = replace(split, target="valence")
    channel_sets: tuple[Literal["union", "intersection"], ...] = ("union", "intersection")
    for channels in channel_sets:
        model = replace(art.model, channel_set=channels)
        encoder = replace(union, model=model, sources=TRANSFER_SOURCES, target=TRANSFER_TARGET)
        add(f"art_{channels}", encoder, split=valence)
    return known


def _shorter(training: PretrainSettings, share: float) -> PretrainSettings:
    if training.steps_per_epoch is None:
        if share != 1:
            raise UsageProblem("--share: these settings have no number of steps to take a share of.")
        return training
    return replace(training, steps_per_epoch=max(1, round(share * training.steps_per_epoch)))


def _random(encoder: Pretraining) -> Pretraining:
    return replace(encoder, training=replace(encoder.training, epochs=0))


@dataclass(frozen=True)
class Row:
    """One measure of one comparison. ``difference`` is positive where the claim is right, whatever the measure."""

    name: str
    claim: str
    measure: str
    target: str
    seeds: int
    people: int
    claimed: Estimate
    other: Estimate
    chance: float | None
    difference: Estimate
    verdict: str


def judge(comparison: Comparison, results: Mapping[str, Mapping[int, Result]], target: str) -> list[Row]:
    """Rows of a comparison over the seeds that both arms have; none if there is no such seed."""
    both = results.get(comparison.claimed, {}), results.get(comparison.other, {})
    seeds = sorted(set(both[0]) & set(both[1]))
    rows = []
    for measure in comparison.measures if seeds else ():
        people = list(both[0][seeds[0]].scores[measure])
        claimed, other = (
            np.array([[arm[seed].scores[measure][person] for person in people] for seed in seeds]) for arm in both
        )
        chance = both[0][seeds[0]].chance.get(measure)
        sign = -1 if measure == SILHOUETTE else 1
        difference = interval(sign * (claimed - other))
        informative = chance is None or any(interval(values - chance).positive for values in (claimed, other))
        said = verdict(difference, informative=informative)
        levels = interval(claimed), interval(other)
        facts = (comparison.name, comparison.claim, measure, target, len(seeds), len(people))
        rows.append(Row(*facts, *levels, chance, difference, said))
    return rows


def study(
    wanted: Sequence[Comparison], known: Mapping[str, Arm], seeds: Sequence[int], stores: Stores, folder: Path
) -> tuple[list[Row], dict[str, dict[int, Result]]]:
    """Run what is needed, seed by seed, so that an early end leaves all comparisons with equally many seeds."""
    needed = list(dict.fromkeys(name for one in wanted for name in (one.claimed, one.other)))
    results: dict[str, dict[int, Result]] = {name: {} for name in needed}
    for seed in seeds:
        for number, name in enumerate(needed, 1):
            start = time.perf_counter()
            result, remembered = run(known[name], seed, stores, folder)
            results[name][seed] = result
            scores = ", ".join(f"{key} {np.mean(list(of.values())):.3f}" for key, of in result.scores.items())
            cost = "known" if remembered else f"{time.perf_counter() - start:.0f} s"
            print(f"seed {seed}, {number} of {len(needed)}, {name}: {scores} ({cost})", flush=True)
    return [row for one in wanted for row in judge(one, results, known[one.claimed].encoder.target)], results


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, print the table, write the figures."""
    options = _options(arguments)
    end_cleanly()
    params = settings_file.load(options.params)
    known = arms(params, options.share)
    wanted = [one for one in COMPARISONS if not options.only or one.name in options.only]

    @cache
    def stores(windowing: str, dataset: str) -> Segments:
        path = options.segments / windowing / f"{dataset}.zarr"
        if not path.is_dir():
            raise UsageProblem(
                f"{path}: no segments. Run `dvc repro segment` first, or name their folder (--segments)."
            )
        return load(path)

    print_machine()
    rows, results = study(wanted, known, range(1, options.seeds + 1), stores, options.cache)
    print("\n" + summary(rows))
    if options.json:
        content = {
            "size": params.size,
            "share": options.share,
            "seeds": options.seeds,
            "rule": {"confidence": CONFIDENCE, "margin": MARGIN},
            "rows": [asdict(row) for row in rows],
            "arms": {name: {seed: asdict(one) for seed, one in of.items()} for name, of in results.items()},
        }
        beside = options.json.with_name(f"{options.json.name}.part")
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        beside.replace(options.json)
    if options.figure:
        options.figure.write_text(forest(rows, MARGIN), encoding="utf-8")


def summary(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    head = ("claim", "measure", "claimed", "other", "difference", "95 % interval", "seeds x people", "verdict")
    return table(head, [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.difference.low, row.difference.high
    between = "none" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
    levels = (f"{row.claimed.mean:.3f}", f"{row.other.mean:.3f}", f"{row.difference.mean:+.3f}")
    return row.claim, row.measure, *levels, between, f"{row.seeds} x {row.people}", row.verdict


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Test what the papers claim of their mechanisms, on planted affect.")
    names = [one.name for one in COMPARISONS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="1 to N; default 5")
    parser.add_argument("--share", type=float, default=1.0, metavar="S", help="of the steps of pre-training; default 1")
    parser.add_argument("--segments", type=Path, default=ROOT / "data/segments", metavar="FOLDER")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml", metavar="FILE")
    cache_folder = ROOT / "models/.mechanisms"
    parser.add_argument("--cache", type=Path, default=cache_folder, metavar="FOLDER", help="what is finished, to go on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the differences as SVG")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds: found {options.seeds}, expected at least 1.")
    if not 0 < options.share <= 1:
        parser.error(f"--share: found {options.share:g}, expected more than 0 and at most 1.")
    return options


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
