"""Stage `split`: who and what is trained on and tested on in one target, decided before any training."""

import sys
from pathlib import Path

from eegpipe.loader import load
from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.splits import write_all

import stage


def main(params: Params, _: Runtime, store: str, out: str) -> None:
    write_all(load(Path(store)), Path(out), settings=params.split)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
