"""Typed, closed settings: what may stand in ``params.yaml``, with types and ranges.

Every stage reads all of ``params.yaml`` through :func:`load`, so a mistyped value stops the first stage, not the last.
The settings of one step are a dataclass in the module that uses them; this file only says where each one stands.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import yaml
from annotated_types import Ge, Le
from pydantic import TypeAdapter, ValidationError

from eegpipe import datasets
from eegpipe.clean.settings import CleanSettings
from eegpipe.errors import UsageProblem, did_you_mean
from eegpipe.models.art_settings import ArtConfig, ArtTraining, FineTuneSettings, GatConfig
from eegpipe.models.baseline_settings import ACROSS_BASELINES, RAW_NETWORKS, BaselineName, BaselineSettings
from eegpipe.models.emod_settings import EmodConfig, EmodFineTuning, EmodTraining
from eegpipe.models.settings import MdjptConfig, MdjptTraining
from eegpipe.predictions import EvaluateSettings
from eegpipe.protocols import PROTOCOLS, SplitSettings
from eegpipe.segment import WindowingSettings
from eegpipe.simulate import SimulateSettings

T = TypeVar("T")
Size = Literal["demo", "paper"]
MethodName = Literal["mdjpt", "emod", "art"]


@dataclass(frozen=True)
class MdjptParams:
    """mdJPT at one size: the network and its training."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: MdjptConfig
    training: MdjptTraining


@dataclass(frozen=True)
class EmodParams:
    """EMOD at one size: the network, its training, and its fine-tuning on a target."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: EmodConfig
    training: EmodTraining
    finetune: EmodFineTuning


@dataclass(frozen=True)
class ArtParams:
    """ART at one size: the network, its training, the classifier over channels, and their fine-tuning on a target."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: ArtConfig
    training: ArtTraining
    graph: GatConfig
    finetune: FineTuneSettings


MethodParams = MdjptParams | EmodParams | ArtParams


@dataclass(frozen=True)
class Params:
    """All of ``params.yaml``; the comments there say what each entry means."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    seed: Annotated[int, Ge(0)]
    cda_lambda: Annotated[float, Ge(0), Le(10)]
    size: Size
    allow_partial: bool
    raw: dict[str, str]
    sources: list[str] | None
    mixes: dict[MethodName, dict[Size, list[str]]]
    targets: list[str]
    pretrain_on_target: bool
    windowings: list[str]
    methods: list[MethodName]
    fine_tuned: list[Literal["emod", "art"]]
    baselines: list[BaselineName]
    across: list[Literal["mdjpt", "emod", "art", "de", "de_linear"]]
    across_from: list[str] | None
    simulate: dict[str, SimulateSettings]
    clean: CleanSettings
    windowing: dict[str, dict[Size, WindowingSettings]]
    split: SplitSettings
    mdjpt: dict[Size, MdjptParams]
    emod: dict[Size, EmodParams]
    art: dict[Size, ArtParams]
    evaluate: dict[Size, EvaluateSettings]
    baseline: dict[Size, BaselineSettings]


def load(path: Path) -> Params:
    """Read and check a ``params.yaml``.

    Raises
    ------
    UsageProblem
        One line for each unknown key (with the nearest known one) and each value of the wrong type or range.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read ({error.strerror}).") from None
    except yaml.YAMLError as error:
        raise UsageProblem(f"{path}: not valid YAML. {error}") from None
    params = check(Params, values, source=path.name)
    _check_names(params, path.name)
    return params


def check(kind: type[T], values: Any, *, source: str) -> T:
    """``values`` (what YAML gives) as ``kind``; every fault is named with its full key.

    Raises
    ------
    UsageProblem
        As :func:`load`.
    """
    try:
        text = json.dumps(values)
    except (TypeError, ValueError) as error:  # YAML knows dates and NaN, settings do not
        raise UsageProblem(f"{source}: {error}.") from None
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise UsageProblem("\n".join(_fault(kind, fault, source) for fault in error.errors())) from None


def _fault(kind: type, fault: Mapping[str, Any], source: str) -> str:
    location = [part for part in fault["loc"] if part != "[key]"]
    key = ".".join(map(str, location))
    if fault["type"] == "unexpected_keyword_argument":
        return f"{source}: unknown setting '{key}'.{did_you_mean(str(location[-1]), _known(kind, location[:-1]))}"
    if fault["type"] == "missing":
        return f"{source}: the setting '{key}' is missing."
    found = json.dumps(fault["input"], default=str)
    return f"{source}: {key or 'the whole file'}: found {found[:80]}. {fault['msg']}."


def _known(kind: Any, location: Sequence[str | int]) -> list[str]:
    """Names of the settings in the dataclass found by walking ``location`` down from ``kind``."""
    for part in location:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind)[str(part)]
        elif get_origin(kind) in (dict, list, tuple):
            kind = get_args(kind)[-1]
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _has_mapping(folder: str) -> bool:
    return (Path(folder) / datasets.MAPPING).is_file()


def _check_names(params: Params, source: str) -> None:
    """Names that refer to each other must exist: data sets, windowings, targets."""
    rows: list[tuple[str, Iterable[str], Iterable[str]]] = [
        # A folder with a mapping file may be called as the user likes.
        ("raw", [name for name, folder in params.raw.items() if not _has_mapping(folder)], datasets.NAMES),
        ("simulate", params.simulate, datasets.NAMES),
        ("sources", params.sources or [], params.raw),
        ("targets", params.targets, params.raw),
        ("windowings", params.windowings, params.windowing),
        *(
            (f"windowing.{name}.{size}.of_dataset", settings.of_dataset, [*datasets.NAMES, *params.raw])
            for name, sizes in params.windowing.items()
            for size, settings in sizes.items()
        ),
        # A method reads the windowing of its own name.
        ("methods", params.methods, params.windowings),
        ("fine_tuned", params.fine_tuned, params.methods),
        ("across", params.across, [*params.methods, *ACROSS_BASELINES]),
        ("across_from", params.across_from or [], params.raw),
        ("split.protocols", params.split.protocols, PROTOCOLS),
        ("split.target_of", params.split.target_of, [*datasets.NAMES, *params.raw]),
    ]
    faults = [
        f"{source}: {key}: unknown name '{name}'.{did_you_mean(name, known)}"
        for key, names, known in rows
        for name in names
        if name not in known
    ]
    faults += _mix_faults(params, source)
    if params.across:
        learned = params.raw if params.across_from is None else params.across_from
        faults += [
            f"{source}: across_from: nothing but the target '{target}', expected at least one other data set."
            for target in params.targets
            if not set(learned) - {target}
        ]
        if params.pretrain_on_target and set(params.across) - set(ACROSS_BASELINES):
            faults.append(
                f"{source}: across: an encoder that has learned from the target (pretrain_on_target) cannot be tested "
                f"on it as on a new data set. Leave it to {' and '.join(ACROSS_BASELINES)}, or pre-train without."
            )
    if set(params.baselines) & set(RAW_NETWORKS):
        from eegpipe.models.baselines_raw import missing  # with torch, which most stages do without

        # Before hours of other stages, not after them.
        faults += [f"{source}: baselines: {problem}" for name in params.baselines if (problem := missing(name))]
    if faults:
        raise UsageProblem("\n".join(faults))


def _mix_faults(params: Params, source: str) -> list[str]:
    """What is wrong with the data sets that the methods at hand learn from, for the targets at hand."""
    faults: list[str] = []
    absent: dict[str, list[str]] = {}  # key of a mix, its data sets that are not in raw
    for method in dict.fromkeys(params.methods):
        key = f"mixes.{method}.{params.size}" if params.sources is None else "sources"
        mix = params.sources if params.sources is not None else params.mixes.get(method, {}).get(params.size)
        if mix is None:
            faults.append(f"{source}: the setting '{key}' is missing.")
            continue
        if params.sources is None:
            known = [*datasets.NAMES, *params.raw]
            faults += [
                f"{source}: {key}: unknown name '{name}'.{did_you_mean(name, known)}"
                for name in mix
                if name not in known
            ]
            if lacking := [name for name in mix if name in datasets.NAMES and name not in params.raw]:
                absent[key] = lacking
        faults += [
            f"{source}: {key}: nothing but the target '{target}', expected at least one other data set to train on."
            for target in params.targets
            if not set(mix) - {target} and not (mix and params.pretrain_on_target)
        ]
        shared = [name for name in params.targets if name in mix]
        if method == "emod" and params.pretrain_on_target and shared:
            faults.append(
                f"{source}: pretrain_on_target: EMOD's pre-training reads valence and arousal, so {', '.join(shared)} "
                "cannot be learned from and tested on. Leave emod out of methods, or the target out of its sources."
            )
    if absent:
        names = sorted({name for lacking in absent.values() for name in lacking})
        faults.append(
            f"{source}: raw has no {', '.join(names)}, which {', '.join(absent)} name. Add each to raw with its vendor "
            f"folder ({names[0]}: /where/it/is), or choose what all methods learn from: "
            f"-S 'sources=[{','.join(params.raw)}]'."
        )
    return list(dict.fromkeys(faults))
