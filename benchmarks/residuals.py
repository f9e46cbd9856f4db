"""How far a cleaned recording is from the planted brain signal, and what is left of each planted artefact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from planted_recording import LINE_HZ, Planted
from scipy import fft, signal

# Ends that no filter gets right are left out.
_MARGIN_S = 5.0
_ORDER = 4


@dataclass(frozen=True)
class Residuals:
    """Everything over the channels that are not broken, in the average reference of these.

    error
        Variance of output minus brain as a share of the brain's, both in the band of the output.
    blink
        Root of the power of the planted blinks left in the output, as a share of the planted.
    muscle
        Power of the planted muscles left, as a share of the planted.
    absent
        The same measure of muscles that are not there, the planted ones a third of the recording later: how much is
        measured where nothing is left.
    line_uv
        Mean amplitude at the mains frequency.
    """

    error: float
    blink: float
    muscle: float
    absent: float
    line_uv: float


def residuals(output_uv: np.ndarray, planted: Planted, band_hz: tuple[float, float]) -> Residuals:
    """Compare ``output_uv`` (channel, sample) with its parts.

    The same Butterworth band-pass (forwards and backwards) is applied to output, brain and courses, so that chains with
    different edges are compared inside the band. What is left of a part is the regression of the error on the courses
    of all parts: brain signal that was removed with a component is error, but no artefact.
    """
    good, rate_hz = planted.good, planted.case.rate_hz
    high_hz = min(band_hz[1], 0.95 * rate_hz / 2)
    sections = signal.butter(_ORDER, (band_hz[0], high_hz), "bandpass", fs=rate_hz, output="sos")
    samples = output_uv.shape[1]
    margin = min(round(_MARGIN_S * rate_hz), samples // 10)
    inside = slice(margin, samples - margin)
    rows = np.flatnonzero(good)
    length = fft.next_fast_len(samples + 2 * margin, real=True)
    magnitude = np.abs(signal.freqz_sos(sections, fft.rfftfreq(length, 1 / rate_hz), fs=rate_hz)[1]) ** 2

    def band(row: np.ndarray) -> np.ndarray:
        padded = np.pad(np.asarray(row, np.float64), (margin, length - samples - margin), "reflect")
        return fft.irfft(fft.rfft(padded) * magnitude, length)[margin : margin + samples][inside]

    courses = np.stack([band(course) for course in planted.courses])
    courses -= courses.mean(axis=1, keepdims=True)
    moments = courses @ courses.T
    output_mean, brain_mean = _mean(output_uv, rows), _mean(planted.brain_uv, rows)
    angle = np.exp(-2j * np.pi * LINE_HZ * np.arange(samples)[inside] / rate_hz) * 2 / (samples - 2 * margin)
    error_power = brain_power = 0.0
    left, line = np.empty((len(rows), len(courses))), np.empty(len(rows))
    later = np.roll(courses, courses.shape[1] // 3, axis=1)
    absent = np.empty_like(left)
    for place, row in enumerate(rows):
        output = output_uv[row] - output_mean
        brain = band(planted.brain_uv[row] - brain_mean)
        error = band(output) - brain
        error_power += error.var()
        brain_power += brain.var()
        left[place] = np.linalg.solve(moments, courses @ error)
        absent[place] = np.linalg.solve(moments, later @ error)
        line[place] = abs(angle @ output[inside])
    planted_maps = planted.topographies[rows] - planted.topographies[rows].mean(axis=0)

    def share(found: np.ndarray, parts: slice) -> float:
        return _power(found[:, parts], moments[parts, parts]) / _power(planted_maps[:, parts], moments[parts, parts])

    muscles = slice(2, None)
    return Residuals(
        error=error_power / brain_power,
        blink=share(left, slice(0, 1)) ** 0.5,
        muscle=share(left, muscles),
        absent=share(absent, muscles),
        line_uv=float(line.mean()),
    )


def _mean(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean over rows, one at a time: the arrays are on disk."""
    total = np.zeros(values.shape[1])
    for row in rows:
        total += values[row]
    return total / len(rows)


def _power(maps: np.ndarray, moments: np.ndarray) -> float:
    return float(np.trace(maps @ moments @ maps.T))
