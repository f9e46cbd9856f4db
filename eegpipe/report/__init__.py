"""The one page that a person opens after a run: results, data, quality, what was done, limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def build(root: Path, out: Path, targets: Sequence[str] | None = None) -> None:
    """Write the report of a project as one HTML file that needs nothing else.

    Parameters
    ----------
    root : Path
        The project: ``metrics/``, ``plots/``, ``data/bids/``, ``data/clean/`` and ``models/`` as ``dvc.yaml`` lays them
        out. What is missing there is said on the page.
    out : Path
        The page to write. The same project gives the same bytes.
    targets : sequence of str or None
        Show these alone. What lies there of others, as a rule from earlier settings, is named on the page. None: all.

    Raises
    ------
    UsageProblem
        If there are no metrics: without results there is nothing to report.
    DataProblem
        If a file of the project is not what its stage writes.
    """
    from eegpipe.report.page import write

    write(root, out, targets)
