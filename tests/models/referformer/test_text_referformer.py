import logging

import pytest
import torch
from tiny.configurations import tiny_config, tiny_text_config
from transformers import RobertaConfig, RobertaModel
from transformers.models.deformable_detr.modeling_deformable_detr import DeformableDetrSinePositionEmbedding

from lavseg.models.referformer import ReferFormerConfig
from lavseg.models.referformer.text_referformer import (
    ReferFormerFusion,
    load_text_encoder,
    map_positions,
    word_positions,
)


def test_codes_of_pixels_are_those_of_deformable_detr():
    mask = torch.ones(2, 6, 9, dtype=torch.bool)
    mask[1, 4:], mask[1, :, 5:] = False, False
    expected = DeformableDetrSinePositionEmbedding(16, normalize=True)((2, 32, 6, 9), "cpu", torch.float32, mask)
    torch.testing.assert_close(map_positions(mask, 32, torch.float32), expected)


def test_codes_of_words_do_not_depend_on_padding():
    mask = torch.tensor([[1, 1, 1, 0, 0]]).bool()
    codes = word_positions(mask, 32, torch.float32)
    torch.testing.assert_close(codes[:, :3], word_positions(mask[:, :3], 32, torch.float32))
    assert torch.equal(codes[:, 4], codes[:, 2]) and not torch.equal(codes[:, 1], codes[:, 2])


@torch.no_grad()
def test_fusion_multiplies_and_reads_no_padding():
    fusion = ReferFormerFusion(tiny_config(ReferFormerConfig))
    tokens, words = torch.randn(1, 5, 32), torch.randn(1, 4, 32)
    mask = torch.tensor([[True, True, False, False]])
    codes = torch.randn(1, 4, 32)
    fused = fusion(tokens, words, codes, mask)
    torch.testing.assert_close(fusion(tokens, words[:, :2], codes[:, :2], mask[:, :2]), fused)
    assert not fusion(tokens * 0, words, codes, mask).any()
    assert not torch.allclose(fusion(tokens, words, codes * 0, mask), fused)


def test_a_file_without_pooler_is_read_with_a_warning(tmp_path, caplog):
    config = RobertaConfig(**{**tiny_text_config(20), "pad_token_id": 1})
    RobertaModel(config).save_pretrained(tmp_path / "whole")
    RobertaModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "cut")
    logger = logging.getLogger("lavseg.models.referformer.text_referformer")
    logger.addHandler(caplog.handler)
    assert load_text_encoder(tmp_path / "whole").pooler is not None and not caplog.records
    assert load_text_encoder(tmp_path / "cut").pooler.dense.weight.isfinite().all()
    logger.removeHandler(caplog.handler)
    assert "no pooler" in caplog.text


def test_a_file_that_lacks_more_is_refused(tmp_path):
    RobertaModel(RobertaConfig(**tiny_text_config(20))).save_pretrained(tmp_path)
    deeper = RobertaConfig(**{**tiny_text_config(20), "num_hidden_layers": 2})
    deeper.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^text: .* lacks weights: encoder.layer.1"):
        load_text_encoder(tmp_path)
