"""Every recipe of the package, at tiny size: built from encoders as it says, trained for two steps, evaluated."""

import copy
import math

import pytest
import torch
from safetensors.torch import save_file
from tiny.configurations import (
    nano_mask2former_config,
    nano_sam2_config,
    nano_sam_config,
    tiny_config,
    tiny_pyramid_config,
)
from transformers import (
    AutoModel,
    CLIPConfig,
    CLIPImageProcessor,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Sam2VideoModel,
    SamModel,
    ViTImageProcessor,
)

from lavseg.backbones.mask2former.modeling_mask2former import PromptedMask2Former
from lavseg.backbones.pyramids import build_pyramid
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.data import write_avsbench, write_ref_avs
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel, ReferFormerProcessor
from lavseg.models.sam2_love import Sam2LoveConfig
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from lavseg.models.tpavi import TpaviConfig
from lavseg.recipe_files import load_recipe, shipped_recipes
from lavseg.training.run import parse, prepare

FRAME = (32, 40)
RUN = {"use_cpu": "true", "bf16": "false", "dataloader_num_workers": 0, "disable_tqdm": "true", "max_steps": 2}
RUN |= {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 1, "warmup_steps": 0, "report_to": "none"}
RUN |= {"save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": "false"}
# In place of the sizes that a recipe leaves at a method's defaults, or that its published encoders ask for.
SIZES = {
    "sam2-love": {"hidden_size": 96, "num_attention_heads": 4, "intermediate_size": 96, "projection_size": 96},
    "aural-sam2": {"visual_depths": [1, 1, 1], "token_depths": [1, 1, 1], "mlp_ratio": 1, "fusion_size": 32},
    "st-bava": {"num_attention_heads": 4, "adapter_size": 32},
    "sama-avs": {"adapter_size": 32},
    "tpavi": {"frame_size": 64, "hidden_size": 32, "fusion_size": 16},
    "avsegformer": {
        **{"frame_size": 64, "hidden_size": 64, "num_attention_heads": 4, "num_queries": 20, "intermediate_size": 64},
        **{"num_encoder_layers": 1, "num_decoder_layers": 1, "num_generator_layers": 1, "mask_hidden_size": 32},
        "generator_intermediate_size": 64,
    },
    "referformer": {},
    "gavs": {"adapter_size": 16, "first_adapted_block": 1},
    "simtoken": {"merge_levels": [[8, 3], [4, 3]]},
    "stepping-stones": {"frame_size": 128, "num_queries": 8, "projection_size": 32},
    "eemc": {"frame_size": 128, "intermediate_size": 32, "num_attention_heads": 4, "adapter_size": 8},
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders of data sets by the layout that a recipe names."""
    folder, counts = tmp_path_factory.mktemp("data"), {"train": 2, "val": 1}
    return {
        "ref_avs": write_ref_avs(folder / "ref_avs", counts, 3, FRAME),
        "avsbench": write_avsbench(
            folder / "avsbench", dict.fromkeys(("s4", "ms3", "v1s", "v1m", "v2"), counts), FRAME
        ),
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory, tokenizer):
    """Folders with tiny stand-ins for the encoders, by the names that recipes have for them."""
    folder, words = tmp_path_factory.mktemp("encoders"), len(tokenizer)
    torch.manual_seed(0)
    Sam2VideoModel(nano_sam2_config(128)).save_pretrained(folder / "sam2")
    SamModel(nano_sam_config(128)).save_pretrained(folder / "sam")
    PromptedMask2Former(nano_mask2former_config()).save_pretrained(folder / "mask2former")
    VggishModel(tiny_config(VggishConfig, embedding_size=64)).save_pretrained(folder / "vggish")
    love = tiny_config(Sam2LoveConfig, words)
    AutoModel.from_config(love.vision_config).save_pretrained(folder / "vit")
    ViTImageProcessor(size={"height": 96, "width": 96}).save_pretrained(folder / "vit")
    AutoModel.from_config(love.text_config).save_pretrained(folder / "roberta")
    for name in ("pvt_v2", "resnet"):
        build_pyramid(tiny_config(TpaviConfig, vision_config=tiny_pyramid_config(name)).vision_config).save_pretrained(
            folder / name
        )
    tower = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    clip = CLIPConfig(text_config={**tower, "vocab_size": words}, vision_config=vision, projection_dim=32)
    AutoModel.from_config(clip).save_pretrained(folder / "clip")
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder / "clip")
    _save_language_models(folder, words)
    for name in ("roberta", "clip", "chat_univi"):
        tokenizer.save_pretrained(folder / name)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = "{% for turn in messages %}{{ turn['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder / "qwen")
    named = dict.fromkeys(("facebook/sam2-hiera-large", "facebook/sam2-hiera-base-plus"), "sam2")
    named |= dict.fromkeys(("facebook/sam-vit-huge", "facebook/sam-vit-base"), "sam")
    named |= dict.fromkeys(("distilbert/distilroberta-base", "FacebookAI/roberta-base"), "roberta")
    named["facebook/mask2former-swin-base-ade-semantic"] = "mask2former"
    named |= {"google/vit-base-patch16-224": "vit", "openai/clip-vit-base-patch16": "clip", None: "vggish"}
    named |= {"Chat-UniVi/Chat-UniVi-7B-v1.5": "chat_univi", "Qwen/Qwen2.5-0.5B-Instruct": "qwen"}
    named |= {"openai/clip-vit-large-patch14": "clip", "OpenGVLab/pvt_v2_b5": "pvt_v2", "microsoft/resnet-50": "resnet"}
    return {name: str(folder / stand_in) for name, stand_in in named.items()}


def _save_language_models(folder, words):
    sizes = {"vocab_size": words, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(folder / "chat_univi")
    projector = {"model.mm_projector.weight": torch.randn(32, 64), "model.mm_projector.bias": torch.zeros(32)}
    save_file(projector, folder / "chat_univi" / "projector.safetensors")
    Qwen2ForCausalLM(Qwen2Config(**sizes, tie_word_embeddings=True)).save_pretrained(folder / "qwen")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tokenizer):
    """Saves the tiny checkpoints of earlier stages that a recipe without encoders starts from."""

    def save(name, config, model_class, processor_class, *words):
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        model_class(config).save_pretrained(folder)
        processor_class.from_config(config, *words).save_pretrained(folder)
        return str(folder)

    def make(method, fields):
        if method == "aural-sam2":
            config = tiny_config(AuralSam2Config, use_text=False)
            return [save("masks", config, AuralSam2Model, AuralSam2Processor)]
        if method == "referformer":
            config = tiny_config(ReferFormerConfig, len(tokenizer), **fields)
            return [save("video", config, ReferFormerModel, ReferFormerProcessor, tokenizer)]
        fusion = {name: value for name, value in fields.items() if not name.startswith(("use_", "train_"))}
        config = tiny_config(StBavaConfig, **fusion, use_adapters=False)
        adapters = tiny_config(SamaAvsConfig)
        return [
            save("fusion", config, StBavaModel, StBavaProcessor),
            save("adapters", adapters, SamaAvsModel, SamaAvsProcessor),
        ]

    return make


@pytest.mark.parametrize("name", [recipe.name for recipe in shipped_recipes()])
def test_it_trains_and_is_evaluated(tmp_path, data, published, trained, name):
    recipe = load_recipe(name)
    method, fields = recipe.keys["method"], recipe.keys.get("model", {})
    run, *_ = parse([name, "--data=R", "--out=O", "--use_cpu", "--bf16=false"])
    given = {**RUN, "data": data[run.dataset], "out": tmp_path}
    nulls = recipe.keys.get("synthetic_null_probability")
    given["per_device_train_batch_size"] = 2 if nulls else recipe.keys.get("sentences_per_clip", 1)
    arguments = [f"--{key}={value}" for key, value in given.items()]
    if run.label_size is not None:
        arguments += ["--label_size", "32", "40"]
    if run.encoders:
        arguments += [f"--{encoder}={published[value]}" for encoder, value in run.encoders.items()]
        arguments.append(f"--audio={published[None]}")
        arguments += [f"--set=model.{key}={value}" for key, value in SIZES[method].items()]
    else:
        arguments += ["--model", *trained(method, fields)]
    trainer, _ = prepare([name, *arguments])
    before = {key: value.clone() for key, value in trainer.model.named_parameters() if value.requires_grad}
    assert math.isfinite(trainer.train().training_loss)
    assert any(not torch.equal(value, before[key]) for key, value in trainer.model.named_parameters() if key in before)
    config = trainer.accelerator.unwrap_model(trainer.model).config.to_dict()
    sized = SIZES[method] if run.encoders else {}
    for key, value in fields.items():
        assert key in sized or config[key] == (tuple(value) if isinstance(config[key], tuple) else value), key
    scores = trainer.evaluate()
    assert math.isfinite(scores[f"eval_{recipe.keys.get('metric_for_best_model', 'val_loss')}"])
