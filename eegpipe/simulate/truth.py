"""What is true about simulated files: the answer sheet for readers, cleaning and segmentation.

``trials.tsv``
    One row per stimulus, recordings in order, stimuli in file order: ``recording`` (stem), ``subject``, ``session``,
    ``trial``, ``stimulus``, ``onset_sample``, ``n_samples`` (of the joined recording, at the file's rate), ``rate_hz``,
    ``label``, ``valence``, ``arousal`` (-4 to 4, as a right reader gives them), ``affect_source``,
    ``planted_valence``, ``planted_arousal``, ``planted_approach`` (-1 to 1, what moved the band power), one column
    ``rating_<name>`` per rating of the vendor. ``n/a``: does not apply.
``<recording>.npz``
    ``channels``, ``rate_hz``, ``clean_uv`` float32 (channel, sample): the brain's part of the joined recording, in the
    file's own reference and filter; ``artefact_onset_s``, ``artefact_duration_s``, ``artefact_kind``;
    ``bad_channels``, ``bad_kinds``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eegpipe.affect import Affect
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import felt
from eegpipe.simulate.plan import Clip, Plan
from eegpipe.simulate.record import Amplifier, Recorded

_COLUMNS = (
    "recording", "subject", "session", "trial", "stimulus", "onset_sample", "n_samples", "rate_hz", "label",
    "valence", "arousal", "affect_source", "planted_valence", "planted_arousal", "planted_approach",
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One stimulus of a recording and what a right reader gives back for it."""

    clip: Clip
    onset_sample: int
    n_samples: int
    affect: Affect
    ratings: Mapping[str, float] = field(default_factory=dict)


class Truth:
    """Collects the rows and writes the files of one data set into ``folder``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._rows: list[dict[str, str]] = []

    def add(self, id: RecordingId, plan: Plan, amplifier: Amplifier, recorded: Recorded, shown: list[Shown]) -> None:
        """Note one recording. ``shown`` in file order."""
        dataset, seed, person = plan.design.name, plan.settings.seed, int(id.subject)
        for number, one in enumerate(shown, start=1):
            planted = felt(seed, dataset, person, one.clip) if plan.settings.affect else np.zeros(3)
            row = {
                "recording": id.stem,
                "subject": id.subject,
                "session": id.session or "n/a",
                "trial": str(number),
                "stimulus": f"{dataset}/{one.clip.number:02d}",
                "onset_sample": str(one.onset_sample),
                "n_samples": str(one.n_samples),
                "rate_hz": f"{amplifier.rate_hz:g}",
                "label": one.clip.label or "n/a",
                "valence": _number(one.affect.valence),
                "arousal": _number(one.affect.arousal),
                "affect_source": one.affect.source.text,
            }
            row |= dict(zip(_COLUMNS[-3:], map(_number, planted), strict=True))
            row |= {f"rating_{name}": _number(value) for name, value in one.ratings.items()}
            self._rows.append(row)
        np.savez(
            self.folder / f"{id.stem}.npz",
            channels=np.array(amplifier.channels),
            rate_hz=np.float64(amplifier.rate_hz),
            clean_uv=np.concatenate(recorded.clean_uv, axis=1),
            artefact_onset_s=np.array([event.onset_s for event in recorded.artefacts], np.float64),
            artefact_duration_s=np.array([event.duration_s for event in recorded.artefacts], np.float64),
            artefact_kind=np.array([event.kind for event in recorded.artefacts], "U16"),
            bad_channels=np.array(list(recorded.bad_channels), "U8"),
            bad_kinds=np.array(list(recorded.bad_channels.values()), "U8"),
        )

    def finish(self) -> None:
        """Write ``trials.tsv``."""
        columns = [*_COLUMNS, *(name for name in self._rows[0] if name not in _COLUMNS)]
        with (self.folder / "trials.tsv").open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, columns, delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.6g}"
