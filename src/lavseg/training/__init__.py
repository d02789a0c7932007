"""Training and evaluation with Transformers' Trainer."""

from .arguments import LavsegTrainingArguments
from .checkpoints import last_checkpoint
from .divergence import TrainingDivergedError
from .evaluation import ClipScores
from .trainer import LavsegTrainer

__all__ = ["ClipScores", "LavsegTrainer", "LavsegTrainingArguments", "TrainingDivergedError", "last_checkpoint"]
