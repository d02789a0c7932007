"""What SimToken's masks cost, and its alignment of prompts about the same object, with its memory."""

import torch
import torch.nn.functional as F

from ...losses import mask_bce, mask_dice, weighted_mean

_TEMPERATURE = 0.07
_KEPT = 5


class PromptBank:
    """The newest prompts of each object of each clip, without gradient, in the memory of the host.

    It belongs to a training run, is not saved, and each process has its own.
    """

    def __init__(self):
        self._clips = {}

    def of(self, clip: int, object_id: int) -> list[torch.Tensor]:
        """Prompts of an object."""
        return self._clips.get(clip, {}).get(object_id, [])

    def of_others(self, clip: int, object_id: int) -> list[torch.Tensor]:
        """Prompts of the other objects of a clip."""
        return [prompt for other, kept in self._clips.get(clip, {}).items() if other != object_id for prompt in kept]

    def add(self, prompts: torch.Tensor, objects: list[tuple[int, int]]) -> None:
        """Keep prompts `[N, C]` of objects, each a clip and its number there."""
        for prompt, (clip, object_id) in zip(prompts.detach().cpu(), objects, strict=True):
            self._clips.setdefault(clip, {})[object_id] = [*self.of(clip, object_id), prompt][-_KEPT:]


def alignment(
    prompts: torch.Tensor, objects: list[tuple[int, int]], bank: PromptBank, contrastive: bool
) -> torch.Tensor:
    """Scalar loss of prompts `[N, C]`, mean over those of whose object the bank holds some; 0 if it holds none.

    Each is compared by cosine, over 0.07, with the prompts of its object in the bank, the positives. The released loss
    is their mean log-softmax among themselves, whose minimum is equality. `contrastive` sets each of them against
    negatives in place of the other positives: what the bank holds of other objects of the clip, and the prompts of
    other objects in the batch.

    Args:
        prompts: of the sentences of a batch.
        objects: the clip of each, and the object's number there.
        bank: what is remembered; not changed.
        contrastive: count negatives.
    """
    terms = []
    for index, of in enumerate(objects):
        positives = bank.of(*of)
        if not positives:
            continue
        similar = _similarities(prompts[index], torch.stack(positives).to(prompts))
        if not contrastive:
            terms.append(-similar.log_softmax(0).mean())
            continue
        others = [prompts[other] for other, name in enumerate(objects) if name != of]
        others += [kept.to(prompts) for kept in bank.of_others(*of)]
        if others:
            against = _similarities(prompts[index], torch.stack(others)).logsumexp(0)
            terms.append((torch.logaddexp(similar, against.expand_as(similar)) - similar).mean())
    return torch.stack(terms).mean() if terms else 0 * prompts.sum()


def _similarities(prompt: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(prompt[None], others) / _TEMPERATURE


def mask_losses(
    logits: torch.Tensor, scores: torch.Tensor | None, labels: torch.Tensor, labeled: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Means over labelled frames of what masks cost, and what SAM2's object scores do.

    Args:
        logits: `[B, E, T, h, w]`.
        scores: `[B, E, T]`, of objects that are to be seen; None on SAM.
        labels: 0 and 1, as `logits`.
        labeled: bool `[B, T]`.
    """
    targets = labels.to(logits.dtype)
    costs = {"bce": mask_bce(logits, targets), "dice": mask_dice(logits, targets)}
    if scores is not None:
        visible = (targets > 0).flatten(3).any(-1).to(logits.dtype)
        costs["object"] = F.binary_cross_entropy_with_logits(scores.to(logits.dtype), visible, reduction="none")
    weights = labeled[:, None].expand(costs["bce"].shape).to(logits.dtype)
    return {name: weighted_mean(cost, weights) for name, cost in costs.items()}
