"""What AuralSAM2's authors published, key by key: shapes at full size, and files with the widths of a tiny model."""

from functools import partial

import torch
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, convert_aural_sam2
from lavseg.models.aural_sam2.convert_aural_sam2 import fuser_state_from_release

SAM2, TEXT, REPO = "facebook/sam2-hiera-large", "distilbert/distilroberta-base", "yyliu01/AuralSAM2"
# As in the release, so that the files hold every key of it; all else is as small as it gets.
DEPTHS = {"visual_depths": (3, 6, 12), "token_depths": (3, 3, 3), "reduction_ratio": 2}
FILES = {False: ["auralsam2_avs_v1s.pth"], True: ["auralsam2_refavs_best.pth"]}


def linear(name, *shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def norm(name, size, statistics=False):
    running = {f"{name}.running_mean": (size,), f"{name}.running_var": (size,), f"{name}.num_batches_tracked": ()}
    return {f"{name}.weight": (size,), f"{name}.bias": (size,), **(running if statistics else {})}


def released_block(name):
    shapes = norm(f"{name}.norm1", 256) | linear(f"{name}.attn.q", 256, 256) | linear(f"{name}.attn.kv", 512, 256)
    shapes |= linear(f"{name}.attn.proj", 256, 256) | linear(f"{name}.attn.sr", 256, 256, 4, 4)
    shapes |= norm(f"{name}.attn.norm", 256) | norm(f"{name}.norm2", 256) | linear(f"{name}.mlp.fc1", 1024, 256)
    return shapes | linear(f"{name}.mlp.dwconv.dwconv", 1024, 1, 3, 3) | linear(f"{name}.mlp.fc2", 256, 1024)


def released_fusion(name):
    shapes = linear(f"{name}.align_channel", 256, 256, 1) | linear(f"{name}.align_channel_back", 128, 256, 1)
    shapes |= norm(f"{name}.norm_layer", 256) | norm(f"{name}.norm_layer2", 256)
    shapes |= linear(f"{name}.g", 128, 256, 1, 1, 1)
    for output, ones in (("W_z", (1, 1, 1)), ("W_z2", (1,))):
        shapes |= linear(f"{name}.{output}.0", 256, 128, *ones) | norm(f"{name}.{output}.1", 256, statistics=True)
    for role in "qkv":
        shapes |= linear(f"{name}.{role}_frame", 128, 256, 1, 1, 1) | linear(f"{name}.{role}_audio", 128, 256, 1)
    return shapes


def released_fuser(use_text):
    """Names and shapes of the released fuser's state dict."""
    channels = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
    shapes = {}
    for index, widths in channels.items():
        shapes |= linear(f"vgg.features.{index}", *widths, 3, 3)
    for index, widths in {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}.items():
        shapes |= linear(f"vgg.embeddings.{index}", *widths)
    for level, (kernel, depth) in enumerate(((4, 3), (2, 6), (1, 12))):
        shapes |= linear(f"patch_embeds.{level}", 256, 256, kernel, kernel) | released_fusion(f"fusion_modules.{level}")
        for index in range(depth):
            shapes |= released_block(f"f_blocks.{level}.{index}")
        for index in range(3):
            shapes |= released_block(f"a_blocks.{level}.{index}")
    for index in range(2):
        shapes |= linear(f"smooth_convs.{index}", 256, 256, 1, 1)
    for head, ones in (("train_proj_v1", (1, 1)), ("train_proj_a1", (1,))):
        if use_text:
            shapes |= linear(f"{head}.proj.0", 128, 256) | norm(f"{head}.proj.2", 128)
            shapes |= linear(f"{head}.proj.3", 128, 128)
        else:
            shapes |= linear(f"{head}.proj.0", 128, 256, *ones) | norm(f"{head}.proj.1", 128, statistics=True)
            shapes |= linear(f"{head}.proj.2", 128, 128, *ones)
    return shapes | (linear("text_proj.0", 1024, 768) | linear("text_proj.2", 256, 1024) if use_text else {})


def tiny_released_fuser(model):
    """The authors' state dict of a fuser with the widths of `model`, whose weights it holds; every key is there."""
    ours, fuser = model.state_dict(), {}
    for key, shape in released_fuser(model.config.use_text).items():
        renamed = fuser_state_from_release({key: torch.empty(shape, device="meta")})
        if not renamed:  # read by no forward pass
            fuser[key] = torch.randn([min(size, 4) for size in shape])
            continue
        ((name, full),) = renamed.items()
        fuser[key] = ours[name].reshape([*ours[name].shape, *[1] * (len(shape) - full.dim())])
    return fuser


def tiny_release(folder, tokenizer):
    """Folders, by repository, with what is published of two small models, one of which reads; and these models."""
    models = {}
    folders = {repo: folder / repo.replace("/", "--") for repo in (SAM2, TEXT, REPO)}
    torch.manual_seed(0)
    folders[REPO].mkdir()
    for use_text, names in FILES.items():
        fields = {"behavior": "release", "use_text": use_text, "sam2_config": nano_sam2_config(128), **DEPTHS}
        models[use_text] = AuralSam2Model(tiny_config(AuralSam2Config, len(tokenizer), **fields)).eval()
        for name in names:
            torch.save(tiny_released_fuser(models[use_text]), folders[REPO] / name)
    models[False].sam2.load_state_dict(models[True].sam2.state_dict())
    models[True].sam2.save_pretrained(folders[SAM2])
    models[True].text_encoder.save_pretrained(folders[TEXT])
    tokenizer.save_pretrained(folders[TEXT])
    return folders, models


def expect_tiny_release(monkeypatch):
    """Have `convert` expect the widths of these files; names and ranks are those of the release."""
    monkeypatch.setattr(convert_aural_sam2, "AuralSam2Config", partial(tiny_config, AuralSam2Config, **DEPTHS))
    monkeypatch.setattr(convert_aural_sam2, "sam2_config_of", lambda state, image_size: nano_sam2_config(128))
