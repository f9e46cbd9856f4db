"""The Unified Channel Schema: one name, one id and one template position for every electrode of every data set.

``channels.tsv`` beside this file holds the 72 names of the emotion data sets. The id is the row number; rows are only
ever added at the end, so an id means the same electrode in every data set and every version. Positions are those of the
10-05 system on the Colin 27 head (MNE ``colin27_1005``), in metres, MNE head frame. CB1 and CB2 are in no 10-05
system; they sit where POO7 and POO8 do (docs/formats.md, "Channels").
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from eegpipe.errors import UsageProblem, did_you_mean

# Older 10-20 names of the same place (identical positions in MNE).
ALIASES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}

# Ear and mastoid references: they have ids, but no method treats them as scalp channels.
REFERENCES = frozenset({"A1", "A2", "M1", "M2"})


@cache
def schema() -> dict[str, tuple[int, tuple[float, float, float]]]:
    """Name -> (id, position in metres), in order of id."""
    with (files("eegpipe") / "channels.tsv").open(encoding="utf-8") as lines:
        return {
            row["name"]: (int(row["id"]), (float(row["x"]), float(row["y"]), float(row["z"])))
            for row in csv.DictReader(lines, delimiter="\t")
        }


@cache
def _by_upper() -> dict[str, str]:
    names = {name.upper(): name for name in schema()}
    return names | ALIASES


def canonical(name: str) -> str | None:
    """The schema's spelling of a vendor's channel name, or None if the schema does not hold it.

    Understands case (``FPZ``), older names (``T3``), the prefix ``EEG `` (EDF) and trailing dots (PhysioNet).
    """
    plain = name.strip().rstrip(".").upper().removeprefix("EEG").strip()
    return _by_upper().get(plain)


def channel_id(name: str) -> int:
    """The id of a canonical name."""
    try:
        return schema()[name][0]
    except KeyError:
        raise UsageProblem(f"No channel '{name}' in the schema.{did_you_mean(name, schema())}") from None


def position(name: str) -> tuple[float, float, float]:
    """Template position of a canonical name, metres, head frame."""
    try:
        return schema()[name][1]
    except KeyError:
        raise UsageProblem(f"No channel '{name}' in the schema.{did_you_mean(name, schema())}") from None
