"""Simulated data sets: the vendors' own files, written from a head model, brain rhythms and artefacts with known truth.

The default of the whole pipeline, for whoever has no licence of the data sets yet, and the ground truth of its tests.
What is simulated and why: docs/simulator.md. Nothing heavy is imported until :func:`simulate` runs.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from eegpipe.datasets.base import SIMULATED_MARKER
from eegpipe.errors import UsageProblem


@dataclass(frozen=True)
class SimulateSettings:
    """How much to simulate, and how strong the planted effects are."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # Which form of the data set; None: the first that `eegpipe datasets` lists.
    variant: str | None = None
    # The vendor's first people; None: all of them.
    subjects: Annotated[int, Ge(1)] | None = None
    # Recordings per person; None: all of them (SEED has 3, the others 1).
    sessions: Annotated[int, Ge(1)] | None = None
    # Mean seconds of stimulus per trial. The clips keep the vendor's proportions, in whole seconds. None: the vendor's.
    trial_s: Annotated[float, Ge(4)] | None = None
    # Also write the documented irregularities, and first the people whose files have them.
    traps: bool = False
    # Every random number follows from this one.
    seed: Annotated[int, Ge(0)] = 0
    # False: nothing in the signal is related to any label or rating. The stimulus-locked response stays.
    affect: bool = True
    # Multiplies the change of (log) band power with affect.
    affect_size: Annotated[float, Ge(0), Le(5)] = 1.0
    # Multiplies the amplitude of the response that all people share while they watch the same clip.
    locked_size: Annotated[float, Ge(0), Le(5)] = 1.0
    # Multiplies what a clip does to the mean power of the rhythms of all who watch it, whatever its label; 0: nothing.
    clip_size: Annotated[float, Ge(0), Le(5)] = 0.0
    # Multiplies the change of the rhythms from trial to trial that has no reason.
    wander_size: Annotated[float, Ge(0), Le(5)] = 1.0
    # Multiplies the amplitude of eye, muscle and drift artefacts; 0 also leaves every channel good.
    artefact_size: Annotated[float, Ge(0), Le(5)] = 1.0


def simulate(dataset: str, out: Path, settings: SimulateSettings, *, truth: Path) -> None:
    """Write the vendor's files of one data set at ``out`` and what is true about them at ``truth``.

    Both folders appear only when complete; folders that an earlier simulation wrote are replaced. Equal settings give
    equal bytes, and the files of a person do not depend on how many people are simulated.

    Parameters
    ----------
    out
        The vendor's folder, plus the marker file that :meth:`eegpipe.datasets.base.Facts.expected` reads.
    truth
        Outside ``out``: ``trials.tsv`` (what a right reader must give back) and one ``<recording>.npz`` per recording
        (the brain's part of the signal, the artefacts, the bad channels). See :mod:`eegpipe.simulate.truth`.

    Raises
    ------
    UsageProblem
        Unknown data set or variant, one without a simulator, more than the vendor has, or a folder in the way that was
        not simulated.
    """
    from eegpipe import datasets

    known = datasets.get(dataset)
    variant = known.variant(settings.variant) if settings.variant else known.variants[0]
    if variant.simulator is None:
        raise UsageProblem(f"{dataset} is not simulated: its real recordings are open. {known.access}")
    out, truth = out.absolute(), truth.absolute()
    if truth == out or out in truth.parents or truth in out.parents:
        raise UsageProblem("The truth must lie outside the simulated folder, and the other way round.")
    _refuse_foreign(out, SIMULATED_MARKER)
    _refuse_foreign(truth, "trials.tsv")

    from threadpoolctl import threadpool_limits

    from eegpipe.progress import bar
    from eegpipe.simulate.plan import shrink
    from eegpipe.simulate.truth import Truth

    plan = shrink(variant.simulator.design, settings)
    staged_out, staged_truth = _beside(out), _beside(truth)
    try:
        notes = Truth(staged_truth)
        # One thread: sums in another order would give other last digits.
        with threadpool_limits(limits=1), bar(f"simulate {dataset}", len(plan.people) * plan.sessions) as advance:
            facts = variant.simulator.write(staged_out, plan, notes, advance)
        notes.finish()
        marker = {"facts": plan.facts() | dict(facts or {}), "simulated": True, "dataset": dataset}
        marker |= {"variant": variant.name, "traps": settings.traps, "seed": settings.seed, "affect": settings.affect}
        (staged_out / SIMULATED_MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        _into_place(staged_truth, truth)
        _into_place(staged_out, out)
    finally:  # interrupted or failed: nothing half-written stays
        shutil.rmtree(staged_out, ignore_errors=True)
        shutil.rmtree(staged_truth, ignore_errors=True)


def _refuse_foreign(folder: Path, proof: str) -> None:
    """Only what a simulation wrote (it holds ``proof``) may be replaced; a real data set never."""
    if folder.is_dir() and not (folder / proof).is_file() and any(folder.iterdir()):
        raise UsageProblem(
            f"The folder {folder.name} holds files that were not simulated (no {proof}). Name another folder."
        )
    if folder.exists() and not folder.is_dir():
        raise UsageProblem(f"{folder.name} is a file, not a folder. Name another folder.")


def _beside(folder: Path) -> Path:
    """An empty folder on the same file system, for writing before the rename."""
    staged = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    return staged


def _into_place(staged: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    staged.replace(folder)
