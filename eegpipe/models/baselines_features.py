"""Classifiers of features beside the shared one: logistic regression, and an LSTM along the segments of a trial.

Both get the features as the shared classifier gets them, normalised in the same way. Legend of shapes: n segments, d
features, c classes, b trials of a batch, t segments of the longest of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from eegpipe.errors import UsageProblem
from eegpipe.models.baseline_settings import LinearSettings, LstmSettings
from eegpipe.models.baselines import check_finite, fixed_threads, run_epochs

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_NO_CLASS = -100  # cross_entropy passes over it
_TRIALS = 256  # answered at once


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a fold.

    features : (n, d)
    trials : positions of the segments of each trial, in order of time
    """

    features: np.ndarray
    trials: Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """A converged logistic regression."""

    model: LogisticRegression
    n_classes: int
    curve: list[tuple[float, float | None]] = field(default_factory=list)

    def probabilities(self, part: Part) -> np.ndarray:
        """(n, class) float64, rows sum to 1; 0 for a class that the training part did not have."""
        scores = np.zeros((len(part.features), self.n_classes))
        with _one_blas_thread():
            scores[:, self.model.classes_] = self.model.predict_proba(part.features)
        return scores


@dataclass(frozen=True)
class LinearHead:
    """Multinomial logistic regression with an L2 penalty, to convergence. Nothing in it is random or needs an epoch."""

    settings: LinearSettings
    reads_past = False

    def described(self) -> dict[str, Any]:
        """Every setting, in plain values."""
        return {"linear": asdict(self.settings)}

    def fit(
        self,
        train: Part,
        truth: np.ndarray,
        n_classes: int,
        watch: tuple[Part, np.ndarray] | None,  # noqa: ARG002  (no epoch to choose)
        seed: int,  # noqa: ARG002  (nothing is random)
    ) -> FittedLinear:
        """Fit to ``train``; ``watch`` and ``seed`` change nothing.

        Raises
        ------
        DataProblem
            Features that are not finite.
        UsageProblem
            No convergence.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        check_finite(train.features)
        model = LogisticRegression(C=1 / self.settings.l2, max_iter=self.settings.most_iterations, tol=1e-4)
        with _one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(train.features, truth)
            except ConvergenceWarning:
                raise UsageProblem(
                    f"de_linear: no convergence in {self.settings.most_iterations} iterations. Raise "
                    "`most_iterations`, or `l2`, which makes the problem easier."
                ) from None
        return FittedLinear(model, n_classes)


def _one_blas_thread() -> Any:
    """scikit-learn's sums run in BLAS, whose last digits depend on the number of threads."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


class SequenceNetwork(nn.Module):
    """Dropout, LSTM in one direction, dropout, linear: an answer for every segment from it and the ones before it."""

    def __init__(self, d: int, n_classes: int, settings: LstmSettings) -> None:
        super().__init__()
        self.dropout = nn.Dropout(settings.dropout)
        between = settings.dropout if settings.layers > 1 else 0.0
        self.lstm = nn.LSTM(d, settings.hidden, settings.layers, batch_first=True, dropout=between)
        self.linear = nn.Linear(settings.hidden, n_classes)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """(b, t, d) -> logits (b, t, c). Padding belongs at the end, where no real segment sees it."""
        return self.linear(self.dropout(self.lstm(self.dropout(x_BTD))[0]))


@dataclass(frozen=True, eq=False)
class FittedLstm:
    """A trained LSTM. ``curve``: per epoch the mean training loss and, if an epoch was chosen, its accuracy."""

    network: SequenceNetwork
    n_classes: int
    epoch: int  # 1-based
    curve: list[tuple[float, float | None]]

    def probabilities(self, part: Part) -> np.ndarray:
        """(n, class) float64, rows sum to 1. Each trial starts from nothing."""
        with fixed_threads(1), torch.inference_mode():
            return torch.softmax(_logits(self.network, part, self.n_classes).double(), dim=1).numpy()


@dataclass(frozen=True)
class LstmHead:
    """An LSTM along the segments of each trial, with the cross-entropy of every segment; on the CPU, one thread."""

    settings: LstmSettings
    reads_past = True

    def described(self) -> dict[str, Any]:
        """Every setting, in plain values."""
        return {"lstm": asdict(self.settings)}

    def fit(
        self, train: Part, truth: np.ndarray, n_classes: int, watch: tuple[Part, np.ndarray] | None, seed: int
    ) -> FittedLstm:
        """Train on ``train``. ``watch``: the epoch with the best accuracy on it (the first of equals) is kept.

        Raises
        ------
        DataProblem
            Features that are not finite.
        """
        check_finite(train.features)
        settings = self.settings
        with fixed_threads(1), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SequenceNetwork(train.features.shape[1], n_classes, settings)
            optimiser = torch.optim.Adam(
                network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
            )
            sequences = _sequences(train)
            labels = [torch.from_numpy(truth[trial].astype(np.int64)) for trial in train.trials]

            def loss_of(batch: torch.Tensor) -> tuple[torch.Tensor, int]:
                x = nn.utils.rnn.pad_sequence([sequences[index] for index in batch], batch_first=True)
                y = nn.utils.rnn.pad_sequence([labels[index] for index in batch], True, _NO_CLASS)
                loss = nn.functional.cross_entropy(network(x).flatten(0, 1), y.flatten(), ignore_index=_NO_CLASS)
                return loss, int((y != _NO_CLASS).sum())

            def accuracy(part: Part, known: np.ndarray) -> float:
                return float((_logits(network, part, n_classes).argmax(dim=1).numpy() == known).mean())

            watched = None if watch is None else partial(accuracy, *watch)
            kept, curve = run_epochs(network, optimiser, len(sequences), settings, loss_of, watched)
        return FittedLstm(network, n_classes, kept, curve)


def _sequences(part: Part) -> list[torch.Tensor]:
    return [torch.from_numpy(part.features[trial].astype(np.float32)) for trial in part.trials]


def _logits(network: SequenceNetwork, part: Part, n_classes: int) -> torch.Tensor:
    """(n, c), in the order of the features."""
    logits = torch.empty(len(part.features), n_classes)
    sequences = _sequences(part)
    for first in range(0, len(sequences), _TRIALS):
        some = sequences[first : first + _TRIALS]
        answers = network(nn.utils.rnn.pad_sequence(some, batch_first=True))
        for own, trial in zip(answers, part.trials[first : first + _TRIALS], strict=True):
            logits[torch.from_numpy(trial)] = own[: len(trial)]
    return logits
