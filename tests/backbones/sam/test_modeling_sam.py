import pytest
import torch
from tiny.configurations import nano_sam_config

from lavseg.backbones.sam.modeling_sam import SamBackbone


def make_sam():
    torch.manual_seed(0)
    return SamBackbone(nano_sam_config()).eval()


def test_the_position_code_starts_with_sams_own_deviation():
    code = make_sam().shared_image_embedding.positional_embedding
    assert code.std().item() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("multimask", [False, True])
@torch.no_grad()
def test_decoding_is_that_of_the_stock_model(multimask):
    sam, frames = make_sam(), torch.randn(3, 3, 128, 128)
    images, points = sam.encode(frames), torch.rand(3, 1, 1, 2) * 128
    for sparse, given in ((None, {}), (sam.prompt_encoder(points, torch.ones(3, 1, 1), None, None)[0][:, 0], points)):
        prompts = {"input_points": given, "input_labels": torch.ones(3, 1, 1)} if sparse is not None else {}
        expected = sam(frames, **prompts, multimask_output=multimask)
        found = sam.decode(images, sparse, multimask=multimask)
        torch.testing.assert_close(found.candidates, expected.pred_masks[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.iou_scores, expected.iou_scores[:, 0, 0], atol=1e-5, rtol=1e-5)
        assert torch.equal(found.masks, found.candidates[:, 0]) and found.object_score_logits is None


@torch.no_grad()
def test_every_real_frame_is_segmented_by_itself_with_its_own_prompt():
    sam, frames, asked = make_sam(), torch.randn(2, 3, 3, 128, 128), []
    prompts = torch.randn(2, 3, 1, sam.config.mask_decoder_config.hidden_size)

    def decode(objects, places, run):
        asked.append((objects, places))
        return run(prompts[objects, places])

    found = sam.segment([3, 1], lambda objects, places: sam.encode(frames[objects, places]), decode, None)
    assert asked == [([0, 0, 0, 1], [0, 1, 2, 0])]
    alone = sam.decode(sam.encode(frames[1, :1]), prompts[1, :1])
    torch.testing.assert_close(found.masks[3], alone.masks[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_adapters_fit_the_blocks():
    sam = make_sam()
    adapters = sam.audio_adapters(8, 16)
    assert len(adapters.prompts(torch.rand(2, 8))) == len(sam.blocks)
    assert adapters(sam.encode, torch.randn(2, 3, 128, 128), torch.rand(2, 8)).shape == (2, 32, 8, 8)
