"""Methods without pre-training: their names and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

BaselineName = Literal["majority", "prior", "de_linear", "de", "de_lstm", "eegnet", "shallow", "deep4", "eegconformer"]

BASELINES: Mapping[str, str] = {
    "majority": "always the most frequent class of the training part",
    "prior": "the shares of the classes in the training part",
    "de_linear": "differential entropy, multinomial logistic regression",
    "de": "differential entropy in five bands, no encoder",
    "de_lstm": "differential entropy, an LSTM along each trial",
    "eegnet": "EEGNet of braindecode, trained on raw windows of the training part",
    "shallow": "ShallowFBCSPNet of braindecode, trained on raw windows of the training part",
    "deep4": "Deep4Net of braindecode, trained on raw windows of the training part",
    "eegconformer": "EEGConformer of braindecode, trained on raw windows of the training part",
}

# Those that can also learn from other data sets (eegpipe/across.py). Networks on raw windows need one montage.
ACROSS_BASELINES = ("de_linear", "de")

# The class of each network in braindecode.models.
RAW_NETWORKS: Mapping[str, str] = {
    "eegnet": "EEGNet",
    "shallow": "ShallowFBCSPNet",
    "deep4": "Deep4Net",
    "eegconformer": "EEGConformer",
}


@dataclass(frozen=True)
class LinearSettings:
    """Multinomial logistic regression of features (``de_linear``)."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # Half of this times the sum of squared weights is added to the sum of cross-entropies (scikit-learn's 1 / C).
    l2: Annotated[float, Gt(0)] = 1.0
    # Of L-BFGS; a fit that has not converged by then is an error.
    most_iterations: Annotated[int, Ge(1)] = 5000


@dataclass(frozen=True)
class LstmSettings:
    """An LSTM over the segments of a trial (``de_lstm``)."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    hidden: Annotated[int, Ge(1)] = 64
    layers: Annotated[int, Ge(1)] = 1
    # Of the features and of what the LSTM gives to the linear layer.
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    # Adam's step and coupled L2.
    learning_rate: Annotated[float, Gt(0)] = 2e-3
    weight_decay: Annotated[float, Ge(0)] = 2.2e-3
    # Trials per optimiser step.
    batch: Annotated[int, Ge(1)] = 16
    # Passes over the training part; small ones get more, until at least so many optimiser steps were made.
    epochs: Annotated[int, Ge(1)] = 8
    least_steps: Annotated[int, Ge(1)] = 200


@dataclass(frozen=True)
class RawSettings:
    """Training of braindecode's networks on raw windows; what the networks are is braindecode's default."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # AdamW's step and decoupled decay.
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 1e-2
    # Windows per optimiser step.
    batch: Annotated[int, Ge(2)] = 64
    # Passes over the training part; small ones get more, until at least so many optimiser steps were made.
    epochs: Annotated[int, Ge(1)] = 30
    least_steps: Annotated[int, Ge(1)] = 200


@dataclass(frozen=True)
class BaselineSettings:
    """Of the baselines that do not use the classifier that all methods share."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    linear: LinearSettings = LinearSettings()
    lstm: LstmSettings = LstmSettings()
    raw: RawSettings = RawSettings()
