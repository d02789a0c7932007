"""What every method on SAM takes over, seen in one whose frames go through SAM's decoder without a prompt."""

import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import Sam2VideoModel

from lavseg.backbones.adapted_sam.base_adapted_sam import AdaptedSamModel
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.losses import mask_bce, weighted_mean
from lavseg.models.st_bava import StBavaConfig
from tiny_clips import away_from_zero, make_inputs, make_labels


class UnpromptedSam(AdaptedSamModel):
    """All that the author of a method has to write."""

    config_class = StBavaConfig
    default_loss_weights = {"bce": 2.0}

    def __init__(self, config):
        super().__init__(config)
        self.freeze()
        self.post_init()

    def segment(self, clips, output_attentions):
        return self.sam.decode(clips.encode_all(self.encode)), {}

    def mask_losses(self, prediction, targets, weights):
        logits = self.scale_masks(prediction.masks, targets.shape[-2:])
        return {"bce": weighted_mean(mask_bce(logits, targets), weights)}


def make_model(**overrides):
    torch.manual_seed(0)
    return away_from_zero(UnpromptedSam(tiny_config(StBavaConfig, **overrides)))


@torch.no_grad()
def test_without_sound_it_is_stock_sam_on_real_frames_and_empty_on_padding():
    model, inputs = make_model(use_adapters=False), make_inputs(clips=2, frames=3)
    frame_mask = torch.tensor([[True, True, True], [True, False, False]])
    output = model(**inputs, frame_mask=frame_mask)
    assert output.pred_masks.shape == (2, 1, 3, 32, 32)
    expected = model.sam(inputs["pixel_values"][frame_mask], multimask_output=False)
    real = frame_mask[:, None]
    torch.testing.assert_close(output.pred_masks[real], expected.pred_masks[:, 0, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.iou_scores[real], expected.iou_scores[:, 0, 0], atol=1e-5, rtol=1e-5)
    assert (output.pred_masks[~real] == -1024).all() and not output.iou_scores[~real].any()
    assert output.object_score_logits is None


@torch.no_grad()
def test_the_loss_is_weighed_over_labelled_real_frames():
    model, inputs, labels = make_model(), make_inputs(frames=3), make_labels(frames=3)
    labels[0, 1] = 1
    some = torch.tensor([[True, False, True]])
    output = model(**inputs, labels=labels, label_mask=some, frame_mask=torch.tensor([[True, True, False]]))
    logits = model.scale_masks(output.pred_masks[0, 0, :1], (56, 72))
    expected = mask_bce(logits, labels[0, :1].float())
    torch.testing.assert_close(output.loss_dict["bce"], 2 * expected[0])
    torch.testing.assert_close(model(**inputs, labels=labels).loss, model(**inputs, labels=labels[:, None]).loss)


@torch.no_grad()
def test_embeddings_made_before_stand_in_for_frames_and_sound():
    model, inputs = make_model(use_adapters=False), make_inputs()
    audio = model.audio_encoder(inputs["input_features"]).embeddings[:, :, 0]
    images = model.sam.get_image_embeddings(inputs["pixel_values"][0])[None]
    expected = model(**inputs).pred_masks
    torch.testing.assert_close(model(image_embeddings=images, audio_embeddings=audio).pred_masks, expected)
    given = {"image_embeddings": images.double(), "audio_embeddings": audio.double()}
    torch.testing.assert_close(model(**given).pred_masks, expected)


def test_what_does_not_train_is_frozen():
    model = make_model(train_adapters=False)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {f"sam.mask_decoder.{name}" for name, _ in model.sam.mask_decoder.named_parameters()}
    assert not any(p.requires_grad for p in make_model(train_mask_decoder=False).sam.parameters())


@torch.no_grad()
def test_masks_reach_any_size_by_way_of_sams_input():
    masks = torch.randn(2, 32, 32)
    whole = torch.nn.functional.interpolate(masks[:, None], (128, 128), mode="bilinear")
    expected = torch.nn.functional.interpolate(whole, (48, 80), mode="bilinear")[:, 0]
    assert torch.equal(make_model().scale_masks(masks, (48, 80)), expected)


def test_another_host_is_refused(tmp_path):
    Sam2VideoModel(nano_sam2_config()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"sam: .* is a 'sam2_video' checkpoint, 'sam' is needed"):
        AdaptedSamModel.from_backbones(str(tmp_path), VggishModel(tiny_config(VggishConfig)))
