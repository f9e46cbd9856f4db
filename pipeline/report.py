"""Stage `report`: the one page that a person opens."""

import sys
from pathlib import Path

import stage

from eegpipe.params import Params
from eegpipe.report import build
from eegpipe.runtime import Runtime


def main(params: Params, _: Runtime, out: str) -> None:
    build(Path(), Path(out))


stage.run(main, *sys.argv[1:])
