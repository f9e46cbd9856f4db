"""FACED: 123 people, 28 film clips of nine emotions, 30 scalp channels and 2 mastoids.

Three forms: ``processed`` (the last 30 s of each clip, cleaned by the authors), ``raw`` (whole recordings), ``rehost``
(the same recordings as a BIDS data set).
"""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.faced import bdf, clips, processed, raw, rehost, simulate, simulate_raw, simulate_rehost
from eegpipe.simulate.simulator import Simulator

_IRREGULARITIES = (
    ("T8a", "", "68 recordings have 1000 Hz and 55 have 250 Hz (the paper says 92 and 31): asserted for each person."),
    (
        "T8b",
        "",
        "Two groups of people have other channel names in another order: read by name, given back in one order.",
    ),
    ("T8c", "", "33 headers give the unit as '?V': read as microvolt, and said in the notes."),
    ("T9a", "", "There are 5, 7, 8 or 10 markers 100 at the beginning: they are not used."),
    ("T9b", "", "The markers 201 and 202 are missing in some recordings: they are not used."),
    (
        "T9c",
        "",
        "029, 045, 049, 059 and 060 hold markers of another task, four of them a stray 101: not taken for clips.",
    ),
    ("T9d", "", "Ten recordings hold two texts among the markers: passed over."),
    (
        "T10",
        "",
        "The ratings stand in order of presentation, the processed signals in order of video: joined by video.",
    ),
    (
        "T11a",
        r"sub023\.pkl: video",
        "sub023.pkl of the release is about 3,000 times too large. By what factor is not published: leave this person "
        "out, or take the raw variant.",
    ),
    ("T11b", "", "A column of Recording_info.csv is called 'Cohort ', with a blank at its end: blanks are taken away."),
    ("T11c", "", "The archive unpacks to Data/Data, and features are called .pkl.pkl: both are accepted."),
    (
        "F1",
        "",
        "036-060 saw clip 22 with 8 s more at its beginning: offsets into the clip count from the common version.",
    ),
    (
        "F2",
        "",
        "Sources disagree on the order of the last two processed channels: A2, A1 is taken, as the authors' code has.",
    ),
    ("F3", "", "Whole recordings hold large electrode offsets: carried over as they are, the cleaning takes them out."),
    (
        "F4",
        "",
        "The pickles were written with numpy 1: read by a reader that knows both module paths and runs nothing.",
    ),
    (
        "F5",
        r"markers of another release",
        "THU-EP holds early recordings of the same laboratory with other markers: not read, take FACED's own files.",
    ),
    ("B1", "", "In the re-host a film title stands for several clips: video_index is read, not trial_type or value."),
    ("B2", "", "The re-host writes a backslash for neutral and n/a for some units: read as what they are."),
    ("B3", "", "The re-host names other authors and another manufacturer: those of the data set's paper are given."),
)

DATASET = Dataset(
    name="faced",
    title="FACED: EEG of people watching film clips of nine emotions",
    variants=(
        Variant(
            name="processed",
            files="Processed_data, pickles at 250 Hz (the last 30 s of each clip)",
            tree=processed.TREE,
            facts=processed.FACTS,
            recognise=processed.recognise,
            discover=processed.discover,
            read=processed.read,
            already_processed=True,
            memory_gb=0.3,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
        Variant(
            name="raw",
            files="Data, whole recordings (BDF at 1000 or 250 Hz) with markers and ratings",
            tree=raw.TREE,
            facts=bdf.FACTS,
            recognise=raw.recognise,
            discover=raw.discover,
            read=raw.read,
            memory_gb=2.0,
            simulator=Simulator(simulate_raw.DESIGN, simulate_raw.write),
        ),
        Variant(
            name="rehost",
            files="NEMAR nm000112, a BIDS data set with the whole recordings",
            tree=rehost.TREE,
            facts=bdf.FACTS,
            recognise=rehost.recognise,
            discover=rehost.discover,
            read=rehost.read,
            memory_gb=2.0,
            simulator=Simulator(simulate_rehost.DESIGN, simulate_rehost.write),
        ),
    ),
    labels=clips.LABELS,
    ratings=dict.fromkeys(clips.RATINGS, clips.SCALE),
    irregularities=tuple(Irregularity(*one) for one in _IRREGULARITIES),
    access=(
        "Ask for access on Synapse (project syn50614194, account needed). NEMAR hands out the recordings as nm000112; "
        "read its licence first, which the original project is not known to grant."
    ),
    size="Processed_data 6.6 GB (123 files), Data 33.7 GB (492 files), nm000112 33.7 GB",
    licence=(
        "Terms of use of Synapse project syn50614194 (account needed); the re-host NEMAR nm000112 declares CC-BY-4.0, "
        "which is not confirmed by the original project"
    ),
    authors=("Jingjing Chen", "Xiaobin Wang", "Chen Huang", "Xin Hu", "Xinke Shen", "Dan Zhang"),
    citation=(
        "Chen, J., Wang, X., Huang, C., Hu, X., Shen, X., Zhang, D. (2023). A large finer-grained affective computing "
        "EEG dataset. Scientific Data 10, 740. doi:10.1038/s41597-023-02650-w"
    ),
    url="https://www.synapse.org/Synapse:syn50614194",
    manufacturer="Neuracle",
    task_description="Watching 28 film clips of nine emotions; twelve ratings after each.",
)
