"""Networks of braindecode, trained on the raw windows of a training part; the optional extra ``baselines``.

braindecode and torch are imported where they are used: settings are read, and other methods run, without them.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe.errors import UsageProblem
from eegpipe.models.baseline_settings import RAW_NETWORKS, RawSettings
from eegpipe.models.baselines import fixed_threads, run_epochs
from eegpipe.precision import check_device

if TYPE_CHECKING:
    import torch
    from torch import nn

    from eegpipe.loader import Segments

INSTALL = "Install it: pip install 'eegpipe[baselines]'."
_WINDOWS = 256  # answered at once
_LEAST_DEVIATION_UV = 1e-3  # a flat channel is divided by this


def missing(method: str) -> str | None:
    """Why ``method`` cannot run here, in one line; None if it can, or needs no braindecode. Imports nothing."""
    if method in RAW_NETWORKS and importlib.util.find_spec("braindecode") is None:
        return f"The method '{method}' needs the package braindecode, which is not installed. {INSTALL}"
    return None


def build(method: str, *, channels: int, n_classes: int, samples: int, rate_hz: float) -> nn.Module:
    """The untrained network: (n, channel, time) -> logits (n, class). Weights are drawn from torch's global generator.

    Raises
    ------
    UsageProblem
        braindecode is missing or cannot be imported, or the network cannot take such windows.
    """
    import torch

    if problem := missing(method):
        raise UsageProblem(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports; and that a network shortens its kernels for short windows
        try:
            kind = getattr(importlib.import_module("braindecode.models"), RAW_NETWORKS[method])
        except (ImportError, OSError, AttributeError) as error:
            raise UsageProblem(
                f"The method '{method}' needs braindecode, which is installed but cannot be used "
                f"({str(error).splitlines()[0]}). Its torchaudio must fit the installed torch: install both from the "
                f"same index."
            ) from None
        try:
            network = kind(n_chans=channels, n_outputs=n_classes, n_times=samples, sfreq=rate_hz)
            with torch.inference_mode():
                answered = network.eval()(torch.zeros(2, channels, samples)).shape
        except (ValueError, RuntimeError):
            answered = ()
    if tuple(answered) != (2, n_classes):
        raise UsageProblem(
            f"The method '{method}' ({kind.__name__}) cannot take windows of {samples} samples "
            f"({samples / rate_hz:g} s at {rate_hz:g} Hz) of {channels} channel{'s' * (channels > 1)}. Choose longer "
            "windows, or another method."
        )
    return network


@dataclass(frozen=True, eq=False)
class FittedRaw:
    """A trained network. ``curve``: per epoch the mean training loss and, if an epoch was chosen, its accuracy."""

    network: nn.Module
    mean: np.ndarray  # (channel,), of the training part
    deviation: np.ndarray
    device: str
    threads: int
    epoch: int  # 1-based
    curve: list[tuple[float, float | None]]

    def probabilities(self, segments: Segments) -> np.ndarray:
        """(n, class) float64, rows sum to 1. A segment's answer depends on no other segment."""
        import torch

        with fixed_threads(self.threads), torch.inference_mode():
            logits = _logits(self.network, segments.eeg, self.mean, self.deviation, self.device)
            return torch.softmax(logits.double(), dim=1).numpy()


@dataclass(frozen=True)
class RawNetwork:
    """One of ``RAW_NETWORKS``. Channels are z-scored with the mean and deviation of the training part."""

    method: str
    settings: RawSettings
    device: str = "cpu"
    threads: int = 1
    manifest = None  # nothing is pre-trained
    across = False  # no answer depends on other test segments

    def described(self) -> dict[str, Any]:
        """Every setting, in plain values, and the release of braindecode, whose defaults the networks have."""
        from importlib.metadata import version

        network = {"network": RAW_NETWORKS[self.method], "braindecode": version("braindecode")}
        return {"raw": network | asdict(self.settings), "encoder_threads": self.threads}

    def check(self, segments: Segments) -> None:
        """:class:`UsageProblem` if the network cannot be made for such windows, or there is no such device. Nothing is
        trained."""
        check_device(self.device)
        with _seeded(0, "cpu"):
            self._build(segments, 2)

    def _build(self, segments: Segments, n_classes: int) -> nn.Module:
        channels, samples = segments.eeg.shape[1:]
        rate_hz = segments.rate_hz
        return build(self.method, channels=channels, n_classes=n_classes, samples=samples, rate_hz=rate_hz)

    def fit(
        self, train: Segments, truth: np.ndarray, n_classes: int, watch: tuple[Segments, np.ndarray] | None, seed: int
    ) -> FittedRaw:
        """Train with AdamW and cross-entropy. ``watch``: the epoch with the best accuracy on it is kept.

        Raises
        ------
        UsageProblem
            As :func:`build`.
        """
        import torch
        from torch import nn

        mean, deviation = channel_statistics(train.eeg)
        eeg, y = torch.from_numpy(train.eeg), torch.from_numpy(truth.astype(np.int64)).to(self.device)
        with fixed_threads(self.threads), _seeded(seed, self.device):
            network = self._build(train, n_classes).to(self.device)
            optimiser = torch.optim.AdamW(
                network.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
            )

            def loss_of(batch: torch.Tensor) -> tuple[torch.Tensor, int]:
                logits = network(_scaled(eeg[batch], mean, deviation, self.device))
                return nn.functional.cross_entropy(logits, y[batch.to(self.device)]), len(batch)

            def accuracy(segments: Segments, known: np.ndarray) -> float:
                answers = _logits(network, segments.eeg, mean, deviation, self.device).argmax(dim=1).numpy()
                return float((answers == known).mean())

            watched = None if watch is None else partial(accuracy, *watch)
            kept, curve = run_epochs(network, optimiser, len(eeg), self.settings, loss_of, watched)
        return FittedRaw(network, mean, deviation, self.device, self.threads, kept, curve)


def channel_statistics(eeg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, two (channel,) float64 arrays; ``eeg`` : (n, channel, time), microvolt.

    A flat channel gets a small deviation. In pieces, so that no copy of all windows in double precision is made.
    """
    pieces = [eeg[first : first + _WINDOWS] for first in range(0, len(eeg), _WINDOWS)]
    count = len(eeg) * eeg.shape[2]
    mean = sum(piece.sum(axis=(0, 2), dtype=np.float64) for piece in pieces) / count
    squares = sum(((piece.astype(np.float64) - mean[:, None]) ** 2).sum(axis=(0, 2)) for piece in pieces)
    return mean, np.maximum(np.sqrt(squares / count), _LEAST_DEVIATION_UV)


def _scaled(eeg: torch.Tensor, mean: np.ndarray, deviation: np.ndarray, device: str) -> torch.Tensor:
    import torch

    centre, scale = (torch.from_numpy(values.astype(np.float32))[:, None].to(device) for values in (mean, deviation))
    return (eeg.to(device) - centre) / scale


def _logits(network: nn.Module, eeg: np.ndarray, mean: np.ndarray, deviation: np.ndarray, device: str) -> torch.Tensor:
    """(n, class), on the CPU."""
    import torch

    windows = torch.from_numpy(eeg).split(_WINDOWS)
    return torch.cat([network(_scaled(some, mean, deviation, device)).cpu() for some in windows])


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """torch's generators from ``seed``, and afterwards as before."""
    import torch

    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
        torch.manual_seed(seed)
        yield
