"""Stage `pretrain`: one method on all data sets but the target."""

import shutil
import sys
from pathlib import Path

from eegpipe.loader import load
from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.train import pretrain

import stage


def main(params: Params, runtime: Runtime, method: str, target: str, segments: str, out: str, curve: str) -> None:
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
    # The log lies in the folder of the model; DVC draws only files that are outputs of their own.
    Path(curve).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(out) / "log.csv", curve)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
