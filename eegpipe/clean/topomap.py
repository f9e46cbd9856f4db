"""Scalp maps: the head from above, nose up, left ear on the left; between electrodes by spherical splines.

The value of every pixel is a fixed sum over channels, so one matrix per montage draws all maps. A map is a small PNG
with a palette, written here with zlib: a plotting library would cost seconds a recording.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

PIXELS = 120
# Centre of the sphere nearest to the 10-05 positions, metres, head frame: for montages that fix no sphere themselves.
_USUAL_CENTRE_M = np.array([-0.0008, 0.0146, 0.0417])
_FARTHEST_CENTRE_M = 0.03
_RADII_M = (0.07, 0.12)
# In MNE's head frame (ears and nasion level) the ring Fpz-T7-Oz-T8 leans back by this angle; upright, Cz is the middle.
_LEAN = np.deg2rad(8.0)
# Angle from the middle at which the head's outline is drawn: T7 and T8 of the template lie there.
_OUTLINE = np.deg2rad(100.0)
_LARGEST_REACH = 1.35
# Spherical splines (Perrin 1989): order, terms of the series, weight on the diagonal (little: a map shows what is at an
# electrode, even at one alone).
_STIFFNESS, _TERMS, _SMOOTHING = 3, 50, 1e-7
# Of the colours' range: the map's largest value, and from contour to contour.
_STRONGEST, _CONTOUR_STEP = 0.94, 0.22
_COLOURS, _SHADES = 83, 3
_OUTSIDE = _COLOURS * _SHADES
# Blue, white, red: equal steps to both sides.
_ANCHORS = (
    *((16, 45, 105), (36, 95, 170), (98, 160, 212), (186, 215, 235), (249, 248, 246)),
    *((248, 206, 182), (232, 134, 104), (190, 50, 48), (105, 10, 32)),
)


@dataclass(frozen=True)
class Scalp:
    """Electrodes seen from above.

    places : array, shape (channel, 2)
        Right and forward, in radii of the head's outline (azimuthal equidistant).
    directions : array, shape (channel, 3)
        Unit vectors from the middle of the head.
    reach : float
        Radius of the drawn disc: 1, or more for electrodes below the outline.
    """

    places: np.ndarray
    directions: np.ndarray
    reach: float


def scalp(positions_m: np.ndarray) -> Scalp:
    """Where electrodes at ``positions_m`` (channel, 3; metres, head frame) lie on the disc."""
    away = np.asarray(positions_m, dtype=np.float64) - _sphere_centre(positions_m)
    directions = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    cosine, sine = np.cos(_LEAN), np.sin(_LEAN)
    x, y, z = directions.T
    directions = np.column_stack([x, cosine * y - sine * z, sine * y + cosine * z])
    sideways = np.hypot(directions[:, 0], directions[:, 1])
    radius = np.arctan2(sideways, directions[:, 2]) / _OUTLINE
    places = directions[:, :2] * (radius / np.maximum(sideways, 1e-12))[:, np.newaxis]
    return Scalp(places, directions, float(np.clip(radius.max(initial=0) + 0.04, 1.0, _LARGEST_REACH)))


def _sphere_centre(positions_m: np.ndarray) -> np.ndarray:
    """Of the sphere through the electrodes in the sense of least squares, if that is a head; else the usual one."""
    known = np.asarray(positions_m, dtype=np.float64)
    if len(known) < 8:
        return _USUAL_CENTRE_M
    solved = np.linalg.lstsq(np.column_stack([2 * known, np.ones(len(known))]), (known**2).sum(axis=1), rcond=None)[0]
    centre = solved[:3]
    radius_m = np.sqrt(max(solved[3] + centre @ centre, 0.0))
    plausible = np.linalg.norm(centre - _USUAL_CENTRE_M) < _FARTHEST_CENTRE_M and _RADII_M[0] < radius_m < _RADII_M[1]
    return centre if plausible else _USUAL_CENTRE_M


def weights(directions: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(wanted, channel): what each channel adds to the value in each wanted direction; rows sum to 1.

    Spherical splines with a constant (Perrin, Pernier, Bertrand & Echallier 1989). Both inputs are unit vectors (n, 3).
    """
    n = len(directions)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = _kernel(directions @ directions.T) + _SMOOTHING * np.eye(n)
    system[n, :n] = system[:n, n] = 1
    # Two electrodes at one place make the system singular; the pseudo-inverse shares the value between them.
    inverse = np.linalg.pinv(system, hermitian=True)[:, :n]
    return _kernel(wanted @ directions.T) @ inverse[:n] + inverse[n]


def _kernel(cosine: np.ndarray) -> np.ndarray:
    degree = np.arange(1, _TERMS + 1)
    series = (2 * degree + 1) / (4 * np.pi * (degree * (degree + 1.0)) ** _STIFFNESS)
    # A table is as good as the series to 1e-6 of its height and ten times as fast.
    nodes = np.linspace(0, np.pi, 2049)
    table = np.polynomial.legendre.legval(np.cos(nodes), np.concatenate([[0.0], series]))
    return np.interp(np.arccos(np.clip(cosine, -1, 1)), nodes, table)


def maps(seen: Scalp, good: np.ndarray, topographies: np.ndarray) -> list[str]:
    """One PNG as a data URI for each column of ``topographies`` (good channel, component).

    Parameters
    ----------
    seen
        All channels, from :func:`scalp`.
    good : array of int
        Which of them the rows of ``topographies`` are.
    """
    inside, matrix = _grid(seen.directions[good].tobytes(), seen.reach)
    finite = np.nan_to_num(np.asarray(topographies, dtype=np.float64))
    # Where no electrode is near, splines overshoot: a map shows nothing larger than was recorded.
    drawn = np.clip(matrix @ finite, finite.min(axis=0, initial=0), finite.max(axis=0, initial=0)).T
    return [_map(values, inside) for values in drawn]


@lru_cache(maxsize=4)  # recordings of a data set mostly share one montage
def _grid(directions: bytes, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """(row, column) pixels inside the disc, first row foremost; (pixel inside, channel) weights."""
    across = (np.arange(PIXELS) + 0.5) / PIXELS * 2 - 1
    right, forward = np.meshgrid(across * reach, -across * reach)
    radius = np.hypot(right, forward)
    inside = radius <= reach
    angle = radius[inside] * _OUTLINE
    sideways = np.sin(angle) / np.maximum(radius[inside], 1e-12)
    wanted = np.column_stack([right[inside] * sideways, forward[inside] * sideways, np.cos(angle)])
    return inside, weights(np.frombuffer(directions).reshape(-1, 3), wanted)


def _map(values: np.ndarray, inside: np.ndarray) -> str:
    """Each map has its own scale, symmetric about zero; contours are darker pixels."""
    scaled = np.zeros(inside.shape)
    scaled[inside] = _STRONGEST * values / max(float(np.abs(values).max(initial=0)), 1e-12)
    colour = np.rint((scaled + 1) / 2 * (_COLOURS - 1)).astype(np.uint8)
    level = scaled / _CONTOUR_STEP
    down, across = np.gradient(level)
    distance = np.abs(level - np.rint(level)) / np.maximum(np.hypot(down, across), 1e-3)
    shade = np.where(distance < 0.45, 2, np.where(distance < 0.9, 1, 0)).astype(np.uint8)
    pixels = np.where(inside, shade * _COLOURS + colour, _OUTSIDE).astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(_png(pixels, _palette())).decode("ascii")


@lru_cache(maxsize=1)
def _palette() -> bytes:
    """RGB triples: the colours, the same darker twice, and one for outside."""
    along = np.linspace(0, len(_ANCHORS) - 1, _COLOURS)
    colours = np.column_stack(
        [np.interp(along, range(len(_ANCHORS)), channel) for channel in zip(*_ANCHORS, strict=True)]
    )
    shades = np.concatenate([colours * factor for factor in (1.0, 0.82, 0.62)])
    return np.rint(np.concatenate([shades, [[255, 255, 255]]])).astype(np.uint8).tobytes()


def _png(pixels: np.ndarray, palette: bytes) -> bytes:
    """8-bit PNG with a palette whose last colour is transparent (PNG specification, W3C 2003)."""
    height, width = pixels.shape
    rows = np.column_stack([np.zeros(height, dtype=np.uint8), pixels])  # filter 0 before each row

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    opaque = bytes([255] * (len(palette) // 3 - 1) + [0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette)
        + chunk(b"tRNS", opaque)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
        + chunk(b"IEND", b"")
    )
