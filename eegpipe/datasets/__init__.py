"""The data sets that eegpipe reads, by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from eegpipe.datasets.base import Dataset
from eegpipe.errors import UsageProblem, did_you_mean

NAMES = ("seed", "deap", "faced", "dreamer", "eegmat")


def get(name: str) -> Dataset:
    """The data set called ``name``; an unknown name is a :class:`UsageProblem` that suggests the nearest one."""
    if name not in NAMES:
        raise UsageProblem(f"No data set '{name}'.{did_you_mean(name, NAMES)}")
    dataset: Dataset = import_module(f"eegpipe.datasets.{name}").DATASET
    return dataset


def recognise(root: Path) -> Dataset | None:
    """The data set whose vendor folder ``root`` is, judged by file names; None if it is none of them."""
    return next((dataset for dataset in map(get, NAMES) if dataset.recognise(root)), None)
