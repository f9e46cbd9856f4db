"""Pre-training: one loop for all methods, checkpoints, and the folder that an encoder lives in.

An encoder's folder holds ``weights.safetensors``, ``config.json`` (enough to rebuild the network), ``log.csv`` (the
loss and its terms, mean over each epoch), ``manifest.json`` (every subject and stimulus it has seen; evaluation refuses
an overlap) and ``README.md`` (the model card). It appears complete or not at all.

What is reproducible: every draw is a function of (seed, number of the draw) and nothing else in training is random, so
a run that was killed and started again ends in the same bytes as one that was not, in as many processes as there may
be. On one kind of CPU, with one torch version and one number of threads (fixed by the ``threads`` argument, not by the
machine), weights are the same bytes. Between kinds of CPU, numbers of threads or devices, sums round differently and
weights agree only roughly.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import eegpipe
from eegpipe import methods
from eegpipe.allocation import memory_kept
from eegpipe.errors import DataProblem, UsageProblem, did_you_mean
from eegpipe.fingerprint import code_digest, digest
from eegpipe.fit import Log, Objective, fit, with_steps
from eegpipe.loader import Segments
from eegpipe.methods import Method, MethodConfig, Request, weight_of_cda
from eegpipe.models.card import model_card
from eegpipe.models.settings import MdjptTraining, PretrainSettings
from eegpipe.precision import check_device, without_tf32
from eegpipe.processes import ALONE, Group, check_share
from eegpipe.writing import write_file

__all__ = ["Encoder", "MdjptTraining", "Objective", "PretrainSettings", "fit", "load_pretrained", "pretrain"]

# Source files whose change makes a checkpoint worthless, whatever the method.
_CODE = (
    "eegpipe.train",
    "eegpipe.fit",
    "eegpipe.ahead",
    "eegpipe.embedded",
    "eegpipe.precision",
    "eegpipe.methods",
    "eegpipe.losses",
    "eegpipe.models",
    "eegpipe.channels",
)


def pretrain(
    sources: Sequence[Segments],
    out: Path,
    *,
    config: MethodConfig,
    settings: PretrainSettings,
    cda_lambda: float | None = None,
    channels_of: Mapping[str, Sequence[str]] | None = None,
    tested_too: str | None = None,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    group: Group = ALONE,
    curve: Path | None = None,
) -> None:
    """Pre-train on several data sets and write the encoder's folder.

    Parameters
    ----------
    sources : sequence of Segments
        One per data set; their order does not matter. mdJPT needs one rate and one window length.
    out : Path
        The folder to write; an earlier encoder there is replaced. While training runs, a checkpoint lies beside it
        (``.<name>.checkpoint``); the same call continues from it after a kill.
    config : MdjptConfig, EmodConfig or ArtConfig
        Its type says which method.
    settings : PretrainSettings
        Of the same method: ``MdjptTraining``, ``EmodTraining`` or ``ArtTraining``.
    cda_lambda : float or None
        mdJPT's weight of CDA; None: the variant's (0.02 described, 0.01 released). Means nothing to other methods.
    channels_of : mapping or None
        Names of the channels of data sets that are not trained on, normally of the target. Only ART's
        ``channel_set: intersection`` reads them.
    tested_too : str or None
        The source that is meant to be the target as well. The manifest says so, and a protocol that allows it takes the
        encoder. Without, an encoder that has met what is tested is refused.
    seed : int
        Of the initial weights and the draws.
    device : str
        torch's name: ``cpu``, ``cuda``, ``cuda:1``.
    threads : int
        torch's threads on the CPU. Part of the result in its last digits, hence no property of the machine. Where other
        programs use the cores too, two are slower than one (measured: eight times).
    group : Group
        The processes that share the draws of each step, from :func:`eegpipe.processes.join`; each calls this with its
        own ``device`` and all else the same. Their number changes no byte. The first one writes.
    curve : Path or None
        A copy of ``log.csv`` to look at while training runs: written anew, as a whole, after each epoch.

    Raises
    ------
    DataProblem
        If a data set cannot be used (one subject, no shared stimuli, no scalp channel, no valence, flat or non-finite
        signal), or a loss becomes non-finite.
    UsageProblem
        If ``out`` is something else than an encoder, the sources or the settings do not fit together, the device does
        not exist, ``tested_too`` is no source or the method reads labels, or the processes cannot share the draws
        evenly or do not see the same data.
    """
    out = Path(out)
    method = methods.of_config(config)
    check_share(settings.draws_per_step, group.size)
    _check_request(sources, out, device, method, settings)
    _check_tested_too(sources, tested_too, method)
    sources = sorted(sources, key=lambda segments: segments.dataset)
    checkpoint = out.with_name(f".{out.name}.checkpoint")
    rows = [_rows_digest(segments) for segments in sources]
    with _reproducible(threads):
        objective = method.objective(Request(sources, config, settings, cda_lambda, channels_of or {}, seed, device))
        settings = with_steps(settings, objective, method.title)
        manifest = _manifest(sources, method, objective, settings, cda_lambda, seed)
        if tested_too is not None:
            manifest["tested_too"] = tested_too
        code = code_digest(*_CODE, *method.code, packages=("torch",))
        # The number of processes is no part of it: another number continues with the same bytes.
        identity = digest(manifest, asdict(objective.config), rows, torch.device(device).type, threads, code)
        if not group.agrees(identity):
            raise UsageProblem(
                "The processes of this training do not work on the same: data, settings, code or the version of torch "
                "differ between machines."
            )
        log = fit(
            objective,
            settings,
            title=f"pre-training {method.title}",
            checkpoint=checkpoint,
            identity=identity,
            shown=method.shown,
            group=group,
            on_epoch=partial(_write_table, curve) if curve else None,
        )
    if group.leads:
        if curve:
            _write_table(curve, log)
        _write_folder(out, objective.model, asdict(objective.config), manifest, log)
        checkpoint.unlink(missing_ok=True)


@dataclass
class Encoder:
    """A frozen pre-trained network with what it was made from.

    manifest : dict
        ``method``, ``variant``, ``labels``, ``datasets`` (for each: ``store`` digest, ``subjects``, ``stimuli`` by
        name, ``rate_hz``, ``window_samples``), ``settings``, ``seed`` and, by method, more.
    """

    model: Any
    manifest: dict[str, Any]
    method: Method

    @property
    def width(self) -> int | None:
        """Numbers per segment; None: depends on the channels of the segments (ART)."""
        return self.method.width(self.model.config)

    @property
    def across(self) -> bool:
        """Whether the features of a segment depend on which other segments of its subject are given."""
        return self.method.across(self.model.config)

    def features(self, segments: Segments) -> np.ndarray:
        """(n, d) float32; which windows are normalised together: ``extract_features`` of the method's module.

        Raises
        ------
        DataProblem
            If the method has one rate and the segments another, or the data cannot be used.
        UsageProblem
            If windows or channels do not fit the network.
        """
        if self.method.one_windowing and segments.rate_hz != self.manifest["rate_hz"]:
            raise DataProblem(
                f"{segments.dataset}: segments",
                f"{segments.rate_hz:g} Hz",
                f"{self.manifest['rate_hz']:g} Hz, as in pre-training",
                "Use segments of the windowing that the encoder was pre-trained on.",
            )
        return self.method.features(self.model, segments)


def load_pretrained(path: Path | str, *, device: str = "cpu") -> Encoder:
    """The encoder in a folder that :func:`pretrain` wrote.

    Raises
    ------
    UsageProblem
        If there is no such folder or device, it holds no encoder, or one of a method that is not known here.
    DataProblem
        If the weights do not belong to the configuration.
    """
    path = Path(path)
    check_device(device)
    if not (path / "manifest.json").is_file():
        raise UsageProblem(f"{path}: no pre-trained encoder here (no manifest.json). Run the pretrain stage first.")
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    method = methods.get(str(manifest.get("method")))
    values = json.loads((path / "config.json").read_text(encoding="utf-8"))
    model = method.network(method.read_config(values))
    weights = load_file(path / "weights.safetensors")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        cause = " ".join(str(error).split())
        raise DataProblem(
            f"{path.name}/weights.safetensors",
            f"other tensors ({cause[:200]})",
            "those of the network in config.json",
            "Restore the folder (dvc checkout) or pre-train again.",
        ) from None
    return Encoder(model.to(device).eval().requires_grad_(False), manifest, method)


def _check_request(
    sources: Sequence[Segments], out: Path, device: str, method: Method, settings: PretrainSettings
) -> None:
    check_device(device)
    if not isinstance(settings, method.training):
        raise UsageProblem(
            f"{method.title} is trained by {method.training.__name__}, found {type(settings).__name__}. "
            "Give network and training of one method."
        )
    if not sources:
        raise UsageProblem("Pre-training needs at least one data set.")
    names = [segments.dataset for segments in sources]
    if len(set(names)) < len(names):
        raise UsageProblem(f"A data set may stand among the sources once, found {', '.join(sorted(names))}.")
    for what, values in (
        ("rate", [f"{segments.rate_hz:g} Hz" for segments in sources]),
        ("window length", [f"{segments.eeg.shape[-1]} samples" for segments in sources]),
    ):
        if method.one_windowing and len(set(values)) > 1:
            found = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
            raise UsageProblem(
                f"{method.title}: the sources must share one {what}, found {found}. Use stores of one windowing."
            )
    if out.exists() and not (out / "manifest.json").is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageProblem(f"{out}: exists and is no pre-trained encoder; it would be replaced. Choose another folder.")


def _check_tested_too(sources: Sequence[Segments], name: str | None, method: Method) -> None:
    if name is None:
        return
    if name not in (names := [segments.dataset for segments in sources]):
        raise UsageProblem(f"tested_too: '{name}' is no source.{did_you_mean(name, names)}")
    if method.labels != "none":
        raise UsageProblem(
            f"{method.title}'s pre-training reads {method.labels}: what it learns from cannot be tested on."
        )


@contextmanager
def _reproducible(threads: int) -> Iterator[None]:
    """The given number of threads, deterministic kernels and full float32, and afterwards what was set before."""
    filling: Any = torch.utils.deterministic
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), filling.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Every new tensor would be filled before it is written. It serves to find reads of what was never written.
    filling.fill_uninitialized_memory = False
    try:
        with without_tf32(), memory_kept():
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        filling.fill_uninitialized_memory = before[2]


def _rows_digest(segments: Segments) -> str:
    """Which segments of a store are used, in which order."""
    columns = (segments.subject, segments.session, segments.trial, segments.stimulus, segments.stimulus_time)
    return hashlib.sha256(b"".join(np.ascontiguousarray(column).tobytes() for column in columns)).hexdigest()


def _manifest(
    sources: Sequence[Segments],
    method: Method,
    objective: Objective,
    settings: PretrainSettings,
    cda_lambda: float | None,
    seed: int,
) -> dict[str, Any]:
    left_out: Mapping[str, int] = getattr(objective, "left_out", {})
    manifest: dict[str, Any] = {
        "method": method.name,
        "variant": objective.config.variant,
        "labels": method.labels,
        "datasets": {
            segments.dataset: {
                "store": segments.digest,
                # All that is in the store, also where segments are left out: nobody is called unseen by mistake.
                "subjects": [segments.subject_names[index] for index in np.unique(segments.subject)],
                "stimuli": [segments.stimulus_names[int(key)] for key in np.unique(segments.stimulus)],
                "segments": len(segments.subject),
                **({"left_out": left_out[segments.dataset]} if segments.dataset in left_out else {}),
                "rate_hz": float(segments.rate_hz),
                "window_samples": int(segments.eeg.shape[-1]),
            }
            for segments in sources
        },
        "windowing": sources[0].windowing,
        "settings": asdict(settings),
        "seed": seed,
        "versions": {"eegpipe": eegpipe.__version__, "torch": str(torch.__version__)},
    }
    if method.one_windowing:
        manifest |= {"rate_hz": float(sources[0].rate_hz), "window_samples": int(sources[0].eeg.shape[-1])}
    if method.name == "mdjpt":
        manifest["cda_lambda"] = float(weight_of_cda(objective.config, cda_lambda))
    return manifest


def _write_folder(out: Path, model: nn.Module, config: dict[str, Any], manifest: dict[str, Any], log: Log) -> None:
    staged, old = (out.with_name(f".{out.name}.{what}") for what in ("partial", "old"))
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    try:
        save_file(weights, staged / "weights.safetensors")
        (staged / "config.json").write_text(_json(config), encoding="utf-8")
        (staged / "log.csv").write_text(_table(log), encoding="utf-8")
        (staged / "README.md").write_text(model_card(manifest, config, log), encoding="utf-8")
        (staged / "manifest.json").write_text(_json(manifest), encoding="utf-8")
        # A folder cannot be renamed over a filled one, so the old model steps aside for an instant.
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        staged.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _write_table(path: Path, log: Log) -> None:
    write_file(path, _table(log).encode())


def _table(log: Log) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(log[0] if log else ["epoch", "loss"])
    for row in log:
        writer.writerow([value if name == "epoch" else f"{value:.6g}" for name, value in row.items()])
    return text.getvalue()
