"""eegpipe: from vendor files of emotion-EEG data sets to an honest comparison of pre-training methods."""

__version__ = "0.1.0"
