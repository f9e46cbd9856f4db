"""The head: a four-shell sphere, dipoles in it, and what each dipole does at each electrode.

Electrodes are the 72 of the Unified Channel Schema plus SEED's reference between Cz and CPz. The potentials come from
MNE's spherical forward solution (Berg & Scherg 1994 approximation; brain, CSF, skull, scalp).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from eegpipe.channels import schema

SEED_REFERENCE = "Cz-CPz"  # no schema name: the electrode half-way between the two
N_CORTICAL = 60
N_DEEP = 8
BRAIN_RADIUS = 0.9  # of the head's, MNE's default shells
_CORTEX, _DEEP = 0.80, 0.35  # depth of the dipoles, of the head's radius


@dataclass(frozen=True, eq=False)
class Head:
    """Arrays in head coordinates and metres.

    leadfield : (electrode, source, 3)
        Potential in microvolt against infinity per nanoampere-metre along x, y, z.
    directions : (source, 3)
        Unit vectors from the centre of the sphere. The first :data:`N_CORTICAL` sources lie in the cortex, the next
        :data:`N_DEEP` deep, the last two in the eyes (left, right).
    """

    electrodes: tuple[str, ...]
    positions: np.ndarray
    centre: np.ndarray
    radius_m: float
    directions: np.ndarray
    leadfield: np.ndarray

    def row(self, name: str) -> int:
        return self.electrodes.index(name)

    def nearness(self, names: tuple[str, ...], width_deg: float = 22.0) -> np.ndarray:
        """How near each cortical source lies to any of the named electrodes: 0 to 1, Gaussian in angle."""
        aim = np.stack([self.positions[self.row(name)] - self.centre for name in names])
        aim /= np.linalg.norm(aim, axis=1, keepdims=True)
        angle = np.arccos(np.clip(self.directions[:N_CORTICAL] @ aim.T, -1, 1))
        return np.exp(-0.5 * (angle.min(axis=1) / np.deg2rad(width_deg)) ** 2)


@cache
def head() -> Head:
    """The head model; computed once per process (about half a second)."""
    import mne

    positions = {name: np.array(position) for name, (_, position) in schema().items()}
    positions[SEED_REFERENCE] = (positions["Cz"] + positions["CPz"]) / 2
    points = np.stack(list(positions.values()))
    centre, radius = _fit_sphere(points)

    directions = np.concatenate([_cortical_directions(), _spread(N_DEEP), _eye_directions(centre)])
    depth = np.repeat([_CORTEX, _DEEP, 0.97 * BRAIN_RADIUS], [N_CORTICAL, N_DEEP, 2])
    dipoles = centre + directions * (depth * radius)[:, None]

    info = mne.create_info(list(positions), 1000.0, "eeg", verbose="error")
    info.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"), verbose="error")
    sphere = mne.make_sphere_model(r0=centre, head_radius=radius, info=info, verbose="error")
    outward = {"rr": dipoles, "nn": directions}
    sources = mne.setup_volume_source_space(pos=outward, sphere=sphere, sphere_units="m", verbose="error")
    forward = mne.make_forward_solution(
        info, trans=None, src=sources, bem=sphere, meg=False, eeg=True, n_jobs=1, verbose="error"
    )
    leadfield = forward["sol"]["data"].reshape(len(points), len(dipoles), 3) * 1e-3  # V/(A m) -> uV/(nA m)
    return Head(tuple(positions), points, centre, radius, directions, leadfield)


def _fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares sphere through points: |p|² = 2 p·c + (r² - |c|²) is linear in c."""
    columns = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(columns, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def _spread(count: int, lowest: float = -1.0) -> np.ndarray:
    """``count`` even directions on the sphere above the height ``lowest`` (Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    z = 1 - (1 - lowest) * k / count
    turn = np.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)


def _cortical_directions() -> np.ndarray:
    """The cortex covers the sphere down to below the ears."""
    return _spread(N_CORTICAL, lowest=-0.35)


def _eye_directions(centre: np.ndarray) -> np.ndarray:
    """The eyes, below Fp1 and Fp2 (32 mm beside the midline, at the height of the nasion)."""
    eyes = np.array([[-0.032, 0.105, 0.0], [0.032, 0.105, 0.0]]) - centre
    return eyes / np.linalg.norm(eyes, axis=1, keepdims=True)
