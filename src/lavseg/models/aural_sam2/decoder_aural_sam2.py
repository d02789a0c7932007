"""SAM2's mask decoder as AuralSAM2 drives it, with prompts inside."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoTwoWayTransformer

from ...backbones.sam2.every_frame_tracking import EveryFrameTracker
from ...backbones.sam2.tracking_sam2 import ImageFeatures
from ...backbones.sam2.user_prompts import UserPrompt
from ...modeling.outputs import MaskPrediction


@dataclass(frozen=True)
class StagePrompt:
    """What one stage of the decoder is given: `dense [N, P, C]` on the image tokens, `sparse [N, C]` on the mask
    tokens."""

    dense: torch.Tensor | None
    sparse: torch.Tensor | None


class AuralSam2TwoWayTransformer(Sam2VideoTwoWayTransformer):
    """The stock two-way transformer, with prompts added before each block and before the final attention (Eq. 5).

    It has the stock parameters, and without prompts the stock output.
    """

    def forward(
        self,
        point_embeddings: torch.Tensor,
        image_embeddings: torch.Tensor,
        image_positional_embeddings: torch.Tensor,
        attention_similarity: torch.Tensor | None = None,
        stage_prompts: list[StagePrompt] | None = None,
        prompts_are_positions: bool = False,
        mask_tokens: slice | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As the stock method, with the prompts of each stage.

        Args:
            point_embeddings: `[N, 1, L, C]`, tokens of the decoder and of points.
            image_embeddings, image_positional_embeddings: `[N, C, h, w]`.
            attention_similarity: as in the stock method.
            stage_prompts: one for each block and one for the final attention.
            prompts_are_positions: the first stage's `sparse` becomes a part of the tokens' position code too.
            mask_tokens: the tokens that `sparse` is added to; those of all masks when None.

        Returns:
            Tokens `[N, 1, L, C]` and image tokens `[N, 1, h w, C]`.
        """
        queries = point_embeddings
        keys = image_embeddings.flatten(2).transpose(1, 2).unsqueeze(1)
        key_positions = image_positional_embeddings.flatten(2).transpose(1, 2).unsqueeze(1)
        mask_tokens = mask_tokens or slice(2, 3 + self.config.num_multimask_outputs)
        prompts = stage_prompts or [StagePrompt(None, None)] * (len(self.layers) + 1)
        for index, layer in enumerate(self.layers):
            queries, keys = self._add(prompts[index], queries, keys, mask_tokens)
            if index == 0 and prompts_are_positions:
                point_embeddings = queries
            queries, keys, _ = layer(
                queries=queries,
                keys=keys,
                query_point_embedding=point_embeddings,
                key_point_embedding=key_positions,
                attention_similarity=attention_similarity,
            )
        # What the last stage adds to the image tokens goes on to the mask upscaler.
        queries, keys = self._add(prompts[-1], queries, keys, mask_tokens)
        attended, _ = self.final_attn_token_to_image(
            query=queries + point_embeddings, key=keys + key_positions, value=keys
        )
        return self.layer_norm_final_attn(queries + attended), keys

    def _add(
        self, prompt: StagePrompt, queries: torch.Tensor, keys: torch.Tensor, mask_tokens: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if prompt.dense is not None:
            keys = keys + prompt.dense[:, None]
        if prompt.sparse is not None:
            change = torch.zeros_like(queries)
            change[:, :, mask_tokens] = prompt.sparse[:, None, None].to(queries.dtype)
            queries = queries + change
        return queries, keys


def frame_decoder(
    tracker: EveryFrameTracker,
    stages_of: Callable[[int], list[StagePrompt]],
    user_prompts: dict[int, UserPrompt | None],
    as_released: bool,
) -> Callable[[int, ImageFeatures, torch.Tensor], MaskPrediction]:
    """The function that decodes one frame in `track_every_frame`.

    Args:
        tracker: tracker of the clips at hand.
        stages_of: takes a frame, gives its fused prompts for each stage of the decoder.
        user_prompts: prompts of a user by frame; None on a frame without.
        as_released: the prompts' vectors go to all mask tokens and into position codes, see `behavior` of
            [`AuralSam2Config`]; otherwise to the tokens of the masks that are predicted, and to their content alone.
    """
    # Object and IoU token come first, then that of the single mask and those of the masks to choose from, then points.
    end = 3 + tracker.sam.config.mask_decoder_config.num_multimask_outputs
    predicted = slice(3, end) if tracker.multimask else slice(2, 3)

    def decode(frame: int, features: ImageFeatures, embeddings: torch.Tensor) -> MaskPrediction:
        nothing = UserPrompt(embeddings.new_zeros(len(embeddings), 0, embeddings.shape[1]), None)
        user = user_prompts.get(frame) or nothing
        return tracker.decode(
            features,
            embeddings,
            user.sparse,
            user.dense,
            tracker.multimask,
            stage_prompts=stages_of(frame),
            prompts_are_positions=as_released,
            mask_tokens=None if as_released else predicted,
        )

    return decode
