import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.backbones.mask2former.modeling_mask2former import PixelFeatures
from lavseg.models.stepping_stones import SteppingStonesConfig, SteppingStonesForSemanticSegmentation
from lavseg.models.stepping_stones.outputs_stepping_stones import class_scores
from lavseg.models.stepping_stones.semantic_stepping_stones import SteppingStonesPrior

INPUTS = {
    "pixel_values": torch.randn(1, 2, 3, 128, 128, generator=torch.Generator().manual_seed(0)),
    "input_features": torch.randn(1, 2, 1, 96, 64, generator=torch.Generator().manual_seed(1)),
}


def make_model():
    torch.manual_seed(0)
    return SteppingStonesForSemanticSegmentation(tiny_config(SteppingStonesConfig, num_labels=5)).eval()


@torch.no_grad()
def test_a_first_stage_says_where_queries_look_what_keys_are_and_what_masks_gain():
    prior = SteppingStonesPrior(4)
    for index, embedding in enumerate((prior.silence_embed, prior.uncertain_embed, prior.audio_embed)):
        embedding.fill_(index)
    masks = torch.tensor([[0.0, 0.4, 0.41, 0.5], [0.59, 0.6, 1.0, 0.49]]).expand(2, 2, 4)
    level = torch.zeros(2, 4, 2, 4)
    known = prior(masks, PixelFeatures(level, level, level, level, torch.zeros(2, 4, 4, 8)))
    expected = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 2.0, 1.0]])
    assert all(torch.equal(keys, expected.expand(2, 4, 2, 4)) for keys in known.keys)
    blocked = [[True, True, True, False], [False, False, False, True]]
    assert known.blocked.view(2, 2, 4).tolist() == [blocked] * 2
    torch.testing.assert_close(known.masks, F.interpolate(masks[:, None], (4, 8), mode="bilinear"))


@torch.no_grad()
def test_masks_are_by_how_much_the_best_class_is_above_background():
    outputs = make_model()(**INPUTS, prior_masks=torch.ones(1, 2, 16, 16))
    assert outputs.class_queries_logits.shape == (1, 8, 2, 6) and outputs.masks_queries_logits.shape == (
        1,
        8,
        2,
        32,
        32,
    )
    for frame in range(2):
        named, masks = outputs.class_queries_logits[0, :, frame], outputs.masks_queries_logits[0, :, frame]
        scores = class_scores(named, masks, 128)
        torch.testing.assert_close(outputs.pred_masks[0, 0, frame], scores[1:].amax(0) - scores[0])


@torch.no_grad()
def test_without_a_first_stage_nothing_is_known(caplog):
    model = make_model()
    found, half = model(**INPUTS), model(**INPUTS, prior_masks=torch.full((1, 2, 8, 8), 0.5))
    torch.testing.assert_close(found.pred_masks, half.pred_masks)
    other = model(**INPUTS, prior_masks=torch.zeros(1, 2, 8, 8)).pred_masks
    assert not torch.allclose(found.pred_masks, other)


def test_training_takes_what_sounds_as_known_and_evaluation_does_not():
    model, classes = make_model(), torch.zeros(1, 2, 32, 32, dtype=torch.long)
    classes[:, :, 8:20] = 3
    seen = []
    model.prior.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.train()(**INPUTS, class_labels=classes)
    model.eval()(**INPUTS, class_labels=classes)
    soft = torch.rand(1, 2, 9, 9)
    model(**INPUTS, class_labels=classes, prior_masks=soft)
    assert torch.equal(seen[0], (classes[0] > 0).float()) and (seen[1] == 0.5).all() and torch.equal(seen[2], soft[0])


def test_what_it_cannot_learn_from_is_refused():
    model = make_model()
    with pytest.raises(ValueError, match=r"^class_labels: missing"):
        model(**INPUTS, labels=torch.zeros(1, 2, 64, 64))
    with pytest.raises(ValueError, match=r"^class_labels: has to hold ids from 0 to 4, got 9"):
        model(**INPUTS, class_labels=torch.full((1, 2, 64, 64), 9))
    with pytest.raises(ValueError, match=r"^prior_masks: has to be \[1, 2, height, width\]"):
        model(**INPUTS, prior_masks=torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"^prior_masks: have to be floats from 0 to 1, got torch.uint8"):
        model(**INPUTS, prior_masks=torch.zeros(1, 2, 8, 8, dtype=torch.uint8))
    for value in (255.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"^prior_masks: have to be floats from 0 to 1, got {value}"):
            model(**INPUTS, prior_masks=torch.full((1, 2, 8, 8), value))
    with pytest.raises(ValueError, match=r"^num_labels: counts background and at least one class, got 1"):
        SteppingStonesForSemanticSegmentation(tiny_config(SteppingStonesConfig, num_labels=1))
