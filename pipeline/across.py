"""Stage `across`: one method on one target, its classifier trained on other data sets; the split first."""

import sys
from pathlib import Path

from eegpipe import across
from eegpipe.evaluate import evaluate_target
from eegpipe.loader import load_labels
from eegpipe.models.baseline_settings import ACROSS_BASELINES
from eegpipe.params import Params
from eegpipe.runtime import Runtime

import stage


def main(
    params: Params,
    runtime: Runtime,
    method: str,
    target: str,
    segments: str,
    models: str,
    splits: str,
    metrics: str,
    plots: str,
) -> None:
    names = params.raw if params.across_from is None else params.across_from
    windowing = params.windowings[0] if method in ACROSS_BASELINES else method
    stores = {name: Path(segments) / windowing / f"{name}.zarr" for name in (target, *names)}
    others = [path for name, path in stores.items() if name != target]
    across.write_split(load_labels(stores[target]), [load_labels(path) for path in others], Path(splits), params.split)
    evaluate_target(
        method + across.SUFFIX,
        stores[target],
        Path(splits),
        Path(metrics),
        Path(plots),
        model=None if method in ACROSS_BASELINES else Path(models) / method / target,
        others=others,
        settings=params.evaluate[params.size],
        baseline=params.baseline[params.size],
        seed=params.seed,
        device=runtime.device,
        workers=runtime.workers,
    )


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
