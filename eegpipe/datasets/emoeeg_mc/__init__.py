"""EmoEEG-MC (OpenNeuro ds005540): 60 subjects, 21 film clips and 21 imagined scenes of seven emotions, 64 channels."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.emoeeg_mc import derivative, raw, simulate
from eegpipe.datasets.emoeeg_mc.facts import LABELS, RATINGS, SCALE
from eegpipe.simulate.simulator import Simulator

_RAW_TREE = """\
README.md                                     (event codes and order of stimuli)
participants.tsv
sub-02/
  eeg/sub-02_task-emotion_eeg.edf             (15 subjects; 44 have _run-01_eeg.edf and _run-02_eeg.edf)
  beh/sub-02_task-emotion_beh.tsv
... to sub-60/"""

_DERIVATIVE_TREE = """\
README.md
sub-01/beh/sub-01_task-emotion_beh.tsv
derivatives/
  sub-01/
    ses-ima/eeg/sub-01_ses-ima_task-emotion_reorder.npy
    ses-vid/eeg/sub-01_ses-vid_task-emotion_reorder.npy
  ... to sub-60/"""

DATASET = Dataset(
    name="emoeeg_mc",
    title="EmoEEG-MC: EEG of people watching film clips and imagining scenes of seven emotions",
    variants=(
        Variant(
            name="raw",
            files="continuous EDF files at 600 or 1200 Hz",
            tree=_RAW_TREE,
            facts=raw.FACTS,
            recognise=raw.recognise,
            discover=raw.discover,
            read=raw.read,
            memory_gb=9.0,
            simulator=Simulator(simulate.DESIGN, simulate.write_raw),
        ),
        Variant(
            name="derivative",
            files="derivatives, cleaned trials of 30 s at 200 Hz as NumPy arrays",
            tree=_DERIVATIVE_TREE,
            facts=derivative.FACTS,
            recognise=derivative.recognise,
            discover=derivative.discover,
            read=derivative.read,
            already_processed=True,
            memory_gb=0.6,
            simulator=Simulator(simulate.DERIVATIVE_DESIGN, simulate.write_derivative),
        ),
    ),
    labels=LABELS,
    ratings=dict.fromkeys(RATINGS, SCALE),
    irregularities=(
        Irregularity("E1", "", "sub-01 has no EDF file; 15 subjects have one file and 44 two runs, which are joined."),
        Irregularity(
            "E2", "", "Seven subjects were recorded at 1200 Hz, the others at 600 Hz; the header is asserted."
        ),
        Irregularity("E3", "", "Event codes differ per subject; they are read from the README, its 'fede' as 'fade'."),
        Irregularity("E4", "", "video_name is one number per subject; the stimulus is taken from the README's order."),
        Irregularity("E5", "", "Trial numbers are written 40 or 40.0 and scores may be n/a; both are read."),
        Irregularity(
            "E6", "", "Folders of sub-55 to sub-60 lack the level eeg/, and arrays of Python objects are never loaded."
        ),
        Irregularity("E7", "", "Four trigger channels stand among the 68; they are not carried over."),
        Irregularity(
            "E8", "", "The README says a high-pass of 0.1 Hz and the sidecar 0.5 Hz; both are noted in the output."
        ),
        Irregularity(
            "E9", "", "For some subjects the README lists neu5 and neu8 the wrong way round; the films' lengths tell."
        ),
        Irregularity("E10", "", "In sub-20 a loose trigger wrote many codes at one time; such marks are not used."),
        Irregularity(
            "E11", "", "Some tables of ratings are not in the order of the trials; then no rating of them is used."
        ),
        Irregularity(
            "E12",
            r"sub-08.*video trial",
            "The times of sub-08 are twice too long, as if its rate were half; it is refused.",
        ),
        Irregularity("E13", "", "sub-55 to sub-60 lack trials; those without a listed stimulus are no events."),
    ),
    access="Free: https://openneuro.org/datasets/ds005540 (any subjects); name the folder that holds README.md.",
    size="75.6 GB in all, 50.6 GB of EDF files",
    licence="CC0",
    authors=(
        "Xin Xu",
        "Xinke Shen",
        "Xuyang Chen",
        "Qingzhu Zhang",
        "Sitian Wang",
        "Yihan Li",
        "Zongsheng Li",
        "Dan Zhang",
        "Mingming Zhang",
        "Quanying Liu",
    ),
    citation=(
        "Xu, X., Shen, X., Chen, X., Zhang, Q., Wang, S., Li, Y., Li, Z., Zhang, D., Zhang, M., Liu, Q. EmoEEG-MC: a "
        "multi-context emotional EEG dataset for cross-context emotion decoding. Data: OpenNeuro ds005540, "
        "doi:10.18112/openneuro.ds005540.v1.0.7"
    ),
    url="https://openneuro.org/datasets/ds005540",
    manufacturer="g.tec (g.HIamp)",
    task_description="Watching 21 film clips and imagining 21 scenes, three of each emotion; ten ratings after each.",
)
