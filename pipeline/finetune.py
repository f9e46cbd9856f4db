"""Stage `finetune`: one method on one target under the stored splits, fine-tuned as its paper does."""

import sys
from pathlib import Path

from eegpipe.evaluate import evaluate_target
from eegpipe.finetune import SUFFIX
from eegpipe.params import ArtParams, EmodParams, Params
from eegpipe.runtime import Runtime

import stage


def main(
    params: Params, runtime: Runtime, method: str, store: str, splits: str, metrics: str, plots: str, model: str
) -> None:
    own: EmodParams | ArtParams = params.emod[params.size] if method == "emod" else params.art[params.size]
    evaluate_target(
        method + SUFFIX,
        Path(store),
        Path(splits),
        Path(metrics),
        Path(plots),
        model=Path(model),
        settings=params.evaluate[params.size],
        finetune=own.finetune,
        graph=own.graph if isinstance(own, ArtParams) else None,
        seed=params.seed,
        device=runtime.device,
        workers=runtime.workers,
    )


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
