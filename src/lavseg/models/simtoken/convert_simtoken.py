"""Reads checkpoints of the released SimToken code into [`SimTokenModel`]."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, PreTrainedConfig, PreTrainedTokenizerBase, SamModel

from ...backbones.vggish.convert_vggish import read_vggish
from ...modeling.conversion import TensorFolder, check_finite, check_state, read_tensors, write_shards
from ...modeling.encoders import load_encoder, load_host, load_tokenizer
from ...modeling.remote_code import AUTO_MAP, write_stub
from ...output_folders import check_new_folder, staged_folder
from .configuration_simtoken import SimTokenConfig
from .modeling_simtoken import SimTokenModel
from .processing_simtoken import SimTokenProcessor

# What follows from the architecture.
UNUSED_KEYS = re.compile(r"\.rotary_emb\.inv_freq$|\.embeddings\.position_ids$")
_LORA = re.compile(r"\.lora_(A|B)(?:\.default)?\.weight$")
# Of the released LoRA: alpha over rank.
LORA_SCALE = 2

_POSITION_TABLE = "vision_encoder.embeddings.position_embedding"
_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_RENAMES = [
    (r"^base_model\.model\.", ""),
    (r"\.base_layer\.", "."),
    (r"^model\.(embed_tokens|layers|norm)\.", r"language_model.\1."),
    (r"^model\.mm_projector\.", "mm_projector."),
    (r"^model\.text_hidden_fcs\.0\.", "text_hidden_fcs."),
    (r"^model\.vision_tower\.vision_tower\.vision_model\.", "vision_encoder."),
    (r"^model\.visual_model\.", "sam."),
    (r"^sam\.image_encoder\.", "sam.vision_encoder."),
    (r"^(sam\.vision_encoder)\.patch_embed\.proj\.", r"\1.patch_embed.projection."),
    (r"^(sam\.vision_encoder)\.blocks\.(\d+)\.norm([12])\.", r"\1.layers.\2.layer_norm\3."),
    (r"^(sam\.vision_encoder)\.blocks\.", r"\1.layers."),
    (r"^(sam\.vision_encoder\.neck)\.0\.", r"\1.conv1."),
    (r"^(sam\.vision_encoder\.neck)\.1\.", r"\1.layer_norm1."),
    (r"^(sam\.vision_encoder\.neck)\.2\.", r"\1.conv2."),
    (r"^(sam\.vision_encoder\.neck)\.3\.", r"\1.layer_norm2."),
    (r"^(sam\.prompt_encoder)\.point_embeddings\.", r"\1.point_embed."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.0\.", r"\1.mask_embed.conv1."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.1\.", r"\1.mask_embed.layer_norm1."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.3\.", r"\1.mask_embed.conv2."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.4\.", r"\1.mask_embed.layer_norm2."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.6\.", r"\1.mask_embed.conv3."),
    (r"^(sam\.mask_decoder)\.output_upscaling\.0\.", r"\1.upscale_conv1."),
    (r"^(sam\.mask_decoder)\.output_upscaling\.1\.", r"\1.upscale_layer_norm."),
    (r"^(sam\.mask_decoder)\.output_upscaling\.3\.", r"\1.upscale_conv2."),
    (r"^(sam\.mask_decoder\..*)\.layers\.0\.(weight|bias)$", r"\1.proj_in.\2"),
    (r"^(sam\.mask_decoder\..*)\.layers\.1\.(weight|bias)$", r"\1.layers.0.\2"),
    (r"^(sam\.mask_decoder\..*)\.layers\.2\.(weight|bias)$", r"\1.proj_out.\2"),
    (r"^(sam\.mask_decoder\.transformer\.layers\.\d+)\.norm([1-4])\.", r"\1.layer_norm\2."),
    (r"^(sam\.mask_decoder\.transformer)\.norm_final_attn\.", r"\1.layer_norm_final_attn."),
]


def current_names(key: str) -> list[str]:
    """The names here of a tensor of the released code; SAM's position code has two."""
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    if key == f"sam.{_POSITIONS}":
        position = "shared_embedding.positional_embedding"
        return [f"sam.prompt_encoder.{position}", "sam.shared_image_embedding.positional_embedding"]
    return [key]


def state_from_release(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a released checkpoint by their names here, with its LoRA added to the weights that it adapts."""
    found = Released(state)
    return {name: found.merged(name) for name in found.names}


class Released:
    """The tensors of a released checkpoint, and of what it was trained from, by their names here.

    Args:
        state: the file's.
        bases: by names here, tensors that stand in for those that the file lacks.

    Attributes:
        names: of tensors here, and in which mapping and under which name each is.
        adapters: by the name of the weight here, the names of the two matrices of its LoRA, "A" and "B", in `state`.
        unused: names in `state` of what follows from the architecture.

    Raises:
        ValueError: when two tensors of `state` have the same name here.
    """

    def __init__(self, state: Mapping[str, torch.Tensor], bases: Sequence[Mapping[str, torch.Tensor]] = ()):
        self.state = state
        self.names, self.adapters, self.unused = {}, {}, []
        for base in bases:
            self.names |= {name: (base, name) for name in base}
        own = {}
        for key in state:
            if UNUSED_KEYS.search(key):
                self.unused.append(key)
                continue
            if match := _LORA.search(key):
                name = current_names(_LORA.sub(".weight", key))[0]
                first = self.adapters.setdefault(name, {}).setdefault(match[1], key)
            else:
                first = {own.setdefault(name, key) for name in current_names(key)}.pop()
            if first != key:
                raise ValueError(f"checkpoint_path: {first} and {key} are two spellings of one name")
        self.names |= {name: (state, key) for name, key in own.items()}

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor as it is in its file."""
        source, key = self.names[name]
        return source[key]

    def lora(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The two matrices of the LoRA of a weight, in single precision."""
        down, up = (self.state[self.adapters[name][kind]] for kind in "AB")
        return down.float(), up.float()

    def merged(self, name: str) -> torch.Tensor:
        """A tensor with the LoRA that there is for it, added in single precision."""
        if name not in self.adapters:
            return self.tensor(name)
        down, up = self.lora(name)
        return self.tensor(name).float() + LORA_SCALE * up @ down


def released_config(found: Released, language_model: str | Path) -> SimTokenConfig:
    """The released configuration around the language model of a folder, with what the tensors say of sizes."""
    fields, _ = PreTrainedConfig.get_config_dict(language_model)
    language = LlamaConfig.from_dict({**fields, "model_type": "llama"}).to_dict()
    sizes = {"embed_tokens": "language_model.embed_tokens", "positions": _POSITION_TABLE}
    missing = [f"{name}.weight" for name in sizes.values() if f"{name}.weight" not in found.names]
    if missing:
        raise ValueError(f"checkpoint_path: this is no SimToken checkpoint; missing keys: {', '.join(missing)}")
    rows = {size: len(found.tensor(f"{name}.weight")) for size, name in sizes.items()}
    config = SimTokenConfig(language_config={**language, "vocab_size": rows["embed_tokens"]})
    config.vision_config.image_size = config.vision_config.patch_size * math.isqrt(rows["positions"] - 1)
    return config


def convert_simtoken_checkpoint(
    checkpoint_path: str | Path,
    vggish_path: str | Path,
    output_dir: str | Path,
    language_model: str | Path,
    vision: str = "openai/clip-vit-large-patch14",
    sam: str = "facebook/sam-vit-huge",
    dtype: str = "float32",
    keep_lora: bool = False,
    config: SimTokenConfig | None = None,
    shard_bytes: int = 1_000_000_000,
) -> tuple[SimTokenModel, list[str]]:
    """Convert a checkpoint of the released code to a folder that `from_pretrained` reads. The file is read from disk
    tensor by tensor, and written as it is read.

    Args:
        checkpoint_path: a state dict as the released script saves it, of all of the model or of what trains.
        vggish_path: the public `vggish-10086976.pth`, by which the release embeds the sound before.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        language_model: folder of the Chat-UniVi that was trained from: it has the tokenizer and, for a file of what
            trains alone, the weights.
        vision, sam: Hub ids or folders of CLIP and SAM, asked only where the file lacks them.
        dtype: "float32" or "bfloat16", of the weights that are written.
        keep_lora: leave the adapters as they are, in `adapter` of the folder, for `peft`, in place of adding them to
            the weights.
        config: the model's; that of the release when None.
        shard_bytes: size of the files that are written.

    Returns:
        The converted model, without its weights, and the keys of the file that it has no use for.

    Raises:
        ValueError: when a file cannot be read, when keys or shapes differ from the model's (each one is named), when
            the folder has no tokenizer, or that of another model, or when `output_dir` already has content.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype: {dtype!r} was given, accepted are 'float32', 'bfloat16'")
    if keep_lora and find_spec("peft") is None:
        raise ValueError("keep_lora: needs the package peft, which `pip install 'lavseg[lora]'` brings")
    output_dir = check_new_folder(output_dir, "output_dir")
    state = read_tensors(checkpoint_path, "checkpoint_path", mmap=True)
    check_known(state)
    vggish = {f"audio_encoder.{key}": value for key, value in read_vggish(vggish_path, "vggish_path").items()}
    found = Released(state, [vggish, *_bases(Released(state), language_model, vision, sam)])
    if config is None:
        config = released_config(found, language_model)
    with torch.device("meta"):
        model = SimTokenModel(config)
    _check(found, model.state_dict())
    processor = SimTokenProcessor.from_config(config, _tokenizer(language_model, config.language_config.vocab_size))
    with staged_folder(output_dir) as folder:
        read = found.tensor if keep_lora else found.merged
        precision = getattr(torch, dtype)
        write_shards(((name, read(name).to(precision)) for name in model.state_dict()), folder, shard_bytes)
        _save_config(config, precision, folder)
        processor.save_pretrained(folder)
        if keep_lora:
            _save_adapter(found, folder / "adapter")
    return model, sorted(found.unused)


def check_known(state: Mapping[str, torch.Tensor]) -> None:
    """A file of SimToken says how its prompt is made.

    Raises:
        ValueError: that names keys of a file that does not.
    """
    if not any(current_names(key)[0].startswith("text_hidden_fcs.") for key in state):
        raise ValueError(
            f"checkpoint_path: this is no SimToken checkpoint, it holds {', '.join(sorted(state)[:3])}, ..."
        )


def _bases(found: Released, language_model: str | Path, vision: str, sam: str) -> Iterator[Mapping[str, torch.Tensor]]:
    """What the file was trained from, as far as the file lacks it."""
    held = {name.partition(".")[0] for name in found.names if not name.startswith("language_model.embed_tokens")}
    if not {"language_model", "mm_projector"} <= held:
        yield _RenamedTensors(TensorFolder(language_model, "language_model"))
    if "vision_encoder" not in held:
        yield {
            f"vision_encoder.{key}": value for key, value in load_encoder(vision, "vision_config").state_dict().items()
        }
    if not any(name.startswith("sam.vision_encoder.") for name in found.names):
        yield {f"sam.{key}": value for key, value in load_host("sam", sam, SamModel).state_dict().items()}


class _RenamedTensors(Mapping):
    """Those tensors of a folder of Chat-UniVi that a released file may lack, by their names here."""

    def __init__(self, tensors: TensorFolder):
        self.tensors = tensors
        names = {name: key for key in tensors for name in current_names(key) if not UNUSED_KEYS.search(key)}
        kept = ("language_model.layers.", "language_model.norm.", "mm_projector.")
        self.keys_by_name = {name: key for name, key in names.items() if name.startswith(kept)}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[self.keys_by_name[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_by_name)

    def __len__(self) -> int:
        return len(self.keys_by_name)


def _check(found: Released, expected: dict[str, torch.Tensor]) -> None:
    """Names and shapes of all tensors, and of the LoRA of every layer of the language model."""
    shapes = {name: torch.empty_like(found.tensor(name), device="meta") for name in found.names}
    adapted = [name for name in expected if re.fullmatch(r"language_model\..*\.[qv]_proj\.weight", name)]
    kinds = {f"{name} (lora_{kind})" for name, keys in found.adapters.items() for kind in keys}
    wanted = {f"{name} (lora_{kind})": torch.empty(0) for name in adapted for kind in "AB"}
    check_state({**shapes, **dict.fromkeys(kinds, torch.empty(0))}, {**expected, **wanted}, "a SimToken checkpoint")
    for name in adapted:
        down, up = found.lora(name)
        if (len(up), len(down), down.shape[1]) != (len(expected[name]), up.shape[1], expected[name].shape[1]):
            raise ValueError(f"{name}: its LoRA is {list(up.shape)} times {list(down.shape)}, which does not fit it")
        check_finite({f"lora_A of {name}": down, f"lora_B of {name}": up})


def _tokenizer(folder: str | Path, words: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, for a language model of `words` tokens."""
    tokenizer = load_tokenizer("language_model", folder)
    if len(tokenizer) > words:
        raise ValueError(
            f"language_model: the tokenizer of {folder} has {len(tokenizer)} tokens, the language model of the file "
            f"{words}; give the folder that was trained from"
        )
    return tokenizer


def _save_config(config: SimTokenConfig, precision: torch.dtype, folder: Path) -> None:
    config.architectures, config.auto_map, config.dtype = [SimTokenModel.__name__], dict(AUTO_MAP), precision
    config.save_pretrained(folder)
    write_stub(folder)


def _save_adapter(found: Released, folder: Path) -> None:
    """The LoRA as `peft` loads it onto the converted model."""
    from peft import LoraConfig

    folder.mkdir()
    tensors = {}
    for name in found.adapters:
        layer = name.removesuffix(".weight")
        for kind, matrix in zip("AB", found.lora(name), strict=True):
            tensors[f"base_model.model.{layer}.lora_{kind}.weight"] = matrix
    rank = len(found.lora(next(iter(found.adapters)))[0])
    targets = r"language_model\..*\.[qv]_proj"
    LoraConfig(r=rank, lora_alpha=LORA_SCALE * rank, target_modules=targets, lora_dropout=0.05).save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
