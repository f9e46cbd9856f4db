"""MAHNOB-HCI (HCI-Tagging, emotion part): 27 subjects, up to 20 film clips, 32 EEG channels at 256 Hz, BioSemi."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.mahnob_hci import reader, simulate
from eegpipe.simulate.simulator import Simulator

_TREE = """\
Sessions/
  2/
    session.xml
    Part_1_S_Trial1_emotion.bdf
    (gaze, video and sound are not read)
  4/
    session.xml
    Part_1_S_Trial2_emotion.bdf
  ... to 3810/"""

DATASET = Dataset(
    name="mahnob_hci",
    title="MAHNOB-HCI: EEG and peripheral signals of people watching film clips (emotion part)",
    variants=(
        Variant(
            name="bdf",
            files="Sessions, BioSemi files at 256 Hz, one a trial",
            tree=_TREE,
            facts=reader.FACTS,
            recognise=reader.recognise,
            discover=reader.discover,
            read=reader.read,
            memory_gb=1.2,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=tuple(reader.WORDS.values()),
    ratings=dict.fromkeys(reader.RATINGS, reader.SCALE),
    irregularities=(
        Irregularity("H1", "", "Some readers call the EEG 512 Hz; the header says 256 Hz, which is asserted."),
        Irregularity(
            "H2", "", "Each file holds 30 s before and after the clip; they are kept, outside the clip's event."
        ),
        Irregularity("H3", "", "Electrode offsets of several millivolt are in the signal; they are kept."),
        Irregularity("H4", "", "Session 1984 names no clip, and neutral sessions have no ratings; both are left out."),
        Irregularity(
            "H5", "", "Subjects 3, 9 and 16 have 17, 14 and 16 trials, subjects 12, 15 and 26 none; 527 in all."
        ),
        Irregularity("H6", "", "The code of the status pulses is not published; the two rising edges are taken."),
    ),
    access="Register at https://mahnob-db.eu/hci-tagging/, send the signed agreement, download the emotion part.",
    size="about 2.7 GB of .bdf files (video and sound not counted)",
    licence="End user licence agreement of the MAHNOB databases: academic research only, not to be passed on",
    authors=("Mohammad Soleymani", "Jeroen Lichtenauer", "Thierry Pun", "Maja Pantic"),
    citation=(
        "Soleymani, M., Lichtenauer, J., Pun, T., Pantic, M. (2012). A multimodal database for affect recognition and "
        "implicit tagging. IEEE Transactions on Affective Computing 3(1), 42-55. doi:10.1109/T-AFFC.2011.25"
    ),
    url="https://mahnob-db.eu/hci-tagging/",
    manufacturer="BioSemi",
    task_description="Watching 20 film clips of 34 to 117 seconds; emotion keyword and four ratings after each.",
)
