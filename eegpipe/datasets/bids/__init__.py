"""Any BIDS-EEG folder with a mapping file: a data set of the user's own, or an open one without a reader of its own.

What differs from one such folder to the next stands in ``eegpipe.yaml`` (docs/mapping-a-bids-dataset.md). ``DATASET``
is the kind; :func:`at` gives the data set that a folder holds.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from eegpipe.datasets import MAPPING
from eegpipe.datasets.base import Dataset, Discovery, Facts, Irregularity, Variant
from eegpipe.datasets.bids import layout, simulate
from eegpipe.datasets.bids.mapping import load
from eegpipe.datasets.bids.reader import read
from eegpipe.simulate.simulator import Simulator

_FILES = f"BIDS-EEG (.edf, .bdf, .vhdr, .set) with {MAPPING}"
_DESCRIPTION = "dataset_description.json"
# A recording of an hour with 64 channels at 1000 Hz: float32 beside float64.
_MEMORY_GB = 3.5


def at(root: Path) -> Dataset:
    """The data set that a folder with a mapping file holds.

    Raises
    ------
    UsageProblem
        If the mapping file is missing or wrong; the message names line and key.
    """
    mapping = load(root)
    folder = layout.data_folder(root, mapping)
    described = _described(folder / _DESCRIPTION) if folder else {}
    subjects = mapping.n_subjects or (len(layout.list_subjects(folder)) if folder else 0)
    reading = mapping.reading
    variant = Variant(
        name="bids",
        files=_FILES,
        tree=layout.TREE,
        facts=Facts(
            subjects=subjects,
            sessions=max(1, len(mapping.files.session)),
            trials=reading.n_stimuli or 0,
            rate_hz=reading.rates_hz[0] if reading.rates_hz else 0.0,
            channels=(),
            other_rates_hz=reading.rates_hz[1:],
            reference=reading.reference or "unknown",
            line_hz=reading.line_hz or 50.0,
        ),
        recognise=layout.recognise,
        discover=partial(layout.discover, mapping),
        read=partial(read, mapping.name, reading),
        already_processed=mapping.already_processed,
        memory_gb=_MEMORY_GB,
    )
    title = mapping.title or _text(described.get("Name")) or mapping.name
    doi = _text(described.get("DatasetDOI"))
    return Dataset(
        name=mapping.name,
        title=title,
        variants=(variant,),
        labels=reading.label.classes if reading.label else (),
        ratings={rating.name: rating.scale for rating in reading.ratings},
        irregularities=IRREGULARITIES,
        licence=mapping.licence or _text(described.get("License")),
        authors=mapping.authors or _texts(described.get("Authors")),
        citation=mapping.citation or _text(described.get("HowToAcknowledge")) or doi,
        url=mapping.url or (f"https://doi.org/{doi.removeprefix('doi:')}" if doi.startswith(("doi:", "10.")) else ""),
        task_description=_text(described.get("TaskDescription")),
        at=at,
    )


def _described(path: Path) -> dict[str, Any]:
    """``dataset_description.json``; only words for people, so an unreadable one is no reason to refuse the folder."""
    try:
        if path.stat().st_size > 2**20:
            return {}
        text = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return text if isinstance(text, dict) else {}


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(filter(None, map(_text, value))) if isinstance(value, list) else ()


def _discover(root: Path) -> Discovery:
    return layout.discover(load(root), root)


def _read(root: Path, entry: Any) -> Any:
    mapping = load(root)
    return read(mapping.name, mapping.reading, root, entry)


IRREGULARITIES = (
    Irregularity("N1", "", "Onsets and durations in milliseconds: the mapping says so, and it is checked."),
    Irregularity("N2", "", "task-Emotion beside task-emotion: paired without regard to case, with a note."),
    Irregularity("N3", "", "A channels.tsv without names is not used, with a note."),
    Irregularity("N4", "", "Events out of order are sorted, with a note."),
    Irregularity("N5", "", "Events of duration 0 end at another event or after a time that the mapping gives."),
    Irregularity("N6", "", "Tables above the eeg folder hold for all below (inheritance principle)."),
    Irregularity("N7", "", "CRLF, byte-order marks, 'n/a' and numbers such as '40.0' are read as what they mean."),
)

DATASET = Dataset(
    name="bids",
    title="Any BIDS-EEG folder, read as a mapping file beside it says",
    variants=(
        Variant(
            name="bids",
            files=_FILES,
            tree=layout.TREE,
            facts=simulate.FACTS,
            recognise=layout.recognise,
            discover=_discover,
            read=_read,
            memory_gb=_MEMORY_GB,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=(),
    irregularities=IRREGULARITIES,
    access=(
        "Your own recordings, or open ones such as those of OpenNeuro (https://openneuro.org), as BIDS-EEG. Put a file "
        f"{MAPPING} beside them that says what events and columns mean: docs/mapping-a-bids-dataset.md."
    ),
    size="any",
    licence="that of the data set",
    url="https://bids-specification.readthedocs.io",
    task_description="As the folder's own description says.",
    at=at,
)
