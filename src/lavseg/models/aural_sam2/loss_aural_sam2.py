"""Contrastive losses of AuralSAM2 between pixels and sounds."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

# Vectors that are compared with all others at a time: ten frames give 15,000, and a gigabyte of pairs.
BLOCK = 1024
# The released code cuts its samples at a random number below this when it has more.
RELEASE_SAMPLE_LIMIT = 15240


def info_nce(
    pixels: torch.Tensor,
    pixel_labels: torch.Tensor,
    sounds: torch.Tensor,
    sound_labels: torch.Tensor,
    temperature: float = 0.1,
    sound_negatives: bool = True,
) -> torch.Tensor:
    """Pull pixels to the sounds of their label, away from pixels of the other label (AuralSAM2, Eq. 8).

    Of each pixel the mean over the sounds of its label is taken. Eq. 8 divides by the number of all sounds, which is
    the same where every frame shows the object.

    Args:
        pixels: unit vectors `[n, c]`; pixel_labels: 0 or 1, `[n]`.
        sounds: unit vectors `[m, c]`; sound_labels: 0 or 1, `[m]`.
        temperature: divides what the softmax takes.
        sound_negatives: push away from sounds of the other label as well, as the released code does.

    Returns:
        Scalar, the mean over pixels; one without a sound of its label counts zero.
    """
    cost = partial(
        _info_nce_of,
        pixels=pixels,
        pixel_labels=pixel_labels,
        sounds=sounds,
        sound_labels=sound_labels,
        temperature=temperature,
        sound_negatives=sound_negatives,
    )
    return _by_blocks(cost, pixels, pixel_labels).sum() / max(len(pixels), 1)


def _info_nce_of(
    some: torch.Tensor,
    their_labels: torch.Tensor,
    pixels: torch.Tensor,
    pixel_labels: torch.Tensor,
    sounds: torch.Tensor,
    sound_labels: torch.Tensor,
    temperature: float,
    sound_negatives: bool,
) -> torch.Tensor:
    """Costs `[s]` of some of the pixels, see `info_nce`."""
    lowest = torch.finfo(pixels.dtype).min
    to_sounds = some @ sounds.T / temperature
    same = their_labels[:, None] == sound_labels
    alike = their_labels[:, None] == pixel_labels
    against = (some @ pixels.T / temperature).masked_fill(alike, lowest).logsumexp(1, keepdim=True)
    if sound_negatives:
        against = torch.logaddexp(against, to_sounds.masked_fill(same, lowest).logsumexp(1, keepdim=True))
    likelihood = (to_sounds - torch.logaddexp(to_sounds, against)) * same
    return -likelihood.sum(1) / same.sum(1).clamp(min=1)


def _by_blocks(cost: Callable, vectors: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """What `cost` gives for vectors `[n, c]` with marks `[n]`, for blocks of them one after the other and again in the
    backward pass, so that all pairs of vectors are never held."""
    if len(vectors) <= BLOCK:
        return cost(vectors, marks)
    blocks = zip(vectors.split(BLOCK), marks.split(BLOCK), strict=True)
    return torch.cat([checkpoint(cost, *block, use_reentrant=False, preserve_rng_state=False) for block in blocks])


def supervised_contrast(vectors: torch.Tensor, labels: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al., 2020): every vector against all others, pixels and sounds alike.

    Args:
        vectors: unit vectors `[n, c]`; labels: 0 or 1, `[n]`.
        temperature: divides what the softmax takes.

    Returns:
        Scalar, the mean over vectors that have another one of their label.
    """
    places = torch.arange(len(vectors), device=vectors.device)

    def cost(some: torch.Tensor, their_places: torch.Tensor) -> torch.Tensor:
        similarity = some @ vectors.T / temperature
        itself = their_places[:, None] == places
        likelihood = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
        same = (labels[their_places, None] == labels) & ~itself
        return -likelihood.masked_fill(~same, 0).sum(1) / same.sum(1).clamp(min=1)

    ones = labels.sum()
    alike = torch.where(labels > 0, ones, len(labels) - ones)
    return _by_blocks(cost, vectors, places).sum() / (alike > 1).sum().clamp(min=1)


def draw_pixels(logits: torch.Tensor, targets: torch.Tensor, count: int) -> torch.Tensor:
    """Draw `count` of the `P` pixels of each of `F` frames, half of them mis-predicted as far as there are so many.

    Args:
        logits: `[F, P]`, above zero where the object is predicted; targets: bool `[F, P]`.
        count: pixels per frame; all where there are fewer.

    Returns:
        Indices of the drawn pixels, long `[F, min(count, P)]`.
    """
    hard = (logits > 0) != targets
    count = min(count, hard.shape[1])
    num_hard = hard.sum(1, keepdim=True)
    num_easy = hard.shape[1] - num_hard
    take_hard = torch.maximum(num_hard.clamp(max=count // 2), count - num_easy)
    chances = torch.rand(logits.shape, device=logits.device)
    drawn = torch.zeros_like(hard)
    for group, take in ((hard, take_hard), (~hard, count - take_hard)):
        ranks = chances.masked_fill(~group, 2.0).argsort(1).argsort(1)
        drawn |= group & (ranks < take)
    return drawn.float().topk(count, dim=1).indices


def draw_pixels_as_released(
    logits: torch.Tensor, targets: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw up to `count` pixels of each class of one frame as the released code does.

    It compares the label with the logit itself, so that nearly all pixels count as mis-predicted, and gives a drawn
    pixel the label that stands at its place in the list of its class. How many it draws depends on the values: on an
    accelerator this waits for them.

    Args:
        logits: `[P]`; targets: bool `[P]`.
        count: pixels per class.

    Returns:
        Indices of the drawn pixels and their labels.
    """
    pixels, labels = [], []
    for value in targets.unique():
        wrong = logits != value.to(logits.dtype)
        groups = [((targets == value) & wrong).nonzero()[:, 0], ((targets == value) & ~wrong).nonzero()[:, 0]]
        num_hard, num_easy = len(groups[0]), len(groups[1])
        hard = min(num_hard, max(count - num_easy, count // 2))
        for group, take in zip(groups, (hard, count - hard), strict=True):
            order = torch.randperm(len(group), device=group.device)[:take]
            pixels.append(group[order])
            labels.append(targets[order])
    return torch.cat(pixels), torch.cat(labels)


def contrastive_loss(
    kind: str,
    frames: list[torch.Tensor],
    sounds: list[torch.Tensor],
    logits: torch.Tensor,
    targets: torch.Tensor,
    samples: int,
    temperature: float = 0.1,
) -> torch.Tensor:
    """Contrast of one object's pixels and sounds over all levels and frames of its clip (sec. 3.3).

    Args:
        kind: "audiocon", "audiocon_release" or "supcon", see [`AuralSam2Config`].
        frames: unit vectors `[T, P, c]` of each level; sounds: unit vectors `[T, c]` of each level.
        logits: the predicted masks `[T, h, w]`; targets: 0 and 1, `[T, H, W]`.
        samples: pixels drawn, see `contrastive_samples` of [`AuralSam2Config`].
        temperature: divides what the softmax takes.

    Returns:
        Scalar.
    """
    edge = round(frames[0].shape[1] ** 0.5)
    logits = F.interpolate(logits[:, None].detach(), (edge, edge), mode="bilinear", align_corners=False).flatten(1)
    targets = F.interpolate(targets[:, None].float(), (edge, edge), mode="nearest").flatten(1) > 0
    features = torch.stack(frames, dim=1)
    sounds_flat = torch.stack(sounds, dim=1).flatten(0, 1)
    num_levels = len(frames)
    if kind == "audiocon_release":
        pixels, labels = _released_samples(features, logits, targets, samples)
        sound_labels = (targets.any(1) & ~targets.all(1)).long().repeat_interleave(num_levels)
        return info_nce(pixels, labels, sounds_flat, sound_labels, temperature)
    drawn = torch.stack([draw_pixels(logits, targets, samples) for _ in range(num_levels)], dim=1)
    pixels = features.gather(2, drawn[..., None].expand(-1, -1, -1, features.shape[-1])).flatten(0, 2)
    labels = targets[:, None].expand(-1, num_levels, -1).gather(2, drawn).flatten().long()
    sound_labels = targets.any(1).long().repeat_interleave(num_levels)
    if kind == "supcon":
        return supervised_contrast(torch.cat([pixels, sounds_flat]), torch.cat([labels, sound_labels]), temperature)
    return info_nce(pixels, labels, sounds_flat, sound_labels, temperature, sound_negatives=False)


def _released_samples(
    features: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, samples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels `[n, c]` and labels `[n]` drawn from `features [T, levels, P, c]`."""
    pixels, labels = [], []
    for frame, (logit, target) in enumerate(zip(logits, targets, strict=True)):
        for level in features[frame]:
            index, label = draw_pixels_as_released(logit, target, samples)
            pixels.append(level[index])
            labels.append(label.long())
    pixels, labels = torch.cat(pixels), torch.cat(labels)
    if len(pixels) > RELEASE_SAMPLE_LIMIT:
        kept = int(torch.randint(1, RELEASE_SAMPLE_LIMIT, ()))
        pixels, labels = pixels[:kept], labels[:kept]
    return pixels, labels
