import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.backbones.sam2.losses_sam2 import sam2_losses
from lavseg.modeling.outputs import MaskPrediction
from lavseg.models.aural_sam2 import AuralSam2Config
from lavseg.models.aural_sam2.batch_aural_sam2 import ClipGroup
from lavseg.models.aural_sam2.clip_losses_aural_sam2 import clip_losses
from lavseg.models.aural_sam2.fuser_aural_sam2 import AuralSam2Fuser, FusedLevel

WEIGHTS = {"focal": 20.0, "dice": 1.0, "iou": 1.0, "object": 1.0, "contrastive": 1.0}
COUNTED = torch.tensor([[True, False, True], [False, False, False]])
GROUP = ClipGroup(clips=[0, 1], length=3, labeled=[[0, 2], []], batch=2)


def losses_of(contrastive_loss, labels, found, behavior="paper"):
    torch.manual_seed(0)
    config = tiny_config(
        AuralSam2Config,
        behavior=behavior,
        contrastive_loss=contrastive_loss,
        contrastive_samples=8,
        use_text=False,
    )
    level = FusedLevel(torch.randn(2, 3, 64, 128), torch.randn(2, 3, 128), torch.randn(2, 3, 64, 128))
    return clip_losses(config, WEIGHTS, AuralSam2Fuser(config).eval(), found, [level], GROUP, labels, COUNTED)


@pytest.fixture
def found():
    """Two clips of three frames with one object each, of which only two frames of the first one are labelled."""
    torch.manual_seed(1)
    candidates = torch.randn(2, 3, 3, 8, 8, requires_grad=True)
    scores = torch.rand(2, 3, 3, requires_grad=True)
    return MaskPrediction(candidates, scores, None, torch.randn(2, 3), scores.detach().argmax(-1))


@pytest.fixture
def labels():
    labels = torch.zeros(2, 3, 8, 8)
    labels[:, :, 2:6, 1:5] = 1
    return labels


@pytest.mark.parametrize("behavior", ["release", "paper"])
def test_terms_of_masks_are_sums_over_labelled_frames(found, labels, behavior):
    terms = losses_of("none", labels, found, behavior)
    assert terms.keys() == {"focal", "dice", "iou", "object"}
    for name, value in terms.items():
        expected = sum(
            sam2_losses(
                found.candidates[:1, frame],
                found.candidate_scores[:1, frame],
                found.object_score_logits[:1, frame],
                labels[:1, frame],
                WEIGHTS["focal"],
                WEIGHTS["dice"],
                iou_of_best=behavior == "paper",
            )[name]
            for frame in (0, 2)
        )
        torch.testing.assert_close(value[:1], expected)
        assert value[1] == 0


def test_labels_of_frames_that_do_not_count_change_nothing(found, labels):
    before = losses_of("audiocon", labels, found)
    labels[0, 1], labels[1] = 0, 0
    after = losses_of("audiocon", labels, found)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("contrastive_loss", ["audiocon", "supcon", "audiocon_release"])
def test_the_contrast_is_over_labelled_frames_and_a_clip_without_has_none(found, labels, contrastive_loss):
    terms = losses_of(contrastive_loss, labels, found)
    assert terms["contrastive"][0] > 0 and terms["contrastive"][1] == 0
    sum(term.sum() for term in terms.values()).backward()
    assert found.candidates.grad.isfinite().all() and found.candidates.grad[0].any()
    assert not found.candidates.grad[1].any()
