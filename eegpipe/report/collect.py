"""What a project holds beside its metrics: data sets, quality tables, pre-trained models."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eegpipe import bids
from eegpipe.errors import DataProblem
from eegpipe.recording import RecordingId

CLEAN = "clean"  # of desc-clean


@dataclass(frozen=True)
class DataSet:
    """One data set as BIDS and, where there is one, its cleaned derivative. Counts are those of the BIDS folder."""

    name: str
    title: str
    simulated: bool
    licence: str
    subjects: int
    recordings: tuple[RecordingId, ...]
    trials: int
    hours: float
    channels: tuple[int, ...]  # numbers of EEG channels that occur
    rate_hz: tuple[float, ...]
    stimuli: int
    quality: tuple[Mapping[str, str], ...] | None  # rows of quality.tsv
    cleaned: tuple[RecordingId, ...]
    filters: Mapping[str, Any]  # SoftwareFilters of the first cleaned recording
    software: tuple[str, ...]  # "name version" from GeneratedBy, of both folders

    @property
    def failed(self) -> list[Mapping[str, str]]:
        """Rows of the quality table that say why a recording is not among the cleaned ones."""
        return [row for row in self.quality or () if row["status"] != "ok"]


@dataclass(frozen=True)
class Model:
    """One pre-trained encoder."""

    method: str
    target: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    parameters: int
    log: Mapping[str, tuple[float, ...]]  # column -> value of each epoch


def read_data_sets(root: Path) -> list[DataSet]:
    """Every data set under ``data/bids``, by name.

    Raises
    ------
    DataProblem
        If a folder there was not finished by its stage.
    """
    folders = sorted(path for path in (root / "data" / "bids").glob("*") if path.is_dir())
    return [_data_set(folder, root / "data" / "clean" / folder.name) for folder in folders]


def _data_set(folder: Path, clean: Path) -> DataSet:
    recordings = bids.list_recordings(folder)
    facts = [bids.read_sidecar(folder, recording) for recording in recordings]
    stimuli = [event for recording in recordings for event in _stimuli(folder, recording)]
    description = _json(folder / "dataset_description.json", folder.parent)
    cleaned = bids.list_recordings(clean, description=CLEAN) if clean.is_dir() else []
    made_by = list(description.get("GeneratedBy", []))
    filters: Mapping[str, Any] = {}
    if cleaned:
        made_by += _json(clean / "dataset_description.json", clean.parent).get("GeneratedBy", [])
        stated = bids.read_sidecar(clean, cleaned[0], description=CLEAN).get("SoftwareFilters")
        filters = stated if isinstance(stated, dict) else {}
    return DataSet(
        name=bids.about(folder).name,
        title=str(description["Name"]),
        simulated=bids.about(folder).simulated,
        licence=str(description.get("License", "not stated")),
        subjects=len({recording.subject for recording in recordings}),
        recordings=tuple(recordings),
        trials=len(stimuli),
        hours=sum(fact.get("RecordingDuration", 0.0) for fact in facts) / 3600,
        channels=tuple(sorted({fact["EEGChannelCount"] for fact in facts if "EEGChannelCount" in fact})),
        rate_hz=tuple(sorted({fact["SamplingFrequency"] for fact in facts if "SamplingFrequency" in fact})),
        stimuli=len(set(stimuli)),
        quality=_table(clean / "quality.tsv", "\t"),
        cleaned=tuple(cleaned),
        filters=filters,
        software=tuple(dict.fromkeys(f"{step['Name']} {step.get('Version', '')}".strip() for step in made_by)),
    )


def _stimuli(folder: Path, recording: RecordingId) -> list[str]:
    """The stimulus of each trial, from the events table alone: no signal is read for a count."""
    path = folder / recording.folder / f"{recording.stem}_events.tsv"
    return [row["stimulus"] for row in _table(path, "\t") or () if row["trial_type"] == "stimulus"]


def read_models(root: Path) -> list[Model]:
    """Every encoder under ``models/<method>/<target>``.

    Raises
    ------
    DataProblem
        If a folder with a manifest lacks its other files.
    """
    manifests = sorted((root / "models").glob("*/*/manifest.json"))
    return [_model(path.parent, root) for path in manifests]


def _model(folder: Path, root: Path) -> Model:
    from safetensors import safe_open

    where = folder.relative_to(root).as_posix()
    try:
        parameters = 0
        with safe_open(folder / "weights.safetensors", framework="numpy") as weights:
            for name in weights.keys():  # noqa: SIM118  (no mapping)
                count = 1
                for length in weights.get_slice(name).get_shape():
                    count *= length
                parameters += count
        rows = _table(folder / "log.csv", ",") or ()
        columns = rows[0].keys() if rows else ()
        return Model(
            method=folder.parent.name,
            target=folder.name,
            manifest=_json(folder / "manifest.json", root),
            config=_json(folder / "config.json", root),
            parameters=parameters,
            log={name: tuple(float(row[name]) for row in rows) for name in columns},
        )
    except (OSError, ValueError) as error:
        text = f"something unreadable ({error.__class__.__name__})"
        raise DataProblem(where, text, "the folder of an encoder", "Run the pretrain stage again.") from None


def _json(path: Path, root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        where = path.relative_to(root).as_posix()
        cure = "Run the stage that writes it again."
        raise DataProblem(where, f"no readable JSON ({error.__class__.__name__})", "an object", cure) from None


def _table(path: Path, delimiter: str) -> tuple[dict[str, str], ...] | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(
            csv.DictReader(
                lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
            )
        )
