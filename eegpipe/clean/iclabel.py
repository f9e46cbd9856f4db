"""ICLabel's classes for ICA components, and which of them to remove.

ICLabel (Pion-Tonachini 2019) learned on extended Infomax components of average-referenced EEG at 1-100 Hz. What this
pipeline does itself (reference, method, lower edge, positions) is asserted: the library would only warn, and a library
that lowers MNE's log level would silence it. What the data set decides (rate, the vendor's filters, number of
channels) cannot be asserted: then the probabilities are still computed, marked as outside the conditions, and only
trusted classes are acted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.clean import ica, iclabel_features
from eegpipe.clean.ica import Decomposition
from eegpipe.clean.settings import IclabelSettings
from eegpipe.errors import UsageProblem

# In the order of the network's output.
CLASSES = ("brain", "muscle", "eye", "heart", "line", "channel", "other")
_LOWER_HZ = 1.0
_UPPER_HZ = 100.0
# What the mean over channels may be, as a share of the typical channel's amplitude: the rounding of float32 files.
_LARGEST_MEAN = 1e-3


@dataclass(frozen=True)
class Conditions:
    """``band_hz``: what ICLabel sees. ``reasons``: why the data are outside its conditions; empty if they are not.
    ``treated``: whether the vendor has already removed components."""

    band_hz: tuple[float, float]
    reasons: tuple[str, ...]
    treated: bool = False

    @property
    def valid(self) -> bool:
        return not self.reasons


def conditions(
    filtered_hz: tuple[float, float],
    data_hz: tuple[float, float],
    channels: int,
    history: Iterable[str],
    settings: IclabelSettings,
) -> Conditions:
    """Whether the data allow what ICLabel expects.

    Parameters
    ----------
    filtered_hz
        Band of our filter for ICA (its upper edge is limited by the rate).
    data_hz
        Band that the data hold before it, measured or stated by the vendor.
    channels
        EEG channels in the decomposition.
    history
        Names of the steps that the vendor has already applied.
    """
    lower_hz, upper_hz = max(filtered_hz[0], data_hz[0]), min(filtered_hz[1], data_hz[1])
    reasons = []
    if upper_hz < settings.lowest_upper_hz:
        reasons.append(f"the signal ends at {upper_hz:.0f} Hz, below {settings.lowest_upper_hz:g} Hz")
    if lower_hz > 1.5 * _LOWER_HZ:
        reasons.append(f"the signal begins at {lower_hz:.1f} Hz, above {_LOWER_HZ:g} Hz")
    if channels < settings.fewest_channels:
        reasons.append(f"{channels} EEG channels, fewer than {settings.fewest_channels}")
    treated = any("ICA" in name.split() for name in history)
    if treated:
        reasons.append("the vendor has already removed components")
    return Conditions((round(lower_hz, 1), round(upper_hz, 1)), tuple(reasons), treated)


def probabilities(
    decomposition: Decomposition,
    positions_m: np.ndarray,
    data_uv: np.ndarray,
    blocks: Sequence[tuple[int, int]],
    rate_hz: float,
    filtered_hz: tuple[float, float],
    most_s: float | None,
) -> np.ndarray:
    """ICLabel's probabilities, shape (component, class of :data:`CLASSES`).

    Parameters
    ----------
    decomposition
        By extended Infomax, as :func:`eegpipe.clean.ica.fit` makes it.
    positions_m : array, shape (channel, 3)
        Of the good EEG channels, head frame.
    data_uv : array, shape (channel, sample)
        Their signal at 1-100 Hz (or as far as the rate allows), average reference applied.
    blocks
        Stretches that no window may leave.
    filtered_hz
        The band that ``data_uv`` was filtered to.
    most_s
        Seconds that the sources' spectra are taken from, spread evenly; None: all.

    Raises
    ------
    UsageProblem
        If a condition is broken that the caller could have kept.
    """
    broken = broken_conditions(decomposition, positions_m, data_uv, rate_hz, filtered_hz)
    if broken:
        raise UsageProblem(
            f"ICLabel's conditions do not hold: {'; '.join(broken)}. Prepare the signal as clean.chain does."
        )
    # Microvolt, root mean square over the channels, is EEGLAB's unit of a source and that of ICLabel's examples. Its
    # spectra are in decibels, so the unit is no matter of taste.
    scale_uv = np.sqrt((decomposition.topographies_uv**2).mean(axis=0))
    sources = ica.sources(decomposition, data_uv)
    sources *= scale_uv[:, None].astype(np.float32)
    inputs = iclabel_features.network_input(
        decomposition.topographies_uv / scale_uv, positions_m, sources, rate_hz, blocks, most_s
    )
    del sources
    return np.asarray(_network().run(None, inputs)[0], dtype=np.float64)


def broken_conditions(
    decomposition: Decomposition,
    positions_m: np.ndarray,
    data_uv: np.ndarray,
    rate_hz: float,
    filtered_hz: tuple[float, float],
) -> list[str]:
    """In words, which conditions the caller has not kept: channels, positions, reference, band. The method (extended
    Infomax) is the only one that makes a Decomposition."""
    broken = []
    if not len(data_uv) == len(positions_m) == len(decomposition.topographies_uv):
        broken.append("the signal must hold exactly the good EEG channels that the ICA was fitted on")
    if not np.isfinite(positions_m).all() or not positions_m.any(axis=1).all():
        broken.append("every channel needs a position")
    if np.std(data_uv.mean(axis=0)) > _LARGEST_MEAN * np.median(np.std(data_uv, axis=1)):
        broken.append("the average reference is not applied")
    highest_hz = min(_UPPER_HZ, 0.9 * rate_hz / 2)
    if not (0.5 * _LOWER_HZ <= filtered_hz[0] <= 1.5 * _LOWER_HZ and filtered_hz[1] >= highest_hz):
        broken.append(f"the band must be {_LOWER_HZ:g}-{highest_hz:g} Hz, not {filtered_hz[0]:g}-{filtered_hz[1]:g} Hz")
    return broken


def removal(
    row: np.ndarray, blink_share: float, slope: float, held: Conditions, settings: IclabelSettings
) -> str | None:
    """The reason to remove a component, ``"eye 0.97"``, or None to keep it.

    Parameters
    ----------
    row
        Its probabilities in the order of :data:`CLASSES`.
    blink_share
        Its share of the recording's mean blink, from :func:`eegpipe.clean.quality.blink_shares`.
    slope
        Of its power density above 20 Hz, from :func:`eegpipe.clean.quality.slopes`; NaN if the data end too low.
    held
        From :func:`conditions`.
    """
    if settings.rule == "not brain":
        best = int(np.argmax(row))
        return None if CLASSES[best] == "brain" else f"{CLASSES[best]} {row[best]:.2f}"
    if held.valid or not settings.heed_conditions:
        thresholds = {name: getattr(settings, name) for name in ("eye", "muscle", "heart", "line", "channel")}
    elif held.treated:
        # What somebody has judged before is not judged again by its looks; blinks that are still there are a fact.
        thresholds = {}
    else:
        thresholds = {"eye": settings.eye_outside}
        # Fast rhythms of the brain look like muscles to a network that does not see what is above them.
        if slope >= settings.muscle_slope_outside:
            thresholds["muscle"] = settings.muscle_outside
    for name, threshold in thresholds.items():
        probability = row[CLASSES.index(name)]
        if threshold < 1 and probability >= threshold:
            return f"{name} {probability:.2f}"
    # Blinks found in the signal itself are a second witness: with it, less certainty of the network is enough.
    eye = row[CLASSES.index("eye")]
    if settings.eye_with_blinks < 1 and eye >= settings.eye_with_blinks and blink_share >= settings.blink_share:
        return f"eye {eye:.2f} and {blink_share:.0%} of the blinks"
    if not held.valid and settings.blink_share_outside < 1 and blink_share >= settings.blink_share_outside:
        return f"{blink_share:.0%} of the blinks"
    return None


@cache
def _network() -> Any:
    """The ONNX network with one thread: recordings run side by side, and sums must not depend on the machine."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # It runs once a recording: memory kept for the next run is only in the way.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Only the file is needed: importing the package would load torch, which takes seconds.
    package = find_spec("mne_icalabel")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'mne_icalabel'")
    weights = Path(package.submodule_search_locations[0], "iclabel", "network", "assets", "ICLabelNet.onnx")
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
