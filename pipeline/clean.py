"""Stage `clean`: every recording of one BIDS data set."""

import sys
from pathlib import Path

from eegpipe.clean.stage import clean_dataset
from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.terminal import print_outcomes

import stage


def main(params: Params, runtime: Runtime, bids: str, out: str) -> int:
    outcomes = clean_dataset(
        Path(bids),
        Path(out),
        params.clean,
        allow_partial=params.allow_partial,
        workers=runtime.workers,
        scheduler=runtime.scheduler,
    )
    return print_outcomes(outcomes, allow_partial=params.allow_partial)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
