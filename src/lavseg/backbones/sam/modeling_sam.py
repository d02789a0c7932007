"""SAM as the methods use it: Transformers' model, which segments frames one by one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import SamModel
from transformers import initialization as init

from ...modeling.outputs import MaskPrediction
from ..rows import frames_of
from .adapters_sam import SamAudioAdapters, encode_frames


class SamBackbone(SamModel):
    """Transformers' SAM, whose position code starts with SAM's own deviation, 1.

    ```python
    sam = SamBackbone(vit_sam_config("base"))
    adapters = sam.audio_adapters(audio_size=128, hidden_size=512)
    embeddings = adapters(sam.encode, frames, audio)
    ```
    """

    @classmethod
    def is_custom_code(cls) -> bool:
        """No, see `AudioVisualPreTrainedModel.is_custom_code`."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:  # Transformers draws with half the encoder's width
            init.normal_(self.shared_image_embedding.positional_embedding)

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks of the image encoder."""
        return self.vision_encoder.layers

    def audio_adapters(self, audio_size: int, hidden_size: int) -> SamAudioAdapters:
        """Adapters that bring sound of `audio_size` channels into the image encoder."""
        vision = self.config.vision_config
        return SamAudioAdapters(vision.num_hidden_layers, audio_size, hidden_size, vision.hidden_size)

    def encode(self, pixel_values: torch.Tensor, prompts: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings `[N, C, S/16, S/16]` of frames `[N, 3, S, S]`, see `encode_frames`."""
        return encode_frames(self.vision_encoder, pixel_values, prompts)

    def decode(
        self,
        images: torch.Tensor,
        sparse: torch.Tensor | None = None,
        dense: torch.Tensor | None = None,
        multimask: bool = False,
    ) -> MaskPrediction:
        """Run the mask decoder.

        Args:
            images: `[N, C, h, w]`, embeddings of frames.
            sparse: prompt tokens `[N, n, C]`; none when None.
            dense: mask prompt `[N, C, h, w]`; SAM's no-mask embedding when None.
            multimask: three candidate masks, of which the first is taken, or the single mask.
        """
        nothing, no_mask = self.prompt_encoder(None, None, None, None)
        candidates, scores = self.mask_decoder(
            images,  # by its place, for what `peft` puts around a decoder that trains as a whole
            image_positional_embeddings=self.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=nothing if sparse is None else sparse[:, None],
            dense_prompt_embeddings=no_mask if dense is None else dense,
            multimask_output=multimask,
        )
        first = torch.zeros(len(images), dtype=torch.long, device=candidates.device)
        return MaskPrediction(candidates[:, 0], scores[:, 0], None, None, first)

    def segment(
        self,
        lengths: Sequence[int],
        encode: Callable[[Sequence[int], Sequence[int]], torch.Tensor],
        decode: Callable[[Sequence[int], Sequence[int], Callable], MaskPrediction],
        first: Callable[[int], Any],
    ) -> MaskPrediction:
        """Segment clips, each frame by itself.

        Args:
            lengths: numbers of frames on which each object is looked for.
            encode: gives the embeddings of frames, from the number of the object and of the frame of each.
            decode: gives the prediction for them; it is handed a function from prompt tokens, or None, to that.
            first: not used; no frame depends on another.

        Returns:
            Masks of the frames of all objects, one after the other.
        """
        objects, frames = frames_of(lengths)
        images = encode(objects, frames)
        return decode(objects, frames, lambda prompts: self.decode(images, prompts))


__all__ = ["SamBackbone"]
