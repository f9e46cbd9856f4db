"""One recording of a BIDS folder, by its mapping: signal files, sidecars, stimuli."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe import channels
from eegpipe.datasets import MAPPING
from eegpipe.datasets.base import RecordingEntry
from eegpipe.datasets.bids import events, montages
from eegpipe.datasets.bids.layout import PARTICIPANTS, Name, applicable, parse, sidecar
from eegpipe.datasets.bids.mapping import UNITS, Reading, missing, plain
from eegpipe.datasets.bids.signals import EXTENSIONS, SignalFile, open_signal
from eegpipe.datasets.bids.tsv import Table, read_tsv
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.signal import Channel, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording

# Channels that are no EEG whatever a table says of them, by their names in small letters without blanks and digits.
_BY_NAME = {
    "eog": "eog", "veog": "eog", "heog": "eog", "veo": "eog", "heo": "eog", "eogl": "eog", "eogr": "eog",
    "eogh": "eog", "eogv": "eog", "ecg": "ecg", "ekg": "ecg", "emg": "emg",
}  # fmt: skip
# Nothing but codes of a trigger line; what they say stands in events.tsv.
_CODES = ("status", "trigger", "trig", "stim", "sti", "trg", "marker", "bdfannotations", "edfannotations")
_BY_TYPE = {"EEG": "eeg", "EOG": "eog", "VEOG": "eog", "HEOG": "eog", "ECG": "ecg", "EMG": "emg", "GSR": "gsr"}
_BY_TYPE |= {"TRIG": "stim", "STIM": "stim", "REF": "misc"}
_VOLTAGES = ("eeg", "eog", "ecg", "emg")
_SPELLED = {"uv": "uV", "µv": "uV", "μv": "uV", "microv": "uV", "microvolt": "uV", "microvolts": "uV", "mv": "mV"}
_SPELLED |= {"v": "V", "volt": "V", "volts": "V", "nv": "nV", "mvolt": "mV", "millivolt": "mV"}
_SIEMENS = {"s": 1.0, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_LARGEST_JSON = 16 * 2**20


@dataclass(frozen=True)
class Chosen:
    """A channel that is carried over: where it is in the file, what it becomes, and by what it is multiplied."""

    index: int
    channel: Channel
    factor: float
    bad: bool = False


@dataclass(frozen=True)
class Run:
    """One signal file with its sidecars."""

    name: Name
    signal: SignalFile
    chosen: tuple[Chosen, ...]
    rate_hz: float
    samples: int
    notes: tuple[str, ...]


def read(name: str, reading: Reading, root: Path, entry: RecordingEntry) -> Recording:
    """Read one recording: its runs one after the other, with a boundary where each later one begins.

    Raises
    ------
    DataProblem
        If a file is damaged, or is not what the mapping, the sidecars and the schema of channels say together.
    """
    names = [parsed for parsed in map(parse, entry.files) if parsed]
    files = [one for one in names if one.suffix == "eeg" and one.extension in EXTENSIONS]
    facts = _facts(root, files[0], names)
    runs = [_open(root, one, names, reading) for one in files]
    first = runs[0]
    for run in runs[1:]:
        if [one.channel for one in run.chosen] != [one.channel for one in first.chosen] or run.rate_hz != first.rate_hz:
            found = f"{len(run.chosen)} channels at {run.rate_hz:g} Hz, unlike the first run"
            expected = f"the {len(first.chosen)} channels of {first.name.path} at {first.rate_hz:g} Hz"
            cure = f"Name the runs that belong together in {MAPPING} (files.run)."
            raise DataProblem(run.name.path, found, expected, cure)
    line_hz = _line_hz(reading, facts, files[0].path)
    _check_rate(reading, facts, first)
    lengths = [run.samples for run in runs]
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    person, participants = _person(root, entry)
    stimuli, notes = _stimuli(name, reading, root, names, runs, starts, participants, person)
    layout = [one.channel for one in first.chosen]
    raw = join(_blocks(runs), lengths, layout, first.rate_hz, line_hz)
    raw.info["bads"] = [one.channel.name for one in first.chosen if one.bad and one.channel.kind == "eeg"]
    joints = sorted(
        {start for start in starts if start}
        | {start + at for run, start in zip(runs, starts, strict=True) for at in run.signal.breaks}
    )
    if inside := sum(
        event.onset_s * first.rate_hz < joint < (event.onset_s + event.duration_s) * first.rate_hz - 0.5
        for event in stimuli
        for joint in joints
    ):
        notes.append(f"{inside} breaks of the recording lie within stimuli.")
    boundaries = [Event(joint / first.rate_hz, 0.0, "boundary") for joint in joints]
    filters = facts.get("SoftwareFilters")
    return Recording(
        id=entry.id,
        raw=raw,
        events=sorted([*boundaries, *stimuli], key=lambda event: (event.onset_s, event.kind)),
        reference=reading.reference or _said(facts.get("EEGReference")) or "unknown",
        line_hz=line_hz,
        history=_history(filters) if isinstance(filters, dict) else {},
        sex=_sex(person),
        age=_age(person),
        notes=tuple(dict.fromkeys(note for note in (*(note for run in runs for note in run.notes), *notes))),
    )


# --- signal and channels ----------------------------------------------------------------------------------------------


def _open(root: Path, name: Name, names: Sequence[Name], reading: Reading) -> Run:
    signal = open_signal(root / name.path, name.path)
    notes = list(signal.notes)
    described: dict[str, Mapping[str, str]] = {}
    if table_name := sidecar(name, names, "channels"):
        table = read_tsv(root / table_name.path, table_name.path)
        if "name" in table.columns:
            described = {row["name"].casefold(): row for row in table.rows}
            if strange := set(described) - {one.casefold() for one in signal.names}:
                notes.append(f"{table_name.path} has {len(strange)} channels that {name.path} has not.")
        else:
            notes.append(f"{table_name.path} has no column 'name' and was not used.")
    chosen, dropped = _choose(name.path, signal, reading, described)
    if dropped:
        notes.append(f"{name.path}: channels of another sampling rate are left out: {numbers_text(dropped)}.")
    scalp = [one for one in chosen if one.channel.kind == "eeg"]
    if not scalp:
        found = numbers_text(signal.names)
        raise DataProblem(f"{name.path}: channels", found, "EEG channels", f"Correct 'channels' in {MAPPING}.")
    if reading.n_eeg is not None and len(scalp) != reading.n_eeg:
        cure = f"Take the complete file, or correct expect.eeg_channels in {MAPPING}."
        raise DataProblem(f"{name.path}: channels", f"{len(scalp)} EEG channels", f"{reading.n_eeg}", cure)
    rate_hz, samples = signal.rates_hz[chosen[0].index], signal.samples[chosen[0].index]
    return Run(name, signal, tuple(chosen), rate_hz, samples, tuple(notes))


def _choose(
    where: str, signal: SignalFile, reading: Reading, described: Mapping[str, Mapping[str, str]]
) -> tuple[list[Chosen], list[str]]:
    """The channels to carry over, and the names of those of another rate."""
    rules = reading.channels
    renamed_to = {target for name, target in rules.rename.items() if name in signal.names}
    numbered = montages.egi128() if rules.montage == "egi128" else {}
    table = {name: target for name, target in numbered.items() if target not in renamed_to}
    left_out = {one.casefold() for one in rules.leave_out}
    chosen, unknown = [], []
    for index, vendor in enumerate(signal.names):
        stripped = vendor
        for text in rules.strip:
            stripped = stripped.replace(text, "")
        stripped = stripped.strip()
        row = described.get(vendor.casefold(), {})
        said = row.get("type", "").upper()
        if {vendor.casefold(), stripped.casefold()} & left_out:
            continue
        renamed = rules.rename.get(vendor) or rules.rename.get(stripped) or table.get(stripped)
        target = renamed or stripped
        schema_name = channels.canonical(target)
        kind = next((rules.types[one] for one in (vendor, stripped, target) if one in rules.types), None)
        if kind is None:
            bare = "".join(letter for letter in target.lower() if letter.isalpha())
            by_name = "stim" if bare in _CODES else _BY_NAME.get(bare)
            known_type = _BY_TYPE.get(said, "misc") if said and not missing(said) else None
            if schema_name is not None:
                kind = known_type or "eeg"
            elif known_type in (None, "eeg"):
                kind = by_name or "eeg"
            else:
                kind = known_type
        if kind == "stim":
            continue
        if kind == "eeg" and schema_name is None:
            if stripped in montages.numbered(rules.montage):  # the cap has more electrodes than the schema
                continue
            unknown.append(vendor)
            continue
        if kind == "eeg" and schema_name in channels.REFERENCES:
            kind = "misc"
        channel, factor = _unit(f"{where}: {vendor}", schema_name or target, kind, signal.units[index], row, reading)
        chosen.append(Chosen(index, channel, factor, bad=row.get("status", "").lower() == "bad"))
    if unknown:
        raise DataProblem(
            f"{where}: channels",
            f"{len(unknown)} that the schema of channels does not have: {numbers_text(unknown)}",
            "names of the 10-10 system (docs/formats.md, 'Channels')",
            f"Under 'channels' in {MAPPING}, 'rename' or 'strip' gives them such names, 'types' says that they are no "
            "EEG, 'leave_out' leaves them out.",
        )
    names = [one.channel.name for one in chosen]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        cure = f"Correct 'rename', or leave the second out ('channels' in {MAPPING})."
        raise DataProblem(f"{where}: channels", f"{numbers_text(twice)} more than once", "every name once", cure)
    scalp = [signal.rates_hz[one.index] for one in chosen if one.channel.kind == "eeg"]
    if len(set(scalp)) > 1:
        found = numbers_text(f"{rate:g}" for rate in sorted(set(scalp)))
        raise DataProblem(f"{where}: rate", f"EEG channels at {found} Hz", "one rate", "Export the file again.")
    same = [one for one in chosen if not scalp or signal.rates_hz[one.index] == scalp[0]]
    return same, [signal.names[one.index] for one in chosen if one not in same]


def _unit(
    where: str, name: str, kind: str, unit: str, row: Mapping[str, str], reading: Reading
) -> tuple[Channel, float]:
    """The channel and the factor to microvolt (voltages) or to the unit that it is kept in."""
    said = "" if missing(row.get("units", "")) else row["units"]
    spelled = _SPELLED.get(unit.strip().lower()) or _SPELLED.get(said.lower())
    if kind in _VOLTAGES:
        spelled = reading.unit or spelled
        if spelled is None:
            cure = f"Say it in {MAPPING}: 'unit: uV', if they are microvolts."
            raise DataProblem(f"{where}: unit", f"'{unit}'", ", ".join(UNITS), cure)
        return Channel(name, kind), UNITS[spelled]
    if kind == "gsr":
        siemens = _SIEMENS.get(unit.strip().lower()) or _SIEMENS.get(said.lower())
        return Channel(name, "gsr" if siemens else "misc", volts=False), siemens or 1.0
    if spelled is not None:  # a reference, or something else that is a voltage
        return Channel(name, "misc"), UNITS[spelled]
    return Channel(name, "misc", volts=False), 1.0


def _blocks(runs: Sequence[Run]) -> Iterator[tuple[str, np.ndarray]]:
    for run in runs:
        block = run.signal.read([one.index for one in run.chosen])
        for row, one in enumerate(run.chosen):
            if one.factor != 1.0:
                block[row] *= one.factor
        yield run.name.path, block


def _check_rate(reading: Reading, facts: Mapping[str, Any], run: Run) -> None:
    """The rate of the file against the mapping, or else against the sidecar."""
    where = f"{run.name.path}: rate"
    if reading.rates_hz:
        if not any(math.isclose(run.rate_hz, rate, rel_tol=1e-4) for rate in reading.rates_hz):
            expected = " or ".join(f"{rate:g}" for rate in reading.rates_hz)
            cure = f"Take the original file, or correct expect.rate_hz in {MAPPING}."
            raise DataProblem(where, f"{run.rate_hz:g} Hz", f"{expected} Hz", cure)
        return
    said = facts.get("SamplingFrequency")
    if (
        isinstance(said, int | float)
        and not isinstance(said, bool)
        and not math.isclose(run.rate_hz, said, rel_tol=1e-4)
    ):
        cure = f"Find out which is right; 'expect: {{rate_hz: {run.rate_hz:g}}}' in {MAPPING} says that the file is."
        raise DataProblem(where, f"{run.rate_hz:g} Hz in the file", f"{said:g} Hz, as its _eeg.json says", cure)


# --- what the sidecars say --------------------------------------------------------------------------------------------


def _facts(root: Path, name: Name, names: Sequence[Name]) -> dict[str, Any]:
    """All ``_eeg.json`` that hold for a recording, the nearest one counting most."""
    facts: dict[str, Any] = {}
    for one in applicable(name, names, "eeg", ".json"):
        path = root / one.path
        try:
            if path.stat().st_size > _LARGEST_JSON:
                raise ValueError("too large")
            text = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(text, dict):
                raise TypeError("no keys with values")
        except (OSError, ValueError, TypeError, RecursionError) as error:
            cure = "Correct or remove it; what it would say can stand in the mapping."
            found = f"no readable JSON ({' '.join(str(error).split())[:100]})"
            raise DataProblem(one.path, found, "keys with values", cure) from None
        facts |= text
    return facts


def _line_hz(reading: Reading, facts: Mapping[str, Any], where: str) -> float:
    said = facts.get("PowerLineFrequency")
    if reading.line_hz is None and said not in (50, 60):
        cure = f"Say it in {MAPPING}: 'line_hz: 50' (60 in the Americas and some of Asia)."
        shown = json.dumps(said)[:40] if said is not None else "no PowerLineFrequency in an _eeg.json"
        raise DataProblem(f"{where}: mains", shown, "50 or 60 Hz", cure)
    return reading.line_hz or float(said)  # type: ignore[arg-type]


def _said(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return "" if missing(text) or not text.isprintable() else text


def _history(filters: Mapping[str, Any]) -> dict[str, dict[str, str | float]]:
    """``SoftwareFilters`` as far as they are plain values; the rest as text."""
    return {
        str(name): {
            str(key): value if isinstance(value, int | float) and math.isfinite(value) else str(value)
            for key, value in (step.items() if isinstance(step, dict) else [("value", step)])
        }
        for name, step in filters.items()
    }


def _person(root: Path, entry: RecordingEntry) -> tuple[Mapping[str, str] | None, Table | None]:
    """The row of ``participants.tsv``, columns in small letters too."""
    if PARTICIPANTS not in entry.files:
        return None, None
    table = read_tsv(root / PARTICIPANTS, PARTICIPANTS)
    label = entry.id.subject.casefold()
    rows = [row for row in table.rows if row.get("participant_id", "").casefold().removeprefix("sub-") == label]
    if len(rows) > 1:
        where = f"{PARTICIPANTS}: sub-{entry.id.subject}"
        raise DataProblem(where, f"{len(rows)} rows", "one", "Keep the right one.")
    return (rows[0] if rows else None), table


def _sex(person: Mapping[str, str] | None) -> str | None:
    columns = {name.lower(): cell for name, cell in (person or {}).items()}
    letter = (columns.get("sex") or columns.get("gender") or "")[:1].upper()
    return letter if letter in ("F", "M") else None


def _age(person: Mapping[str, str] | None) -> int | None:
    text = plain({name.lower(): cell for name, cell in (person or {}).items()}.get("age", ""))
    return int(text) if text.isdecimal() and len(text) < 4 else None


# --- stimuli ----------------------------------------------------------------------------------------------------------


def _stimuli(
    name: str,
    reading: Reading,
    root: Path,
    names: Sequence[Name],
    runs: Sequence[Run],
    starts: Sequence[int],
    participants: Table | None,
    person: Mapping[str, str] | None,
) -> tuple[list[Event], list[str]]:
    notes: list[str] = []
    parts: list[tuple[Table, str | None, list[events.Found], int]] = []
    for run, start in zip(runs, starts, strict=True):
        table_name = sidecar(run.name, names, "events")
        if table_name is None:
            raise DataProblem(run.name.path, "no events.tsv for it", "one beside it or above it", "Copy it.")
        if len(runs) > 1 and table_name.get("sub") and table_name.get("run") is None:
            cure = f"Give each run a table of its own, or read one of them (files.run in {MAPPING})."
            found_text = f"one table for {len(runs)} runs: from which of them its times count is not said"
            raise DataProblem(table_name.path, found_text, "a table for each run", cure)
        table = read_tsv(root / table_name.path, table_name.path)
        found, said = events.find_stimuli(table, reading.stimuli, run.samples, run.rate_hz)
        events.number_trials(found, table, reading.stimuli)
        beh = sidecar(run.name, names, "beh")
        parts.append((table, beh.path if beh else None, found, start))
        notes += [*said, *_case_notes(run.name, [table_name, *([beh] if beh else [])])]
    everything = [one for _, _, found, _ in parts for one in found]
    events.count_trials(everything)
    made: list[Event] = []
    # A table of ratings without a run in its name counts through all runs.
    for beh_path in dict.fromkeys(path for _, path, _, _ in parts):
        members = [part for part in parts if part[1] == beh_path]
        beh_table = read_tsv(root / beh_path, beh_path) if beh_path else None
        tables = events.Tables(members[0][0], beh_table, participants, person)
        stimuli = [one for _, _, found, _ in members for one in found]
        offsets = [start for _, _, found, start in members for _ in found]
        shown, said = events.to_events(name, reading, stimuli, tables, runs[0].rate_hz, offsets)
        made += shown
        notes += said
    where = f"{runs[0].name.path}: stimuli"
    different = len({event.stimulus for event in made})
    for wanted, count, what in (
        (reading.n_stimuli, len(made), "stimuli"),
        (reading.n_different, different, "different_stimuli"),
    ):
        if wanted is not None and count != wanted:
            cure = f"Look at events.tsv, or correct expect.{what} in {MAPPING}."
            raise DataProblem(where, f"{count} {what.replace('_', ' ')}", f"{wanted}", cure)
    if different == 1 and len(made) > 2:
        notes.append(f"All {len(made)} stimuli have one name: check 'stimuli.name' if they were different clips.")
    return made, notes


def _case_notes(recording: Name, sidecars: Sequence[Name]) -> list[str]:
    """N2: names that differ in small and capital letters only."""
    own = set(recording.entities)
    return [f"{one.path} was paired without regard to case." for one in sidecars if not set(one.entities) <= own]
