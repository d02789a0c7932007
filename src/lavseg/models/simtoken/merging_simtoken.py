"""SimToken's merging of patches without parameters: clusters around density peaks (Chat-UniVi, CVPR 2024, sec. 3.2)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

# Frames for one event, and the neighbours asked for in telling events apart.
_EVENT_SHARE, _EVENT_NEIGHBOURS = 0.0625, 5
_NOISE_SCALE = 1e-6

# Uniform noise of a shape, by the name of what it is for.
Noise = Callable[[str, tuple[int, ...]], torch.Tensor]


def seeded_noise() -> Noise:
    """Noise of a generator of its own: the same for every clip, in the order in which it is asked for."""
    generator = torch.Generator().manual_seed(0)
    return lambda name, shape: torch.rand(shape, generator=generator)


def no_noise(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Zeros: of equally dense tokens, none is preferred."""
    return torch.zeros(shape)


@torch.no_grad()
def assign_clusters(tokens: torch.Tensor, clusters: int, neighbours: int, noise: torch.Tensor) -> torch.Tensor:
    """The cluster of each token, long `[B, N]`.

    Centres are the tokens that are dense and far from denser ones; the best is cluster 0, and so on.

    Args:
        tokens: `[B, N, C]`, compared in single precision.
        clusters: how many, at most `N`.
        neighbours: distances, that of a token to itself among them, whose mean square says how dense it is there; fewer
            where there are fewer clusters.
        noise: `[B, N]`, breaks ties, times 1e-6.
    """
    if neighbours > clusters:
        neighbours = min(3, max(clusters // 2, 1))
    tokens = tokens.float()
    distances = torch.cdist(tokens, tokens) / math.sqrt(tokens.shape[-1])
    nearest = distances.topk(neighbours, largest=False).values
    density = (-nearest.square().mean(-1)).exp() + _NOISE_SCALE * noise.to(tokens)
    denser = density[:, None] > density[:, :, None]
    farthest = distances.flatten(1).amax(1)[:, None, None]
    separation = torch.where(denser, distances, farthest).amin(-1)
    centres = (separation * density).topk(clusters).indices
    to_centres = distances.gather(1, centres[..., None].expand(-1, -1, distances.shape[-1]))
    own = torch.arange(clusters, device=tokens.device).expand_as(centres)
    return to_centres.argmin(1).scatter(1, centres, own)


def mean_of_clusters(tokens: torch.Tensor, assigned: torch.Tensor, clusters: int) -> torch.Tensor:
    """The mean token of each cluster, `[B, n, C]`, of `tokens [B, N, C]`."""
    member = (assigned[:, None] == torch.arange(clusters, device=tokens.device)[:, None]).float()
    weights = member / (member.sum(-1, keepdim=True) + 1e-6)
    return weights.to(tokens.dtype) @ tokens


class MergedClip(NamedTuple):
    """What is left of the patches of a clip.

    frames: `[T, C]`, the mean of each frame's merged patches.
    video: `[events * n, C]`, those of the whole clip.
    image: `[n, C]`, those of one frame.
    """

    frames: torch.Tensor
    video: torch.Tensor
    image: torch.Tensor


def merge_clip(patches: torch.Tensor, levels: Sequence[tuple[int, int]], target_frame: int, noise: Noise) -> MergedClip:
    """Merge the patches `[T, N, C]` of a clip.

    Args:
        patches: of each frame.
        levels: clusters and neighbours of each level, of which each takes the last one's clusters.
        target_frame: the frame that is shown by itself.
        noise: breaks ties.
    """
    pyramid, tokens = [], patches
    for level, (clusters, neighbours) in enumerate(levels):
        tokens = _merge(tokens, clusters, neighbours, noise(f"level{level}", tuple(tokens.shape[:2])))
        pyramid.append(tokens)
    whole = torch.cat(pyramid, dim=1)
    parts = []
    for event, frames in enumerate(_events(patches, noise)):
        for level, (tokens, (clusters, neighbours)) in enumerate(zip(pyramid, levels, strict=True)):
            together = tokens[frames].flatten(0, 1)[None]
            drawn = noise(f"event{event}.level{level}", tuple(together.shape[:2]))
            parts.append(_merge(together, clusters, neighbours, drawn)[0])
    return MergedClip(whole.mean(1), torch.cat(parts), whole[target_frame])


def _merge(tokens: torch.Tensor, clusters: int, neighbours: int, noise: torch.Tensor) -> torch.Tensor:
    return mean_of_clusters(tokens, assign_clusters(tokens, clusters, neighbours, noise), clusters)


def _events(patches: torch.Tensor, noise: Noise) -> list[slice | list[int]]:
    """Which frames belong together, in the order of their first ones; all of them up to 16."""
    frames = len(patches)
    count = max(math.ceil(_EVENT_SHARE * frames), 1)
    if count == 1:
        return [slice(None)]
    assigned = assign_clusters(patches.mean(1)[None], count, _EVENT_NEIGHBOURS, noise("temporal", (1, frames)))
    groups = {}
    for frame, event in enumerate(assigned[0].tolist()):
        groups.setdefault(event, []).append(frame)
    return list(groups.values())
