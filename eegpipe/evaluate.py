"""Evaluation: features of a frozen encoder (or differential entropy), stored splits, metrics with their terms.

Every method goes through the same splits, and but for those that bring a classifier of their own through the same
treatment of features and the same classifier, so that a difference between two rows is a difference of features. What
was done with test data stands in every row. docs/evaluation.md.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe import across, forked, methods, progress
from eegpipe.audit import assert_alone
from eegpipe.errors import UsageProblem, did_you_mean
from eegpipe.fewshot_curve import Point, fewshot_curve
from eegpipe.finetune import SUFFIX, WORDS, FineTuner, Trainer, fine_tuner
from eegpipe.fingerprint import digest, file_digest
from eegpipe.models.baseline_settings import ACROSS_BASELINES, BASELINES, RAW_NETWORKS, BaselineSettings
from eegpipe.models.baselines import ClassShares
from eegpipe.models.baselines_raw import RawNetwork, missing
from eegpipe.predictions import EvaluateSettings, FeatureCache, FeatureEncoder, Head, predict
from eegpipe.protocols import PROTOCOLS
from eegpipe.results import (
    content_hash,
    entry,
    strictest_of,
    summary_rows,
    write_curve,
    write_graphs,
    write_plots,
)
from eegpipe.splits import Split, assert_disjoint, assert_unseen, may_know, meant_to_know
from eegpipe.writing import write_file

if TYPE_CHECKING:
    from eegpipe.loader import Segments
    from eegpipe.models.art_settings import FineTuneSettings, GatConfig
    from eegpipe.models.emod_settings import EmodFineTuning
    from eegpipe.train import Encoder

__all__ = [
    "METHODS",
    "MODEL_FILES",
    "EvaluateSettings",
    "FeatureEncoder",
    "evaluate",
    "evaluate_target",
    "family",
    "linear_head",
    "summary_rows",
]

# What of a model folder decides the features and what the encoder has seen.
MODEL_FILES = ("weights.safetensors", "config.json", "manifest.json")

_FROZEN = {name: f"the pre-trained {method.title} encoder, frozen" for name, method in methods.METHODS.items()}
METHODS: Mapping[str, str] = {
    **_FROZEN,
    **{name + SUFFIX: words for name, words in WORDS.items()},
    **BASELINES,
    **{
        name + across.SUFFIX: f"{words}; the classifier is trained on other data sets"
        for name, words in (_FROZEN | {name: BASELINES[name] for name in ACROSS_BASELINES}).items()
    },
}


def family(method: str) -> str:
    """The method itself: how it is called without what says where its classifier comes from."""
    return method.removesuffix(SUFFIX).removesuffix(across.SUFFIX)


def evaluate_target(
    method: str,
    store: Path,
    splits: Path,
    out_metrics: Path,
    out_plots: Path,
    *,
    model: Path | None = None,
    others: Sequence[Path] = (),
    settings: EvaluateSettings | None = None,
    finetune: EmodFineTuning | FineTuneSettings | None = None,
    graph: GatConfig | None = None,
    baseline: BaselineSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int | None = None,
) -> dict[str, Any]:
    """:func:`evaluate` from files: a segment store, a folder of manifests, the folder of a pre-trained model.

    ``others``: stores of other data sets, which the classifier of a method ``*_across`` learns from.
    ``finetune``, ``graph``: settings of a method that is fine-tuned; None: its paper's. ``device``: where an encoder or
    a network of a baseline computes. ``workers``: processes that share the folds on a CPU; None: one a core.
    """
    from eegpipe.loader import load_all

    tuned = method.endswith(SUFFIX)
    _check_method(method, model is not None and not tuned, model is not None and tuned)
    if bool(others) != method.endswith(across.SUFFIX):
        raise UsageProblem(
            f"The method '{method}' and {len(others)} other data sets to learn from (--from): methods that end in "
            f"{across.SUFFIX} need at least one, all others take none."
        )
    manifests = [path for protocol in PROTOCOLS if (path := splits / f"{protocol}.json").is_file()]
    if not manifests:
        raise UsageProblem(f"{splits}: no split manifests. Run `eegpipe split` first.")
    settings = settings or EvaluateSettings()
    encoder: Encoder | None = None
    tuner: FineTuner | None = None
    model_files: dict[str, str] | None = None
    if model is not None:
        from eegpipe.train import load_pretrained

        encoder = load_pretrained(model, device=device)
        model_files = {name: file_digest(model / name) for name in MODEL_FILES}
        if tuned:
            threads = settings.encoder_threads
            tuner = fine_tuner(encoder, settings=finetune, graph=graph, device=device, threads=threads)
            encoder = None
    target, *sources = load_all([store, *others])
    if encoder is not None:
        assert_alone(encoder, target)
    processes = _processes(workers, device, settings)
    learned_from: dict[str, str] = {}
    features: FeatureCache | None = None
    if sources:
        learned_from = {one.dataset: one.digest for one in sorted(sources, key=lambda one: one.dataset)}
        joint = across.joined(target, sources)
        head = linear_head(baseline or BaselineSettings()) if family(method) == "de_linear" else None
        features = across.JoinedFeatures(joint, target, sources, encoder, settings, head)
        target = joint
    return evaluate(
        method,
        target,
        [Split.load(path) for path in manifests],
        out_metrics,
        out_plots,
        encoder=encoder,
        tuner=tuner,
        settings=settings,
        baseline=baseline,
        seed=seed,
        device=device,
        workers=processes,
        features=features,
        learned_from=learned_from,
        model_files=model_files,
        not_applicable=_reasons(splits / "not_applicable.tsv"),
    )


def _processes(asked: int | None, device: str, settings: EvaluateSettings) -> int:
    """One on a GPU, which a copy of a process cannot use, and where each would use several threads itself."""
    if not device.startswith("cpu") or settings.encoder_threads > 1:
        return 1
    return asked or forked.cores()


def _reasons(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["protocol"]: row["reason"] for row in csv.DictReader(lines, delimiter="\t")}


def evaluate(
    method: str,
    target: Segments,
    split: Split | Sequence[Split],
    out_metrics: Path,
    out_plots: Path,
    *,
    encoder: FeatureEncoder | None = None,
    tuner: FineTuner | None = None,
    settings: EvaluateSettings | None = None,
    baseline: BaselineSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    features: FeatureCache | None = None,
    learned_from: Mapping[str, str] | None = None,
    model_files: Mapping[str, str] | None = None,
    not_applicable: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Score ``method`` on ``target`` under each split; write the metrics and the data of plots.

    Writes ``out_metrics`` (JSON) and in the folder ``out_plots``: ``confusion.csv`` (actual, predicted: one row per
    trial of the strictest protocol), ``per_subject.csv``, ``training_curve.csv`` and ``predictions.npz`` (every
    prediction of every protocol). ``fewshot.csv`` is the score over the number of training subjects, without a row if
    the method has a classifier of its own; a fine-tuned method has ``attention_edges.csv`` and
    ``attention_degree.csv`` in its place, without a row if it has no graph. Nothing written depends on the clock or the
    machine.

    Parameters
    ----------
    method : str
        A key of ``METHODS``.
    encoder : FeatureEncoder or None
        For methods with a frozen encoder.
    tuner : FineTuner or None
        For methods that are fine-tuned. Protocols of nearest neighbours, where there is nothing to train, and those
        that follow mdJPT's own rules are then left out.
    baseline : BaselineSettings or None
        Of baselines with a classifier of their own, which have the same protocols as fine-tuning.
    seed : int
        Of the classifier's weights and batches and of the bootstrap; who is tested is the split's own.
    device : str
        Where the networks of baselines on raw windows compute.
    workers : int
        Processes that share the folds; no result depends on it. Only with everything on the CPU.
    features : FeatureCache or None
        Of ``target``, where they are not those of one encoder and store: of several data sets (:mod:`eegpipe.across`).
    learned_from : mapping or None
        The other data sets among them -> digest of the store.
    model_files : mapping or None
        Digests of ``MODEL_FILES``, the files that the encoder was read from; the weights' one names the model. Default:
        the digest of its manifest does.
    not_applicable : mapping
        Protocols that the data set cannot have, and why; repeated in the metrics.

    Returns
    -------
    dict
        What ``out_metrics`` holds.

    Raises
    ------
    LeakError
        Training and test part overlap, or the encoder has seen what is tested.
    DataProblem
        The split was made for other trials, or features are not finite.
    UsageProblem
        Unknown method, or an encoder is missing.
    """
    settings = settings or EvaluateSettings()
    _check_method(method, encoder is not None, tuner is not None)
    source = encoder or tuner
    seen = source.manifest if source else None
    made_by = (seen or {}).get("method", family(method))
    if made_by != family(method):
        raise UsageProblem(f"The method is '{method}', the model was pre-trained by '{made_by}'. Name the same one.")
    splits = [split] if isinstance(split, Split) else list(split)
    refused = dict(not_applicable or {})
    own = features or _own_training(method, target, settings, baseline or BaselineSettings(), device)
    trained_apart = tuner or own
    if trained_apart is not None:
        reason = _NOT_TRAINED if tuner is None else _NOT_TUNED
        refused |= {one.protocol: reason for one in splits if not _tunable(one)}
        splits = [one for one in splits if _tunable(one)]
    if seen is not None and meant_to_know(seen, target):
        refused |= {one.protocol: _TARGET_KNOWN for one in splits if not may_know(one)}
        splits = [one for one in splits if may_know(one)]
    if refused and not splits:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise UsageProblem(f"No protocol is left for {method} on {target.dataset}. {reasons}")
    learns_across = method.endswith(across.SUFFIX)
    if any((one.protocol == across.PROTOCOL) != learns_across for one in splits) or learns_across != bool(features):
        raise UsageProblem(
            f"{method}: found splits {', '.join(one.protocol for one in splits)}; {across.PROTOCOL} is for methods "
            f"*{across.SUFFIX}, which have no other and need the features of several data sets."
        )
    if not splits or len({one.protocol for one in splits}) < len(splits):
        raise UsageProblem("Evaluation needs at least one split, and each protocol once.")
    for one in splits:
        one.check(target)
        for fold in one.folds:
            # All of them before any work: a leak found after an hour is an hour lost.
            assert_disjoint(fold, target, [kind for kind, apart in one.disjoint.items() if apart is True])
            if seen is not None:
                assert_unseen(seen, target, fold, one)
    answering = trained_apart or FeatureCache(target, encoder, settings)
    results = []
    with progress.bar(f"evaluate {method} on {target.dataset}", sum(len(one.folds) for one in splits)) as advance:
        for one in splits:
            results.append(predict(one, target, answering, settings, seed, advance, workers))
    protocols = {result.split.protocol: entry(result, target, settings, seed) for result in results}
    written = write_plots(out_plots, results, target, protocols)
    if tuner is not None:
        write_graphs(out_plots, strictest_of(results, protocols).graphs)
    else:
        points: list[Point] = []
        if isinstance(answering, FeatureCache) and answering.head is None:
            points = fewshot_curve(splits, target, answering, settings, seed)
        write_curve(out_plots, points)
    weights = (model_files or {}).get("weights.safetensors")
    content: dict[str, Any] = {
        "method": method,
        "target": target.dataset,
        "windowing": target.windowing,
        "seed": seed,
        "protocols": protocols,
        "not_applicable": refused,
        "classes": dict(splits[0].classes),
        "hashes": {"store": target.digest, "model": weights or (digest(seen) if seen else None)},
        "files": {**written, "model": dict(model_files) if model_files else None},
        "settings": _settings(settings, trained_apart),
    }
    if learned_from:
        content["learned_from"] = dict(learned_from)
    # Of what a reader finds in the file: tuples are lists there.
    content["hash"] = content_hash(json.loads(json.dumps(content)))
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_file(out_metrics, text.encode())
    return json.loads(text)


def _own_training(
    method: str, target: Segments, settings: EvaluateSettings, baseline: BaselineSettings, device: str
) -> FeatureCache | RawNetwork | ClassShares | None:
    """What a baseline with a classifier of its own is predicted with; None for all other methods."""
    if method in ("majority", "prior"):
        return ClassShares(majority=method == "majority")
    if method in RAW_NETWORKS:
        network = RawNetwork(method, baseline.raw, device, settings.encoder_threads)
        network.check(target)
        return network
    if method not in ("de_linear", "de_lstm"):
        return None
    from eegpipe.models.baselines_features import LstmHead

    head = linear_head(baseline) if method == "de_linear" else LstmHead(baseline.lstm)
    return FeatureCache(target, None, settings, head)


def linear_head(baseline: BaselineSettings) -> Head:
    """The classifier of ``de_linear``."""
    from eegpipe.models.baselines_features import LinearHead

    return LinearHead(baseline.linear)


_NOT_TRAINED = (
    "A classifier of its own: not by nearest neighbours, where none is trained, and not under mdJPT's own rules."
)
_NOT_TUNED = "Fine-tuning: not by nearest neighbours, where nothing is trained, and not under mdJPT's own rules."
_TARGET_KNOWN = "The encoder was pre-trained on the target by request: only under protocols that allow it."


def _tunable(split: Split) -> bool:
    plan = PROTOCOLS[split.protocol]
    return plan.kind != "zeroshot" and not plan.as_mdjpt


def _settings(settings: EvaluateSettings, own: Trainer | FeatureCache | ClassShares | None) -> dict[str, Any]:
    """What had a part in the result."""
    every = dataclasses.asdict(settings)
    if own is None or (isinstance(own, FeatureCache) and own.head is None):
        return every
    if isinstance(own, FeatureCache):
        assert own.head is not None
        return {name: value for name, value in every.items() if name != "mlp"} | own.head.described()
    return own.described() | {"resamples": settings.resamples, "confidence": settings.confidence}


def _check_method(method: str, has_encoder: bool, has_tuner: bool) -> None:
    if method not in METHODS:
        raise UsageProblem(f"No method '{method}'.{did_you_mean(method, METHODS)}")
    if family(method) in BASELINES:
        if has_encoder or has_tuner:
            raise UsageProblem(f"The method '{method}' takes no model.")
        if problem := missing(method):
            raise UsageProblem(problem)
        return
    if has_tuner != method.endswith(SUFFIX):
        kind = "a pre-trained model to be fine-tuned" if not has_tuner else "a frozen encoder"
        raise UsageProblem(f"The method '{method}' needs {kind}.")
    if not (has_encoder or has_tuner):
        raise UsageProblem(f"The method '{method}' needs a pre-trained model.")
