"""Stage `segment`: one cleaned data set to one segment store."""

import sys
from pathlib import Path

import stage

from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.segment import segment_dataset


def main(params: Params, _: Runtime, clean: str, windowing: str, out: str) -> None:
    segment_dataset(Path(clean), Path(out), windowing=windowing, settings=params.windowing[windowing])


stage.run(main, *sys.argv[1:])
