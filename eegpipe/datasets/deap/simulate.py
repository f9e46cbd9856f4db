"""DEAP's experiment as it is simulated: clips, ratings, the order and times of presentation, the body's channels.

The three forms take all of it from here, so that for equal settings they hold the same people in the same sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eegpipe.affect import from_rating
from eegpipe.simulate.affective import felt, rate
from eegpipe.simulate.artefacts import Body
from eegpipe.simulate.brain import Person
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.streams import coloured_noise, frequencies, stream
from eegpipe.simulate.truth import Shown

# Every form is made at this rate, and in blocks of 3 s before the video and the video, which makes the signal the same.
RATE_HZ = 128
BASELINE_S = 3
RATINGS = ("valence", "arousal", "dominance", "liking")
SCALE = (1.0, 9.0)
# Participants who were not asked how well they knew the videos.
NO_FAMILIARITY = (2, 15, 23)
_N_CLIPS = 40


def _clip(number: int) -> Clip:
    """Ten clips for each quadrant. The norms are not published with the signal: the places are an assumption."""
    pleasant = 1.0 if number <= 20 else -1.0
    excited = 1.0 if number <= 10 or number > 30 else -1.0
    spread = stream(0, "deap", "norms", number).normal(0, 0.15, 2)
    valence, arousal = 0.6 * pleasant + spread[0], 0.55 * excited + spread[1]
    return Clip(number, (float(valence), float(arousal), 0.5 * float(valence)), None, 60)


def design(inside_baseline_s: int) -> Design:
    """People 2 (Twente, no familiarity), 23 (Geneva with Twente's status), 24 (no label), 29 (two without label)."""
    return Design(
        name="deap",
        people=tuple(range(1, 33)),
        sessions=1,
        clips=tuple(_clip(number) for number in range(1, _N_CLIPS + 1)),
        trap_people=(2, 23, 24, 29),
        inside_baseline_s=inside_baseline_s,
    )


def block_key(clip: Clip) -> int:
    """The key of a clip's block: the same in every form."""
    return clip.number - 1


# --- ratings ----------------------------------------------------------------------------------------------------------


def ratings(plan: Plan, subject: int, clip: Clip) -> dict[str, float]:
    """Valence, arousal, dominance, liking, 1 to 9 with two decimals, as marked on the scale; familiarity 1 to 5."""
    seed = plan.settings.seed
    valence, arousal, approach = felt(seed, "deap", subject, clip)
    random = stream(seed, "deap", subject, "ratings", clip.number)
    feelings = (valence, arousal, 0.4 * approach, 0.7 * valence)
    rated = {name: round(rate(random, feeling, SCALE), 2) for name, feeling in zip(RATINGS, feelings, strict=True)}
    if subject not in NO_FAMILIARITY:
        rated["familiarity"] = float(stream(seed, "deap", subject, "familiarity", clip.number).integers(1, 6))
    return rated


def shown(plan: Plan, subject: int, clip: Clip, onset_sample: int, n_samples: int, trial: int) -> Shown:
    """The row of the truth for one presentation."""
    rated = ratings(plan, subject, clip)
    felt_there = from_rating(rated["valence"], rated["arousal"], SCALE)
    return Shown(clip, onset_sample, n_samples, felt_there, rated, trial=trial)


# --- order and times --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """What happened when, in samples at :data:`RATE_HZ`.

    order, starts
        The clips as they were shown, and where each video began.
    codes
        (sample, status code).
    begin
        The experiment's start (the first code 1).
    """

    order: tuple[Clip, ...]
    starts: tuple[int, ...]
    codes: tuple[tuple[int, int], ...]
    begin: int
    samples: int


def session(plan: Plan, subject: int) -> Session:
    """Status codes: 1 experiment, baseline, rating; 2 sync screen; 3 and 5 fixation; 4 video; 7 end."""
    seed = plan.settings.seed
    random = stream(seed, "deap", subject, "session")
    order = tuple(plan.clips[place] for place in random.permutation(len(plan.clips)))
    shrunk = min(1.0, sum(clip.stimulus_s for clip in order) / (60 * len(order)))
    codes: list[tuple[int, int]] = []
    starts: list[int] = []
    now = 0

    def wait(seconds: float, *, exactly: bool = False) -> None:
        nonlocal now
        now += round((seconds if exactly else max(1.0, shrunk * seconds)) * RATE_HZ)

    def happen(code: int) -> None:
        codes.append((now, code))

    wait(random.uniform(10, 30))
    happen(1)
    wait(random.uniform(20, 50))
    happen(1)
    wait(120)
    happen(2)
    wait(1, exactly=True)
    for number, clip in enumerate(order):
        if number == len(order) // 2:  # the break
            happen(2)
            wait(random.uniform(120, 300))
            happen(2)
            wait(1, exactly=True)
        happen(3)
        wait(5, exactly=True)
        starts.append(now)
        happen(4)
        wait(clip.stimulus_s, exactly=True)
        happen(5)
        wait(3, exactly=True)
        happen(1)
        wait(random.uniform(15, 35))
    happen(2)
    wait(1, exactly=True)
    happen(7)
    wait(random.uniform(5, 15))
    now += -now % RATE_HZ
    return Session(order, tuple(starts), tuple(codes), codes[0][0], now)


def write_metadata(folder: Path, plan: Plan) -> None:
    """Write ``metadata_csv/participant_ratings.csv``: everybody's rows, also of people who are not simulated.

    Start_time counts units of 0.1 ms on the clock of the computer that showed the videos.
    """
    lines = ["Participant_id,Trial,Experiment_id,Start_time,Valence,Arousal,Dominance,Liking,Familiarity"]
    for subject in plan.design.people:
        happened = session(plan, subject)
        random = stream(plan.settings.seed, "deap", subject, "clock")
        drift = 1 + 2e-5 * random.standard_normal()
        for trial, (clip, start) in enumerate(zip(happened.order, happened.starts, strict=True), start=1):
            start_s = drift * (start - happened.begin) / RATE_HZ + random.uniform(0, 0.02)
            rated = ratings(plan, subject, clip)
            cells = [f"{rated[name]:.2f}" for name in RATINGS]
            familiarity = f"{rated['familiarity']:.0f}" if "familiarity" in rated else ""
            lines.append(
                ",".join([str(subject), str(trial), str(clip.number), f"{1e4 * start_s:.0f}", *cells, familiarity])
            )
    place = folder / "metadata_csv"
    place.mkdir()
    encoding = "utf-8-sig" if plan.traps else "utf-8"  # with the byte-order mark
    (place / "participant_ratings.csv").write_text("\n".join([*lines, ""]), encoding=encoding, newline="\n")


# --- body -------------------------------------------------------------------------------------------------------------

BODY = ("hEOG", "vEOG", "zEMG", "tEMG", "GSR", "Resp", "Plet", "Temp")


class Periphery:
    """The channels beside the EEG: four pairs of electrodes in microvolt; GSR in ohm, Resp, Plet, Temp in own units."""

    def __init__(self, plan: Plan, person: Person):
        self._name = (plan.settings.seed, "deap", person.subject, "body")
        self._person = person
        random = stream(*self._name)
        self._skin_ohm = random.uniform(2e3, 9e3)
        self._breath_hz = random.uniform(0.2, 0.32)
        self._warmth = random.uniform(-500, 500)

    def channels(self, body: Body, key: object) -> np.ndarray:
        """(8, samples), in the order of :data:`BODY`, for the block of that key."""
        random, samples = stream(*self._name, key), len(body.blink)
        time_s = np.arange(samples) / RATE_HZ
        hz = frequencies(samples, RATE_HZ)
        noise = 4.0 * random.standard_normal((4, samples))
        slow = np.where((hz > 0) & (hz < 0.3), 1.0, 0.0)
        slow /= max(slow.sum(), 1.0) * RATE_HZ / samples
        skin, warmth = coloured_noise(random, 2, samples, RATE_HZ, slow)
        phase = random.uniform(0, 2 * np.pi, 2)
        beat = 2 * np.pi * self._person.pulse_hz * time_s + phase[0]
        breath = 2 * np.pi * self._breath_hz * time_s + phase[1]
        return np.stack(
            [
                2.0 * body.gaze + noise[0],  # left minus right electrode beside the eyes
                1.6 * body.blink + noise[1],  # above minus below the right eye
                0.8 * body.muscle * random.standard_normal(samples) + noise[2],
                0.5 * body.muscle * random.standard_normal(samples) + 2 * noise[3],
                self._skin_ohm * (1 + 0.05 * skin),
                800 * np.sin(breath) + 60 * random.standard_normal(samples),
                1500 * (np.sin(beat) + 0.4 * np.sin(2 * beat + 0.8)) + 80 * random.standard_normal(samples),
                self._warmth + 5 * warmth,
            ]
        )


def electrode_pairs(body: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
    """EXG1 to EXG8: two electrodes for each bipolar channel, whose difference it is."""
    shares = {"hEOG": (0.5, -0.5), "vEOG": (0.75, -0.25), "zEMG": (0.5, -0.5), "tEMG": (0.5, -0.5)}
    return [share * body[name] for name, pair in shares.items() for share in pair]
