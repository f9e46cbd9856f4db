"""From the annotations of EmoEEG-MC's EDF files to its trials: which stretch shows which stimulus, and its ratings.

A trial begins at a mark ``ima`` or ``vid``. A film ends at the next ``rating``; an imagined scene at the first ``fade``
(the person's button) or ``rating`` after its begin. Rows of the behaviour table are in order of time, over both
contexts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eegpipe import affect
from eegpipe.datasets.base import Facts
from eegpipe.datasets.emoeeg_mc.facts import CONTEXTS, CURE, IMAGERY, RATINGS, SCALE, STIMULI, VIDEO, label
from eegpipe.datasets.emoeeg_mc.guide import Guide
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats.edf import Annotation, read_annotations, read_header
from eegpipe.datasets.formats.tables import read_table
from eegpipe.errors import DataProblem

_CODE = re.compile(r"[^0-9]*([0-9]{1,3})\s*")
# A loose trigger cable writes many codes at one time; an experiment writes one.
_BURST_S, _BURST_CODES = 0.005, 3
_MOST_MARKS = 2000  # of one file; real ones have up to 200
_EARLY_S, _LATE_S = 2.0, 4.0  # films may stutter on a slow computer
_LONG_CLIP, _LONG_CLIP_S = "dis8", (240.0, 320.0)  # differs between people, which no other film does
_EXCHANGED = {"neu5": "neu8", "neu8": "neu5"}
# Under a wrong order of the rows, another shift of them fits the labels better. The best of all shifts need not be
# the right one to the row, so the right one may be among the best three.
_BEST, _FEWEST = 3, 12


@dataclass(frozen=True)
class Trial:
    """``place``: 1 to 21 within its context; ``row``: 1 to 42 in order of time. ``stimulus`` None: not listed."""

    run: int
    start_s: float
    end_s: float
    context: str
    place: int
    row: int
    stimulus: str | None = None

    @property
    def number(self) -> int:
        """As the data set's README counts: imagery from 1, films from 22."""
        return self.place + (len(STIMULI) if self.context == VIDEO else 0)


def read_trials(
    root: Path, edfs: Sequence[str], subject: int, guide: Guide, facts: Facts, *, simulated: bool, notes: list[str]
) -> list[Trial]:
    """All trials of a subject in order of time, with their stimuli.

    Raises
    ------
    DataProblem
        If the marks do not give the listed number of trials, or a film is not as long as the listed one.
    """
    codes = guide.codes_of(subject)
    found: list[Trial] = []
    for run, file in enumerate(edfs):
        header = read_header(root / file, file)
        found += _run(run, read_annotations(root / file, header), codes, file, notes)
    trials: list[Trial] = []
    for context in CONTEXTS:
        mine = [one for one in found if one.context == context]
        order, missing = guide.order_of(subject, context), guide.missing_of(subject, context)
        trials += _listed(mine, CONTEXTS[context], order, missing, edfs[0], notes)
    same = guide.order_of(subject, IMAGERY) == guide.order_of(subject, VIDEO)
    trials = _checked(trials, facts, edfs, simulated=simulated, same=same, notes=notes)
    return sorted(trials, key=lambda one: one.row)


def _run(run: int, annotations: list[Annotation], codes: dict[int, str], file: str, notes: list[str]) -> list[Trial]:
    """The trials of one file; places and rows count from 1 in each file and are set right by the caller."""
    marks = [
        (one.onset_s, int(match[1]))
        for one in sorted(annotations, key=lambda one: one.onset_s)
        if (match := _CODE.fullmatch(one.text))
    ]
    if len(marks) > _MOST_MARKS:
        raise DataProblem(f"{file}: annotations", f"{len(marks)} marks", f"at most {_MOST_MARKS}", CURE)
    bursts = [
        time
        for time, _ in marks
        if len({code for other, code in marks if abs(other - time) <= _BURST_S}) >= _BURST_CODES
    ]
    if bursts:
        notes.append(f"{file}: {len(bursts)} marks at {len(set(bursts))} moments are a loose trigger's and not used.")
    noisy = set(bursts)
    events = [(time, codes[code]) for time, code in marks if code in codes and time not in noisy]
    events += [(time, "burst") for time in sorted(noisy)]
    trials: list[Trial] = []
    begun: tuple[float, str] | None = None
    for time, kind in sorted(events):
        if kind in CONTEXTS:
            if begun is not None:
                notes.append(f"{file}: a {CONTEXTS[begun[1]]} trial begun at {begun[0]:.1f} s was not finished.")
            begun = (time, kind)
        elif begun is not None and (kind != "fade" or begun[1] == IMAGERY):
            if kind == "burst":
                notes.append(f"{file}: the trial at {begun[0]:.1f} s is cut where a loose trigger hides its end.")
            trials.append(Trial(run, begun[0], time, begun[1], 0, 0))
            begun = None
    return trials


def _listed(
    trials: list[Trial], name: str, order: Sequence[str], missing: Sequence[int], file: str, notes: list[str]
) -> list[Trial]:
    """Places and stimuli of one context. Missing trials may have marks (21 in all) or none."""
    whole = len(STIMULI)
    places = [place for place in range(1, whole + 1) if place not in missing]
    if len(places) != len(order):
        expected = f"{whole} less the {len(missing)} that it calls missing"
        raise DataProblem(f"README.md: {name} sequence", f"{len(order)} stimuli", expected, CURE)
    stimuli = dict(zip(places, order, strict=True))
    if len(trials) not in (whole, len(order)):
        wanted = " or ".join(str(count) for count in sorted({len(order), whole}))
        cure = "The event codes in the README are not those of this file, or marks are lost: leave the subject out."
        raise DataProblem(f"{file}: marks of {name} trials", f"{len(trials)} trials", f"{wanted} trials", cure)
    shown = list(range(1, whole + 1)) if len(trials) == whole else places
    if unlisted := [place for place in shown if place not in stimuli]:
        notes.append(f"No stimulus is listed for {name} trials {numbers_text(unlisted)}; they are no events.")
    return [
        Trial(one.run, one.start_s, one.end_s, one.context, place, 0, stimuli.get(place))
        for place, one in zip(shown, trials, strict=True)
    ]


def _checked(
    trials: list[Trial], facts: Facts, edfs: Sequence[str], *, simulated: bool, same: bool, notes: list[str]
) -> list[Trial]:
    """Rows in order of time; every film as long as the listed one, or two neutral films the other way round."""
    trials = sorted(trials, key=lambda one: (one.run, one.start_s))
    exchanged = []
    for one in trials:
        if one.context != VIDEO or one.stimulus is None:
            continue
        shown_s = one.end_s - one.start_s
        if _fits(one.stimulus, shown_s, facts, simulated=simulated):
            continue
        other = _EXCHANGED.get(one.stimulus)
        if other and _fits(other, shown_s, facts, simulated=simulated):
            exchanged.append(one.stimulus)
            continue
        where = f"{edfs[one.run]}: video trial {one.place} ({one.stimulus})"
        expected = f"{_seconds(one.stimulus, facts):.1f} s, the length of the film"
        cure = "The order in the README or the rate in the header is wrong for this file: leave the subject out."
        raise DataProblem(where, f"{shown_s:.1f} s between its marks", expected, cure)
    swap = set(exchanged) == set(_EXCHANGED)
    if exchanged and not swap:
        where = f"{edfs[0]}: films {numbers_text(exchanged)}"
        raise DataProblem(where, "the length of another neutral film", "the length of the listed film", CURE)
    if swap:
        both = "films and, as their order is the same, scenes" if same else "films"
        notes.append(f"neu5 and neu8 are listed the wrong way round, as the films' lengths show: {both} are exchanged.")
    result = []
    for row, one in enumerate(trials, start=1):
        stimulus = one.stimulus
        if swap and stimulus in _EXCHANGED and (same or one.context == VIDEO):
            stimulus = _EXCHANGED[stimulus]
        result.append(Trial(one.run, one.start_s, one.end_s, one.context, one.place, row, stimulus))
    return result


def _seconds(stimulus: str, facts: Facts) -> float:
    assert facts.trial_s is not None
    return facts.trial_s[len(STIMULI) + STIMULI.index(stimulus)]


def _fits(stimulus: str, shown_s: float, facts: Facts, *, simulated: bool) -> bool:
    if stimulus == _LONG_CLIP and not simulated:
        return _LONG_CLIP_S[0] <= shown_s <= _LONG_CLIP_S[1]
    # Simulated films are whole seconds, and short ones differ by little.
    early_s, late_s = (0.4, 0.4) if simulated else (_EARLY_S, _LATE_S)
    return -early_s <= shown_s - _seconds(stimulus, facts) <= late_s


def read_ratings(path: Path, where: str, trials: Sequence[Trial], notes: list[str]) -> dict[int, dict[str, float]]:
    """Row (1 to 42, in order of time) -> ratings by name; what is ``n/a`` is left out.

    A table may also have rows for the trials with a listed stimulus only. Ratings that cannot belong to these trials
    are left out as a whole, with a note: another number of rows than of trials, or an order that fits the labels worse
    than others.
    """
    rows: dict[int, dict[str, float]] = {}
    for row in read_table(path, where, delimiter="\t"):
        number = _number(row.get("trial_number", ""), f"{where}: trial_number")
        if math.isnan(number) or number != round(number) or int(number) in rows:
            raise DataProblem(
                f"{where}: trial_number", f"'{row.get('trial_number', '')[:40]}'", "each trial once", CURE
            )
        scores = {name: _number(row.get(f"score_{k}", ""), f"{where}: score_{k}") for k, name in enumerate(RATINGS, 1)}
        rows[int(number)] = {name: score for name, score in scores.items() if not math.isnan(score)}
        if wrong := [name for name, score in rows[int(number)].items() if not SCALE[0] <= score <= SCALE[1]]:
            text = f"{wrong[0]} {scores[wrong[0]]:g} in trial {int(number)}"
            raise DataProblem(f"{where}: scores", text, f"{SCALE[0]:g} to {SCALE[1]:g}", CURE)
    listed = [one for one in trials if one.stimulus]
    if sorted(rows) == list(range(1, len(listed) + 1)) and len(listed) < len(trials):
        rows = {one.row: rows[place] for place, one in enumerate(listed, start=1)}
        trials = listed
    if sorted(rows) != [one.row for one in trials]:
        notes.append(f"{where} has {len(rows)} rows for {len(trials)} trials: no rating is used.")
        return {}
    if not _plausible(rows, trials):
        notes.append(f"{where} is not in the order of the trials, as the labels show: no rating is used.")
        return {}
    return rows


def _number(text: str, where: str) -> float:
    if text.lower() in ("n/a", "nan", ""):
        return math.nan
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]*)?", text):
        raise DataProblem(where, repr(text[:40]), "a number or n/a", CURE)
    return float(text)


def _plausible(rows: dict[int, dict[str, float]], trials: Sequence[Trial]) -> bool:
    """Whether the rows fit the emotions of the trials about as well as under any cyclic shift."""
    emotions = RATINGS[:6]
    wanted = [label(one.stimulus) if one.stimulus else "" for one in trials]
    scored = [rows[one.row] if set(emotions) <= set(rows[one.row]) else None for one in trials]

    def contrast(shift: int) -> float:
        gains = []
        for place, word in enumerate(wanted):
            scores = scored[(place + shift) % len(scored)]
            if word in emotions and scores:
                gains.append(scores[word] - sum(scores[name] for name in emotions) / len(emotions))
        return sum(gains) / len(gains) if len(gains) >= _FEWEST else 0.0

    listed = contrast(0)
    return sum(contrast(shift) > listed for shift in range(1, len(scored))) < _BEST


def felt(stimulus: str, ratings: dict[str, float]) -> affect.Affect:
    """The person's own rating where there is one, else the norm of the word."""
    own = affect.from_rating(ratings.get("valence", math.nan), ratings.get("arousal", math.nan), SCALE)
    return affect.from_word(label(stimulus)) if math.isnan(own.valence) else own


def identifier(context: str, stimulus: str) -> str:
    """``emoeeg_mc/vid-sad4``; an imagined scene is another stimulus than the film of the same name."""
    return f"emoeeg_mc/{context}-{stimulus}"
