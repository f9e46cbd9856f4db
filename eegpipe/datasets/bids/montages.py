"""Caps whose electrodes have numbers instead of names: which electrode of the schema stands at nearly the same place.

``egi128``: the HydroCel Geodesic Sensor Net of EGI with 128 electrodes. Nothing is typed from a table: the positions
of MNE's template ``GSN-HydroCel-129`` and those of the schema are each moved onto a sphere of the schema's head (both
templates are heads of their own size and shape), and two electrodes are the same if each is the other's nearest and
they lie no more than 15 mm apart. EGI's own list of equivalents, made for conventional use, names a neighbour 2 to 3 cm
away for some of them (T7 and T8: E45 and E108, which lie at TP7 and TP8); ``rename`` in the mapping goes before.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from eegpipe.channels import REFERENCES, schema

NAMES = ("egi128",)
NEAREST_M = 0.015


@cache
def egi128() -> dict[str, str]:
    """Name in EGI's recordings (``E1`` ... ``E128``, ``Cz``) -> name in the schema, for those that have one."""
    import mne

    montage = mne.channels.transform_to_head(mne.channels.make_standard_montage("GSN-HydroCel-129"))
    egi = montage.get_positions()["ch_pos"]
    known = {name: place for name, (_, place) in schema().items() if name not in REFERENCES}
    theirs, _ = _directions(np.array(list(egi.values())))
    ours, radius_m = _directions(np.array(list(known.values())))
    apart_m = radius_m * np.linalg.norm(theirs[:, None] - ours[None], axis=2)
    names, nearest, back = list(known), apart_m.argmin(axis=1), apart_m.argmin(axis=0)
    return {
        name: names[nearest[row]]
        for row, name in enumerate(egi)
        if back[nearest[row]] == row and apart_m[row, nearest[row]] <= NEAREST_M
    }


def _directions(places: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit vectors from the centre of the sphere that fits the places best, and its radius."""
    columns = np.column_stack([2 * places, np.ones(len(places))])
    solution = np.linalg.lstsq(columns, (places**2).sum(axis=1), rcond=None)[0]
    from_centre = places - solution[:3]
    radius = float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))
    return from_centre / np.linalg.norm(from_centre, axis=1, keepdims=True), radius
