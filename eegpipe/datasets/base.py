"""What a data set is to the rest of eegpipe: variants, each with facts, a way to list recordings, a way to read one.

Each data set is one file (or one folder) beside this one that ends in ``DATASET = Dataset(...)``; nothing else has to
be registered. docs/adding-a-dataset.md walks through one, docs/formats.md holds the facts with their sources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe.errors import DataProblem, UsageProblem, did_you_mean
from eegpipe.recording import Recording, RecordingId

if TYPE_CHECKING:
    from eegpipe.simulate.simulator import Simulator

# Written by the simulator at the root of a vendor tree. It says that the files are simulated and by how much counts and
# durations were shrunk; nothing else about a format may differ from the vendor's.
SIMULATED_MARKER = "eegpipe-simulated.json"


def simulated_marker(root: Path) -> Path | None:
    """The simulator's marker of the tree that ``root`` is, or lies up to three folders deep in; None: not simulated."""
    beside = (folder / SIMULATED_MARKER for folder in (root, *root.resolve().parents[:3]))
    return next((marker for marker in beside if marker.is_file()), None)


@dataclass(frozen=True)
class Facts:
    """What the vendor's documentation promises; asserted at conversion. Times are seconds.

    people
        Numbers of the subjects, where they are not 1 to ``subjects``.
    rate_hz, channels
        What most files have: channels as the vendor spells them, in file order.
    other_rates_hz, other_channels
        What some files have instead (FACED has two rates, DEAP two channel orders).
    trial_s
        Seconds of signal per trial, in file order, the same in all sessions; None: see ``sessions_trial_s``.
    sessions_trial_s
        The same per session, first session first, where sessions differ. Empty together with ``trial_s`` None:
        durations differ per subject or are not published.
    sessions_start_s
        Where the trials begin in a continuous recording, per session, where that is published.
    """

    subjects: int
    sessions: int
    trials: int
    rate_hz: float
    channels: tuple[str, ...]
    trial_s: tuple[float, ...] | None = None
    reference: str = "unknown"
    line_hz: float = 50.0
    people: tuple[int, ...] = ()
    other_rates_hz: tuple[float, ...] = ()
    other_channels: tuple[tuple[str, ...], ...] = ()
    sessions_trial_s: tuple[tuple[float, ...], ...] = ()
    sessions_start_s: tuple[tuple[float, ...], ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The subjects' numbers, in order."""
        return self.people or tuple(range(1, self.subjects + 1))

    def durations(self, session: int = 1) -> tuple[float, ...] | None:
        """Seconds of each trial of a session (1 is the first); None where they are not published."""
        return self.sessions_trial_s[session - 1] if self.sessions_trial_s else self.trial_s

    def starts(self, session: int = 1) -> tuple[float, ...] | None:
        """Where each trial of a session begins in a continuous recording; None where that is not published."""
        return self.sessions_start_s[session - 1] if self.sessions_start_s else None

    def expected(self, root: Path) -> Facts:
        """These facts, with the counts, numbers and times of a simulated tree if ``root`` is (in) one."""
        marker = simulated_marker(root)
        if marker is None:
            return self
        try:
            shrunk = dict(json.loads(marker.read_text(encoding="utf-8"))["facts"])
            return replace(self, **_changes(self, shrunk))
        except (KeyError, TypeError, ValueError) as error:
            raise DataProblem(
                SIMULATED_MARKER,
                f"a text that does not say how the tree was shrunk ({error})",
                f"JSON with 'facts', of which only {sorted(_MAY_SHRINK)} may be given",
                "Simulate the data set again.",
            ) from None


_COUNTS = ("subjects", "sessions", "trials")
_TIMES = ("sessions_trial_s", "sessions_start_s")
_MAY_SHRINK = {*_COUNTS, *_TIMES, "people", "trial_s"}


def _changes(facts: Facts, shrunk: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a marker replaces; a ValueError or TypeError says what is wrong with it."""
    if unknown := set(shrunk) - _MAY_SHRINK:
        raise ValueError(f"other facts: {sorted(unknown)}")
    counts = {name: shrunk[name] for name in _COUNTS if name in shrunk}
    people = shrunk.get("people", [])
    if not all(isinstance(count, int) and count > 0 for count in counts.values()):
        raise ValueError("counts that are not positive whole numbers")
    if not all(isinstance(number, int) and number >= 0 for number in people):
        raise ValueError("subject numbers that are no numbers")
    changes: dict[str, Any] = dict(counts)
    subjects, trials = changes.get("subjects", facts.subjects), changes.get("trials", facts.trials)
    if people and len(people) != subjects:
        raise ValueError(f"{len(people)} numbers for {subjects} subjects")
    changes["people"] = tuple(people) or facts.numbers[:subjects]
    if given := shrunk.get("trial_s"):
        durations = tuple(float(duration) for duration in given)
        durations = durations * trials if len(durations) == 1 else durations
    else:
        durations = facts.trial_s or ()
    if durations and len(durations) < trials:
        raise ValueError(f"{len(durations)} durations for {trials} trials")
    changes["trial_s"] = durations[:trials] or None
    for name in _TIMES:
        if name in shrunk:
            changes[name] = tuple(tuple(float(time) for time in session) for session in shrunk[name])
    return changes


@dataclass(frozen=True)
class RecordingEntry:
    """A recording that was discovered, not read. ``files`` are the vendor files that it needs, relative to the root."""

    id: RecordingId
    files: tuple[str, ...]


@dataclass
class Discovery:
    """What a vendor folder holds.

    ``root``: what the files of the entries are relative to. ``problems`` are files missing, unreadable by name, or too
    many. ``notes`` are sentences about what is unusual but right: files that are not read, an open data set of which
    only a part is here.
    """

    root: Path
    entries: list[RecordingEntry]
    problems: list[DataProblem] = field(default_factory=list)
    simulated: bool = False
    notes: list[str] = field(default_factory=list)


Read = Callable[[Path, RecordingEntry], Recording]
ReadTogether = Callable[[Path, Sequence[RecordingEntry]], Iterator[tuple[RecordingEntry, "Recording | DataProblem"]]]


@dataclass(frozen=True)
class Variant:
    """One form in which a data set is handed out: other files, the same experiment.

    recognise(root) -> bool
        Whether ``root`` looks like this variant's folder. Looks at names only.
    discover(root) -> Discovery
        Lists recordings by number (2 before 10), reads no signal. Of a folder without any, one problem that says so.
    read(root, entry) -> Recording
        Reads one recording and asserts the facts. Raises :class:`DataProblem`. ``root`` is the discovery's.
    read_together(root, entries) -> iterator of (entry, Recording or DataProblem)
        Instead of ``read`` where one file holds all recordings: yields each as soon as it is read, in file order, and
        keeps one in memory.
    files
        What the files are, in a few words: ``"Preprocessed_EEG, MATLAB files at 200 Hz"``.
    tree
        The vendor's folder, as lines of text.
    private_names
        Whether folders or files are called after persons: then no message names a file.
    memory_gb
        Peak of a process that reads one recording of full size and writes it to BIDS.
    """

    name: str
    files: str
    tree: str
    facts: Facts
    recognise: Callable[[Path], bool]
    discover: Callable[[Path], Discovery]
    read: Read
    read_together: ReadTogether | None = None
    already_processed: bool = False  # BIDS DatasetType derivative instead of raw
    private_names: bool = False
    memory_gb: float = 1.0
    simulator: Simulator | None = None

    def call(self, entry: RecordingEntry, file: str) -> str:
        """How a file of a recording is called in a message."""
        return f"{entry.id.stem}: file {entry.files.index(file) + 1}" if self.private_names else file

    def unreadable(self, root: Path, entry: RecordingEntry) -> DataProblem | None:
        """The first file of a recording that is none: gone since it was discovered, a broken link, a folder, a pipe."""
        wrong = (file for file in entry.files if not (root / file).is_file())
        cure = "Copy it from the vendor's archive again."
        return next(
            (DataProblem(self.call(entry, file), "nothing that can be opened", "a file", cure) for file in wrong), None
        )


@dataclass(frozen=True)
class Irregularity:
    """Something unusual that is known of the vendor's release.

    name
        Its identifier in docs/formats.md, such as ``"T11a"``.
    where
        Pattern that is searched in the ``where`` of a :class:`DataProblem` that it explains (``r"sub023\\.pkl"``);
        empty: it is read rightly, and never leads to a problem.
    text
        One sentence: what is unusual, and what eegpipe does about it.
    """

    name: str
    where: str
    text: str


@dataclass(frozen=True)
class About:
    """What later stages must know of a data set without its reader; kept in dataset_description.json."""

    name: str
    title: str
    variant: str = ""
    simulated: bool = False
    subjects: int = 0
    labels: tuple[str, ...] = ()  # the native classes, in the order of the stored class numbers; empty: none
    ratings: tuple[tuple[str, tuple[float, float]], ...] = ()  # name, scale (lowest, highest)
    licence: str = ""
    authors: tuple[str, ...] = ()
    citation: str = ""
    url: str = ""
    manufacturer: str = "n/a"
    task_description: str = ""
    already_processed: bool = False


@dataclass(frozen=True)
class Dataset:
    """One data set. The first variant is the one that is meant if a folder holds several and none is named."""

    name: str
    title: str
    variants: tuple[Variant, ...]
    labels: tuple[str, ...]
    ratings: dict[str, tuple[float, float]] = field(default_factory=dict)  # name -> scale (lowest, highest)
    irregularities: tuple[Irregularity, ...] = ()
    access: str = ""  # where and how to ask for the files
    size: str = ""  # of the vendor's files, in words
    licence: str = ""
    authors: Sequence[str] = ()
    citation: str = ""  # how to cite, with DOI
    url: str = ""
    manufacturer: str = "n/a"
    task_description: str = ""
    # For a data set that is described beside its files (`bids`): the data set that a folder holds.
    at: Callable[[Path], Dataset] | None = None

    @property
    def facts(self) -> Facts:
        """The facts of the first variant."""
        return self.variants[0].facts

    def variant(self, name: str) -> Variant:
        """The variant of that name; an unknown one is a :class:`UsageProblem`."""
        names = [variant.name for variant in self.variants]
        if name not in names:
            raise UsageProblem(f"{self.name} has no variant '{name}'.{did_you_mean(name, names)}")
        return self.variants[names.index(name)]

    def recognise(self, root: Path) -> Variant | None:
        """The variant whose folder ``root`` is, judged by names; the first one if there are several."""
        return next((variant for variant in self.variants if variant.recognise(root)), None)

    def known(self, problem: DataProblem) -> Irregularity | None:
        """The listed irregularity that explains a problem; None: the problem is new."""
        listed = (one for one in self.irregularities if one.where)
        return next((one for one in listed if re.search(one.where, problem.where)), None)

    def about(self, variant: Variant | None = None, *, simulated: bool = False) -> About:
        """What later stages must know. Simulated files are nobody's work: they have no authors and no licence."""
        variant = variant or self.variants[0]
        return About(
            name=self.name,
            title=self.title,
            variant=variant.name,
            simulated=simulated,
            subjects=variant.facts.subjects,
            labels=tuple(self.labels),
            ratings=tuple(self.ratings.items()),
            licence="" if simulated else self.licence,
            authors=() if simulated else tuple(self.authors),
            citation="" if simulated else self.citation,
            url=self.url,
            manufacturer=self.manufacturer,
            task_description=self.task_description,
            already_processed=variant.already_processed,
        )
