"""DEAP's ``participant_ratings.csv``: which video each trial showed, when it began, and how it was rated.

One row per trial of each participant. The recordings (.bdf) are in the order of ``Trial``, the preprocessed files in
that of ``Experiment_id``: this table joins them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eegpipe.datasets.deap.experiment import FAMILIARITY, FAMILIARITY_SCALE, RATINGS, SCALE
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats.people import person
from eegpipe.datasets.formats.tables import read_table
from eegpipe.errors import DataProblem

# The vendor's readme says microseconds. The first trial of participant 1 has 1695918, the next ones about 1,000,000
# more each: a trial takes about 100 s, so the unit is 0.1 ms.
_START_UNIT_S = 1e-4
_COLUMNS = ("Participant_id", "Trial", "Experiment_id", "Start_time", "Valence", "Arousal", "Dominance", "Liking")
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{0,12})?")
_CURE = "Unpack the vendor's metadata_csv again."


@dataclass(frozen=True)
class RatedTrial:
    """One row: ``trial`` counts presentations, ``video`` is Experiment_id; ``start_s`` from the experiment's start.

    ``ratings`` holds valence, arousal, dominance, liking (1-9) and, unless the cell is blank, familiarity (1-5).
    """

    trial: int
    video: int
    start_s: float
    ratings: Mapping[str, float]


def read_ratings(path: Path, where: str, participant: int, trials: int) -> list[RatedTrial]:
    """The trials of one participant in the order of presentation.

    Raises
    ------
    DataProblem
        If a column is missing, a trial or a video is not there exactly once, or a rating lies outside its scale.
    """
    table = read_table(path, where)
    names = {name.lower(): name for name in (table[0] if table else {})}
    if missing := [name for name in _COLUMNS if name.lower() not in names]:
        found = f"the columns {numbers_text(names.values()) or '(none)'}"
        raise DataProblem(where, found, f"columns {', '.join(missing)} too", _CURE)

    def cell(row: Mapping[str, str], name: str) -> str:
        return row[names[name.lower()]] if name.lower() in names else ""

    rows = [row for row in table if _whole(cell(row, "Participant_id")) == participant]
    who = f"{where}: participant {participant}"
    rated = [
        RatedTrial(
            trial=_whole(cell(row, "Trial")),
            video=_whole(cell(row, "Experiment_id")),
            start_s=_number(cell(row, "Start_time"), who, "Start_time") * _START_UNIT_S,
            ratings=_ratings({name: cell(row, name.capitalize()) for name in (*RATINGS, FAMILIARITY)}, who),
        )
        for row in rows
    ]
    for name, values in (("Trial", [one.trial for one in rated]), ("Experiment_id", [one.video for one in rated])):
        if sorted(values) != list(range(1, trials + 1)):
            absent = sorted(set(range(1, trials + 1)) - set(values))
            found = f"{len(values)} rows, without {numbers_text(absent)}" if absent else f"{len(values)} rows"
            raise DataProblem(f"{who}: {name}", found, f"1 to {trials}, each once", _CURE)
    return sorted(rated, key=lambda one: one.trial)


def read_person(path: Path, where: str, participant: int) -> tuple[str | None, int | None]:
    """(``"F"`` or ``"M"``, years), each None where ``participant_questionnaire.csv`` does not say."""
    return person(path, where, participant, column="participant_id")


def _ratings(cells: Mapping[str, str], who: str) -> dict[str, float]:
    ratings = {}
    for name, text in cells.items():
        low, high = FAMILIARITY_SCALE if name == FAMILIARITY else SCALE
        if name == FAMILIARITY and not text:  # not asked of participants 2, 15 and 23
            continue
        value = _number(text, who, name)
        if not low <= value <= high:
            raise DataProblem(f"{who}: {name}", text, f"{low:g} to {high:g}", _CURE)
        ratings[name] = value
    return ratings


def _number(text: str, who: str, name: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise DataProblem(f"{who}: {name}", f"'{text[:40]}'", "a number", _CURE)
    return float(text)


def _whole(text: str) -> int:
    """0 for what is no whole number: no trial, video or participant has that number."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return int(value) if value.is_integer() and value > 0 else 0
