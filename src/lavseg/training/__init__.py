"""Training and evaluation with Transformers' Trainer."""

from ..evaluation.clip_scores import ClipScores
from .arguments import LavsegTrainingArguments
from .checkpoints import last_checkpoint
from .divergence import TrainingDivergedError
from .trainer import LavsegTrainer

__all__ = ["ClipScores", "LavsegTrainer", "LavsegTrainingArguments", "TrainingDivergedError", "last_checkpoint"]
