"""What SEED, SEED-IV, SEED-V and SEED-VII share: one laboratory, one cap, one amplifier, one way to name trials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, natural_key, numbers_text, relative
from eegpipe.datasets.formats import cnt, matlab
from eegpipe.datasets.signal import Channel, boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

# The 62 scalp channels as the vendor spells and orders them, the same in all four data sets.
_SCALP = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
)
ORDER_62: tuple[str, ...] = tuple(_SCALP.split())

# Channels of a CNT file: M1 and M2 lie inside, behind T8 and TP8; the eye channels are last. That order comes from a
# reader of the files and is not published, so channels are taken by name and another order is only noted.
ORDER_66: tuple[str, ...] = (*ORDER_62[:32], "M1", *ORDER_62[32:41], "M2", *ORDER_62[41:], "VEO", "HEO")

REFERENCE = "an electrode between CZ and CPZ"
RAW_RATE_HZ, RATE_HZ = 1000.0, 200.0

# The letters before it differ per subject: a personal abbreviation, which goes nowhere.
TRIAL_KEY = re.compile(r"([A-Za-z0-9]+)_eeg([0-9]{1,2})")

_KINDS = {"VEO": "eog", "HEO": "eog", "ECG": "ecg"}


def layout(names: Iterable[str]) -> list[Channel]:
    """Channels of a CNT file: scalp by the schema's names, M1 and M2 ``misc``, VEO and HEO ``eog``, ECG ``ecg``."""
    return [Channel(name, _KINDS[name]) if name in _KINDS else eeg_channels([name])[0] for name in names]


def trial_keys(variables: Mapping[str, object], trials: int, where: str, folder: str) -> list[str]:
    """The names of the variables ``<letters>_eeg1`` ... in order of their numbers.

    Parameters
    ----------
    variables
        Of which the keys are the names in the MAT file.
    trials
        How many there must be, without a gap, with one set of letters.
    folder
        The vendor's folder of such files, for the message.
    """
    matches = {key: match for key in variables if (match := TRIAL_KEY.fullmatch(key))}
    by_number = {int(match[2]): key for key, match in matches.items()}
    prefixes = {match[1] for match in matches.values()}
    wanted = range(1, trials + 1)
    if sorted(by_number) != list(wanted) or len(prefixes) != 1 or len(matches) != len(by_number):
        raise DataProblem(
            where,
            _found_trials(variables, matches, set(by_number), set(wanted), len(prefixes)),
            f"<letters>_eeg1 to <letters>_eeg{trials}, one set of letters",
            f"Copy the file from the vendor's {folder}.",
        )
    return [by_number[number] for number in wanted]


def _found_trials(
    variables: Iterable[str], matches: Mapping[str, object], found: set[int], wanted: set[int], letters: int
) -> str:
    """What is wrong with the variables. The letters are a personal abbreviation: only numbers are named."""
    others = sorted((name for name in variables if name not in matches), key=natural_key)
    if not matches:
        features = any(name.startswith(("de_", "psd_")) for name in others)
        kind = "features, " if features else ""
        return f"{kind}the variables {numbers_text(others) or '(none)'}"
    wrong = []
    if missing := sorted(wanted - found):
        wrong.append(f"no trial {numbers_text(missing)}")
    if more := sorted(found - wanted):
        wrong.append(f"the trials {numbers_text(more)} beside them")
    if letters > 1:
        wrong.append(f"{letters} sets of letters")
    return " and ".join(wrong or ["two variables of one trial"])


def places(root: Path, folder: Path) -> list[Path]:
    """The recordings' folder and the package around it, as far as the user named it."""
    return [folder] if folder == root else [folder, folder.parent]


def beside(root: Path, folder: Path, name: str) -> str | None:
    """A text of the vendor beside the recordings or beside their folder, relative to ``root``; any case of its name."""
    files = (file for place in places(root, folder) for file in sorted(place.iterdir()))
    return next((relative(file, root) for file in files if file.name.lower() == name and file.is_file()), None)


Choose = Callable[[Sequence[Path]], Path | None]
Sessions = dict[tuple[int, int], list[Path]]  # (subject, session) -> the files of that name


def discover_cnt(
    root: Path,
    facts: Facts,
    file: re.Pattern[str],
    folders: Sequence[str],
    times_file: str,
    nothing: DataProblem,
    choose: Choose | None = None,
) -> tuple[Discovery, Path | None, Sessions]:
    """The recordings of a folder of CNT files that share one list of times.

    Parameters
    ----------
    file
        Of which the first two groups are subject and session.
    nothing
        The problem of a folder without such files.

    Returns
    -------
    discovery, the folder that holds the files (None: there is none), the files by subject and session
    """
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = find_folder(root, file, folders)
    files: Sessions = {}
    if folder is None:
        found.problems.append(nothing)
        return found, None, files
    times = beside(root, folder, times_file)
    if not times:
        found.notes.append(f"No {times_file}: the published times of the clips are used.")
    for match, one in matching(folder, file):
        files.setdefault((int(match[1]), int(match[2])), []).append(one)
    add_sessions(found, facts, folder, files, (times,) if times else (), choose)
    return found, folder, files


def add_sessions(
    found: Discovery,
    facts: Facts,
    folder: Path,
    files: Sessions,
    shared: Sequence[str],
    choose: Choose | None = None,
) -> None:
    """Add to ``found`` one recording for each subject and session of a folder of CNT files, and what is wrong with it.

    Parameters
    ----------
    files
        (subject, session) -> the files of that name.
    shared
        Files that every recording needs, relative to ``found.root``.
    choose
        Of several files the right one, or None; without it several files are a problem.
    """
    place = relative(folder, found.root)
    sessions = range(1, facts.sessions + 1)
    for subject in sorted({subject for subject, _ in files} | set(facts.numbers)):
        where = f"{place}: subject {subject}"
        if subject not in facts.numbers:
            cure = "Take the file away if it is not the vendor's."
            found.problems.append(DataProblem(where, "an unknown subject", f"subjects 1 to {facts.subjects}", cure))
            continue
        if missing := [session for session in sessions if not files.get((subject, session))]:
            text, expected = f"no session {numbers_text(missing)}", f"sessions 1 to {facts.sessions}"
            found.problems.append(DataProblem(where, text, expected, "Copy the missing files."))
        for session in sessions:
            several = files.get((subject, session), ())
            one = several[0] if len(several) == 1 else choose(several) if choose and several else None
            if one:
                id = RecordingId(f"{subject:02d}", str(session))
                found.entries.append(RecordingEntry(id, (relative(one, found.root), *shared)))
            elif several:
                text = f"{', '.join(file.name for file in several)} for session {session}"
                cure = "Take away what is not the vendor's; the names do not tell which."
                found.problems.append(DataProblem(where, text, "one file", cure))
    more = [file.name for (_, session), several in files.items() for file in several if session not in sessions]
    if more := sorted(more, key=natural_key):
        text, expected = numbers_text(more), f"sessions 1 to {facts.sessions}"
        cure = "Take the files away if they are not the vendor's."
        found.problems.append(DataProblem(place, text, expected, cure))


@dataclass(frozen=True)
class CutTrial:
    """One trial as a variable of a MATLAB file. ``called``: the trial in a message; ``label``: a word of the norms."""

    trial: int
    variable: str
    samples: int
    stimulus: str
    label: str
    called: str
    ratings: Mapping[str, float] = field(default_factory=dict)


def read_cut(
    id: RecordingId,
    path: Path,
    where: str,
    trials: Sequence[CutTrial],
    facts: Facts,
    history: Mapping[str, Mapping[str, str | float]],
    *,
    sex: str | None = None,
    age: int | None = None,
    notes: Sequence[str] = (),
) -> Recording:
    """The trials of a MATLAB file, (channel, sample) double each, joined in their order, one in memory at a time.

    Raises
    ------
    DataProblem
        If a variable cannot be read, or is no signal in microvolt.
    """
    lengths = [one.samples for one in trials]
    largest = 8 * len(facts.channels) * max(lengths) + 2**10

    def blocks() -> Iterator[tuple[str, np.ndarray]]:
        for one in trials:
            told = f"{where}: {one.called}"
            yield told, matlab.numbers(matlab.read_variable(path, where, one.variable, largest=largest), told)

    raw = join(blocks(), lengths, eeg_channels(facts.channels), facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    for one, start in zip(trials, np.cumsum([0, *lengths[:-1]]), strict=True):
        events.append(
            Event(
                onset_s=float(start) / facts.rate_hz,
                duration_s=one.samples / facts.rate_hz,
                kind="stimulus",
                trial=one.trial,
                stimulus=one.stimulus,
                label=one.label,
                ratings=one.ratings,
                affect=affect.from_word(one.label),
            )
        )
    return Recording(id, raw, events, facts.reference, facts.line_hz, history, sex=sex, age=age, notes=tuple(notes))


@dataclass(frozen=True)
class ShownClip:
    """One clip in a continuous recording, in seconds from its first sample. ``label`` is a word of the norms."""

    trial: int
    stimulus: str
    label: str
    start_s: float
    stop_s: float
    ratings: Mapping[str, float] = field(default_factory=dict)


def read_cnt(
    id: RecordingId,
    path: Path,
    where: str,
    clips: Sequence[ShownClip],
    *,
    channels: Sequence[str] = ORDER_66,
    rate_hz: float = RAW_RATE_HZ,
    line_hz: float = 50.0,
    sex: str | None = None,
    age: int | None = None,
    notes: Sequence[str] = (),
    header: cnt.CntHeader | None = None,
) -> Recording:
    """A CNT file as one continuous recording with its clips as stimulus events.

    Parameters
    ----------
    where
        How to call the file in a refusal.
    channels
        The names that the file must hold, all of them and no other; the recording has them in this order.
    header
        If it was read already.

    Raises
    ------
    DataProblem
        Other channels, another rate, a recording that ends before its last clip, or whatever :mod:`cnt` refuses.
    """
    header = header or cnt.read_header(path, where)
    indices = channel_indices(header, channels, where)
    if header.rate_hz != rate_hz:
        raise DataProblem(
            where, f"{header.rate_hz:g} Hz", f"{rate_hz:g} Hz", "Take the vendor's own file; this one was resampled."
        )
    ends_s, end_s = header.samples / rate_hz, max(clip.stop_s for clip in clips)
    if ends_s < end_s:
        late = next(clip.trial for clip in clips if clip.stop_s > ends_s)
        raise DataProblem(
            where,
            f"{ends_s:.1f} s of signal, which end before trial {late} does",
            f"at least {end_s:g} s",
            "The file is cut off, or its samples have another size: copy it from the vendor's archive again.",
        )
    told = [*notes, *header.notes]
    if [header.channels[index] for index in indices] != list(header.channels):
        told.append("The channels stand in another order than usual; they were taken by name.")
    signal_uv = cnt.read_microvolts(path, where, header, indices)
    raw = join([(where, signal_uv)], [header.samples], layout(channels), rate_hz, line_hz, in_place=True)
    events = [
        Event(
            onset_s=clip.start_s,
            duration_s=clip.stop_s - clip.start_s,
            kind="stimulus",
            trial=clip.trial,
            stimulus=clip.stimulus,
            label=clip.label,
            ratings=clip.ratings,
            affect=affect.from_word(clip.label),
        )
        for clip in clips
    ]
    return Recording(id, raw, events, REFERENCE, line_hz, sex=sex, age=age, notes=tuple(told))


def channel_indices(header: cnt.CntHeader, channels: Sequence[str], where: str) -> list[int]:
    """Where the wanted channels stand in the file; the file must hold them all and no other."""
    names = {name.upper(): index for index, name in enumerate(header.channels)}
    missing, more = [name for name in channels if name not in names], sorted(set(names) - set(channels))
    if missing or more or len(names) != len(header.channels):
        found = f"{len(header.channels)} channels"
        found += f", without {numbers_text(missing)}" if missing else ""
        found += f", and {numbers_text(more)}, which do not belong there" if more else ""
        raise DataProblem(
            f"{where}: channels",
            found,
            f"{len(channels)}: {', '.join(channels[:3])} ... {', '.join(channels[-2:])}",
            "Take the vendor's own file of this data set.",
        )
    return [names[name] for name in channels]
