"""Checkpoints on the Hub: the code that goes with them, their cards, and the way there."""

# The task, as pipelines and the Hub's metadata name it.
TASK = "audio-visual-segmentation"
