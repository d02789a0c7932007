import torch
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import Sam2VideoModel

from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model


def test_it_has_the_stock_parameters_and_faster_blocks():
    torch.manual_seed(0)
    ours, stock = Sam2Backbone(nano_sam2_config()), Sam2VideoModel(nano_sam2_config())
    shapes = [{name: value.shape for name, value in sam.state_dict().items()} for sam in (ours, stock)]
    assert shapes[0] == shapes[1]
    kinds = {type(module).__name__ for module in ours.modules()}
    assert {"FasterMultiScaleBlock", "FasterMultiScaleAttention", "FasterMemoryAttention"} <= kinds
    assert not {"Sam2MultiScaleBlock", "Sam2MultiScaleAttention"} & kinds
    assert not any(value.is_meta for value in (*ours.parameters(), *ours.buffers()))


def test_points_and_image_start_with_one_position_code():
    sam = Sam2Backbone(nano_sam2_config())
    code = sam.shared_image_embedding.positional_embedding
    assert code.any() and torch.equal(sam.prompt_encoder.shared_embedding.positional_embedding, code)


@torch.no_grad()
def test_clips_of_several_lengths_are_segmented_as_each_alone():
    torch.manual_seed(0)
    sam, frames = Sam2Backbone(nano_sam2_config()).eval(), torch.randn(3, 3, 3, 128, 128)
    prompts, lengths, asked = torch.randn(3, 3, 2, 128), [2, 3, 2], []

    def segment(rows, first):
        def encode(objects, places):
            asked.append((objects, places))
            return sam.encode(frames[rows][objects, places])

        def decode(objects, places, run):
            return run(prompts[rows][objects, places])

        return sam.segment([lengths[row] for row in rows], encode, decode, first)

    found = segment([0, 1, 2], lambda length: {length - 1: None})
    assert asked[:2] == [([0, 2], [1, 1]), ([0, 2], [0, 0])]  # clips of one length together, their last frame first
    for row, place in enumerate((slice(0, 2), slice(2, 5), slice(5, 7))):
        alone = segment([row], lambda length: {length - 1: None})
        for name in ("masks", "iou_scores", "object_score_logits"):
            part = getattr(found, name)[place]
            torch.testing.assert_close(part, getattr(alone, name), atol=1e-4, rtol=1e-4)
    other = segment([2], lambda length: {0: None})
    assert (other.masks - alone.masks).abs().max() > 1e-3


def test_models_around_it_keep_its_blocks_whole():
    model = AuralSam2Model(tiny_config(AuralSam2Config))
    assert "FasterMultiScaleBlock" in model._no_split_modules
    assert type(model.sam2.mask_decoder.transformer).__name__ == "AuralSam2TwoWayTransformer"
