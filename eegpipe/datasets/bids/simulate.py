"""A BIDS-EEG folder in the manner of DENS (OpenNeuro ds003751), with its mapping file.

Like DENS: EEGLAB files at 250 Hz against Cz, film clips shown in an order of each person's own, ratings after every
clip in ``beh``, times in milliseconds, ``task-Emotion`` in the names of signals, ``task-emotion`` of events.
Unlike it: 32 channels with names instead of 128 with numbers. With ``traps``, also what is found in other open sets
(EmoEEG-MC, OpenNeuro ds005540): each of the first four people has some of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.affect import from_rating, from_word
from eegpipe.datasets.base import Facts
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import WORDS, felt, rate
from eegpipe.simulate.brain import Person, draw_person
from eegpipe.simulate.containers import write_mat
from eegpipe.simulate.continuous import Placed, record_continuously
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

# Of the kind, not of the simulated folder: any number of subjects, any channels.
FACTS = Facts(subjects=0, sessions=0, trials=0, rate_hz=0.0, channels=())

# DENS shows eleven clips of a minute; the names of the files and their classes are made up.
_FILMS = {
    "neutral_1.mp4": "neutral", "12.m4v": "joy", "8.m4v": "amusement", "4.mp4": "fear", "15.mp4": "sadness",
    "17.mp4": "fear", "16.mp4": "anger", "neutral_2.mp4": "neutral", "7.mp4": "disgust", "2.m4v": "joy",
    "24.mp4": "sadness",
}  # fmt: skip
_NAMES = tuple(_FILMS)
DESIGN = Design(
    name="bids",
    people=tuple(range(1, 39)),
    sessions=1,
    clips=tuple(Clip(number, WORDS[word], word, 60) for number, word in enumerate(_FILMS.values(), start=1)),
    trap_people=(1, 2, 3, 4),
)
_SCALES = {"valence": (1.0, 9.0), "arousal": (1.0, 9.0), "dominance": (1.0, 9.0), "liking": (1.0, 5.0)}

AMPLIFIER = Amplifier(
    channels=(
        "Fp1", "Fp2", "AF3", "AF4", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "C4", "T8",
        "CP5", "CP1", "CPz", "CP2", "CP6", "P7", "P3", "Pz", "P4", "P8", "PO3", "PO4", "O1", "Oz", "O2",
    ),
    rate_hz=250.0,
    reference=("Cz",),
    band_hz=(0.1, 100.0),
    noise_uv=1.0,
    line_uv=1.0,
    drift_uv=10.0,
    bad_channels=0.5,
)  # fmt: skip
_OTHERS = {"ECG": "ECG", "EMG1": "EMG", "EMG2": "EMG"}
_BASE_S, _FIXATION_S, _RATING_S = 5, 2, 2
_SCREENS = ("vlnc", "arsl", "dmns")
TASK = "emotion"

_MAPPING = """\
# How eegpipe reads this folder; docs/mapping-a-bids-dataset.md explains every key.
name: bids
title: Emotional film clips in the manner of DENS
files:
  task: emotion
stimuli:
  column: trial_type
  values: [stm]
  name: beh.stimuliName
  trial: label
  onset_unit: ms
  end:
    column: trial_type
    values: [vlnc]
label:
  column: beh.stimuliName
  words: {words}
ratings:
  valence: beh.valence
  arousal: beh.arousal
  dominance: beh.dominance
  liking: {{column: beh.liking, scale: [1, 5]}}
scale: [1, 9]
beh:
  join: trial
  column: trial_number
expect:
  subjects: {subjects}
  stimuli: {stimuli}
  different_stimuli: {stimuli}
  rate_hz: 250
  eeg_channels: 32
"""


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write the BIDS folder and its ``eegpipe.yaml``."""
    words = "{" + ", ".join(f"{name}: {word}" for name, word in _FILMS.items()) + "}"
    text = _MAPPING.format(words=words, subjects=len(plan.people), stimuli=len(plan.clips))
    _text(folder / "eegpipe.yaml", text)
    description = {
        "Name": "Simulated film clips in the manner of DENS",
        "BIDSVersion": "1.4",
        "License": "CC0",
        "DatasetType": "raw",
        "Authors": ["Simulated"],
    }
    _text(folder / "dataset_description.json", json.dumps(description, indent=4) + "\n")
    facts = {"TaskName": TASK, "EEGReference": "Cz", "SamplingFrequency": 250, "PowerLineFrequency": 50}
    _text(folder / f"task-{TASK}_eeg.json", json.dumps({**facts, "SoftwareFilters": "n/a"}, indent=4) + "\n")
    people = [["participant_id", "age", "gender"]]
    for subject in plan.people:
        random = stream(plan.settings.seed, DESIGN.name, subject, "participants")
        people.append([f"sub-{subject:02d}", str(int(random.integers(18, 31))), str(random.choice(["F", "M"]))])
        _write_person(folder, plan, subject, truth)
        advance()
    _table(folder / "participants.tsv", people)
    if plan.traps:  # DENS has more events files than recordings
        _table(folder / f"sub-{plan.people[0]:02d}/eeg/sub-{plan.people[0]:02d}_task-rest_events.tsv", [["onset"]])


def _write_person(folder: Path, plan: Plan, subject: int, truth: Truth) -> None:
    seed, hz = plan.settings.seed, round(AMPLIFIER.rate_hz)
    trap = subject if plan.traps else 0
    person = draw_person(seed, DESIGN.name, subject)
    order = stream(seed, DESIGN.name, subject, "order").permutation(len(plan.clips))
    placed, rows, at = [], [["0.0", "5000.0", "base", "n/a"]], _BASE_S * hz
    for number, place in enumerate(order, start=1):
        clip = plan.clips[place]
        at += _FIXATION_S * hz
        placed.append(Placed(Block(clip.stimulus_s * hz, clip, key=clip.number), at))
        # 1: some recording programs leave the duration out.
        duration = "0.0" if trap == 1 else f"{1000 * clip.stimulus_s:.1f}"
        rows.append([f"{1000 * at / hz:.1f}", duration, "stm", str(number)])
        at += clip.stimulus_s * hz
        for screen in _SCREENS:
            rows.append([f"{1000 * at / hz:.1f}", f"{1000 * _RATING_S:.1f}", screen, str(number)])
            at += _RATING_S * hz
    samples = at + _BASE_S * hz
    rows.append([f"{1000 * at / hz:.1f}", f"{1000 * _BASE_S:.1f}", "bend", "n/a"])
    made = record_continuously(AMPLIFIER, placed, samples, person, 1, plan)
    signal = made.signal_uv.astype(np.float32)

    stem = f"sub-{subject:02d}_task-Emotion"
    eeg, beh = (folder / f"sub-{subject:02d}" / name for name in ("eeg", "beh"))
    for place in (eeg, beh):
        place.mkdir(parents=True)
    others = _heart_and_muscle(plan, person, samples)
    (eeg / f"{stem}_eeg.fdt").write_bytes(np.concatenate([signal, others]).T.astype("<f4").tobytes())
    write_mat(eeg / f"{stem}_eeg.set", {"EEG": _eeglab(stem, samples, rows)})
    if trap != 4:  # 4: only the text at the root says what holds for all
        _text(eeg / f"{stem}_eeg.json", json.dumps({"EEGReference": "Cz", "SamplingFrequency": 250}) + "\n")
    if trap == 1:  # by kind instead of by time, the latest first
        rows = sorted(rows, key=lambda row: (row[2], -float(row[0])))
    # 2: above the folder of the recording, by the inheritance principle.
    above = eeg.parent if trap == 2 else eeg
    name = f"sub-{subject:02d}" if trap == 2 else f"sub-{subject:02d}_task-{TASK}"
    header = ["onset", "duration", "trial_type", "label"]
    _table(above / f"{name}_events.tsv", [header, *rows], windows=trap == 1)
    if trap == 2:  # as in EmoEEG-MC: a table of other things under this name
        channels = [["session", "channel", "trial"], ["vid", "64", "1"], ["vid", "64", "2"]]
    else:
        kinds = dict.fromkeys(AMPLIFIER.channels, "EEG") | _OTHERS
        channels = [["name", "type", "units"], *([channel, kind, "uV"] for channel, kind in kinds.items())]
    _table(above / f"{name}_channels.tsv", channels)
    marks = [_marks(seed, subject, clip) for clip in plan.clips]
    table = []
    for number, place in enumerate(order, start=1):
        cells = {rating: f"{value:g}" for rating, value in marks[place].items()}
        if trap == 3 and number == 2:  # a rating that was not given
            cells["valence"], marks[place] = "n/a", {**marks[place], "valence": math.nan}
        table.append([f"{number}.0" if trap == 3 else str(number), _NAMES[place], *cells.values()])
    if trap == 3:  # in the order of the clips' names
        table.sort(key=lambda row: row[1])
    _table(beh / f"{stem}_beh.tsv", [["trial_number", "stimuliName", *_SCALES], *table])

    shown = []
    for number, (place, one) in enumerate(zip(order, placed, strict=True), start=1):
        clip = plan.clips[place]
        ratings = {name: value for name, value in marks[place].items() if not math.isnan(value)}
        given = "valence" in ratings
        affect = (
            from_rating(ratings["valence"], ratings["arousal"], _SCALES["valence"])
            if given
            else from_word(clip.label or "")
        )
        stimulus = f"{DESIGN.name}/{_NAMES[place]}"
        shown.append(Shown(clip, one.at, one.block.samples, affect, ratings, trial=number, stimulus=stimulus))
    truth.add(
        RecordingId(f"{subject:02d}", task=TASK),
        plan,
        shown,
        rate_hz=made.rate_hz,
        channels=AMPLIFIER.channels,
        signal_uv=signal,
        clean_uv=made.clean_uv,
        artefacts=made.artefacts,
        bad_channels=made.bad_channels,
    )


def _marks(seed: int, subject: int, clip: Clip) -> dict[str, float]:
    """The marks of one person for one clip, with two decimals as a slider gives them."""
    valence, arousal, approach = felt(seed, DESIGN.name, subject, clip)
    feelings = {"valence": valence, "arousal": arousal, "dominance": 0.4 * approach, "liking": valence}
    random = stream(seed, DESIGN.name, subject, "ratings", clip.number)
    return {name: round(rate(random, feelings[name], scale), 2) for name, scale in _SCALES.items()}


def _heart_and_muscle(plan: Plan, person: Person, samples: int) -> np.ndarray:
    """(ECG, EMG1, EMG2) x sample in microvolt: a peak for each beat, noise for the muscles."""
    random = stream(plan.settings.seed, DESIGN.name, person.subject, "heart and muscle")
    phase = np.arange(samples) / AMPLIFIER.rate_hz * person.pulse_hz % 1.0
    heart = 800 * np.exp(-0.5 * ((phase - 0.5) / 0.015) ** 2) + 10 * random.standard_normal(samples)
    return np.vstack([heart, 8 * random.standard_normal((2, samples))])


def _eeglab(stem: str, samples: int, rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The structure ``EEG`` of a ``.set`` file whose numbers are in a ``.fdt`` file."""
    names = (*AMPLIFIER.channels, *_OTHERS)
    nothing = np.empty((0, 0))
    places = _structs(["labels", "type", "theta", "radius"], [[name, "", nothing, nothing] for name in names])
    events = _structs(
        ["type", "latency", "duration"],
        [[row[2], 1 + float(row[0]) * AMPLIFIER.rate_hz / 1000, float(row[1])] for row in rows],
    )
    return {
        "setname": stem,
        "filename": f"{stem}_eeg.set",
        "filepath": "",
        "subject": "",
        "group": "",
        "condition": "",
        "session": nothing,
        "comments": "",
        "nbchan": float(len(names)),
        "trials": 1.0,
        "pnts": float(samples),
        "srate": AMPLIFIER.rate_hz,
        "xmin": 0.0,
        "xmax": (samples - 1) / AMPLIFIER.rate_hz,
        "times": nothing,
        "data": f"{stem}_eeg.fdt",
        "icaact": nothing,
        "icawinv": nothing,
        "icasphere": nothing,
        "icaweights": nothing,
        "icachansind": nothing,
        "chanlocs": places,
        "urchanlocs": nothing,
        "chaninfo": {"nosedir": "+X"},
        "ref": "Cz",
        "event": events,
        "urevent": nothing,
        "eventdescription": nothing,
        "epoch": nothing,
        "history": "",
        "saved": "yes",
        "etc": {"eeglabvers": "2020.0"},
    }


def _structs(fields: Sequence[str], values: Sequence[Sequence[object]]) -> np.ndarray:
    """A struct array (1, n)."""
    array = np.empty((1, len(values)), dtype=[(field, object) for field in fields])
    for place, row in enumerate(values):
        array[0, place] = tuple(row)
    return array


def _table(path: Path, rows: Sequence[Sequence[str]], *, windows: bool = False) -> None:
    """A tab-separated table; ``windows``: as a spreadsheet there writes it, with a byte-order mark and CRLF."""
    text = "".join("\t".join(row) + "\n" for row in rows)
    _text(path, "\ufeff" + text.replace("\n", "\r\n") if windows else text)


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
