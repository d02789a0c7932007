import pickle

import pytest
import torch
import torch.nn.functional as F

from lavseg.models.simtoken.loss_simtoken import PromptBank, alignment, mask_losses


def filled(objects):
    """A bank with a prompt of each object, and these prompts."""
    bank, prompts = PromptBank(), torch.randn(len(objects), 8, generator=torch.Generator().manual_seed(0))
    bank.add(prompts, objects)
    return bank, prompts


def test_the_bank_keeps_the_five_newest_of_each_object_without_gradient():
    bank = PromptBank()
    prompts = torch.arange(7.0, requires_grad=True)[:, None]
    bank.add(prompts, [(1, 2)] * 7)
    bank.add(prompts[:1], [(1, 3)])
    assert [value.item() for value in bank.of(1, 2)] == [2, 3, 4, 5, 6]
    assert [value.item() for value in bank.of_others(1, 2)] == [0] and bank.of(0, 2) == bank.of_others(0, 2) == []
    assert not bank.of(1, 2)[0].requires_grad
    assert pickle.loads(pickle.dumps(bank)).of(1, 3) == bank.of(1, 3)  # as part of a model that is sent to a process


def test_the_released_one_evens_out_and_with_one_positive_says_nothing():
    bank, kept = filled([(0, 1), (0, 1), (0, 2)])
    prompts = torch.randn(2, 8, requires_grad=True)
    similar = F.cosine_similarity(prompts[:1], kept[:2]) / 0.07
    expected = similar.exp().sum().log() - similar.mean()
    loss = alignment(prompts, [(0, 1), (0, 9)], bank, contrastive=False)
    torch.testing.assert_close(loss, expected)
    single = alignment(prompts, [(0, 2), (0, 9)], bank, contrastive=False)
    single.backward()
    assert single == 0 and not prompts.grad.any()
    assert alignment(prompts, [(5, 1), (5, 1)], bank, contrastive=False) == 0


def test_the_contrastive_one_draws_to_the_object_and_away_from_others():
    bank, kept = filled([(0, 1), (0, 2), (3, 1)])
    prompts = torch.randn(2, 8, requires_grad=True)
    loss = alignment(prompts, [(0, 1), (7, 1)], bank, contrastive=True)
    similar = F.cosine_similarity(prompts[:1], torch.stack([kept[0], kept[1], prompts[1]])) / 0.07
    torch.testing.assert_close(loss, -similar.log_softmax(0)[0])  # the third of the bank is of another clip
    loss.backward()
    stepped = prompts.detach()[0] - 0.01 * prompts.grad[0]
    nearer = [F.cosine_similarity(at, kept[0], dim=0) for at in (prompts.detach()[0], stepped)]
    assert nearer[1] > nearer[0]


@pytest.mark.parametrize("contrastive", [False, True])
def test_without_anything_to_compare_with_it_is_zero_with_a_gradient(contrastive):
    prompts = torch.randn(2, 8, requires_grad=True)
    loss = alignment(prompts, [(0, 1), (0, 1)], PromptBank(), contrastive)
    loss.backward()
    assert loss == 0 and prompts.grad is not None


def test_object_scores_learn_where_a_labelled_frame_shows_the_object():
    labels = torch.zeros(1, 2, 3, 4, 4)
    labels[0, 0, 0] = 1
    scores = torch.tensor([[[9.0, -9.0, 9.0], [-9.0, 1.0, 9.0]]])
    labeled = torch.tensor([[True, True, False]])
    terms = mask_losses(torch.zeros(labels.shape), scores, labels, labeled)
    assert terms["object"].item() == pytest.approx(F.softplus(torch.tensor(1.0)).item() / 4, abs=1e-3)
    assert mask_losses(torch.zeros(labels.shape), None, labels, labeled).keys() == {"bce", "dice"}
