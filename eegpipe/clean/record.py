"""What was found and done in the cleaning of one recording: stored beside its signal, read by tables and pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from eegpipe.clean import quality


@dataclass(frozen=True)
class Component:
    """One independent component.

    variance
        What it explains, as a share of the good channels' variance in the ICA's band.
    blink_share
        Its share of the recording's mean blink on the frontal channels; 0 where there are too few blinks.
    probabilities
        ICLabel's, by class.
    removed
        Why it was removed, or None.
    """

    variance: float
    blink_share: float
    probabilities: dict[str, float]
    removed: str | None


@dataclass(frozen=True)
class CleanRecord:
    """What was found and done; plain values, stored beside the cleaned signal. Nothing in it depends on the machine.

    band_hz, high_passed, notches_hz
        The filters of the output; no high-pass where the vendor's began well above the lower edge.
    data_band_hz
        The band that the signal held before: measured, or as the vendor states if that is narrower.
    bad_channels, bad_share
        Name -> reason, and their share of the EEG channels. Interpolated.
    rank, components, samples_used, calm_share, converged
        The ICA: dimensions found; one entry a component; samples it was fitted on; share of 1-s windows without glitch;
        whether the search reached its tolerance. ``ica_skipped`` says why there was none.
    iclabel_band_hz, iclabel_valid, iclabel_reason
        What ICLabel saw, and why its conditions do not hold.
    variance_kept
        Variance of the good channels in the output's band after removal of components, as a share of before.
    before, after
        Figures of the good channels, referenced to their average, as they came and at the end of the chain.
    """

    band_hz: tuple[float, float]
    high_passed: bool
    notches_hz: tuple[float, ...]
    data_band_hz: tuple[float, float]
    duration_s: float
    blocks: int
    bad_channels: dict[str, str]
    bad_share: float
    rank: int
    calm_share: float
    blinks: int
    before: quality.Figures
    after: quality.Figures
    variance_kept: float = 1.0
    ica_skipped: str = ""
    samples_used: int = 0
    converged: bool = False
    iclabel_band_hz: tuple[float, float] | None = None
    iclabel_valid: bool = False
    iclabel_reason: str = ""
    components: list[Component] = field(default_factory=list)

    @property
    def removed(self) -> list[str]:
        """The reasons of the removed components, in order of component."""
        return [component.removed for component in self.components if component.removed]

    def as_json(self) -> dict[str, Any]:
        """For the sidecar: plain lists, dicts and numbers."""
        return _plain(asdict(self))


def kind_of_removal(reason: str) -> str:
    """The class that a reason of :func:`eegpipe.clean.iclabel.removal` begins with; blinks are of the eye."""
    return "eye" if reason.endswith("of the blinks") else reason.split()[0]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    # Four decimals: more are no information, and last bits differ between machines.
    return round(value, 4) if isinstance(value, float) else value
