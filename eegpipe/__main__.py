"""``python -m eegpipe``: the same command as ``eegpipe``."""

from eegpipe.cli import main

main()
