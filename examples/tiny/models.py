"""Fresh tiny models of all methods, with the VGGish and, where they read, the text encoder of the shipped SAM2-LOVE, on
a host that knows the drawn band, see `hosts.py`."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from lavseg import (
    AuralSam2Config,
    AuralSam2Model,
    AuralSam2Processor,
    AvsegFormerConfig,
    AvsegFormerModel,
    AvsegFormerProcessor,
    EemcModel,
    EemcProcessor,
    GavsModel,
    GavsProcessor,
    ReferFormerModel,
    ReferFormerProcessor,
    Sam2LoveModel,
    SamaAvsModel,
    SamaAvsProcessor,
    SimTokenModel,
    SimTokenProcessor,
    StBavaModel,
    StBavaProcessor,
    SteppingStonesModel,
    SteppingStonesProcessor,
    TpaviConfig,
    TpaviModel,
    TpaviProcessor,
    VggishConfig,
    VggishModel,
)
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor

from .configurations import NOTICE, tiny_config
from .fresh_simtoken import FIELDS as SIMTOKEN
from .fresh_simtoken import fresh_simtoken

# SAM2-LOVE, whose SAM2, VGGish and text encoder the others build on.
SHIPPED = Path(__file__).parents[1] / "sam2-love-tiny"
# The longest sentences of the drawn band have 30 tokens.
MAX_TEXT_LENGTH = 32


@dataclass(frozen=True)
class TinyMethod:
    """A method at this size.

    Attributes:
        model, processor: its classes.
        host: what it is built on, a key of `HOSTS`.
        fields: of its configuration that a model of this size wants.
        loss_weights: that differ from its own.
        training: arguments of the training on clips that differ from the others'.
        fresh: makes an untrained model and its processor from the folder of the host, the VGGish, the tokenizer and
            these fields, where a method reads with no text encoder; None for what `from_backbones` makes.
    """

    model: type[AudioVisualPreTrainedModel]
    processor: type[AudioVisualProcessor]
    host: str
    fields: dict[str, Any]
    loss_weights: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    fresh: Callable[..., tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]] | None = None


class Words(NamedTuple):
    """What a method reads with: the folder of a text encoder, and its tokenizer."""

    encoder: Path
    tokenizer: PreTrainedTokenizerBase


def _sizes(config_class: type, *names: str) -> dict[str, Any]:
    """Fields of the smallest configuration of a method that does not read."""
    config = tiny_config(config_class, use_text=False)
    return {name: getattr(config, name) for name in names}


_AURAL_SAM2 = {
    **_sizes(AuralSam2Config, "visual_depths", "token_depths", "mlp_ratio", "fusion_size", "projection_size"),
    "dropout": 0.0,
    "contrastive_samples": 32,
}
_GAVS = {"adapter_size": 32, "first_adapted_block": 0, "prompt_size": 64}
_ST_BAVA = {"num_fusion_layers": 2, "num_attention_heads": 4, "adapter_size": 64}
_AVSEGFORMER = _sizes(
    AvsegFormerConfig,
    *("frame_size", "hidden_size", "num_attention_heads", "num_queries"),
    *("num_encoder_layers", "num_decoder_layers", "num_generator_layers"),
    *("intermediate_size", "generator_intermediate_size", "mask_hidden_size"),
)
_TPAVI = _sizes(TpaviConfig, "frame_size", "hidden_size", "fusion_size", "num_attention_heads")
_EEMC = {"frame_size": 128, "intermediate_size": 128, "num_attention_heads": 4, "adapter_size": 32}
_STEPPING_STONES = {"frame_size": 128, "projection_size": 64}
_REFERFORMER = {
    **{"frame_size": 128, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128},
    **{"num_encoder_layers": 2, "num_decoder_layers": 2, "dropout": 0.0},
}
_READS, _HEARS_ONLY = {"use_text": True}, {"use_text": False}

# Those that hear only, by name. The published loss of AVSegFormer learns nothing from silence.
METHODS = {
    "aural-sam2": TinyMethod(AuralSam2Model, AuralSam2Processor, "SAM2", _AURAL_SAM2 | _HEARS_ONLY, {"focal": 1.0}),
    "sama-avs": TinyMethod(SamaAvsModel, SamaAvsProcessor, "SAM2", {"adapter_size": 64}),
    "gavs": TinyMethod(GavsModel, GavsProcessor, "SAM2", _GAVS),
    "st-bava": TinyMethod(StBavaModel, StBavaProcessor, "SAM", _ST_BAVA),
    "avsegformer": TinyMethod(AvsegFormerModel, AvsegFormerProcessor, "PVT v2", _AVSEGFORMER, {"bce": 1.0}),
    "tpavi": TinyMethod(TpaviModel, TpaviProcessor, "PVT v2", _TPAVI, {"avm": 0.0}),
    "stepping-stones": TinyMethod(SteppingStonesModel, SteppingStonesProcessor, "Mask2Former", _STEPPING_STONES),
}
# Those that read as well, or, as ReferFormer, instead of hearing. SAM2-LOVE is not among them, see `fresh_sam2_love`.
READERS = {
    "aural-sam2": TinyMethod(
        *(AuralSam2Model, AuralSam2Processor, "SAM2", _AURAL_SAM2 | {"text_projection_size": 96} | _READS),
        loss_weights={"focal": 1.0},
    ),
    "sama-avs": TinyMethod(SamaAvsModel, SamaAvsProcessor, "SAM2", {"adapter_size": 64} | _READS),
    "gavs": TinyMethod(GavsModel, GavsProcessor, "SAM2", _GAVS | _READS),
    "avsegformer": TinyMethod(AvsegFormerModel, AvsegFormerProcessor, "PVT v2", _AVSEGFORMER | _READS, {"bce": 1.0}),
    "tpavi": TinyMethod(TpaviModel, TpaviProcessor, "PVT v2", _TPAVI | _READS, {"avm": 0.0}),
    "eemc": TinyMethod(EemcModel, EemcProcessor, "Mask2Former", _EEMC),
    "referformer": TinyMethod(ReferFormerModel, ReferFormerProcessor, "ResNet", _REFERFORMER),
    # With R2VOS' classifier, which learns from sentences that fit nothing.
    "referformer-absence": TinyMethod(
        *(ReferFormerModel, ReferFormerProcessor, "ResNet", _REFERFORMER | {"absence_classifier": True}),
        training={"synthetic_null_probability": 0.5},
    ),
    "simtoken": TinyMethod(SimTokenModel, SimTokenProcessor, "SAM", SIMTOKEN, fresh=fresh_simtoken),
}


def fresh_model(
    method: str, host: Path, vggish: VggishModel, seed: int, words: Words | None = None, **fields: Any
) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """An untrained model of a method between trained encoders, and its processor.

    Args:
        method: a key of `METHODS`, or of `READERS` if there are `words`.
        host: folder of what it is built on.
        vggish: with embeddings half as wide as the host's decoder, see `stereo_vggish`.
        seed: what new weights are drawn with.
        words: what it reads with.
        fields: settings of the method's configuration, instead of those of `TinyMethod.fields`.
    """
    tiny = METHODS[method] if words is None else READERS[method]
    fields = {"notice": NOTICE, **tiny.fields, **fields}
    torch.manual_seed(seed)
    if tiny.fresh is not None:
        return tiny.fresh(host, vggish, words.tokenizer, **fields)
    encoders = {"audio": vggish} if words is None else {"audio": vggish, "text": str(words.encoder)}
    model = tiny.model.from_backbones(str(host), **encoders, **fields)
    model.set_loss_weights(tiny.loss_weights)
    reading = () if words is None else (words.tokenizer, MAX_TEXT_LENGTH)
    return model, tiny.processor.from_config(model.config, *reading)


def fresh_sam2_love(trained: Sam2LoveModel, seed: int) -> Sam2LoveModel:
    """A model with the encoders and the SAM2 host of `trained` and a new prompter."""
    torch.manual_seed(seed)
    model = Sam2LoveModel(copy.deepcopy(trained.config))
    model.load_backbones(trained.backbones())
    return model.to(trained.device)


def save_words(shipped: Sam2LoveModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Words:
    """Save the text encoder of a tiny SAM2-LOVE in `folder`."""
    shipped.text_encoder.save_pretrained(folder)
    return Words(folder, tokenizer)


def stereo_vggish(narrow: VggishModel) -> VggishModel:
    """The VGGish of a tiny SAM2-LOVE, twice as wide: AuralSAM2 takes half of the host's width from each ear.

    Each output comes with its negative, so that the final ReLU loses nothing.
    """
    state, size = narrow.state_dict(), narrow.config.embedding_size
    for name in ("embeddings.4.weight", "embeddings.4.bias"):
        state[name] = torch.cat([state[name], -state[name]])
    wide = VggishModel(VggishConfig(**{**narrow.config.to_dict(), "embedding_size": 2 * size}))
    wide.load_state_dict(state)
    return wide
