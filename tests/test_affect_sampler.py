"""EMOD's batch rule: regions, balance, what happens where a region is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from eegpipe.affect_sampler import RegionSampler, region_of
from eegpipe.errors import DataProblem
from eegpipe.loader import Segments

from planted_segments import planted

# Populated regions of the public code's data sets, in its order; the first three have all nine.
PUBLISHED = {
    "deap": range(9),
    "amigos": range(9),
    "mdme": range(9),
    "seed_vii": (3, 4, 7, 8),
    "dreamer": (3, 4, 7, 8),
    "mahnob_hci": (3, 4, 7, 8),
    "seed_iv": (4, 7, 8),
    "mped": (3, 4, 5, 7, 8),
}


def with_regions(dataset: str, regions, per_region: int = 5) -> Segments:
    """One trial a region, with the point in its middle."""
    regions = np.array(list(regions))
    segments = planted(dataset=dataset, subjects=1, clips=len(regions), per_trial=per_region, seconds=0.1)
    region = regions[segments.stimulus - 1000]
    return replace(
        segments,
        valence=(region % 3 * 3.0 - 3.0).astype(np.float32),
        arousal=(region // 3 * 3.0 - 3.0).astype(np.float32),
    )


@pytest.fixture(scope="module")
def published() -> list[Segments]:
    return [with_regions(name, regions) for name, regions in PUBLISHED.items()]


class TestRegions:
    def test_ratings_fall_three_by_three(self):
        """Integers 0 to 8 (ratings 1 to 9 less 1) as the public code has them."""
        valence, arousal = np.meshgrid(np.arange(9), np.arange(9))
        expected = valence // 3 + 3 * (arousal // 3)
        np.testing.assert_array_equal(region_of(valence - 4.0, arousal - 4.0), expected)
        # A fraction does not matter before the end of the scale.
        np.testing.assert_array_equal(region_of(valence - 4.0 + 0.9, arousal - 4.0), expected)

    def test_unknown(self):
        found = region_of(np.array([np.nan, 0.0, -4.0]), np.array([0.0, np.nan, 4.0]))
        np.testing.assert_array_equal(found, [-1, -1, 6])


class TestBalance:
    def test_complete_data_sets_are_balanced(self, published):
        sampler = RegionSampler(published[:3], seed=0, per_region=4)
        for number in range(3):
            for segments, rows in zip(published, sampler.draw(number), strict=False):
                assert len(rows) == 36
                found = Counter(region_of(segments.valence[rows], segments.arousal[rows]).tolist())
                assert found == dict.fromkeys(range(9), 4)

    def test_segments_of_a_region_are_drawn_alike(self, published):
        sampler = RegionSampler(published[:1], seed=0, per_region=10)
        drawn = np.bincount(np.concatenate([sampler.draw(number)[0] for number in range(50)]), minlength=45)
        assert drawn.sum() == 50 * 90
        assert drawn.min() > 60  # 100 each
        assert drawn.max() < 145

    @pytest.mark.parametrize(
        ("missing", "expected"),
        [
            (
                "carried",
                {
                    "deap": dict.fromkeys(range(9), 1),
                    "seed_vii": {3: 4, 4: 1, 7: 3, 8: 1},
                    "dreamer": {3: 4, 4: 1, 7: 3, 8: 1},
                    "seed_iv": {4: 5, 7: 3, 8: 1},
                    "mped": {4: 5, 7: 3, 8: 1},
                },
            ),
            (
                "next",
                {
                    "deap": dict.fromkeys(range(9), 1),
                    "seed_vii": {3: 4, 4: 1, 7: 3, 8: 1},
                    "dreamer": {3: 4, 4: 1, 7: 3, 8: 1},
                    "seed_iv": {4: 5, 7: 3, 8: 1},
                    "mped": {3: 4, 4: 1, 5: 1, 7: 2, 8: 1},
                },
            ),
        ],
    )
    def test_missing_regions(self, published, missing, expected):
        """What 9 requests get; "carried" is the table of the specification."""
        sampler = RegionSampler(published, seed=0, per_region=1, missing=missing)
        drawn = dict(zip(PUBLISHED, sampler.draw(0), strict=True))
        data = {segments.dataset: segments for segments in published}
        for name, counts in expected.items():
            rows = drawn[name]
            assert Counter(region_of(data[name].valence[rows], data[name].arousal[rows]).tolist()) == counts, name

    def test_a_missing_region_stays_with_its_data_set(self):
        """The order of the data sets matters to "carried" only."""
        without, whole = with_regions("a", (0, 8)), with_regions("b", range(9))
        for missing, disturbed in (("next", False), ("even", False), ("carried", True)):
            sampler = RegionSampler([without, whole], seed=0, per_region=1, missing=missing)
            assert (sampler.asked(0)[1].tolist() != list(range(9))) is disturbed

    def test_even(self):
        """Requests that cannot be met go round the regions that exist."""
        sampler = RegionSampler([with_regions("a", (4, 7, 8))], seed=0, per_region=3, missing="even")
        counts = Counter(np.concatenate([sampler.asked(number)[0] for number in range(5)]).tolist())
        assert counts == {4: 45, 7: 45, 8: 45}
        np.testing.assert_array_equal(sampler.asked(0)[0][[4, 7, 8]], [4, 7, 8])


class TestDraws:
    def test_seed_and_number(self, published):
        first, second = (RegionSampler(published, seed=1, per_region=2) for _ in range(2))
        first.draw(0)
        for one, other in zip(first.draw(9), second.draw(9), strict=True):
            np.testing.assert_array_equal(one, other)
        different = RegionSampler(published, seed=2, per_region=2)
        assert any((a != b).any() for a, b in zip(first.draw(9), different.draw(9), strict=True))
        assert any((a != b).any() for a, b in zip(first.draw(9), first.draw(8), strict=True))

    @pytest.mark.parametrize("missing", ["next", "even"])
    def test_another_data_set_changes_nothing(self, published, missing):
        few = RegionSampler(published[3:5], seed=1, missing=missing).draw(2)
        many = RegionSampler(published, seed=1, missing=missing).draw(2)
        for one, other in zip(few, many[3:5], strict=True):
            np.testing.assert_array_equal(one, other)

    def test_epoch(self, published):
        """Segments of a mean data set over items of a draw: 8 data sets of 45, 20, 15 and 25 segments."""
        total = sum(len(segments) for segments in published)
        assert RegionSampler(published, seed=0, per_region=1).steps_per_epoch == total // 8 // 9
        assert RegionSampler(published, seed=0, per_region=100).steps_per_epoch == 1


class TestUnknown:
    def test_left_out_and_counted(self):
        data = with_regions("a", range(9))
        data.arousal[[0, 7, 20]] = np.nan
        sampler = RegionSampler([data], seed=0)
        assert sampler.left_out == {"a": 3}
        assert sampler.regions["a"].sum() == 42
        drawn = np.concatenate([sampler.draw(number)[0] for number in range(30)])
        assert set(drawn.tolist()) == set(range(45)) - {0, 7, 20}

    def test_none_left(self):
        data = planted(dataset="a")
        with pytest.raises(DataProblem, match="a: segments: found no valence and arousal in any of 216 segments"):
            RegionSampler([data], seed=0)
