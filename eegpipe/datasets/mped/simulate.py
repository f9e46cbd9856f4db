"""MPED's ``raw_EEG_signals``: two MAT files per person, 34 trials of raw signal at 1000 Hz, in folders with names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from eegpipe.affect import from_word
from eegpipe.channels import canonical
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate import affective
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.containers import smallest_integers, write_mat
from eegpipe.simulate.head import SEED_REFERENCE
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, Recorded, record
from eegpipe.simulate.truth import Shown, Truth

# The vendor's 34 labels: 0 rest, 8 something that nobody explains.
_LABELS = (
    0, 2, 1, 4, 3, 5, 6, 7, 8, 1, 2, 3, 8, 6, 7, 4, 5,
    0, 1, 5, 6, 2, 2, 1, 8, 7, 6, 4, 4, 3, 5, 3, 7, 8,
)  # fmt: skip
_WORDS = {1: "neutral", 2: "joy", 3: "funny", 4: "angry", 5: "fear", 6: "disgust", 7: "sadness"}
_LIKE = {"funny": "amusement", "angry": "anger"}  # the words of the simulator's table
# Seconds of the four clips of each emotion. Which is which trial is not published: they are taken in this order.
_SECONDS = {
    "joy": (146, 164, 216, 122),
    "funny": (284, 201, 150, 178),
    "angry": (170, 280, 150, 189),
    "sadness": (232, 182, 196, 198),
    "fear": (295, 179, 245, 141),
    "disgust": (241, 180, 154, 182),
    "neutral": (197, 173, 172, 227),
}
_REST_S = 120
_UNEXPLAINED_S = 150  # of the trials with label 8; not published


def _clips() -> tuple[Clip, ...]:
    left = {word: iter(seconds) for word, seconds in _SECONDS.items()}
    words = [(trial, _WORDS[label]) for trial, label in enumerate(_LABELS, start=1) if label in _WORDS]
    return tuple(Clip(trial, affective.WORDS[_LIKE.get(word, word)], word, next(left[word])) for trial, word in words)


DESIGN = Design(name="mped", people=tuple(range(1, 24)), sessions=1, clips=_clips(), trap_people=(1, 2))

# Nobody is called so: these are fruits and vegetables. A person's number is the rank of the name's SHA-256.
_INVENTED = (
    "pingguo", "xiangjiao", "xigua", "putao", "caomei", "yingtao", "boluo", "ningmeng", "mangguo", "liulian", "longyan",
    "hamigua", "shiliu", "youzi", "huanggua", "fanqie", "tudou", "luobo", "bocai", "qincai", "qiezi", "nangua",
    "donggua",
)  # fmt: skip
FOLDERS = tuple(sorted(_INVENTED, key=lambda name: hashlib.sha256(name.encode()).hexdigest()))

_ORDER = (
    "Fp1 Fpz Fp2 AF3 AF4 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 T7 C5 C3 C1 Cz C2 C4 C6 T8 M1 "
    "TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 M2 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO5 PO3 POz PO4 PO6 PO8 CB1 O1 Oz O2 CB2"
)
AMPLIFIER = Amplifier(
    channels=tuple(canonical(name) or name for name in _ORDER.split()),
    rate_hz=1000.0,
    reference=(SEED_REFERENCE,),  # not published; usual for this cap
    band_hz=(0.05, 200.0),
    noise_uv=0.8,
    line_uv=1.5,
    drift_uv=8.0,
    bad_channels=1.0,
    step_uv=1e6 / 2**25,
)


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``raw_EEG_signals/`` into ``folder``.

    With traps, person 1 has two rows more than the cap has electrodes, and the variables of person 2 are in the order
    of their names as text. Names of persons, mastoids among the rows and trials that are no clips are in all files.
    """
    signals = folder / "raw_EEG_signals"
    signals.mkdir()
    write_mat(signals / "raw_EEG_Label.mat", {"eeg_label": smallest_integers([_LABELS])})
    rate_hz, seed = round(AMPLIFIER.rate_hz), plan.settings.seed
    scale = sum(clip.stimulus_s for clip in plan.clips) / sum(clip.stimulus_s for clip in DESIGN.clips)
    clips = {clip.number: clip for clip in plan.clips}
    other = {0: max(1, round(_REST_S * scale)), 8: max(1, round(_UNEXPLAINED_S * scale))}
    # Two recordings, so that the truth is what the clips' trials hold; keys keep the signals apart.
    shown = [Block(clip.stimulus_s * rate_hz, clip, key=("trial", clip.number)) for clip in plan.clips]
    rest = {trial: other[label] for trial, label in enumerate(_LABELS, start=1) if label in other}
    blank = [Block(seconds * rate_hz, None, key=("trial", trial)) for trial, seconds in rest.items()]
    for number in plan.people:
        person = draw_person(seed, DESIGN.name, number)
        recorded = record(AMPLIFIER, shown, person, 1, plan)
        between = record(AMPLIFIER, blank, person, 1, plan)
        trials = _arrays(clips, recorded, plan.traps and number == 1)
        trials |= _arrays(rest, between, plan.traps and number == 1)
        name = FOLDERS[number - 1]
        (signals / name).mkdir()
        for ending, part in (("d", range(1, 18)), ("dd", range(18, 35))):
            variables = {f"raw_eeg{trial}": trials[trial] for trial in part}
            if plan.traps and number == 2:
                variables = dict(sorted(variables.items()))
            write_mat(signals / name / f"{name}_{ending}.mat", variables)

        answers, onset = [], 0
        for clip, block in zip(plan.clips, shown, strict=True):
            answers.append(Shown(clip, onset, block.samples, from_word(str(clip.label)), trial=clip.number))
            onset += block.samples
        truth.add_recorded(RecordingId(f"{number:02d}"), plan, AMPLIFIER, recorded, answers)
        advance()


def _arrays(trials: dict, recorded: Recorded, more: bool) -> dict[int, np.ndarray]:
    """Trial -> (row, sample). ``more``: with the two electrodes at the eyes in the last rows."""
    arrays = {}
    for trial, block, body in zip(trials, recorded.blocks_uv, recorded.bodies, strict=True):
        eyes = [1.6 * body.blink, 2.0 * body.gaze] if more else []
        arrays[trial] = np.vstack([block, *eyes])
    return arrays
