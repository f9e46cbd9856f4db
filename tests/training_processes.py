"""A training for several processes: python training_processes.py WHAT FOLDER. tests/test_processes.py runs it.

WHAT: ``all`` trains every method; the others train one and make trouble on the way.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from test_methods import CONFIGS, TRAINING, sources_of

from eegpipe import processes, train
from eegpipe.errors import UsageProblem
from eegpipe.methods import METHODS
from eegpipe.models.mdjpt import MdjptObjective
from eegpipe.terminal import exit_code

from stimulus_locked import segments

COUNT = 2
SHARED = {
    name: replace(settings, epochs=2, steps_per_epoch=2, draws_per_step=2 * COUNT)
    for name, settings in TRAINING.items()
}
SHARED |= {f"{name} global": replace(SHARED[name], negatives="global") for name in TRAINING}
SHARED["emod bfloat16"] = replace(SHARED["emod"], precision="bfloat16")


def run(name: str, folder: Path, group: processes.Group = processes.ALONE, **options) -> None:
    method = name.split()[0]
    assert method in METHODS
    arguments = {"config": CONFIGS[method], "settings": SHARED[name], "seed": 5, "threads": 1} | options
    sources = arguments.pop("sources", None) or sources_of(method)
    train.pretrain(sources, folder / name, group=group, curve=folder / f"{name}.csv", **arguments)


def trouble(what: str, folder: Path, group: processes.Group) -> None:
    if what == "not finite":
        run("mdjpt", folder, group, settings=replace(SHARED["mdjpt"], learning_rate=1e30))
    elif what == "other data":
        run("mdjpt", folder, group, sources=[segments(seed=group.rank)])
    elif what == "killed":
        step, calls = torch.optim.Adam.step, []

        def mortal(self, *args, **options):
            calls.append(1)
            if group.rank == 1 and len(calls) == 3:  # within the second epoch
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, *args, **options)

        torch.optim.Adam.step = mortal
        run("mdjpt", folder, group, settings=replace(SHARED["mdjpt"], epochs=3))
    elif what == "one fails":
        draw = MdjptObjective.__call__

        def fails(self, number):
            if number == 5:  # of the second process
                raise UsageProblem("this one cannot go on")
            return draw(self, number)

        MdjptObjective.__call__ = fails
        run("mdjpt", folder, group)


def main(what: str, folder: Path) -> int:
    if not processes.started():
        return processes.start(COUNT)
    with processes.join("cpu") as group:
        if what == "all":
            for name in SHARED:
                run(name, folder, group)
        else:
            trouble(what, folder, group)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1], Path(sys.argv[2]))))
