"""The data sets that eegpipe reads, by name: one file, or one folder, each."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from eegpipe.datasets.base import Dataset, Variant
from eegpipe.errors import UsageProblem, did_you_mean

# What all data sets share; everything else in this folder is a data set.
_SHARED = ("base", "folders", "formats", "signal")
# Any BIDS-EEG folder with a mapping file; last, because a folder that is more than that is recognised as what it is.
GENERIC = "bids"
NAMES = tuple(
    sorted(
        (module.name for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED),
        key=lambda name: (name == GENERIC, name),
    )
)
# Beside the files of a folder that the generic reader shall read; says what its events and columns mean.
MAPPING = "eegpipe.yaml"


def get(name: str) -> Dataset:
    """The data set called ``name``; an unknown name is a :class:`UsageProblem` that suggests the nearest one."""
    if name not in NAMES:
        raise UsageProblem(f"No data set '{name}'.{did_you_mean(name, NAMES)}")
    dataset: Dataset = import_module(f"eegpipe.datasets.{name}").DATASET
    return dataset


def at(name: str, root: Path) -> Dataset:
    """The data set called ``name`` whose files lie at ``root``.

    A name that eegpipe does not know is right for a folder with a mapping file: such a data set is called as the user
    likes.
    """
    known = name in NAMES or not (root / MAPPING).is_file()
    dataset = get(name if known else GENERIC)
    dataset = dataset.at(root) if dataset.at else dataset
    if not known and dataset.name != name:
        raise UsageProblem(
            f"{root / MAPPING}: the data set is called '{dataset.name}' there and '{name}' here. Use one name."
        )
    return dataset


def recognise(root: Path) -> tuple[Dataset, Variant] | None:
    """The data set and variant whose vendor folder ``root`` is, judged by file names; None if it is none of them."""
    for dataset in map(get, NAMES):
        if variant := dataset.recognise(root):
            if dataset.at is None:
                return dataset, variant
            special = dataset.at(root)
            return special, special.variants[0]
    return None
