import json
import re

import pytest
import torch
from transformers import AutoModel, AutoProcessor, RobertaConfig, RobertaModel

from conftest import golden_files
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model
from lavseg.models.aural_sam2.convert_aural_sam2 import (
    convert_aural_sam2_checkpoint,
    current_names,
    fuser_state_from_release,
    holds_host,
    read_release,
)
from released_files import released_fuser
from sam2_reference import numbered, original_sam2

# A released name of every kind of module, and ours.
FUSER_NAMES = {
    "vgg.features.0.weight": "audio_encoder.features.0.weight",
    "patch_embeds.2.bias": "fuser.levels.2.patch_embed.bias",
    "f_blocks.2.11.norm1.weight": "fuser.levels.2.frame_blocks.11.norm1.weight",
    "f_blocks.0.1.attn.q.weight": "fuser.levels.0.frame_blocks.1.attention.query.weight",
    "f_blocks.0.1.attn.kv.bias": "fuser.levels.0.frame_blocks.1.attention.key_value.bias",
    "f_blocks.0.1.attn.proj.bias": "fuser.levels.0.frame_blocks.1.attention.output.bias",
    "f_blocks.0.1.attn.sr.weight": "fuser.levels.0.frame_blocks.1.attention.reduction.weight",
    "f_blocks.0.1.attn.norm.weight": "fuser.levels.0.frame_blocks.1.attention.reduction_norm.weight",
    "f_blocks.1.5.mlp.fc1.weight": "fuser.levels.1.frame_blocks.5.linear1.weight",
    "f_blocks.1.5.mlp.dwconv.dwconv.weight": "fuser.levels.1.frame_blocks.5.depthwise.weight",
    "a_blocks.1.2.mlp.fc2.bias": "fuser.levels.1.token_blocks.2.linear2.bias",
    "a_blocks.1.2.attn.kv.weight": "fuser.levels.1.token_blocks.2.attention.key_value.weight",
    "a_blocks.1.2.norm2.bias": "fuser.levels.1.token_blocks.2.norm2.bias",
    "fusion_modules.0.align_channel.weight": "fuser.levels.0.fusion.align.weight",
    "fusion_modules.0.q_frame.weight": "fuser.levels.0.fusion.frame_query.weight",
    "fusion_modules.0.k_frame.weight": "fuser.levels.0.fusion.frame_key.weight",
    "fusion_modules.0.v_audio.bias": "fuser.levels.0.fusion.token_value.bias",
    "fusion_modules.2.W_z.0.weight": "fuser.levels.2.fusion.frame_output.weight",
    "fusion_modules.2.W_z.1.running_var": "fuser.levels.2.fusion.frame_batch_norm.running_var",
    "fusion_modules.2.W_z2.0.bias": "fuser.levels.2.fusion.token_output.bias",
    "fusion_modules.2.W_z2.1.weight": "fuser.levels.2.fusion.token_batch_norm.weight",
    "fusion_modules.1.norm_layer.weight": "fuser.levels.1.fusion.frame_norm.weight",
    "fusion_modules.1.norm_layer2.weight": "fuser.levels.1.fusion.token_norm.weight",
    "smooth_convs.0.weight": "fuser.levels.1.smooth.weight",
    "smooth_convs.1.bias": "fuser.levels.2.smooth.bias",
    "train_proj_v1.proj.0.weight": "fuser.frame_head.0.weight",
    "train_proj_a1.proj.3.bias": "fuser.token_head.3.bias",
    "text_proj.2.weight": "fuser.text_projection.2.weight",
}


@pytest.fixture(scope="module")
def tiny_host(tmp_path_factory):
    path = tmp_path_factory.mktemp("sam2") / "sam2_hiera_tiny.pt"
    torch.save({"model": numbered(original_sam2(hiera_sam2_config("tiny")))}, path)
    return path


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory, tokenizer):
    """Folder of a small text encoder of the released width, with its tokenizer."""
    folder = tmp_path_factory.mktemp("text")
    config = RobertaConfig(vocab_size=len(tokenizer), num_hidden_layers=1, intermediate_size=64, num_attention_heads=4)
    RobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save(state, path):
    torch.save(state, path)
    return path


def oldest_names(state):
    """The layout in which all trained modules stand in two lists as well, VGGish only in one of them."""
    modules = ["patch_embeds.0", "patch_embeds.1", "patch_embeds.2"]
    modules += [f"{module}.{level}" for level in range(3) for module in ("f_blocks", "a_blocks", "fusion_modules")]
    modules += ["smooth_convs.0", "smooth_convs.1", "train_proj_v1", "train_proj_a1", "text_proj"]
    old = {}
    for name, value in state.items():
        for number, module in enumerate(modules):
            if name.startswith(f"{module}."):
                old[f"training_layers.{number}.{name.removeprefix(module + '.')}"] = value
        if name.startswith("vgg."):
            old[f"finetuning_layers.0.{name.removeprefix('vgg.')}"] = value
    return old


def old_names(state):
    modules = {
        "patch_embeds": "train_f_patch_embed",
        "f_blocks": "train_f_block",
        "a_blocks": "train_a_block",
        "fusion_modules": "train_f_a_block",
        "smooth_convs": "train_smooth",
    }
    pattern = re.compile(rf"({'|'.join(modules)})\.(\d)\.")
    return {pattern.sub(lambda m: f"{modules[m[1]]}{int(m[2]) + 1}.", name): value for name, value in state.items()}


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("auralsam2/keys_aural_fuser_*.json"))
def test_the_released_fuser_has_the_names_and_shapes_assumed_here(file):
    expected = {name: tuple(shape) for name, shape in json.loads(file.read_text()).items()}
    assert released_fuser(use_text=file.stem.endswith("ref")) == expected


@pytest.mark.parametrize("released, ours", FUSER_NAMES.items())
def test_fuser_names_are_pinned(released, ours):
    assert list(fuser_state_from_release({released: torch.zeros(3)})) == [ours]


@pytest.mark.parametrize("use_text", [True, False])
@pytest.mark.parametrize("layout", [old_names, oldest_names, lambda state: {**oldest_names(state), **old_names(state)}])
def test_older_layouts_hold_the_same_tensors(layout, use_text):
    state = numbered(released_fuser(use_text))
    renamed, duplicates = current_names(layout(state))
    assert renamed.keys() == state.keys()
    assert all(renamed[name] is state[name] for name in state)
    assert len(duplicates) == len(layout(state)) - len(state)


def test_a_fuser_and_its_host_fit_the_model(tmp_path, tiny_host):
    fuser = numbered(released_fuser(use_text=False))
    config, state, unused = read_release(save(fuser, tmp_path / "avs.pth"), tiny_host)
    assert not config.use_text and config.behavior == "release" and config.conditioning_frame == "first"
    dead = [name for name in fuser if re.match(r"a_blocks.*(sr|attn\.norm|dwconv)|.*(\.g\.|align_channel_back)", name)]
    assert len(dead) == 66 and sorted(unused) == sorted(dead)
    for released, ours in FUSER_NAMES.items():
        if released in fuser and ours in state:
            assert state[ours].flatten()[0] == fuser[released].flatten()[0]


@pytest.mark.parametrize("zipped", [True, False])
def test_whether_a_file_holds_its_host_is_read_from_its_names(tmp_path, monkeypatch, zipped):
    loaded, load = [], torch.load
    monkeypatch.setattr(
        torch, "load", lambda *args, mmap, **kwargs: loaded.append(mmap) or load(*args, mmap=mmap, **kwargs)
    )
    for key, expected in {"aural_fuser.vgg.bias": False, "v_model.no_mem_embed": True}.items():
        torch.save({key: torch.zeros(2)}, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
        assert holds_host(tmp_path / "file.pth") == expected
    assert loaded == [zipped, zipped]


def test_a_whole_model_becomes_a_folder_that_the_auto_classes_load(tmp_path, tiny_host, text_encoder):
    """In one of the older layouts, with a text encoder and its unread pooler."""
    whole = {f"v_model.{name}": value for name, value in torch.load(tiny_host)["model"].items()}
    fuser = numbered(released_fuser(use_text=True))
    whole |= {f"audio_prompter.{name}": value for name, value in old_names(fuser).items()}
    whole |= {
        f"t_model.{name}": value for name, value in RobertaModel.from_pretrained(text_encoder).state_dict().items()
    }
    output_dir = tmp_path / "new" / "model"
    path = save(whole, tmp_path / "whole.pth")
    model, unused = convert_aural_sam2_checkpoint(path, output_dir, text=text_encoder, image_size=256)
    assert {"t_model.pooler.dense.weight", "t_model.pooler.dense.bias"} <= set(unused) and len(unused) == 68

    loaded = AutoModel.from_pretrained(output_dir)
    assert isinstance(loaded, AuralSam2Model) and loaded.config.conditioning_frame == "middle"
    assert loaded.config.sam2_config.image_size == 256
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    for released, ours in FUSER_NAMES.items():
        value = state[ours].flatten()
        assert (value == fuser[released].flatten()[0]).all()
    processor = AutoProcessor.from_pretrained(output_dir)
    assert processor.needs_text and processor.image_processor.size["height"] == 256


def change(state, **tensors):
    return {**state, **{name.replace("__", "."): value for name, value in tensors.items()}}


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda s: change(s, stranger__weight=torch.zeros(2)), "unexpected keys: stranger.weight"),
        (lambda s: change(s, smooth_convs__0__bias=torch.zeros(2)), r"smooth.bias is \[2\] instead of \[256\]"),
        (
            lambda s: {k: v for k, v in s.items() if k != "smooth_convs.1.bias"},
            "missing keys: fuser.levels.2.smooth.bias",
        ),
        (lambda s: {}, "missing keys"),
        (lambda s: {"epoch": 3, **s}, "does not hold a state dict"),
        (lambda s: change(s, v_model__x=torch.zeros(1)), "unknown keys"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path, tiny_host, spoil, message):
    path = save(spoil(numbered(released_fuser(use_text=False))), tmp_path / "spoilt.pth")
    with pytest.raises(ValueError, match=message):
        convert_aural_sam2_checkpoint(path, tmp_path / "out", tiny_host)
    assert [entry.name for entry in tmp_path.iterdir()] == ["spoilt.pth"]


def test_a_truncated_file_a_full_folder_and_a_missing_host_are_named(tmp_path, tiny_host):
    path = save(numbered(released_fuser(use_text=False)), tmp_path / "avs.pth")
    with pytest.raises(ValueError, match=r"sam2: .* holds no host"):
        convert_aural_sam2_checkpoint(path, tmp_path / "out")
    with pytest.raises(ValueError, match="give a new or an empty folder"):
        convert_aural_sam2_checkpoint(path, tmp_path, tiny_host)
    with pytest.raises(ValueError, match="checkpoint_path: there is no file"):
        convert_aural_sam2_checkpoint(tmp_path / "none.pth", tmp_path / "out", tiny_host)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"checkpoint_path: .* is not a PyTorch file .* cut short"):
        convert_aural_sam2_checkpoint(path, tmp_path / "out", tiny_host)
    assert not (tmp_path / "out").exists()


def test_a_whole_model_takes_no_second_host(tmp_path, tiny_host):
    whole = {"v_model.no_obj_ptr": torch.zeros(1), "aural_fuser.x": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"sam2: .* holds its own host"):
        read_release(save(whole, tmp_path / "whole.pth"), tiny_host)


def test_a_configuration_as_released_is_the_released_network():
    with torch.device("meta"):
        expected = AuralSam2Model(AuralSam2Config(use_text=False, behavior="release")).state_dict()
    state = fuser_state_from_release(numbered(released_fuser(use_text=False)))
    ours = {name: value.shape for name, value in expected.items() if not name.startswith("sam2.")}
    assert {name: value.shape for name, value in state.items()} == ours
