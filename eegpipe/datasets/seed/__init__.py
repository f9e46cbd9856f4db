"""SEED, variant Preprocessed_EEG: 15 subjects x 3 sessions x 15 film clips, 62 channels, 200 Hz, microvolt."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Variant
from eegpipe.datasets.seed import preprocessed, simulate
from eegpipe.simulate.plan import Simulator

DATASET = Dataset(
    name="seed",
    title="SEED: EEG of people watching film clips of negative, neutral and positive emotion (Preprocessed_EEG)",
    variants=(
        Variant(
            name="preprocessed",
            files="Preprocessed_EEG, MATLAB files at 200 Hz",
            tree="Preprocessed_EEG/ with 45 files like 1_20131027.mat, and label.mat",
            facts=preprocessed.FACTS,
            recognise=preprocessed.recognise,
            discover=preprocessed.discover,
            read=preprocessed.read,
            already_processed=True,
            memory_gb=0.7,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=("negative", "neutral", "positive"),
    licence="SEED licence agreement of BCMI, Shanghai Jiao Tong University: academic research only",
    authors=("Wei-Long Zheng", "Bao-Liang Lu"),
    citation=(
        "Zheng, W.-L., Lu, B.-L. (2015). Investigating critical frequency bands and channels for EEG-based emotion "
        "recognition with deep neural networks. IEEE Transactions on Autonomous Mental Development 7(3), 162-175. "
        "doi:10.1109/TAMD.2015.2431497"
    ),
    url="https://bcmi.sjtu.edu.cn/home/seed/",
    manufacturer="Compumedics NeuroScan (ESI NeuroScan system)",
    task_description="Watching 15 Chinese film clips of about four minutes, five of each emotion.",
)
