"""Files as the methods' authors publish them, of tiny models, and the sizes that `convert` then has to expect."""

import re
from functools import partial

import torch
from tiny.configurations import tiny_config, tiny_pyramid_config

import referformer_reference
from avsegformer_reference import released_file
from lavseg.backbones.vggish import VggishConfig, VggishModel, convert_vggish
from lavseg.data import build_tokenizer
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, convert_aural_sam2
from lavseg.models.avsegformer import AvsegFormerConfig, AvsegFormerModel, convert_avsegformer
from lavseg.models.eemc import EemcConfig, EemcModel, convert_eemc
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel, convert_referformer
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, convert_sama_avs
from lavseg.models.simtoken import SimTokenConfig, SimTokenModel, convert_simtoken
from lavseg.models.st_bava import StBavaConfig, StBavaModel, convert_st_bava
from lavseg.models.stepping_stones import SteppingStonesConfig, SteppingStonesModel, convert_stepping_stones
from lavseg.models.tpavi import TpaviConfig, TpaviModel, convert_tpavi
from sam_reference import both, released_checkpoint, released_sam_keys

ST_BAVA_BLOCK = [
    *both(*(f"{mlp}.lin{i}" for mlp in ("embed_vis", "embed_audio", "embed_audio2", "embed_av") for i in (1, 2))),
    *both(*(f"norm{name}" for name in ("1", "2", "3_1", "3_2", "4", "5_1", "5_2", "6"))),
    *(f"{a}.{p}" for a in ("avt_attention", "avs_attention") for p in ("in_proj_weight", "in_proj_bias")),
    *both("avt_attention.out_proj", "avs_attention.out_proj"),
]
PROMPTS = [
    *(f"prompt_encoder.point_embeddings.{index}.weight" for index in range(4)),
    "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.no_mask_embed.weight",
    *both(*(f"prompt_encoder.mask_downscaling.{index}" for index in (0, 1, 3, 4, 6))),
]


def vggish_file(folder):
    torch.save(VggishModel(tiny_config(VggishConfig)).state_dict(), folder / "vggish.pth")
    return folder / "vggish.pth", []


def sama_avs_file(folder):
    model = SamaAvsModel(tiny_config(SamaAvsConfig))
    sound = [f"audio_encoder.audio_backbone.{key}" for key in model.audio_encoder.state_dict()]
    keys = [*released_sam_keys(blocks=3), "no_mask_embed.weight", *sound]
    torch.save(released_checkpoint(model, keys, convert_sama_avs.SAMA_AVS_KEYS), folder / "sama_avs.pth")
    return folder / "sama_avs.pth", []


def st_bava_file(folder):
    model = StBavaModel(tiny_config(StBavaConfig))
    blocks = [f"layers.{index}.{key}" for index in range(2) for key in ST_BAVA_BLOCK]
    keys = [*released_sam_keys(blocks=3), *PROMPTS, *both("audio_embed_layer"), *blocks]
    state = released_checkpoint(model, keys, convert_st_bava.ST_BAVA_KEYS)
    state |= {key: torch.randn(2, 16) for key in convert_st_bava.UNUSED_KEYS}
    torch.save(state, folder / "st_bava.pth")
    return folder / "st_bava.pth", ["--vggish", vggish_file(folder)[0]]


def aural_sam2_file(folder):
    """A fuser in a file of its own, and the host in a folder; the names of the fuser's weights are ours after `own.`"""
    model = AuralSam2Model(tiny_config(AuralSam2Config, use_text=False))
    model.sam2.save_pretrained(folder / "host")
    fuser = {f"own.{key}": value for key, value in model.state_dict().items() if not key.startswith("sam2.")}
    torch.save({"model": fuser}, folder / "aural_sam2.pth")
    return folder / "aural_sam2.pth", ["--sam2", folder / "host"]


def avsegformer_file(folder):
    torch.save(released_file(AvsegFormerModel(tiny_config(AvsegFormerConfig))), folder / "avsegformer.pth")
    return folder / "avsegformer.pth", []


# The rules of `convert eemc`, from the last to the first, read backwards.
EEMC_NAMES = [
    (r"(\.blocks\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"(\.blocks\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.relative_position_bias\.relative_position_bias_table$", ".self.relative_position_bias_table"),
    (r"\.attention\.q_proj\.", ".attention.self.query."),
    (r"\.attention\.k_proj\.", ".attention.self.key."),
    (r"\.attention\.v_proj\.", ".attention.self.value."),
    (r"\.encoder\.swin\.", ".encoder."),
    (r"\.self_attn\.adapter\.", ".self_attn.avs_adapt."),
    (r"^fusion\.integration\.", "mha_mm."),
    (r"^fusion\.image_text\.", "mha_V_T."),
    (r"^fusion\.audio_text\.", "mha_A_T."),
    (r"^fusion\.", ""),
    (r"^mask2former\.", "model_v."),
    (r"^query_attention\.", "model_v.model.transformer_module.ref_avs_attn."),
]


def eemc_file(folder):
    """A model without its encoders, and those in places of their own."""
    tokenizer = build_tokenizer()
    model = EemcModel(tiny_config(EemcConfig, len(tokenizer)))
    state = {}
    for key, value in model.state_dict().items():
        if not key.startswith(("audio_encoder.", "text_encoder.")):
            for pattern, name in EEMC_NAMES:
                key = re.sub(pattern, name, key)
            state[key] = torch.randn_like(value)
    torch.save(state | {"model_v.criterion.empty_weight": torch.ones(3)}, folder / "eemc.pth")
    model.text_encoder.save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    return folder / "eemc.pth", ["--vggish", vggish_file(folder)[0], "--text", folder / "text"]


# The rules of `convert simtoken`, read backwards.
SIMTOKEN_NAMES = [
    (r"\.shared_embedding\.positional_embedding$", ".pe_layer.positional_encoding_gaussian_matrix"),
    (r"layer_norm_final_attn", "norm_final_attn"),
    (r"(mask_decoder\.transformer\.layers\.\d+)\.layer_norm", r"\1.norm"),
    (r"(mask_decoder\..*)\.proj_out\.(weight|bias)$", r"\1.layers.2.\2"),
    (r"(mask_decoder\.(?!transformer).*)\.layers\.0\.(weight|bias)$", r"\1.layers.1.\2"),
    (r"(mask_decoder\..*)\.proj_in\.(weight|bias)$", r"\1.layers.0.\2"),
    (r"mask_decoder\.upscale_conv1", "mask_decoder.output_upscaling.0"),
    (r"mask_decoder\.upscale_layer_norm", "mask_decoder.output_upscaling.1"),
    (r"mask_decoder\.upscale_conv2", "mask_decoder.output_upscaling.3"),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"^(sam\.vision_encoder\.neck)\.conv1", r"\1.0"),
    (r"^(sam\.vision_encoder\.neck)\.layer_norm1", r"\1.1"),
    (r"^(sam\.vision_encoder\.neck)\.conv2", r"\1.2"),
    (r"^(sam\.vision_encoder\.neck)\.layer_norm2", r"\1.3"),
    (r"^(sam\.vision_encoder)\.layers\.(\d+)\.layer_norm", r"\1.blocks.\2.norm"),
    (r"^(sam\.vision_encoder)\.layers\.", r"\1.blocks."),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"^sam\.vision_encoder\.", "sam.image_encoder."),
    (r"^sam\.", "model.visual_model."),
    (r"^vision_encoder\.", "model.vision_tower.vision_tower.vision_model."),
    (r"^text_hidden_fcs\.", "model.text_hidden_fcs.0."),
    (r"^mm_projector\.", "model.mm_projector."),
    (r"^language_model\.", "model."),
    (r"^", "base_model.model."),
]


def simtoken_state(model, lora=".default"):
    """A model without VGGish as the release saves it, with a LoRA of rank 2 in one of its spellings."""
    state, generator = {}, torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.startswith("audio_encoder.") or name.startswith("sam.shared_image_embedding."):
            continue
        key = name
        for pattern, former in SIMTOKEN_NAMES:
            key = re.sub(pattern, former, key)
        state[key] = value
        if re.search(r"self_attn\.[qv]_proj\.weight$", key) and name.startswith("language_model."):
            layer = key.removesuffix(".weight")
            state[f"{layer}.lora_A{lora}.weight"] = torch.randn(2, value.shape[1], generator=generator)
            state[f"{layer}.lora_B{lora}.weight"] = torch.randn(len(value), 2, generator=generator)
    return state


def simtoken_file(folder):
    """A whole model, and a tokenizer in the place of the one it was trained from."""
    tokenizer = build_tokenizer()
    torch.save(simtoken_state(SimTokenModel(simtoken_config())), folder / "simtoken.pth")
    tokenizer.save_pretrained(folder / "language")
    return folder / "simtoken.pth", ["--vggish", vggish_file(folder)[0], "--language-model", folder / "language"]


def simtoken_config():
    return tiny_config(SimTokenConfig, len(build_tokenizer()))


# As those of EEMC, with what has an adapter at it.
STEPPING_STONES_NAMES = [
    (r"\.(o_proj|fc2|output_proj|out_proj)\.projection\.", r".\1."),
    (r"\.o_proj\.adapter\.", ".output.swin_adapt_1."),
    (r"\.mlp\.fc2\.adapter\.", ".output.swin_adapt_3."),
    (r"\.(output_proj|out_proj)\.adapter\.", ".avs_adapt."),
    *EEMC_NAMES[:8],
    (r"^audio_projection\.", "audio_proj."),
    (r"^prior\.(\w+)$", r"mask2former.model.transformer_module.\1.weight"),
    (r"^mask2former\.", "model."),
]


def stepping_stones_state(model):
    """The file that the release would have written of a model."""
    state = {}
    for key, value in model.state_dict().items():
        if not key.startswith("audio_encoder."):
            for pattern, name in STEPPING_STONES_NAMES:
                key = re.sub(pattern, name, key)
            state[key] = torch.randn_like(value)
    return state | {"model.criterion.empty_weight": torch.ones(3)}


def stepping_stones_file(folder):
    model = SteppingStonesModel(tiny_config(SteppingStonesConfig))
    torch.save(stepping_stones_state(model), folder / "stepping_stones.pth")
    return folder / "stepping_stones.pth", ["--vggish", vggish_file(folder)[0]]


def tpavi_file(folder):
    tpavi_files(TpaviModel(tpavi_config()), folder, unused=False)
    return folder / "model.pth", ["--vggish", folder / "vggish.pth"]


def _tpavi_key(name):
    """The official key of a tensor here, the reverse of `TPAVI_KEYS`, for the parts that a test can do without it."""
    stages = {"blocks": "tpavi_b", "stages": "conv"}
    part, number, *rest = name.split(".")
    if part == "decoder" and number == "paths":
        unit = {"skip": "resConfUnit1", "unit": "resConfUnit2"}[rest[1]]
        return ".".join([f"path{int(rest[0]) + 1}", unit, *rest[2:]])
    if part == "decoder":
        return ".".join(["output_conv", {"conv1": "0", "conv2": "2", "conv3": "4"}[number], *rest])
    if part == "stages":
        return ".".join([f"conv{int(number) + 1}", "conv2d_list", *rest[1:]])
    if part == "blocks":
        layers = {"audio_projection": "align_channel", "output": "W_z.0", "batch_norm": "W_z.1", "norm": "norm_layer"}
        return ".".join([f"{stages[part]}{int(number) + 1}", layers.get(rest[0], rest[0]), *rest[1:]])
    return None


def _resnet_key(name):
    parts = name.removeprefix("vision.").split(".")
    kinds = {"convolution": "conv", "normalization": "bn"}
    if parts[0] == "embedder":
        return f"resnet.{kinds[parts[2]]}1.{parts[3]}"
    stage, block = ("1", "2", "3_1", "4_1")[int(parts[2])], parts[4]
    if parts[5] == "shortcut":
        return f"resnet.layer{stage}.{block}.downsample.{list(kinds).index(parts[6])}.{parts[7]}"
    return f"resnet.layer{stage}.{block}.{kinds[parts[7]]}{int(parts[6]) + 1}.{parts[8]}"


def tpavi_config(**fields):
    return tiny_config(TpaviConfig, vision_config=tiny_pyramid_config("resnet"), **fields)


def tpavi_files(model, folder, unused=True):
    """The files that the release would have written of a model: 1x1x1 convolutions, and what it never runs."""
    state, vggish = {}, {}
    for name, value in model.state_dict().items():
        if name.startswith("audio_encoder."):
            vggish[name.removeprefix("audio_encoder.")] = value
            continue
        key = _resnet_key(name) if name.startswith("vision.") else _tpavi_key(name)
        plain = not key.startswith("tpavi_b") or ".align_channel." in key or value.dim() < 2
        state[key] = value if plain else value[..., None, None, None]
    if unused:
        state["path4.resConfUnit1.conv1.bias"] = torch.zeros(256)
        state["resnet.layer3_2.0.conv1.weight"] = torch.zeros(2, 2)
    torch.save(state, folder / "model.pth")
    torch.save(vggish, folder / "vggish.pth")
    return state


def referformer_file(folder):
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder / "words")
    torch.manual_seed(0)
    model = ReferFormerModel(tiny_config(ReferFormerConfig, len(tokenizer)))
    torch.save({"model": referformer_reference.released_file(model), "epoch": 5}, folder / "referformer.pth")
    return folder / "referformer.pth", ["--text", folder / "words"]


# By name, what writes a method's file into a folder and returns its path and options that go with it.
PUBLISHED = {
    "vggish": vggish_file,
    "sama_avs": sama_avs_file,
    "st_bava": st_bava_file,
    "aural_sam2": aural_sam2_file,
    "avsegformer": avsegformer_file,
    "eemc": eemc_file,
    "simtoken": simtoken_file,
    "stepping_stones": stepping_stones_file,
    "referformer": referformer_file,
    "tpavi": tpavi_file,
}


def own_names(state):
    """The fuser's weights of `aural_sam2_file`."""
    return {key.removeprefix("own."): value for key, value in state.items()}


def tiny_stepping_stones(**fields):
    return tiny_config(SteppingStonesConfig, **fields)


def expect_tiny(set_attribute=setattr):
    """Have `convert` expect the sizes of these files."""
    tiny = tiny_config(AuralSam2Config, use_text=False)
    set_attribute(convert_vggish, "VggishConfig", partial(tiny_config, VggishConfig))
    set_attribute(convert_sama_avs, "SamaAvsConfig", partial(tiny_config, SamaAvsConfig))
    set_attribute(convert_eemc, "EemcConfig", partial(tiny_config, EemcConfig))
    words = len(build_tokenizer())
    set_attribute(convert_referformer, "ReferFormerConfig", lambda **fields: tiny_config(ReferFormerConfig, words))
    set_attribute(convert_st_bava, "StBavaConfig", partial(tiny_config, StBavaConfig))
    set_attribute(convert_aural_sam2, "AuralSam2Config", lambda **fields: tiny)
    set_attribute(convert_aural_sam2, "sam2_config_of", lambda state, image_size: tiny.sam2_config)
    set_attribute(convert_aural_sam2, "fuser_state_from_release", own_names)
    set_attribute(convert_avsegformer, "AvsegFormerConfig", partial(tiny_config, AvsegFormerConfig))
    set_attribute(convert_avsegformer, "pvt_v2_b5_config", lambda: tiny_config(AvsegFormerConfig).vision_config)
    set_attribute(convert_simtoken, "released_config", lambda found, language_model: simtoken_config())
    set_attribute(convert_stepping_stones, "SteppingStonesConfig", tiny_stepping_stones)
    set_attribute(convert_tpavi, "released_config", lambda state: tpavi_config())
