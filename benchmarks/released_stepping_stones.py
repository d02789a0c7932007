"""Stepping-Stones' computation as its released code has it: Transformers' own decoder, which makes every mask in full
and names its classes, and masks of all queries at the size of the frames before they are added up."""

import torch
import torch.nn.functional as F
from library_sampling import library_sampling
from transformers.models.mask2former.modeling_mask2former import Mask2FormerMaskedAttentionDecoder

from lavseg import SteppingStonesModel


def released_scores(
    model: SteppingStonesModel, frames: torch.Tensor, audio: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """Scores `[T, 2, *size]` of the classes of one clip, from frames `[T, 3, S, S]` and embeddings `[T, D]` of their
    sounds, by the modules of `model`."""
    host, module = model.mask2former, model.mask2former.model.transformer_module
    with library_sampling():
        features = host(frames)
    queries, device = model.prompt(audio), frames.device
    embedded = zip(features.levels, module.input_projections, module.level_embed.weight, strict=True)
    states = [project(level) + code[:, None, None] for level, project, code in embedded]
    codes = [module.position_embedder(level.shape, device, level.dtype, None) for level in features.levels]
    decoded = Mask2FormerMaskedAttentionDecoder.forward(
        module.decoder,
        inputs_embeds=queries.transpose(0, 1),
        multi_stage_positional_embeddings=[code.flatten(2).permute(2, 0, 1) for code in codes],
        pixel_embeddings=features.mask_features,
        encoder_hidden_states=[state.flatten(2).permute(2, 0, 1) for state in states],
        query_position_embeddings=host.query_places(device)[:, None].expand(-1, len(queries), -1),
        feature_size_list=[level.shape[-2:] for level in features.levels],
        return_dict=True,
    )
    named = [host.class_predictor(state.transpose(0, 1)) for state in decoded.intermediate_hidden_states]
    masks = F.interpolate(decoded.masks_queries_logits[-1], frames.shape[-2:], mode="bilinear").sigmoid()
    scores = torch.einsum("nqc,nqhw->nchw", named[-1].softmax(-1)[..., :-1], masks)
    return F.interpolate(scores, size, mode="bilinear")
