import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.models.avsegformer import AvsegFormerConfig, AvsegFormerForSemanticSegmentation, AvsegFormerProcessor

CONFIG = tiny_config(AvsegFormerConfig, num_labels=5, frame_size=64)
INPUTS = {"pixel_values": torch.randn(2, 3, 3, 64, 64), "input_features": torch.randn(2, 3, 1, 96, 64)}


def make_model():
    torch.manual_seed(0)
    return AvsegFormerForSemanticSegmentation(CONFIG).eval()


@torch.no_grad()
def test_classes_are_the_most_likely_ones_and_masks_what_is_no_background():
    outputs = make_model()(**INPUTS)
    assert outputs.class_logits.shape == (2, 5, 3, 64, 64) and outputs.pred_masks.shape == (2, 1, 3, 64, 64)
    processor = AvsegFormerProcessor.from_config(CONFIG)
    for found, logits in zip(
        processor.post_process_semantic_segmentation(outputs, [(48, 80)] * 2), outputs.class_logits, strict=True
    ):
        expected = F.interpolate(logits.transpose(0, 1), (48, 80), mode="bilinear").argmax(1)
        assert torch.equal(found.long(), expected)
    assert torch.equal(outputs.pred_masks[:, 0] > 0, outputs.class_logits.argmax(1) > 0)


def test_it_learns_from_classes_on_frames_that_carry_them():
    model, classes = make_model(), torch.randint(0, 5, (2, 3, 64, 64))
    labelled = torch.tensor([[True, False, False], [True, True, True]])
    found = model(**INPUTS, class_labels=classes, label_mask=labelled)
    classes[0, 1:] = 0
    other = model(**INPUTS, class_labels=classes, label_mask=labelled)
    assert found.loss == other.loss and found.loss_dict.keys() == {"class", "mix_dice"}
    logits = found.class_logits.transpose(1, 2)[labelled]
    expected = F.cross_entropy(logits, classes[labelled])
    torch.testing.assert_close(found.loss_dict["class"], expected)


def test_what_it_cannot_learn_from_is_refused():
    with pytest.raises(ValueError, match=r"^class_labels: missing"):
        make_model()(**INPUTS, labels=torch.zeros(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r"^class_labels: has to hold ids from 0 to 4, got 9"):
        make_model()(**INPUTS, class_labels=torch.full((2, 3, 64, 64), 9))
    with pytest.raises(ValueError, match=r"^use_text: "):
        AvsegFormerForSemanticSegmentation(tiny_config(AvsegFormerConfig, num_labels=5, use_text=True))


@torch.no_grad()
def test_class_labels_are_compared_with_embeddings_too():
    model, inputs = make_model(), dict(INPUTS)
    frames = model.embed_frames(inputs.pop("pixel_values").flatten(0, 1))
    inputs["image_embeddings"] = [values.unflatten(0, (2, 3)) for values in frames]
    with pytest.raises(ValueError, match=r"^class_labels: has to be"):
        model(**inputs, class_labels=torch.zeros(2, 2, 64, 64).long())
