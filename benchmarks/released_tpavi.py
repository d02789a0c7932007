"""TPAVI's computation as its released code has it: maps of all positions by all positions, in its blocks and in the
attention of the image encoder. The modules around them are those of `lavseg`, on the same tensors."""

import copy

import torch
from torch import nn

from lavseg import TpaviModel
from lavseg.models.tpavi.blocks_tpavi import TpaviBlock


class ReleasedBlock(nn.Module):
    """A block over explicit maps of groups of frames, with the tensors of one of ours that mixes in sound alone."""

    def __init__(self, block: TpaviBlock):
        super().__init__()
        self.frames_per_group = block.config.frames_per_group
        self.align_channel, self.norm_layer = block.audio_projection, block.norm
        self.theta, self.phi, self.g = (convolution_of(layer) for layer in (block.theta, block.phi, block.g))
        self.W_z = nn.Sequential(convolution_of(block.output), nn.BatchNorm3d(block.norm.normalized_shape[0]))
        self.W_z[1].load_state_dict(block.batch_norm.state_dict())

    def forward(self, vision, audio, frame_mask):
        """As `TpaviBlock`, for clips without padding."""
        sound = self.align_channel(audio)
        groups = zip(vision.split(self.frames_per_group, 1), sound.split(self.frames_per_group, 1), strict=True)
        return torch.cat([self.mix(*group) for group in groups], 1), sound

    def mix(self, vision, sound):
        """One group of frames `[B, T, P, C]` and sounds `[B, T, C]`."""
        frames = vision.permute(0, 3, 1, 2)[..., None]
        sounds = sound.transpose(1, 2)[..., None, None].repeat(1, 1, 1, vision.shape[2], 1)
        theta, g = self.theta(frames).flatten(2).mT, self.g(frames).flatten(2).mT
        maps = theta @ self.phi(sounds).flatten(2)
        read = (maps / maps.shape[-1]) @ g
        mixed = self.W_z(read.mT.reshape(len(frames), -1, *frames.shape[2:])) + frames
        return self.norm_layer(mixed[..., 0].permute(0, 2, 3, 1))


def convolution_of(layer: nn.Linear) -> nn.Conv3d:
    convolution = nn.Conv3d(layer.in_features, layer.out_features, 1)
    state = layer.state_dict()
    convolution.load_state_dict({**state, "weight": state["weight"][..., None, None, None]})
    return convolution


def released_model(model: TpaviModel) -> TpaviModel:
    """`model` as the released code runs it, on the same tensors."""
    with torch.device("meta"):
        released = type(model)(copy.deepcopy(model.config)).eval()
    released.load_state_dict(model.state_dict(), assign=True)
    released.set_attn_implementation("eager")
    for name, block in model.blocks.items():
        released.blocks[name] = ReleasedBlock(block).eval()
    return released
