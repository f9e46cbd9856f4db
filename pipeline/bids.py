"""Stage `bids`: one data set's vendor files to BIDS-EEG."""

import sys
from pathlib import Path

from eegpipe import datasets
from eegpipe.bids import convert
from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.terminal import print_outcomes

import stage


def main(params: Params, runtime: Runtime, dataset: str, raw: str, out: str) -> int:
    outcomes = convert(
        datasets.at(dataset, stage.existing(raw, f"the vendor folder of {dataset} (raw.{dataset} in params.yaml)")),
        raw,
        Path(out),
        allow_partial=params.allow_partial,
        workers=runtime.workers,
        scheduler=runtime.scheduler,
    )
    return print_outcomes(outcomes, allow_partial=params.allow_partial)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
