"""Stepping-Stones: the sound of a frame prompts the queries of an adapted Mask2Former (Ma et al., ECCV 2024)."""

import re
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from ...backbones.adapted_sam.heard_clips import from_clips, to_clips
from ...backbones.mask2former.modeling_mask2former import PixelFeatures, PromptedMask2Former, QueryPredictions
from ...backbones.vggish import VggishModel, load_vggish, without_relu
from ...backbones.vggish.base_sound_per_frame import SoundPerFrameModel
from ...losses import mean_terms
from ...modeling.encoders import let_train, load_host
from ...modeling.initialization import init_linear
from ...modeling.inputs import ClipInputs, check_weights, embedding_shapes
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .configuration_stepping_stones import SteppingStonesConfig
from .loss_stepping_stones import FrameTargets, clip_losses
from .outputs_stepping_stones import SteppingStonesOutput, class_scores

# What of a published host is of another size here.
_REDRAWN = r"^class_predictor\.|\.queries_(embedder|features)\."


class SteppingStonesPreTrainedModel(SoundPerFrameModel):
    """Configuration and initialisation of Stepping-Stones.

    ```python
    model = SteppingStonesModel.from_backbones("facebook/mask2former-swin-base-ade-semantic", audio="runs/vggish")
    ```
    """

    config: SteppingStonesConfig
    config_class = SteppingStonesConfig
    base_model_prefix = "stepping_stones"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SteppingStonesPreTrainedModel):
            for layer in (module.audio_projection[0], module.audio_projection[2]):
                init_linear(layer)


class SteppingStonesModel(SteppingStonesPreTrainedModel):
    """The first stage of Stepping-Stones: masks of what sounds. Every frame is segmented by itself, from its second of
    sound.

    Terms of the loss: `class`, `mask` and `dice`, summed over the masks before the first layer of the decoder and after
    each, as published.

    ```python
    config = SteppingStonesConfig()
    model, processor = SteppingStonesModel(config).eval(), SteppingStonesProcessor.from_config(config)
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```

    Raises:
        ValueError: for a configuration with other classes than background and what sounds.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"class": 2.0, "mask": 5.0, "dice": 5.0}

    def __init__(self, config: SteppingStonesConfig):
        self._check_classes(config)
        super().__init__(config)
        self.mask2former = PromptedMask2Former(config.mask2former_config)
        self.mask2former.adapt_projections(config.adapter_ratio, config.adapter_place, config.encoder_adapters)
        self.audio_encoder = VggishModel(config.audio_config)
        self.audio_projection = nn.Sequential(
            nn.Linear(config.audio_config.embedding_size, config.projection_size),
            nn.ReLU(),
            nn.Linear(config.projection_size, config.mask2former_config.hidden_dim),
        )
        self.prior = self._build_prior()
        self.freeze()
        self.post_init()

    def _build_prior(self) -> nn.Module | None:
        """What reads the masks of a first stage."""
        return None

    def _check_classes(self, config: SteppingStonesConfig) -> None:
        if config.num_labels != 2:
            raise ValueError(
                f"num_labels: {type(self).__name__} tells what sounds from background, 2 classes, got "
                f"{config.num_labels}; SteppingStonesForSemanticSegmentation names classes"
            )

    @classmethod
    def from_backbones(
        cls,
        mask2former: str = "facebook/mask2former-swin-base-ade-semantic",
        audio: str | VggishModel | None = None,
        **config_overrides,
    ) -> "SteppingStonesModel":
        """Start training from published encoders.

        Args:
            mask2former: Hub id or folder of a Transformers checkpoint. Its head of classes is drawn anew, and so are
                its queries where the model has another number of them.
            audio: a VGGish model, or the folder or Hub id of a converted one, of which the final ReLU is left out as
                in the released code. It has no default: an untrained one says nothing about the sound.
            config_overrides: fields of [`SteppingStonesConfig`].

        Raises:
            ValueError: when `audio` is missing, or `mask2former` is another model.
        """
        parts = {"audio": load_vggish(audio), "mask2former": load_host("mask2former", mask2former, PromptedMask2Former)}
        config_overrides["audio_config"] = without_relu(config_overrides.get("audio_config"))
        return cls._compose(parts, **config_overrides)

    def load_backbones(self, parts: dict[str, nn.Module]) -> None:
        """As the base class says; of the host without queries and a head of classes of another size."""
        check_weights(parts["mask2former"])
        given, own = parts["mask2former"].state_dict(), self.mask2former.state_dict()
        redrawn = [name for name in given if re.search(_REDRAWN, name) and given[name].shape != own[name].shape]
        self.mask2former.load_state_dict({**given, **{name: own[name] for name in redrawn}})
        check_weights(parts["audio"])
        self.audio_encoder.load_state_dict(parts["audio"].state_dict())

    def backbones(self) -> dict[str, nn.Module]:
        return {"mask2former": self.mask2former, "audio": self.audio_encoder}

    @property
    def image_blocks(self) -> nn.ModuleList:
        return self.mask2former.blocks

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        return ("pixel_values",)

    def embed_frames(self, pixel_values: torch.Tensor) -> PixelFeatures:
        """As the base class says: the five maps that the host makes before it is asked anything."""
        return self.mask2former(pixel_values.to(self.dtype))

    def trained_parts(self) -> list[nn.Module]:
        """Parts of the host that train: adapters, the head of classes, and what queries start from."""
        decoder = self.mask2former.model.transformer_module
        adapters = [projection.adapter for projection in self.mask2former.adapted_projections()]
        return [*adapters, self.mask2former.class_predictor, decoder.queries_embedder, decoder.queries_features]

    def freeze(self) -> None:
        super().freeze()
        let_train(*self.trained_parts())

    def train(self, mode: bool = True) -> "SteppingStonesModel":
        """As the base class says, but blocks of Swin drop their attention, as in the released training."""
        super().train(mode)
        self.mask2former.drop_attention(mode)
        return self

    def _checkpoint_what_learns(self) -> None:
        super()._checkpoint_what_learns()
        self.mask2former.checkpoint_what_learns(self.training)

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        class_labels: torch.Tensor | None = None,
        prior_masks: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: Sequence[torch.Tensor] | None = None,
        audio_embeddings: torch.Tensor | None = None,
        text_embeddings: torch.Tensor | None = None,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames, or learn to.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for the host.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound for each frame.
            input_ids: refused, the model reads no text.
            frame_mask: bool `[B, T]`, True for real frames, which come first; all real when None.
            audio_mask: bool `[B, T]`, not used: every frame has its patch.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size; the loss of the first stage
                is the mean over the `E`.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            class_labels: integer `[B, T, h, w]`, 0 for background, of which the second stage learns, with or without
                `labels`; the first leaves them aside.
            prior_masks: for the second stage `[B, T, h, w]`, from 0 to 1, what the first one finds; published at 224 x
                224. Without them nothing is known; training then takes what `class_labels` say, as published.
            original_sizes: not used, it is for the way back; processors hand it out.
            image_embeddings: in place of `pixel_values` what `embed_frames` makes of them, each `[B, T, ...]`.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
            text_embeddings: refused as `input_ids`.

        Returns:
            [`SteppingStonesOutput`], or of the second stage [`SteppingStonesSemanticOutput`], with masks
            `[B, 1, T, S, S]`, -1024 on padding frames.

        Raises:
            ValueError: when an input is missing or given twice, or when shapes do not fit together.
        """
        class_labels = class_labels if self.names_classes else None
        texts = (input_ids, text_embeddings, frame_mask, audio_mask, labels, label_mask, class_labels)
        given = self.prepare(pixel_values, image_embeddings, input_features, audio_embeddings, *texts)
        count = sum(given.lengths)
        prior = self._known(given, prior_masks, class_labels)
        features = self._embedded(given, pixel_values, image_embeddings)
        audio = self.embed_audio(input_features) if audio_embeddings is None else audio_embeddings.to(self.dtype)
        queries = self.prompt(from_clips(audio, given.frame_mask, count))
        known = None if prior is None else self.prior(from_clips(prior, given.frame_mask, count), features)
        if labels is None and class_labels is None:
            return self._output(self.mask2former.decode(features, queries, known), given)
        levels = self.mask2former.decode_every_layer(features, queries, known)
        losses = self.weigh(self._losses(levels, given, class_labels))
        return self._output(levels[-1], given, **self.loss_fields(losses))

    def frame_inputs(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
        class_labels: torch.Tensor | None,
    ) -> dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]:
        edge = self.config.frame_size
        shapes = PixelFeatures.shapes(self.config.mask2former_config, edge)
        return {
            "pixel_values": (pixel_values, (3, edge, edge)),
            "class_labels": (class_labels, ("height", "width")),
            **embedding_shapes(image_embeddings, *shapes),
        }

    def prompt(self, audio: torch.Tensor) -> torch.Tensor:
        """Queries `[N, Q, C]` of frames with the sounds `[N, D]`: each is given as much of the sound as its position
        code is like it."""
        sounds = self.audio_projection(audio)[:, None]
        places = self.mask2former.query_places(audio.device)
        alike = F.cosine_similarity(places, sounds, dim=-1)
        return self.mask2former.start_queries(audio.device) + alike[..., None] * sounds

    def _known(
        self, given: ClipInputs, prior_masks: torch.Tensor | None, class_labels: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Masks `[B, T, h, w]` of a first stage, None where this is one."""
        if prior_masks is not None:
            raise ValueError(f"prior_masks: {type(self).__name__} is a first stage itself; leave them out")
        return None

    def _embedded(
        self, given: ClipInputs, pixel_values: torch.Tensor | None, image_embeddings: Sequence[torch.Tensor] | None
    ) -> PixelFeatures:
        """What `embed_frames` makes of all real frames."""
        count = sum(given.lengths)
        if image_embeddings is None:
            return self.embed_frames(from_clips(pixel_values, given.frame_mask, count))
        return PixelFeatures(*(from_clips(each, given.frame_mask, count).to(self.dtype) for each in image_embeddings))

    def _losses(
        self, levels: list[QueryPredictions], given: ClipInputs, class_labels: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Terms of the loss: the mean over truths, for each of which the same points are drawn, and over clips."""
        truths = given.labels.unbind(1) if class_labels is None else [class_labels]
        devices = [levels[-1].masks.device] if levels[-1].masks.is_cuda else []
        parts = []
        for index, truth in enumerate(truths):
            with torch.random.fork_rng(devices, enabled=index + 1 < len(truths)):
                parts.append(self._losses_of(levels, given, truth))
        return mean_terms(parts)

    def _losses_of(
        self, levels: list[QueryPredictions], given: ClipInputs, truth: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The mean over clips that show the classes `[B, T, h, w]` on labelled frames."""
        clips, start = [], 0
        for clip, (length, counted) in enumerate(zip(given.lengths, given.labeled.tolist(), strict=True)):
            labelled = [frame for frame in range(length) if counted[frame]]
            rows = [start + frame for frame in labelled]
            start += length
            if rows:
                found = [QueryPredictions(*(part[rows] for part in level)) for level in levels]
                clips.append(self._clip_losses(found, truth[clip, labelled]))
        return mean_terms(clips or [self._nothing(levels)])

    def _nothing(self, levels: list[QueryPredictions]) -> dict[str, torch.Tensor]:
        """Terms of a loss of 0, with a gradient."""
        return dict.fromkeys(self.default_loss_weights, 0 * levels[-1].masks.sum())

    def _clip_losses(self, levels: list[QueryPredictions], classes: torch.Tensor) -> dict[str, torch.Tensor]:
        """Terms of the loss on frames of one clip, which show `classes [N, h, w]`."""
        if not self.config.learn_from_silence and not classes.any():
            return self._nothing(levels)
        return clip_losses(levels, FrameTargets.of(classes, self.config.frame_size, self.config.num_labels))

    def _output(self, found: QueryPredictions, given: ClipInputs, **losses) -> AudioVisualSegmentationOutput:
        """What queries say of all real frames, which no gradient comes back from, as clips."""
        edge, real = self.config.frame_size, given.frame_mask
        with torch.no_grad():
            frames = zip(found.class_logits, found.masks, strict=True)
            scores = torch.stack([class_scores(named, masks, edge) for named, masks in frames])
        return SteppingStonesOutput(
            **losses,
            pred_masks=to_clips(scores[:, 1] - scores[:, 0], real, NO_MASK_LOGIT)[:, None],
            class_scores=to_clips(scores, real).transpose(1, 2),
        )


__all__ = ["SteppingStonesModel", "SteppingStonesPreTrainedModel"]
