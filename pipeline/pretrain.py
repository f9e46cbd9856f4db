"""Stage `pretrain`: one method on all data sets but the target."""

import sys
from pathlib import Path

from eegpipe.loader import load
from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.train import pretrain

import stage


def main(params: Params, runtime: Runtime, method: str, target: str, segments: str, out: str) -> None:
    sizes = {"mdjpt": params.mdjpt}
    chosen = sizes[method][params.size]
    pretrain(
        [load(Path(segments) / f"{dataset}.zarr") for dataset in params.sources if dataset != target],
        Path(out),
        config=chosen.model,
        settings=chosen.training,
        cda_lambda=params.cda_lambda,
        seed=params.seed,
        device=runtime.device,
    )


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
