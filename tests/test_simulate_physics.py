"""What is planted in the simulated signal: topographies, rhythms, affect, and the response locked to the clip."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from eegpipe.simulate import SimulateSettings, simulate
from eegpipe.simulate.artefacts import eye_topographies
from eegpipe.simulate.head import N_CORTICAL, head
from eegpipe.simulate.streams import coloured_noise, frequencies, stream

N_PEOPLE = 3


@pytest.fixture(scope="module")
def with_affect(tmp_path_factory) -> Path:
    return _truth(tmp_path_factory.mktemp("affect"), affect=True)


@pytest.fixture(scope="module")
def without_affect(tmp_path_factory) -> Path:
    return _truth(tmp_path_factory.mktemp("no-affect"), affect=False)


def _truth(root: Path, *, affect: bool, **sizes: float) -> Path:
    settings = SimulateSettings(subjects=N_PEOPLE, sessions=1, trial_s=10, affect=affect, **sizes)
    simulate("seed", root / "seed", settings, truth=root / "truth")
    return root / "truth"


def trials(folder: Path) -> list[tuple[dict[str, str], np.ndarray, list[str]]]:
    """(row of trials.tsv, brain signal (channel, sample), channel names) of every trial."""
    with (folder / "trials.tsv").open(encoding="utf-8") as lines:
        table = list(csv.DictReader(lines, delimiter="\t"))
    answers = {stem: np.load(folder / f"{stem}.npz") for stem in sorted({row["recording"] for row in table})}
    clean = {stem: answer["clean_uv"] for stem, answer in answers.items()}
    names = [str(name) for name in next(iter(answers.values()))["channels"]]
    found = []
    for row in table:
        first = int(row["onset_sample"])
        found.append((row, clean[row["recording"]][:, first : first + int(row["n_samples"])], names))
    return found


def log_power(signal: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    hz = np.fft.rfftfreq(signal.shape[-1], 1 / 200)
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(signal.shape[-1]))) ** 2
    return np.log(spectrum[..., (hz >= low_hz) & (hz < high_hz)].mean(axis=-1))


def valence_effect(folder: Path) -> float:
    """t statistic of temporal beta and gamma power, positive against negative clips, within people."""
    values: dict[str, list[float]] = {"positive": [], "negative": []}
    for person in range(1, N_PEOPLE + 1):
        mine = [one for one in trials(folder) if int(one[0]["subject"]) == person]
        temporal = [mine[0][2].index(name) for name in ("T7", "T8", "FT7", "FT8", "TP7", "TP8")]
        power = np.array([log_power(signal[temporal], 18, 50).mean() for _, signal, _ in mine])
        power -= power.mean()
        for (row, _, _), value in zip(mine, power, strict=True):
            if row["label"] in values:
                values[row["label"]].append(value)
    a, b = np.array(values["positive"]), np.array(values["negative"])
    return float((a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))


def test_affect_changes_temporal_beta_and_gamma(with_affect):
    assert valence_effect(with_affect) > 5


def test_without_affect_band_power_is_not_related_to_the_label(with_affect, without_affect):
    assert abs(valence_effect(without_affect)) < 2
    assert all(float(row["planted_valence"]) == 0 for row, _, _ in trials(without_affect))
    # The same brains, the same clips: only the change of power is gone.
    pairs = zip(trials(with_affect), trials(without_affect), strict=True)
    assert np.mean([np.corrcoef(a[1].ravel(), b[1].ravel())[0, 1] for a, b in pairs]) > 0.95


def test_clips_have_a_power_of_their_own_where_it_is_asked_for_and_no_label_in_it(tmp_path, without_affect):
    assert abs(agreement(without_affect)) < 0.1
    clips = _truth(tmp_path, affect=False, clip_size=2.0)
    assert agreement(clips) > 0.25
    assert abs(valence_effect(clips)) < 2


def agreement(folder: Path) -> float:
    """Correlation between two people of the power of the clips: mean of pairs, bands and places."""
    played = trials(folder)
    names = played[0][2]
    found = []
    for places in (("O1", "Oz", "O2"), ("P8", "P6"), ("T7", "C5"), ("Cz", "C1"), ("Fz", "F1")):
        picked = [names.index(name) for name in places]
        for low_hz, high_hz in ((4, 8), (8, 12), (14, 26), (30, 46)):
            rows = [
                [
                    log_power(signal[picked], low_hz, high_hz).mean() - np.log(signal.shape[-1])
                    for row, signal, _ in played
                    if int(row["subject"]) == person
                ]
                for person in range(1, N_PEOPLE + 1)
            ]
            found.append(np.corrcoef(rows)[np.triu_indices(N_PEOPLE, 1)].mean())
    return float(np.mean(found))


def test_trials_wander_as_much_as_is_asked_for(tmp_path, without_affect):
    calm = _truth(tmp_path / "calm", affect=False, wander_size=0.0)
    wild = _truth(tmp_path / "wild", affect=False, wander_size=4.0)
    spreads = [_spread_of_trials(folder) for folder in (calm, without_affect, wild)]
    assert spreads[0] < spreads[1] < 0.6 * spreads[2]


def _spread_of_trials(folder: Path) -> float:
    """Standard deviation over trials, within people, of the temporal beta power."""
    values = []
    for person in range(1, N_PEOPLE + 1):
        mine = [one for one in trials(folder) if int(one[0]["subject"]) == person]
        temporal = [mine[0][2].index(name) for name in ("T7", "T8")]
        values.append(np.std([log_power(signal[temporal], 14, 26).mean() for _, signal, _ in mine]))
    return float(np.mean(values))


@pytest.mark.parametrize("planted", ["with_affect", "without_affect"])
def test_people_share_the_response_to_a_clip_and_to_no_other(planted, request):
    """A projection learned on the first clips (correlated components) correlates between people on the others."""
    by_clip: dict[str, list[np.ndarray]] = {}
    for row, signal, _ in trials(request.getfixturevalue(planted)):
        by_clip.setdefault(row["stimulus"], []).append(_band(signal, 1, 25))
    clips = sorted(by_clip)
    within, between = _covariances([by_clip[clip] for clip in clips[:8]])
    ridge = 0.1 * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eig(np.linalg.solve(within + ridge, between))
    weights = vectors[:, values.real.argmax()].real
    same, other = [], []
    for clip, neighbour in zip(clips[8:], [*clips[9:], clips[8]], strict=True):
        seen = [weights @ signal for signal in by_clip[clip]]
        n = min(seen[0].shape[-1], by_clip[neighbour][1].shape[-1])
        same += [np.corrcoef(seen[0], seen[1])[0, 1], np.corrcoef(seen[1], seen[2])[0, 1]]
        other.append(np.corrcoef(seen[0][:n], (weights @ by_clip[neighbour][1])[:n])[0, 1])
    assert 0.1 < np.mean(same) < 0.5
    assert abs(np.mean(other)) < 0.08


def _band(signal: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    hz = np.fft.rfftfreq(signal.shape[-1], 1 / 200)
    return np.fft.irfft(np.fft.rfft(signal) * ((hz >= low_hz) & (hz < high_hz)), signal.shape[-1])


def _covariances(clips: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Within and between people, summed over clips (Dmochowski 2012)."""
    within = sum(signal @ signal.T for people in clips for signal in people)
    whole = sum(sum(people) @ sum(people).T for people in clips)
    return within, (whole - within) / (N_PEOPLE - 1)


def test_alpha_is_occipital_and_at_a_frequency_of_the_persons_own(with_affect):
    peaks = []
    for person in range(1, N_PEOPLE + 1):
        mine = [one for one in trials(with_affect) if int(one[0]["subject"]) == person]
        names = mine[0][2]
        occipital, frontal = [names.index(name) for name in ("O1", "Oz", "O2")], [names.index("Fp1"), names.index("F1")]
        assert (
            np.mean([log_power(s[occipital], 8, 12).mean() - log_power(s[frontal], 8, 12).mean() for _, s, _ in mine])
            > 0.7
        )
        n = min(signal.shape[-1] for _, signal, _ in mine)
        hz = np.fft.rfftfreq(n, 1 / 200)
        spectrum = np.mean([np.abs(np.fft.rfft(s[occipital, :n])) ** 2 for _, s, _ in mine], axis=(0, 1))
        inside = (hz > 7) & (hz < 13)
        peaks.append((hz[inside] * spectrum[inside]).sum() / spectrum[inside].sum())
    assert np.ptp(peaks) > 0.2


def test_blinks_are_frontal_and_glances_change_sign_across_the_midline():
    vertical, horizontal = eye_topographies()
    model = head()
    fp1, fp2, oz = (vertical[model.row(name)] for name in ("Fp1", "Fp2", "Oz"))
    assert fp1 == pytest.approx(fp2, rel=0.2)
    assert fp1 > 3 * abs(oz)
    assert vertical[model.row("Fz")] < 0.7 * fp1
    f7, f8, cz = (horizontal[model.row(name)] for name in ("F7", "F8", "Cz"))
    assert f7 == pytest.approx(-f8, rel=0.2)
    assert abs(cz) < 0.1 * f8


def test_a_radial_dipole_is_seen_best_right_above_it():
    model = head()
    outward = np.einsum("esk,sk->es", model.leadfield, model.directions)[:, :N_CORTICAL]
    toward = model.positions - model.centre
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    below_cap = model.directions[:N_CORTICAL] @ toward.T
    covered = below_cap.max(axis=1) > np.cos(np.deg2rad(12))
    assert covered.sum() > 30
    angle = np.arccos(np.clip(below_cap[np.arange(N_CORTICAL), outward.argmax(axis=0)], -1, 1))
    assert np.rad2deg(angle[covered]).max() < 25


def test_coloured_noise_has_the_density_asked_for():
    hz = frequencies(4000, 200.0)
    psd = np.where((hz > 8) & (hz < 12), 2.0, 0.0)
    noise = coloured_noise(stream(0, "test"), 50, 4000, 200.0, psd)
    assert noise.dtype == np.float32
    assert noise.var() == pytest.approx(psd.sum() * 200.0 / 4000, rel=0.05)


def test_streams_depend_on_their_name_only():
    assert stream(1, "a", 2).random() == stream(1, "a", 2).random()
    assert len({stream(1, "a", 2).random(), stream(2, "a", 2).random(), stream(1, "a", 3).random()}) == 3
