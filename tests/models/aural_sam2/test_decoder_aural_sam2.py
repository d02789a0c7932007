import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoTwoWayTransformer

from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model
from lavseg.models.aural_sam2.decoder_aural_sam2 import AuralSam2TwoWayTransformer, StagePrompt


@pytest.fixture(scope="module")
def transformers():
    """Ours and the stock one with the same weights."""
    torch.manual_seed(0)
    config = nano_sam2_config().mask_decoder_config
    ours, stock = AuralSam2TwoWayTransformer(config).eval(), Sam2VideoTwoWayTransformer(config).eval()
    ours.load_state_dict(stock.state_dict())
    return ours, stock


@pytest.fixture
def inputs(transformers):
    width, masks = transformers[0].config.hidden_size, transformers[0].config.num_multimask_outputs + 1
    generator = torch.Generator().manual_seed(1)
    return {
        "point_embeddings": torch.randn(2, 1, 2 + masks + 3, width, generator=generator),
        "image_embeddings": torch.randn(2, width, 4, 4, generator=generator),
        "image_positional_embeddings": torch.randn(2, width, 4, 4, generator=generator),
    }


@torch.no_grad()
def test_without_prompts_it_is_the_stock_transformer(transformers, inputs):
    ours, stock = transformers
    for found, expected in zip(ours(**inputs), stock(**inputs, attention_similarity=None)[:2], strict=True):
        torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_prompts_of_the_first_stage_are_added_to_image_and_mask_tokens(transformers, inputs):
    ours, _ = transformers
    width, masks = inputs["point_embeddings"].shape[-1], ours.config.num_multimask_outputs + 1
    dense, sparse = torch.randn(2, 16, width), torch.randn(2, width)
    stages = [StagePrompt(dense, sparse), *[StagePrompt(None, None)] * len(ours.layers)]
    changed = dict(inputs, point_embeddings=inputs["point_embeddings"].clone())
    changed["point_embeddings"][:, :, 2 : 2 + masks] += sparse[:, None, None]
    changed["image_embeddings"] = inputs["image_embeddings"] + dense.mT.unflatten(-1, (4, 4))
    # The sum is the position code too where prompts are positions, as for tokens that were given so.
    found, expected = ours(**inputs, stage_prompts=stages, prompts_are_positions=True), ours(**changed)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted)
    content_alone = ours(**inputs, stage_prompts=stages, prompts_are_positions=False)
    assert (content_alone[0] - expected[0]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("behavior", "multimask", "prompted"),
    [
        ("release", True, [2, 3, 4, 5]),
        ("release", False, [2, 3, 4, 5]),
        ("paper", True, [3, 4, 5]),
        ("paper", False, [2]),
    ],
)
@torch.no_grad()
def test_vectors_go_to_all_masks_as_released_and_to_those_that_are_predicted_in_the_paper(
    behavior, multimask, prompted
):
    torch.manual_seed(0)
    sam2 = {**nano_sam2_config().to_dict(), "multimask_output_in_sam": multimask}
    model = AuralSam2Model(tiny_config(AuralSam2Config, behavior=behavior, use_text=False, sam2_config=sam2)).eval()
    seen = []
    block = model.sam2.mask_decoder.transformer.layers[0]
    block.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs["queries"][0, 0]), with_kwargs=True)
    inputs = {"pixel_values": torch.randn(1, 1, 3, 128, 128), "input_features": torch.randn(1, 1, 2, 96, 64)}
    model(**inputs)
    model.config.sparse_prompts = False
    model(**inputs)
    with_vector, without = seen
    assert (with_vector != without).any(-1).nonzero().flatten().tolist() == prompted


@torch.no_grad()
def test_the_last_stage_reaches_the_image_tokens_that_are_upscaled(transformers, inputs):
    ours, _ = transformers
    dense = torch.randn(2, 16, inputs["point_embeddings"].shape[-1])
    stages = [*[StagePrompt(None, None)] * len(ours.layers), StagePrompt(dense, None)]
    torch.testing.assert_close(ours(**inputs, stage_prompts=stages)[1], ours(**inputs)[1] + dense[:, None])
