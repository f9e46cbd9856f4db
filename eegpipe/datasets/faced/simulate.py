"""FACED's ``Processed_data`` with the ratings of ``Data``: one NumPy 1 pickle and one MAT file per person, 250 Hz.

The pickles hold the last 30 s of each clip in order of clip number, 0.05-47 Hz, eye components removed, average of all
32 channels as reference. The ratings stand in order of presentation, which differs per person.

The people, their ratings and the order of their clips are the same in all variants, as is the brain during the last
30 s of a clip (``simulate_raw.py``, ``simulate_rehost.py``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eegpipe.affect import from_rating
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import WORDS, felt, rate
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.containers import smallest_integers, write_mat, write_numpy1_pickle
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

ITEMS = (
    "joy", "tenderness", "inspiration", "amusement", "anger", "disgust", "fear", "sadness", "arousal", "valence",
    "familiarity", "liking",
)  # fmt: skip
SCALE = (0.0, 7.0)
_LABELS = (
    *["anger"] * 3, *["disgust"] * 3, *["fear"] * 3, *["sadness"] * 3, *["neutral"] * 4,
    *["amusement"] * 3, *["inspiration"] * 3, *["joy"] * 3, *["tenderness"] * 3,
)  # fmt: skip


def _clip(number: int, label: str) -> Clip:
    """Clips of one emotion differ a little from each other."""
    spread = stream(0, "faced", "clip", number).normal(0, 0.08, 3)
    valence, arousal, approach = (float(value) for value in np.array(WORDS[label]) + spread)
    return Clip(number, (valence, arousal, approach), label, 30)


DESIGN = Design(
    name="faced",
    people=tuple(range(123)),
    sessions=1,
    clips=tuple(_clip(number, label) for number, label in enumerate(_LABELS, start=1)),
    # The file of wrong scale, one of each group, one who saw the longer version of clip 22.
    trap_people=(0, 23, 40, 61),
)

_CHANNELS = (
    "Fp1", "Fp2", "Fz", "F3", "F4", "F7", "F8", "FC1", "FC2", "FC5", "FC6", "Cz", "C3", "C4", "T7", "T8", "CP1",
    "CP2", "CP5", "CP6", "Pz", "P3", "P4", "P7", "P8", "PO3", "PO4", "Oz", "O1", "O2", "A2", "A1",
)  # fmt: skip

AMPLIFIER = Amplifier(
    channels=_CHANNELS,
    rate_hz=250.0,
    reference=(),
    band_hz=(0.05, 47.0),
    noise_uv=0.9,
    line_uv=0.8,
    drift_uv=3.0,
    eye_left=0.15,
)

# Files of the release whose numbers are about 3,000 times too large.
_SCALED = {23: 3000.0}
# Sampling rate and unit text of the raw files, which the table of people repeats.
RAW_1000_HZ = frozenset({0, 1, 2, 3, 6, 7, *range(61, 123)})
UNIT_LOST = frozenset({4, 5, *range(8, 36), 58, 59, 60})
LAST_OF_COHORT_1 = 60


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``Processed_data/``, ``Data/`` and ``Recording_info.csv`` into ``folder``.

    With traps also ``EEG_Features/`` with its doubled suffixes, ``Data/Data/``, and one file in another scale.
    """
    (folder / "Processed_data").mkdir()
    rate_hz = round(AMPLIFIER.rate_hz)
    blocks = [last_block(clip, rate_hz * clip.stimulus_s) for clip in plan.clips]
    seed = plan.settings.seed
    for subject in plan.people:
        name = f"sub{subject:03d}"
        recorded = record(AMPLIFIER, blocks, draw_person(seed, DESIGN.name, subject), 1, plan)
        if plan.traps and subject in _SCALED:
            recorded.blocks_uv = [array * _SCALED[subject] for array in recorded.blocks_uv]
            truth.refuse(RecordingId(f"{subject:03d}"), "a typical spread of")
        write_numpy1_pickle(folder / "Processed_data" / f"{name}.pkl", np.stack(recorded.blocks_uv))
        ratings = write_person(folder, plan, subject)

        if not (plan.traps and subject in _SCALED):
            onsets = np.cumsum([0, *(block.samples for block in blocks)]).tolist()
            shown = [
                shown_to(clip, ratings[clip.number], onset, block.samples)
                for clip, block, onset in zip(plan.clips, blocks, onsets, strict=False)
            ]
            truth.add_recorded(RecordingId(f"{subject:03d}"), plan, AMPLIFIER, recorded, shown)
        if plan.traps:
            _write_features(folder / "EEG_Features", name)
        advance()
    write_people(folder / "Recording_info.csv", plan)


def last_block(clip: Clip, samples: int) -> Block:
    """The end of a clip, which all variants hold: equal key and length, equal brain."""
    return Block(samples, clip, key=clip.number - 1)


def shown_to(clip: Clip, marks: np.ndarray, onset_sample: int, samples: int, trial: int | None = None) -> Shown:
    """A clip with the ratings that it was given; ``trial`` None: its place in the file."""
    ratings = dict(zip(ITEMS, map(float, marks), strict=True))
    affect = from_rating(ratings["valence"], ratings["arousal"], SCALE)
    return Shown(clip, onset_sample, samples, affect, ratings, trial)


def write_person(folder: Path, plan: Plan, subject: int) -> dict[int, np.ndarray]:
    """Write the ratings of one person below ``folder`` and give them back, by clip."""
    seed = plan.settings.seed
    ratings = {clip.number: ratings_of(seed, subject, clip) for clip in plan.clips}
    own = subject_folder(folder, plan, subject)
    own.mkdir(parents=True, exist_ok=True)
    _write_remarks(own / "After_remarks.mat", seed, subject, ratings)
    return ratings


def subject_folder(folder: Path, plan: Plan, subject: int) -> Path:
    """Where a person's raw files and ratings lie; the archive unpacks to a doubled folder."""
    return folder / ("Data/Data" if plan.traps else "Data") / f"sub{subject:03d}"


def write_people(path: Path, plan: Plan) -> None:
    """Write the table of people; one column's name ends in a blank."""
    rows = [_person_row(plan.settings.seed, subject, f"sub{subject:03d}") for subject in plan.people]
    path.write_text("\n".join(["sub,Gender,Age,Cohort ,Sample_rate,Unit", *rows]) + "\n", encoding="utf-8")


def _write_features(folder: Path, name: str) -> None:
    """Features (clip, channel, second, band) of zeros, with the doubled suffix of the release. Nobody reads them."""
    for kind in ("DE", "PSD"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        write_numpy1_pickle(folder / kind / f"{name}.pkl.pkl", np.zeros((28, 32, 30, 5)))


def sex_and_age(seed: int, subject: int) -> tuple[str, int]:
    """Drawn with the release's shares: 75 women, 48 men, 17-38 years."""
    random = stream(seed, DESIGN.name, subject, "person row")
    return ("F" if random.random() < 75 / 123 else "M"), int(random.integers(17, 39))


def _person_row(seed: int, subject: int, name: str) -> str:
    sex, age = sex_and_age(seed, subject)
    cohort = 1 if subject <= LAST_OF_COHORT_1 else 2
    raw_hz = 1000 if subject in RAW_1000_HZ else 250
    return f"{name},{sex},{age},{cohort},{raw_hz},{'?V' if subject in UNIT_LOST else 'uV'}"


def ratings_of(seed: int, subject: int, clip: Clip) -> np.ndarray:
    """The twelve marks in the order of :data:`ITEMS`, 0 to 7, continuous."""
    valence, arousal, approach = felt(seed, DESIGN.name, subject, clip)
    random = stream(seed, DESIGN.name, subject, "ratings", clip.number)
    marks = []
    for item in ITEMS[:8]:
        distance = np.linalg.norm(np.array([valence, arousal, approach]) - np.array(WORDS[item]))
        marks.append(rate(random, 1.1 * np.exp(-1.5 * distance**2) - 0.85, SCALE))
    others = (arousal, valence, random.normal(-0.6, 0.3), 0.6 * valence)
    return np.array(marks + [rate(random, feeling, SCALE) for feeling in others])


def _write_remarks(path: Path, seed: int, subject: int, ratings: dict[int, np.ndarray]) -> None:
    """The struct array ``After_remark`` (28, 1), rows in order of presentation."""
    random = stream(seed, DESIGN.name, subject, "presentation")
    fields = [(name, object) for name in ("score", "trial", "vid", "Accuracy", "ResponseTime")]
    remarks = np.empty((len(ratings), 1), dtype=fields)
    for row, clip in enumerate(_presentation(random)):
        remarks[row, 0] = (
            ratings[clip][None, :],
            smallest_integers([[row + 1]]),
            smallest_integers([[clip]]),
            np.array([[round(float(random.uniform(0.7, 1.0)), 2)]]),
            np.array([[round(float(random.uniform(0.6, 1.6)), 4)]]),
        )
    write_mat(path, {"After_remark": remarks})


def presentation(seed: int, subject: int) -> list[int]:
    """The clips in the order in which a person saw them."""
    return _presentation(stream(seed, DESIGN.name, subject, "presentation"))


def _presentation(random: np.random.Generator) -> list[int]:
    """Seven blocks of four clips of one valence: three negative, one neutral, three positive, in random order."""
    by_valence = [list(range(1, 13)), list(range(13, 17)), list(range(17, 29))]
    blocks = []
    for clips in by_valence:
        shuffled = [int(clip) for clip in random.permutation(clips)]
        blocks += [shuffled[at : at + 4] for at in range(0, len(shuffled), 4)]
    return [clip for block in random.permutation(len(blocks)) for clip in blocks[block]]
