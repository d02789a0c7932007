"""AVSegFormer: queries made of a frame's sound read what a deformable encoder sees in it (Gao et al., AAAI 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from transformers import initialization as init

from ...backbones.adapted_sam.heard_clips import from_clips, to_clips
from ...backbones.pyramids import build_pyramid
from ...backbones.pyramids.base_pyramids import FRAMES_PER_PASS, PyramidModel, check_edges
from ...backbones.rows import as_index, frames_of
from ...backbones.vggish import VggishModel
from ...losses import mask_bce, mean_terms, squared_dice, weighted_mean
from ...modeling.encoders import build_encoder, encode_text
from ...modeling.initialization import init_deformable_attention, init_linear
from ...modeling.inputs import ClipInputs, embedding_shapes
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .configuration_avsegformer import AvsegFormerConfig
from .head_avsegformer import (
    AvsegFormerMaskDecoder,
    AvsegFormerMixer,
    AvsegFormerPixelDecoder,
    AvsegFormerQueryGenerator,
)
from .layers_avsegformer import AvsegFormerAttention, DeformableAttention


@dataclass(frozen=True, eq=False)
class DecodedRows:
    """What the mask decoder makes of `N` rows: the real frames, for each sentence once.

    logits: `[N, K, H, W]`.
    mixed: `[N, h, w]`, channel means of the features after the mixer, which the auxiliary loss takes for logits.
    real: bool `[B, E, T]`, which frames are no padding.
    """

    logits: torch.Tensor
    mixed: torch.Tensor
    real: torch.Tensor


class AvsegFormerSentence(nn.Module):
    """How a sentence is read, which is this package's: its words as tokens beside the sound, and its mean as what is
    added to the sound that the mixer listens to."""

    def __init__(self, text_size: int, width: int):
        super().__init__()
        self.words, self.mean = nn.Linear(text_size, width), nn.Linear(text_size, width)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens `[B, E, P, C]` and a mean `[B, E, 1, C]` of the states `[B, E, P, D]` that `mask` says are real."""
        real = mask[..., None].to(states.dtype)
        mean = (states * real).sum(2, keepdim=True) / real.sum(2, keepdim=True).clamp(min=1)
        return self.words(states), self.mean(mean)


class AvsegFormerPreTrainedModel(PyramidModel):
    """Configuration and initialisation of AVSegFormer.

    ```python
    model = AvsegFormerModel.from_backbones("OpenGVLab/pvt_v2_b5", "runs/vggish")
    ```
    """

    config: AvsegFormerConfig
    config_class = AvsegFormerConfig
    base_model_prefix = "avsegformer"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            init_linear(module)
            init.xavier_uniform_(module.weight)
        elif isinstance(module, DeformableAttention):
            init_deformable_attention(module)
        elif isinstance(module, AvsegFormerAttention):
            for layer in (module.q_proj, module.k_proj, module.v_proj):
                # The release draws the three as one matrix.
                init.xavier_uniform_(layer.weight, gain=0.5**0.5)
                if layer.bias is not None:
                    init.zeros_(layer.bias)
            if module.out_proj.bias is not None:
                init.zeros_(module.out_proj.bias)
        elif isinstance(module, AvsegFormerPixelDecoder):
            init.normal_(module.level_embed)
        elif isinstance(module, AvsegFormerQueryGenerator):
            init.xavier_uniform_(module.queries)
        elif isinstance(module, AvsegFormerMaskDecoder):
            if module.learned_queries is not None:
                init.xavier_uniform_(module.learned_queries)
        elif isinstance(module, AvsegFormerMixer):
            # Keys and values are one matrix there, queries another.
            init.xavier_uniform_(module.attention.q_proj.weight)
            for layer in (module.attention.k_proj, module.attention.v_proj):
                init.xavier_uniform_(layer.weight, gain=(2 / 3) ** 0.5)
        elif isinstance(module, AvsegFormerSentence):
            init.zeros_(module.mean.weight)
            init.zeros_(module.mean.bias)
        elif isinstance(module, AvsegFormerPreTrainedModel):
            init_linear(module.audio_projection)
        else:
            super()._init_weights(module)


class AvsegFormerModel(AvsegFormerPreTrainedModel):
    """AVSegFormer for masks. Every frame is segmented by itself, from its second of sound.

    Terms of the loss: `dice` on the masks and `mix_dice` on the channel mean of the features after the mixer, as
    published; `bce` and `mix_bce` weigh nothing. Where a frame's mask is empty the published loss has no gradient, and
    `bce` has one.

    ```python
    config = AvsegFormerConfig()
    model, processor = AvsegFormerModel(config).eval(), AvsegFormerProcessor.from_config(config)
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"dice": 1.0, "bce": 0.0, "mix_dice": 0.1, "mix_bce": 0.0}

    def __init__(self, config: AvsegFormerConfig):
        super().__init__(config)
        width = config.hidden_size
        self.vision_encoder = build_pyramid(config.vision_config)
        self.audio_encoder = VggishModel(config.audio_config)
        self.text_encoder = build_encoder(config.text_config) if config.use_text else None
        self.audio_projection = nn.Linear(config.audio_config.embedding_size, width)
        self.sentence = AvsegFormerSentence(config.text_config.hidden_size, width) if config.use_text else None
        self.pixel_decoder = AvsegFormerPixelDecoder(config, config.vision_config.hidden_sizes)
        self.mask_decoder = AvsegFormerMaskDecoder(config, self.num_classes + 1)
        self.freeze()
        self.post_init()

    def backbones(self) -> dict[str, nn.Module]:
        found = {"vision": self.vision_encoder, "audio": self.audio_encoder, "text": self.text_encoder}
        return {name: module for name, module in found.items() if module is not None}

    def embed_frames(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the base class says: the memory `[N, L, C]` of all coarse positions, and the feature `[N, C, h, w]` of
        every position at stride 4."""
        return self.pixel_decoder(self.vision_encoder(pixel_values.to(self.dtype)).feature_maps)

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
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames, or learn to; for `E` expressions each where the model reads, else one.

        Args:
            pixel_values: `[B, T, 3, H, W]`, whose edges are multiples of 32.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound for each frame.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip; refused where the model does not read.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask: bool `[B, T]`, True for real frames, which come first; all real when None.
            audio_mask: bool `[B, T]`, not used: every frame has its patch.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size; of a model that does not
                read any number `E`, and the loss is the mean over them.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            class_labels: integer `[B, T, h, w]`, 0 for background, of which a model that names classes learns, with or
                without `labels`; other models leave them aside.
            original_sizes: not used, it is for the way back; processors hand it out.
            image_embeddings: in place of `pixel_values` what `embed_frames` makes of them, each `[B, T, ...]`.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
            text_embeddings: `[B, E, P, D]` in place of `input_ids` what `embed_text` makes of them.

        Returns:
            [`AudioVisualSegmentationOutput`], masks `[B, E, T, H, W]` at the input's size and -1024 on padding frames.

        Raises:
            ValueError: when an input is missing or given twice, or when shapes do not fit together.
        """
        class_labels = class_labels if self.names_classes else None
        texts = (input_ids, text_embeddings, frame_mask, audio_mask, labels, label_mask, class_labels)
        given = self.prepare(pixel_values, image_embeddings, input_features, audio_embeddings, *texts)
        # First, as some text encoders wait for the device.
        words = self._read(given, attention_mask)
        audio = self.embed_audio(input_features) if audio_embeddings is None else audio_embeddings.to(self.dtype)
        rows = self._decode(given, self._embedded(given, pixel_values, image_embeddings), audio, words)
        return self._output(rows, given, class_labels)

    def frame_inputs(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
        class_labels: torch.Tensor | None,
    ) -> dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]:
        width = self.config.hidden_size
        return {
            "pixel_values": (pixel_values, (3, "height", "width")),
            **embedding_shapes(image_embeddings, ("positions", width), (width, "height", "width")),
            "class_labels": (class_labels, ("height", "width")),
        }

    def _embedded(
        self, given: ClipInputs, pixel_values: torch.Tensor | None, image_embeddings: Sequence[torch.Tensor] | None
    ) -> tuple[torch.Tensor, ...]:
        """What `embed_frames` makes of all real frames."""
        count = sum(given.lengths)
        if image_embeddings is not None:
            return tuple(from_clips(each, given.frame_mask, count).to(self.dtype) for each in image_embeddings)
        check_edges(pixel_values)
        return self.embed_frames(from_clips(pixel_values, given.frame_mask, count))

    def _decode(
        self,
        given: ClipInputs,
        embedded: tuple[torch.Tensor, ...],
        audio: torch.Tensor,
        words: tuple[torch.Tensor, ...],
    ) -> DecodedRows:
        """Masks of every real frame for each sentence, from what was made of the frames, of their sounds `[B, T, D]`
        and, on a model that reads, of the sentences, see `_read`."""
        memory, features = embedded
        sounds = from_clips(self.audio_projection(audio)[:, :, None], given.frame_mask, len(memory))
        places, sentences = (as_index(numbers, memory.device) for numbers in _rows(given))
        logits, mixed = [], []
        for frame, sentence in zip(places.split(FRAMES_PER_PASS), sentences.split(FRAMES_PER_PASS), strict=True):
            heard = self._listen(sounds[frame], *(value[sentence] for value in words))
            maps, gated = self.mask_decoder(memory[frame], features[frame], *heard)
            logits.append(maps)
            mixed.append(gated.mean(1))
        real = given.frame_mask[:, None].expand(given.batch)
        return DecodedRows(torch.cat(logits), torch.cat(mixed), real)

    def _read(self, given: ClipInputs, attention_mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """Of each sentence its words `[B E, P, C]`, which are real `[B E, P]`, and a mean `[B E, 1, C]`; nothing
        without one."""
        if self.sentence is None:
            return ()
        states, mask = encode_text(self.text_encoder, given.input_ids, attention_mask, given.text_embeddings)
        words, mean = self.sentence(states.to(self.dtype), mask)
        return words.flatten(0, 1), mask.flatten(0, 1), mean.flatten(0, 1)

    @staticmethod
    def _listen(
        sound: torch.Tensor,
        words: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        mean: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """What the mask decoder takes in: a token for its mixer, and tokens, with their mask, for its queries."""
        if words is None:
            return sound, sound, None
        return sound + mean, torch.cat([sound, words], dim=1), torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)

    def _output(
        self, rows: DecodedRows, given: ClipInputs, class_labels: torch.Tensor | None
    ) -> AudioVisualSegmentationOutput:
        losses = {}
        if given.labels is not None:
            labeled = given.labeled[:, None].expand_as(rows.real)
            targets = [from_clips(truth, rows.real, len(rows.logits)) for truth in given.truths]
            losses = self._mask_losses(rows, targets, from_clips(labeled, rows.real, len(rows.logits)))
        return AudioVisualSegmentationOutput(
            **self.loss_fields(losses), pred_masks=to_clips(rows.logits[:, 0], rows.real, NO_MASK_LOGIT)
        )

    def _mask_losses(
        self, rows: DecodedRows, targets: list[torch.Tensor], weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Terms of the loss on the masks and on the features after the mixer, as means over the truths `[N, H, W]`."""
        given = (("", rows.logits[:, 0]), ("mix_", rows.mixed))
        parts = [[self._terms(logits, truth, weights, prefix) for prefix, logits in given] for truth in targets]
        return mean_terms([first | second for first, second in parts])

    def _terms(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, prefix: str
    ) -> dict[str, torch.Tensor]:
        """The terms that weigh something, times their weights, of logits `[N, h, w]` against `targets [N, H, W]` where
        `weights [N]` is true."""
        precise = torch.promote_types(logits.dtype, torch.float32)
        logits = self.scale_masks(logits.to(precise), targets.shape[-2:])
        terms = {f"{prefix}dice": squared_dice, f"{prefix}bce": mask_bce}
        return self.weigh(
            {
                name: weighted_mean(term(logits, targets.to(precise)), weights.to(precise))
                for name, term in terms.items()
                if self.loss_weights.get(name)
            }
        )


def _rows(given: ClipInputs) -> tuple[list[int], list[int]]:
    """For every sentence and every frame of its clip, the places of both among all real frames and all sentences."""
    sentences, places = frames_of([length for length in given.lengths for _ in range(given.batch[1])])
    starts = [sum(given.lengths[:clip]) for clip in range(len(given.lengths))]
    return [
        starts[sentence // given.batch[1]] + place for sentence, place in zip(sentences, places, strict=True)
    ], sentences


__all__ = ["AvsegFormerModel", "AvsegFormerPreTrainedModel"]
