"""Stage `settings`: what only one method reads of the top of params.yaml, one file a method.

DVC can make a stage of one method depend on ${item.method}.${size}, but not on a single setting for one method alone:
without these files a change of mdJPT's weight would repeat the pre-training of all methods.
"""

import json
import sys
from pathlib import Path

from eegpipe.params import Params
from eegpipe.runtime import Runtime

import stage


def main(params: Params, _: Runtime, out: str) -> None:
    own = {"mdjpt": {"cda_lambda": params.cda_lambda}, "emod": {}, "art": {}}
    Path(out).mkdir(parents=True, exist_ok=True)
    for method, settings in own.items():
        (Path(out) / f"{method}.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])
