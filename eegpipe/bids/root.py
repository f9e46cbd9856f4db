"""The files at the root of a BIDS folder: what the data set is, who took part, what the columns mean.

They are written once, by one process, after all recordings: from the data set's facts and from what the recordings say
of themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eegpipe
from eegpipe.bids import sidecars
from eegpipe.bids.folder import list_recordings, read_sidecar
from eegpipe.errors import DataProblem

if TYPE_CHECKING:
    from eegpipe.datasets.base import Dataset
    from eegpipe.recording import RecordingId

BIDS_VERSION = "1.10.0"
# eegpipe's own keys in dataset_description.json; BIDS allows further keys there.
_NAME, _SIMULATED = "EegpipeDataset", "EegpipeSimulated"
_DESCRIPTION = "dataset_description.json"
_PARTICIPANT_COLUMNS = {
    "age": {"Description": "Age of the participant", "Units": "year"},
    "sex": {"Description": "Sex of the participant", "Levels": {"F": "female", "M": "male"}},
}


def write_root(
    root: str | Path,
    *,
    dataset: Dataset,
    simulated: bool,
    description: str | None = None,
    derivative: Mapping[str, Any] | None = None,
    ignore: Sequence[str] = (),
) -> None:
    """Write the root files for the recordings that are in the folder now.

    Parameters
    ----------
    description
        Which recordings count: ``"clean"`` for those with ``desc-clean``.
    derivative
        The first entry of ``GeneratedBy`` (``Name``, ``Version``, ``Description``) if this folder is made from another
        BIDS folder of eegpipe's; None if it is made from vendor files.
    ignore
        Files of the folder that are not BIDS, as lines of ``.bidsignore``.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    recordings = list_recordings(root, description=description)
    facts = {recording: read_sidecar(root, recording, description=description) for recording in recordings}
    texts = {
        "README": _readme(dataset, simulated, derivative),
        "participants.tsv": _participants(facts),
        "space-CapTrak_electrodes.json": sidecars.json_text(sidecars.ELECTRODES),
        "participants.json": sidecars.json_text(_PARTICIPANT_COLUMNS),
        ".bidsignore": "".join(f"{line}\n" for line in ignore),
    }
    for task in sorted({recording.task for recording in recordings}):
        texts[f"task-{task}_events.json"] = sidecars.json_text(sidecars.events_description(dataset))
        texts[f"task-{task}_eeg.json"] = sidecars.json_text(_task(dataset, task, simulated))
    for old in root.glob("task-*.json"):
        if old.name not in texts:
            old.unlink()
    # The description last: a folder without it is not finished.
    texts[_DESCRIPTION] = sidecars.json_text(_dataset_description(dataset, simulated, derivative))
    for name, text in texts.items():
        _replace(root / name, text)


def _replace(path: Path, text: str) -> None:
    """Write beside, then rename; an empty text removes the file; a file that says the same already stays untouched."""
    if not text:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        beside = path.with_name(f".eegpipe-{path.name}")
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)


def dataset_name(root: str | Path) -> str:
    """eegpipe's name of the data set in a BIDS folder, such as ``"seed"``."""
    return str(_description(Path(root))[_NAME])


def is_simulated(root: str | Path) -> bool:
    """Whether the recordings of a BIDS folder were simulated by eegpipe."""
    return bool(_description(Path(root))[_SIMULATED])


def _description(root: Path) -> dict[str, Any]:
    try:
        text = json.loads((root / _DESCRIPTION).read_text(encoding="utf-8"))
        if {_NAME, _SIMULATED} <= set(text):
            return text
        found = f"no '{_NAME}'"
    except FileNotFoundError:
        found = "no such file"
    except (OSError, ValueError) as error:
        found = f"no readable JSON ({error.__class__.__name__})"
    raise DataProblem(
        f"{root.name}/{_DESCRIPTION}",
        found,
        "the description of a BIDS folder that eegpipe finished",
        "Run the stage that writes this folder (dvc repro bids, dvc repro clean) to its end.",
    )


def _dataset_description(dataset: Dataset, simulated: bool, derivative: Mapping[str, Any] | None) -> dict[str, Any]:
    name = f"Simulated recordings in the form of {dataset.title}" if simulated else dataset.title
    step = {
        "Name": "eegpipe",
        "Version": eegpipe.__version__,
        "Description": "Conversion of the vendor's files to BIDS; the signal is unchanged",
    }
    licence = "n/a (simulated, holds nothing of the original)" if simulated else dataset.licence
    text: dict[str, Any] = {
        "Name": f"{name}, {derivative['Name']}" if derivative else name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative" if derivative or dataset.already_processed else "raw",
        "License": licence or sidecars.NOTHING,
        "Authors": ["eegpipe's simulator"] if simulated else list(dataset.authors),
        "HowToAcknowledge": "Not data of the named study; do not cite as such" if simulated else dataset.citation,
        "ReferencesAndLinks": [dataset.url] if dataset.url else [],
        "GeneratedBy": [*([dict(derivative)] if derivative else []), step],
        "SourceDatasets": [{"URL": dataset.url}] if dataset.url and not simulated else [],
        _NAME: dataset.name,
        _SIMULATED: simulated,
    }
    return {key: value for key, value in text.items() if value not in ("", [])}


def _participants(facts: Mapping[RecordingId, Mapping[str, Any]]) -> str:
    rows: dict[str, dict[str, str]] = {}
    for recording, text in facts.items():
        row = rows.setdefault(recording.subject, {"participant_id": f"sub-{recording.subject}"})
        for column, key in (("age", "SubjectAge"), ("sex", "SubjectSex")):
            # The first session that knows it; a later session may be a birthday later.
            if row.get(column, sidecars.NOTHING) == sidecars.NOTHING:
                row[column] = str(text.get(key, sidecars.NOTHING))
    return sidecars.table_text(["participant_id", *_PARTICIPANT_COLUMNS], list(rows.values()))


def _task(dataset: Dataset, task: str, simulated: bool) -> dict[str, Any]:
    """``task-<task>_eeg.json``: what all recordings of the task inherit."""
    return {
        "TaskName": task,
        "TaskDescription": dataset.task_description or sidecars.NOTHING,
        "Manufacturer": "n/a (simulated)" if simulated else dataset.manufacturer,
    }


def _readme(dataset: Dataset, simulated: bool, derivative: Mapping[str, Any] | None) -> str:
    lines = [dataset.title, "=" * len(dataset.title), ""]
    if simulated:
        lines += [
            "SIMULATED. These recordings were made by eegpipe's simulator in the form of the data set named above. No",
            "person was recorded, and no result on them says anything about people.",
            "",
        ]
    if derivative:
        lines += [f"{derivative.get('Description', derivative['Name'])}.", ""]
    elif dataset.already_processed:
        lines += [
            "The vendor had processed the signals already when they were converted (DatasetType: derivative); what is",
            "known of the steps stands under SoftwareFilters in each *_eeg.json. The conversion changed nothing.",
            "",
        ]
    if dataset.task_description:
        lines += [f"Task: {dataset.task_description}", ""]
    lines += [
        "Signals are BrainVision files of float32 microvolts. Electrode positions are template positions. The columns",
        "of *_events.tsv are described in task-*_events.json; valence and arousal lie between -4 and 4 in every data",
        "set that eegpipe converts, and affect_source says where they come from. An 'EDGE boundary' parts stretches",
        "that were not recorded one after the other.",
        "",
    ]
    if not simulated:
        lines += [
            f"{name}: {text}" for name, text in (("Licence", dataset.licence), ("Cite", dataset.citation)) if text
        ]
    lines += [f"Vendor: {dataset.url}"] if dataset.url else []
    return "\n".join([*lines, ""])
