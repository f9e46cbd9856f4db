"""Differential entropy, the few-shot classifier and nearest neighbour: what encoders are measured with and against.

torch is imported where it is used, so that reading settings stays quick.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil, e, isfinite, pi
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import numpy as np
from annotated_types import Ge, Gt, Lt

from eegpipe.errors import DataProblem, UsageProblem

if TYPE_CHECKING:
    import torch
    from torch import nn

# Hz, from (included) to (excluded): the bands of mdJPT's baseline.
BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 14.0), (14.0, 30.0), (30.0, 47.0))
_LEAST_VARIANCE_UV2 = 1e-6  # a flat channel has no entropy; far below any amplifier's noise
_CHUNK = 512  # segments transformed at once


def de_features(eeg: np.ndarray, rate_hz: float, bands: Sequence[tuple[float, float]] = BANDS) -> np.ndarray:
    """Differential entropy of a Gaussian, 0.5 ln(2 pi e variance), of every channel in every band.

    The variance in a band is the power of its Fourier bins. The window's mean is taken off and a Hann taper applied
    (its power is divided out): unlike a filter, this takes nothing from outside the window and has no edge transients.

    Parameters
    ----------
    eeg : (n, channel, time), microvolt
    rate_hz : float
        The true sampling rate.
    bands : sequence of (low, high), Hz
        low <= frequency < high.

    Returns
    -------
    (n, channel * band) float32
        Channel-major, nats (of a signal in microvolt).
    """
    samples = eeg.shape[-1]
    frequencies = np.arange(samples // 2 + 1) * rate_hz / samples
    rows = [(frequencies >= low) & (frequencies < high) for low, high in bands]
    for (low, high), row in zip(bands, rows, strict=True):
        if high > rate_hz / 2 or not row.any():
            raise UsageProblem(
                f"de: no band {low:g}-{high:g} Hz in windows of {samples} samples at {rate_hz:g} Hz. It needs a rate "
                f"of at least {2 * high:g} Hz and a frequency bin inside: choose other bands or longer windows."
            )
    taper = np.hanning(samples + 1)[:-1]
    # Each bin but 0 and the Nyquist frequency, which no band holds, stands for a positive and a negative frequency.
    scale = 2 / (samples * (taper**2).sum())
    bins_to_bands = np.stack(rows).astype(np.float64).T * scale
    variance = np.empty((*eeg.shape[:2], len(bands)))
    for first in range(0, len(eeg), _CHUNK):
        window = eeg[first : first + _CHUNK].astype(np.float64)
        window -= window.mean(axis=-1, keepdims=True)
        variance[first : first + _CHUNK] = np.abs(np.fft.rfft(window * taper)) ** 2 @ bins_to_bands
    entropy = 0.5 * np.log(2 * pi * e * np.maximum(variance, _LEAST_VARIANCE_UV2))
    return entropy.reshape(len(eeg), -1).astype(np.float32)


@dataclass(frozen=True)
class MlpSettings:
    """The few-shot classifier. Defaults: mdJPT's code."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # Units of the two hidden layers.
    hidden: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] = (128, 64)
    # After each hidden layer.
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    # Adam's step and coupled L2.
    learning_rate: Annotated[float, Gt(0)] = 5e-4
    weight_decay: Annotated[float, Ge(0)] = 2.2e-3
    # Segments per optimiser step.
    batch: Annotated[int, Ge(1)] = 256
    # Passes over the training part (the paper: 2 to 8, on data sets of 10,000 segments and more).
    epochs: Annotated[int, Ge(1)] = 8
    # Small training parts get more epochs, until at least so many optimiser steps were made.
    least_steps: Annotated[int, Ge(1)] = 200


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained classifier. ``curve``: per epoch the mean training loss and, if an epoch was chosen, its accuracy."""

    network: nn.Module
    epoch: int  # 1-based
    curve: list[tuple[float, float | None]]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, class) float64, rows sum to 1."""
        import torch

        with fixed_threads(1), torch.inference_mode():
            logits = self.network(torch.from_numpy(features.astype(np.float32)))
            return torch.softmax(logits.double(), dim=1).numpy()


def fit_mlp(
    features: np.ndarray,
    truth: np.ndarray,
    n_classes: int,
    settings: MlpSettings,
    *,
    seed: int,
    watch: tuple[np.ndarray, np.ndarray] | None = None,
) -> Fitted:
    """Train d -> 128 -> 64 -> classes with ReLU, dropout, Adam and cross-entropy on the CPU.

    Parameters
    ----------
    features : (n, d); truth : (n,) int, 0 to n_classes - 1
    watch : (features, truth) or None
        If given, the epoch with the best accuracy on it (the first of equals) is kept, else the last one.
    """
    import torch
    from torch import nn

    check_finite(features)
    first, second = settings.hidden
    x, y = torch.from_numpy(features.astype(np.float32)), torch.from_numpy(truth.astype(np.int64))
    with fixed_threads(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(x.shape[1], first),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(second, n_classes),
        )
        optimiser = torch.optim.Adam(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

        def loss_of(batch: torch.Tensor) -> tuple[torch.Tensor, int]:
            return nn.functional.cross_entropy(network(x[batch]), y[batch]), len(batch)

        def accuracy(known: tuple[np.ndarray, np.ndarray]) -> float:
            answers = network(torch.from_numpy(known[0].astype(np.float32))).argmax(dim=1).numpy()
            return float((answers == known[1]).mean())

        watched = None if watch is None else partial(accuracy, watch)
        kept, curve = run_epochs(network, optimiser, len(x), settings, loss_of, watched)
    return Fitted(network, kept, curve)


class Passes(Protocol):
    """How long to train: so many passes over the units of ``batch``, more where they make too few steps."""

    @property
    def batch(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def least_steps(self) -> int: ...


def run_epochs(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    count: int,
    passes: Passes,
    loss_of: Callable[[torch.Tensor], tuple[torch.Tensor, int]],
    watched: Callable[[], float] | None,
) -> tuple[int, list[tuple[float, float | None]]]:
    """Train ``network`` in place, for a fixed number of epochs or up to the best one.

    Parameters
    ----------
    count : int
        Units (segments or trials) of the training part, drawn in a new order in each epoch.
    loss_of : callable
        Positions of the units of a batch -> their mean loss and the number of segments that it is a mean of.
    watched : callable or None
        Accuracy on data that choose the epoch: the best one, the first of equals. None: the last epoch counts.

    Returns
    -------
    kept : int
        The epoch, from 1, whose weights the network has.
    curve : list
        Per epoch the mean training loss and the watched accuracy.

    Raises
    ------
    DataProblem
        If the loss becomes non-finite.
    """
    import torch

    epochs = max(passes.epochs, ceil(passes.least_steps / ceil(count / passes.batch)))
    curve: list[tuple[float, float | None]] = []
    best, kept = -1.0, epochs
    weights = network.state_dict()
    for epoch in range(1, epochs + 1):
        network.train()
        losses, segments = 0.0, 0
        for batch in torch.randperm(count).split(passes.batch):
            loss, of_segments = loss_of(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses += loss.item() * of_segments
            segments += of_segments
        mean = losses / segments
        if not isfinite(mean):
            cure = "Lower its learning_rate."
            raise DataProblem(f"training of the classifier, epoch {epoch}", f"loss {mean}", "a finite loss", cure)
        network.eval()
        accuracy = None
        if watched is not None:
            with torch.inference_mode():
                accuracy = watched()
            if accuracy > best:
                best, kept = accuracy, epoch
                weights = copy.deepcopy(network.state_dict())
        curve.append((mean, accuracy))
    if watched is not None:
        network.load_state_dict(weights)
    return kept, curve


def check_finite(features: np.ndarray) -> None:
    """:class:`DataProblem` if features of a training part are not numbers."""
    if not np.isfinite(features).all():
        cure = "Check the signal of the store; no classifier can be trained on these."
        raise DataProblem("features of the training part", "values that are not finite", "finite values", cure)


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """torch with so many threads: the order of sums, so the last digits of a result, depend on their number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def nearest_neighbour(
    known: np.ndarray, truth: np.ndarray, features: np.ndarray, n_classes: int, *, sharpness: float = 10.0
) -> np.ndarray:
    """Scores by cosine similarity to the nearest known segment of each class; the nearest of all has the largest score.

    Parameters
    ----------
    known : (m, d); truth : (m,) int; features : (n, d)
    sharpness : float
        Scores are softmax(sharpness * similarity). It changes neither the answer for a segment nor AUROC's order
        between two classes, only how much a segment counts in the mean of its trial.

    Returns
    -------
    (n, class) float64, rows sum to 1; 0 for a class without known segments.
    """
    similarity = _unit_rows(features) @ _unit_rows(known).T
    nearest = np.full((len(features), n_classes), -np.inf)
    for label in np.unique(truth):
        nearest[:, label] = similarity[:, truth == label].max(axis=1)
    scores = np.exp(sharpness * (nearest - nearest.max(axis=1, keepdims=True)))
    return scores / scores.sum(axis=1, keepdims=True)


def _unit_rows(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def class_prior(truth: np.ndarray, n_classes: int) -> np.ndarray:
    """(class,) share of each class in the training part: the answer of a classifier that looks at nothing."""
    return np.bincount(truth, minlength=n_classes) / len(truth)


@dataclass(frozen=True)
class ClassShares:
    """Answers for a whole test part from the training labels alone; no signal is read.

    ``majority``: all weight on the most frequent class, the first of equals. Else each class has its share, so the
    answer is the same and the scores of probabilities are those of no knowledge.
    """

    majority: bool

    def described(self) -> dict[str, Any]:
        """Settings: none."""
        return {}

    def probabilities(self, truth: np.ndarray, n_classes: int, count: int) -> np.ndarray:
        """(count, class) float64, all rows alike. ``truth`` : (n,) int, of the training part."""
        shares = class_prior(truth, n_classes)
        row = np.eye(n_classes)[shares.argmax()] if self.majority else shares
        return np.tile(row, (count, 1))
