"""From the tables of a recording to its stimuli: when, which clip, which class, which ratings.

Nothing is taken by its place where the mapping names a column to join on; joined by order, the counts must agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eegpipe import affect
from eegpipe.datasets import MAPPING
from eegpipe.datasets.bids.mapping import Column, Rating, Reading, Rows, Stimuli, missing, plain
from eegpipe.datasets.bids.tsv import Table
from eegpipe.datasets.folders import natural_key, numbers_text
from eegpipe.errors import DataProblem
from eegpipe.recording import Event

_LOOK = "Look at the table, or correct the mapping."
# How much later than its end a stimulus of a recording may end, in samples: times are written with few digits.
_ROUNDING = 1.5


@dataclass
class Found:
    """A stimulus and its row of ``events.tsv``; samples from the first one of its file."""

    onset: int
    samples: int
    row: Mapping[str, str]
    trial: int = 0
    number: str = ""


def find_stimuli(table: Table, stimuli: Stimuli, n_samples: int, rate_hz: float) -> tuple[list[Found], list[str]]:
    """The stimuli of one file in order of time, and notes on how they were read.

    Raises
    ------
    DataProblem
        No stimulus, one without onset or duration, one beyond the end of the recording, two that overlap.
    """
    table.need("onset", "BIDS")
    table.need(stimuli.rows.column, "stimuli.column")
    chosen = [row for row in table.rows if stimuli.rows.hold(row[stimuli.rows.column])]
    if not chosen:
        there = dict.fromkeys(row[stimuli.rows.column] for row in table.rows)
        found = f"the values {numbers_text(map(repr, there))}" if there else "no row"
        raise DataProblem(f"{table.where}: stimuli", found, stimuli.rows.text, f"Correct 'stimuli' in {MAPPING}.")
    notes = []
    onsets_s = [_time(row, "onset", table.where) / stimuli.per_second for row in chosen]
    if onsets_s != sorted(onsets_s):
        notes.append(f"{table.where} is not in order of time; it was sorted.")
    order = sorted(range(len(chosen)), key=lambda place: onsets_s[place])
    spans, filled, left_out = [], 0, 0
    ends_s = _ends(table, stimuli)
    for place in order:
        duration_s = _duration(chosen[place], table, stimuli, rate_hz)
        if duration_s is None:
            duration_s = _elsewhere(onsets_s[place], ends_s, stimuli, table.where)
            filled += 1
        spans.append((onsets_s[place], duration_s, chosen[place]))
    _check_unit(table.where, spans, stimuli, n_samples / rate_hz)
    made: list[Found] = []
    for onset_s, duration_s, row in spans:
        onset, samples = round(onset_s * rate_hz), max(1, round(duration_s * rate_hz))
        if (onset_s + duration_s) * rate_hz > n_samples + _ROUNDING or onset >= n_samples:
            if stimuli.leave_out_beyond_end:
                left_out += 1
                continue
            _beyond(table.where, onset_s, duration_s, n_samples / rate_hz, stimuli)
        samples = min(samples, n_samples - onset)
        if made and onset < made[-1].onset + made[-1].samples:
            before = made[-1]
            if before.onset + before.samples - onset > _ROUNDING or onset <= before.onset:
                raise DataProblem(
                    f"{table.where}: onset {row['onset']}",
                    f"a stimulus while the one of onset {before.row['onset']} is still going on",
                    "one after the other",
                    f"Take away the row that is double, or choose other rows in {MAPPING} ('stimuli').",
                )
            before.samples = onset - before.onset
        made.append(Found(onset, samples, row))
    if filled:
        source = f"the next row with {stimuli.end.text}" if stimuli.end else f"{MAPPING}, {stimuli.duration_s:g} s"
        notes.append(f"{filled} stimuli of {table.where} have no duration; it was taken from {source}.")
    if left_out:
        notes.append(f"{left_out} stimuli of {table.where} end after the recording and were left out.")
    return made, notes


def _time(row: Mapping[str, str], column: str, where: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataProblem(f"{where}: {column}", f"'{row[column]}'", "a number from 0 on", _LOOK)
    return value


def _duration(row: Mapping[str, str], table: Table, stimuli: Stimuli, rate_hz: float) -> float | None:
    """Seconds; None where the table has none: no column, ``n/a``, 0, or the one sample of a mere marker."""
    if "duration" not in table.columns or missing(row["duration"]):
        return None
    duration_s = _time(row, "duration", table.where) / stimuli.per_second
    return duration_s if duration_s * rate_hz > 1.01 else None


def _ends(table: Table, stimuli: Stimuli) -> list[float]:
    """The onsets of the rows that end a stimulus, sorted, seconds."""
    if stimuli.end is None:
        return []
    end: Rows = stimuli.end
    table.need(end.column, "stimuli.end.column")
    rows = [row for row in table.rows if end.hold(row[end.column])]
    return sorted(_time(row, "onset", table.where) / stimuli.per_second for row in rows)


def _elsewhere(onset_s: float, ends_s: Sequence[float], stimuli: Stimuli, where: str) -> float:
    """The duration of a stimulus of which the table has none."""
    if stimuli.duration_s is not None:
        return stimuli.duration_s
    if stimuli.end is None:
        raise DataProblem(
            f"{where}: duration",
            f"none for the stimulus at {onset_s:g} s",
            "a duration",
            f"Say in {MAPPING} how long stimuli last ('stimuli.duration_s') or which row ends one ('stimuli.end').",
        )
    later = next((end_s for end_s in ends_s if end_s > onset_s), None)
    if later is None:
        found = f"none after the stimulus at {onset_s:g} s"
        raise DataProblem(f"{where}: end", found, f"a row with {stimuli.end.text}", _LOOK)
    return later - onset_s


def _check_unit(
    where: str, spans: Sequence[tuple[float, float, Mapping[str, str]]], stimuli: Stimuli, length_s: float
) -> None:
    """Refuse seconds that are read as milliseconds: then all stimuli lie in the first thousandth of the recording."""
    last_s = max(onset_s + duration_s for onset_s, duration_s, _ in spans)
    if stimuli.per_second == 1000 and last_s * 1000 <= length_s + 1:
        raise DataProblem(
            f"{where}: onset",
            f"stimuli in the first {last_s:.3g} s of {length_s:.4g} s only",
            "times in milliseconds, as stimuli.onset_unit says",
            f"They fit as seconds: take 'onset_unit: ms' out of {MAPPING}.",
        )


def _beyond(where: str, onset_s: float, duration_s: float, length_s: float, stimuli: Stimuli) -> None:
    cure = f"Look at the table; 'stimuli.beyond_end: leave_out' in {MAPPING} reads the recording without such stimuli."
    if stimuli.per_second == 1 and onset_s > length_s and (onset_s + duration_s) / 1000 <= length_s:
        cure = f"If the table counts in milliseconds, say so in {MAPPING}: 'onset_unit: ms' under 'stimuli'."
    found = f"a stimulus from {onset_s:g} to {onset_s + duration_s:g} s"
    raise DataProblem(f"{where}: onset", found, f"stimuli within the {length_s:g} s of the recording", cure)


# --- which clip, which class, which ratings ---------------------------------------------------------------------------


def number_trials(found: Sequence[Found], table: Table, stimuli: Stimuli) -> None:
    """Give each stimulus of one table its number: the column's (counted from 0 or from 1), or its place."""
    if not stimuli.trial:
        return
    table.need(stimuli.trial, "stimuli.trial")
    for one in found:
        one.number = plain(one.row[stimuli.trial])
        if not re.fullmatch(r"[0-9]{1,6}", one.number):
            raise DataProblem(f"{table.where}: {stimuli.trial}", f"'{one.number}'", "the number of a trial", _LOOK)
        one.number = str(int(one.number))


def count_trials(found: Sequence[Found]) -> None:
    """The trial numbers of a whole recording: those of the table if each is there once, else 1, 2, 3."""
    numbers = [int(one.number) for one in found if one.number]
    counted = len(set(numbers)) == len(found)
    shift = 1 if counted and min(numbers) == 0 else 0
    for place, one in enumerate(found, start=1):
        one.trial = int(one.number) + shift if counted else place


@dataclass(frozen=True)
class Tables:
    """What else is known of the stimuli of a table: the participant's ratings, the participant."""

    events: Table
    beh: Table | None
    participants: Table | None
    person: Mapping[str, str] | None

    def cell(self, column: Column, row: Mapping[str, str], beh_row: Mapping[str, str] | None, key: str) -> str:
        """A cell of one of the tables; empty if the table or the row is not there."""
        table = {"events": self.events, "beh": self.beh, "participants": self.participants}[column.table]
        chosen = {"events": row, "beh": beh_row, "participants": self.person}[column.table]
        if table is not None:
            table.need(column.name, key)
        return "" if chosen is None or table is None else plain(chosen[column.name])


def to_events(
    name: str, reading: Reading, found: Sequence[Found], tables: Tables, rate_hz: float, starts: Sequence[int]
) -> tuple[list[Event], list[str]]:
    """The stimulus events of stimuli that share their tables.

    Parameters
    ----------
    name
        Of the data set, for the ids of stimuli.
    starts
        For each stimulus the sample of the whole recording at which its file begins.
    """
    own_names = None
    if not any(column.table == "beh" for column in reading.stimuli.name):
        own_names = [_stimulus(reading, one, tables, None) for one in found]
    beh_rows, notes = _join(reading, found, tables, own_names)
    events, without_label, without_rating = [], 0, 0
    for place, (one, beh_row, start) in enumerate(zip(found, beh_rows, starts, strict=True)):
        stimulus = own_names[place] if own_names else _stimulus(reading, one, tables, beh_row)
        label = _label(reading, one, tables, beh_row)
        ratings = {
            rating.name: value
            for rating in reading.ratings
            if (value := _rating(rating, one, tables, beh_row)) is not None
        }
        without_label += reading.label is not None and label is None
        without_rating += len(ratings) < len(reading.ratings)
        events.append(
            Event(
                onset_s=(start + one.onset) / rate_hz,
                duration_s=one.samples / rate_hz,
                kind="stimulus",
                trial=one.trial,
                stimulus=f"{name}/{stimulus}",
                label=label,
                ratings=ratings,
                affect=_affect(reading, ratings, label),
            )
        )
    if without_label:
        notes.append(f"{without_label} of {len(found)} stimuli have no class.")
    if without_rating:
        notes.append(f"{without_rating} of {len(found)} stimuli lack a rating.")
    return events, notes


def _stimulus(reading: Reading, one: Found, tables: Tables, beh_row: Mapping[str, str] | None) -> str:
    parts = [tables.cell(column, one.row, beh_row, "stimuli.name") for column in reading.stimuli.name]
    for column, part in zip(reading.stimuli.name, parts, strict=True):
        if missing(part):
            where = f"{tables.events.where}: stimulus at onset {one.row['onset']}"
            raise DataProblem(where, f"nothing in column {column.text}", "the name of the stimulus", _LOOK)
    # A slash separates the data set from the clip.
    return re.sub(r"[/\\]", ":", "_".join(parts))


def _join(
    reading: Reading, found: Sequence[Found], tables: Tables, names: Sequence[str] | None
) -> tuple[list[Mapping[str, str] | None], list[str]]:
    """The row of ``beh.tsv`` of each stimulus."""
    beh = tables.beh
    if beh is None or not reading.uses("beh"):
        return [None] * len(found), []
    if reading.beh_join == "order":
        if len(beh.rows) != len(found):
            cure = f"Join by a column instead ('beh: {{join: trial, column: ...}}' in {MAPPING})."
            raise DataProblem(beh.where, f"{len(beh.rows)} rows", f"{len(found)}, one for each stimulus", cure)
        return list(beh.rows), []
    column = reading.beh_column
    beh.need(column, "beh.column")
    rows: dict[str, list[Mapping[str, str]]] = {}
    for row in beh.rows:
        key = plain(row[column])
        rows.setdefault(str(int(key)) if key.isdecimal() and reading.beh_join == "trial" else key, []).append(row)
    keys = list(names or ()) if reading.beh_join == "stimulus" else [one.number for one in found]
    if reading.beh_join == "trial" and not reading.stimuli.trial:
        keys = [str(place) for place in range(1, len(found) + 1)]
        if wrong := sorted(set(rows) ^ set(keys), key=natural_key):
            cure = f"Name the column of events.tsv that holds the number ('stimuli.trial' in {MAPPING})."
            listed = sorted(rows, key=natural_key)
            expected = f"1 to {len(found)}, as many as there are stimuli (unlike: {numbers_text(wrong)})"
            raise DataProblem(f"{beh.where}: {column}", numbers_text(listed), expected, cure)
    if reading.beh_join == "trial" and (twice := sorted({key for key in keys if keys.count(key) > 1}, key=natural_key)):
        where, cure = (
            f"{tables.events.where}: {reading.stimuli.trial}",
            "Give each run a beh.tsv of its own, or number on.",
        )
        raise DataProblem(where, f"trial {numbers_text(twice)} more than once", "each number once", cure)
    for key in keys:
        if len(rows.get(key, ())) > 1:
            raise DataProblem(f"{beh.where}: {column}", f"{len(rows[key])} rows for '{key}'", "one", _LOOK)
    joined = [rows[key][0] if key in rows else None for key in keys]
    lost = [key for key, row in zip(keys, joined, strict=True) if row is None]
    if len(lost) == len(found):
        there = numbers_text(map(repr, rows))
        raise DataProblem(f"{beh.where}: {column}", there, f"such as {keys[0]!r}, of the events", _LOOK)
    return joined, [f"{beh.where} has no row for {numbers_text(map(repr, lost))}."] if lost else []


def _label(reading: Reading, one: Found, tables: Tables, beh_row: Mapping[str, str] | None) -> str | None:
    if reading.label is None:
        return None
    cell = tables.cell(reading.label.column, one.row, beh_row, "label.column")
    if cell in reading.label.words:
        return reading.label.words[cell]
    if missing(cell):
        return None
    where = f"{tables.events.where}: stimulus at onset {one.row['onset']}"
    known = numbers_text(map(repr, reading.label.words))
    cure = f"Add it to label.words in {MAPPING}; '{cell}: n/a' leaves it without a class."
    raise DataProblem(f"{where}: {reading.label.column.text}", f"'{cell}'", f"one of {known}", cure)


def _rating(rating: Rating, one: Found, tables: Tables, beh_row: Mapping[str, str] | None) -> float | None:
    cell = tables.cell(rating.column, one.row, beh_row, f"ratings.{rating.name}")
    if missing(cell):
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    low, high = rating.scale
    if not low <= value <= high:
        where = f"{tables.events.where}: stimulus at onset {one.row['onset']}: {rating.column.text}"
        cure = f"Correct the scale of '{rating.name}' in {MAPPING}, or the cell."
        raise DataProblem(where, f"'{cell}'", f"a number from {low:g} to {high:g}", cure)
    return value


def _affect(reading: Reading, ratings: Mapping[str, float], label: str | None) -> affect.Affect:
    """The participant's own ratings; else the norm of the word, if the class is an emotion word that has one."""
    scales = {rating.name: rating.scale for rating in reading.ratings}
    if "valence" in ratings and "arousal" in ratings:
        valence = affect.from_rating(ratings["valence"], ratings["valence"], scales["valence"]).valence
        arousal = affect.from_rating(ratings["arousal"], ratings["arousal"], scales["arousal"]).arousal
        return affect.Affect(valence, arousal, affect.AffectSource.SELF_REPORT)
    return affect.from_word(label) if label is not None and label in affect.WORD_NORMS else affect.UNKNOWN
