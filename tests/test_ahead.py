"""Draws put together ahead of the computing: order, bounds, errors, and the same bytes for every method."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_fit import objective_of
from test_methods import METHODS, TRAINING

from eegpipe.ahead import Ahead, Prepared
from eegpipe.fit import fit


def prepared(number: int) -> Prepared:
    return Prepared((torch.full((2,), float(number)),), number)


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("draws")]


class TestAhead:
    def test_all_in_order(self):
        with closing(Ahead(prepared, [4, 1, 9, 2], "cpu")) as draws:
            got = list(draws)
        assert [(one.drawn, one.tensors[0][0].item()) for one in got] == [(4, 4), (1, 1), (9, 9), (2, 2)]
        assert not alive()
        assert list(Ahead(prepared, [], "cpu")) == []

    def test_is_ahead_by_so_many_and_no_more(self):
        made, third = [], threading.Event()

        def slow(number: int) -> Prepared:
            made.append(number)
            if len(made) == 3:
                third.set()
            return prepared(number)

        with closing(Ahead(slow, range(100), "cpu", depth=2)) as draws:
            assert next(draws).drawn == 0
            assert third.wait(10)  # 1 and 2, before anybody asks for them
            assert made == [0, 1, 2]
        assert not alive()
        assert len(made) == 3

    def test_waiting_is_counted(self):
        free = threading.Event()

        def held(number: int) -> Prepared:
            if number == 1:
                free.wait(10)
            return prepared(number)

        with closing(Ahead(held, range(3), "cpu")) as draws:
            next(draws)
            assert draws.waited_s == 0
            threading.Timer(0.2, free.set).start()
            next(draws)
            assert draws.waited_s > 0.1

    def test_errors_come_with_their_draw(self):
        def broken(number: int) -> Prepared:
            if number == 1:
                raise OSError("the file is gone")
            return prepared(number)

        with closing(Ahead(broken, range(5), "cpu")) as draws:
            assert next(draws).drawn == 0
            with pytest.raises(OSError, match="the file is gone"):
                next(draws)
        assert not alive()


@pytest.mark.parametrize("name", sorted(METHODS))
class TestTraining:
    def test_the_same_bytes(self, name, tmp_path):
        """With a killed run that goes on in between: the numbers that are asked for follow the checkpoint."""
        settings = replace(TRAINING[name], epochs=3, steps_per_epoch=2, draws_per_step=2)
        weights = []
        for ahead in (False, True):
            place = {"title": "", "checkpoint": tmp_path / f"{ahead}", "identity": ""}
            if ahead:
                fit(objective_of(name), replace(settings, epochs=1), ahead=ahead, **place)
            objective = objective_of(name)
            log = fit(objective, settings, ahead=ahead, **place)
            assert len(log) == 3
            weights.append([log, *(value.numpy().copy() for value in objective.model.state_dict().values())])
        assert weights[0][0] == weights[1][0]
        assert all(np.array_equal(*both) for both in zip(weights[0][1:], weights[1][1:], strict=True))
        assert not alive()

    def test_given_or_not(self, name):
        one, other = objective_of(name), objective_of(name)
        assert one(3)["loss"].item() == other(3, other.prepare(3).on("cpu"))["loss"].item()
