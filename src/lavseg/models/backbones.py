"""The encoders that methods are composed of: untrained from a configuration, or published ones."""

from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from .vggish import VggishModel


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """An untrained encoder, without the pooler that ViT and RoBERTa would add and nobody reads."""
    return AutoModel.from_config(config, **_without_pooler(config))


def load_encoder(name_or_path: str, part: str) -> PreTrainedModel:
    """A published encoder; of a two-tower checkpoint such as CLIP's, the tower whose configuration is called `part`."""
    config = AutoConfig.from_pretrained(name_or_path)
    config = (config.to_dict().get(part) and getattr(config, part)) or config
    return AutoModel.from_pretrained(name_or_path, config=config, **_without_pooler(config))


def load_vggish(audio: str | VggishModel | None) -> VggishModel:
    """A VGGish model as it is, or that of a folder or Hub id.

    Raises:
        ValueError: when `audio` is None: an untrained one would hear nothing.
    """
    if audio is None:
        raise ValueError(
            "audio: a VGGish checkpoint is needed; convert the public vggish-10086976.pth with "
            "lavseg.models.vggish.convert_vggish and pass its folder"
        )
    return audio if isinstance(audio, VggishModel) else VggishModel.from_pretrained(audio)


def _without_pooler(config: PreTrainedConfig) -> dict:
    return {"add_pooling_layer": False} if config.model_type in ("vit", "roberta") else {}
