"""Stage `embed`: where data sets, people and emotions lie in the features of every frozen encoder of one target."""

import sys
from pathlib import Path

from eegpipe.embed import embed_target
from eegpipe.params import Params
from eegpipe.runtime import Runtime

import stage


def main(params: Params, runtime: Runtime, target: str, stores: str, models: str, out: str) -> None:
    embed_target(
        target,
        {method: Path(stores) / method for method in params.methods},
        {method: stage.existing(f"{models}/{method}/{target}", "an encoder") for method in params.methods},
        Path(out),
        target_class=params.split.target_of.get(target, params.split.target),
        seed=params.seed,
        device=runtime.device,
    )


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
