"""eegpipe: from vendor files of emotion-EEG data sets to an honest comparison of pre-training methods."""

import sys

__version__ = "0.1.0"

if hasattr(sys.modules.get("typer.cli"), "TyperCLIGroup"):  # started as `typer eegpipe ...`
    from eegpipe.typer_bridge import app as app
