"""Pre-training: one loop for all methods, checkpoints, and the folder that an encoder lives in.

An encoder's folder holds ``weights.safetensors``, ``config.json`` (enough to rebuild the network), ``log.csv`` (the
loss and its terms, mean over each epoch), ``manifest.json`` (every subject and stimulus it has seen; evaluation refuses
an overlap) and ``README.md`` (the model card). It appears complete or not at all.

What is reproducible: every draw is a function of (seed, number of the draw) and nothing else in training is random, so
a run that was killed and started again ends in the same bytes as one that was not. On one kind of CPU, with one torch
version and one number of threads (fixed by the ``threads`` argument, not by the machine), weights are the same bytes.
Between kinds of CPU, numbers of threads or devices, sums round differently and weights agree only roughly.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import eegpipe
from eegpipe import progress
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.fingerprint import code_digest, digest
from eegpipe.loader import Segments
from eegpipe.models.card import model_card
from eegpipe.models.mdjpt import Mdjpt, MdjptConfig, MdjptObjective, extract_features
from eegpipe.models.settings import CDA_LAMBDA, PretrainSettings

__all__ = ["Encoder", "Objective", "PretrainSettings", "fit", "load_pretrained", "pretrain"]

# Source files whose change makes a checkpoint worthless.
_CODE = ("eegpipe.train", "eegpipe.losses", "eegpipe.samplers", "eegpipe.models", "eegpipe.channels")


class Objective(Protocol):
    """What a method gives to the loop: the network and, for each draw, the terms of the loss."""

    @property
    def model(self) -> nn.Module: ...

    def __call__(self, number: int) -> dict[str, Tensor]:
        """Scalar terms of the ``number``-th draw; ``loss`` is minimised, the others are logged. A term that belongs to
        one data set ends in ``_<data set>``."""
        ...


def pretrain(
    sources: Sequence[Segments],
    out: Path,
    *,
    config: MdjptConfig,
    settings: PretrainSettings,
    cda_lambda: float | None = None,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Pre-train mdJPT on several data sets and write the encoder's folder.

    Parameters
    ----------
    sources : sequence of Segments
        One per data set, all of one rate and one window length. Their order does not matter.
    out : Path
        The folder to write; an earlier encoder there is replaced. While training runs, a checkpoint lies beside it
        (``.<name>.checkpoint``); the same call continues from it after a kill.
    config : MdjptConfig
    settings : PretrainSettings
    cda_lambda : float or None
        Weight of CDA; None: the variant's (0.02 described, 0.01 released).
    seed : int
        Of the initial weights and the draws.
    device : str
        torch's name: ``cpu``, ``cuda``, ``cuda:1``.
    threads : int
        torch's threads on the CPU. Part of the result in its last digits, hence no property of the machine. Where other
        programs use the cores too, two are slower than one (measured: eight times).

    Raises
    ------
    DataProblem
        If a data set cannot be used (one subject, no shared stimuli, no scalp channel, flat or non-finite signal), or
        a loss becomes non-finite.
    UsageProblem
        If ``out`` is something else than an encoder, the sources do not fit together, or the device does not exist.
    """
    out = Path(out)
    _check_request(sources, out, device)
    sources = sorted(sources, key=lambda segments: segments.dataset)
    config = config.resolved()
    weight = CDA_LAMBDA[config.variant] if cda_lambda is None else cda_lambda
    manifest = _manifest(sources, config, settings, weight, seed)
    checkpoint = out.with_name(f".{out.name}.checkpoint")
    rows = [_rows_digest(segments) for segments in sources]
    identity = digest(manifest, asdict(config), rows, device, threads, code_digest(*_CODE, packages=("torch",)))
    with _reproducible(threads):
        objective = MdjptObjective(
            sources, config, cda_lambda=weight, most_stimuli=settings.most_stimuli, seed=seed, device=device
        )
        objective.model.recompute = settings.recompute
        log = fit(objective, settings, title="pre-training mdJPT", checkpoint=checkpoint, identity=identity)
    _write_folder(out, objective.model, config, manifest, log)
    checkpoint.unlink(missing_ok=True)


def fit(
    objective: Objective, settings: PretrainSettings, *, title: str, checkpoint: Path, identity: str
) -> list[dict[str, float]]:
    """Minimise with Adam; returns the mean of every term for each epoch.

    After each epoch the state is written to ``checkpoint`` (beside, then renamed). A checkpoint of the same
    ``identity`` is continued, any other is ignored and overwritten.

    Raises
    ------
    DataProblem
        If a term is not finite, with epoch, step and data set.
    """
    model = objective.model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    log = _resume(checkpoint, identity, model, optimiser)
    steps = settings.steps_per_epoch
    with progress.bar(title, settings.epochs * steps) as advance:
        if log:
            advance(len(log) * steps)
        for epoch in range(len(log), settings.epochs):
            total: dict[str, float] = {}
            for step in range(steps):
                optimiser.zero_grad()
                for draw in range(settings.draws_per_step):
                    terms = objective((epoch * steps + step) * settings.draws_per_step + draw)
                    values = {name: term.item() for name, term in terms.items()}
                    _check_finite(values, epoch, step)
                    (terms["loss"] / settings.draws_per_step).backward()
                    total = {name: total.get(name, 0.0) + value for name, value in values.items()}
                if settings.gradient_clip:
                    nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
                optimiser.step()
                advance(
                    note=", ".join(f"{name} {values[name]:.3f}" for name in ("loss", "isa", "cda") if name in values)
                )
            draws = steps * settings.draws_per_step
            log.append({"epoch": epoch + 1} | {name: value / draws for name, value in total.items()})
            _save_checkpoint(checkpoint, identity, model, optimiser, log)
    return log


@dataclass
class Encoder:
    """A frozen pre-trained network with what it was made from.

    manifest : dict
        ``method``, ``variant``, ``datasets`` (for each: ``store`` digest, ``subjects``, ``stimuli`` by name),
        ``rate_hz``, ``settings``, ``cda_lambda``, ``seed``.
    """

    model: Mdjpt
    manifest: dict[str, Any]

    @property
    def width(self) -> int:
        """Numbers per segment."""
        return self.model.config.maps

    def features(self, segments: Segments) -> np.ndarray:
        """(n, width) float32; which windows are normalised together: :func:`models.mdjpt.extract_features`.

        Raises
        ------
        DataProblem
            If the rate differs from that of pre-training, or the data cannot be used.
        """
        if segments.rate_hz != self.manifest["rate_hz"]:
            raise DataProblem(
                f"{segments.dataset}: segments",
                f"{segments.rate_hz:g} Hz",
                f"{self.manifest['rate_hz']:g} Hz, as in pre-training",
                "Use segments of the windowing that the encoder was pre-trained on.",
            )
        return extract_features(self.model, segments)


def load_pretrained(path: Path | str, *, device: str = "cpu") -> Encoder:
    """The encoder in a folder that :func:`pretrain` wrote.

    Raises
    ------
    UsageProblem
        If there is no such folder or device, or it holds no encoder.
    DataProblem
        If the weights do not belong to the configuration.
    """
    path = Path(path)
    _check_device(device)
    if not (path / "manifest.json").is_file():
        raise UsageProblem(f"{path}: no pre-trained encoder here (no manifest.json). Run the pretrain stage first.")
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    values = json.loads((path / "config.json").read_text(encoding="utf-8"))
    model = Mdjpt(MdjptConfig(**values | {"dilations": tuple(values["dilations"])}))
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
    return Encoder(model.to(device).eval().requires_grad_(False), manifest)


def _check_request(sources: Sequence[Segments], out: Path, device: str) -> None:
    _check_device(device)
    if not sources:
        raise UsageProblem("Pre-training needs at least one data set.")
    names = [segments.dataset for segments in sources]
    if len(set(names)) < len(names):
        raise UsageProblem(f"A data set may stand among the sources once, found {', '.join(sorted(names))}.")
    for what, values in (
        ("rate", [f"{segments.rate_hz:g} Hz" for segments in sources]),
        ("window length", [f"{segments.eeg.shape[-1]} samples" for segments in sources]),
    ):
        if len(set(values)) > 1:
            found = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
            raise UsageProblem(f"The sources must share one {what}, found {found}. Use stores of one windowing.")
    if out.exists() and not (out / "manifest.json").is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageProblem(f"{out}: exists and is no pre-trained encoder; it would be replaced. Choose another folder.")


def _check_device(device: str) -> None:
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageProblem(f"Unknown device '{device}'. Use cpu, cuda or cuda:<number>.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageProblem(f"Device '{device}': torch finds no GPU here. Use cpu.")


@contextmanager
def _reproducible(threads: int) -> Iterator[None]:
    """The given number of threads and deterministic kernels, and afterwards what was set before."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def _check_finite(values: dict[str, float], epoch: int, step: int) -> None:
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise DataProblem(
            f"pre-training, epoch {epoch + 1}, step {step + 1}",
            ", ".join(f"{name} = {values[name]}" for name in bad),
            "finite losses (a term isa_<name> belongs to that data set)",
            "Look at that data set's segments, lower learning_rate, or set gradient_clip (1.0 is a usual value).",
        )


def _resume(
    checkpoint: Path, identity: str, model: nn.Module, optimiser: torch.optim.Optimizer
) -> list[dict[str, float]]:
    """Load a checkpoint of the same identity into model and optimiser; returns its log, empty if there is none."""
    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        return []
    except (RuntimeError, EOFError, pickle.UnpicklingError):  # not ours, or damaged: training again gives the same
        return []
    if state.get("identity") != identity:
        return []
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["log"]


def _save_checkpoint(
    checkpoint: Path, identity: str, model: nn.Module, optimiser: torch.optim.Optimizer, log: list[dict[str, float]]
) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    partial = checkpoint.with_name(f"{checkpoint.name}.partial")
    state = {"identity": identity, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "log": log}
    torch.save(state, partial)
    partial.replace(checkpoint)


def _rows_digest(segments: Segments) -> str:
    """Which segments of a store are used, in which order."""
    columns = (segments.subject, segments.session, segments.trial, segments.stimulus, segments.stimulus_time)
    return hashlib.sha256(b"".join(np.ascontiguousarray(column).tobytes() for column in columns)).hexdigest()


def _manifest(
    sources: Sequence[Segments], config: MdjptConfig, settings: PretrainSettings, cda_lambda: float, seed: int
) -> dict[str, Any]:
    return {
        "method": "mdjpt",
        "variant": config.variant,
        "datasets": {
            segments.dataset: {
                "store": segments.digest,
                "subjects": [segments.subject_names[index] for index in np.unique(segments.subject)],
                "stimuli": [segments.stimulus_names[int(key)] for key in np.unique(segments.stimulus)],
                "segments": len(segments.subject),
            }
            for segments in sources
        },
        "windowing": sources[0].windowing,
        "rate_hz": float(sources[0].rate_hz),
        "window_samples": int(sources[0].eeg.shape[-1]),
        "settings": asdict(settings),
        "cda_lambda": float(cda_lambda),
        "seed": seed,
        "versions": {"eegpipe": eegpipe.__version__, "torch": str(torch.__version__)},
    }


def _write_folder(
    out: Path, model: nn.Module, config: MdjptConfig, manifest: dict[str, Any], log: list[dict[str, float]]
) -> None:
    staged = out.with_name(f".{out.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, staged / "weights.safetensors")
    (staged / "config.json").write_text(_json(asdict(config)), encoding="utf-8")
    (staged / "log.csv").write_text(_table(log), encoding="utf-8")
    (staged / "README.md").write_text(model_card(manifest, config, log), encoding="utf-8")
    (staged / "manifest.json").write_text(_json(manifest), encoding="utf-8")
    if out.exists():
        shutil.rmtree(out)
    staged.rename(out)


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _table(log: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(log[0] if log else ["epoch", "loss"])
    for row in log:
        writer.writerow([value if name == "epoch" else f"{value:.6g}" for name, value in row.items()])
    return text.getvalue()
