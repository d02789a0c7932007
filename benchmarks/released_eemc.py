"""EEMC's computation as its released code has it: for every sentence the whole host twice, the first time for nothing
but its coarsest map, and masks of all queries brought to the size of the frames before they are summed."""

import torch
import torch.nn.functional as F
from library_sampling import library_sampling

from lavseg import EemcModel
from lavseg.models.eemc.modeling_eemc import sum_of_masks


def released_masks(
    model: EemcModel, frames: torch.Tensor, audio: torch.Tensor, text: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """Mask logits `[E, T, *size]` of one clip, from frames `[T, 3, S, S]`, embeddings `[A, D]` of its sound and states
    `[E, P, d]` of the words, by the modules of `model`."""
    with library_sampling():
        return torch.stack([_of_sentence(model, frames, audio, words[None], size) for words in text])


def _of_sentence(
    model: EemcModel, frames: torch.Tensor, audio: torch.Tensor, text: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    host = model.mask2former
    queries = host.start_queries(frames.device).expand(len(frames), -1, -1)
    first = host(frames)
    host.decode(first, queries)
    prompts = model.fusion.prompts(model.fusion.cues(first.encoder_map, audio, text))[0]
    found = host.decode(host(frames), model.query_attention(queries, prompts))
    masks = F.interpolate(found.masks, frames.shape[-2:], mode="bilinear")
    return F.interpolate(sum_of_masks(found.class_logits, masks)[:, None], size, mode="bilinear")[:, 0]
