"""FACED as NEMAR's nm000112: a BIDS folder with the samples of ``data.bdf``, one row a clip in the events tables.

As MNE-BIDS writes it: ``value`` numbers the texts of one file in alphabetical order, titles of films are the
``trial_type``, and columns that only clips have are ``n/a`` elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from eegpipe.datasets.faced.simulate import (
    DESIGN as PROCESSED,
)
from eegpipe.datasets.faced.simulate import ITEMS, UNIT_LOST, ratings_of, sex_and_age
from eegpipe.datasets.faced.simulate_raw import DESIGN, Person, record_person
from eegpipe.progress import Advance
from eegpipe.simulate.biosemi import write_edf
from eegpipe.simulate.plan import Plan
from eegpipe.simulate.truth import Truth

__all__ = ["DESIGN", "write"]

_TASK = "watchingVideoClips"
_BLUE = ("Blue",) * 4
_TITLES = (
    "The Tokyo Trial", "Documentary about the Nanjing Massacre", "City of Life and Death", "Trainspotting",
    "Indiana Jones and the Last Crusade", "Hellraiser", "The Shining", "The Shining", "The Exorcist", "In Bruges",
    "Departures", "Gangs of New York", *_BLUE, "Modern Times", "Minions", "Mr. Bean", "Forrest Gump",
    "The Theory of Everything", "The Shawshank Redemption", "My Neighbor Totoro", "Night at the Museum Ⅲ",
    "Harry Potter Ⅰ", " The Pursuit of Happiness", "Juno", "Sex and the City Ⅱ",
)  # fmt: skip
_RATINGS = tuple(item.capitalize() for item in ITEMS)
_COLUMNS = ("onset", "duration", "trial_type", "value", "sample", "emotion_label", "binary_label", "video_index")
_DESCRIPTIONS = {
    "onset": {
        "Description": "Onset (in seconds) of the event from the beginning of the first datapoint.",
        "Units": "s",
    },
    "duration": {"Description": "Duration of the event in seconds from onset.", "Units": "s"},
    "sample": {"Description": "The event onset time in number of sampling points.First sample is 0."},
    "value": {"Description": "The event code (also known as trigger code or event ID) associated with the event."},
    "trial_type": {"Description": "The type, category, or name of the event."},
}
_EXTRA = {"Description": "Additional metadata stored in raw.annotations.extras."}


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write the BIDS folder: ``dataset_description.json``, ``participants.tsv``, and ``sub-000/eeg/`` and so on."""
    seed = plan.settings.seed
    description = {
        "Name": "FACED - Finer-grained Affective Computing EEG Dataset",
        "BIDSVersion": "1.7.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "MNE-BIDS", "Version": "0.17.0", "CodeURL": "https://mne.tools/mne-bids/"}],
        "SourceDatasets": [{"DOI": "https://doi.org/10.1038/s41597-023-02650-w"}],
    }
    _write_json(folder / "dataset_description.json", description)
    people = [
        f"sub-{subject:03d}\t{age}\t{sex}" for subject in plan.people for sex, age in [sex_and_age(seed, subject)]
    ]
    _write_lines(folder / "participants.tsv", ["participant_id\tage\tsex", *people])
    for subject in plan.people:
        ratings = {clip.number: ratings_of(seed, subject, clip) for clip in plan.clips}
        person = record_person(plan, subject, ratings, truth, unit="uV")
        own = folder / f"sub-{subject:03d}" / "eeg"
        own.mkdir(parents=True)
        stem = f"sub-{subject:03d}_task-{_TASK}"
        write_edf(own / f"{stem}_eeg.bdf", person.signals, 1.0, kind="BDF")
        _write_json(own / f"{stem}_eeg.json", _sidecar(person))
        _write_lines(own / f"{stem}_channels.tsv", _channels(person, lost=subject in UNIT_LOST))
        _write_lines(own / f"{stem}_events.tsv", _events(person))
        described = _DESCRIPTIONS | dict.fromkeys((*_COLUMNS[5:], *_RATINGS), _EXTRA)
        _write_json(own / f"{stem}_events.json", described)
        scan = f"eeg/{stem}_eeg.bdf\t2023-01-01T00:00:00.000000Z"
        _write_lines(own.parent / f"sub-{subject:03d}_scans.tsv", ["filename\tacq_time", scan])
        advance()


def _sidecar(person: Person) -> dict[str, object]:
    """The re-host names another manufacturer than the data set's authors."""
    seconds = len(person.signals[0].counts) / person.rate_hz
    counts = dict.fromkeys(("EOG", "ECG", "EMG", "Misc", "Trigger"), 0)
    return {
        "TaskName": _TASK,
        "Manufacturer": "Biosemi",
        "PowerLineFrequency": "n/a",
        "SamplingFrequency": float(person.rate_hz),
        "SoftwareFilters": "n/a",
        "RecordingDuration": round(seconds - 1 / person.rate_hz, 3),
        "RecordingType": "continuous",
        "EEGReference": "n/a",
        "EEGGround": "n/a",
        "EEGPlacementScheme": "based on the extended 10/20 system",
        "EEGChannelCount": len(person.signals),
        **{f"{kind}ChannelCount": count for kind, count in counts.items()},
    }


def _channels(person: Person, *, lost: bool) -> list[str]:
    unit, rate_hz = "n/a" if lost else "µV", float(person.rate_hz)
    top_hz = float(person.rate_hz // 4)
    header = "name\ttype\tunits\tlow_cutoff\thigh_cutoff\tdescription\tsampling_frequency\tstatus\tstatus_description"
    return [
        header,
        *(
            f"{signal.label}\tEEG\t{unit}\t0.0\t{top_hz}\tElectroEncephaloGram\t{rate_hz}\tgood\tn/a"
            for signal in person.signals
        ),
    ]


def _events(person: Person) -> list[str]:
    """Rows in order of time; clips begin at their 101. Markers of clips are gone, all others have a row."""
    rows: list[tuple[float, str, str, list[str]]] = []
    clip_codes = {str(clip.number) for clip in PROCESSED.clips} | {"101", "102"}
    empty = ["n/a"] * (3 + len(_RATINGS))
    for onset_s, _, text in person.timeline.markers:
        if text not in clip_codes:
            rows.append((onset_s, "0.0", "Experiment start" if text == "100" else text, empty))
    for shown in person.shown:
        clip = shown.clip
        label = clip.label or ""
        word = "\\" if label == "neutral" else label.capitalize()
        sign = "neutral" if label == "neutral" else "negative" if clip.number <= 12 else "positive"
        marks = [repr(float(mark)) for mark in person.ratings[clip.number]]
        duration = repr(shown.n_samples / person.rate_hz)
        title = _TITLES[clip.number - 1]
        rows.append((shown.onset_sample / person.rate_hz, duration, title, [word, sign, str(clip.number), *marks]))
    rows.sort(key=lambda row: row[0])
    values: Mapping[str, int] = {text: place for place, text in enumerate(sorted({row[2] for row in rows}), start=1)}
    return ["\t".join((*_COLUMNS, *_RATINGS))] + [
        "\t".join([repr(onset_s), duration, text, str(values[text]), str(round(onset_s * person.rate_hz)), *rest])
        for onset_s, duration, text, rest in rows
    ]


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8", newline="\n")
