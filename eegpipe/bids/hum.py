"""Mains hum as a witness of the sampling rate, for every recording that is converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eegpipe.errors import DataProblem

if TYPE_CHECKING:
    from eegpipe.recording import Recording

# Where hum is looked for: so many channels, seconds and decibels above the neighbouring frequencies.
_HUM_CHANNELS, _HUM_S, _HUM_DB, _HUM_TOP_HZ = 16, 240.0, 12.0, 64.0


def check_line_frequency(recording: Recording) -> None:
    """Refuse a recording whose hum lies at the other mains frequency (50 or 60 Hz) and not at its own.

    Then the sampling rate is wrong (a file of 600 Hz read as 500 Hz hums at 50 instead of 60 Hz), or the country. A
    signal without hum passes, as does one that is sampled too slowly to show both.
    """
    rate_hz = float(recording.raw.info["sfreq"])
    picks = [index for index, kind in enumerate(recording.raw.get_channel_types()) if kind == "eeg"][:_HUM_CHANNELS]
    stop = min(recording.raw.n_times, round(_HUM_S * rate_hz))
    if rate_hz < 2 * _HUM_TOP_HZ or stop < 8 * rate_hz:
        return
    from scipy.signal import welch

    window = round(4 * rate_hz)
    # One channel at a time: the windows of all of them would take more memory than the recording.
    rows = [welch(recording.raw.get_data(picks=[pick], stop=stop)[0], rate_hz, nperseg=window) for pick in picks]
    hz, power = rows[0][0], np.stack([row for _, row in rows])
    other_hz = 60.0 if recording.line_hz == 50 else 50.0

    def hum_db(line_hz: float) -> float:
        distance = np.abs(hz - line_hz)
        peak, beside = power[:, distance <= 0.3].max(axis=1), power[:, (distance > 1) & (distance < 3)]
        return float(np.median(10 * np.log10((peak + 1e-300) / (np.median(beside, axis=1) + 1e-300))))

    own_db, wrong_db = hum_db(recording.line_hz), hum_db(other_hz)
    if wrong_db > _HUM_DB and own_db < 3:
        raise DataProblem(
            f"{recording.id.stem}: line noise",
            f"hum at {other_hz:g} Hz ({wrong_db:.0f} dB above its neighbours)",
            f"hum at {recording.line_hz:g} Hz, or none",
            "The sampling rate of the file is not what it says, or it was recorded elsewhere: take the vendor's file.",
        )
