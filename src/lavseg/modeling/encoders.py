"""The encoders that methods are composed of: untrained from a configuration or published ones, and how text is read."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.image_processing_utils import BaseImageProcessor

from ..error_reasons import reason_of
from .inputs import check_ids


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """An untrained encoder, without the pooler that ViT and RoBERTa would add and nobody reads."""
    return AutoModel.from_config(config, **_without_pooler(config))


def load_encoder(name_or_path: str, part: str) -> PreTrainedModel:
    """A published encoder; of a two-tower checkpoint such as CLIP's, the tower whose configuration is called `part`.

    Raises:
        ValueError: when weights are missing, but for those of a pooler, which nobody reads.
    """
    config = AutoConfig.from_pretrained(name_or_path)
    config = (config.to_dict().get(part) and getattr(config, part)) or config
    model, report = AutoModel.from_pretrained(
        name_or_path, config=config, output_loading_info=True, **_without_pooler(config)
    )
    if missing := sorted(key for key in report["missing_keys"] if "pooler" not in key.split(".")):
        argument = part.removesuffix("_config")
        raise ValueError(f"{argument}: {name_or_path} lacks weights: {', '.join(missing)}")
    return model


def load_image_processor(argument: str, name_or_path: str | Path) -> BaseImageProcessor:
    """The image processor of a published frame encoder.

    Args:
        argument: name under which the folder or id was given, for error messages.
        name_or_path: the folder or Hub id.

    Raises:
        ValueError: when it has none.
    """
    try:
        return AutoImageProcessor.from_pretrained(name_or_path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{argument}: {name_or_path} has no readable preprocessor_config.json, which says how frames are "
            "normalised; save the encoder's image processor there"
        ) from error


def load_tokenizer(argument: str, name_or_path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a published text encoder or language model.

    Args:
        argument: name under which the folder or id was given, for error messages.
        name_or_path: the folder or Hub id.

    Raises:
        ValueError: when it has none, or a package is missing that reads it.
    """
    try:
        return AutoTokenizer.from_pretrained(name_or_path)
    except Exception as error:  # what Transformers raises here is not bounded
        reason = reason_of(error)
        if "tiktoken" in reason and find_spec("sentencepiece") is None:
            reason = "a tokenizer.model needs the package sentencepiece, which `pip install sentencepiece` brings"
        raise ValueError(f"{argument}: {name_or_path} has no tokenizer that can be read: {reason}") from error


def load_host(argument: str, name_or_path: str | Path, *accepted: type[PreTrainedModel]) -> PreTrainedModel:
    """The SAM or SAM2 video model of a folder or Hub id.

    Args:
        argument: name under which the folder or id was given, for error messages.
        name_or_path: the folder or Hub id.
        accepted: model classes, one of which it has to be.

    Raises:
        ValueError: when it is none of the classes that are accepted, or not all of its weights are there.
    """
    config = AutoConfig.from_pretrained(name_or_path)
    model_class = next((kind for kind in accepted if isinstance(config, kind.config_class)), None)
    if model_class is None:
        names = " or ".join(repr(kind.config_class.model_type) for kind in accepted)
        raise ValueError(f"{argument}: {name_or_path} is a {config.model_type!r} checkpoint, {names} is needed")
    model, report = model_class.from_pretrained(name_or_path, output_loading_info=True)
    if report["missing_keys"]:
        raise ValueError(f"{argument}: {name_or_path} lacks weights: {', '.join(sorted(report['missing_keys']))}")
    return model


def gradient_where_needed(module: nn.Module) -> torch.set_grad_enabled:
    """Inside, `module` is run with gradient only where one of its parameters takes it: an encoder that is frozen as a
    whole costs no memory for it, and one with adapters trains them."""
    needed = any(parameter.requires_grad for parameter in module.parameters())
    return torch.set_grad_enabled(torch.is_grad_enabled() and needed)


def let_train(*modules: nn.Module) -> None:
    """Have the parameters take gradients, but for whole numbers, which quantisation has made of them."""
    for parameter in (parameter for module in modules for parameter in module.parameters()):
        parameter.requires_grad_(parameter.is_floating_point())


def encode_text(
    encoder: nn.Module,
    input_ids: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    text_embeddings: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """States `[B, E, P, D]` of the tokens `[B, E, P]`, and which of them are real, bool `[B, E, P]`.

    Args:
        encoder: a text encoder; one of Transformers' says how many tokens it knows.
        input_ids: long `[B, E, P]`, tokens of `E` expressions about each of `B` clips.
        attention_mask: as many entries as `input_ids`, 1 for real tokens; all real when None.
        text_embeddings: the states, where they were made before, in place of `input_ids`.

    Raises:
        ValueError: when the mask has another number of tokens, a token is none of the encoder's, or there are more than
            it has positions for.
    """
    if input_ids is not None and text_embeddings is not None:
        raise ValueError("text_embeddings: input_ids was given, too; pass one of them")
    name, given = ("input_ids", input_ids) if text_embeddings is None else ("text_embeddings", text_embeddings)
    tokens = given.shape[:3]
    if attention_mask is not None and attention_mask.numel() != tokens.numel():
        raise ValueError(f"attention_mask: has to be {list(tokens)} as {name}, got {list(attention_mask.shape)}")
    mask = given.new_ones(tokens, dtype=torch.long) if attention_mask is None else attention_mask.view(tokens)
    if text_embeddings is not None:
        return text_embeddings, mask.bool()
    if isinstance(encoder, PreTrainedModel):
        check_ids("input_ids", input_ids, encoder.config.vocab_size)
        if (longest := _longest_text(encoder)) is not None and tokens[2] > longest:
            raise ValueError(f"input_ids: {tokens[2]} tokens per sentence were given, the text encoder takes {longest}")
    with gradient_where_needed(encoder):
        flat = encoder(input_ids=input_ids.flatten(0, 1), attention_mask=mask.flatten(0, 1))
    return flat.last_hidden_state.unflatten(0, input_ids.shape[:2]), mask.bool()


def _longest_text(encoder: PreTrainedModel) -> int | None:
    """How many tokens an encoder with learnt positions takes; RoBERTa's begin after that of padding."""
    positions = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if not isinstance(positions, nn.Embedding):
        return None
    return positions.num_embeddings - (0 if positions.padding_idx is None else positions.padding_idx + 1)


def _without_pooler(config: PreTrainedConfig) -> dict:
    return {"add_pooling_layer": False} if config.model_type in ("vit", "roberta") else {}
