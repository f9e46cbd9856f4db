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
    ``bad_channels``, ``bad_kinds``. What a right reader gives back, exactly: ``signal_channels`` (the scalp channels by
    their names in the schema, in file order), ``signal_samples``, ``signal_sha256`` (one per channel, of its
    little-endian float32 microvolts), ``signal_first_uv`` float32 (channel, up to 1000 samples) for
    whoever looks for a difference.
``refused.tsv``
    Recordings whose files are so irregular that a right reader refuses them: ``recording``, ``text`` (a part of the
    message). Only there if there are any.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from eegpipe.affect import Affect
from eegpipe.channels import REFERENCES, canonical
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import felt
from eegpipe.simulate.artefacts import Artefact
from eegpipe.simulate.plan import Clip, Plan
from eegpipe.simulate.record import Amplifier, Recorded

_COLUMNS = (
    "recording", "subject", "session", "trial", "stimulus", "onset_sample", "n_samples", "rate_hz", "label",
    "valence", "arousal", "affect_source", "planted_valence", "planted_arousal", "planted_approach",
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One stimulus of a recording and what a right reader gives back for it.

    ``trial`` and ``stimulus`` None: the place in the list, and ``<data set>/<number of the clip, two digits>``.
    """

    clip: Clip
    onset_sample: int
    n_samples: int
    affect: Affect
    ratings: Mapping[str, float] = field(default_factory=dict)
    trial: int | None = None
    stimulus: str | None = None


class Truth:
    """Collects the rows and writes the files of one data set into ``folder``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._rows: list[dict[str, str]] = []
        self._refused: list[tuple[str, str]] = []

    def add_recorded(
        self, id: RecordingId, plan: Plan, amplifier: Amplifier, recorded: Recorded, shown: Sequence[Shown]
    ) -> None:
        """Note one recording whose file holds the blocks of ``recorded`` one after the other, as they are."""
        self.add(
            id,
            plan,
            shown,
            rate_hz=amplifier.rate_hz,
            channels=amplifier.channels,
            signal_uv=np.concatenate(recorded.blocks_uv, axis=1),
            clean_uv=np.concatenate(recorded.clean_uv, axis=1),
            artefacts=recorded.artefacts,
            bad_channels=recorded.bad_channels,
        )

    def add(
        self,
        id: RecordingId,
        plan: Plan,
        shown: Sequence[Shown],
        *,
        rate_hz: float,
        channels: Sequence[str],
        signal_uv: np.ndarray,
        clean_uv: np.ndarray,
        artefacts: Sequence[Artefact] = (),
        bad_channels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Note one recording.

        Parameters
        ----------
        shown
            In the order of the file.
        channels
            Names of the rows; those that the schema does not hold, and references, are not part of the signal's truth.
        signal_uv : (channel, sample)
            What stands in the file, in microvolt, after the format's own rounding.
        clean_uv : (channel, sample)
            The brain's part of it.
        """
        dataset, seed, person = plan.design.name, plan.settings.seed, int(id.subject)
        for number, one in enumerate(shown, start=1):
            planted = felt(seed, dataset, person, one.clip) if plan.settings.affect else np.zeros(3)
            row = {
                "recording": id.stem,
                "subject": id.subject,
                "session": id.session or "n/a",
                "trial": str(one.trial or number),
                "stimulus": one.stimulus or f"{dataset}/{one.clip.number:02d}",
                "onset_sample": str(one.onset_sample),
                "n_samples": str(one.n_samples),
                "rate_hz": f"{rate_hz:g}",
                "label": one.clip.label or "n/a",
                "valence": _number(one.affect.valence),
                "arousal": _number(one.affect.arousal),
                "affect_source": one.affect.source.text,
            }
            row |= dict(zip(_COLUMNS[-3:], map(_number, planted), strict=True))
            row |= {f"rating_{name}": _number(value) for name, value in one.ratings.items()}
            self._rows.append(row)
        names = [canonical(name) for name in channels]
        scalp = [row for row, name in enumerate(names) if name and name not in REFERENCES]
        exact = np.ascontiguousarray(signal_uv[scalp], dtype="<f4")
        np.savez(
            self.folder / f"{id.stem}.npz",
            channels=np.array(channels),
            rate_hz=np.float64(rate_hz),
            clean_uv=clean_uv.astype(np.float32, copy=False),
            artefact_onset_s=np.array([event.onset_s for event in artefacts], np.float64),
            artefact_duration_s=np.array([event.duration_s for event in artefacts], np.float64),
            artefact_kind=np.array([event.kind for event in artefacts], "U16"),
            bad_channels=np.array(list(bad_channels), "U8"),
            bad_kinds=np.array(list(bad_channels.values()), "U8"),
            signal_channels=np.array([names[row] for row in scalp]),
            signal_samples=np.int64(exact.shape[1]),
            signal_sha256=np.array([hashlib.sha256(row.tobytes()).hexdigest() for row in exact]),
            signal_first_uv=exact[:, :1000],
        )

    def refuse(self, id: RecordingId, text: str) -> None:
        """Note a recording that a right reader refuses with a message that holds ``text``."""
        self._refused.append((id.stem, text))

    def finish(self) -> None:
        """Write ``trials.tsv``."""
        others = dict.fromkeys(name for row in self._rows for name in row if name not in _COLUMNS)
        columns = [*_COLUMNS, *others]
        with (self.folder / "trials.tsv").open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, columns, restval="n/a", delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
        if self._refused:
            lines_of = ["recording\ttext", *("\t".join(row) for row in self._refused)]
            (self.folder / "refused.tsv").write_text("\n".join([*lines_of, ""]), encoding="utf-8", newline="\n")


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.6g}"
