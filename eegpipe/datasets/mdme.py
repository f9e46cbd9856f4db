"""MDME ("mixed emotion"): 73 subjects, 32 short videos, 18 channels of a DSI-24 at 300 Hz; own ratings from 1 to 9.

One ``datas.mat`` per subject. Which video a sample belongs to stands in the last row of ``eeg_datas``, and only there:
the resting state takes part in it under a number of its own, so counting seconds from the start finds the wrong videos.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.channels import canonical
from eegpipe.datasets.base import Dataset, Discovery, Facts, Irregularity, RecordingEntry, Variant, simulated_marker
from eegpipe.datasets.folders import find_folder, numbers_text, relative
from eegpipe.datasets.formats import matlab
from eegpipe.datasets.formats.tables import read_rows
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.progress import Advance
from eegpipe.recording import Event, Recording, RecordingId
from eegpipe.simulate.affective import WORDS, felt, rate
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.containers import smallest_integers, write_mat
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.simulator import Simulator
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

# --- facts ------------------------------------------------------------------------------------------------------------

_RECORDED = range(1, 81)  # 80 people took part; the folders of 73 are handed out
# Missing among the first 35. Which seven of the 80 are missing in all is not published; if it is these, the other 45
# people are complete (28 + 45 = 73). Only the number 73 is asserted.
_MISSING = (3, 4, 13, 16, 17, 27, 31)
_EARLIER = tuple(number for number in range(1, 36) if number not in _MISSING)  # an earlier release, 28 of 35

_REST = 40  # what the id row says while nothing is shown
# Seconds of videos 0 to 31.
_VIDEO_S = (
    20, 29, 29, 30, 29, 30, 30, 28, 22, 23, 30, 31, 24, 28, 29, 27,
    29, 28, 27, 30, 31, 26, 32, 24, 26, 22, 30, 23, 24, 23, 20, 29,
)  # fmt: skip
# The authors' own code allows for stretches that differ a little between the devices, so a video may too. A wrong rate
# or a wrong cut is much further off.
_SHORTER_S, _LONGER_S = 1.0, 2.0
_LONGEST_REST_S = 3600.0
_LABELS = ("positive",) * 8 + ("negative",) * 8 + ("mixed",) * 16  # of videos 0 to 31

# The file holds no names; this is the order that public code takes. The cap's 19th electrode, Pz, was the reference.
_ORDER = "Fp1 Fp2 Fz F3 F4 F7 F8 Cz C3 C4 T3 T4 P3 P4 T5 T6 O1 O2"
_GSR_HZ, _PPG_HZ = 4.0, 100.0

_RATINGS = ("arousal", "valence", "dominance")  # columns of the table after the video's number: arousal comes first
_SCALE = (1.0, 9.0)

FACTS = Facts(
    subjects=73,
    people=tuple(number for number in _RECORDED if number not in _MISSING),
    sessions=1,
    trials=32,
    rate_hz=300.0,
    channels=tuple(_ORDER.split()),
    trial_s=tuple(map(float, _VIDEO_S)),
    reference="Pz",
    line_hz=50.0,
)
_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "ICA": {"method": "artefacts removed by the data set's authors; how is not published"},
}

_PERSON = re.compile(r"[1-9][0-9]?")
_SIGNALS = "datas.mat"
_FOLDERS = ("mdme", "mme", "mixedemor", "dmer")
_CURE = "Copy the subject's folder from the vendor's archive again."


# --- which recordings there are ---------------------------------------------------------------------------------------


def _folder(root: Path) -> Path | None:
    """Where the subjects' folders lie. Other data sets have numbered folders too, but no ``datas.mat`` in them."""
    folder = find_folder(root, _PERSON, _FOLDERS)
    return folder if folder and any(folder.glob(f"[1-9]*/{_SIGNALS}")) else None


def _recognise(root: Path) -> bool:
    return _folder(root) is not None


def _discover(root: Path) -> Discovery:
    simulated = simulated_marker(root) is not None
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated)
    folder = _folder(root)
    if folder is None:
        cure = "Name the folder that holds the subjects' folders 1, 2 and so on."
        found.problems.append(DataProblem("MDME folder", f"no file like 1/{_SIGNALS}", "a folder per subject", cure))
        return found
    here = sorted(int(child.name) for child in folder.iterdir() if _PERSON.fullmatch(child.name) and child.is_dir())
    people = facts.numbers if simulated else _RECORDED
    for number in here:
        # The second level of the same name is the vendor's own.
        files = [folder / str(number) / _SIGNALS, folder / str(number) / str(number) / "Arousal_Valence.csv"]
        missing = [relative(file, root) for file in files if not file.is_file()]
        if number not in people:
            cure = "Take the folder away if it is not the vendor's."
            expected = f"subjects {people[0]} to {people[-1]}"
            found.problems.append(
                DataProblem(relative(folder / str(number), root), "an unknown subject", expected, cure)
            )
        elif missing:
            found.problems.append(DataProblem(missing[0], "no file", "signals and ratings of every subject", _CURE))
        else:
            names = tuple(relative(file, root) for file in files)
            found.entries.append(RecordingEntry(RecordingId(f"{number:02d}"), names))
    if not simulated and tuple(here) == _EARLIER:
        found.notes.append("This is the earlier release: 28 of the first 35 subjects.")
    elif len(here) != facts.subjects:
        absent = numbers_text(number for number in facts.numbers if number not in here)
        cure = f"Copy the missing folders: {absent}." if absent else "Take away the folders that are not the vendor's."
        expected = f"{facts.subjects} subjects" + ("" if simulated else f" of {len(_RECORDED)}")
        found.problems.append(DataProblem(f"{folder.name}: subjects", f"{len(here)} folders", expected, cure))
    found.notes.append("Not read: skin response and pulse wave (other rates), the resting state, videos of faces.")
    return found


# --- one recording ----------------------------------------------------------------------------------------------------


def _read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    file, table = entry.files
    signals = _signals(root / file, file, facts)
    ratings = _ratings(root / table, table, facts)
    runs = _runs(signals[-1], f"{file}: video ids", facts)

    # In the order of the ids, whatever the order in the file: it is not the order of presentation anyway.
    def blocks() -> Iterator[tuple[str, np.ndarray]]:
        for video, (start, stop) in enumerate(runs):
            yield f"{file}: video {video}", signals[:-1, start:stop]

    lengths = [stop - start for start, stop in runs]
    raw = join(blocks(), lengths, eeg_channels(facts.channels), facts.rate_hz, facts.line_hz)
    onsets_s = np.cumsum([0, *lengths[:-1]]) / facts.rate_hz
    events = boundaries(lengths, facts.rate_hz)
    for video, (onset_s, length) in enumerate(zip(onsets_s, lengths, strict=True)):
        mine = ratings[video]
        events.append(
            Event(
                onset_s=float(onset_s),
                duration_s=length / facts.rate_hz,
                kind="stimulus",
                trial=video + 1,
                stimulus=f"mdme/{video:02d}",
                label=_LABELS[video],
                ratings=mine,
                affect=affect.from_rating(mine["valence"], mine["arousal"], _SCALE),
            )
        )
    notes = _length_notes(lengths, facts)
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, _HISTORY, notes=notes)


def _signals(path: Path, where: str, facts: Facts) -> np.ndarray:
    """``eeg_datas``: (channel + 1, sample), microvolt; the last row holds the video's id.

    The rate is not in the file. What is: the same minutes at two other rates, which must agree.
    """
    variables = matlab.list_variables(path, where)
    rows = len(facts.channels) + 1
    shape, kind = variables.get("eeg_datas", ((), "nothing"))
    if len(shape) != 2 or shape[0] != rows or kind not in ("double", "single"):
        found = f"{kind} of shape {shape}" if shape else "no variable eeg_datas"
        expected = f"eeg_datas of shape ({rows}, samples): {rows - 1} channels and the id row"
        raise DataProblem(where, found, expected, _CURE)
    seconds = shape[1] / facts.rate_hz
    for name, rate_hz in (("gsr_datas", _GSR_HZ), ("ppg_datas", _PPG_HZ)):
        other, _ = variables.get(name, ((), ""))
        other_s = other[1] / rate_hz if len(other) == 2 else seconds  # some builds of the file lack it
        if abs(other_s - seconds) > 0.05 * max(seconds, other_s):
            found = f"{seconds:.1f} s of EEG and {other_s:.1f} s of {name}"
            expected = f"the same time at {facts.rate_hz:g} and {rate_hz:g} Hz"
            raise DataProblem(f"{where}: rate", found, expected, _CURE)
    most = round(facts.rate_hz * (sum(facts.trial_s or ()) + _LONGEST_REST_S))
    values = matlab.read_variable(path, where, "eeg_datas", largest=8 * rows * most)
    return matlab.numbers(values, f"{where}: eeg_datas")


def _runs(ids: np.ndarray, where: str, facts: Facts) -> list[tuple[int, int]]:
    """(first, last + 1) sample of every video: each one is shown once, in one stretch, for about as long as it is."""
    allowed = [*range(facts.trials), _REST]
    if not np.isin(ids, allowed).all():  # NaN is in no list
        strange = ids[~np.isin(ids, allowed)]
        expected = f"0 to {facts.trials - 1}, and {_REST} for rest"
        raise DataProblem(where, f"{strange.size} values such as {strange[0]:g}", expected, _CURE)
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    found: dict[int, list[tuple[int, int]]] = {video: [] for video in allowed}
    for start, stop in itertools.pairwise(edges):
        found[int(ids[start])].append((start, stop))
    for video, seconds in enumerate(facts.trial_s or ()):
        stretches = found[video]
        if len(stretches) != 1:
            raise DataProblem(where, f"video {video} in {len(stretches)} stretches", "each video in one", _CURE)
        lasts_s = (stretches[0][1] - stretches[0][0]) / facts.rate_hz
        if not seconds - _SHORTER_S <= lasts_s <= seconds + _LONGER_S:
            raise DataProblem(where, f"video {video} for {lasts_s:g} s", f"about {seconds:g} s", _CURE)
    return [found[video][0] for video in range(facts.trials)]


def _length_notes(lengths: list[int], facts: Facts) -> tuple[str, ...]:
    pairs = enumerate(zip(lengths, facts.trial_s or (), strict=True))
    other = [video for video, (length, seconds) in pairs if length != round(seconds * facts.rate_hz)]
    return (f"Not as long as published, kept as they are: videos {numbers_text(other)}.",) if other else ()


def _ratings(path: Path, where: str, facts: Facts) -> dict[int, dict[str, float]]:
    """Video -> its ratings. The rows are in the order of presentation, so they are matched by the first column."""
    low, high = _SCALE
    ratings: dict[int, dict[str, float]] = {}
    for number, cells in enumerate(read_rows(path, where), start=1):
        try:
            video, *marks = map(float, cells)
        except ValueError:
            video, marks = -1.0, []
        right = len(marks) == len(_RATINGS) and all(low <= mark <= high and mark.is_integer() for mark in marks)
        if not right or video not in range(facts.trials) or video in ratings:
            found = f"'{', '.join(cells)[:80]}'"
            expected = f"a new video (0 to {facts.trials - 1}), then arousal, valence, dominance ({low:g} to {high:g})"
            raise DataProblem(f"{where}: line {number}", found, expected, _CURE)
        ratings[int(video)] = dict(zip(_RATINGS, marks, strict=True))
    if len(ratings) != facts.trials:
        raise DataProblem(where, f"the ratings of {len(ratings)} videos", f"of {facts.trials}", _CURE)
    return ratings


# --- the simulator ----------------------------------------------------------------------------------------------------

# What the videos evoke on average: valence, arousal, approach, each from -1 to 1.
_EVOKED = {"positive": WORDS["positive"], "negative": WORDS["negative"], "mixed": (0.0, 0.5, 0.1)}
_REST_S = 60  # not published
_PANAS = 20  # columns of dis_label; how many there are is not published

_DESIGN = Design(
    name="mdme",
    people=FACTS.people,
    sessions=1,
    clips=tuple(
        Clip(video, _EVOKED[label], label, seconds)
        for video, (label, seconds) in enumerate(zip(_LABELS, _VIDEO_S, strict=True))
    ),
    trap_people=(1, 2, 5),
)
_AMPLIFIER = Amplifier(
    channels=tuple(canonical(name) or name for name in _ORDER.split()),
    rate_hz=300.0,
    reference=("Pz",),
    band_hz=(0.5, 60.0),
    noise_uv=1.5,
    line_uv=0.8,
    drift_uv=4.0,
    eye_left=0.1,
    bad_channels=0.2,
)


def _write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``<k>/datas.mat`` and ``<k>/<k>/Arousal_Valence.csv`` of every person."""
    seed, rate_hz = plan.settings.seed, round(_AMPLIFIER.rate_hz)
    rest_s = _REST_S if plan.settings.trial_s is None else min(_REST_S, round(plan.settings.trial_s))
    # Every block has a key, so that its signal does not depend on what else is recorded.
    shown = [Block(clip.stimulus_s * rate_hz, clip, key=clip.number) for clip in plan.clips]
    for number in plan.people:
        person = draw_person(seed, _DESIGN.name, number)
        recorded = record(_AMPLIFIER, shown, person, 1, plan)
        resting = record(_AMPLIFIER, [Block(rest_s * rate_hz, None, key="rest")], person, 1, plan)
        parts = [(_REST, resting.blocks_uv[0])]
        parts += [(clip.number, block) for clip, block in zip(plan.clips, recorded.blocks_uv, strict=True)]
        if plan.traps and number == 2:  # where the resting state lies is doubtful: here it is not at the beginning
            parts.append(parts.pop(0))
        eeg = np.concatenate([np.vstack([block, np.full(block.shape[1], video)]) for video, block in parts], axis=1)
        random = stream(seed, _DESIGN.name, number, "other signals")
        variables: dict[str, object] = {"eeg_datas": eeg}
        for name, other_hz in (("gsr_datas", _GSR_HZ), ("ppg_datas", _PPG_HZ)):
            ids = np.repeat(eeg[-1, ::rate_hz], int(other_hz))
            variables[name] = np.stack([2 + 0.1 * random.standard_normal(len(ids)), ids])
        variables["dis_label"] = random.dirichlet(np.ones(_PANAS), len(plan.clips))
        if plan.traps and number == 5:  # as some builds of the file have it
            rates = {"fs_eeg": rate_hz, "fs_gsr": int(_GSR_HZ), "fs_ppg": int(_PPG_HZ)}
            variables |= {name: smallest_integers([[value]]) for name, value in rates.items()}
        inner = folder / str(number) / str(number)
        inner.mkdir(parents=True)
        write_mat(folder / str(number) / _SIGNALS, variables)

        marks = {clip.number: _marks(seed, number, clip) for clip in plan.clips}
        order = stream(seed, _DESIGN.name, number, "order of presentation").permutation(len(plan.clips))
        lines = [",".join(map(str, (video, *marks[video]))) for video in order.tolist()]
        (inner / "Arousal_Valence.csv").write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")

        answers, onset = [], 0
        for clip, block in zip(plan.clips, shown, strict=True):
            arousal, valence, dominance = map(float, marks[clip.number])
            ratings = {"arousal": arousal, "valence": valence, "dominance": dominance}
            answers.append(Shown(clip, onset, block.samples, affect.from_rating(valence, arousal, (1.0, 9.0)), ratings))
            onset += block.samples
        truth.add_recorded(RecordingId(f"{number:02d}"), plan, _AMPLIFIER, recorded, answers)
        advance()


def _marks(seed: int, number: int, clip: Clip) -> tuple[int, int, int]:
    """Arousal, valence, dominance as a person marks them, whole numbers from 1 to 9."""
    valence, arousal, approach = felt(seed, _DESIGN.name, number, clip)
    random = stream(seed, _DESIGN.name, number, "ratings", clip.number)
    marked = [round(rate(random, feeling, (1.0, 9.0))) for feeling in (arousal, valence, 0.4 * approach)]
    return marked[0], marked[1], marked[2]


# --- the data set -----------------------------------------------------------------------------------------------------

DATASET = Dataset(
    name="mdme",
    title="MDME: EEG of people watching short videos that evoke positive, negative and mixed emotions",
    variants=(
        Variant(
            name="mat",
            files="<subject>/datas.mat, MATLAB files at 300 Hz",
            tree=(
                "1/datas.mat\n"
                "1/1/Arousal_Valence.csv\n"
                "2/datas.mat and so on: 73 folders, numbered from 1 to 80\n"
                "(not read: <subject>/<video>.mp4, raw_gsr.csv, raw_ppg.csv, sub<subject>/)"
            ),
            facts=FACTS,
            recognise=_recognise,
            discover=_discover,
            read=_read,
            already_processed=True,
            memory_gb=0.3,
            simulator=Simulator(_DESIGN, _write),
        ),
    ),
    labels=("positive", "negative", "mixed"),
    ratings=dict.fromkeys(("valence", "arousal", "dominance"), _SCALE),
    irregularities=(
        Irregularity("M1", "", "The last row of eeg_datas is the video's id, rest included; videos are cut by it."),
        Irregularity("M2", "", "The table of ratings has no header, and arousal comes before valence; read so."),
        Irregularity("M3", "", "The ratings are in the order of presentation, the signal is not; matched by video."),
        Irregularity("M4", "", "EEG, skin response and pulse wave have three rates; their durations are compared."),
        Irregularity("C4", "", "T3, T4, T5 and T6 are T7, T8, P7 and P8 of the newer system; renamed."),
    ),
    access="Ask the authors as the article describes. An earlier part (28 subjects) is Zenodo record 7385297.",
    size="not published; with the videos of faces tens of GB",
    licence="Not recorded here: see the terms that come with the files",
    authors=(
        "Pei Yang",
        "Niqi Liu",
        "Xinge Liu",
        "Yezhi Shu",
        "Wenqi Ji",
        "Ziqi Ren",
        "Jenny Sheng",
        "Minjing Yu",
        "Ran Yi",
        "Dan Zhang",
        "Yong-Jin Liu",
    ),
    citation=(
        "Yang, P., Liu, N., Liu, X., Shu, Y., Ji, W., Ren, Z., Sheng, J., Yu, M., Yi, R., Zhang, D., Liu, Y.-J. "
        "(2024). A multimodal dataset for mixed emotion recognition. Scientific Data 11, 847. "
        "doi:10.1038/s41597-024-03676-4"
    ),
    url="https://doi.org/10.1038/s41597-024-03676-4",
    manufacturer="Wearable Sensing",
    task_description="Watching 32 videos of 20 to 32 s (8 positive, 8 negative, 16 mixed), each rated afterwards.",
)
