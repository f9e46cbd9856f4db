"""Losses against reference arrays, against values worked by hand, and their invariances."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from eegpipe.errors import UsageProblem
from eegpipe.losses import cda, covariance, nt_xent


@pytest.fixture(scope="module")
def reference():
    folder = Path(__file__).resolve().parents[2] / "shared" / "methods" / "oracle"
    path = Path(os.environ.get("EEGPIPE_ORACLE", folder)) / "mdjpt_small.npz"
    if not path.is_file():
        pytest.skip("no reference arrays: set EEGPIPE_ORACLE to the folder that holds mdjpt_small.npz")
    arrays = np.load(path)
    return lambda name: torch.from_numpy(arrays[name])


def unit(*rows: list[float]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


class TestNtXent:
    @pytest.mark.parametrize("temperature", [0.07, 0.5])
    def test_reference(self, reference, temperature):
        loss = nt_xent(reference("simclr.in.z"), temperature)
        torch.testing.assert_close(loss, reference(f"simclr.out.loss_tau{temperature}"), atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("pairs", [1, 2, 15])
    def test_identical_rows(self, pairs):
        z = torch.ones(2 * pairs, 4) / 2
        assert nt_xent(z, 0.07).item() == pytest.approx(math.log(2 * pairs - 1), abs=1e-5)

    def test_by_hand(self):
        """Partners agree, the others are orthogonal, temperature 1/2: -log(e^2 / (e^2 + 2))."""
        z = unit([1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0])
        assert nt_xent(z, 0.5).item() == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 2)), abs=1e-6)

    def test_partner_is_half_the_batch_away(self):
        apart = unit([1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0])
        beside = unit([1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0])
        assert nt_xent(apart, 0.1) < 0.01 < nt_xent(beside, 0.1)

    def test_odd(self):
        with pytest.raises(UsageProblem, match="found 3 rows"):
            nt_xent(torch.ones(3, 2), 0.1)


class TestCovariance:
    @pytest.mark.parametrize("dataset", [0, 1, 2])
    def test_reference(self, reference, dataset):
        fea = reference(f"cda.in.fea{dataset}")
        expected = reference(f"cda.ref.cov_true_zerodiag0_{dataset}").mean(dim=0)
        torch.testing.assert_close(covariance(fea), expected, atol=1e-5, rtol=1e-4)
        off_diagonal = 1 - torch.eye(fea.shape[2])
        scrambled = covariance(fea, "scrambled") * off_diagonal
        torch.testing.assert_close(
            scrambled, reference(f"cda.out.cov_released{dataset}").mean(dim=0), atol=1e-5, rtol=1e-4
        )

    def test_equals_numpy(self):
        p_BFSP = torch.randn(1, 1, 3, 20, generator=torch.Generator().manual_seed(0))
        np.testing.assert_allclose(covariance(p_BFSP)[0], np.cov(p_BFSP[0, 0].numpy()), rtol=1e-5)


class TestCda:
    @pytest.mark.parametrize(
        ("kind", "diagonal", "name"),
        [
            ("true", "kept", "cda.ref.loss_true_zerodiag0_allpairs"),
            ("true", "zero", "cda.ref.loss_true_zerodiag1_allpairs"),
            ("scrambled", "zero", "cda.out.loss_released"),
        ],
    )
    def test_reference(self, reference, kind, diagonal, name):
        latents = [reference(f"cda.in.fea{dataset}") for dataset in range(3)]
        torch.testing.assert_close(cda(latents, kind=kind, diagonal=diagonal), reference(name), atol=1e-5, rtol=1e-4)

    def test_by_hand(self):
        """Variance 2 against 8, two maps: log(1 + 2 x 6)."""
        quiet = torch.tensor([1.0, -1.0]).expand(1, 2, 1, 2)
        latents = [torch.cat([quiet, 2 * quiet])]
        assert cda(latents).item() == pytest.approx(math.log(13), abs=1e-6)
        assert cda(latents, diagonal="zero").item() == 0

    def test_one_covariance_for_all(self):
        """No distance, and a gradient that is zero, not NaN."""
        subject = torch.randn(2, 3, 4, 9, generator=torch.Generator().manual_seed(0))
        shifted = torch.cat([subject, subject + 5]).requires_grad_()  # covariance does not see the mean
        exact = torch.cat([subject, subject]).requires_grad_()
        assert cda([shifted]).item() == pytest.approx(0, abs=1e-4)
        loss = cda([exact])
        loss.backward()
        assert loss.item() == 0
        assert torch.isfinite(exact.grad).all()

    def test_swapping_the_subjects(self):
        draw = torch.Generator().manual_seed(0)
        first, second = torch.randn(4, 2, 3, 9, generator=draw), torch.randn(4, 2, 3, 9, generator=draw)
        swapped = torch.cat([first[2:], first[:2]])
        torch.testing.assert_close(cda([first, second]), cda([swapped, second]))

    def test_grows_with_the_logarithm(self):
        """exp(CDA) - 1 is proportional to the covariances, that is to the square of the signal."""
        latent = torch.randn(4, 2, 3, 9, generator=torch.Generator().manual_seed(0))
        small, large = torch.expm1(cda([latent])), torch.expm1(cda([10 * latent]))
        torch.testing.assert_close(large, 100 * small, rtol=1e-4, atol=0)

    def test_odd(self):
        with pytest.raises(UsageProblem, match="found 3 windows"):
            cda([torch.ones(3, 1, 2, 4)])
