"""The processor base that all methods share: clip in, model inputs out, masks back."""

import copy
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BatchFeature,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.utils import logging

from ...media import as_frames, iter_frames, read_audio, read_video
from ...media.packets import SOUND_SLACK
from ..inputs import check_constants, check_text
from ..outputs import PostProcessingMixin
from ..remote_code import AUTO_MAP
from .call_arguments import (
    CallOptions,
    TextOptions,
    VideoOptions,
    as_batch,
    as_numpy,
    check_expression_counts,
    check_text_length,
    decoded_sound,
    pad_sounds,
    sort_options,
)

logger = logging.get_logger(__name__)

# Fields of processor_config.json by their former names.
_RENAMED = {"frames_per_second": "fps"}
# What a call may not tell an image processor.
_FIXED_IMAGE_OPTIONS = {"return_tensors", "data_format", "input_data_format", "device", "disable_grouping"}


class AudioVisualProcessor(PostProcessingMixin, ProcessorMixin):
    """Turns clips, their sound and sentences into model inputs, and mask logits into masks of the clip's size.

    Sub-classes name their sub-processors in `__init__` (`image_processor`, `feature_extractor` and, where the method
    reads sentences, `tokenizer`) and say in `image_inputs` what each frame becomes.

    ```python
    processor = AutoProcessor.from_pretrained("checkpoint")
    inputs = processor("clip.mp4", text="the dog that barks")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```

    Attributes:
        fps: frames per second at which video files are read.
        max_text_length: tokens an expression is padded and cut to; a method that reads sets it.
        needs_text: whether the method reads sentences; one that does not refuses `text`.
        needs_audio: whether the method hears; one that does not refuses `audio` and passes over a video's own sound.
        image_input_names: what `image_inputs` returns.
        encoder_processors: for encoders that have their own way of preparing frames, the argument of `from_config` that
            takes the image processor published with each.

    Raises:
        ValueError: when made with a rate that is not above 0, with a number of a sub-processor (mean, standard
            deviation, scale, ...) that is not finite, or zero where it cannot be, or with a tokenizer without words.
    """

    max_text_length: int
    needs_text: bool = True
    needs_audio: bool = True
    image_input_names: tuple[str, ...] = ("pixel_values",)
    encoder_processors: dict[str, str] = {}
    skip_tensor_conversion = ("original_sizes",)
    valid_processor_kwargs = CallOptions

    def __init__(self, *sub_processors: Any, fps: float = 1.0):
        if not isinstance(fps, Real) or not 0 < fps < math.inf:
            raise ValueError(f"fps: has to be a number above 0, got {fps!r}")
        for part in sub_processors:
            if isinstance(part, PreTrainedTokenizerBase):
                check_tokenizer(part)
            if hasattr(part, "to_dict"):
                check_constants(type(part).__name__, part.to_dict())
        super().__init__(*sub_processors)
        self.fps = fps

    @property
    def frames_per_second(self) -> float:
        """The former name of `fps`."""
        warnings.warn("frames_per_second: is called fps now", DeprecationWarning, stacklevel=2)
        return self.fps

    @property
    def model_input_names(self) -> list[str]:
        """Names of all that a call returns when nothing optional is given."""
        sound = ["input_features", "audio_mask"] if self.needs_audio else []
        text = ["input_ids", "attention_mask"] if self.needs_text else []
        return [*self.image_input_names, "frame_mask", *sound, *text, "original_sizes"]

    @classmethod
    def get_processor_dict(cls, *args, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """As in Transformers; fields of older files get their present names."""
        fields, rest = super().get_processor_dict(*args, **kwargs)
        for old, new in _RENAMED.items():
            if old in fields:
                warnings.warn(f"{old}: is called {new} now; save the processor anew", DeprecationWarning, stacklevel=2)
                fields[new] = fields.pop(old)
        return fields, rest

    def to_dict(self) -> dict[str, Any]:
        """As in Transformers, with what `trust_remote_code=True` needs to find this package."""
        return {"auto_map": AUTO_MAP, **super().to_dict()}

    def image_inputs(self, frames: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        """Model inputs `[T, ...]` by name from `T` frames, each uint8 `[3, H, W]`: what the image processor makes.

        Args:
            images_kwargs: options of the image processor that differ from its own, such as `do_normalize`.
        """
        options = {"return_tensors": "pt", "input_data_format": "channels_first", **images_kwargs}
        return {"pixel_values": self.image_processor(frames, **options)["pixel_values"]}

    def __call__(
        self,
        video: Any = None,
        audio: Any = None,
        text: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        sampling_rate: int | Sequence[int] | None = None,
        videos: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare one clip, or a list of clips.

        Args:
            video: a path (read at `fps`), a list of PIL images or of arrays `[H, W, 3]`, or a uint8
                array or tensor `[T, H, W, 3]` in RGB; or a list of these.
            audio: a path, a waveform `[samples]` or `[channels, samples]`, or a dictionary with `array` and
                `sampling_rate` as `datasets` gives it; may be left out where `video` is a file with sound. For a list
                of clips, a list. Refused where the method hears nothing.
            text: an expression, or several about the same clip. For a list of clips, a list with the expression or
                the expressions of each; every clip takes the same number.
            sampling_rate: samples per second of the waveforms, one for all clips or one for each.
            videos: Transformers' name of `video`.
            kwargs: `return_tensors`, `"pt"` for tensors (the default) or `"np"` for NumPy arrays; options of the
                tokenizer (`max_length`, `padding`, `truncation`, ...) and of the image processor (`do_normalize`,
                `image_mean`, ...), by themselves or in `text_kwargs` and `images_kwargs`.

        Returns:
            Inputs with a leading batch axis `B` (1 for a single clip): `input_features [B, A, C, 96, 64]`,
            `audio_mask [B, A]`, `frame_mask [B, T]`, `input_ids` and `attention_mask [B, E, P]`, what `image_inputs`
            adds as `[B, T, ...]`, and `original_sizes`, a list of `(height, width)`.

        Raises:
            ValueError: (of which `MediaError` is one) when an argument is missing, given twice, or not of these kinds,
                or a sound is longer or shorter than its clip by more than 1.5 s.
        """
        flat = {"return_tensors": kwargs.pop("return_tensors")} if "return_tensors" in kwargs else {}
        options = sort_options(kwargs, self._accepted_options())
        return_tensors = {"return_tensors": "pt", **options["common_kwargs"], **flat}["return_tensors"]
        sampling_rate = options["audio_kwargs"].get("sampling_rate", sampling_rate)
        if return_tensors not in ("pt", "np"):
            raise ValueError(f"return_tensors: {return_tensors!r} was given, accepted are 'pt' and 'np'")
        if options["videos_kwargs"].get("do_sample_frames"):
            raise ValueError("do_sample_frames: all frames given are taken, and files are read at fps; leave it out")
        if video is not None and videos is not None:
            raise ValueError("videos: video was given, too; pass one of them")
        video = videos if video is None else video
        if video is None:
            raise ValueError("video: a path, a list of PIL images or an array [T, H, W, 3] is needed")
        if audio is not None and not self.needs_audio:
            raise ValueError(f"audio: {type(self).__name__} hears nothing; leave it out")
        clips, audios, texts, rates = as_batch(video, audio, text, sampling_rate)
        data = self._prepare(clips, audios, texts, rates, options)
        return BatchFeature(data if return_tensors == "pt" else as_numpy(data))

    def _accepted_options(self) -> dict[str, Collection[str]]:
        """Options that a call may hold, by the name of the dictionary they may be in."""
        return {
            "text_kwargs": TextOptions.__annotations__,
            "images_kwargs": self.image_processor.valid_kwargs.__annotations__.keys() - _FIXED_IMAGE_OPTIONS,
            "audio_kwargs": ("sampling_rate",),
            "videos_kwargs": VideoOptions.__annotations__,
            "common_kwargs": ("return_tensors",),
        }

    def _prepare(
        self, videos: list, audios: list, texts: list[list[str]] | None, rates: list, options: dict[str, dict]
    ) -> dict[str, Any]:
        """Model inputs of a batch as tensors, from its clips, their sounds, texts and rates."""
        tokens = self.text_inputs(texts, **options["text_kwargs"])
        clips, sounds = [], []
        for index, (clip, sound, rate) in enumerate(zip(videos, audios, rates, strict=True)):
            name = f"[{index}]" if len(videos) > 1 else ""
            if not self.needs_audio:
                clips.append(self._read_frames(clip, name))
                continue
            frames, sound, rate = self._read(clip, sound, rate, name)
            clips.append(frames)
            sounds.append(self._patches(sound, rate, name))
        data = self._pad_frames(clips, **options["images_kwargs"])
        if self.needs_audio:
            data |= self._sound_inputs(sounds, data["frame_mask"])
        return {**data, **tokens, "original_sizes": [tuple(frames.shape[-2:]) for frames in clips]}

    def _sound_inputs(self, sounds: list[torch.Tensor], frame_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """`input_features` and `audio_mask` from the patches of each clip."""
        return pad_sounds(sounds)

    def frames_with_sounds(
        self, frames: Any, sounds: Sequence[Any], text: Sequence[str] | None, sampling_rate: int
    ) -> BatchFeature:
        """Prepare frames as one clip in which each has a sound of its own.

        It lets a method segment more frames per second than it was made for, where it takes sound frame by frame.

        Args:
            frames: the clip, in any form but a path.
            sounds: for each frame the waveform that ends with it, `[samples]` or `[channels, samples]`.
            text: the expressions, where the method reads.
            sampling_rate: samples per second of the waveforms.

        Returns:
            What a call returns for one clip.

        Raises:
            ValueError: when an argument is not of these kinds, or the method takes the sound of a clip as a whole.
        """
        raise ValueError(
            f"fps: {type(self).__name__} cannot give each frame a sound of its own; leave it out, clips are segmented "
            f"at {self.fps:g} frames per second"
        )

    def with_image_inputs(self, image_inputs: Callable[..., dict[str, torch.Tensor]]) -> "AudioVisualProcessor":
        """A copy for which `image_inputs` says what frames become, such as embeddings that were made before."""
        other = copy.copy(self)
        other.image_inputs = image_inputs
        return other

    def with_text_inputs(self, text_inputs: Callable[..., dict[str, torch.Tensor]]) -> "AudioVisualProcessor":
        """A copy for which `text_inputs` says what sentences become, such as embeddings that were made before."""
        other = copy.copy(self)
        other.text_inputs = text_inputs
        return other

    def _read(self, clip: Any, sound: Any, rate: int | None, name: str) -> tuple[torch.Tensor, Any, int]:
        """Frames uint8 `[T, 3, H, W]`, the waveform and its rate."""
        if isinstance(clip, str | Path) and sound is None:
            decoded = read_video(clip, self.fps)
            if decoded.waveform is None:
                raise ValueError(f"audio{name}: {clip} carries no sound; pass audio= as a path or a waveform")
            clip, sound, rate = decoded.frames, decoded.waveform, decoded.sampling_rate
        frames = self._read_frames(clip, name)
        if sound is None:
            raise ValueError(f"audio{name}: missing; pass a path or a waveform, or a video file that carries sound")
        if isinstance(sound, str | Path):
            sound, rate = read_audio(sound)
        if isinstance(sound, Mapping):
            sound, rate = decoded_sound(sound, rate, name)
        if isinstance(sound, list | tuple) and sound and not isinstance(sound[0], Real):
            raise ValueError(
                f"audio{name}: one clip takes one path or one waveform [samples] or [channels, samples], "
                f"got a list of {type(sound[0]).__name__}; for several clips pass a list of clips as video"
            )
        if rate is None:
            raise ValueError(f"sampling_rate: missing for audio{name}; pass the waveform's rate in Hz, such as 44100")
        self._check_length(len(frames), sound, rate, name)
        return frames, sound, rate

    def _check_length(self, frames: int, sound: Any, rate: Any, name: str) -> None:
        """Compare the length of a waveform with that of its clip; what is no waveform is left to the feature extractor.

        Raises:
            ValueError: when they differ by more than `SOUND_SLACK` seconds.
        """
        shape = (len(sound),) if isinstance(sound, list | tuple) else getattr(sound, "shape", ())
        if len(shape) not in (1, 2) or 0 in shape or not isinstance(rate, Real) or not rate > 0:
            return
        seconds, wanted = max(shape) / rate, frames / self.fps
        if abs(seconds - wanted) > SOUND_SLACK:
            raise ValueError(
                f"audio{name}: lasts {seconds:.4g} s at {rate} Hz, the {frames} frames {wanted:.4g} s at {self.fps:g} "
                "frames per second; cut both alike, and give the waveform's own sampling_rate"
            )

    def _read_frames(self, clip: Any, name: str) -> torch.Tensor:
        """Frames uint8 `[T, 3, H, W]` of a clip in any form."""
        if isinstance(clip, str | Path):
            clip = [image for _, image in iter_frames(clip, self.fps)]
        return as_frames(clip, f"video{name}")

    def _patches(self, sound: Any, rate: int, name: str) -> torch.Tensor:
        """Log-mel patches `[A, C, 96, 64]` of one clip."""
        try:
            return self.feature_extractor(sound, sampling_rate=rate, return_tensors="pt")["input_features"]
        except ValueError as error:
            raise ValueError(f"audio{name}: {error}") from error

    def _pad_frames(self, clips: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        check_constants("images_kwargs", images_kwargs)
        prepared = self._on_one_canvas([self.image_inputs(list(frames), **images_kwargs) for frames in clips])
        data = {name: _padded([inputs[name] for inputs in prepared]) for name in prepared[0]}
        data["frame_mask"] = _padded([torch.ones(len(frames), dtype=torch.bool) for frames in clips])
        return data

    def _on_one_canvas(self, prepared: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        """What `image_inputs` makes of each clip, where frames may differ in size brought to one."""
        return prepared

    def text_inputs(self, texts: list[list[str]] | None, **text_kwargs: Any) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, `[B, E, P]`, of the sentences about each clip; nothing without sentences.

        Raises:
            ValueError: when there are none for a method that reads, or some for one that does not, or not as many about
                every clip.
        """
        check_text("text", type(self).__name__, texts, self.needs_text)
        if texts is None:
            return {}
        check_expression_counts(texts)
        sentences = [expression.strip() for expressions in texts for expression in expressions]
        options = {"padding": "max_length", "truncation": True, "max_length": self.max_text_length, **text_kwargs}
        length = check_text_length(options["max_length"], "max_length")
        tokens = self.tokenizer(sentences, return_tensors="pt", **options)
        for row in tokens["attention_mask"].all(1).nonzero()[:, 0].tolist():
            self._warn_if_cut(sentences[row], length)
        return {name: tokens[name].unflatten(0, (len(texts), -1)) for name in ("input_ids", "attention_mask")}

    def _warn_if_cut(self, sentence: str, length: int) -> None:
        count = len(self.tokenizer(sentence, verbose=False)["input_ids"])
        if count > length:
            logger.warning_once(
                f"text: {sentence!r} has {count} tokens, {type(self).__name__} reads the first {length}; a shorter "
                "sentence would be read whole"
            )


def _padded(clips: list[torch.Tensor]) -> torch.Tensor:
    """Clips `[T, ...]` as one tensor `[B, T, ...]`; one by itself is not copied, ten frames at 1024 are 120 MiB."""
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True) if len(clips) > 1 else clips[0][None]


def check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Transformers makes a tokenizer without words where the file with them is missing."""
    if not tokenizer.get_vocab().keys() - tokenizer.all_special_tokens:
        raise ValueError(
            "tokenizer: knows no words, to it all sentences are the same; its vocabulary (tokenizer.json) is missing "
            "or empty"
        )
