"""What a data set is to the rest of eegpipe: facts, a way to list its recordings, a way to read one.

Each data set is one file beside this one that ends in ``DATASET = Dataset(...)``; ``eegpipe.datasets.get`` finds it by
name. docs/formats.md holds the facts with their sources.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

# Written by the simulator at the root of a vendor tree. It says that the files are simulated and by how much counts and
# durations were shrunk; nothing else about a format may differ from the vendor's.
SIMULATED_MARKER = "eegpipe-simulated.json"


def simulated_marker(root: Path) -> Path | None:
    """The simulator's marker of the tree that ``root`` is, or lies directly in; None for the vendor's own files."""
    beside = (folder / SIMULATED_MARKER for folder in (root, root.resolve().parent))
    return next((marker for marker in beside if marker.is_file()), None)


@dataclass(frozen=True)
class Facts:
    """What the vendor's documentation promises; asserted at conversion. Durations are seconds of signal per trial."""

    subjects: int
    sessions: int
    trials: int
    rate_hz: float
    channels: tuple[str, ...]  # as the vendor spells them, in file order
    trial_s: tuple[float, ...] | None = None  # in file order; None: differs per subject or is not published
    reference: str = "unknown"
    line_hz: float = 50.0

    def expected(self, root: Path) -> Facts:
        """These facts, with the counts and durations of a simulated tree if ``root`` is (in) one."""
        marker = simulated_marker(root)
        if marker is None:
            return self
        allowed = {"subjects", "sessions", "trials", "trial_s"}
        try:
            shrunk = dict(json.loads(marker.read_text(encoding="utf-8"))["facts"])
            trial_s = shrunk.pop("trial_s", None)
            if set(shrunk) - allowed or not all(isinstance(count, int) and count > 0 for count in shrunk.values()):
                raise ValueError(f"facts other than {sorted(allowed)}, or counts that are not positive")
            facts = replace(self, **shrunk)
            durations = tuple(float(duration) for duration in trial_s) if trial_s else self.trial_s
            if durations is not None and len(durations) == 1:
                durations *= facts.trials
            if durations is not None and len(durations) < facts.trials:
                raise ValueError(f"{len(durations)} durations for {facts.trials} trials")
        except (KeyError, TypeError, ValueError) as error:
            raise DataProblem(
                SIMULATED_MARKER,
                f"a text that does not say how the tree was shrunk ({error})",
                f"JSON with 'facts', of which only {sorted(allowed)} may be given",
                "Simulate the data set again.",
            ) from None
        return replace(facts, trial_s=durations[: facts.trials] if durations is not None else None)


@dataclass(frozen=True)
class RecordingEntry:
    """A recording that was discovered, not read. ``files`` are the vendor files that it needs, relative to the root."""

    id: RecordingId
    files: tuple[str, ...]


@dataclass
class Discovery:
    """What a vendor folder holds.

    ``problems`` are files missing, unreadable by name, or too many. ``notes`` are sentences about what is unusual but
    right: files that are not read, an open data set of which only a part is here.
    """

    root: Path
    entries: list[RecordingEntry]
    problems: list[DataProblem] = field(default_factory=list)
    simulated: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dataset:
    """One data set.

    recognise(root) -> bool
        Whether ``root`` looks like this data set's vendor folder. Looks at names only.
    discover(root) -> Discovery
        Lists recordings by number (2 before 10), reads no signal.
    read(root, entry) -> Recording
        Reads one recording and asserts the facts. Raises :class:`DataProblem`.
    """

    name: str
    title: str
    facts: Facts
    recognise: Callable[[Path], bool]
    discover: Callable[[Path], Discovery]
    read: Callable[[Path, RecordingEntry], Recording]
    labels: tuple[str, ...]  # the native classes, in the order of the stored class numbers; empty: none
    ratings: dict[str, tuple[float, float]] = field(default_factory=dict)  # name -> scale (lowest, highest)
    folder_hint: str = ""  # what the user's folder should contain, one line
    licence: str = ""
    authors: Sequence[str] = ()
    citation: str = ""  # how to cite, with DOI
    url: str = ""
    manufacturer: str = "n/a"
    task_description: str = ""
    already_processed: bool = False  # BIDS DatasetType derivative instead of raw
    memory_gb: float = 1.0  # peak of a process that reads one recording of full size and writes it to BIDS
