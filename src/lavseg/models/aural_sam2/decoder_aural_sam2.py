"""SAM2's mask decoder and memory as AuralSAM2 drives them: prompts inside the decoder, hard masks in the memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoTwoWayTransformer

from ..sam2_tracking import FrameMemory, ImageFeatures, MaskPrediction, Memory, Sam2Tracker
from .batch_aural_sam2 import ClipGroup


@dataclass(frozen=True)
class StagePrompt:
    """What one stage of the decoder is given: `dense [N, P, C]` on the image tokens, `sparse [N, C]` on the mask
    tokens."""

    dense: torch.Tensor | None
    sparse: torch.Tensor | None


@dataclass(frozen=True)
class UserPrompt:
    """Points, boxes and masks of one frame as SAM2 encodes them: `sparse [N, n, C]` and `dense [N, C, h, w]`."""

    sparse: torch.Tensor
    dense: torch.Tensor | None

    def pick(self, group: ClipGroup) -> "UserPrompt":
        """The prompts of the objects in some of the clips."""
        return UserPrompt(group.pick(self.sparse), None if self.dense is None else group.pick(self.dense))


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
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As the stock method, with the prompts of each stage.

        Args:
            stage_prompts: one for each block and one for the final attention.
            prompts_are_positions: the first stage's `sparse` becomes a part of the tokens' position code too.
        """
        queries = point_embeddings
        keys = image_embeddings.flatten(2).transpose(1, 2).unsqueeze(1)
        key_positions = image_positional_embeddings.flatten(2).transpose(1, 2).unsqueeze(1)
        prompts = stage_prompts or [StagePrompt(None, None)] * (len(self.layers) + 1)
        for index, layer in enumerate(self.layers):
            queries, keys = self._add(prompts[index], queries, keys)
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
        queries, keys = self._add(prompts[-1], queries, keys)
        attended, _ = self.final_attn_token_to_image(
            query=queries + point_embeddings, key=keys + key_positions, value=keys
        )
        return self.layer_norm_final_attn(queries + attended), keys

    def _add(self, prompt: StagePrompt, queries: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if prompt.dense is not None:
            keys = keys + prompt.dense[:, None]
        if prompt.sparse is not None:
            # Object and IoU token stand before the mask tokens, a user's points after them.
            first, end = 2, 3 + self.config.num_multimask_outputs
            change = torch.zeros_like(queries)
            change[:, :, first:end] = prompt.sparse[:, None, None].to(queries.dtype)
            queries = queries + change
        return queries, keys


class AuralSam2Tracker(Sam2Tracker):
    """Remembers hard masks of every frame, whatever their object score, in full precision."""

    def encode_memory(self, stride16: torch.Tensor, prediction: MaskPrediction, prompted: bool) -> FrameMemory:
        """Turn a frame's map `[N, C, h, w]` and prediction into a memory."""
        config, visible = self.sam.config, (prediction.object_score_logits > 0).to(stride16.dtype)[:, None]
        size = (self.sam.image_size, self.sam.image_size)
        masks = F.interpolate(prediction.masks[:, None].float(), size=size, mode="bilinear", align_corners=False)
        hard = (masks > 0).to(stride16.dtype) * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        spatial, _ = self.sam.memory_encoder(stride16, hard)
        if self.sam.occlusion_spatial_embedding_parameter is not None:
            occluded = self.sam.occlusion_spatial_embedding_parameter[..., None, None]
            spatial = spatial + (1 - visible)[..., None, None] * occluded
        pointer = visible * self.sam.object_pointer_proj(prediction.token) + (1 - visible) * self.sam.no_object_pointer
        return FrameMemory(spatial.flatten(2).permute(2, 0, 1), pointer)


def segment_clip(
    tracker: AuralSam2Tracker,
    features_of: Callable[[int], ImageFeatures],
    stages_of: Callable[[int], list[StagePrompt]],
    user_prompts: dict[int, UserPrompt | None],
    prompts_are_positions: bool,
) -> Iterator[tuple[int, MaskPrediction]]:
    """Segment the conditioning frames without memory, then all other frames in ascending order with memory.

    Args:
        tracker: for the clips at hand.
        features_of: features of a frame, one row an object.
        stages_of: the fused prompts of a frame for each stage of the decoder.
        user_prompts: the conditioning frames, and what a user says about each of them, if anything.
        prompts_are_positions: see [`AuralSam2TwoWayTransformer`].
    """
    memory, done = Memory(), None
    others = (frame for frame in range(tracker.num_frames) if frame not in user_prompts)
    for frame in (*sorted(user_prompts), *others):
        if done is not None:  # nothing reads a memory of the last frame
            memory = tracker.remember(memory, *done)
        features = features_of(frame)
        conditions = frame in user_prompts
        if conditions:
            embeddings = features.stride16 + tracker.sam.no_memory_embedding.view(1, -1, 1, 1)
        else:
            embeddings = tracker.condition_on_memory(features.stride16, memory, frame)
        nothing = UserPrompt(embeddings.new_zeros(len(embeddings), 0, embeddings.shape[1]), None)
        user = user_prompts.get(frame) or nothing
        prediction = tracker.decode(
            features,
            embeddings,
            user.sparse,
            user.dense,
            stage_prompts=stages_of(frame),
            prompts_are_positions=prompts_are_positions,
        )
        done = (frame, features, prediction, conditions)
        yield frame, prediction
