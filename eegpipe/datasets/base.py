"""What a data set is to the rest of eegpipe: facts, a way to list its recordings, a way to read one.

Each data set is one file beside this one that ends in ``DATASET = Dataset(...)``; ``eegpipe.datasets.get`` finds it by
name. docs/formats.md holds the facts with their sources.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

# Written by the simulator at the root of a vendor tree. It says that the files are simulated and by how much counts and
# durations were shrunk; nothing else about a format may differ from the vendor's.
SIMULATED_MARKER = "eegpipe-simulated.json"


@dataclass(frozen=True)
class Facts:
    """What the vendor's documentation promises; asserted at conversion. Durations are seconds of signal per trial."""

    subjects: int
    sessions: int
    trials: int
    rate_hz: float
    channels: tuple[str, ...]  # as the vendor spells them, in file order
    trial_s: tuple[float, ...] | None = None  # None: differs per subject or is not published
    reference: str = "unknown"
    line_hz: float = 50.0

    def expected(self, root: Path) -> Facts:
        """These facts, with the counts and durations of a simulated tree if ``root`` holds the simulator's marker."""
        marker = root / SIMULATED_MARKER
        if not marker.is_file():
            return self
        from dataclasses import replace

        shrunk = json.loads(marker.read_text(encoding="utf-8"))["facts"]
        allowed = {"subjects", "sessions", "trials", "trial_s"}
        if set(shrunk) - allowed:
            raise DataProblem(
                SIMULATED_MARKER,
                f"the facts {sorted(set(shrunk) - allowed)}",
                f"only {sorted(allowed)}",
                "Simulate the data set again.",
            )
        trial_s = shrunk.get("trial_s")
        return replace(self, **shrunk | ({"trial_s": tuple(trial_s)} if trial_s else {}))


@dataclass(frozen=True)
class RecordingEntry:
    """A recording that was discovered, not read. ``files`` are the vendor files that it needs, relative to the root."""

    id: RecordingId
    files: tuple[str, ...]


@dataclass
class Discovery:
    """What a vendor folder holds. ``problems`` are files missing, unreadable by name, or too many."""

    root: Path
    entries: list[RecordingEntry]
    problems: list[DataProblem] = field(default_factory=list)
    simulated: bool = False


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
