"""What the adapter baselines share: a host that is SAM or SAM2, which tracks with a prompt on every frame."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel, Sam2VideoModel, SamModel

from ...losses import weighted_mean
from ...modeling.encoders import build_encoder, encode_text, load_encoder, load_host
from ...modeling.outputs import AudioVisualSegmentationOutput
from ..sam.modeling_sam import FramePrediction, SamClipModel
from ..sam2.encoder_sam2 import encode_images
from ..sam2.every_frame_tracking import EveryFrameTracker, track_every_frame
from ..sam2.losses_sam2 import SAM2_LOSS_WEIGHTS, sam2_losses
from ..sam2.modeling_sam2 import Sam2Backbone
from ..sam2.tracking_sam2 import ImageFeatures, MaskPrediction, project_features
from ..vggish import VggishModel, load_vggish
from .configuration_adapted_sam import AdapterConfig


class AdapterClipModel(SamClipModel):
    """Base of the adapter baselines. Sub-classes say in `_build_adapters` what adapts the host and in `_encode_images`
    (SAM) or `_encode_maps` (SAM2) how it sees with them, in `_prompts` what prompts a frame, and in `original_losses`
    how they learn.

    ```python
    model = SamaAvsModel.from_backbones("facebook/sam2-hiera-large", "vggish", use_text=True)
    inputs = processor("clip.mp4", text="the dog that barks")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    config: AdapterConfig
    input_modalities = ("video", "audio", "text")

    def __init__(self, config: AdapterConfig):
        super().__init__(config)
        if config.mask_loss == "sam2":
            self.loss_weights = dict(SAM2_LOSS_WEIGHTS)
        self.text_encoder = build_encoder(config.text_config) if config.use_text else None
        self.freeze()
        self.post_init()

    def _build_host(self) -> PreTrainedModel:
        if not self.config.on_sam2:
            return super()._build_host()
        return Sam2Backbone(self.config.sam_config)

    @classmethod
    def from_backbones(
        cls,
        sam: str,
        audio: str | VggishModel | None = None,
        text: str = "distilbert/distilroberta-base",
        **config_overrides,
    ) -> "AdapterClipModel":
        """Start training from published encoders.

        Args:
            sam: Hub id or folder of a Transformers SAM or SAM2 video checkpoint; which one it is decides the variant.
            audio: a VGGish model, or the folder or Hub id of a converted one; an untrained one would hear nothing.
            text: Hub id or folder of the text encoder, which is read with `use_text=True` only.
            config_overrides: fields of the method's configuration.

        Raises:
            ValueError: when `audio` is missing, or `sam` is another model.
        """
        parts = {"audio": load_vggish(audio), "sam": load_host("sam", sam, SamModel, Sam2VideoModel)}
        if config_overrides.get("use_text"):
            parts["text"] = load_encoder(text, "text_config")
        return cls._compose(parts, **config_overrides)

    def backbones(self) -> dict[str, nn.Module]:
        return super().backbones() | ({} if self.text_encoder is None else {"text": self.text_encoder})

    def _encode_maps(
        self,
        pixel_values: torch.Tensor,
        audio: torch.Tensor,
        text: torch.Tensor | None,
        text_mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        """Maps of SAM2's neck, see `encode_images`, of frames `[N, 3, S, S]` with their sounds `[N, D]` and the
        sentences `[N, P, D]` about them."""
        return encode_images(self.sam, pixel_values)

    def _prompts(self, audio: torch.Tensor) -> torch.Tensor | None:
        """Prompt tokens `[N, n, C]` of frames with sounds `[N, D]`, or None."""
        return None

    def _adapted_decoder(
        self, text: torch.Tensor | None, text_mask: torch.Tensor | None
    ) -> AbstractContextManager[None]:
        """Inside, the mask decoder works with its adapters, if it has any; `text` is about the objects decoded."""
        return nullcontext()

    def original_losses(
        self, prediction: FramePrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """As `mask_losses`, the terms that the method was published with."""
        raise NotImplementedError

    def mask_losses(
        self, prediction: FramePrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The loss that `mask_loss` names; the mean over the frames that carry a label."""
        if self.config.mask_loss == "original":
            return self.original_losses(prediction, targets, weights)
        candidates = F.interpolate(prediction.candidates, targets.shape[-2:], mode="bilinear")
        terms = sam2_losses(
            candidates,
            prediction.candidate_scores,
            prediction.object_score_logits,
            targets,
            self.loss_weights["focal"],
            self.loss_weights["dice"],
        )
        return {name: weighted_mean(value, weights) for name, value in terms.items()}

    def segment(
        self, images: torch.Tensor, audio: torch.Tensor, frame_mask: torch.Tensor, output_attentions: bool
    ) -> tuple[FramePrediction, dict]:
        """Masks of SAM's frames, each by itself: the decoder's single mask."""
        sparse, dense = self.sam.prompt_encoder(None, None, None, None)
        prompts = self._prompts(audio[frame_mask])
        with self._adapted_decoder(None, None):
            candidates, scores = self.sam.mask_decoder(
                image_embeddings=images,
                image_positional_embeddings=self.sam.get_image_wide_positional_embeddings(),
                sparse_prompt_embeddings=sparse if prompts is None else prompts[:, None],
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        return FramePrediction(candidates[:, 0, 0], scores[:, 0, 0], candidates[:, 0], scores[:, 0]), {}

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
        reshaped_input_sizes: torch.Tensor | None = None,
        image_embeddings: torch.Tensor | None = None,
        audio_embeddings: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames, for `E` expressions each with `use_text` and one otherwise.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for the host.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound for each frame.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip; with `use_text` only. As the expression
                changes what the encoder sees, each costs an encoding of the clip.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask: bool `[B, T]`, True for real frames, which come first; all real when None.
            audio_mask: bool `[B, T]`, not used: every frame has its patch.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used, it is for the way back; processors hand it out.
            reshaped_input_sizes: long `[B, T, 2]`, see [`SamClipModel`]. SAM only.
            image_embeddings: `[B, T, C, e, e]` in place of `pixel_values`: SAM's embeddings, made before. SAM only.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
            output_attentions: refused, these models have no attention between sound and image.

        Returns:
            [`AudioVisualSegmentationOutput`]; masks are -1024 on padding frames, and not gated by SAM2's object score.

        Raises:
            ValueError: when an input is missing or given twice, or when shapes do not fit together.
        """
        if output_attentions:
            raise ValueError(
                f"output_attentions: {type(self).__name__} has no attention between sound and image, leave it out"
            )
        if not self.config.on_sam2:
            return super().forward(
                pixel_values,
                input_features,
                input_ids,
                attention_mask,
                frame_mask,
                audio_mask,
                labels,
                label_mask,
                original_sizes,
                reshaped_input_sizes,
                image_embeddings,
                audio_embeddings,
                output_hidden_states=False,
                return_dict=True,
            )
        if image_embeddings is not None:
            raise ValueError("image_embeddings: only models on SAM take them; pass pixel_values")
        if reshaped_input_sizes is not None:
            raise ValueError("reshaped_input_sizes: SAM2 takes frames that fill the square, leave it out")
        given = self._prepare(
            pixel_values,
            None,
            input_features,
            audio_embeddings,
            input_ids,
            frame_mask,
            audio_mask,
            labels,
            label_mask,
        )
        audio, frame_mask = self._encode_audio(input_features, audio_embeddings, given.frame_mask)
        text = text_mask = None
        if input_ids is not None:
            states = encode_text(self.text_encoder, given.input_ids, attention_mask)
            text, text_mask = (value.flatten(0, 1) for value in states)
        real = frame_mask[:, None].expand(given.batch)
        prediction = self._track(pixel_values, audio, text, text_mask, real)
        return self._output(prediction, real, given, {})

    def _track(
        self,
        pixel_values: torch.Tensor,
        audio: torch.Tensor,
        text: torch.Tensor | None,
        text_mask: torch.Tensor | None,
        real: torch.Tensor,
    ) -> FramePrediction:
        """Masks of the frames that are `real`, bool `[B, E, T]`; clips of one length go together."""
        lengths, expressions = real.sum(-1).flatten(), real.shape[1]
        values = None
        for length in lengths.unique().tolist():
            objects = (lengths == length).nonzero()[:, 0]
            chosen = [None if value is None else value[objects] for value in (text, text_mask)]
            found = self._track_objects(pixel_values, audio, objects // expressions, *chosen, length)
            if values is None:
                values = [part.new_zeros(len(lengths), real.shape[-1], *part.shape[2:]) for part in found]
            for total, part in zip(values, found, strict=True):
                total[objects, :length] = part
        return FramePrediction(*(value[real.flatten(0, 1)] for value in values))

    def _track_objects(
        self,
        pixel_values: torch.Tensor,
        audio: torch.Tensor,
        clips: torch.Tensor,
        text: torch.Tensor | None,
        text_mask: torch.Tensor | None,
        length: int,
    ) -> FramePrediction:
        """Masks of `n` objects, one per row of `text`, in `clips [n]` of `length`: everything as `[n, length, ...]`."""

        def features_of(frame: int) -> ImageFeatures:
            maps = self._encode_maps(pixel_values[clips, frame], audio[clips, frame], text, text_mask)
            return project_features(self.sam, maps)

        tracker = EveryFrameTracker(self.sam, length)

        def decode(frame: int, features: ImageFeatures, embeddings: torch.Tensor) -> MaskPrediction:
            prompts = self._prompts(audio[clips, frame])
            prompts = tracker.empty_prompt if prompts is None else prompts
            return tracker.decode(features, embeddings, prompts, multimask=tracker.multimask)

        first = 0 if self.config.conditioning_frame == "first" and not self.training else length // 2
        with self._adapted_decoder(text, text_mask):
            tracked = dict(track_every_frame(tracker, features_of, decode, [first]))
        ordered = [tracked[frame] for frame in range(length)]
        names = ("masks", "iou_scores", "candidates", "candidate_scores", "object_score_logits")
        return FramePrediction(
            *(torch.stack([getattr(prediction, name) for prediction in ordered], dim=1) for name in names)
        )


__all__ = ["AdapterClipModel"]
