"""What methods share in which each frame has a sound of its own, as [`SoundPerFrameProcessor`] prepares it."""

from collections.abc import Sequence

import torch

from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.encoders import gradient_where_needed
from ...modeling.inputs import ClipInputs, check_given, check_text, prepare_clips


class SoundPerFrameModel(AudioVisualPreTrainedModel):
    """Base of models with a VGGish as `audio_encoder`. Sub-classes say in `frame_inputs` what a frame is given as.

    ```python
    class Loudness(SoundPerFrameModel):
        config_class = StBavaConfig

        def __init__(self, config):
            super().__init__(config)
            self.audio_encoder = VggishModel(config.audio_config)

        def frame_inputs(self, pixel_values, image_embeddings, class_labels):
            return {"pixel_values": (pixel_values, (3, "height", "width"))}
    ```
    """

    def embed_audio(self, input_features: torch.Tensor) -> torch.Tensor:
        with gradient_where_needed(self.audio_encoder):
            return self.audio_encoder(input_features).embeddings.squeeze(2)

    def frame_inputs(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: torch.Tensor | Sequence[torch.Tensor] | None,
        class_labels: torch.Tensor | None,
    ) -> dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]:
        """For `prepare_clips` what is given for each frame, with its axes."""
        raise NotImplementedError

    def prepare(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: torch.Tensor | Sequence[torch.Tensor] | None,
        input_features: torch.Tensor | None,
        audio_embeddings: torch.Tensor | None,
        input_ids: torch.Tensor | None,
        text_embeddings: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
        audio_mask: torch.Tensor | None,
        labels: torch.Tensor | None,
        label_mask: torch.Tensor | None,
        class_labels: torch.Tensor | None = None,
    ) -> ClipInputs:
        """Compare the inputs of `forward`, called as there, with each other and fill in what was left out.

        Raises:
            ValueError: when an input is missing or given twice, or when shapes do not fit together.
        """
        check_given("pixel_values", pixel_values, "image_embeddings", image_embeddings)
        check_given("input_features", input_features, "audio_embeddings", audio_embeddings)
        read = input_ids if text_embeddings is None else text_embeddings
        check_text("input_ids", type(self).__name__, read, self.reads_text)
        frames = self.frame_inputs(pixel_values, image_embeddings, class_labels)
        length = next(value.shape[1] for value, _ in frames.values() if value is not None)
        sounds = {
            "input_features": (input_features, (length, 1, 96, 64)),
            "audio_embeddings": (audio_embeddings, (length, self.config.audio_config.embedding_size)),
        }
        texts = (input_ids, frame_mask, audio_mask, labels, label_mask, text_embeddings)
        return prepare_clips(frames, sounds, *texts)


__all__ = ["SoundPerFrameModel"]
