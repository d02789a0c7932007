"""Image embeddings of a frozen encoder on disk, for training what stands behind it (ST-BAVA's first stage)."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ..media import as_frames
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.inputs import first_non_finite
from ..modeling.processing import AudioVisualProcessor
from ..output_folders import check_writable_folder, holds_results, staged_file

_SETTINGS, _NAME = "settings.json", "image_embeddings"


class FeatureCache:
    """A folder with image embeddings of clips, one file per clip, named by the content of its frames.

    It stands for one encoder and one way to prepare frames: `settings.json` in the folder says which.

    Args:
        folder: where the embeddings are; made by `fill` if it is not there.
        model: with a `frame_encoder`, as those on SAM without adapters have; the encoder's weights and precision are
            part of the settings.
        processor: the model's; its preparation of frames is part of the settings.

    Raises:
        ValueError: when the folder was made with other settings (each one is named), when it has other content, or when
            what the model's encoder sees depends on more than the frames.
    """

    def __init__(self, folder: str | Path, model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor):
        self.folder = Path(folder)
        encoder = model.frame_encoder
        if encoder is None:
            raise ValueError(
                "model: only image embeddings of SAM without adapters (use_adapters=False) depend on nothing but the "
                f"frames and can be kept, got {type(model).__name__} with other parts"
            )
        self.settings = {
            "encoder": _weights_digest(encoder),
            "image_size": encoder.config.image_size,
            "precision": str(model.dtype),
            **{f"image_processor.{name}": value for name, value in processor.image_processor.to_dict().items()},
        }
        # As it comes back from the file.
        self.settings = json.loads(json.dumps(self.settings, default=str, allow_nan=False))
        self._check()

    def _check(self) -> None:
        path = self.folder / _SETTINGS
        if not path.is_file():
            check_writable_folder(self.folder, "folder")
            if holds_results(self.folder):
                raise ValueError(f"folder: {self.folder} has content but no {_SETTINGS}, so it is no feature cache")
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in self.settings.keys() | found.keys() if found.get(name) != self.settings.get(name)]
        if differing:
            listed = "; ".join(
                f"{name} is {found.get(name)} there and {self.settings.get(name)} here" for name in sorted(differing)
            )
            raise ValueError(f"folder: {self.folder} was made with other settings: {listed}; name another folder")

    def fill(
        self,
        model: AudioVisualPreTrainedModel,
        processor: AudioVisualProcessor,
        clips: Iterable[Any],
        progress: Callable[[Iterable], Iterable] | None = None,
    ) -> int:
        """Encode the clips that are not there yet, such as the `frames` column of a data set.

        Args:
            model, processor: those that the cache was opened with.
            clips: each a list of PIL images, or whatever else `processor` takes as one clip.
            progress: wraps the clips, e.g. `rich.progress.track`.

        Returns:
            How many clips were encoded.

        Raises:
            ValueError: when an embedding is not finite.
        """
        with staged_file(self.folder / _SETTINGS) as staged:
            staged.write_text(json.dumps(self.settings, indent=2, allow_nan=False), encoding="utf-8")
        made = 0
        for clip in progress(clips) if progress else clips:
            frames = as_frames(clip, "clips")
            path = self._path(frames)
            if path.is_file():
                continue
            pixel_values = processor.image_inputs(list(frames))[model.main_input_name].to(model.device)
            with torch.no_grad():
                embeddings = model.embed_frames(pixel_values).cpu().contiguous()
            if first_non_finite({_NAME: embeddings}):
                raise ValueError(f"{_NAME}: the encoder gives NaN or infinite values, nothing of this clip is kept")
            with staged_file(path) as staged:
                save_file({_NAME: embeddings}, staged)
            made += 1
        return made

    def image_inputs(self, frames: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The kept embeddings `[T, C, e, e]` of a clip's frames, each uint8 `[3, H, W]`.

        Raises:
            ValueError: when these very frames were never encoded, or what was kept of them is not finite.
        """
        path = self._path(torch.stack(frames))
        if not path.is_file():
            raise ValueError(
                f"frames: a clip of {len(frames)} frames is not in {self.folder}: the data differ from those it was "
                "filled with, or frames are augmented; fill it with these clips, or train without it"
            )
        kept = load_file(path)
        if first_non_finite(kept):
            raise ValueError(f"{_NAME}: {path} holds NaN or infinite values; delete it, so that it is made again")
        return kept

    def _path(self, frames: torch.Tensor) -> Path:
        digest = hashlib.sha256(str(tuple(frames.shape)).encode())
        digest.update(frames.contiguous().numpy().tobytes())
        return self.folder / f"{digest.hexdigest()}.safetensors"


def _weights_digest(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
