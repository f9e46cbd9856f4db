"""FACED's ``Processed_data`` with the ratings of ``Data``: one NumPy 1 pickle and one MAT file per person, 250 Hz.

The pickles hold the last 30 s of each clip in order of clip number, 0.05-47 Hz, eye components removed, average of all
32 channels as reference. The ratings stand in order of presentation, which differs per person.
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
_RAW_1000_HZ = {0, 1, 2, 3, 6, 7, *range(61, 123)}
_UNIT_LOST = {4, 5, *range(8, 36), 58, 59, 60}
_LAST_OF_COHORT_1 = 60


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``Processed_data/``, ``Data/`` and ``Recording_info.csv`` into ``folder``."""
    (folder / "Processed_data").mkdir()
    rate_hz = round(AMPLIFIER.rate_hz)
    blocks = [Block(rate_hz * clip.stimulus_s, clip) for clip in plan.clips]
    seed = plan.settings.seed
    people = ["sub,Gender,Age,Cohort ,Sample_rate,Unit"]
    for subject in plan.people:
        name = f"sub{subject:03d}"
        people.append(_person_row(seed, subject, name))
        recorded = record(AMPLIFIER, blocks, draw_person(seed, DESIGN.name, subject), 1, plan)
        if subject in _SCALED:
            recorded.blocks_uv = [array * _SCALED[subject] for array in recorded.blocks_uv]
            recorded.clean_uv = [array * np.float32(_SCALED[subject]) for array in recorded.clean_uv]
        write_numpy1_pickle(folder / "Processed_data" / f"{name}.pkl", np.stack(recorded.blocks_uv))

        ratings = {clip.number: _ratings(seed, subject, clip) for clip in plan.clips}
        (folder / "Data" / name).mkdir(parents=True)
        _write_remarks(folder / "Data" / name / "After_remarks.mat", seed, subject, ratings)

        shown, onset = [], 0
        for block, clip in zip(blocks, plan.clips, strict=True):
            marks = dict(zip(ITEMS, map(float, ratings[clip.number]), strict=True))
            affect = from_rating(marks["valence"], marks["arousal"], SCALE)
            shown.append(Shown(clip, onset, block.samples, affect, marks))
            onset += block.samples
        truth.add_recorded(RecordingId(f"{subject:03d}"), plan, AMPLIFIER, recorded, shown)
        advance()
    (folder / "Recording_info.csv").write_text("\n".join(people) + "\n", encoding="utf-8")


def _person_row(seed: int, subject: int, name: str) -> str:
    """Sex and age are drawn with the release's shares (75 women, 48 men, 17-38 years)."""
    random = stream(seed, DESIGN.name, subject, "person row")
    sex = "F" if random.random() < 75 / 123 else "M"
    cohort = 1 if subject <= _LAST_OF_COHORT_1 else 2
    raw_hz = 1000 if subject in _RAW_1000_HZ else 250
    return f"{name},{sex},{random.integers(17, 39)},{cohort},{raw_hz},{'?V' if subject in _UNIT_LOST else 'uV'}"


def _ratings(seed: int, subject: int, clip: Clip) -> np.ndarray:
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


def _presentation(random: np.random.Generator) -> list[int]:
    """Seven blocks of four clips of one valence: three negative, one neutral, three positive, in random order."""
    by_valence = [list(range(1, 13)), list(range(13, 17)), list(range(17, 29))]
    blocks = []
    for clips in by_valence:
        shuffled = [int(clip) for clip in random.permutation(clips)]
        blocks += [shuffled[at : at + 4] for at in range(0, len(shuffled), 4)]
    return [clip for block in random.permutation(len(blocks)) for clip in blocks[block]]
