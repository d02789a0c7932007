"""Training with Transformers' Trainer."""

from .arguments import LavsegTrainingArguments
from .checkpoints import last_checkpoint
from .divergence import TrainingDivergedError
from .trainer import LavsegTrainer

__all__ = ["LavsegTrainer", "LavsegTrainingArguments", "TrainingDivergedError", "last_checkpoint"]
