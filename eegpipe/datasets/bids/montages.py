"""Caps whose electrodes have numbers instead of names: which electrode of the schema stands at nearly the same place.

``egi128``: the HydroCel Geodesic Sensor Net of EGI with 128 electrodes. Nothing is typed from a table. MNE's template
of the net and the template of the schema are heads of their own size and shape, so places are compared as directions
from the centre of a sphere. There are two sensible spheres: the one through nasion, ears and Cz, and the one that fits
all electrodes. A pair counts if under both each electrode is the other's nearest, at most 15 mm away on the schema's
head; where the two disagree an electrode has no name (42 pairs and Cz remain).

EGI's own list of equivalents, made for conventional montages, names a neighbour about 2 cm away for T7, T8, P3, P4, P7
and P8. ``rename`` in the mapping goes before this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from eegpipe.channels import REFERENCES, schema

NAMES = ("egi128",)
NEAREST_M = 0.015
# Landmarks of the schema's head, as the electrodes' description in a BIDS folder has them (metres, head frame).
_NASION, _LEFT, _RIGHT = (0.0, 0.114047, 0.0), (-0.08249, 0.0, 0.0), (0.08249, 0.0, 0.0)


@cache
def egi128() -> Mapping[str, str]:
    """Name in EGI's recordings (``E1`` ... ``E128``, ``Cz``) -> name in the schema, for those that have one."""
    import mne

    net = mne.channels.transform_to_head(mne.channels.make_standard_montage("GSN-HydroCel-129")).get_positions()
    theirs = {name: np.array(place) for name, place in net["ch_pos"].items()}
    everything = {name: np.array(place) for name, (_, place) in schema().items()}
    ours = {name: place for name, place in everything.items() if name not in REFERENCES}
    their_marks = np.array([net["nasion"], net["lpa"], net["rpa"], theirs["Cz"]])
    our_marks = np.array([_NASION, _LEFT, _RIGHT, ours["Cz"]])
    our_all, their_all = (np.array(list(places.values())) for places in (everything, theirs))
    radius_m = float(np.mean(np.linalg.norm(our_all - _centre(our_all), axis=1)))
    by_marks = _pairs(theirs, _centre(their_marks), ours, _centre(our_marks), radius_m)
    by_fit = _pairs(theirs, _centre(their_all), ours, _centre(our_all), radius_m)
    return {name: other for name, other in by_fit.items() if by_marks.get(name) == other}


def numbered(montage: str) -> frozenset[str]:
    """All names that the electrodes of a cap can have, those without an equal in the schema among them."""
    return frozenset({f"E{number}" for number in range(1, 130)} | {"Cz"}) if montage == "egi128" else frozenset()


def _pairs(
    theirs: Mapping[str, np.ndarray],
    their_centre: np.ndarray,
    ours: Mapping[str, np.ndarray],
    our_centre: np.ndarray,
    radius_m: float,
) -> dict[str, str]:
    """Electrodes that are each other's nearest, and near."""

    def directions(places: Mapping[str, np.ndarray], centre: np.ndarray) -> np.ndarray:
        from_centre = np.array(list(places.values())) - centre
        return from_centre / np.linalg.norm(from_centre, axis=1, keepdims=True)

    apart = directions(theirs, their_centre)[:, None] - directions(ours, our_centre)[None]
    apart_m = radius_m * np.linalg.norm(apart, axis=2)
    names, nearest, back = list(ours), apart_m.argmin(axis=1), apart_m.argmin(axis=0)
    return {
        name: names[nearest[row]]
        for row, name in enumerate(theirs)
        if back[nearest[row]] == row and apart_m[row, nearest[row]] <= NEAREST_M
    }


def _centre(places: np.ndarray) -> np.ndarray:
    """Centre of the sphere that fits the places best (least squares)."""
    columns = np.column_stack([2 * places, np.ones(len(places))])
    return np.linalg.lstsq(columns, (places**2).sum(axis=1), rcond=None)[0][:3]
