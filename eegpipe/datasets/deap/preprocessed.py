"""What DEAP's two preprocessed forms share: the arrays ``data`` and ``labels`` of one person, checked and joined.

``data`` is (trial, channel, sample): 40 x 40 x 8064, 63 s at 128 Hz. **The 3 s before each video are inside.** Trials
are in the order of Experiment_id, not of presentation. ``labels`` has the columns valence, arousal, dominance, liking.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Facts, RecordingEntry
from eegpipe.datasets.deap.experiment import GENEVA, PEOPLE, RATINGS, SCALE, TRIALS, people_table, ratings_table
from eegpipe.datasets.deap.ratings import read_person, read_ratings
from eegpipe.datasets.signal import Channel, boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording

BASELINE_S = 3.0
PERIPHERAL = (
    Channel("hEOG", "eog"),
    Channel("vEOG", "eog"),
    Channel("zEMG", "emg"),
    Channel("tEMG", "emg"),
    Channel("GSR", "misc", volts=False),  # ohm
    Channel("Resp", "misc", volts=False),  # respiration belt, arbitrary
    Channel("Plet", "misc", volts=False),  # plethysmograph, arbitrary
    Channel("Temp", "misc", volts=False),  # skin temperature, as recorded
)
FACTS = Facts(
    subjects=PEOPLE,
    sessions=1,
    trials=TRIALS,
    rate_hz=128.0,
    channels=GENEVA + tuple(channel.name for channel in PERIPHERAL),  # the Geneva order for every person
    trial_s=(63.0,) * TRIALS,
    reference="average of the 32 EEG channels",
    line_hz=50.0,
)
_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Downsampling": {"from (Hz)": 512.0, "to (Hz)": 128.0},
    "EOG removal": {"method": "blind source separation, by the data set's authors"},
    "Bandpass": {"low cutoff (Hz)": 4.0, "high cutoff (Hz)": 45.0},
    "Re-reference": {"reference": "average"},
}
# The table has two decimals.
_SAME_RATING = 0.006


def shapes(facts: Facts) -> dict[str, tuple[int, ...]]:
    """The shape of each of the two arrays."""
    assert facts.trial_s is not None
    samples = round(facts.rate_hz * facts.trial_s[0])
    return {"data": (facts.trials, len(facts.channels), samples), "labels": (facts.trials, len(RATINGS))}


def recording(
    root: Path, entry: RecordingEntry, facts: Facts, data: np.ndarray, labels: np.ndarray, cure: str
) -> Recording:
    """The recording of one person. ``data`` and ``labels`` have the shapes of :func:`shapes`."""
    assert facts.trial_s is not None
    file, number = entry.files[0], int(entry.id.subject)
    lengths = [round(facts.rate_hz * duration) for duration in facts.trial_s]
    low, high = SCALE
    inside = (labels >= low) & (labels <= high)  # NaN is not inside
    if not inside.all():
        trial, column = np.argwhere(~inside)[0]
        raise DataProblem(
            f"{file}: labels, trial {trial + 1}",
            f"{RATINGS[column]} {labels[trial, column]:g}",
            f"{low:g} to {high:g}",
            cure,
        )
    ratings = [dict(zip(RATINGS, map(float, row), strict=True)) for row in labels]
    if table := ratings_table(entry.files):
        _add_familiarity(ratings, root, table, file, number)
    sex, age = None, None
    if people := people_table(entry.files):
        sex, age = read_person(root / people, people, number)

    blocks = ((f"{file}: data, trial {trial}", block) for trial, block in enumerate(data, start=1))
    raw = join(blocks, lengths, [*eeg_channels(GENEVA), *PERIPHERAL], facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    for index, length in enumerate(lengths):
        start_s = sum(lengths[:index]) / facts.rate_hz
        events.append(Event(start_s, BASELINE_S, "baseline", trial=index + 1))
        events.append(
            Event(
                onset_s=start_s + BASELINE_S,
                duration_s=length / facts.rate_hz - BASELINE_S,
                kind="stimulus",
                trial=index + 1,
                stimulus=f"deap/{index + 1:02d}",
                ratings=ratings[index],
                affect=affect.from_rating(ratings[index]["valence"], ratings[index]["arousal"], SCALE),
            )
        )
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, _HISTORY, sex=sex, age=age)


def _add_familiarity(ratings: list[dict[str, float]], root: Path, table: str, file: str, number: int) -> None:
    """Add the familiarity from the table, joined by Experiment_id; its other ratings must be those of the file."""
    for row in read_ratings(root / table, table, number, len(ratings)):
        own = ratings[row.video - 1]
        for name, value in row.ratings.items():
            if abs(own.setdefault(name, value) - value) > _SAME_RATING:
                raise DataProblem(
                    f"{table}: participant {number}, Experiment_id {row.video}",
                    f"{name} {value:g}",
                    f"{own[name]:g} as in {file}",
                    "The table or the file belongs to another person: unpack both from the vendor's archives again.",
                )


def checked(value: object, key: str, shape: tuple[int, ...], file: str, cure: str) -> np.ndarray:
    """``value`` if it is an array of floating-point numbers of that shape."""
    where = f"{file}: {key}"
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataProblem(where, kind, "an array of floating-point numbers", cure)
    if value.shape != shape:
        raise DataProblem(where, f"shape {value.shape}", f"{shape}", cure)
    return value
