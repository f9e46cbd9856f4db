"""Stage `evaluate`: one frozen encoder on one target under the stored splits."""

import sys
from pathlib import Path

from eegpipe.evaluate import evaluate_target
from eegpipe.params import Params
from eegpipe.runtime import Runtime

import stage


def main(
    params: Params, runtime: Runtime, method: str, store: str, splits: str, metrics: str, plots: str, model: str
) -> None:
    evaluate_target(
        method,
        Path(store),
        Path(splits),
        Path(metrics),
        Path(plots),
        model=Path(model),
        settings=params.evaluate[params.size],
        seed=params.seed,
        device=runtime.device,
        workers=runtime.workers,
    )


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
