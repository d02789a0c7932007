import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.tpavi import TpaviConfig, TpaviOutput, TpaviProcessor


def test_classes_come_back_at_the_size_of_the_clip_and_inside_masks_alone():
    processor = TpaviProcessor.from_config(tiny_config(TpaviConfig))
    masks = torch.full((1, 1, 2, 16, 16), -9.0)
    masks[..., 4:12, :] = 9.0
    logits = torch.zeros(1, 4, 2, 16, 16)
    logits[:, 2, :, :, :8], logits[:, 3, :, :, 8:] = 5.0, 5.0
    outputs = TpaviOutput(pred_masks=masks, class_logits=logits)
    (found,) = processor.post_process_semantic_segmentation(outputs, [(32, 64)])
    assert found.shape == (2, 32, 64) and found.dtype == torch.uint8
    assert (found[:, 10:22, :28] == 2).all() and (found[:, 10:22, 36:] == 3).all() and (found[:, :6] == 0).all()
    with pytest.raises(ValueError, match=r"^outputs: hold no class_logits"):
        processor.post_process_semantic_segmentation(TpaviOutput(pred_masks=masks), [(32, 64)])


def test_padding_frames_may_be_marked_by_an_array():
    processor = TpaviProcessor.from_config(tiny_config(TpaviConfig))
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(2, 1, 3, 16, 16, generator=generator)
    outputs = TpaviOutput(pred_masks=masks, class_logits=torch.randn(2, 4, 3, 16, 16, generator=generator))
    real, sizes = torch.tensor([[True, True, False], [True, True, True]]), [(16, 16), (32, 24)]
    expected = processor.post_process_semantic_segmentation(outputs, sizes, real)
    found = processor.post_process_semantic_segmentation(outputs, sizes, real.numpy())
    assert [len(clip) for clip in found] == [2, 3]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
