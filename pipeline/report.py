"""Stage `report`: the one page that a person opens."""

import sys
from pathlib import Path

from eegpipe.params import Params
from eegpipe.report import build
from eegpipe.runtime import Runtime

import stage


def main(params: Params, _runtime: Runtime, out: str) -> None:
    build(Path(), Path(out), params.targets)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
