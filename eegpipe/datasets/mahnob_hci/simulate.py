"""MAHNOB-HCI's ``Sessions``: a BioSemi file and a ``session.xml`` per trial, each subject in an order of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from eegpipe.affect import from_rating
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import WORDS, felt, rate
from eegpipe.simulate.biosemi import Signal, biosemi_signal, biosemi_status, write_edf
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.continuous import Placed, record_continuously
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

AROUND_S = 30
SCALE = (1.0, 9.0)
_CODES = {
    "neutral": 0, "anger": 1, "disgust": 2, "fear": 3, "joy": 4, "sadness": 5, "surprise": 6, "amusement": 11,
    "anxiety": 12,
}  # fmt: skip
_ANXIETY = (-0.5, 0.6, -0.5)
# File, seconds, and what the clip evokes (the last is made up: it is not published clip by clip).
_CLIPS = (
    ("69", 58, "disgust"), ("55", 76, "anger"), ("58", 58, "amusement"), ("earworm_f", 53, "disgust"),
    ("53", 104, "amusement"), ("80", 96, "joy"), ("52", 96, "amusement"), ("79", 42, "joy"), ("73", 71, "fear"),
    ("90", 85, "joy"), ("107", 34, "fear"), ("146", 87, "sadness"), ("30", 70, "anxiety"), ("138", 116, "sadness"),
    ("newyork_f", 89, "neutral"), ("111", 113, "sadness"), ("detroit_f", 89, "neutral"), ("cats_f", 98, "joy"),
    ("dallas_f", 89, "neutral"), ("funny_f", 87, "surprise"),
)  # fmt: skip
_NAMES = {number: name for number, (name, _, _) in enumerate(_CLIPS, start=1)}
_FEWER = {3: 17, 9: 14, 16: 16}

DESIGN = Design(
    name="mahnob_hci",
    people=tuple(number for number in range(1, 31) if number not in (12, 15, 26)),
    sessions=1,
    clips=tuple(
        Clip(number, _ANXIETY if word == "anxiety" else WORDS[word], word, seconds)
        for number, (_, seconds, word) in enumerate(_CLIPS, start=1)
    ),
    trap_people=(3, 9, 16),
)

AMPLIFIER = Amplifier(
    channels=(
        "Fp1", "AF3", "F3", "F7", "FC5", "FC1", "C3", "T7", "CP5", "CP1", "P3", "P7", "PO3", "O1", "Oz", "Pz",
        "Fp2", "AF4", "Fz", "F4", "F8", "FC6", "FC2", "Cz", "C4", "T8", "CP6", "CP2", "P4", "P8", "PO4", "O2",
    ),
    rate_hz=256.0,
    reference=("Cz", "Pz"),
    band_hz=(0.0, 52.0),
    noise_uv=0.6,
    line_uv=2.0,
    drift_uv=10.0,
    bad_channels=0.5,
)  # fmt: skip
_OFFSET_UV, _OFFSET_SPREAD_UV = -4000.0, 900.0
_FELT = ("feltArsl", "feltVlnc", "feltCtrl", "feltPred")
_OTHERS = (*(f"EXG{number}" for number in range(1, 9)), "GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Temp")


def around_s(plan: Plan) -> int:
    """Seconds before and after each clip: shorter where clips are."""
    trial_s = plan.settings.trial_s
    return AROUND_S if trial_s is None else min(AROUND_S, max(2, round(trial_s / 2)))


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``Sessions/`` and ``Subjects/`` into ``folder``."""
    (folder / "Sessions").mkdir()
    (folder / "Subjects").mkdir()
    for subject in plan.people:
        _write_subject(folder, plan, subject, truth)
        advance()
    if plan.traps:  # people who were recorded, but not in the emotion part
        for session in (1432, 1434):
            path = folder / "Sessions" / str(session)
            path.mkdir()
            (path / "session.xml").write_text(_xml(session, 12, (session - 1430) // 2, {}, None, 60), encoding="utf-8")


def _write_subject(folder: Path, plan: Plan, subject: int, truth: Truth) -> None:
    seed, hz = plan.settings.seed, round(AMPLIFIER.rate_hz)
    around = around_s(plan) * hz
    order = stream(seed, DESIGN.name, subject, "order").permutation(len(plan.clips))
    clips = [plan.clips[place] for place in order][: _FEWER.get(subject, len(plan.clips))]
    placed, at = [], around
    for clip in clips:
        placed.append(Placed(Block(clip.stimulus_s * hz, clip, key=clip.number), at))
        at += clip.stimulus_s * hz + 2 * around
    person = draw_person(seed, DESIGN.name, subject)
    recorded = record_continuously(
        AMPLIFIER, placed, at - around, person, 1, plan, offsets_uv=_OFFSET_SPREAD_UV, noise_uv=0.3
    )
    recorded.signal_uv += _OFFSET_UV
    random = stream(seed, DESIGN.name, subject, "sensors")
    # Which value the pulses have is not known; with the irregularities it differs, and bits above it are set.
    code, idle = ((1, 0xFF00), (16, 0), (200, 0x0100))[subject % 3] if plan.traps else (16, 0)

    shown, written = [], []
    for trial, (clip, one) in enumerate(zip(clips, placed, strict=True), start=1):
        cut = slice(one.at - around, one.at + one.block.samples + around)
        signals = _signals(recorded.signal_uv[:, cut], random, person.pulse_hz)
        signals.append(_status([around, around + one.block.samples], cut.stop - cut.start, code, idle))
        word, scores = _answers(plan, subject, clip)
        session = (subject - 1) * 130 + 2 * trial
        answers = {"feltEmo": _CODES[word]} | dict(zip(_FELT, scores, strict=True))
        seconds = (cut.stop - cut.start) / hz
        text = _xml(session, subject, 2 * trial, answers, f"{_NAMES[clip.number]}.avi", seconds)
        _write_session(folder, session, f"Part_{subject}_S_Trial{trial}_emotion.bdf", signals, text)
        written.append(np.stack([signal.values for signal in signals[: len(AMPLIFIER.channels)]]))
        ratings = dict(zip(("arousal", "valence", "control", "predictability"), map(float, scores), strict=True))
        affect = from_rating(ratings["valence"], ratings["arousal"], SCALE)
        name = f"{DESIGN.name}/{_NAMES[clip.number]}"
        shown.append(Shown(replace(clip, label=word), one.at, one.block.samples, affect, ratings, trial, name))
    if plan.traps:
        _write_traps(folder, subject, len(clips), recorded.signal_uv[:, : 2 * around + 2 * hz], random, code, idle)
    person_xml = f'<subject id="{subject}" yearOfBirth="1980" sex="f" />\n'
    (folder / "Subjects" / f"subject{subject}.xml").write_text(person_xml, encoding="utf-8")
    truth.add(
        RecordingId(f"{subject:02d}"),
        plan,
        shown,
        rate_hz=AMPLIFIER.rate_hz,
        channels=AMPLIFIER.channels,
        signal_uv=np.concatenate(written, axis=1),
        clean_uv=recorded.clean_uv,
        artefacts=recorded.artefacts,
        bad_channels=recorded.bad_channels,
    )


def _write_traps(
    folder: Path, subject: int, trials: int, signal: np.ndarray, random: np.random.Generator, code: int, idle: int
) -> None:
    """A neutral clip before the first trial; the session of subject 16 that names no clip."""
    hz = round(AMPLIFIER.rate_hz)
    around, samples = (signal.shape[1] - 2 * hz) // 2, signal.shape[1]
    signals = _signals(signal, random, 1.1)
    signals.append(_status([around, around + 2 * hz], samples, code, idle))
    session = (subject - 1) * 130 + 1
    text = _xml(session, subject, 1, {}, "waves_Final.avi", samples / hz, stimulus=False)
    _write_session(folder, session, f"Part_{subject}_N_Trial1_emotion.bdf", signals, text)
    if subject == 16:
        session, trial = (subject - 1) * 130 + 2 * (trials + 1), trials + 1
        answers = {"feltEmo": 0, "feltArsl": 5, "feltVlnc": 5, "feltCtrl": 5, "feltPred": 5}
        text = _xml(session, subject, 2 * trial, answers, None, samples / hz)
        _write_session(folder, session, f"Part_{subject}_S_Trial{trial}_emotion.bdf", signals, text)


def _answers(plan: Plan, subject: int, clip: Clip) -> tuple[str, list[int]]:
    """The emotion keyword, mostly the clip's; arousal, valence, control and predictability from 1 to 9."""
    seed = plan.settings.seed
    valence, arousal, approach = felt(seed, DESIGN.name, subject, clip)
    random = stream(seed, DESIGN.name, subject, "ratings", clip.number)
    scores = [round(rate(random, feeling, SCALE)) for feeling in (arousal, valence, 0.5 * approach, -0.3 * arousal)]
    word = str(clip.label) if random.random() < 0.75 else "neutral"
    return word, scores


def _signals(signal_uv: np.ndarray, random: np.random.Generator, pulse_hz: float) -> list[Signal]:
    hz, samples = round(AMPLIFIER.rate_hz), signal_uv.shape[1]
    signals = [
        biosemi_signal(name, row, hz, transducer="Active Electrode")
        for name, row in zip(AMPLIFIER.channels, signal_uv, strict=True)
    ]
    time_s = np.arange(samples) / hz
    beats = np.exp(-0.5 * (((time_s * pulse_hz) % 1 - 0.5) / 0.02) ** 2)
    for number, name in enumerate(_OTHERS):
        heart = (900.0 - 200.0 * number) * beats if number < 3 else 0.0 * beats
        values = 300.0 * number + heart + 5 * random.standard_normal(samples)
        unit = {"GSR1": "Ohm", "GSR2": "Ohm", "Temp": "Degr."}.get(name, "uV")
        signals.append(biosemi_signal(name, values, hz, unit=unit))
    return signals


def _status(pulses: Sequence[int], samples: int, code: int, idle: int) -> Signal:
    """Words with 20 ms pulses; bit 20 (range) is always set, bit 16 (epoch) at the first sample."""
    hz = round(AMPLIFIER.rate_hz)
    words = np.full(samples, 0x180000 | idle, np.int64)
    for pulse in pulses:
        words[pulse : pulse + hz // 50] |= code
    words[0] |= 0x010000
    return biosemi_status(words, hz)


def _write_session(folder: Path, session: int, name: str, signals: Sequence[Signal], text: str) -> None:
    path = folder / "Sessions" / str(session)
    path.mkdir()
    write_edf(path / name, signals, 1.0, kind="BDF", start_date="10.05.10")
    (path / "session.xml").write_text(text, encoding="utf-8")
    guide = name.split("_")[1]
    (path / f"P{guide}-Rec1-Guide-Cut.tsv").write_text("Simulated\n", encoding="utf-8")


def _xml(
    session: int,
    subject: int,
    cut: int,
    answers: dict[str, int],
    media: str | None,
    seconds: float,
    *,
    stimulus: bool = True,
) -> str:
    attributes: dict[str, object] = {"sessionId": session, "date": "10-May-2010", "time": "12:00:00"}
    attributes |= {"experimentType": "emotion elicitation", "isStim": int(stimulus), **answers}
    attributes |= {"cutNr": cut, "cutLenSec": f"{seconds:.4f}", "vidRate": "60.9708", "audRate": "44100"}
    attributes |= {"audBeginSmp": 0, "audEndSmp": round(seconds * 44100), "vidBeginSmp": 0}
    attributes["vidEndSmp"] = round(seconds * 60.9708)
    if media is not None:
        attributes["mediaFile"] = media
    text = " ".join(f"{name}={quoteattr(str(value))}" for name, value in attributes.items())
    track = f'<track type="Physiological" filename="Part_{subject}_S_Trial{cut // 2}_emotion.bdf" />'
    inside = f'  <subject id="{subject}" />\n  {track}\n'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<session {text}>\n{inside}</session>\n'
