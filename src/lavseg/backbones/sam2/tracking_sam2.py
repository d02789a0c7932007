"""Prompts and memory tracking over the parts of transformers' `Sam2VideoModel`.

The stock session is stateful, runs under `inference_mode`, loops over objects and takes no embedding as a prompt. Here
`N` objects (clips x expressions) are one batch, the memory is a value that goes in and comes out, and gradients flow.
With the same weights the masks are those of the session.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import get_1d_sine_pe

from ...modeling.outputs import MaskPrediction


@dataclass(frozen=True)
class ImageFeatures:
    """What the mask decoder reads of `N` images.

    `stride4 [N, C/8, 4h, 4w]`, `stride8 [N, C/4, 2h, 2w]` and `stride16 [N, C, h, w]`.
    """

    stride4: torch.Tensor
    stride8: torch.Tensor
    stride16: torch.Tensor

    @staticmethod
    def shapes(sam: Sam2VideoModel) -> tuple[tuple[int, ...], ...]:
        """Axes of the three after `N`, of a host."""
        (height, width), channels = sam.prompt_encoder.image_embedding_size, sam.hidden_dim
        return tuple((channels // part, scale * height, scale * width) for part, scale in ((8, 4), (4, 2), (1, 1)))

    def __iter__(self) -> Iterator[torch.Tensor]:
        """The three tensors."""
        return iter((self.stride4, self.stride8, self.stride16))

    def select(self, images: torch.Tensor) -> "ImageFeatures":
        """Features of the images `[N]`, which may repeat: one row per object, of `stride16` views of a single image."""
        single = self.stride16.shape[0] == 1
        stride16 = self.stride16.expand(images.shape[0], -1, -1, -1) if single else self.stride16[images]
        return ImageFeatures(self.stride4[images], self.stride8[images], stride16)


def project_features(sam: Sam2VideoModel, maps: tuple[torch.Tensor, ...]) -> ImageFeatures:
    """Apply the mask decoder's own `conv_s0` and `conv_s1` to the neck's maps of `encode_images`."""
    stride4, stride8, stride16 = maps
    return ImageFeatures(sam.mask_decoder.conv_s0(stride4), sam.mask_decoder.conv_s1(stride8), stride16)


@dataclass(frozen=True)
class FrameMemory:
    """What one frame leaves behind: `spatial [h*w, N, 64]` (None once out of reach) and `pointer [N, C]`."""

    spatial: torch.Tensor | None
    pointer: torch.Tensor


@dataclass(frozen=True)
class Memory:
    """Prompted and tracked frames by index. A value: `Sam2Tracker.remember` returns a new one."""

    prompted: dict[int, FrameMemory] = field(default_factory=dict)
    tracked: dict[int, FrameMemory] = field(default_factory=dict)


@dataclass(frozen=True)
class WithinReach:
    """What of a memory is read on one frame, as tensors alone.

    `maps [M, h*w, N, 64]` of frames, prompted ones first, and the codes of their distances `codes [M, 1, 1, 64]`;
    `pointers [P, N, C]` of objects, and their distances over the longest `times [P]`. There may be no pointers.
    """

    maps: torch.Tensor
    codes: torch.Tensor
    pointers: torch.Tensor | None
    times: torch.Tensor | None


class Sam2Tracker:
    """Tracks `N` objects through one set of equally long clips.

    ```python
    tracker = Sam2Tracker(sam, num_frames=10)
    for frame, prediction in propagate(tracker, features_of, sparse, key_frame=0):
        masks = prediction.gated_masks
    ```

    Args:
        sam: the model whose parts are used. Whether masks are binarised for the memory of a prompted frame follows
            `sam.training`, as in the stock model.
        num_frames: length of the clips; bounds the object pointers that are read.
        prompt_decoder: decodes prompted frames in place of `sam.mask_decoder`, which then takes over their masks as
            if a user had given them.
    """

    def __init__(self, sam: Sam2VideoModel, num_frames: int, prompt_decoder: torch.nn.Module | None = None):
        self.sam = sam
        self.num_frames = num_frames
        self.prompt_decoder = prompt_decoder
        self.num_pointers = min(num_frames, sam.config.max_object_pointers_in_encoder)
        self._computed: dict[str, torch.Tensor] = {}

    def _once(self, name: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        # Not `cached_property`: before Python 3.12 it takes a lock, which does not compile.
        if name not in self._computed:
            self._computed[name] = compute()
        return self._computed[name]

    @property
    def image_positions(self) -> torch.Tensor:
        """SAM's random-Fourier code of the image, `[1, C, h, w]`."""
        return self._once("image", self.sam.get_image_wide_positional_embeddings)

    @property
    def memory_query_positions(self) -> torch.Tensor:
        """Sine code of the frame that queries the memory, `[h*w, 1, C]`."""
        neck = self.sam.vision_encoder.neck
        return self._once("query", lambda: self._sine_positions(neck, self.sam.hidden_dim))

    @property
    def memory_positions(self) -> torch.Tensor:
        """Sine code of a remembered map, `[h*w, 1, 64]`."""
        return self._once("memory", lambda: self._sine_positions(self.sam.memory_encoder, self.sam.mem_dim))

    def _sine_positions(self, owner: torch.nn.Module, channels: int) -> torch.Tensor:
        reference = self.sam.no_memory_embedding
        shape = (1, channels, *self.sam.prompt_encoder.image_embedding_size)
        return owner.position_encoding(shape, reference.device, reference.dtype).flatten(2).permute(2, 0, 1)

    @property
    def empty_prompt(self) -> torch.Tensor:
        """The two not-a-point tokens of a frame that nobody prompted, `[1, 2, C]`."""
        return self._once("prompt", self._encode_no_prompt)

    def _encode_no_prompt(self) -> torch.Tensor:
        reference = self.sam.no_memory_embedding
        points = reference.new_zeros(1, 1, 1, 2)
        labels = -torch.ones(1, 1, 1, dtype=torch.int32, device=reference.device)
        return self.sam.prompt_encoder(points, labels, None, None)[0][0]

    def decode(
        self,
        features: ImageFeatures,
        image_embeddings: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor | None = None,
        multimask: bool = True,
        decoder: torch.nn.Module | None = None,
        **decoder_kwargs,
    ) -> MaskPrediction:
        """Run a mask decoder for `N` objects.

        Args:
            features: what the decoder reads of the frame, one row per object.
            image_embeddings: `[N, C, h, w]`, the stride-16 map with or without memory.
            sparse: prompt tokens `[N, n, C]`; they replace the not-a-point tokens.
            dense: mask prompt `[N, C, h, w]`; SAM's no-mask embedding when None.
            multimask: three candidate masks, or the single-mask token with SAM2's stability fallback.
            decoder: `sam.mask_decoder` when None.
            decoder_kwargs: passed on to the decoder's two-way transformer.
        """
        if dense is None:
            dense = self.sam.prompt_encoder.no_mask_embed.weight[..., None, None]
        masks, iou_scores, tokens, object_score_logits = (decoder or self.sam.mask_decoder)(
            image_embeddings=image_embeddings,
            image_positional_embeddings=self.image_positions.expand(image_embeddings.shape[0], -1, -1, -1),
            sparse_prompt_embeddings=sparse[:, None].expand(image_embeddings.shape[0], -1, -1, -1),
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=[features.stride4, features.stride8],
            **decoder_kwargs,
        )
        masks, iou_scores, tokens = masks[:, 0], iou_scores[:, 0], tokens[:, 0]
        return MaskPrediction(masks, iou_scores, tokens, object_score_logits[:, 0, 0], iou_scores.argmax(-1))

    def prompt(
        self, features: ImageFeatures, sparse: torch.Tensor, dense: torch.Tensor | None = None, multimask: bool = True
    ) -> MaskPrediction:
        """Segment a frame from prompt tokens `sparse [N, n, C]`, without memory."""
        embeddings = features.stride16 + self.sam.no_memory_embedding.view(1, -1, 1, 1)
        return self.decode(features, embeddings, sparse, dense, multimask, self.prompt_decoder)

    def track(self, features: ImageFeatures, memory: Memory, frame: int, reverse: bool = False) -> MaskPrediction:
        """Segment `frame` from `memory`; `reverse` when going back in time."""
        return self.track_from(features, self.within_reach(memory, frame, reverse))

    def track_from(self, features: ImageFeatures, reach: WithinReach) -> MaskPrediction:
        """Segment a frame from what of the memory is read on it; tensors alone decide, so that this compiles once."""
        embeddings = self.attend(features.stride16, reach)
        return self.decode(features, embeddings, self.empty_prompt, multimask=self._multimask_when_tracking)

    @property
    def _multimask_when_tracking(self) -> bool:
        config = self.sam.config
        return config.multimask_output_in_sam and config.multimask_output_for_tracking

    def condition_on_memory(
        self, stride16: torch.Tensor, memory: Memory, frame: int, reverse: bool = False
    ) -> torch.Tensor:
        """Let the map `stride16 [N, C, h, w]` of `frame` attend to what `memory` holds within reach."""
        return self.attend(stride16, self.within_reach(memory, frame, reverse))

    def within_reach(self, memory: Memory, frame: int, reverse: bool = False) -> WithinReach:
        """What is read of `memory` on `frame`."""
        maps, offsets = self._reachable_maps(memory, frame, reverse)
        pointers, distances = self._reachable_pointers(memory, frame, reverse)
        codes = self.sam.memory_temporal_positional_encoding
        codes = torch.stack([codes[offset - 1] for offset in offsets])
        if not pointers:
            return WithinReach(torch.stack(maps), codes, None, None)
        # Filled and not copied there: a copy from the host would wait for the device.
        times = torch.cat([torch.full((1,), float(distance), device=codes.device) for distance in distances])
        return WithinReach(torch.stack(maps), codes, torch.stack(pointers), times / (self.num_pointers - 1))

    def attend(self, stride16: torch.Tensor, reach: WithinReach) -> torch.Tensor:
        """Let the map `stride16 [N, C, h, w]` of a frame attend to what it can reach."""
        tokens = reach.maps.flatten(0, 1)
        positions = (self.memory_positions + reach.codes).flatten(0, 1)
        num_pointer_tokens = 0
        if reach.pointers is not None:
            split, positions_of_pointers = self._split_pointers(reach.pointers, reach.times)
            tokens = torch.cat([tokens, split.to(tokens.dtype)])
            positions = torch.cat([positions, positions_of_pointers])
            num_pointer_tokens = split.shape[0]  # `len` would be a constant of an exported program
        conditioned = self.sam.memory_attention(
            current_vision_features=stride16.flatten(2).permute(2, 0, 1),
            current_vision_position_embeddings=self.memory_query_positions,
            memory=tokens.to(stride16.dtype),
            memory_posision_embeddings=positions.to(stride16.dtype),
            num_object_pointer_tokens=num_pointer_tokens,
        )
        return conditioned.squeeze(0).transpose(1, 2).reshape_as(stride16)

    def _reachable_maps(self, memory: Memory, frame: int, reverse: bool) -> tuple[list[torch.Tensor], list[int]]:
        """Remembered maps and their distances, prompted frames (distance 0) first, then the oldest tracked one."""
        selected, others = self.sam._select_closest_cond_frames(
            frame, memory.prompted, self.sam.config.max_cond_frame_num
        )
        found = [(entry, 0) for entry in selected.values()]
        for distance in range(self.sam.num_maskmem - 1, 0, -1):
            index = frame + distance if reverse else frame - distance
            entry = memory.tracked.get(index, others.get(index))
            if entry is not None:
                found.append((entry, distance))
        return [entry.spatial for entry, _ in found], [distance for _, distance in found]

    def _reachable_pointers(self, memory: Memory, frame: int, reverse: bool) -> tuple[list[torch.Tensor], list[int]]:
        """Object pointers of prompted frames in the past and of tracked frames within reach, and their distances."""
        sign = -1 if reverse else 1
        found = [(e.pointer, sign * (frame - i)) for i, e in memory.prompted.items() if sign * (frame - i) >= 0]
        for distance in range(1, self.num_pointers):
            entry = memory.tracked.get(frame - sign * distance)
            if entry is not None:
                found.append((entry.pointer, distance))
        return [pointer for pointer, _ in found], [distance for _, distance in found]

    def _split_pointers(self, pointers: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut each pointer into tokens of the memory's width `[P*C/64, N, 64]`, with positions `[P*C/64, 1, 64]`."""
        width, splits = self.sam.mem_dim, self.sam.hidden_dim // self.sam.mem_dim
        tokens = pointers.unflatten(-1, (splits, width)).transpose(1, 2).flatten(0, 1)
        if not self.sam.config.enable_temporal_pos_encoding_for_object_pointers:
            return tokens, pointers.new_zeros(tokens.shape[0], 1, width)
        code = get_1d_sine_pe(times, dim=self.sam.hidden_dim).to(pointers.dtype)
        code = self.sam.temporal_positional_encoding_projection_layer(code)
        return tokens, code[:, None].expand(-1, splits, -1).flatten(0, 1)[:, None]

    def remember(
        self,
        memory: Memory,
        frame: int,
        features: ImageFeatures,
        prediction: MaskPrediction,
        prompted: bool = False,
    ) -> Memory:
        """Add the prediction of `frame` to `memory` and drop what no later frame can read."""
        if prompted and self.prompt_decoder is not None:
            entry = self.encode_mask(features, self.full_size(prediction.gated_masks)[:, 0] > 0)
        else:
            entry = self.encode_memory(features.stride16, prediction, prompted)
        if prompted:
            return replace(memory, prompted={**memory.prompted, frame: entry})
        kept = {index: self._within_reach(index, old, frame, memory) for index, old in memory.tracked.items()}
        kept = {index: old for index, old in kept.items() if old is not None}
        return replace(memory, tracked={**kept, frame: entry})

    def _within_reach(self, index: int, entry: FrameMemory, frame: int, memory: Memory) -> FrameMemory | None:
        """`entry` as far as a pass at `frame`, or one that starts back from a prompted frame, can still read it."""
        distance = min(abs(index - other) for other in (frame, *memory.prompted))
        if distance >= self.num_pointers:
            return None
        return entry if distance < self.sam.num_maskmem else replace(entry, spatial=None)

    def encode_memory(self, stride16: torch.Tensor, prediction: MaskPrediction, prompted: bool) -> FrameMemory:
        """Turn a frame's map `[N, C, h, w]` and prediction into a memory, its map in bfloat16 as in SAM2."""
        high_res = self.full_size(prediction.gated_masks)
        return self._memory(stride16, high_res, prediction.object_score_logits, prediction.token, binarize=prompted)

    def decode_mask(self, features: ImageFeatures, masks: torch.Tensor) -> MaskPrediction:
        """What the decoder makes of masks that are given for a frame, bool `[N, S, S]`."""
        prompts = self.sam.mask_downsample(masks[:, None].to(features.stride16.dtype))
        size = self.sam.prompt_encoder.mask_input_size
        prompts = F.interpolate(prompts.float(), size, mode="bilinear", antialias=True).to(prompts.dtype)
        dense = self.sam.prompt_encoder.mask_embed(prompts)
        return self.decode(features, features.stride16, self.empty_prompt, dense)

    def encode_mask(self, features: ImageFeatures, masks: torch.Tensor) -> FrameMemory:
        """Turn masks that are given for a frame, bool `[N, S, S]`, into a memory; objects with none are absent."""
        prediction = self.decode_mask(features, masks)
        given = masks.flatten(1).any(1)
        # A pointer needs the decoder, too, to see the object.
        pointed = (prediction.object_score_logits > 0) & given
        logits, scores = (20 * known.to(features.stride16.dtype) - 10 for known in (masks[:, None], given))
        return self._memory(features.stride16, logits, scores, prediction.token, pointed=pointed)

    def _memory(
        self,
        stride16: torch.Tensor,
        logits: torch.Tensor,
        object_score_logits: torch.Tensor,
        token: torch.Tensor,
        pointed: torch.Tensor | None = None,
        binarize: bool = False,
    ) -> FrameMemory:
        """Memory of masks `logits [N, 1, S, S]`, their object scores `[N]` and output tokens `[N, C]`."""
        spatial, _ = self.sam._encode_new_memory(
            current_vision_feats=stride16.flatten(2).permute(2, 0, 1),
            pred_masks_high_res=logits.to(stride16.dtype),
            object_score_logits=object_score_logits[:, None, None],
            is_mask_from_pts=binarize,
        )
        pointed = (object_score_logits > 0 if pointed is None else pointed).to(stride16.dtype)[:, None]
        pointer = self.sam.object_pointer_proj(token)
        return FrameMemory(spatial, pointed * pointer + (1 - pointed) * self.sam.no_object_pointer)

    def full_size(self, masks: torch.Tensor) -> torch.Tensor:
        """Logits `[N, h, w]` at the size of the image, `[N, 1, S, S]`."""
        size = (self.sam.image_size, self.sam.image_size)
        return F.interpolate(masks[:, None].float(), size=size, mode="bilinear", align_corners=False)


def propagate(
    tracker: Sam2Tracker,
    features_of: Callable[[int], ImageFeatures],
    sparse: torch.Tensor,
    key_frame: int = 0,
    multimask: bool = True,
) -> Iterator[tuple[int, MaskPrediction]]:
    """Prompt `key_frame`, track forward to the last frame, then back to the first; yield each frame's prediction.

    Args:
        tracker: for the clips at hand.
        features_of: features of a frame, one row per object. Asked for each frame once, so that nothing but the
            tracker's bounded memory needs to be held.
        sparse: prompt tokens `[N, n, C]` for `key_frame`.
        key_frame: index of the prompted frame, which comes first.
        multimask: candidates of the prompted frame, see `Sam2Tracker.decode`.
    """
    features = features_of(key_frame)
    prediction = tracker.prompt(features, sparse, multimask=multimask)
    memory = Memory()
    yield key_frame, prediction
    done = (key_frame, features, prediction, True)
    forward = ((frame, False) for frame in range(key_frame + 1, tracker.num_frames))
    backward = ((frame, True) for frame in range(key_frame - 1, -1, -1))
    for frame, reverse in (*forward, *backward):
        memory = tracker.remember(memory, *done)  # nothing reads a memory of the last frame
        features = features_of(frame)
        prediction = tracker.track(features, memory, frame, reverse)
        yield frame, prediction
        done = (frame, features, prediction)
