"""The files at the root of a BIDS folder: what the data set is, who took part, what the columns mean.

They are written once, by one process, after all recordings: from the data set's facts and from what the recordings say
of themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eegpipe
from eegpipe.bids import sidecars
from eegpipe.bids.folder import list_recordings, read_sidecar
from eegpipe.datasets.base import About
from eegpipe.errors import DataProblem

if TYPE_CHECKING:
    from eegpipe.recording import RecordingId

BIDS_VERSION = "1.10.0"
# eegpipe's own key in dataset_description.json; BIDS allows further keys there.
_ABOUT = "Eegpipe"
_DESCRIPTION = "dataset_description.json"
_PARTICIPANT_COLUMNS = {
    "age": {"Description": "Age of the participant", "Units": "year"},
    "sex": {"Description": "Sex of the participant", "Levels": {"F": "female", "M": "male"}},
}


def write_root(
    root: str | Path,
    *,
    about: About,
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
        "README": _readme(about, derivative),
        "participants.tsv": _participants(facts),
        "space-CapTrak_electrodes.json": sidecars.json_text(sidecars.ELECTRODES),
        "participants.json": sidecars.json_text(_PARTICIPANT_COLUMNS),
        ".bidsignore": "".join(f"{line}\n" for line in ignore),
    }
    for task in sorted({recording.task for recording in recordings}):
        texts[f"task-{task}_events.json"] = sidecars.json_text(sidecars.events_description(about))
        texts[f"task-{task}_eeg.json"] = sidecars.json_text(_task(about, task))
    for old in root.glob("task-*.json"):
        if old.name not in texts:
            old.unlink()
    # The description last: a folder without it is not finished.
    texts[_DESCRIPTION] = sidecars.json_text(_dataset_description(about, derivative))
    for name, text in texts.items():
        replace_text(root / name, text)


def replace_text(path: Path, text: str) -> None:
    """Write beside, then rename; an empty text removes the file; a file that says the same already stays untouched."""
    if not text:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        beside = path.with_name(f".eegpipe-{path.name}")
        try:
            beside.write_text(text, encoding="utf-8", newline="\n")
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def about(root: str | Path) -> About:
    """What the data set in a BIDS folder is, as :func:`write_root` was told.

    Raises
    ------
    DataProblem
        If this is no BIDS folder that eegpipe finished.
    """
    root = Path(root)
    try:
        text = dict(json.loads((root / _DESCRIPTION).read_text(encoding="utf-8"))[_ABOUT])
        text["ratings"] = tuple((name, (float(low), float(high))) for name, (low, high) in text["ratings"].items())
        return About(**text | {name: tuple(text[name]) for name in ("labels", "authors")})
    except FileNotFoundError:
        found = "no such file"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        found = f"no readable '{_ABOUT}' ({error.__class__.__name__})"
    raise DataProblem(
        f"{root.name}/{_DESCRIPTION}",
        found,
        "the description of a BIDS folder that eegpipe finished",
        "Run the stage that writes this folder (dvc repro bids, dvc repro clean) to its end.",
    )


def _dataset_description(about: About, derivative: Mapping[str, Any] | None) -> dict[str, Any]:
    name = f"Simulated recordings in the form of {about.title}" if about.simulated else about.title
    step = {
        "Name": "eegpipe",
        "Version": eegpipe.__version__,
        "Description": "Conversion of the vendor's files to BIDS; the signal is unchanged",
    }
    licence = "n/a (simulated, holds nothing of the original)" if about.simulated else about.licence
    text: dict[str, Any] = {
        "Name": f"{name}, {derivative['Name']}" if derivative else name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative" if derivative or about.already_processed else "raw",
        "License": licence or sidecars.NOTHING,
        "Authors": ["eegpipe's simulator"] if about.simulated else list(about.authors),
        "HowToAcknowledge": "Not data of the named study; do not cite as such" if about.simulated else about.citation,
        "ReferencesAndLinks": [about.url] if about.url else [],
        "GeneratedBy": [*([dict(derivative)] if derivative else []), step],
        "SourceDatasets": [{"URL": about.url}] if about.url and not about.simulated else [],
        _ABOUT: asdict(about) | {"ratings": {name: list(scale) for name, scale in about.ratings}},
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


def _task(about: About, task: str) -> dict[str, Any]:
    """``task-<task>_eeg.json``: what all recordings of the task inherit."""
    return {
        "TaskName": task,
        "TaskDescription": about.task_description or sidecars.NOTHING,
        "Manufacturer": "n/a (simulated)" if about.simulated else about.manufacturer,
    }


def _readme(about: About, derivative: Mapping[str, Any] | None) -> str:
    lines = [about.title, "=" * len(about.title), ""]
    if about.simulated:
        lines += [
            "SIMULATED. These recordings were made by eegpipe's simulator in the form of the data set named above. No",
            "person was recorded, and no result on them says anything about people.",
            "",
        ]
    if derivative:
        lines += [f"{derivative.get('Description', derivative['Name'])}.", ""]
    elif about.already_processed:
        lines += [
            "The vendor had processed the signals already when they were converted (DatasetType: derivative); what is",
            "known of the steps stands under SoftwareFilters in each *_eeg.json. The conversion changed nothing.",
            "",
        ]
    if about.task_description:
        lines += [f"Task: {about.task_description}", ""]
    lines += [
        "Signals are BrainVision files of float32 microvolts. Electrode positions are template positions. The columns",
        "of *_events.tsv are described in task-*_events.json; valence and arousal lie between -4 and 4 in every data",
        "set that eegpipe converts, and affect_source says where they come from. An 'EDGE boundary' parts stretches",
        "that were not recorded one after the other.",
        "",
    ]
    if not about.simulated:
        lines += [f"{name}: {text}" for name, text in (("Licence", about.licence), ("Cite", about.citation)) if text]
    lines += [f"Vendor: {about.url}"] if about.url else []
    return "\n".join([*lines, ""])
