"""Rows of all draws of a step as each other's negatives, in one process; tests/test_processes.py has two."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from test_fit import objective_of
from test_methods import METHODS, TRAINING
from test_train import Quadratic

from eegpipe.embedded import Embedded, pairs_of
from eegpipe.errors import UsageProblem
from eegpipe.fit import _Alone, _gradients_of_all, fit
from eegpipe.processes import ALONE

DRAWS = 3


@pytest.mark.parametrize("name", sorted(METHODS))
class TestGlobal:
    def test_gradient_is_that_of_one_contrast(self, name):
        """Cut at the rows or not: the same terms, the same gradient of every weight."""
        whole, cut = objective_of(name), objective_of(name)
        terms = whole.contrast([whole.embed(number) for number in range(DRAWS)])
        terms["loss"].backward()
        ((drawn, values),) = _gradients_of_all(cut, cut.embed, nullcontext, _Alone(), ALONE, range(DRAWS), DRAWS)
        assert drawn == range(DRAWS)
        assert values == pytest.approx({key: term.item() for key, term in terms.items()}, rel=1e-5)
        pairs = zip(whole.model.named_parameters(), cut.model.parameters(), strict=True)
        for (which, expected), found in pairs:
            assert (expected.grad is None) == (found.grad is None), which
            if expected.grad is not None:
                torch.testing.assert_close(found.grad, expected.grad, atol=1e-6, rtol=1e-3, msg=which)

    def test_more_negatives(self, name):
        """More rows to be told from: the loss of rows that are all alike grows with their logarithm."""
        objective = objective_of(name)
        chance = {"mdjpt": "isa_chance", "emod": "contrast_chance", "art": "chance"}[name]
        draws = [objective.embed(number) for number in range(DRAWS)]
        alone = [objective.contrast([one]) for one in draws]
        together = objective.contrast(draws)
        assert together[chance] > max(one[chance] for one in alone) + 0.9
        assert together["loss"] > min(one["loss"] for one in alone)

    def test_of_one_draw_it_is_the_local_one(self, name, tmp_path):
        logs = []
        for negatives in ("local", "global"):
            settings = replace(TRAINING[name], epochs=1, steps_per_epoch=2, draws_per_step=1, negatives=negatives)
            logs.append(fit(objective_of(name), settings, title="", checkpoint=tmp_path / negatives, identity=""))
        assert logs[0] == logs[1]

    def test_it_matters(self, name, tmp_path):
        logs = []
        for negatives in ("local", "global"):
            settings = replace(TRAINING[name], epochs=1, steps_per_epoch=2, draws_per_step=2, negatives=negatives)
            logs.append(fit(objective_of(name), settings, title="", checkpoint=tmp_path / negatives, identity=""))
        assert logs[0] != logs[1]


def test_partners_stay_partners():
    draws = [torch.tensor([[1.0], [2.0], [-1.0], [-2.0]]), torch.tensor([[3.0], [-3.0]])]
    assert pairs_of(draws).flatten().tolist() == [1, 2, 3, -1, -2, -3]
    assert pairs_of(draws[:1]) is draws[0]
    leaf = Embedded((draws[0],), (draws[1],)).leaf()
    assert leaf.rows[0].requires_grad
    assert not leaf.facts[0].requires_grad


def test_a_method_without_rows(tmp_path):
    from eegpipe.models.settings import PretrainSettings

    settings = PretrainSettings(epochs=1, steps_per_epoch=1, draws_per_step=2, negatives="global")
    with pytest.raises(UsageProblem, match="negatives: global, but the method does not compare rows"):
        fit(Quadratic(), settings, title="", checkpoint=tmp_path / "c", identity="")
