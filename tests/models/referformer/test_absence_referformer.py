import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel
from lavseg.models.referformer.absence_referformer import ReferFormerAbsence


def make_models():
    """A model without the classifier, and one with it and else the same weights."""
    torch.manual_seed(0)
    plain = ReferFormerModel(tiny_config(ReferFormerConfig)).eval()
    model = ReferFormerModel(tiny_config(ReferFormerConfig, absence_classifier=True)).eval()
    model.load_state_dict({**model.state_dict(), **plain.state_dict()})
    return plain, model


def inputs():
    torch.manual_seed(1)
    return {"pixel_values": torch.randn(2, 2, 3, 64, 64), "input_ids": torch.tensor([[[5, 6, 7], [8, 9, 3]]] * 2)}


@torch.no_grad()
def test_it_starts_as_the_model_without_and_says_that_everything_is_there():
    plain, model = make_models()
    expected, found = plain(**inputs()), model(**inputs())
    torch.testing.assert_close(found.pred_masks, expected.pred_masks, atol=1e-4, rtol=1e-4)
    assert (found.presence_logits > 0).all()
    assert not torch.allclose(found.presence_logits, expected.presence_logits, atol=1e-2)
    model.absence.mixer_norm.weight.fill_(1)
    assert (model(**inputs()).query_logits - found.query_logits).abs().max() > 1e-4


@torch.no_grad()
def test_the_pixels_of_real_frames_alone_decide():
    torch.manual_seed(0)
    absence = ReferFormerAbsence(tiny_config(ReferFormerConfig, absence_classifier=True)).eval()
    sentence, pixels, codes = torch.randn(1, 32), torch.randn(1, 3, 6, 32), torch.randn(1, 32, 2, 3)
    mask = torch.tensor([True, True, False]).view(1, 3, 1, 1).expand(1, 3, 2, 3)
    fewer = absence(sentence, pixels[:, :2].flatten(1, 2), codes, None)
    for found, expected in zip(absence(sentence, pixels.flatten(1, 2), codes, mask), fewer, strict=True):
        torch.testing.assert_close(found, expected)
    changed = pixels.clone()
    changed[:, 1] += 1
    assert not torch.allclose(absence(sentence, changed.flatten(1, 2), codes, mask)[1], fewer[1])


def test_it_learns_which_sentences_mean_nothing():
    _, model = make_models()
    model.set_loss_weights(dict.fromkeys(("class", "box", "giou", "mask", "dice"), 0.0))
    given, labels = inputs(), torch.zeros(2, 2, 2, 16, 16)
    labels[:, 0, :, 4:9, 4:9] = 1
    optimizer = torch.optim.AdamW(model.absence.parameters(), 3e-3)
    losses = []
    for _ in range(16):
        outputs = model(**given, labels=labels)
        assert outputs.loss_dict["absence"] == pytest.approx(outputs.loss.item())
        outputs.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(outputs.loss.item())
    assert losses[-1] < 0.5 * losses[0]
    presence = outputs.presence_logits
    assert (presence[:, 0] > 0).all() and (presence[:, 1] < 0).all()


def test_without_it_there_is_no_such_term():
    plain, model = make_models()
    assert "absence" not in plain.loss_weights and model.loss_weights["absence"] == 1
    with pytest.raises(ValueError, match="absence"):
        plain.set_loss_weights({"absence": 1.0})
