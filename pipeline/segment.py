"""Stage `segment`: one cleaned data set to one segment store."""

import sys
from pathlib import Path

from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.segment import segment_dataset

import stage


def main(params: Params, _: Runtime, clean: str, windowing: str, out: str) -> None:
    settings = params.windowing[windowing][params.size]
    segment_dataset(Path(clean), Path(out), windowing=windowing, settings=settings)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
