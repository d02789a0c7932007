import copy

import pytest
import torch
from test_modeling_simtoken import SIZES, inputs_of, labels_of, make_model, save_parts
from tiny.configurations import nano_sam2_config
from transformers import LlamaConfig, LlamaForCausalLM, Sam2VideoModel

from lavseg import SimTokenModel
from lavseg.models.simtoken.host_simtoken import padded, prompt_every_frame, prompt_first_frame
from lavseg.testing.variants import shift_object_scores


@pytest.fixture(scope="module")
def on_sam2():
    model = make_model(sam_config=nano_sam2_config(128))
    shift_object_scores(model, 20)
    return model


@torch.no_grad()
def test_every_frame_of_sam2_stands_alone_unless_it_tracks(on_sam2):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 3, 128, 128, generator=generator).double()
    tokens = torch.randn(2, 128, generator=generator).double()
    features = on_sam2.sam.encode(pixels)
    every, first = (prompt(on_sam2.sam, features, tokens) for prompt in (prompt_every_frame, prompt_first_frame))
    single = prompt_every_frame(on_sam2.sam, [feature[2:] for feature in features], tokens)
    torch.testing.assert_close(every.masks[:, 2:], single.masks)
    for name in ("masks", "iou_scores", "object_score_logits"):
        found, tracked = getattr(every, name), getattr(first, name)
        assert found.shape == tracked.shape and found.shape[:2] == (2, 3)
        torch.testing.assert_close(found[:, 0], tracked[:, 0])
        assert (found[:, 1:] - tracked[:, 1:]).abs().amax() > 1e-4, name
    # What is tracked is what the first frame showed.
    other = prompt_first_frame(on_sam2.sam, [torch.cat([f[2:], f[1:]]) for f in features], tokens)
    assert (other.masks[:, 1] - first.masks[:, 1]).abs().amax() > 1e-6


def test_the_model_hands_on_what_sam2_says(on_sam2):
    inputs, labels = inputs_of(), labels_of()
    with torch.no_grad():
        every = on_sam2(**inputs, labels=labels)
        tracking = copy.deepcopy(on_sam2)
        tracking.config.prompted_frames = "first"
        tracked = tracking(**inputs, labels=labels)
        asked = {**inputs, "labels": labels}
        unseen = on_sam2(**{**asked, "labels": labels * (torch.arange(3) != 1)[:, None, None]})
    assert every.key_frames is None and not tracked.key_frames.any() and tracked.key_frames.shape == (1, 3)
    assert every.pred_masks.shape == (1, 3, 3, 32, 32)
    torch.testing.assert_close(every.pred_masks[:, :, 0], tracked.pred_masks[:, :, 0])
    # Scores of 20 say that all is to be seen, of which a third is wrong.
    assert every.loss_dict["object"] < 1e-3 and unseen.loss_dict["object"].item() == pytest.approx(20 / 3, rel=0.05)
    assert "object" not in make_model().loss_weights
    # Squares hold whole frames.
    sizes = [on_sam2(**asked, original_sizes=size).loss for size in ([(60, 80)], [(80, 60)])]
    assert torch.equal(*sizes)


def test_sam2_is_taken_by_its_folder(tmp_path):
    parts = save_parts(tmp_path, LlamaForCausalLM(LlamaConfig(**SIZES)))
    sam2 = Sam2VideoModel(nano_sam2_config(128))
    sam2.save_pretrained(tmp_path / "sam2")
    parts["sam"] = tmp_path / "sam2"
    fields = {"train_projector": True, "merge_levels": ((8, 3),), "prompted_frames": "first"}
    model = SimTokenModel.from_backbones(**parts, **fields)
    assert model.tracking_host is model.sam and model.config.prompted_frames == "first"
    assert all(torch.equal(value, model.sam.state_dict()[name]) for name, value in sam2.state_dict().items())


def test_clips_are_padded_to_one_length():
    clips = [torch.ones(2, 3, 1), torch.ones(2, 1, 1)]
    assert padded(clips, 4).sum(3).tolist() == [[[1, 1, 1, 0]] * 2, [[1, 0, 0, 0]] * 2]
    assert padded([None, None], 4) is None
