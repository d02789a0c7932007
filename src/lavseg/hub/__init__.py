"""Checkpoints on the Hub: the code that goes with them, their cards, and the way there."""

# The task, as pipelines name it and cards tag it.
TASK = "audio-visual-segmentation"
# The one of the Hub's own list of tasks that is nearest to it.
HUB_TASK = "mask-generation"
