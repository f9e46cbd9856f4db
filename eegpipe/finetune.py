"""Fine-tuning on a target's training part, each method as its paper does, behind one interface.

A fine-tuned classifier is trained in every fold anew, from the same pre-trained encoder. It is given the training part,
the validation part if the split has one, and nothing of the test part but the segments that it is to answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from eegpipe.errors import UsageProblem, did_you_mean
from eegpipe.models.art_settings import FineTuneSettings, GatConfig
from eegpipe.models.emod_settings import EmodFineTuning

if TYPE_CHECKING:
    from eegpipe.loader import Segments
    from eegpipe.train import Encoder

# What a method's results are called when it is fine-tuned.
SUFFIX = "_finetuned"
WORDS = {
    "emod": "EMOD, encoder and a linear classifier trained together on the training subjects",
    "art": "ART + GAT, the classifier over channels trained on the training subjects",
}


class Fitted(Protocol):
    """A trained classifier. ``curve``: per epoch the training loss and, where validation data chose, its score."""

    @property
    def curve(self) -> Sequence[tuple[float, float | None]]: ...

    def probabilities(self, segments: Segments) -> np.ndarray:
        """(n, class) float64, rows sum to 1."""
        ...


class Trainer(Protocol):
    """``across``: whether an answer depends on the other segments of the test subject's session that are given."""

    @property
    def manifest(self) -> Mapping[str, Any] | None:
        """What a pre-trained encoder has seen; None without one."""
        ...

    @property
    def across(self) -> bool: ...

    def described(self) -> dict[str, Any]:
        """Every setting, in plain values."""
        ...

    def fit(
        self, train: Segments, truth: np.ndarray, n_classes: int, watch: tuple[Segments, np.ndarray] | None, seed: int
    ) -> Fitted:
        """Train on ``train``; ``watch``: the validation part of the fold, None where the split has none."""
        ...


class FineTuner(Trainer, Protocol):
    """A trainer that starts from a pre-trained encoder."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the pre-trained encoder has seen."""
        ...


@dataclass(frozen=True)
class _Tuner:
    """What both have: the pre-trained encoder, and where to train."""

    encoder: Encoder
    device: str
    threads: int

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.encoder.manifest

    @property
    def across(self) -> bool:
        return self.encoder.across

    def start(self, *, scratch: bool) -> Any:
        """The pre-trained network, or the settings of one that starts from random weights."""
        return self.encoder.model.config if scratch else self.encoder.model


@dataclass(frozen=True)
class EmodFineTuner(_Tuner):
    """EMOD's: validation segments choose the epoch by Cohen's kappa; without any the last one counts."""

    settings: EmodFineTuning

    def described(self) -> dict[str, Any]:
        return {"finetune": asdict(self.settings.resolved())}

    def fit(
        self, train: Segments, truth: np.ndarray, n_classes: int, watch: tuple[Segments, np.ndarray] | None, seed: int
    ) -> Fitted:
        from eegpipe.models.emod_finetune import fine_tune

        return fine_tune(
            self.start(scratch=self.settings.scratch),
            train,
            truth,
            n_classes,
            self.settings,
            seed=seed,
            watch=watch,
            device=self.device,
            threads=self.threads,
        )


@dataclass(frozen=True)
class ArtFineTuner(_Tuner):
    """ART's: validation windows choose the checkpoints; without any, some trials of the training part do."""

    settings: FineTuneSettings
    graph: GatConfig

    def described(self) -> dict[str, Any]:
        return {"finetune": asdict(self.settings), "graph": asdict(self.graph)}

    def fit(
        self, train: Segments, truth: np.ndarray, n_classes: int, watch: tuple[Segments, np.ndarray] | None, seed: int
    ) -> Fitted:
        from eegpipe.finetune_art import fine_tune

        return fine_tune(
            self.start(scratch=self.settings.scratch),
            train,
            truth,
            n_classes,
            graph=self.graph,
            settings=self.settings,
            validation=watch,
            seed=seed,
            device=self.device,
            threads=self.threads,
        )


def fine_tuner(
    encoder: Encoder,
    *,
    settings: EmodFineTuning | FineTuneSettings | None = None,
    graph: GatConfig | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> FineTuner:
    """The fine-tuner of the encoder's method.

    Parameters
    ----------
    settings : EmodFineTuning, FineTuneSettings or None
        Of the same method; None: the paper's.
    graph : GatConfig or None
        ART's classifier over channels; None: the paper's.

    Raises
    ------
    UsageProblem
        If the method has no fine-tuning, or the settings are those of another one.
    """
    match encoder.method.name, settings:
        case "emod", EmodFineTuning() | None:
            return EmodFineTuner(encoder, device, threads, settings or EmodFineTuning())
        case "art", FineTuneSettings() | None:
            return ArtFineTuner(encoder, device, threads, settings or FineTuneSettings(), graph or GatConfig())
        case name, _ if name in WORDS:
            raise UsageProblem(f"{type(settings).__name__} holds no settings of fine-tuning '{name}'.")
        case name, _:
            raise UsageProblem(f"The method '{name}' has no fine-tuning of its own.{did_you_mean(name, WORDS)}")
