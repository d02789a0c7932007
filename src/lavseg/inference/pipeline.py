"""The task "audio-visual-segmentation" of Transformers' `pipeline`."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel
from transformers.pipelines import PIPELINE_REGISTRY, Pipeline

from ..backbones.sam2.user_prompts import PROMPT_NAMES
from ..checkpoint import show_notice
from ..hub import TASK
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from .confidence import clip_scores, frame_scores
from .downloads import local_file
from .frame_predictions import masks_of_size, split_clips
from .prompted_clip import check_places, check_takes_prompts

_SHOWN = (*PROMPT_NAMES, "prompt_frames")
_CLIP_KEYS = ("video", "audio", "text", "sampling_rate", *_SHOWN)


def register() -> None:
    """Make `transformers.pipeline` know the task."""
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=AudioVisualSegmentationPipeline, pt_model=AutoModel, type="multimodal"
    )


class AudioVisualSegmentationPipeline(Pipeline):
    """Segments what sentences, the sound and the picture of clips mean together.

    ```python
    import lavseg
    from transformers import pipeline

    segment = pipeline("audio-visual-segmentation", model="org/sam2-love")
    for found in segment("clip.mp4", text=["the louder of the two dogs", "the man"]):
        print(found["label"], found["score"], found["masks"].shape)
    ```
    """

    _load_processor = True
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(self.model, AudioVisualPreTrainedModel):
            raise ValueError(
                f"model: {TASK} takes a model of lavseg that segments clips, got {type(self.model).__name__}"
            )
        if not isinstance(self.processor, AudioVisualProcessor):
            raise ValueError(
                f"processor: {TASK} takes the processor that belongs to {type(self.model).__name__}, got "
                f"{type(self.processor).__name__}"
            )
        show_notice(self.model.config, self.model.name_or_path)

    def __call__(
        self,
        inputs: Any,
        text: str | Sequence[str] | None = None,
        audio: Any = None,
        sampling_rate: int | None = None,
        private_addresses: bool | None = None,
        **kwargs,
    ) -> Any:
        """Segment one clip, or several.

        Args:
            inputs: a clip, or a list, generator or data set of clips. A clip is a path or an http(s) URL of a
                video file, a `uint8` array or tensor `[T, H, W, 3]` in RGB, a list of `T` PIL images, or a dictionary
                of `video`, one of these, and what is its own among `audio`, `text`, `sampling_rate` and a user's
                prompts: `input_points`, `input_labels`, `input_boxes`, `input_masks` and `prompt_frames`.
            text: the sentence or the sentences, all about every clip that has none of its own; none for a model that
                does not read.
            audio: for one clip, a path, a URL or a waveform `[samples]` or `[channels, samples]`; may be left out
                where the video file carries sound.
            sampling_rate: samples per second of waveforms.
            private_addresses: fetch URLs from this machine and from private networks, too. What a URL gives is fetched
                up to 1000 MB and 600 seconds.
            prompts: what a user shows, for models with `takes_points`: `input_points [1, E, F, n, 2]`, `input_labels
                [1, E, F, n]`, `input_boxes [1, E, F, 4]`, `input_masks [1, E, F, H, W]`, in pixels of the clip, for the
                `E` sentences in their order, and `prompt_frames`, the `F` frames they are on, by default the first, see
                `segment_video`. A batch is then one clip.
            kwargs: `batch_size` and `num_workers` as in other pipelines. Clips of a batch may differ in length; they
                take the same number of sentences. Where the processor keeps the shape of frames or the length of
                sentences, they agree in it.

        Returns:
            For a clip a list with a dictionary for each sentence: `label` (the sentence, None for a model that does not
            read), `masks` (bool array `[T, H, W]` at the clip's size), `score` (how far they can be trusted, 0 to 1,
            see `confidence.clip_scores`; None where the model does not say), and as far as the model gives them for
            each frame `frame_scores` (the same of one mask), `iou_scores` (its own estimate of the mask's IoU) and
            `object_score_logits` (above zero: judged visible), and `presence_logit` (above zero: judged to be in the
            clip). For several clips a list of such lists; for a generator or data set they come one by one.

        Raises:
            ValueError: when a clip, its sound or its text is missing, cannot be read or is not of these kinds, or the
                model gives NaN or infinite values.
        """
        if _is_frames(inputs):
            inputs = {"video": inputs}
        if isinstance(inputs, list | tuple):
            inputs = list(inputs)
            if not inputs:
                raise ValueError("inputs: the list is empty, it takes at least one clip")
            if audio is not None:
                raise ValueError(
                    "audio: belongs to one clip; for several pass dictionaries such as {'video': ..., 'audio': ...}"
                )
        given = {"text": text, "audio": audio, "sampling_rate": sampling_rate, "private_addresses": private_addresses}
        return super().__call__(inputs, **given, **kwargs)

    def _sanitize_parameters(
        self,
        text: str | Sequence[str] | None = None,
        audio: Any = None,
        sampling_rate: int | None = None,
        private_addresses: bool | None = None,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        input_masks: Any = None,
        prompt_frames: Sequence[int] | None = None,
    ) -> tuple[dict, dict, dict]:
        given = {"text": text, "audio": audio, "sampling_rate": sampling_rate, "private_addresses": private_addresses}
        shown = (input_points, input_labels, input_boxes, input_masks, prompt_frames)
        given |= dict(zip(_SHOWN, shown, strict=True))
        return {name: value for name, value in given.items() if value is not None}, {}, {}

    def preprocess(
        self,
        clip: Any,
        text: Any = None,
        audio: Any = None,
        sampling_rate: int | None = None,
        private_addresses: bool = False,
        **prompts: Any,
    ) -> dict[str, Any]:
        """Model inputs of one clip, its sentences, and the frames with a user's prompts."""
        parts = {"text": text, "audio": audio, "sampling_rate": sampling_rate, **prompts}
        own = clip if isinstance(clip, Mapping) else {"video": clip}
        unknown = [str(key) for key in own if key not in _CLIP_KEYS]
        if unknown or own.get("video") is None:
            problem = f"unknown keys {', '.join(unknown)}" if unknown else "no 'video'"
            raise ValueError(f"inputs: a clip's dictionary holds {', '.join(_CLIP_KEYS)}; this one has {problem}")
        parts.update(own)
        shown = {name: value for name in _SHOWN if (value := parts.pop(name, None)) is not None}
        check_takes_prompts(self.model, list(shown))
        # On the first frame, as in `segment_video`; by itself a model takes its conditioning frame.
        options = {"prompt_frames": shown.pop("prompt_frames", [0])} if shown else {}
        with ExitStack() as downloads:
            for name in ("video", "audio"):
                parts[name] = downloads.enter_context(local_file(parts[name], private_addresses))
            inputs = self.processor(**parts, **shown)
        if len(inputs["original_sizes"]) > 1:
            raise ValueError("inputs: 'video' of a dictionary is one clip, got a list of clips; pass a dictionary each")
        check_places(shown, *inputs["original_sizes"][0])
        text = parts["text"]
        labels = [text] if text is None or isinstance(text, str) else list(text)
        return {"inputs": inputs, "labels": labels, "options": options}

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, list[dict]]:
        clips, labels, options = (model_inputs[name] for name in ("inputs", "labels", "options"))
        if isinstance(clips, Mapping):
            clips, labels, options = [clips], [labels], [options]
        if len(clips) > 1 and any(name in clip for clip in clips for name in PROMPT_NAMES):
            raise ValueError("batch_size: clips with a user's prompts come one by one; leave it out")
        if len({len(sentences) for sentences in labels}) > 1:
            counts = [len(sentences) for sentences in labels]
            raise ValueError(f"text: the clips of a batch take the same number of sentences, got {counts}")
        batch = self._stack(clips)
        predictions = split_clips(self.processor, self.model(**batch, **options[0]), batch["frame_mask"])
        return {
            "clips": [
                {"labels": sentences, "size": size, "logits": predicted.logits, "scores": predicted.scores}
                for sentences, size, predicted in zip(labels, batch["original_sizes"], predictions, strict=True)
            ]
        }

    def _stack(self, clips: list[Mapping[str, Any]]) -> dict[str, Any]:
        """Inputs of single clips as those of one batch; shorter clips end in zeros, which the masks hide."""
        batch = {"original_sizes": [clip["original_sizes"][0] for clip in clips]}
        for name in clips[0].keys() - batch.keys():
            parts = [clip[name][0] for clip in clips]
            shapes = sorted({tuple(part.shape[1:]) for part in parts})
            if len(shapes) > 1:
                given = f"{type(self.processor).__name__} gives {name} of several shapes, {shapes}"
                raise ValueError(f"batch_size: {given}; leave it out")
            values = pad_sequence(parts, batch_first=True)
            batch[name] = values.to(self.model.dtype) if values.is_floating_point() else values
        return batch

    def postprocess(self, model_outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """What was found for each sentence of one clip."""
        clip = model_outputs["clips"]
        clip = clip[0] if isinstance(clip, list) else clip
        masks = masks_of_size(self.processor, clip["logits"], clip["size"])
        scores = _scores(clip["scores"], masks.any((2, 3)))
        return [{"label": label, **scores[index], "masks": masks[index]} for index, label in enumerate(clip["labels"])]

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Save the model and its processor; the code stays in the installed package."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def _scores(given: dict[str, torch.Tensor], shown: np.ndarray) -> list[dict[str, Any]]:
    """The scores of each sentence as plain numbers; its masks are not empty where `shown [E, T]`."""
    values = {name: value.double().numpy() for name, value in given.items()}
    of_frames = frame_scores(values, shown)
    if of_frames is not None:
        values = {"score": clip_scores(of_frames, shown), "frame_scores": of_frames, **values}
    if "presence_logit" in values:
        values["presence_logit"] = values["presence_logit"][:, 0]
    numbers = range(len(shown))
    return [{"score": None, **{name: value[index].tolist() for name, value in values.items()}} for index in numbers]


def _is_frames(inputs: Any) -> bool:
    """Whether a list is the frames of one clip rather than several clips."""
    if not isinstance(inputs, list | tuple) or not inputs:
        return False
    first = inputs[0]
    return isinstance(first, Image.Image) or (isinstance(first, np.ndarray | torch.Tensor) and first.ndim == 3)
