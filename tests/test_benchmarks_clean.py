"""The benchmarks of the cleaning: what they plant is there, what they measure is right, and a miniature run works."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# fmt: off
MONTAGE_14 = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
# fmt: on


@pytest.fixture(scope="module")
def modules():
    """The scripts' own modules: they are no package, so that they run from anywhere."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import chains
        import clean
        import measure
        import planted_recording
        import residuals

        yield {"chains": chains, "clean": clean, "measure": measure, "planted": planted_recording, "left": residuals}
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def planted(modules, tmp_path_factory):
    return modules["planted"].write(small_case(modules), tmp_path_factory.mktemp("planted"))


def small_case(modules, **changes):
    facts = {"channels": MONTAGE_14, "rate_hz": 128.0, "minutes": 2.2, "reference": ("M1",)}
    return modules["planted"].Case("small", **facts | changes)


def run_script(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / name), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_parts_add_up_to_the_signal(planted):
    assert planted.signal_uv.shape == planted.brain_uv.shape == (14, planted.case.samples)
    rest = planted.signal_uv - planted.brain_uv - planted.topographies @ planted.courses
    good = planted.good
    assert planted.bad == dict.fromkeys(planted.bad, "noisy")
    assert good.sum() == 13
    # Drift, mains and noise are left; a broken channel is louder than all of them.
    assert 5 < rest[good].std(axis=1).mean() < 25
    assert rest[~good].std() > 35
    blink, _, *muscles = planted.courses
    assert blink.max() > 60
    for muscle in muscles:
        power = np.abs(np.fft.rfft(muscle)) ** 2
        hz = np.fft.rfftfreq(len(muscle), 1 / planted.case.rate_hz)
        assert power[hz < 15].sum() < 0.1 * power.sum()


def test_blocks_join_without_a_seam(planted):
    # The second block begins at a minute and fades in for two seconds.
    rate_hz = planted.case.rate_hz
    faded = planted.brain_uv[:, round(60 * rate_hz) : round(62 * rate_hz)].var(axis=1).mean()
    pieces = np.array_split(planted.brain_uv, 66, axis=1)
    variances = [piece.var(axis=1).mean() for piece in pieces]
    assert np.quantile(variances, 0.02) * 0.7 < faded < np.quantile(variances, 0.98) * 1.4
    steps = np.abs(np.diff(planted.brain_uv, axis=1)).max(axis=0)
    seams = [round(second * rate_hz) - 1 for second in (60, 62, 120, 122)]
    assert steps[seams].max() <= np.quantile(steps, 0.9999)


def test_equal_cases_give_equal_bytes_and_the_seed_changes_them(modules, planted, tmp_path):
    again = modules["planted"].write(small_case(modules), tmp_path / "again")
    other = modules["planted"].write(small_case(modules, seed=2), tmp_path / "other")
    assert np.array_equal(again.signal_uv, planted.signal_uv)
    assert not np.array_equal(other.brain_uv, planted.brain_uv)


def test_residuals_of_what_is_known(modules, planted):
    left, band_hz = modules["left"].residuals, (0.3, 49.0)
    brain, maps, courses = planted.brain_uv, planted.topographies, planted.courses
    untouched = left(brain, planted, band_hz)
    assert untouched == modules["left"].Residuals(0.0, 0.0, 0.0, 0.0, pytest.approx(untouched.line_uv))
    # Noise of the brain's size holds next to nothing of any course, and as little of one that is not there.
    noise = brain.std() * np.random.default_rng(0).normal(size=brain.shape)
    noisy = left(brain + noise, planted, band_hz)
    assert 0 < noisy.absent < 0.01
    assert 0.1 < noisy.muscle / noisy.absent < 10
    half = left(brain + 0.5 * maps @ courses, planted, band_hz)
    assert half.blink == pytest.approx(0.5, rel=1e-3)
    assert half.muscle == pytest.approx(0.25, rel=1e-3)
    blinks_only = left(brain + 0.2 * maps[:, :1] @ courses[:1], planted, band_hz)
    assert blinks_only.blink == pytest.approx(0.2, rel=1e-3)
    assert blinks_only.muscle < 1e-6
    # A constant over the channels is no error in the average reference, and a broken channel does not count.
    shifted = brain + 30 * courses[1]
    shifted[~planted.good] = 1e4
    assert left(shifted, planted, band_hz).error < 1e-6
    # A brain of half the amplitude misses a quarter of the variance.
    assert left(0.5 * brain, planted, band_hz).error == pytest.approx(0.25, rel=1e-3)
    hum = np.sin(2 * np.pi * 50 * np.arange(brain.shape[1]) / planted.case.rate_hz)
    signs = np.where(np.arange(14) % 2, 1.0, -1.0)[:, np.newaxis]
    assert left(brain + 2 * signs * hum, planted, band_hz).line_uv == pytest.approx(2.0, rel=0.1)


def test_memory_is_the_peak_above_the_baseline(modules):
    measure = modules["measure"]

    def takes_and_frees() -> int:
        # Straight from the system: memory that earlier tests have freed would be no new one.
        with mmap.mmap(-1, 64_000_000) as block:
            for first in range(0, len(block), 1_000_000):
                block[first : first + 1_000_000] = b"1" * 1_000_000
            return block[:8_000_000].count(b"1")

    result, spent = measure.cost(takes_and_frees, measure.resident_bytes())
    assert result == 8_000_000
    assert 60e6 < spent.peak_bytes < 90e6
    assert 0 < spent.wall_s < 10


def test_figures_of_other_cases_stay_in_the_file(modules, tmp_path):
    measure, path = modules["measure"], tmp_path / "figures.json"
    row = measure.Row("a.time", 1.0, 2.0, 2.0, "s")
    measure.write_rows(path, [row, measure.Row("b.time", 1.0, 3.0, 3.0, "s")])
    measure.write_rows(path, [measure.Row("a.time", 1.0, 4.0, 4.0, "s")])
    assert {stored["name"]: stored["ratio"] for stored in json.loads(path.read_text())} == {
        "a.time": 4.0,
        "b.time": 3.0,
    }
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.slow
def test_eyes_and_muscles_are_what_iclabel_says_they_are(modules, tmp_path):
    case = next(case for case in modules["clean"].CASES if case.name.startswith("cap_32ch"))
    short = type(case)(case.name, case.channels, case.rate_hz, 3.0, case.reference)
    planted = modules["planted"].write(short, tmp_path)
    result = modules["chains"].run("ours", tmp_path, 2, profile=True)
    assert {"eye", "muscle"} <= {reason.split()[0] for reason in result.removed}
    assert result.bad == list(planted.bad)
    assert result.output is not None
    # What the functions take themselves cannot be more than both threads have, and ICA is among them.
    assert 0.5 * result.cost.wall_s < sum(result.steps.values()) < 2.2 * result.cost.wall_s
    assert any(name.startswith("ica.") for name in result.steps)
    before = modules["left"].residuals(planted.signal_uv, planted, (0.3, 49.0))
    after = modules["left"].residuals(np.load(result.output, mmap_mode="r"), planted, (0.3, 49.0))
    assert after.blink < 0.2 < 0.9 < before.blink
    assert after.error < 0.5 * before.error


@pytest.mark.slow
def test_a_miniature_run_of_the_comparison(tmp_path):
    figures = tmp_path / "figures.json"
    name = "dreamer_14ch_128hz_60min"
    options = ("--only", name, "--minutes", "2", "--rival", "picard", "--rival-threads", "1", "--json", str(figures))
    done = run_script("clean.py", *options)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(figures.read_text(encoding="utf-8"))}
    kinds = ("time", "peak_memory_per_float64", "error", "residual_blink", "residual_muscle", "residual_line")
    assert list(rows) == [f"{name}.{kind}" for kind in kinds]
    for kind, row in zip(kinds, rows.values(), strict=True):
        assert row["ours"] > 0
        assert row["rival"] > 0
        ratio = (
            row["rival"] / row["ours"] if kind in ("time", "peak_memory_per_float64") else row["ours"] / row["rival"]
        )
        assert row["ratio"] == pytest.approx(ratio, rel=0.05)
    assert rows[f"{name}.peak_memory_per_float64"]["ours"] > 1  # the recording itself is counted
    assert rows[f"{name}.residual_blink"]["ours"] < 0.3
    for words in ("cores", "| chain", "picard", "ours, function"):
        assert words in done.stdout


@pytest.mark.slow
def test_a_miniature_run_over_several_recordings(tmp_path):
    figures = tmp_path / "figures.json"
    done = run_script("clean_parallel.py", "--recordings", "1", "2", "--minutes", "1", "--json", str(figures))
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(figures.read_text(encoding="utf-8"))}
    assert list(rows) == ["throughput.2_workers", "memory.2_workers", "linear.2_over_1", "linear_memory.2_over_1"]
    assert rows["memory.2_workers"]["ratio"] > 1
    assert rows["linear.2_over_1"]["rival"] == 2
    assert all(row["ours"] > 0 for row in rows.values())


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("clean.py", ["--minutes", "0.5"], "expected at least 1"),
        ("clean.py", ["--only", "nothing"], "seed_62ch_200hz_57min"),
        ("clean_parallel.py", ["--recordings", "4", "1"], "ascending"),
    ],
)
def test_wrong_options_are_one_line(script, options, words):
    done = run_script(script, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
