"""The methods that are pre-trained: what pre-training, loading, evaluation and the report must know of each.

A method is one entry of ``METHODS``. Its network is imported when it is asked for: reading this table needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eegpipe.errors import UsageProblem, did_you_mean
from eegpipe.models.art_settings import ArtConfig, ArtTraining
from eegpipe.models.emod_settings import EmodConfig, EmodTraining
from eegpipe.models.settings import CDA_LAMBDA, MdjptConfig, MdjptTraining, PretrainSettings

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from eegpipe.loader import Segments
    from eegpipe.train import Objective

MethodConfig = MdjptConfig | EmodConfig | ArtConfig


@dataclass(frozen=True)
class Request:
    """What an objective is built from.

    sources : one per data set, ordered by name
    channels_of : channels of further data sets in play, normally of the target; nothing else of them is used
    """

    sources: Sequence[Segments]
    config: Any
    settings: Any
    cda_lambda: float | None
    channels_of: Mapping[str, Sequence[str]]
    seed: int
    device: str


@dataclass(frozen=True)
class Method:
    """One method.

    title : as people write it
    config, training : classes of its settings
    one_windowing : the data sets must agree in rate and window length
    labels : what pre-training reads of the labels
    shown : terms of the loss that the progress line shows
    code : modules, beside those that every method uses, whose change makes a checkpoint worthless
    objective : the network and its loss
    network : the network of a ``config.json``, without its weights
    features : (n, d) of the frozen network
    across : whether the features of a segment depend on the other segments of its subject that are given
    width : numbers per segment; None: depends on the channels of the segments
    """

    name: str
    title: str
    config: type
    training: type[PretrainSettings]
    one_windowing: bool
    labels: str
    shown: tuple[str, ...]
    code: tuple[str, ...]
    objective: Callable[[Request], Objective]
    network: Callable[[Any], nn.Module]
    features: Callable[[Any, Segments], np.ndarray]
    across: Callable[[Any], bool]
    width: Callable[[Any], int | None]

    def read_config(self, values: Mapping[str, Any]) -> Any:
        """The settings of a ``config.json``.

        Raises
        ------
        TypeError
            If a key is unknown.
        UsageProblem
            If the values do not fit together.
        """
        return self.config(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        )


def get(name: str) -> Method:
    """The method of this name; :class:`UsageProblem` if there is none."""
    if name not in METHODS:
        raise UsageProblem(f"No method '{name}'.{did_you_mean(name, METHODS)}")
    return METHODS[name]


def of_config(config: MethodConfig) -> Method:
    """The method that these settings belong to."""
    for method in METHODS.values():
        if type(config) is method.config:
            return method
    raise UsageProblem(f"{type(config).__name__} holds the settings of no method. Known: {', '.join(METHODS)}.")


# -- mdJPT -------------------------------------------------------------------------------------------------------------


def weight_of_cda(config: MdjptConfig, given: float | None) -> float:
    """The weight of covariance alignment: as given, else the variant's."""
    return CDA_LAMBDA[config.variant] if given is None else given


def _mdjpt_objective(request: Request) -> Objective:
    from eegpipe.models.mdjpt import MdjptObjective

    objective = MdjptObjective(
        request.sources,
        request.config,
        cda_lambda=weight_of_cda(request.config, request.cda_lambda),
        most_stimuli=request.settings.most_stimuli,
        seed=request.seed,
        device=request.device,
    )
    objective.model.recompute = request.settings.recompute
    return objective


def _mdjpt_network(config: MdjptConfig) -> nn.Module:
    from eegpipe.models.mdjpt import Mdjpt

    return Mdjpt(config)


def _mdjpt_features(model: Any, segments: Segments) -> np.ndarray:
    from eegpipe.models.mdjpt import extract_features

    return extract_features(model, segments)


# -- EMOD --------------------------------------------------------------------------------------------------------------


def _emod_objective(request: Request) -> Objective:
    from eegpipe.models.emod import EmodObjective

    return EmodObjective(
        request.sources,
        request.config,
        seed=request.seed,
        device=request.device,
        windows_at_once=request.settings.windows_at_once,
        recompute=request.settings.recompute,
    )


def _emod_network(config: EmodConfig) -> nn.Module:
    from eegpipe.models.emod import Emod

    return Emod(config)


def _emod_features(model: Any, segments: Segments) -> np.ndarray:
    from eegpipe.models.emod import extract_features

    return extract_features(model, segments)


# -- ART ---------------------------------------------------------------------------------------------------------------


def _art_objective(request: Request) -> Objective:
    from eegpipe.models.art import ArtObjective

    # In a union, a channel that only the target has would get an embedding that nothing trains; without it, its nearest
    # neighbours' take its place.
    common = request.config.channel_set == "intersection"
    return ArtObjective(
        request.sources,
        request.config,
        channels_of=request.channels_of if common else None,
        seed=request.seed,
        device=request.device,
    )


def _art_network(config: ArtConfig) -> nn.Module:
    from eegpipe.models.art import Art

    return Art(config)


def _art_features(model: Any, segments: Segments) -> np.ndarray:
    from eegpipe.models.art import extract_features

    return extract_features(model, segments)


METHODS: Mapping[str, Method] = {
    "mdjpt": Method(
        name="mdjpt",
        title="mdJPT",
        config=MdjptConfig,
        training=MdjptTraining,
        one_windowing=True,
        labels="none",
        shown=("loss", "isa", "cda"),
        code=("eegpipe.samplers",),
        objective=_mdjpt_objective,
        network=_mdjpt_network,
        features=_mdjpt_features,
        across=lambda _: True,
        width=lambda config: config.maps,
    ),
    "emod": Method(
        name="emod",
        title="EMOD",
        config=EmodConfig,
        training=EmodTraining,
        one_windowing=False,
        labels="valence and arousal of every segment",
        shown=("loss", "contrast_chance"),
        code=("eegpipe.affect", "eegpipe.affect_sampler", "eegpipe.augment", "eegpipe.losses_affect"),
        objective=_emod_objective,
        network=_emod_network,
        features=_emod_features,
        across=lambda _: False,
        width=lambda config: config.hidden,
    ),
    "art": Method(
        name="art",
        title="ART",
        config=ArtConfig,
        training=ArtTraining,
        one_windowing=False,
        labels="none",
        shown=("loss", "found"),
        code=("eegpipe.crops",),
        objective=_art_objective,
        network=_art_network,
        features=_art_features,
        across=lambda config: config.scaling == "session",
        width=lambda _: None,
    ),
}
