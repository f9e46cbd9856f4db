"""Which channels a model over several data sets knows: the union, the intersection, or one data set's own.

Every way uses the ids of the Unified Channel Schema (:mod:`eegpipe.channels`): a name means the same electrode in every
data set, and lists of names stand in the order of their ids, whatever the order in the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from eegpipe.channels import REFERENCES, channel_id, position
from eegpipe.errors import DataProblem, UsageProblem, did_you_mean

ChannelSet = Literal["union", "intersection", "within"]

# How many known channels stand in for one that is not known.
NEIGHBOURS = 3


def vocabulary(channel_set: ChannelSet, channels_of: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The channels of a model over several data sets, in order of their ids.

    Parameters
    ----------
    channel_set
        ``union``: every channel of any data set. ``intersection``: those that all have. ``within``: the channels of the
        one data set that is given. Ear and mastoid references never count.
    channels_of : mapping
        Data set -> its channels, canonical names.

    Raises
    ------
    DataProblem
        If nothing is left, or a channel occurs twice in a data set.
    UsageProblem
        An unknown name, no data set, or more than one for ``within``.
    """
    if channel_set not in get_args(ChannelSet):
        raise UsageProblem(f"No channel set '{channel_set}'.{did_you_mean(channel_set, get_args(ChannelSet))}")
    if not channels_of:
        raise UsageProblem("A list of channels needs at least one data set.")
    if channel_set == "within" and len(channels_of) > 1:
        found = ", ".join(sorted(channels_of))
        raise UsageProblem(f"The channel set 'within' takes one data set, found {found}. Use union or intersection.")
    sets = [set(scalp_columns(names, where=f"{name}: channels")) for name, names in channels_of.items()]
    chosen = set.intersection(*sets) if channel_set == "intersection" else set.union(*sets)
    if not chosen:
        found = "; ".join(f"{name}: {len(names)} channels" for name, names in sorted(channels_of.items()))
        raise DataProblem("channels", found, "at least one in common", "Use the union, or leave a data set out.")
    return tuple(sorted(chosen, key=channel_id))


def scalp_columns(names: Sequence[str], *, where: str = "channels") -> dict[str, int]:
    """Name -> column of every channel that is no reference; refuses unknown names and repetitions."""
    for name in names:
        channel_id(name)
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        cure = "Write the segments again."
        raise DataProblem(where, f"{', '.join(repeated)} more than once", "every channel once", cure)
    return {name: column for column, name in enumerate(names) if name not in REFERENCES}


@dataclass(frozen=True, eq=False)
class Reading:
    """How a model reads the channels of one data set.

    names : channels that take part, in order of their ids, so that the order in the data has no influence
    columns : (len(names),) int, where they stand in the data
    mixture : (len(names), known) float32, weights of the known channels' embeddings; rows sum to 1
    """

    names: tuple[str, ...]
    columns: np.ndarray
    mixture: np.ndarray


def read_channels(
    names: Sequence[str],
    known: Sequence[str],
    unknown: Literal["nearest", "drop"] = "nearest",
    *,
    where: str = "channels",
) -> Reading:
    """How a model with an embedding for each channel of ``known`` reads a data set with the channels ``names``.

    A channel that is not known takes the plain mean of the three nearest known ones (``nearest``: template positions,
    equal distances in order of ids) or no part (``drop``).

    Raises
    ------
    DataProblem
        If no channel takes part.
    """
    columns = scalp_columns(names, where=where)
    chosen = sorted((name for name in columns if unknown == "nearest" or name in known), key=channel_id)
    if not chosen:
        expected = f"at least one of {', '.join(known[:4])}{', ...' if len(known) > 4 else ''}"
        cure = "Check the channel names, or use an encoder that was trained on such channels."
        raise DataProblem(where, f"none that the model knows ({', '.join(names) or 'none at all'})", expected, cure)
    place = np.array([position(name) for name in known])
    mixture = np.zeros((len(chosen), len(known)), dtype=np.float32)
    for row, name in enumerate(chosen):
        if name in known:
            mixture[row, list(known).index(name)] = 1.0
        else:
            distance = np.linalg.norm(place - np.array(position(name)), axis=1)
            nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
            mixture[row, nearest] = 1.0 / len(nearest)
    return Reading(tuple(chosen), np.array([columns[name] for name in chosen]), mixture)


def places(names: Sequence[str], onto: Sequence[str]) -> np.ndarray:
    """Where each of ``names`` stands in a longer list, (len(names),) int; refuses a name that is not there."""
    missing = [name for name in names if name not in onto]
    if missing:
        raise UsageProblem(f"No place for {', '.join(missing)} among the {len(onto)} channels of the model.")
    return np.array([list(onto).index(name) for name in names])
