import math

import pytest
import torch

from lavseg.models.simtoken.merging_simtoken import (
    assign_clusters,
    mean_of_clusters,
    merge_clip,
    no_noise,
    seeded_noise,
)

LEVELS = ((8, 3), (4, 3))


def plainly(tokens, clusters, neighbours):
    """Clusters `[N]` of tokens `[N, C]` by the definition, token by token."""
    count, width = tokens.shape
    distance = [[(a - b).norm().item() / math.sqrt(width) for b in tokens] for a in tokens]
    density = [math.exp(-sum(d * d for d in sorted(row)[:neighbours]) / neighbours) for row in distance]
    largest = max(map(max, distance))
    scores = []
    for token in range(count):
        denser = [distance[token][other] for other in range(count) if density[other] > density[token]]
        scores.append(density[token] * min(denser, default=largest))
    centres = sorted(range(count), key=lambda token: -scores[token])[:clusters]
    return [min(range(clusters), key=lambda cluster: distance[token][centres[cluster]]) for token in range(count)]


def test_clusters_are_those_of_the_definition():
    for seed, (count, clusters, neighbours) in enumerate(((12, 4, 3), (20, 6, 5), (9, 3, 3))):
        tokens = torch.randn(2, count, 6, generator=torch.Generator().manual_seed(seed))
        assigned = assign_clusters(tokens, clusters, neighbours, torch.zeros(2, count))
        assert assigned.tolist() == [plainly(each, clusters, neighbours) for each in tokens]


def test_means_are_those_of_the_members_and_gradient_flows():
    tokens = torch.randn(1, 6, 4, requires_grad=True)
    means = mean_of_clusters(tokens, torch.tensor([[0, 2, 0, 1, 2, 2]]), 3)
    expected = torch.stack([tokens[0, [0, 2]].mean(0), tokens[0, 3], tokens[0, [1, 4, 5]].mean(0)])
    torch.testing.assert_close(means[0], expected, atol=1e-5, rtol=1e-5)
    means.sum().backward()
    assert (tokens.grad > 0).all()


@pytest.mark.parametrize(("frames", "events"), [(1, 1), (16, 1), (17, 2), (33, 3)])
def test_a_clip_is_merged_event_by_event(frames, events):
    patches = torch.randn(frames, 16, 8, generator=torch.Generator().manual_seed(frames))
    merged = merge_clip(patches, LEVELS, frames - 1, seeded_noise())
    assert [tuple(part.shape) for part in merged] == [(frames, 8), (12 * events, 8), (12, 8)]
    # With as many clusters as patches nothing is merged.
    first = merge_clip(patches, ((16, 3),), 0, no_noise)
    torch.testing.assert_close(first.frames, patches.mean(1), atol=1e-5, rtol=1e-5)


def test_noise_is_the_same_each_time_and_not_the_global_generators():
    still = torch.randn(1, 16, 8, generator=torch.Generator().manual_seed(0)).expand(10, -1, -1)
    before = torch.get_rng_state()
    first = merge_clip(still, LEVELS, 5, seeded_noise())
    torch.manual_seed(3)
    second = merge_clip(still, LEVELS, 5, seeded_noise())
    assert torch.equal(first.video, second.video)
    torch.set_rng_state(before)
    merge_clip(still, LEVELS, 5, seeded_noise())
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(1)
    other = merge_clip(still, LEVELS, 5, lambda name, shape: torch.rand(shape, generator=generator))
    assert not torch.allclose(first.video, other.video)  # a still image: noise alone decides
