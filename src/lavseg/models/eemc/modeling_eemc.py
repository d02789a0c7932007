"""EEMC: cues of sound, image and sentence prompt the queries of Mask2Former (Ref-AVS, ECCV 2024)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init

from ...backbones.mask2former.modeling_mask2former import PixelFeatures, PromptedMask2Former
from ...backbones.vggish import VggishModel, load_vggish, without_relu
from ...losses import mask_bce, mask_dice, weighted_mean
from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.encoders import build_encoder, encode_text, gradient_where_needed, let_train, load_encoder, load_host
from ...modeling.initialization import init_attention, init_linear
from ...modeling.inputs import ClipInputs, check_given, check_text, embedding_shapes, prepare_clips, real_lengths
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .configuration_eemc import EemcConfig
from .fusion_eemc import EemcFusion, EemcQueryAttention


def scale_in_two_steps(masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Mask logits `[N, 1, h, w]` at `size`, by way of the size of the frames that the host sees, four times theirs."""
    seen = tuple(4 * edge for edge in masks.shape[-2:])
    return F.interpolate(F.interpolate(masks, seen, mode="bilinear"), size, mode="bilinear")


def sum_of_masks(class_logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mask logits `[N, h, w]` from those of all queries, `masks [N, Q, h, w]`: their sum, weighted by how far
    `class_logits [N, Q, classes + 1]` speak for the first class against none."""
    weights = (class_logits[..., 0] - class_logits[..., -1]).sigmoid()
    return torch.einsum("nq,nqhw->nhw", weights, masks)


class EemcPreTrainedModel(AudioVisualPreTrainedModel):
    """Configuration and initialisation of EEMC.

    ```python
    model = EemcModel.from_backbones("facebook/mask2former-swin-base-ade-semantic", audio="runs/vggish")
    ```
    """

    config: EemcConfig
    config_class = EemcConfig
    base_model_prefix = "eemc"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, EemcFusion):
            for layer in (part for part in module.modules() if isinstance(part, nn.Linear)):
                init_linear(layer)
            for attention in module.attentions():
                init_attention(attention)
        elif isinstance(module, EemcQueryAttention):
            init.ones_(module.beta_source_attn)
            init.ones_(module.beta_source_pool)


class EemcModel(EemcPreTrainedModel):
    """EEMC. Frames of a clip go through the host's backbone and pixel decoder once, whatever the number of sentences.
    With `labels` it returns a loss.

    The host's queries, prompted frame by frame, each give a mask and scores of 150 classes and of none. The masks are
    summed, weighted by the first class against none, whose head stays as published.

    Terms of the loss: `bce`, all that the released code has, and `dice`, which the paper adds, both with a weight of 5
    there; its loss of classes, whose target it does not say, is not here.

    ```python
    model, processor = load_checkpoint("runs/eemc")
    inputs = processor("clip.mp4", text="the dog that barks")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    default_loss_weights = {"bce": 1.0, "dice": 0.0}

    def __init__(self, config: EemcConfig):
        super().__init__(config)
        self.mask2former = PromptedMask2Former(config.mask2former_config)
        self.mask2former.add_adapters(config.adapter_size)
        self.text_encoder = build_encoder(config.text_config)
        self.audio_encoder = VggishModel(config.audio_config)
        self.fusion = EemcFusion(config)
        self.query_attention = EemcQueryAttention(config)
        self.freeze()
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        mask2former: str = "facebook/mask2former-swin-base-ade-semantic",
        text: str = "distilbert/distilroberta-base",
        audio: str | VggishModel | None = None,
        **config_overrides,
    ) -> "EemcModel":
        """Start training from published encoders.

        Args:
            mask2former, text: Hub ids or folders of Transformers checkpoints.
            audio: a VGGish model, or the folder or Hub id of a converted one, of which the final ReLU is left out as
                in the released code. It has no default: an untrained one says nothing about the sound.
            config_overrides: fields of [`EemcConfig`].

        Raises:
            ValueError: when `audio` is missing, or `mask2former` is another model.
        """
        parts = {
            "audio": load_vggish(audio),
            "mask2former": load_host("mask2former", mask2former, PromptedMask2Former),
            "text": load_encoder(text, "text_config"),
        }
        config_overrides["audio_config"] = without_relu(config_overrides.get("audio_config"))
        return cls._compose(parts, **config_overrides)

    def backbones(self) -> dict[str, nn.Module]:
        return {"mask2former": self.mask2former, "text": self.text_encoder, "audio": self.audio_encoder}

    @property
    def image_blocks(self) -> nn.ModuleList:
        return self.mask2former.blocks

    @property
    def attends_across_clips(self) -> bool:
        return self.config.across_clips

    def attend_across_clips(self) -> None:
        # Made anew, a configuration refuses what does not go with it.
        type(self.config).from_dict({**self.config.to_dict(), "across_clips": True})
        self.config.across_clips = True

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        return ("pixel_values",)

    def embed_frames(self, pixel_values: torch.Tensor) -> PixelFeatures:
        """As the base class says: the five maps that the host makes before it is asked anything."""
        return self.mask2former(pixel_values.to(self.dtype))

    def frozen_modules(self) -> list[nn.Module]:
        untrained = self.fusion.attentions() if self.config.behavior == "release" else []
        return [*super().frozen_modules(), *untrained]

    def freeze(self) -> None:
        super().freeze()
        let_train(*self.mask2former.adapters())

    def train(self, mode: bool = True) -> "EemcModel":
        """As the base class says, but blocks of Swin drop their attention, as in the released training."""
        super().train(mode)
        self.mask2former.drop_attention(mode)
        return self

    def _checkpoint_what_learns(self) -> None:
        super()._checkpoint_what_learns()
        self.mask2former.checkpoint_what_learns(self.training)

    def scale_masks(self, masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return scale_in_two_steps(masks[:, None], size)[:, 0]

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
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: Sequence[torch.Tensor] | None = None,
        text_embeddings: torch.Tensor | None = None,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames for `E` expressions each, or learn to.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for the host.
            input_features: `[B, A, 1, 96, 64]`, log-mel patches of the mono sound.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask, audio_mask: bool `[B, T]` and `[B, A]`, True for real frames and patches, which come first.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used here; processors hand it out for `post_process_masks`.
            image_embeddings: in place of `pixel_values` what `embed_frames` makes of them, each `[B, T, ...]`.
            text_embeddings: `[B, E, P, D]` in place of `input_ids` what `embed_text` makes of them.

        Returns:
            [`AudioVisualSegmentationOutput`] with masks `[B, E, T, S / 4, S / 4]`, sums over queries of which some
            reach hundreds.

        Raises:
            ValueError: when an input is missing or given twice, shapes do not fit together, or clips differ in length
                under `across_clips`.
        """
        check_given("pixel_values", pixel_values, "image_embeddings", image_embeddings)
        check_given("input_features", input_features)
        read = input_ids if text_embeddings is None else text_embeddings
        check_text("input_ids", type(self).__name__, read, self.reads_text)
        edge = self.config.frame_size
        shapes = PixelFeatures.shapes(self.config.mask2former_config, edge)
        frames = {"pixel_values": (pixel_values, (3, edge, edge)), **embedding_shapes(image_embeddings, *shapes)}
        sounds = {"input_features": (input_features, ("patches", 1, 96, 64))}
        texts = (input_ids, frame_mask, audio_mask, labels, label_mask, text_embeddings)
        given = prepare_clips(frames, sounds, *texts)
        patches = real_lengths("audio_mask", given.audio_mask.tolist())
        text, _ = encode_text(self.text_encoder, given.input_ids, attention_mask, text_embeddings)
        with gradient_where_needed(self.audio_encoder):
            audio = self.audio_encoder(input_features).embeddings[:, :, 0]
        heard = [audio[clip, :length] for clip, length in enumerate(patches)]
        masks = self.segment(self._embedded(given.lengths, pixel_values, image_embeddings), heard, text)
        padded = [F.pad(each, (0, 0, 0, 0, 0, given.batch[2] - each.shape[1]), value=NO_MASK_LOGIT) for each in masks]
        masks = torch.stack(padded)
        terms = {} if labels is None else self._losses(masks, given)
        return AudioVisualSegmentationOutput(**self.loss_fields(self.weigh(terms)), pred_masks=masks)

    def _embedded(
        self, lengths: list[int], pixel_values: torch.Tensor | None, image_embeddings: Sequence[torch.Tensor] | None
    ) -> list[PixelFeatures]:
        """What the host makes of the real frames of each clip, of which there are `lengths`."""
        if image_embeddings is None:
            return [self.embed_frames(pixel_values[clip, :length]) for clip, length in enumerate(lengths)]
        made = [maps.to(self.dtype) for maps in image_embeddings]
        return [PixelFeatures(*(maps[clip, :length] for maps in made)) for clip, length in enumerate(lengths)]

    def segment(self, clips: list[PixelFeatures], audio: list[torch.Tensor], text: torch.Tensor) -> list[torch.Tensor]:
        """Mask logits `[E, T, h, w]` of each clip.

        Args:
            clips: what the host makes of the `T` frames of each clip.
            audio: the embeddings `[A, D]` of its sound.
            text: `[B, E, P, D]`, states of the words.

        Raises:
            ValueError: when clips or sounds differ in length under `across_clips`.
        """
        lengths = [(len(frames.encoder_map), len(sound)) for frames, sound in zip(clips, audio, strict=True)]
        if self.config.across_clips and len(set(lengths)) > 1:
            raise ValueError(
                "pixel_values: under across_clips all clips of a batch have as many frames and seconds of sound, got "
                + ", ".join(f"{frames} and {sound}" for frames, sound in lengths)
            )
        each = zip(clips, audio, text, strict=True)
        cues = [self.fusion.cues(known.encoder_map, sound, words) for known, sound, words in each]
        if self.config.across_clips:
            prompts = self.fusion.prompts(torch.cat(cues)).split(text.shape[1])
        else:
            prompts = [self.fusion.prompts(each) for each in cues]
        pairs = zip(clips, prompts, strict=True)
        return [torch.stack([self._decode(known, prompt) for prompt in of_clip]) for known, of_clip in pairs]

    def _decode(self, features: PixelFeatures, prompts: torch.Tensor) -> torch.Tensor:
        """Mask logits `[T, h, w]` for one sentence, from the prompts `[T, L, C]` of its frames."""
        queries = self.mask2former.start_queries(prompts.device).expand(len(prompts), -1, -1)
        found = self.mask2former.decode(features, self.query_attention(queries, prompts))
        return sum_of_masks(found.class_logits, found.masks)

    def _losses(self, masks: torch.Tensor, given: ClipInputs) -> dict[str, torch.Tensor]:
        """Terms of the loss, means over labelled frames, in single precision at least."""
        precise = torch.promote_types(masks.dtype, torch.float32)
        targets, weights = given.labels.to(precise), given.labeled[:, None].expand(given.batch).to(precise)
        logits = self.scale_masks(masks.flatten(0, 2).to(precise), targets.shape[-2:]).view_as(targets)
        terms = {"bce": weighted_mean(mask_bce(logits, targets), weights)}
        if self.loss_weights["dice"]:
            terms["dice"] = weighted_mean(mask_dice(logits, targets), weights)
        return terms


__all__ = ["EemcModel", "EemcPreTrainedModel"]
