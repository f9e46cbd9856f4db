"""Pictures of features: what lies near what is found where it was planted, and not where it was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import silhouette_score

from eegpipe import embedding
from eegpipe.embed import SEGMENTS, draw, embed_target, rows_of
from eegpipe.models.baselines import de_features
from eegpipe.models.emod_settings import EmodConfig, EmodTraining
from eegpipe.train import pretrain

from planted_segments import planted, write_segments


def clouds(count: int, groups: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = np.arange(count) % groups
    return rng.normal(size=(count, 5)) + apart * np.eye(5)[group], group


def test_silhouette_is_scikit_learns():
    features, group = clouds(60, 4, 1.0)
    group[0] = 4  # alone in its group
    between = embedding.distances(features)
    assert embedding.silhouette(between, group) == pytest.approx(silhouette_score(features, group), abs=1e-9)
    assert np.isnan(embedding.silhouette(between, np.zeros(60, dtype=int)))
    assert np.isnan(embedding.silhouette(between, np.arange(60)))


def test_scores_exceed_chance_only_where_something_was_planted():
    for apart, above in ((3.0, True), (0.0, False)):
        features, group = clouds(80, 2, apart)
        between = embedding.distances(embedding.scaled(features))

        def measure(names, between=between):
            return embedding.silhouette(between, names)

        score = embedding.against_chance(measure, group, np.arange(80), seed=1)
        assert (score.value > score.chance_high) == above
        assert abs(score.chance) < 0.05


def test_names_are_dealt_among_the_units_that_own_them():
    unit = np.repeat(np.arange(6), 3)
    names = np.repeat([0, 0, 1, 1, 1, 0], 3)
    within = np.repeat([0, 0, 0, 1, 1, 1], 3)
    moved = False
    for anew in embedding.dealt(names, unit, 0, within):
        assert (anew.reshape(6, 3) == anew.reshape(6, 3)[:, :1]).all()
        assert np.bincount(anew[:9]).tolist() == np.bincount(names[:9]).tolist()
        moved |= bool((anew != names).any())
    assert moved


def test_classes_that_lie_as_in_the_plane_agree():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), 20)
    affect = rng.uniform(-4, 4, size=(6, 2))[group]
    like = np.concatenate([affect, np.zeros((120, 3))], axis=1) + 0.3 * rng.normal(size=(120, 5))
    pairs = embedding.centroid_pairs(like, affect, group)
    score = embedding.rank_agreement(pairs, seed=0)
    assert score.value == pytest.approx(spearmanr(pairs.affect, pairs.features)[0])
    assert score.value > 0.9 > score.chance_high
    unlike = embedding.rank_agreement(embedding.centroid_pairs(rng.normal(size=(120, 5)), affect, group), seed=0)
    assert abs(unlike.value) < 0.9
    three = embedding.centroid_pairs(like[:60], affect[:60], group[:60])
    assert embedding.rank_agreement(three, seed=0) is None


def test_clusters_and_map_find_clouds():
    features, group = clouds(90, 3, 8.0)
    found = embedding.clusters(features, 3, seed=0)
    assert all(len(np.unique(found[group == one])) == 1 for one in range(3))
    assert np.bincount(embedding.clusters(features[:80], 3, seed=0)).tolist() == sorted([27, 27, 26], reverse=True)
    place = embedding.plane(features, seed=3)
    assert embedding.silhouette(embedding.distances(place), group) > 0.5
    assert np.array_equal(place, embedding.plane(features, seed=3))


def test_a_sample_is_even_over_people_and_classes():
    data = planted("class", subjects=5, clips=12, per_trial=3)
    rows = embedding.evenly(data.subject, data.label, 60)
    assert len(set(rows.tolist())) == 60
    assert np.bincount(data.subject[rows]).tolist() == [12] * 5
    assert np.bincount(data.label[rows]).tolist() == [20] * 3
    assert set(embedding.evenly(data.subject, data.label, 30)) == set(rows[:30])
    many = embedding.evenly(np.arange(300) % 50, np.zeros(300, dtype=int), 60, most_subjects=20)
    assert len(np.unique(many % 50)) == 20


@pytest.fixture(scope="module", name="project")
def make_project(tmp_path_factory):
    """A store of another data set with valence and arousal, which EMOD saw, and of the target."""
    root = tmp_path_factory.mktemp("embed")
    config = EmodConfig(hidden=8, heads=2, norm_groups=2, depth=1, ffn=8, projection=8, tokens_per_s=2, per_region=1)
    other = planted("class", dataset="other", subjects=4, clips=12, seed=1)
    other = replace(
        other,
        valence=(2.0 * (other.label - 1)).astype(np.float32),
        arousal=np.zeros(len(other), dtype=np.float32),
    )
    target = planted("class", subjects=4, clips=9, per_trial=5)
    target.eeg[:] *= 3
    write_segments(root / "stores" / "other.zarr", other)
    write_segments(root / "stores" / "demo.zarr", target)
    pretrain([other], root / "model", config=config, settings=EmodTraining(epochs=0), seed=0)
    return root, target


def run(root, out):
    embed_target("demo", {"emod": root / "stores"}, {"emod": root / "model"}, out, seed=2)
    return {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()}


def test_the_stage_writes_the_same_bytes_again(project, tmp_path):
    root, _ = project
    files = run(root, tmp_path / "a")
    assert files == run(root, tmp_path / "b")
    points = files["points.csv"].splitlines()
    assert len(points) == 1 + 2 * SEGMENTS
    assert {tuple(line.split(",")[1:3]) for line in points[1:]} == {("demo", "0"), ("other", "1")}
    measures = {tuple(line.split(",")[1:4]) for line in files["scores.csv"].splitlines()[1:]}
    assert ("silhouette", "data set", "all") in measures
    assert ("silhouette", "emotion", "demo") in measures
    assert ("adjusted Rand index", "emotion", "demo") in measures
    counted = [line.split(",") for line in files["clusters.csv"].splitlines()[1:]]
    assert sum(int(line[-1]) for line in counted) == 160
    # The target has no valence, so only the other data set has a place in the plane.
    assert {line.split(",")[1] for line in files["pairs.csv"].splitlines()[1:]} in (set(), {"other"})


def test_an_emotion_in_the_features_is_found_and_a_data_set_is_called_new(project):
    _, target = project

    class Powers:
        width, manifest = 30, {"datasets": {"other": {}}}

        def features(self, segments):
            return de_features(segments.eeg, segments.rate_hz)

    sample = draw(Powers(), target, 160, "auto", seed=0)
    assert not sample.seen
    tables = rows_of([sample, replace(sample, dataset="other", seen=True)], "demo", seed=0)
    score = {row[:3]: row[3:] for row in tables["scores.csv"]}
    for measure in ("silhouette", "adjusted Rand index"):
        value, _, high, _ = score[measure, "emotion", "demo"]
        assert float(value) > float(high), measure
    # The same features under two names are no difference between data sets.
    value, _, high, _ = score["silhouette", "data set", "all"]
    assert float(value) <= float(high)
