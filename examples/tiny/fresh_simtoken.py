"""A tiny SimToken whose language model and tower have seen nothing, on a SAM and a VGGish that have."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, SamModel

from lavseg import SimTokenConfig, SimTokenModel, SimTokenProcessor, VggishModel

from .configurations import tiny_config
from .optimization import reset_layers

LANGUAGE = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
VISION = {"image_size": 96, "patch_size": 12, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}
FIELDS = {"merge_levels": ((16, 5), (8, 3)), "train_projector": True, "alignment": "contrastive"}
# SAM's own, which its clicks were learned with.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def fresh_simtoken(
    host: Path, vggish: VggishModel, tokenizer: PreTrainedTokenizerBase, **fields: Any
) -> tuple[SimTokenModel, SimTokenProcessor]:
    """A model whose language model and tower train as far as the loss reaches them, and its processor.

    Args:
        host: folder of a SAM.
        vggish: what it hears with, of which the final ReLU is left out.
        tokenizer: what it reads with.
        fields: of its configuration.
    """
    sam, tiny = SamModel.from_pretrained(host), tiny_config(SimTokenConfig, len(tokenizer))
    config = SimTokenConfig(
        language_config={**tiny.language_config.to_dict(), **LANGUAGE, "initializer_range": 0.05},
        vision_config={**tiny.vision_config.to_dict(), **VISION},
        sam_config=sam.config.to_dict(),
        audio_config={**vggish.config.to_dict(), "final_relu": False},
        **fields,
    )
    model = SimTokenModel(config)
    reset_layers(model.vision_encoder)
    model.load_backbones({**model.backbones(), "sam": sam, "audio": vggish})
    train_all_that_is_reached(model)
    processor = SimTokenProcessor.from_config(config, tokenizer)
    processor.image_processor.image_mean, processor.image_processor.image_std = MEAN, STD
    return model, processor


def train_all_that_is_reached(model: SimTokenModel) -> None:
    """Let the language model and the tower train, too, as far as the loss reaches them."""
    for part in (model.language_model, model.vision_encoder):
        part.requires_grad_(True)
    for name in model.unreached_modules():
        model.get_submodule(name).requires_grad_(False)
