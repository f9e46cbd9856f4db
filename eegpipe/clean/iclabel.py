"""ICLabel's classes for ICA components, and which of them to remove.

ICLabel (Pion-Tonachini 2019) learned on extended Infomax components of average-referenced EEG at 1-100 Hz. What this
pipeline does itself (reference, method, lower edge, positions) is asserted: the library would only warn, and a library
that lowers MNE's log level would silence it. What the data set decides (rate, the vendor's filters, number of
channels) cannot be asserted: then the probabilities are still computed, marked as outside the conditions, and only
trusted classes are acted on.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe.clean.settings import IclabelSettings
from eegpipe.errors import UsageProblem

if TYPE_CHECKING:
    import mne
    from mne.preprocessing import ICA

# In the order of the network's output.
CLASSES = ("brain", "muscle", "eye", "heart", "line", "channel", "other")
_LOWER_HZ = 1.0
_UPPER_HZ = 100.0
# What the mean over channels may be, as a share of the typical channel's amplitude: the rounding of float32 files.
_LARGEST_MEAN = 1e-3


@dataclass(frozen=True)
class Conditions:
    """``band_hz``: what ICLabel sees. ``reasons``: why the data are outside its conditions; empty if they are not."""

    band_hz: tuple[float, float]
    reasons: tuple[str, ...]

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
    if any("ICA" in name.split() for name in history):
        reasons.append("the vendor has already removed components")
    return Conditions((round(lower_hz, 1), round(upper_hz, 1)), tuple(reasons))


def probabilities(raw: mne.io.BaseRaw, ica: ICA, filtered_hz: tuple[float, float]) -> np.ndarray:
    """ICLabel's probabilities, shape (component, class of :data:`CLASSES`).

    Parameters
    ----------
    raw
        The good EEG channels at 1-100 Hz (or as far as the rate allows), average reference applied.
    filtered_hz
        The band that ``raw`` was filtered to.

    Raises
    ------
    UsageProblem
        If ``raw`` or ``ica`` break a condition that the caller could have kept.
    """
    broken = broken_conditions(raw, ica, filtered_hz)
    if broken:
        raise UsageProblem(
            f"ICLabel's conditions do not hold: {'; '.join(broken)}. Prepare the signal as clean.chain does."
        )
    import mne
    from mne_icalabel.iclabel import get_iclabel_features
    from mne_icalabel.iclabel.network.onnx import _format_input_for_onnx
    from mne_icalabel.iclabel.network.utils import _format_input

    # Its own checks of the same conditions look at fields of info that we do not set.
    with warnings.catch_warnings(), mne.use_log_level("ERROR"):
        warnings.simplefilter("ignore")
        features = get_iclabel_features(raw, ica)
    topographies, spectra, autocorrelations = _format_input_for_onnx(*_format_input(*features))
    inputs = {"topo": topographies, "psds": spectra, "autocorr": autocorrelations}
    return np.asarray(_network().run(None, inputs)[0], dtype=np.float64)


def broken_conditions(raw: mne.io.BaseRaw, ica: ICA, filtered_hz: tuple[float, float]) -> list[str]:
    """In words, which conditions the caller has not kept: channels, positions, reference, band, method."""
    broken = []
    names = list(raw.ch_names)
    if names != list(ica.ch_names) or set(raw.get_channel_types()) != {"eeg"} or raw.info["bads"]:
        broken.append("the signal must hold exactly the good EEG channels that the ICA was fitted on")
    positions = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    if not np.isfinite(positions).all() or not positions.any(axis=1).all():
        broken.append("every channel needs a position")
    data = raw.get_data()
    if np.std(data.mean(axis=0)) > _LARGEST_MEAN * np.median(np.std(data, axis=1)):
        broken.append("the average reference is not applied")
    highest_hz = min(_UPPER_HZ, 0.9 * raw.info["sfreq"] / 2)
    if not (0.5 * _LOWER_HZ <= filtered_hz[0] <= 1.5 * _LOWER_HZ and filtered_hz[1] >= highest_hz):
        broken.append(f"the band must be {_LOWER_HZ:g}-{highest_hz:g} Hz, not {filtered_hz[0]:g}-{filtered_hz[1]:g} Hz")
    extended = bool(ica.fit_params.get("extended"))
    if not extended or (ica.method, ica.fit_params.get("ortho")) not in {("picard", False), ("infomax", None)}:
        broken.append("the ICA must be extended Infomax (or Picard with ortho=False, extended=True)")
    return broken


def removal(row: np.ndarray, blink_share: float, valid: bool, settings: IclabelSettings) -> str | None:
    """The reason to remove a component, ``"eye 0.97"``, or None to keep it.

    Parameters
    ----------
    row
        Its probabilities in the order of :data:`CLASSES`.
    blink_share
        Its share of the recording's mean blink, from :func:`eegpipe.clean.quality.blink_shares`.
    valid
        Whether ICLabel's conditions hold.
    """
    if valid:
        thresholds = {name: getattr(settings, name) for name in ("eye", "muscle", "heart", "line", "channel")}
    else:
        thresholds = {"eye": settings.eye_outside, "muscle": settings.muscle_outside}
    for name, threshold in thresholds.items():
        probability = row[CLASSES.index(name)]
        if threshold < 1 and probability >= threshold:
            return f"{name} {probability:.2f}"
    # Blinks found in the signal itself are a second witness: with it, less certainty of the network is enough.
    eye = row[CLASSES.index("eye")]
    if settings.eye_with_blinks < 1 and eye >= settings.eye_with_blinks and blink_share >= settings.blink_share:
        return f"eye {eye:.2f} and {blink_share:.0%} of the blinks"
    if not valid and settings.blink_share_outside < 1 and blink_share >= settings.blink_share_outside:
        return f"{blink_share:.0%} of the blinks"
    return None


@cache
def _network() -> Any:
    """The ONNX network with one thread: recordings run side by side, and sums must not depend on the machine."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    weights = files("mne_icalabel.iclabel.network") / "assets" / "ICLabelNet.onnx"
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
