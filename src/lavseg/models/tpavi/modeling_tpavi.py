"""TPAVI, the baseline of AVSBench: sound is mixed into four stages of an image encoder's maps (ECCV 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init

from ...backbones.pyramids import build_pyramid
from ...backbones.pyramids.base_pyramids import FRAMES_PER_PASS, PyramidModel, check_edges
from ...backbones.vggish import VggishModel
from ...losses import mask_bce, weighted_mean
from ...modeling.encoders import build_encoder, encode_text
from ...modeling.initialization import init_attention, init_linear
from ...modeling.inputs import ClipInputs, embedding_shapes
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .blocks_tpavi import TpaviBlock, TpaviDecoder, TpaviDilatedConvolutions, TpaviWords
from .configuration_tpavi import TpaviConfig
from .loss_tpavi import audio_visual_mapping


@dataclass
class TpaviOutput(AudioVisualSegmentationOutput):
    """As [`AudioVisualSegmentationOutput`], with the classes of a model that names them.

    Args:
        class_logits: float `[B, K + 1, T, H, W]`, background first.

    ```python
    outputs = model(**inputs)
    classes = processor.post_process_semantic_segmentation(outputs, inputs["original_sizes"])
    ```
    """

    logit_maps = ("pred_masks", "class_logits")

    class_logits: torch.Tensor | None = None


@dataclass(frozen=True)
class MixedStages:
    """What the frames of `N = B * E * T` became: maps `[N, C, h, w]` of the four stages, rectified, and for each stage
    in which sound was mixed in, by its number from 0, the sound `[N, C]`."""

    maps: list[torch.Tensor]
    sounds: dict[int, torch.Tensor]


class TpaviPreTrainedModel(PyramidModel):
    """Configuration and initialisation of TPAVI.

    ```python
    model = TpaviModel.from_backbones("OpenGVLab/pvt_v2_b5", audio="runs/vggish")
    ```
    """

    config: TpaviConfig
    config_class = TpaviConfig
    base_model_prefix = "tpavi"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            init_linear(module)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d):  # its weight starts at zero: nothing is mixed in
            init.ones_(module.running_var)
            for tensor in (module.weight, module.bias, module.running_mean, module.num_batches_tracked):
                init.zeros_(tensor)
        elif isinstance(module, TpaviDilatedConvolutions):
            for convolution in module.convolutions:
                init.normal_(convolution.weight, std=0.01)
        elif isinstance(module, nn.MultiheadAttention):
            init_attention(module)
            init.zeros_(module.out_proj.weight)


class TpaviModel(TpaviPreTrainedModel):
    """TPAVI for masks. The image encoder trains, VGGish does not.

    Terms of the loss: `bce`, and the regulariser `avm`, a sum over labelled frames as in the release, with weight 0.5
    as on MS3; on S4 it has none. Of several sentences about a clip it is the mean.

    ```python
    model, processor = TpaviModel(TpaviConfig()).eval(), TpaviProcessor.from_config(TpaviConfig())
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    default_loss_weights = {"bce": 1.0, "avm": 0.5}

    def __init__(self, config: TpaviConfig):
        super().__init__(config)
        width = config.hidden_size
        self.vision = build_pyramid(config.vision_config)
        self.audio_encoder = VggishModel(config.audio_config)
        self.text_encoder = build_encoder(config.text_config) if config.use_text else None
        self.stages = nn.ModuleList(
            TpaviDilatedConvolutions(channels, width) for channels in config.vision_config.hidden_sizes
        )
        names = [str(stage - 1) for stage in config.audio_stages]
        self.words = nn.ModuleDict({name: TpaviWords(config) for name in names} if config.use_text else {})
        self.blocks = nn.ModuleDict({name: TpaviBlock(config) for name in names})
        self.decoder = TpaviDecoder(width, self.num_classes + 1)
        self.freeze()
        self.post_init()

    def backbones(self) -> dict[str, nn.Module]:
        found = {"vision": self.vision, "audio": self.audio_encoder, "text": self.text_encoder}
        return {name: module for name, module in found.items() if module is not None}

    def embed_frames(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the base class says: maps `[N, C, h, w]` of the four stages, into which nothing is mixed yet."""
        encoded = self.vision(pixel_values.to(self.dtype)).feature_maps
        return tuple(stage(maps) for stage, maps in zip(self.stages, encoded, strict=True))

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        class_labels: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: Sequence[torch.Tensor] | None = None,
        audio_embeddings: torch.Tensor | None = None,
        text_embeddings: torch.Tensor | None = None,
    ) -> TpaviOutput:
        """Segment `B` clips of up to `T` frames, or learn to; for `E` expressions each where the model reads, else one.

        Args:
            pixel_values: `[B, T, 3, H, W]`; both edges are multiples of 32.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound for each frame.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip; refused where the model does not read.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask: bool `[B, T]`, True for real frames, which come first; all real when None. As in the release
                padding frames take part in the batch statistics of training, and in nothing else.
            audio_mask: bool `[B, T]`, not used: every frame has its patch.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size; of a model that does not
                read any number `E`, and the loss is the mean over them.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            class_labels: integer `[B, T, h, w]`, 0 for background. [`TpaviForSemanticSegmentation`] learns from these
                and not from `labels`; other models leave them aside.
            original_sizes: not used, it is for the way back; processors hand it out.
            image_embeddings: in place of `pixel_values` what `embed_frames` makes of them, each `[B, T, C, h, w]`.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
            text_embeddings: `[B, E, P, D]` in place of `input_ids` what `embed_text` makes of them.

        Returns:
            [`TpaviOutput`] with masks at the size of the frames; padding frames hold -1024.

        Raises:
            ValueError: when an input is missing or given twice, or when shapes do not fit together.
        """
        class_labels = class_labels if self.names_classes else None
        texts = (input_ids, text_embeddings, frame_mask, audio_mask, labels, label_mask, class_labels)
        given = self.prepare(pixel_values, image_embeddings, input_features, audio_embeddings, *texts)
        words = ()
        if self.reads_text:
            words = encode_text(self.text_encoder, given.input_ids, attention_mask, text_embeddings)
        audio = self.embed_audio(input_features) if audio_embeddings is None else audio_embeddings.to(self.dtype)
        mixed = self.mix(self._embedded(pixel_values, image_embeddings), audio, words, given)
        logits = self._decode(mixed.maps).unflatten(0, given.batch)
        return self._output(logits, mixed, given, class_labels)

    def frame_inputs(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
        class_labels: torch.Tensor | None,
    ) -> dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]:
        edges = image_embeddings[-1].shape[3:] if image_embeddings is not None and len(image_embeddings) else ()
        sizes = [[scale * edge for edge in edges] for scale in (8, 4, 2, 1)]
        return {
            "pixel_values": (pixel_values, (3, "height", "width")),
            **embedding_shapes(image_embeddings, *((self.config.hidden_size, *size) for size in sizes)),
            "class_labels": (class_labels, ("height", "width")),
        }

    def _embedded(
        self, pixel_values: torch.Tensor | None, image_embeddings: Sequence[torch.Tensor] | None
    ) -> list[torch.Tensor]:
        """What `embed_frames` makes of the `B * T` frames."""
        if image_embeddings is None:
            check_edges(pixel_values)
            return self.embed_frames(pixel_values.flatten(0, 1))
        return [maps.flatten(0, 1).to(self.dtype) for maps in image_embeddings]

    def mix(
        self,
        embedded: Sequence[torch.Tensor],
        audio: torch.Tensor,
        words: tuple[torch.Tensor, ...],
        given: ClipInputs,
    ) -> MixedStages:
        """Mix sound and words into each stage for every expression.

        Args:
            embedded: maps `[B * T, C, h, w]` of each stage.
            audio: `[B, T, D]`.
            words: states `[B, E, P, D]` and mask `[B, E, P]`; none on a model that does not read.
            given: the inputs as `forward` prepares them.
        """
        clips, expressions, frames = given.batch
        real = given.frame_mask
        audio = (audio * real[..., None]).repeat_interleave(expressions, dim=0)
        frame_mask = real.repeat_interleave(expressions, dim=0)
        words = tuple(value.flatten(0, 1) for value in words)
        maps, sounds = [], {}
        for stage, stage_maps in enumerate(embedded):
            size = stage_maps.shape[-2:]
            tokens = stage_maps.flatten(2).transpose(1, 2).unflatten(0, (clips, frames))
            tokens = (tokens * real[..., None, None]).repeat_interleave(expressions, dim=0)
            if (name := str(stage)) in self.blocks:
                if words:
                    tokens = self.words[name](tokens, *words)
                tokens, sound = self.blocks[name](tokens, audio, frame_mask)
                sounds[stage] = sound.flatten(0, 1)
            maps.append(tokens.flatten(0, 1).transpose(1, 2).unflatten(-1, size).relu())
        return MixedStages(maps, sounds)

    def _decode(self, stages: list[torch.Tensor]) -> torch.Tensor:
        """Logits of a few frames at a time, so that what the decoder holds does not grow with their number."""
        parts = zip(*(maps.split(FRAMES_PER_PASS) for maps in stages), strict=True)
        return torch.cat([self.decoder(list(part)) for part in parts])

    def _output(
        self, logits: torch.Tensor, mixed: MixedStages, given: ClipInputs, class_labels: torch.Tensor | None
    ) -> TpaviOutput:
        """What `forward` returns, from logits `[B, E, T, 1, H, W]`."""
        masks = logits[..., 0, :, :]
        terms = {}
        if given.labels is not None:
            terms = self._losses(masks.flatten(0, 2), mixed, given)
        return TpaviOutput(**self.loss_fields(terms), pred_masks=without_padding(masks, given.frame_mask))

    def _losses(self, masks: torch.Tensor, mixed: MixedStages, given: ClipInputs) -> dict[str, torch.Tensor]:
        """Weighted terms for mask logits `[N, H, W]`, `N = B * E * T`."""
        precise = torch.promote_types(masks.dtype, torch.float32)
        masks, weights = masks.to(precise), given.labeled[:, None].expand(given.batch).flatten().to(precise)
        logits = self.scale_masks(masks, given.labels.shape[-2:])
        costs = [mask_bce(logits, truth.flatten(0, 2).to(precise)) for truth in given.truths]
        terms = {"bce": weighted_mean(sum(costs) / len(costs), weights)}
        if self.loss_weights["avm"] and mixed.sounds:
            terms["avm"] = (self._mapping(masks, mixed, soft=True) * weights).sum() / given.batch[1]
        return self.weigh(terms)

    def _mapping(self, shown: torch.Tensor, mixed: MixedStages, soft: bool) -> torch.Tensor:
        """The regulariser for each of `N` frames, see `audio_visual_mapping`."""
        visions = [mixed.maps[stage].to(shown.dtype) for stage in mixed.sounds]
        sounds = [sound.to(shown.dtype) for sound in mixed.sounds.values()]
        return audio_visual_mapping(shown, visions, sounds, soft)


def without_padding(masks: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
    """Mask logits `[B, E, T, H, W]` with -1024 on padding frames."""
    return masks.masked_fill(~frame_mask[:, None, :, None, None], NO_MASK_LOGIT)


__all__ = ["MixedStages", "TpaviModel", "TpaviOutput", "TpaviPreTrainedModel", "without_padding"]
