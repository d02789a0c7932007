"""AuralSAM2's computation in the order of its released code, over the original `sam2` package.

The released repository cannot be installed. This restates its forward pass for sound alone, step for step where that
costs time: all frames through the image encoder at once, explicit attention maps in the fuser, maps of positions by
tokens in the fusion, 1 x 1 convolutions for the projections, contrastive features at every call, all candidate masks
at full size, and on CPUs no fused attention in memory and decoder.
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from sam2.build_sam import build_sam2
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lavseg.backbones.sam2.convert_sam2 import sam2_state_from_original
from lavseg.backbones.vggish import VggishModel
from lavseg.models.aural_sam2 import AuralSam2Config
from lavseg.models.aural_sam2.convert_aural_sam2 import fuser_state_from_release

DEPTHS, TOKEN_DEPTH, WIDTH, HEADS, REDUCTION = (3, 6, 12), 3, 256, 4, 4
SIZES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


def original_host(size, image_size):
    edge = image_size // 16
    overrides = [f"++model.image_size={image_size}", "++model.binarize_mask_from_pts_for_mem_enc=true"] + [
        f"++model.memory_attention.layer.{part}.feat_sizes=[{edge},{edge}]"
        for part in ("self_attention", "cross_attention")
    ]
    return build_sam2(f"configs/sam2/sam2_hiera_{SIZES[size]}.yaml", device="cpu", hydra_overrides_extra=overrides)


class Attention(nn.Module):
    def __init__(self, reduce):
        super().__init__()
        self.q, self.kv, self.proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)
        if reduce:
            self.sr, self.norm = nn.Conv2d(WIDTH, WIDTH, REDUCTION, REDUCTION), nn.LayerNorm(WIDTH)

    def forward(self, x, grid):
        source = x
        if grid:
            source = self.norm(self.sr(x.transpose(1, 2).reshape(len(x), WIDTH, *grid)).flatten(2).transpose(1, 2))
        query = self.q(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        key, value = self.kv(source).unflatten(-1, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
        return self.proj((attention @ value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, convolve):
        super().__init__()
        inner = 4 * WIDTH
        self.fc1, self.fc2 = nn.Linear(WIDTH, inner), nn.Linear(inner, WIDTH)
        if convolve:
            self.dwconv = nn.ModuleDict({"dwconv": nn.Conv2d(inner, inner, 3, padding=1, groups=inner)})

    def forward(self, x, grid):
        x = self.fc1(x)
        if grid:
            x = self.dwconv["dwconv"](x.transpose(1, 2).unflatten(2, grid)).flatten(2).transpose(1, 2)
        return self.fc2(F.gelu(x))


class Block(nn.Module):
    def __init__(self, on_frames):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn, self.mlp = Attention(on_frames), Mlp(on_frames)

    def forward(self, x, grid=None):
        x = x + self.attn(self.norm1(x), grid)
        return x + self.mlp(self.norm2(x), grid)


class Fusion(nn.Module):
    def __init__(self):
        super().__init__()
        inner = WIDTH // 2
        self.align_channel = nn.Conv1d(WIDTH, WIDTH, 1)
        for role in "qkv":
            self.add_module(f"{role}_frame", nn.Conv3d(WIDTH, inner, 1))
            self.add_module(f"{role}_audio", nn.Conv1d(WIDTH, inner, 1))
        self.W_z = nn.Sequential(nn.Conv3d(inner, WIDTH, 1), nn.BatchNorm3d(WIDTH))
        self.W_z2 = nn.Sequential(nn.Conv1d(inner, WIDTH, 1), nn.BatchNorm1d(WIDTH))
        self.norm_layer, self.norm_layer2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x, tokens, grid):
        frames = x.transpose(1, 2).reshape(len(x), WIDTH, 1, *grid)
        tokens = self.align_channel(tokens[..., None])
        q_frame, k_frame, v_frame = (
            getattr(self, f"{role}_frame")(frames).reshape(1, -1, WIDTH // 2) for role in "qkv"
        )
        q_audio, k_audio, v_audio = (
            getattr(self, f"{role}_audio")(tokens).reshape(1, -1, WIDTH // 2) for role in "qkv"
        )
        of_frames = (q_frame @ k_audio.mT / q_frame.shape[1]) @ v_audio
        of_tokens = (q_audio @ k_frame.mT / k_frame.shape[1]) @ v_frame
        # As released: axes are mixed on the way in (channels for positions) and out (channels for frames).
        of_frames = self.W_z(of_frames.transpose(1, 2).reshape(len(x), -1, 1, *grid)) + frames
        of_tokens = self.W_z2(of_tokens.transpose(1, 2).reshape(len(tokens), -1, 1)) + tokens
        return self.norm_layer(of_frames.flatten(2).transpose(1, 2)), self.norm_layer2(of_tokens[..., 0])


def head(convolution, norm):
    layers = convolution(WIDTH, WIDTH // 2, 1), norm(WIDTH // 2), convolution(WIDTH // 2, WIDTH // 2, 1)
    return nn.ModuleDict({"proj": nn.Sequential(*layers)})


class Fuser(nn.Module):
    """Under the released code's names of parameters."""

    def __init__(self, vggish, positions):
        super().__init__()
        self.vgg, self.positions = vggish, positions
        self.patch_embeds = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, stride, stride) for stride in (4, 2, 1))
        self.smooth_convs = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(2))
        self.f_blocks = nn.ModuleList(nn.ModuleList(Block(True) for _ in range(depth)) for depth in DEPTHS)
        self.a_blocks = nn.ModuleList(nn.ModuleList(Block(False) for _ in range(TOKEN_DEPTH)) for _ in DEPTHS)
        self.fusion_modules = nn.ModuleList(Fusion() for _ in DEPTHS)
        self.train_proj_v1, self.train_proj_a1 = head(nn.Conv2d, nn.BatchNorm2d), head(nn.Conv1d, nn.BatchNorm1d)
        self.register_buffer("token_code", torch.arange(WIDTH) % 2.0, persistent=False)

    def forward(self, maps, sound):
        """Frames `[T, P, C]` and sounds `[T, C]` of the three levels."""
        tokens = torch.cat([self.vgg(sound[:, None, side]).embeddings[:, 0] for side in (0, 1)], -1)
        frames, sounds = [], []
        for level, patch_embed in enumerate(self.patch_embeds):
            x = patch_embed(maps[level])
            grid, code = x.shape[-2:], self.positions(x).flatten(2).transpose(1, 2)
            x = x.flatten(2).transpose(1, 2)
            if level:
                x = (x + frames[-1]).transpose(1, 2).unflatten(2, grid)
                x = self.smooth_convs[level - 1](x).flatten(2).transpose(1, 2)
            x, tokens = x + code, tokens + self.token_code
            for block in self.f_blocks[level]:
                x = block(x, grid)
            for block in self.a_blocks[level]:
                tokens = block(tokens[None])[0]
            x, tokens = self.fusion_modules[level](x + code, tokens + self.token_code, grid)
            frames.append(x)
            sounds.append(tokens)
        for x in frames:
            F.normalize(self.train_proj_v1["proj"](x.transpose(1, 2).unflatten(2, grid)), dim=1)
        for tokens in sounds:
            F.normalize(self.train_proj_a1["proj"](tokens[..., None]), dim=1)
        return frames, sounds


def decode(transformer, frames, sounds):
    """The two-way transformer's `forward` with prompts inside, the deepest level first."""

    def forward(image_embedding, image_pe, point_embedding):
        keys, key_pe = image_embedding.flatten(2).transpose(1, 2), image_pe.flatten(2).transpose(1, 2)
        queries = point_embedding
        for layer, x, sound in zip(transformer.layers, frames, sounds, strict=False):
            keys = keys + x
            queries[:, 2:6] += sound  # at first in place of the tokens' position code, too
            queries, keys = layer(queries=queries, keys=keys, query_pe=point_embedding, key_pe=key_pe)
        queries[:, 2:6] += sounds[-1]
        keys = keys + frames[-1]
        attended = transformer.final_attn_token_to_image(q=queries + point_embedding, k=keys + key_pe, v=keys)
        return transformer.norm_final_attn(queries + attended), keys

    return forward


class ReleasedAuralSam2(nn.Module):
    """The whole network on Hiera `size`, for one clip."""

    def __init__(self, size: str, image_size: int):
        super().__init__()
        self.host = original_host(size, image_size)
        positions = type(self.host.image_encoder.neck.position_encoding)(WIDTH)
        self.fuser = Fuser(VggishModel(AuralSam2Config(use_text=False).audio_config), positions)
        self.eval()

    def state_of_ours(self) -> dict[str, torch.Tensor]:
        """Its weights under the names of [`AuralSam2Model`]."""
        host = sam2_state_from_original(self.host.state_dict())
        return {f"sam2.{key}": value for key, value in host.items()} | fuser_state_from_release(self.fuser.state_dict())

    def track(self, encoded: dict, frames: list[torch.Tensor], sounds: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Logits `[T, 3, S/4, S/4]` of the candidate masks, their predicted IoU `[T, 3]` and object scores `[T]`."""
        host, decoder = self.host, self.host.sam_mask_decoder
        encoded["backbone_fpn"][0] = decoder.conv_s0(encoded["backbone_fpn"][0])
        encoded["backbone_fpn"][1] = decoder.conv_s1(encoded["backbone_fpn"][1])
        _, maps, codes, sizes = host._prepare_backbone_features(encoded)
        num_frames = maps[0].shape[1]
        no_mask = host.sam_prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
        past = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        found = []
        for frame in range(num_frames):
            current = [values[:, frame, None] for values in maps]
            *high_res, _ = (x.permute(1, 2, 0).unflatten(2, size) for x, size in zip(current, sizes, strict=True))
            embedding = host._prepare_memory_conditioned_features(
                frame, frame == 0, current[-1:], [codes[-1][:, frame, None]], sizes[-1:], past, num_frames
            )
            decoder.transformer.forward = decode(
                decoder.transformer, [x[frame] for x in frames[::-1]], [x[frame] for x in sounds[::-1]]
            )
            masks, scores, tokens, object_score = decoder(
                image_embeddings=embedding,
                image_pe=host.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=embedding.new_zeros(1, 0, WIDTH),
                dense_prompt_embeddings=no_mask.expand_as(embedding),
                multimask_output=True,
                repeat_image=False,
                high_res_features=high_res,
            )
            full_size = F.interpolate(masks.float(), (host.image_size, host.image_size), mode="bilinear")
            best, shown = scores.argmax(-1), (object_score > 0).float()
            memory, memory_codes = host._encode_new_memory(
                current, sizes, full_size[:, best], object_score, is_mask_from_pts=True
            )
            pointer = shown * host.obj_ptr_proj(tokens[:, best[0]]) + (1 - shown) * host.no_obj_ptr
            entry = {"maskmem_features": memory, "maskmem_pos_enc": memory_codes, "obj_ptr": pointer}
            past["non_cond_frame_outputs" if frame else "cond_frame_outputs"][frame] = entry
            found.append((masks, scores, object_score[:, 0]))
        return tuple(torch.cat(values) for values in zip(*found, strict=True))

    def forward(self, pixel_values: torch.Tensor, input_features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As `track`, of frames `[T, 3, S, S]` with sounds `[T, 2, 96, 64]`."""
        encoded = self.host.image_encoder(pixel_values)
        frames, sounds = self.fuser(encoded["backbone_fpn"], input_features)
        with sdpa_kernel(SDPBackend.MATH) if pixel_values.device.type == "cpu" else nullcontext():
            return self.track(encoded, frames, sounds)
