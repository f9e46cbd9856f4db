"""Recording: the one form that a recording takes in memory, whichever vendor's file it came from.

A reader makes it from vendor files, ``bids.py`` writes it and reads it back, ``clean`` changes its signal,
``segment`` cuts it. Nothing heavy is imported here: the MNE object is only carried.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eegpipe import affect

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True, order=True)
class RecordingId:
    """Who, when and what: enough to name a recording in every stage.

    ``subject`` and ``session`` are BIDS labels without prefix (``"01"``, ``"1"``); ``session`` is None for data sets
    that have one session only.
    """

    subject: str
    session: str | None = None
    task: str = "emotion"

    @property
    def stem(self) -> str:
        """``sub-01_ses-1_task-emotion``"""
        session = f"_ses-{self.session}" if self.session else ""
        return f"sub-{self.subject}{session}_task-{self.task}"

    @property
    def folder(self) -> str:
        """``sub-01/ses-1/eeg``, relative to the BIDS root."""
        session = f"/ses-{self.session}" if self.session else ""
        return f"sub-{self.subject}{session}/eeg"


@dataclass(frozen=True)
class Event:
    """One stretch of a recording. Times are seconds from the first sample of the recording.

    kind
        ``"stimulus"``: a clip is playing. ``"baseline"``: recorded just before a clip. ``"boundary"`` (duration 0): the
        signal on the two sides was not recorded one after the other; nothing may be filtered or cut across it.
    trial
        1-based number as the vendor counts; 0 for a boundary. A baseline carries the number of its trial.
    stimulus
        ``"<data set>/<clip>"``: the same clip has the same id in every subject and session, and no two clips share one.
    stimulus_offset_s
        How far into the clip the event begins (FACED ships the last 30 s of each clip only).
    label
        The vendor's class, in words (``"positive"``); None where the data set has none.
    ratings
        The vendor's ratings by name, in the vendor's own scale, floats.
    """

    onset_s: float
    duration_s: float
    kind: str
    trial: int = 0
    stimulus: str | None = None
    stimulus_offset_s: float = 0.0
    label: str | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    affect: affect.Affect = affect.UNKNOWN


@dataclass
class Recording:
    """One continuous or joined stretch of signal with its events.

    raw : mne.io.BaseRaw
        Signal in volts (EEG, EOG, EMG, ECG) with channel names of :mod:`eegpipe.channels`, channel types set, template
        positions set for EEG channels, ``info["line_freq"]`` set, no measurement date, no annotations.
    history
        What the vendor already did to the signal, as BIDS ``SoftwareFilters``: step name -> {parameter: value}.
        Empty: nothing.
    """

    id: RecordingId
    raw: mne.io.BaseRaw
    events: list[Event]
    reference: str
    line_hz: float
    history: Mapping[str, Mapping[str, str | float]] = field(default_factory=dict)
    sex: str | None = None  # "F" or "M"
    age: int | None = None
    notes: tuple[str, ...] = ()  # what was unusual about the file and how it was read, one sentence each

    @property
    def boundaries(self) -> list[int]:
        """Samples at which a new, separately recorded block begins, without 0."""
        rate = self.raw.info["sfreq"]
        return sorted(round(event.onset_s * rate) for event in self.events if event.kind == "boundary")

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """(first, last + 1) sample of every stretch without a boundary inside, in order."""
        edges = [0, *self.boundaries, self.raw.n_times]
        return list(itertools.pairwise(edges))

    @property
    def stimuli(self) -> list[Event]:
        """The stimulus events in order of time."""
        return sorted((event for event in self.events if event.kind == "stimulus"), key=lambda event: event.onset_s)
