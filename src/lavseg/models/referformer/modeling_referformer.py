"""ReferFormer: a sentence becomes the queries of every frame of a clip (Wu et al., CVPR 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn
from transformers import AutoModel

from ...backbones.pyramids import SwinPyramid, build_pyramid, load_pyramid
from ...backbones.pyramids.modeling_pyramids import freeze_batch_norm
from ...backbones.rows import as_index
from ...backbones.vggish import VggishModel, load_vggish
from ...modeling.encoders import encode_text, gradient_where_needed
from ...modeling.inputs import ClipInputs, check_given, check_text, embedding_shapes, prepare_clips
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .absence_referformer import ReferFormerAbsence
from .base_referformer import ReferFormerPreTrainedModel
from .clips_referformer import (
    ClipAnswers,
    SeenClips,
    choose,
    clip_sizes,
    fill_canvas,
    mask_of,
    mean_chance,
    of_frames,
    of_query,
)
from .configuration_referformer import GROUPS, ReferFormerConfig
from .head_referformer import ReferFormerMaskHead
from .loss_referformer import WEIGHTS, TrackPredictions, absence_loss, make_targets, track_losses
from .pyramid_referformer import AnySizeGroupNorm, ReferFormerPyramid
from .sound_referformer import ReferFormerSound, ReferFormerSoundFusion
from .text_referformer import (
    ReferFormerFusion,
    ReferFormerProjection,
    load_text_encoder,
    map_positions,
    word_positions,
)
from .transformer_referformer import FrameLevels, FrameQueries, ReferFormerTransformer, valid_ratios

# Frames that the authors run at a time.
WINDOW = 36
_VISION = ("resnet", "swin")


@dataclass
class ReferFormerOutput(AudioVisualSegmentationOutput):
    """Masks of the track that is chosen for each sentence: the query with the highest mean probability.

    `object_score_logits` are the chosen query's logits in each frame, `presence_logits` the logit of their mean
    probability or, with `absence_classifier`, what that says. Both judge whether this is what the sentence means; masks
    are not emptied by them unless the processor says `empty_below`.

    ```python
    outputs = model(**inputs, output_query_masks=True)
    tracks = outputs.query_masks[0, 0].movedim(1, 0)  # of the first sentence, [Q, T, h, w]
    ```

    Args:
        query_logits: float `[B, E, T, Q]`, of all queries.
        pred_boxes: float `[B, E, T, Q, 4]`, centre and size of the box of each query, in shares of the frame.
        query_masks: float `[B, E, T, Q, h, w]`, mask logits of all queries on the canvas of the batch; only with
            `output_query_masks`.
    """

    query_logits: torch.Tensor | None = None
    pred_boxes: torch.Tensor | None = None
    query_masks: torch.Tensor | None = None


class ReferFormerModel(ReferFormerPreTrainedModel):
    """ReferFormer. It reads and sees, and hears with `use_audio` alone. Sentences about a clip share the image encoder,
    the projections of its maps and what the pyramid sees at stride 4.

    Terms of the loss, each a sum over the decoder's layers: `class`, `box` and `giou` on the boxes, `mask` and `dice`;
    and `absence`, the cross-entropy of `absence_classifier` where there is one.

    ```python
    model, processor = load_checkpoint("runs/referformer")
    inputs = processor("clip.mp4", text=["the dog that barks", "the man on the left"])
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    default_loss_weights: ClassVar[dict[str, float]] = {**WEIGHTS, "absence": 1.0}

    def __init__(self, config: ReferFormerConfig):
        super().__init__(config)
        if not config.absence_classifier:
            del self.loss_weights["absence"]
        width = config.hidden_size
        self.vision_encoder = build_pyramid(config.vision_config, _VISION)
        freeze_batch_norm(self.vision_encoder)
        self.text_encoder = AutoModel.from_config(config.text_config)
        self.text_projection = ReferFormerProjection(config.text_config.hidden_size, config)
        finest, *channels = self.vision_encoder.channels
        projections = [nn.Conv2d(size, width, 1) for size in channels]
        projections.append(nn.Conv2d(channels[-1], width, 3, stride=2, padding=1))
        self.input_projections = nn.ModuleList(nn.Sequential(x, AnySizeGroupNorm(GROUPS, width)) for x in projections)
        self.audio_encoder = VggishModel(config.audio_config) if config.use_audio else None
        self.sound = ReferFormerSound(config) if config.use_audio else None
        self.sound_fusion = ReferFormerSoundFusion(config) if config.use_audio else None
        self.fusion = ReferFormerFusion(config)
        self.transformer = ReferFormerTransformer(config)
        self.pixel_decoder = ReferFormerPyramid(config, finest)
        self.mask_head = ReferFormerMaskHead(config)
        self.absence = ReferFormerAbsence(config) if config.absence_classifier else None
        self.freeze()
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        vision: str = "microsoft/resnet-50",
        text: str = "FacebookAI/roberta-base",
        audio: str | VggishModel | None = None,
        **config_overrides,
    ) -> "ReferFormerModel":
        """Start training from published encoders; the released code starts from what it trained on still images.

        Args:
            vision: Hub id or folder of a ResNet or Swin of Transformers, or torchvision's file of ResNet-50.
            text: Hub id or folder of a RoBERTa. Its pooler, which many files lack, gives the sentence.
            audio: a VGGish model, or the folder or Hub id of a converted one, heard with `use_audio=True` only.
            config_overrides: fields of [`ReferFormerConfig`].

        Raises:
            ValueError: when `vision` is another network, or weights or, with `use_audio`, `audio` are missing.
        """
        parts = {"vision": load_pyramid("vision", vision, _VISION), "text": load_text_encoder(text)}
        if config_overrides.get("use_audio"):
            parts["audio"] = load_vggish(audio)
        return cls._compose(parts, **config_overrides)

    def backbones(self) -> dict[str, nn.Module]:
        found = {"vision": self.vision_encoder, "text": self.text_encoder, "audio": self.audio_encoder}
        return {name: module for name, module in found.items() if module is not None}

    @property
    def image_blocks(self) -> nn.ModuleList:
        """Blocks of the image encoder; states are `[N, C, h, w]` of ResNet and `[N, h * w, C]` of Swin."""
        return self.vision_encoder.blocks

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        return ("pixel_values",)

    def embed_frames(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the base class says: the adapted map at stride 4, projected ones at strides 8 to 64, `[N, C, h, w]` each,
        and width and height of the frames, `[N, 2]`."""
        finest, *coarse = self.vision_encoder(pixel_values.to(self.dtype)).feature_maps
        maps = [project(x) for project, x in zip(self.input_projections, [*coarse, coarse[-1]], strict=True)]
        extents = as_index(pixel_values.shape[:-3:-1], pixel_values.device).float().expand(len(pixel_values), -1)
        return self.pixel_decoder.adapt_finest(finest), *maps, extents

    @property
    def clip_length(self) -> int:
        """The authors run long clips in parts of 36 frames."""
        return WINDOW

    def frozen_modules(self) -> list[nn.Module]:
        """The encoders of text and sound, and of a ResNet all up to its first stage."""
        frozen = [module for name, module in self.backbones().items() if name != "vision"]
        if self.config.vision_config.model_type == "resnet":
            frozen += [self.vision_encoder.embedder, self.vision_encoder.encoder.stages[0]]
        return frozen

    def _checkpoint_what_learns(self) -> None:
        super()._checkpoint_what_learns()
        if isinstance(self.vision_encoder, SwinPyramid):
            # Its blocks are checkpointed; as a whole they would run once more.
            for stage in self.vision_encoder.stages:
                stage.training = False

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: Sequence[torch.Tensor] | None = None,
        text_embeddings: torch.Tensor | None = None,
        output_query_masks: bool = False,
    ) -> ReferFormerOutput:
        """Segment `B` clips of up to `T` frames for `E` expressions each, or learn to.

        Args:
            pixel_values: `[B, T, 3, H, W]`, of edges from 32 on.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound for each frame; refused where the
                model does not hear.
            pixel_mask: bool `[B, H, W]`, True for the frames of each clip, False for padding to the right and below;
                no padding when None. Padding changes results a little.
            frame_mask: bool `[B, T]`, True for real frames, which come first; all real when None.
            audio_mask: bool `[B, T]`, not used: every frame has its patch.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size, of frames without padding.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used here; processors hand it out for `post_process_masks`.
            image_embeddings: in place of `pixel_values` what `embed_frames` makes of them, each `[B, T, ...]`.
            text_embeddings: `[B, E, P, D]` in place of `input_ids` what `embed_text` makes of them.
            output_query_masks: give the masks of all queries, too.

        Returns:
            [`ReferFormerOutput`], masks `[B, E, T, H / 4, W / 4]`. Where clips have padding, each one's masks are
            scaled up to fill the canvas, so that they stand for its frames alone.

        Raises:
            ValueError: when an input is missing or given twice, or shapes do not fit together.
        """
        check_given("pixel_values", pixel_values, "image_embeddings", image_embeddings)
        read = input_ids if text_embeddings is None else text_embeddings
        check_text("input_ids", type(self).__name__, read, self.reads_text)
        maps = [(self.config.hidden_size, "height", "width")] * 5
        frames = {
            "pixel_values": (pixel_values, (3, "height", "width")),
            **embedding_shapes(image_embeddings, *maps, (2,)),
        }
        sounds = self._sounds(input_features, next(x.shape[1] for x, _ in frames.values() if x is not None))
        texts = (input_ids, frame_mask, audio_mask, labels, label_mask, text_embeddings)
        given = prepare_clips(frames, sounds, *texts)
        sizes = clip_sizes(pixel_values, pixel_mask, image_embeddings)
        # First, as some text encoders wait for the device.
        words, sentences = self._read(given, attention_mask)
        seen = self._see(given, self._embedded(pixel_values, image_embeddings), pixel_mask)
        if self.sound is not None:
            seen = self._hear(given, seen, input_features)
        answers = [
            self._answer(given, seen, tuple(part[:, index] for part in words), sentences[:, index], output_query_masks)
            for index in range(given.batch[1])
        ]
        return self._output(answers, given, sizes, output_query_masks)

    def _sounds(
        self, input_features: torch.Tensor | None, frames: int
    ) -> dict[str, tuple[torch.Tensor, tuple[int, ...]]]:
        """For `prepare_clips` what is heard in clips of so many `frames`."""
        if self.sound is not None:
            check_given("input_features", input_features)
            return {"input_features": (input_features, (frames, 1, 96, 64))}
        if input_features is not None:
            raise ValueError(f"input_features: {type(self).__name__} hears nothing without use_audio; leave it out")
        return {}

    def _hear(self, given: ClipInputs, seen: SeenClips, input_features: torch.Tensor) -> SeenClips:
        """What is made of clips, with their sounds."""
        with gradient_where_needed(self.audio_encoder):
            embeddings = self.audio_encoder(input_features.to(self.dtype)).embeddings.squeeze(2)
        added, sounds = self.sound(embeddings, given.frame_mask)
        read = (of_frames(part, given.batch[2]) for part in sounds)
        return replace(seen, query_sounds=added, heard=self.sound_fusion(seen.levels.tokens, *read))

    def _embedded(
        self, pixel_values: torch.Tensor | None, image_embeddings: Sequence[torch.Tensor] | None
    ) -> list[torch.Tensor]:
        """What `embed_frames` makes of the frames of all clips."""
        if image_embeddings is None:
            return list(self.embed_frames(pixel_values.flatten(0, 1)))
        *maps, extents = (each.flatten(0, 1) for each in image_embeddings)
        return [*(x.to(self.dtype) for x in maps), extents]

    def _read(
        self, given: ClipInputs, attention_mask: torch.Tensor | None
    ) -> tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
        """Words `[B, E, P, C]`, their codes and which are real, bool `[B, E, P]`; and sentences `[B, E, C]`."""
        states, mask = encode_text(self.text_encoder, given.input_ids, attention_mask, given.text_embeddings)
        states = states.to(self.dtype)
        with gradient_where_needed(self.text_encoder):
            pooled = self.text_encoder.pooler(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        words, sentences = self.text_projection(states), self.text_projection(pooled)
        codes = word_positions(mask.flatten(0, 1), words.shape[-1], words.dtype).view_as(words)
        return (words, codes, mask), sentences

    def _see(self, given: ClipInputs, embedded: Sequence[torch.Tensor], pixel_mask: torch.Tensor | None) -> SeenClips:
        """What is made of clips, from what `embed_frames` makes of their frames, each `[B T, ...]`."""
        clips, _, length = given.batch
        *maps, extents = embedded
        if pixel_mask is None:
            masks = [x.new_ones(clips, *x.shape[-2:], dtype=torch.bool) for x in maps]
            extents = extents.view(clips, length, 2)[:, 0]
        else:
            masks = [mask_of(pixel_mask, x.shape[-2:]) for x in maps]
            extents = torch.stack([pixel_mask[:, 0].sum(1), pixel_mask[:, :, 0].sum(1)], dim=-1)
        positions = [map_positions(mask, self.config.hidden_size, self.dtype) for mask in masks]
        levels = FrameLevels(
            torch.cat([x.flatten(2).mT for x in maps[1:]], dim=1),
            of_frames(torch.cat([codes.flatten(2).mT for codes in positions[1:]], dim=1), length),
            of_frames(torch.cat([mask.flatten(1) for mask in masks[1:]], dim=1), length),
            [tuple(x.shape[-2:]) for x in maps[1:]],
            of_frames(torch.stack([valid_ratios(mask, self.dtype) for mask in masks[1:]], dim=1), length),
        )
        # Padding frames, which the rest takes for real, are not looked at from other frames.
        whole = pixel_mask is None and min(given.lengths) == length
        seen = [None if whole else mask[:, None] & given.frame_mask[..., None, None] for mask in masks[:4]]
        tokens = self.pixel_decoder.see_finest(maps[0].unflatten(0, (clips, length)), positions[0], seen[0])
        return SeenClips(levels, tokens, positions[3::-1], seen[::-1], extents)

    def _answer(
        self,
        given: ClipInputs,
        seen: SeenClips,
        words: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        sentences: torch.Tensor,
        all_masks: bool,
    ) -> ClipAnswers:
        """What is found for one sentence `[B, C]` of each clip with `words`, see `ReferFormerWordAttention`."""
        clips, _, length = given.batch
        read = (of_frames(part, length) for part in words)
        levels = replace(seen.levels, tokens=self.fusion(seen.levels.tokens, *read, seen.heard))
        memory = self.transformer.encode(levels)
        coarse = [level.unflatten(0, (clips, length)) for level in levels.maps(memory)[2::-1]]
        features, pixels = self.pixel_decoder(coarse, seen.finest, seen.positions, seen.masks, words)
        absent = None
        if self.absence is not None:
            sentences, absent = self.absence(sentences, pixels, seen.positions[0], seen.masks[0])
        queries = of_frames(sentences, length)
        if seen.query_sounds is not None:
            queries = queries + seen.query_sounds.flatten(0, 1)
        queries = queries[:, None].expand(-1, self.config.num_queries, -1)
        found = self.transformer.decode(memory, levels, queries)
        extents = of_frames(seen.extents, length)[:, None]
        chosen = choose(found[-1].logits.unflatten(0, (clips, length)), given.frame_mask)

        def masks(layer: FrameQueries, picked: torch.Tensor | None = None) -> torch.Tensor:
            states, centres = layer.states, layer.centres * extents
            if picked is not None:
                states, centres = (part.take_along_dim(picked, 1) for part in (states, centres))
            return self.mask_head(states, features.flatten(0, 1), centres).unflatten(0, (clips, length))

        one = of_frames(chosen, length)[:, None, None]
        if given.labels is None and not all_masks:
            return ClipAnswers(found, chosen, masks(found[-1], one)[:, :, 0], [], absent)
        layers = found if given.labels is not None else found[-1:]
        made = [masks(layer) for layer in layers]
        return ClipAnswers(found, chosen, of_query(made[-1], chosen), made, absent)

    def _output(
        self, answers: list[ClipAnswers], given: ClipInputs, sizes: list[tuple[int, int]], all_masks: bool
    ) -> ReferFormerOutput:
        clips, _, length = given.batch
        last = [answer.queries[-1] for answer in answers]
        logits = torch.stack([layer.logits.unflatten(0, (clips, length)) for layer in last], dim=1)
        boxes = torch.stack([layer.boxes.unflatten(0, (clips, length)) for layer in last], dim=1)
        chosen = torch.stack([answer.chosen for answer in answers], dim=1)
        masks = fill_canvas(torch.stack([answer.masks for answer in answers], dim=1), sizes)
        scores = logits.take_along_dim(chosen[:, :, None, None], -1)[..., 0]
        if self.absence is None:
            presence = mean_chance(scores[..., None], given.frame_mask[:, None])[..., 0].logit(eps=1e-6)
        else:
            presence = -torch.stack([answer.absent for answer in answers], dim=1)
        return ReferFormerOutput(
            **self.loss_fields(self._losses(answers, given, sizes)),
            pred_masks=masks.masked_fill(~given.frame_mask[:, None, :, None, None], NO_MASK_LOGIT).to(self.dtype),
            object_score_logits=scores,
            presence_logits=presence.to(self.dtype),
            query_logits=logits,
            pred_boxes=boxes.to(self.dtype),
            query_masks=torch.stack([answer.layers[-1] for answer in answers], dim=1) if all_masks else None,
        )

    def _losses(
        self, answers: list[ClipAnswers], given: ClipInputs, sizes: list[tuple[int, int]]
    ) -> dict[str, torch.Tensor]:
        """Weighted terms of the loss of all sentences, sums over the layers of the decoder."""
        if given.labels is None:
            return {}
        clips, sentences, length = given.batch
        cells = answers[0].layers[-1].shape[-2:]
        labeled = given.labeled[:, None].expand(given.batch).flatten(0, 1)
        each = [size for size in sizes for _ in range(sentences)]
        targets = make_targets(given.labels.flatten(0, 1), labeled, each, cells)

        def tracks(layer: int) -> TrackPredictions:
            found = [answer.queries[layer] for answer in answers]
            parts = [[each.logits for each in found], [each.boxes for each in found]]
            parts = [[part.unflatten(0, (clips, length)) for part in kind] for kind in parts]
            parts.append([answer.layers[layer] for answer in answers])
            return TrackPredictions(*(torch.stack(kind, dim=1).flatten(0, 1) for kind in parts))

        layers = [track_losses(tracks(layer), targets) for layer in range(len(answers[0].queries))]
        terms = {name: sum(of_layer[name] for of_layer in layers) for name in WEIGHTS}
        if self.absence is not None:
            terms["absence"] = absence_loss(
                torch.stack([answer.absent for answer in answers], dim=1).flatten(), targets
            )
        return self.weigh(terms)


__all__ = ["ReferFormerModel", "ReferFormerOutput"]
