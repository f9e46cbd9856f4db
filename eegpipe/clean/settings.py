"""Settings of the cleaning stage, one class a step. docs/cleaning.md says why each default is what it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

# Electrodes beside the eyes: blinks make them large, which is no sign of a bad contact.
FRONTAL = ("Fp1", "Fpz", "Fp2", "AF7", "AF3", "AF4", "AF8", "F7", "F8")


@dataclass(frozen=True)
class FilterSettings:
    """Zero-phase Butterworth filters, each block between boundaries by itself."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # Edges of the pass band of the output, Hz. 0.3 keeps slow potentials, 49 ends below European mains.
    band_hz: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] = (0.3, 49.0)
    # Butterworth order of each edge for one pass; the filter runs forwards and backwards. FieldTrip's default.
    order: Annotated[int, Ge(1), Le(8)] = 4
    # Width of the notch at the line frequency and its harmonics, Hz (-3 dB for one pass). 0: no notch.
    notch_width_hz: Annotated[float, Ge(0), Le(10)] = 2.0


@dataclass(frozen=True)
class BadChannelSettings:
    """When an EEG channel counts as bad. All figures are medians over windows of one second, above 1 Hz."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # Robust amplitude (1.4826 MAD) below this is no signal, microvolt. Amplifier noise alone is above 0.2.
    flat_uv: Annotated[float, Ge(0)] = 0.1
    # Robust amplitude below this share of the median channel's is no signal either.
    flat_ratio: Annotated[float, Ge(0), Le(1)] = 0.02
    # Log amplitude this many robust standard deviations above the other channels' is noise (PREP, Bigdely-Shamlo 2015);
    # as many below, measured against the median of the channels, is an outlier.
    noisy_deviations: Annotated[float, Gt(0)] = 5.0
    # Largest absolute correlation with any neighbour below this is noise. PREP asks for 0.4 with any channel in 99 % of
    # the windows; the median over windows of sound channels in real recordings was never below (docs/cleaning.md).
    correlation: Annotated[float, Ge(0), Le(1)] = 0.3
    # Variance of the difference of two channels below this share of a usual neighbours' difference: gel joins them.
    # In real recordings 0.02 for a joined pair 7 cm apart, 0.07 and more for sound ones (docs/cleaning.md).
    bridged: Annotated[float, Ge(0), Le(1)] = 0.03
    # How many nearest electrodes are neighbours.
    neighbours: Annotated[int, Ge(2)] = 6
    # Large amplitude is no reason here, because eyes make it; flat or uncorrelated still is. mdJPT protects Fp1, Fp2,
    # F7 and F8 from every test.
    protected: tuple[str, ...] = FRONTAL
    # A recording with a larger share of bad channels is refused: too little is left to interpolate from.
    most_bad: Annotated[float, Ge(0), Le(1)] = 0.4


@dataclass(frozen=True)
class IcaSettings:
    """The likelihood of extended Infomax, on a copy above 1 Hz."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # False: filters, bad channels and reference only.
    enabled: bool = True
    # Band of the copy that ICA and ICLabel see, Hz: ICLabel's own. The upper edge gives way to a lower rate.
    band_hz: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] = (1.0, 100.0)
    # So many samples per weight (components squared) are used, spread evenly ...
    samples_per_weight: Annotated[float, Gt(0)] = 75.0
    # ... but not fewer than this, where there are so many: with few channels they cost nothing.
    samples_at_least: Annotated[int, Ge(0)] = 25000
    # Steps on all samples at the end: they bring the solution of the part close to that of all ...
    last_steps: Annotated[int, Ge(0)] = 12
    # ... or on so many per weight, spread evenly: with few channels more of them change nothing.
    most_samples_per_weight: Annotated[float, Gt(0)] = 1000.0
    # With fewer samples per weight the recording is left without ICA, and the record says so.
    fewest_samples_per_weight: Annotated[float, Gt(0)] = 4.0
    # Windows of one second with a peak above this multiple of the median window's are left out of the fit.
    glitch_ratio: Annotated[float, Gt(1)] = 10.0
    # An eigenvalue of the covariance below this share of their median is no dimension of its own.
    rank_ratio: Annotated[float, Gt(0), Le(1)] = 1e-4
    # The search ends when no entry of the relative gradient exceeds this.
    tolerance: Annotated[float, Gt(0)] = 1e-3
    # ... or after this many iterations; the record then says that it did not converge.
    most_iterations: Annotated[int, Ge(1)] = 300
    # The search starts from a random rotation drawn with this seed.
    random_state: Annotated[int, Ge(0)] = 97


@dataclass(frozen=True)
class IclabelSettings:
    """Which components are removed. A class whose threshold is 1 is never removed; brain and other have none."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # "thresholds": by those below. "not brain": every component whose likeliest class is not brain, and nothing below
    # counts.
    rule: Literal["thresholds", "not brain"] = "thresholds"
    # Whether thresholds are other ones where ICLabel's conditions do not hold.
    heed_conditions: bool = True
    # The sources' spectra are taken from at most so many seconds, spread evenly; 0: all.
    most_s: Annotated[float, Ge(0)] = 0.0
    # Probability from which a component of the class is removed. Muscle and eye: the set "Def" of mdJPT.
    muscle: Annotated[float, Ge(0), Le(1)] = 0.8
    eye: Annotated[float, Ge(0), Le(1)] = 0.8
    heart: Annotated[float, Ge(0), Le(1)] = 1.0
    line: Annotated[float, Ge(0), Le(1)] = 1.0
    channel: Annotated[float, Ge(0), Le(1)] = 1.0
    # The same two where ICLabel's conditions do not hold: only clear eyes, and muscles with a second witness. Neither
    # counts where the vendor has already removed components.
    eye_outside: Annotated[float, Ge(0), Le(1)] = 0.95
    muscle_outside: Annotated[float, Ge(0), Le(1)] = 0.85
    # The witness: above 20 Hz the source's power density falls no faster than with this power of the frequency.
    muscle_slope_outside: Annotated[float, Ge(-10), Le(10)] = -1.2
    # Everywhere, a component that carries at least this share of the recording's mean blink ...
    blink_share: Annotated[float, Gt(0), Le(1)] = 0.3
    # ... is removed from this eye probability on (true blinks score 0.65-0.89 in 4-45 Hz data). 1: no such rule.
    eye_with_blinks: Annotated[float, Ge(0), Le(1)] = 0.5
    # Where ICLabel's conditions do not hold, this share of the mean blink is enough by itself. 1: never.
    blink_share_outside: Annotated[float, Gt(0), Le(1)] = 0.8
    # From so many blinks on, what the removal leaves of them is measured and regressed out. 0: never.
    blinks_for_rest: Annotated[int, Ge(0)] = 30
    # The same of a muscle that is contracted for so many seconds (and at rest for as many). 0: never.
    contracted_s_for_rest: Annotated[float, Ge(0)] = 300.0
    # ICLabel learned on 1-100 Hz. Data that end below this are outside its conditions, Hz.
    lowest_upper_hz: Annotated[float, Gt(0)] = 70.0
    # With fewer EEG channels topographies are too coarse.
    fewest_channels: Annotated[int, Ge(4)] = 16


@dataclass(frozen=True)
class InterpolationSettings:
    """What stands in for a bad channel."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # "spline": spherical splines through all good channels (Perrin 1989). "nearest": the mean of the nearest good
    # channels, weighted with the inverse of their distance.
    method: Literal["spline", "nearest"] = "spline"
    # How many are nearest.
    neighbours: Annotated[int, Ge(1)] = 3


@dataclass(frozen=True)
class CleanSettings:
    """All settings of the stage ``clean``."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # "house": the settings below. mdjpt, emod, art: what that paper did takes the place of some of them (PRESETS).
    preset: Literal["house", "mdjpt", "emod", "art"] = "house"
    filters: FilterSettings = field(default_factory=FilterSettings)
    bad_channels: BadChannelSettings = field(default_factory=BadChannelSettings)
    ica: IcaSettings = field(default_factory=IcaSettings)
    iclabel: IclabelSettings = field(default_factory=IclabelSettings)
    interpolation: InterpolationSettings = field(default_factory=InterpolationSettings)

    def resolved(self) -> CleanSettings:
        """The same with the preset's values in place; its own preset is then "house"."""
        changes = {part: replace(getattr(self, part), **values) for part, values in PRESETS[self.preset].items()}
        return replace(self, preset="house", **changes)


# What each paper says about its cleaning; docs/cleaning.md has the sources, and what stays ours.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "house": {},
    "mdjpt": {
        "filters": {"band_hz": (0.5, 47.0), "notch_width_hz": 0.0},
        "bad_channels": {"protected": ("Fp1", "Fp2", "F7", "F8")},
        "iclabel": {
            **{"rule": "thresholds", "heed_conditions": False, "muscle": 0.8, "eye": 0.8, "heart": 1.0, "line": 1.0},
            **{"channel": 1.0, "eye_with_blinks": 1.0, "blink_share_outside": 1.0, "blinks_for_rest": 0},
            "contracted_s_for_rest": 0.0,
        },
        "interpolation": {"method": "nearest", "neighbours": 3},
    },
    "emod": {
        "filters": {"band_hz": (0.3, 49.0), "notch_width_hz": 0.0},
        # Ocular components only, found by what they carry of the blinks.
        "iclabel": {
            **{"rule": "thresholds", "heed_conditions": False, "muscle": 1.0, "eye": 1.0, "heart": 1.0, "line": 1.0},
            **{"channel": 1.0, "blink_share": 0.3, "eye_with_blinks": 0.0, "blink_share_outside": 1.0},
            **{"blinks_for_rest": 0, "contracted_s_for_rest": 0.0},
        },
    },
    "art": {
        "filters": {"band_hz": (1.0, 49.0), "notch_width_hz": 0.0},
        "iclabel": {"rule": "not brain", "blinks_for_rest": 0, "contracted_s_for_rest": 0.0},
    },
}
