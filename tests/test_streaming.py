"""Training on signals that are read from files gives the same bytes as training on signals in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_methods import CONFIGS, TRAINING, sources_of

from eegpipe import train
from eegpipe.decoded import Streamed, stream
from eegpipe.methods import METHODS
from eegpipe.models import montage
from eegpipe.models.montage import MontageWindows, amplitude_of_blocks

from planted_segments import planted


def streamed(segments, folder):
    def blocks():
        yield from np.array_split(segments.eeg, 3)

    return replace(segments, eeg=stream(blocks, segments.eeg.shape, segments.dataset, folder, stays=True))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_encoder_from_files(method, tmp_path):
    sources = sources_of(method)
    from_files = [streamed(segments, tmp_path / "cache") for segments in sources]
    assert all(type(segments.eeg) is Streamed for segments in from_files)
    settings = replace(TRAINING[method], epochs=1, steps_per_epoch=2)
    folders = []
    for name, data in (("memory", sources), ("files", from_files)):
        train.pretrain(data, tmp_path / name, config=CONFIGS[method], settings=settings, seed=3, threads=1)
        folders.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert folders[0] == folders[1]
    encoder = train.load_pretrained(tmp_path / "files")
    np.testing.assert_array_equal(encoder.features(sources[0]), encoder.features(from_files[0]))


def test_a_scale_in_blocks_is_that_of_the_whole(monkeypatch):
    segments = planted(subjects=2, clips=9, per_trial=3)
    segments.eeg[4, 1, :30] = 1e5  # an artefact, which does not count
    whole = MontageWindows(segments, "distance")
    monkeypatch.setattr(montage, "_BLOCK", 5)
    blocks = MontageWindows(segments, "distance")
    rows = np.array([30, 4, 4, 0])
    np.testing.assert_allclose(blocks(rows), whole(rows), rtol=1e-6, atol=1e-6)
    first = blocks(rows)
    kept = first.copy()
    blocks(rows[::-1])
    np.testing.assert_array_equal(first, kept)  # the next batch does not overwrite the last one


@pytest.mark.parametrize("count", [1000, 1001])
def test_the_median_over_blocks_is_exact(count):
    rng = np.random.default_rng(2)
    values = (rng.normal(0, 20, count) * rng.choice([1e-3, 1, 1e3], count)).astype(np.float32)
    values[:5] = 0.0

    def blocks():
        yield from np.array_split(values, 6)

    magnitude = np.abs(values)
    assert montage._median_magnitude(blocks) == np.median(magnitude)
    kept = values[magnitude < 30 * np.median(magnitude)]
    assert 0 < len(kept) < count
    mean, spread = amplitude_of_blocks(blocks)
    assert mean == pytest.approx(kept.mean(dtype=np.float64), rel=1e-12)
    assert spread == pytest.approx(kept.std(dtype=np.float64), rel=1e-12)
