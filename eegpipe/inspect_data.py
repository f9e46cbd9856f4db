"""What ``eegpipe inspect`` says about recordings: a vendor's folder, a BIDS data set, a cleaned derivative."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe.affect import LIMIT, AffectSource
from eegpipe.channels import REFERENCES, canonical
from eegpipe.errors import DataProblem
from eegpipe.inspect_report import Report

if TYPE_CHECKING:
    from eegpipe.datasets.base import About, Dataset, Discovery, Facts, RecordingEntry, Variant
    from eegpipe.recording import Recording, RecordingId

# Standard deviation below this is no signal, above that no EEG, microvolt.
FLAT_UV = 0.01
LOUDEST_UV = 10_000.0
# From this share of interpolated channels on a recording rests on too few electrodes.
MANY_BAD = 0.3


def inspect_vendor(path: Path, dataset: Dataset, variant: Variant, *, read: bool = False) -> Report:
    """What a conversion would find: by file names, or with ``read`` by reading every recording.

    Nothing is written. Every problem says whether it is a listed irregularity of the data set or new.
    """
    found = variant.discover(path)
    facts = variant.facts.expected(path)
    report = Report("vendor files", dataset.title)
    by_subject: dict[str, list[Any]] = {}
    for entry in found.entries:
        by_subject.setdefault(entry.id.subject, []).append(entry)
    report.facts = [
        ("data set", dataset.name),
        ("variant", f"{variant.name}: {variant.files}"),
        ("simulated", found.simulated),
        ("licence", dataset.licence),
        ("irregularities known", len(dataset.irregularities)),
    ]
    files = {file for entry in found.entries for file in entry.files}
    report.expectations = [
        ("subjects", facts.subjects, len(by_subject)),
        ("recordings", facts.subjects * facts.sessions, len(found.entries)),
        ("files that are needed", None, len(files)),
        ("GB", dataset.size or None, round(sum(map(_size, (found.root / file for file in files))) / 1e9, 2)),
    ]
    rows = _read_all(found, dataset, variant, report) if read else {}
    report.expectations += _read_facts(facts, rows.values()) if rows else _unread_facts(facts, dataset)
    for subject, entries in by_subject.items():
        mine = sorted({file for entry in entries for file in entry.files})
        size = sum(map(_size, (found.root / file for file in mine)))
        report.contents.append(
            {"subject": subject, "recordings": len(entries), "files": len(mine), "MB": round(size / 1e6, 1)}
            | {
                name: sum(rows[one.id][name] for one in entries if one.id in rows)
                for name in ("trials", "minutes")
                if rows
            }
        )
        for entry in entries:
            for file in entry.files:
                if (found.root / file).is_file() and not _size(found.root / file):
                    report.error(variant.call(entry, file), "an empty file", "Copy or download it again.")
    for problem in found.problems:
        _report_problem(problem, dataset, report)
    for note in found.notes:
        report.note(dataset.name, note)
    if not found.entries and not found.problems:
        report.error(path.name, "no recording in it", f"Expected:\n{variant.tree}")
    return report


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _report_problem(problem: DataProblem, dataset: Dataset, report: Report) -> None:
    known = dataset.known(problem)
    listed = f"Known ({known.name}): {known.text}" if known else f"New: no listed irregularity of {dataset.name}."
    report.error(problem.where, f"found {problem.found}, expected {problem.expected}.", f"{problem.cure} {listed}")


def _read_all(found: Discovery, dataset: Dataset, variant: Variant, report: Report) -> dict[Any, dict[str, Any]]:
    """Read every recording as a conversion would, one after the other; what cannot be read is an error."""
    from eegpipe.bids.hum import check_line_frequency
    from eegpipe.progress import bar

    rows: dict[Any, dict[str, Any]] = {}
    with bar(f"Reading {dataset.name}", len(found.entries)) as advance:
        for entry, result in _results(found, variant):
            try:
                if isinstance(result, DataProblem):
                    raise result
                check_line_frequency(result)
                kinds = result.raw.get_channel_types()
                rows[entry.id] = {
                    "rate": float(result.raw.info["sfreq"]),
                    "channels": [name for name, kind in zip(result.raw.ch_names, kinds, strict=True) if kind == "eeg"],
                    "trials": len(result.stimuli),
                    "labels": {event.label for event in result.stimuli if event.label},
                    "minutes": round(result.raw.n_times / result.raw.info["sfreq"] / 60, 1),
                }
                for note in result.notes:
                    report.note(entry.id.stem, note)
            except DataProblem as problem:
                _report_problem(problem, dataset, report)
            advance()
    return rows


def _results(found: Discovery, variant: Variant) -> Iterator[tuple[RecordingEntry, Recording | DataProblem]]:
    bad = {entry.id: problem for entry in found.entries if (problem := variant.unreadable(found.root, entry))}
    if variant.read_together and not bad:
        try:
            yield from variant.read_together(found.root, found.entries)
        except DataProblem as problem:  # of the one file itself: said once
            yield found.entries[0], problem
        return
    for entry in found.entries:
        if entry.id in bad:
            yield entry, bad[entry.id]
            continue
        try:
            yield entry, variant.read(found.root, entry)
        except DataProblem as problem:
            yield entry, problem


def _unread_facts(facts: Facts, dataset: Dataset) -> list[tuple[str, Any, Any]]:
    """What only a conversion, or an inspection with --read, can compare."""
    rates = [rate for rate in (facts.rate_hz, *facts.other_rates_hz) if rate]
    known = [
        ("trials per session", facts.trials or None),
        ("rate (Hz)", rates or None),
        ("channels in the files", len(facts.channels) or None),
        ("labels", list(dataset.labels) or None),
    ]
    return [(name, expected, "not read (--read)") for name, expected in known if expected]


def _read_facts(facts: Facts, rows: Collection[Mapping[str, Any]]) -> list[tuple[str, Any, Any]]:
    rates = sorted(rate for rate in (facts.rate_hz, *facts.other_rates_hz) if rate)
    trials = sorted({row["trials"] for row in rows})
    scalp = len([name for name in map(canonical, facts.channels) if name and name not in REFERENCES])
    return [
        ("trials per session", facts.trials or None, trials[0] if len(trials) == 1 else trials),
        ("rate (Hz)", rates or None, sorted({row["rate"] for row in rows})),
        ("EEG channels", scalp or None, sorted({len(row["channels"]) for row in rows})),
        ("labels", None, sorted({label for row in rows for label in row["labels"]})),
        ("hours", None, sum(row["minutes"] for row in rows) / 60),
    ]


def inspect_bids(path: Path, *, validate: bool = False) -> Report:
    """Read every recording, and ``quality.tsv`` of a cleaned data set."""
    from eegpipe import bids
    from eegpipe.progress import bar

    cleaned = bids.list_recordings(path, description="clean")
    description = "clean" if cleaned else None
    recordings = cleaned if description else bids.list_recordings(path)
    report = Report("cleaned data set" if description else "BIDS data set", path.name)
    subjects = list(dict.fromkeys(id.subject for id in recordings))
    report.facts = [("recordings", len(recordings)), ("subjects", subjects)]
    if validate:
        for finding in bids.validate(path):
            # Its warnings are recommendations (a second author, a device's serial number), not doubts about the data.
            (report.error if finding.severity == "error" else report.note)(
                finding.where or "official validator", " ".join(f"{finding.code} {finding.message}".split())
            )
    try:
        about = bids.about(path)
    except DataProblem as problem:
        report.error(
            "dataset_description.json", problem.found, "Only data sets that `eegpipe bids` finished can be looked into."
        )
        return report

    rows = []
    with bar(f"Reading {path.name}", len(recordings)) as advance:
        for id in recordings:
            row = _look(path, id, description, report)
            rows += [row] if row else []
            advance()
    report.title = about.title
    report.facts = [
        ("data set", about.name),
        ("simulated", about.simulated),
        *report.facts,
        ("stimuli", len({name for row in rows for name in row["stimuli"]})),
        ("labels", [label for label in about.labels if any(label in row["labels"] for row in rows)]),
        ("valence and arousal", sorted({name for row in rows for name in row["sources"]})),
        ("hours", sum(row["minutes"] for row in rows) / 60),
    ]
    shown = ("recording", "channels", "rate (Hz)", "minutes", "trials")
    report.contents = [{name: row[name] for name in shown} for row in rows]
    if not recordings:
        report.error(path.name, "no recording in it", "Run the stage that writes this folder.")
    _check_subjects(path, set(subjects), about, report)
    _check_alike(rows, about, report)
    for header in path.glob("sub-*/**/*_eeg.vhdr"):
        if not header.with_suffix(".json").is_file():
            where = header.relative_to(path).as_posix()
            report.warning(where, "an interrupted write, without *_eeg.json", "Run the stage that writes it again.")
    if description:
        _check_quality(path, recordings, report)
    return report


def _look(path: Path, id: RecordingId, description: str | None, report: Report) -> dict[str, Any] | None:
    """One recording: its row, with what is compared across recordings; None if it cannot be read."""
    from eegpipe import bids

    try:
        recording = bids.read_recording(path, id, description=description)
        _check_signal(recording, report)
    except DataProblem as problem:
        report.problem(problem)
        return None
    kinds = recording.raw.get_channel_types()
    names = [name for name, kind in zip(recording.raw.ch_names, kinds, strict=True) if kind == "eeg"]
    if unknown := [name for name in names if canonical(name) != name]:
        report.warning(f"{id.stem}: channels", f"not in the unified schema: {', '.join(unknown)}", "Rename them.")
    stimuli = recording.stimuli
    if not stimuli:
        report.error(f"{id.stem}: events", "no stimulus", "Convert the data set again.")
    for event in stimuli:
        for axis, value in (("valence", event.affect.valence), ("arousal", event.affect.arousal)):
            if abs(value) > LIMIT:
                where = f"{id.stem}: events, trial {event.trial}"
                report.error(where, f"{axis} {value:g}, outside -{LIMIT:g} to {LIMIT:g}", "Correct the reader's scale.")
    return {
        "recording": id.stem,
        "channels": len(names),
        "rate (Hz)": float(recording.raw.info["sfreq"]),
        "minutes": round(recording.raw.n_times / recording.raw.info["sfreq"] / 60, 2),
        "trials": len(stimuli),
        "task": id.task,
        "stimuli": [event.stimulus for event in stimuli if event.stimulus],
        "labels": [event.label for event in stimuli if event.label],
        "sources": [event.affect.source.text for event in stimuli if event.affect.source != AffectSource.UNKNOWN],
    }


def _check_signal(recording: Recording, report: Report) -> None:
    where = f"{recording.id.stem}: signal"
    kinds = zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True)
    names = [name for name, kind in kinds if kind == "eeg" and name not in REFERENCES]
    if not names:
        report.error(where, "no EEG channel", "Correct the types in channels.tsv.")
        return
    signal_uv = recording.raw.get_data(picks=names) * 1e6
    if broken := [name for name, values in zip(names, signal_uv, strict=True) if not np.isfinite(values).all()]:
        report.error(where, f"NaN or infinity in {', '.join(broken)}", "Convert and clean this recording again.")
        return
    deviation_uv = signal_uv.std(axis=1)
    if flat := [name for name, value in zip(names, deviation_uv, strict=True) if value < FLAT_UV]:
        report.warning(where, f"flat channels {', '.join(flat)}", "Cleaning interpolates them; look at the file.")
    if (usual := float(np.median(deviation_uv))) > LOUDEST_UV:
        report.warning(where, f"typical amplitude {usual:.0f} uV, no EEG", "Check the units in channels.tsv.")


def _check_subjects(path: Path, subjects: set[str], about: About, report: Report) -> None:
    table = path / "participants.tsv"
    if not table.is_file():
        report.warning("participants.tsv", "is missing", "Convert the data set again.")
    else:
        listed = {row.get("participant_id", "").removeprefix("sub-") for row in _rows(table)}
        for text, names in (("listed, but without a recording", listed - subjects), ("not listed", subjects - listed)):
            if names:
                report.warning("participants.tsv", f"subjects {', '.join(sorted(names))} {text}", "Convert again.")
    # A simulated tree is smaller, and of an open data set any part may be used: only the user can tell.
    if not about.simulated and len(subjects) < about.subjects:
        report.note("subjects", f"{len(subjects)} of the data set's {about.subjects}.")


def _check_alike(rows: Sequence[dict[str, Any]], about: About, report: Report) -> None:
    """Recordings of one task should agree in rate, channels and trials."""
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        for name in ("rate (Hz)", "channels", "trials"):
            values = [row[name] for row in mine]
            usual = max(sorted(set(values)), key=values.count)
            for row in mine:
                if row[name] != usual:
                    report.warning(
                        row["recording"], f"{name} {row[name]}, where most have {usual}", "Look at its files."
                    )
    labels = {label for row in rows for label in row["labels"]}
    if rows and len(about.labels) > 1 and len(labels) < 2:
        text = f"all trials are '{labels.pop()}'" if labels else "no trial has one"
        report.warning("labels", f"{text}, where {about.name} has {len(about.labels)}", "Look at events.tsv.")


def _check_quality(path: Path, recordings: Sequence[RecordingId], report: Report) -> None:
    table = path / "quality.tsv"
    if not table.is_file():
        report.warning("quality.tsv", "is missing", "Run the clean stage again.")
        return
    content = _rows(table)
    if not content or not {"recording", "status", "problem", "bad_share"} <= set(content[0]):
        report.warning("quality.tsv", "is not the table that the clean stage writes", "Run the clean stage again.")
        return
    rows = {row["recording"]: row for row in content}
    for row in rows.values():
        if row["status"] != "ok":
            report.error(f"quality.tsv: {row['recording']}", f"cleaning failed: {row['problem']}", "See the message.")
        elif float(row["bad_share"]) > MANY_BAD:
            report.warning(
                f"quality.tsv: {row['recording']}",
                f"{float(row['bad_share']):.0%} of the channels were bad and are interpolated",
                "Leave it out, or look at its signal.",
            )
    if unlisted := sorted({id.stem for id in recordings} - set(rows)):
        report.warning("quality.tsv", f"without {', '.join(unlisted)}", "Run the clean stage again.")


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))
