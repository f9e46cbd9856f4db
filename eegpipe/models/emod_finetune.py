"""EMOD on a target: encoder and classifier trained together.

Unlike the features of a frozen encoder, the network itself changes for every fold. Which epoch is kept is decided by
Cohen's kappa on validation segments, never on those that are tested.

Shapes: B windows, C channels, T samples, M tokens, D width of a token.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import Segments
from eegpipe.metrics import kappa
from eegpipe.models.baselines import fixed_threads
from eegpipe.models.emod import WINDOWS_AT_ONCE, AttentionPool, Emod, EmodConfig, channel_ids
from eegpipe.models.emod_settings import EmodFineTuning

# A frozen encoder's tokens of the training part are kept if they take no more than this, else computed each time.
KEPT_BYTES = 2**30

__all__ = ["EmodClassifier", "FineTunedEmod", "fine_tune"]


class EmodClassifier(nn.Module):
    """An encoder (copied, without the head of pre-training) and a classifier; (B, C, T) -> logits (B, class).

    Parameters
    ----------
    encoder : Emod
    n_classes : int
    channels, tokens : int
        Of the target; the code's heads for SEED, SEED-V and FACED are made for one number of each.
    dataset : str
        The target's name: the public code has one head for each.
    settings : EmodFineTuning
    """

    def __init__(
        self, encoder: Emod, n_classes: int, channels: int, tokens: int, dataset: str, settings: EmodFineTuning
    ) -> None:
        super().__init__()
        settings = settings.resolved()
        self.encoder = copy.deepcopy(encoder)
        del self.encoder.project_in, self.encoder.project_norm, self.encoder.project_out
        kind = dataset if settings.head == "by data set" else "linear"
        self.head = _head(kind, self.encoder.config.hidden, n_classes, channels, tokens, settings.dropout)
        if isinstance(self.head, PooledHead):
            # The pools of the head begin as those of pre-training; without one they are as random as any.
            self.head.channel_pool.score.load_state_dict(self.encoder.channel_pool.score.state_dict())
            if self.head.time_pool is not None:
                self.head.time_pool.score.load_state_dict(self.encoder.time_pool.score.state_dict())
        del self.encoder.channel_pool, self.encoder.time_pool

    def forward(self, x_BCT: Tensor, ids: Tensor, tokens: int) -> Tensor:
        return self.head(self.encoder.encode(x_BCT, ids, tokens))


class PooledHead(nn.Module):
    """Attention pool over channels, then over time (or all times side by side), then ``layers``."""

    def __init__(self, hidden: int, dropout: float, layers: nn.Module, *, over_time: bool) -> None:
        super().__init__()
        self.channel_pool = AttentionPool(hidden, dropout)
        self.time_pool = AttentionPool(hidden, dropout) if over_time else None
        self.layers = layers

    def forward(self, x_BCMD: Tensor) -> Tensor:
        x_BMD = self.channel_pool(x_BCMD, dim=1)
        return self.layers(self.time_pool(x_BMD, dim=1) if self.time_pool is not None else x_BMD.flatten(1))


class FlatHead(nn.Module):
    """Every token of every channel side by side, or the mean of its features (``mean``), then ``layers``."""

    def __init__(self, layers: nn.Module, *, mean: bool) -> None:
        super().__init__()
        self.mean, self.layers = mean, layers

    def forward(self, x_BCMD: Tensor) -> Tensor:
        return self.layers((x_BCMD.mean(dim=-1) if self.mean else x_BCMD).flatten(1))


def _perceptron(widths: Sequence[int], dropout: float, first: float = 0.0) -> nn.Sequential:
    """Linear layers with ELU and dropout between them; ``first``: dropout before them."""
    layers: list[nn.Module] = [nn.Dropout(first)] if first else []
    for index, (wide, narrow) in enumerate(pairwise(widths)):
        layers += [nn.ELU(), nn.Dropout(dropout)] if index else []
        layers.append(nn.Linear(wide, narrow))
    return nn.Sequential(*layers)


def _head(kind: str, hidden: int, n_classes: int, channels: int, tokens: int, dropout: float) -> nn.Module:
    match kind:
        case "linear":
            layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, n_classes))
            return PooledHead(hidden, dropout, layers, over_time=True)
        case "faced":
            layers = _perceptron([tokens * hidden, 4 * hidden, hidden, n_classes], dropout, first=dropout)
            return PooledHead(hidden, dropout, layers, over_time=False)
        case "seed":
            return FlatHead(_perceptron([channels * tokens, 64, n_classes], 0.5), mean=True)
        case "seed_v":
            width = channels * tokens * hidden
            return FlatHead(_perceptron([width, width // 16, 128, n_classes], 0.5), mean=False)
        case _:
            layers = _perceptron([hidden, 64, n_classes], dropout)
            return PooledHead(hidden, dropout, layers, over_time=True)


@dataclass(frozen=True, eq=False)
class FineTunedEmod:
    """A trained classifier.

    ``curve``: per epoch the mean training loss and, if an epoch was chosen, its kappa on the validation part.
    """

    network: EmodClassifier
    epoch: int  # 1-based, the one that was kept
    curve: list[tuple[float, float | None]]
    channels: tuple[str, ...]
    threads: int

    def probabilities(self, segments: Segments) -> np.ndarray:
        """(n, class) float64, rows sum to 1; each segment by itself.

        Raises
        ------
        DataProblem
            If the segments have other channels than those trained on.
        """
        if segments.channels != self.channels:
            raise DataProblem(
                f"{segments.dataset}: channels",
                ", ".join(segments.channels),
                ", ".join(self.channels),
                "Fine-tune and test on segments of one store.",
            )
        with fixed_threads(self.threads), torch.inference_mode():
            logits = _logits(self.network.eval(), segments)
            return torch.softmax(logits.double(), dim=1).cpu().numpy()


def fine_tune(
    encoder: Emod | EmodConfig,
    train: Segments,
    truth: np.ndarray,
    n_classes: int,
    settings: EmodFineTuning,
    *,
    seed: int,
    watch: tuple[Segments, np.ndarray] | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> FineTunedEmod:
    """Train a classifier on top of a pre-trained encoder, and the encoder with it.

    Parameters
    ----------
    encoder : Emod or EmodConfig
        Pre-trained weights (left as they are), or the configuration of a network that starts from random ones.
    train : Segments
        The training part only.
    truth : (n,) int, 0 to n_classes - 1
    seed : int
        Of new weights, batches and dropout.
    watch : (Segments, truth) or None
        Validation segments. If given, the epoch with the best kappa on them (the first of equals) is kept, and training
        ends after ``patience`` epochs without a better one; else the last epoch is kept.
    threads : int
        torch's threads on the CPU; part of the result in its last digits.

    Raises
    ------
    UsageProblem
        If there are no training segments, labels are out of range, or windows do not fit the network.
    DataProblem
        If the loss becomes non-finite.
    """
    settings = settings.resolved()
    _check(train, truth, n_classes)
    if watch is not None:
        _check(*watch, n_classes)
    scratch = isinstance(encoder, EmodConfig)
    devices = [] if torch.device(device).type == "cpu" else [torch.device(device)]
    with fixed_threads(threads), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        start = Emod(encoder) if isinstance(encoder, EmodConfig) else encoder
        config = start.config
        tokens = config.tokens(train.eeg.shape[-1], train.rate_hz)
        network = EmodClassifier(start, n_classes, len(train.channels), tokens, train.dataset, settings).to(device)
        network.requires_grad_()
        network.encoder.requires_grad_(settings.encoder_rate > 0)
        optimiser = _optimiser(network, settings, scratch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs, eta_min=settings.final_rate)
        ids = torch.from_numpy(channel_ids(config, train.channels, where=train.dataset)).to(device)
        labels = torch.from_numpy(truth.astype(np.int64))
        frozen = settings.encoder_rate == 0
        kept_tokens = None
        if frozen and 4 * len(train) * len(train.channels) * tokens * config.hidden <= KEPT_BYTES:
            kept_tokens = _encoded(network.eval(), train, ids, tokens)
        curve: list[tuple[float, float | None]] = []
        best, kept, weights = -np.inf, 0, None
        for epoch in range(1, settings.epochs + 1):
            network.train()
            if frozen:  # its dropout rests too: the same tokens whether they are kept or not
                network.encoder.eval()
            loss = _one_epoch(network, train, labels, ids, tokens, optimiser, settings, kept_tokens)
            if not np.isfinite(loss):
                raise DataProblem(
                    f"{train.dataset}: fine-tuning, epoch {epoch}",
                    f"loss = {loss}",
                    "a finite loss",
                    "Look at the training segments, or lower head_rate and encoder_rate.",
                )
            schedule.step()
            score = None
            if watch is not None:
                score = _kappa(network.eval(), *watch, n_classes)
                if score > best:
                    best, kept, weights = score, epoch, copy.deepcopy(network.state_dict())
            curve.append((loss, score))
            if watch is not None and 0 < settings.patience <= epoch - kept:
                break
        if weights is not None:
            network.load_state_dict(weights)
    return FineTunedEmod(network.eval(), kept or len(curve), curve, train.channels, threads)


def _check(segments: Segments, truth: np.ndarray, n_classes: int) -> None:
    if not len(segments) or len(segments) != len(truth) or truth.min() < 0 or truth.max() >= n_classes:
        raise UsageProblem(
            f"emod: fine-tuning on {segments.dataset} needs segments, each with a label from 0 to {n_classes - 1}; "
            f"found {len(segments)} segments and {len(truth)} labels."
        )


def _optimiser(network: EmodClassifier, settings: EmodFineTuning, scratch: bool) -> torch.optim.Optimizer:
    if scratch and settings.scratch_optimiser == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=settings.head_rate, weight_decay=settings.weight_decay)
    groups = [
        {"params": list(network.head.parameters()), "lr": settings.head_rate},
        {"params": [one for one in network.encoder.parameters() if one.requires_grad], "lr": settings.encoder_rate},
    ]
    return torch.optim.Adam([group for group in groups if group["params"]], weight_decay=settings.weight_decay)


def _one_epoch(
    network: EmodClassifier,
    train: Segments,
    labels: Tensor,
    ids: Tensor,
    tokens: int,
    optimiser: torch.optim.Optimizer,
    settings: EmodFineTuning,
    kept_tokens: Tensor | None,
) -> float:
    """The mean loss. ``kept_tokens``: of all training segments, (n, C, M, D), if the encoder need not run again."""
    total = 0.0
    for rows in torch.randperm(len(train)).split(settings.batch):
        if kept_tokens is not None:
            logits = network.head(kept_tokens[rows.to(ids.device)])
        else:
            x_BCT = torch.from_numpy(np.asarray(train.eeg[rows.numpy()], dtype=np.float32)).to(ids.device)
            logits = network(x_BCT, ids, tokens)
        loss = functional.cross_entropy(logits, labels[rows].to(ids.device), label_smoothing=settings.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        if settings.gradient_clip:
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        optimiser.step()
        total += loss.item() * len(rows)
    return total / len(train)


@torch.no_grad()
def _encoded(network: EmodClassifier, segments: Segments, ids: Tensor, tokens: int) -> Tensor:
    """Tokens of all segments, (n, C, M, D)."""
    pieces = []
    for start in range(0, len(segments), WINDOWS_AT_ONCE):
        eeg = np.asarray(segments.eeg[start : start + WINDOWS_AT_ONCE], dtype=np.float32)
        pieces.append(network.encoder.encode(torch.from_numpy(eeg).to(ids.device), ids, tokens))
    return torch.cat(pieces)


@torch.inference_mode()
def _logits(network: EmodClassifier, segments: Segments) -> Tensor:
    config = network.encoder.config
    tokens = config.tokens(segments.eeg.shape[-1], segments.rate_hz)
    device = next(network.parameters()).device
    ids = torch.from_numpy(channel_ids(config, segments.channels, where=segments.dataset)).to(device)
    pieces = []
    for start in range(0, len(segments), WINDOWS_AT_ONCE):
        eeg = np.asarray(segments.eeg[start : start + WINDOWS_AT_ONCE], dtype=np.float32)
        pieces.append(network(torch.from_numpy(eeg).to(device), ids, tokens))
    return torch.cat(pieces)


def _kappa(network: EmodClassifier, segments: Segments, truth: np.ndarray, n_classes: int) -> float:
    answer = _logits(network, segments).argmax(dim=1).cpu().numpy()
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, (truth, answer), 1)
    # One class on both sides: right everywhere, and yet no more than chance.
    return float(np.nan_to_num(kappa(confusion)))
