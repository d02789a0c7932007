"""Fresh tiny models of the methods that hear but do not read, all with one VGGish and, but for TPAVI, on a host that
knows the drawn band."""

from pathlib import Path
from typing import Any

import torch
from transformers import Sam2VideoModel

from lavseg import (
    AuralSam2Config,
    AuralSam2Model,
    AuralSam2Processor,
    GavsModel,
    GavsProcessor,
    SamaAvsModel,
    SamaAvsProcessor,
    StBavaModel,
    StBavaProcessor,
    TpaviConfig,
    TpaviModel,
    TpaviProcessor,
    VggishConfig,
    VggishModel,
)
from lavseg.backbones.pyramids import build_pyramid
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor

from .configurations import NOTICE, tiny_config

# SAM2-LOVE, whose SAM2 and VGGish the others build on.
SHIPPED = Path(__file__).parents[1] / "sam2-love-tiny"

_AURAL_SAM2_SIZES = ("visual_depths", "token_depths", "mlp_ratio", "fusion_size", "projection_size")
_TPAVI_SIZES = ("frame_size", "hidden_size", "fusion_size")

# Model, processor, and the fields of the configuration that a model of this size wants.
METHODS = {
    "aural-sam2": (
        AuralSam2Model,
        AuralSam2Processor,
        {
            **{name: getattr(tiny_config(AuralSam2Config, use_text=False), name) for name in _AURAL_SAM2_SIZES},
            "use_text": False,
            "dropout": 0.0,
            "contrastive_samples": 32,
        },
    ),
    "sama-avs": (SamaAvsModel, SamaAvsProcessor, {"adapter_size": 64}),
    "gavs": (GavsModel, GavsProcessor, {"adapter_size": 32, "first_adapted_block": 0, "prompt_size": 64}),
    "st-bava": (StBavaModel, StBavaProcessor, {"num_fusion_layers": 2, "num_attention_heads": 4, "adapter_size": 64}),
    "tpavi": (TpaviModel, TpaviProcessor, {name: getattr(tiny_config(TpaviConfig), name) for name in _TPAVI_SIZES}),
}
_LOSS_WEIGHTS = {"aural-sam2": {"focal": 1.0}, "tpavi": {"avm": 0.0}}
# What each is built on.
HOSTS = {"aural-sam2": "SAM2", "sama-avs": "SAM2", "gavs": "SAM2", "st-bava": "SAM", "tpavi": "PVT v2"}


def fresh_model(
    method: str, host: Path, vggish: VggishModel, seed: int, **fields: Any
) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """An untrained model of a method between trained encoders, and its processor.

    Args:
        method: a key of `METHODS`.
        host: folder of what it is built on, see `HOSTS`.
        vggish: with embeddings half as wide as the host's decoder, see `stereo_vggish`.
        seed: what new weights are drawn with.
        fields: settings of the method's configuration, instead of the ones above.
    """
    model_class, processor_class, tiny = METHODS[method]
    torch.manual_seed(seed)
    model = model_class.from_backbones(str(host), audio=vggish, **{"notice": NOTICE, **tiny, **fields})
    model.set_loss_weights(_LOSS_WEIGHTS.get(method, {}))
    return model, processor_class.from_config(model.config)


def save_host(sam2: Sam2VideoModel, folder: Path) -> Path:
    """Save the SAM2 of a tiny SAM2-LOVE, which `handoff="mask"` has left as it was, in `folder`, which is returned.

    It predicts one mask. Of three each would soon learn to be one object, and nothing would say which of them sounds.
    """
    sam2.config.multimask_output_in_sam = False
    sam2.config.mask_decoder_config.dynamic_multimask_via_stability = False
    sam2.save_pretrained(folder)
    return folder


def save_pyramid(folder: Path, seed: int) -> Path:
    """Save an untrained tiny PVT v2, drawn with `seed`, in `folder`, which is returned."""
    torch.manual_seed(seed)
    build_pyramid(tiny_config(TpaviConfig).vision_config).save_pretrained(folder)
    return folder


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
