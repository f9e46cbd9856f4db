"""The arms of ``mechanisms.py``: one way each to pre-train and to test, run once for each seed and then remembered."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import silhouette_samples

from eegpipe.evaluate import evaluate
from eegpipe.finetune import SUFFIX, fine_tuner
from eegpipe.fingerprint import code_digest, digest, imported_modules
from eegpipe.loader import Segments
from eegpipe.methods import MethodConfig, of_config
from eegpipe.models.art_settings import FineTuneSettings, GatConfig
from eegpipe.models.emod_settings import EmodFineTuning
from eegpipe.models.settings import PretrainSettings
from eegpipe.predictions import EvaluateSettings
from eegpipe.protocols import SplitSettings
from eegpipe.splits import make
from eegpipe.train import Encoder, load_pretrained, pretrain

# The strictest first: it is the one that decides.
PROTOCOLS = ("fewshot_subject_stimulus", "fewshot_subject")
SILHOUETTE = "silhouette"
# Windows of a person that count for the silhouette, spread evenly.
_WINDOWS = 40
# Messages, progress and the command line change no result.
_NO_EFFECT = ("eegpipe.__init__", "eegpipe.errors", "eegpipe.processes", "eegpipe.progress")

Stores = Callable[[str, str], Segments]  # (windowing, data set)


@dataclass(frozen=True)
class Pretraining:
    """What makes an encoder, but for the seed. ``cda_lambda``: mdJPT's weight of CDA."""

    model: MethodConfig
    training: PretrainSettings
    sources: tuple[str, ...]
    target: str
    cda_lambda: float | None = None

    @property
    def method(self) -> str:
        return of_config(self.model).name


@dataclass(frozen=True)
class Arm:
    """An encoder and how it is tested.

    tuning : fine-tuning of the method; None: frozen, under the classifier that all methods share
    graph : ART's classifier over channels, where it is fine-tuned
    silhouette : also how far the data sets lie apart in the encoder's features
    """

    name: str
    encoder: Pretraining
    split: SplitSettings
    evaluation: EvaluateSettings
    tuning: EmodFineTuning | FineTuneSettings | None = None
    graph: GatConfig | None = None
    silhouette: bool = False
    protocols: tuple[str, ...] = PROTOCOLS


@dataclass(frozen=True)
class Result:
    """``scores``: measure -> person -> value (balanced accuracy of segments, or the silhouette); ``chance`` of the
    protocols; ``last``: the terms of the loss in the last epoch of pre-training."""

    scores: Mapping[str, Mapping[str, float]]
    chance: Mapping[str, float]
    last: Mapping[str, float]


def run(arm: Arm, seed: int, stores: Stores, cache: Path) -> tuple[Result, bool]:
    """The result of one arm with one seed, and whether it was known before.

    A result is stored in ``cache`` under the digest of everything that it depends on (settings, seed, segments, code),
    an encoder likewise, so that an interrupted study goes on and arms share encoders.
    """
    names = dict.fromkeys((*arm.encoder.sources, arm.encoder.target))
    content = [stores(arm.encoder.method, name).digest for name in names]
    modules = imported_modules("eegpipe.train", "eegpipe.evaluate", without=_NO_EFFECT)
    code = code_digest(*modules, __name__, packages=("torch",))
    settings = {key: value for key, value in asdict(arm).items() if key != "name"}
    path = cache / f"{digest(settings, seed, content, code)}.json"
    if path.is_file():
        return Result(**json.loads(path.read_text(encoding="utf-8"))["result"]), True
    encoder, last = _encoder(arm.encoder, seed, content, code, stores, cache)
    result = _tested(arm, encoder, seed, stores, last)
    cache.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    entry = {"arm": arm.name, "seed": seed, "result": asdict(result)}
    beside.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
    return result, False


def _encoder(
    wanted: Pretraining, seed: int, content: Sequence[str], code: str, stores: Stores, cache: Path
) -> tuple[Encoder, dict[str, float]]:
    folder = cache / "encoders" / digest(asdict(wanted), seed, content, code)
    if not (folder / "manifest.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        pretrain(
            [stores(wanted.method, name) for name in wanted.sources],
            folder,
            config=wanted.model,
            settings=wanted.training,
            cda_lambda=wanted.cda_lambda,
            channels_of={wanted.target: stores(wanted.method, wanted.target).channels},
            seed=seed,
        )
    with (folder / "log.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    last = {name: float(value) for name, value in rows[-1].items() if name != "epoch"} if rows else {}
    return load_pretrained(folder), last


def _tested(arm: Arm, encoder: Encoder, seed: int, stores: Stores, last: Mapping[str, float]) -> Result:
    method = arm.encoder.method
    target = stores(method, arm.encoder.target)
    splits = [make(protocol, target, settings=arm.split) for protocol in arm.protocols]
    settings = replace(arm.evaluation, resamples=0)
    tuned: dict[str, Any] = {"encoder": encoder}
    if arm.tuning is not None:
        method += SUFFIX
        tuned = {"tuner": fine_tuner(encoder, settings=arm.tuning, graph=arm.graph)}
    with tempfile.TemporaryDirectory(prefix="eegpipe-mechanisms-") as folder:
        out = Path(folder)
        content = evaluate(method, target, splits, out / "metrics.json", out, settings=settings, seed=seed, **tuned)
        scores: dict[str, dict[str, float]] = {protocol: {} for protocol in arm.protocols}
        with (out / "per_subject.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                scores[row["protocol"]][row["subject"]] = float(row["balanced_accuracy"])
    if arm.silhouette:
        names = (*arm.encoder.sources, arm.encoder.target)
        scores[SILHOUETTE] = silhouettes(encoder, [stores(arm.encoder.method, name) for name in names])
    chance = {protocol: content["protocols"][protocol]["chance"]["uniform"] for protocol in arm.protocols}
    return Result(scores, chance, last)


def silhouettes(encoder: Any, datasets: Sequence[Segments]) -> dict[str, float]:
    """Person -> mean silhouette of that person's windows, with data sets as clusters: 1 far apart, about 0 mixed.

    Euclidean distance between features that are z-scored over all windows. ``encoder``: has ``features``.
    """
    features, cluster, person = [], [], []
    for number, segments in enumerate(datasets):
        for subject, name in enumerate(segments.subject_names):
            mine = np.flatnonzero(segments.subject == subject)
            chosen = segments.select(mine[np.unique(np.linspace(0, len(mine) - 1, _WINDOWS).round().astype(int))])
            features.append(encoder.features(chosen).astype(np.float64))
            cluster += [number] * len(chosen)
            person += [f"{segments.dataset}/{name}"] * len(chosen)
    x = np.concatenate(features)
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-10)
    of_windows = silhouette_samples(x, np.array(cluster))
    people = np.array(person)
    return {name: float(of_windows[people == name].mean()) for name in dict.fromkeys(person)}
