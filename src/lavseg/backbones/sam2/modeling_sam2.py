"""SAM2 as the methods use it: Transformers' video model with faster blocks and one position code."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import nn
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers import initialization as init
from transformers.models.sam2.modeling_sam2 import Sam2HieraDetConfig

from ...modeling.initialization import rebuild
from ...modeling.outputs import MaskPrediction
from ..rows import as_index
from .adapters_sam2 import Sam2AudioAdapters, raised_inputs
from .attention_sam2 import FasterMemoryLayers, FasterMultiScaleBlock
from .encoder_sam2 import encode_images
from .every_frame_tracking import EveryFrameTracker, track_every_frame
from .tracking_sam2 import ImageFeatures, project_features
from .user_prompts import UserPrompt


class Sam2Backbone(Sam2VideoModel):
    """Transformers' SAM2 video model with less work in its blocks; state dict and outputs are the stock model's.

    ```python
    sam2 = Sam2Backbone(hiera_sam2_config("tiny"))
    sam2.load_state_dict(Sam2VideoModel.from_pretrained("facebook/sam2-hiera-tiny").state_dict())
    ```
    """

    _no_split_modules = [FasterMultiScaleBlock.__name__]

    def __init__(self, config: Sam2VideoConfig):
        super().__init__(config)
        hiera = self.vision_encoder.backbone
        hiera.blocks = rebuild(hiera.blocks, partial(_blocks, hiera.config))
        self.memory_attention = FasterMemoryLayers(self.memory_attention)

    @classmethod
    def is_custom_code(cls) -> bool:
        """No, see `AudioVisualPreTrainedModel.is_custom_code`."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:  # a fresh stock model draws one position code for the image and another for points
            code = self.shared_image_embedding.positional_embedding
            init.copy_(self.prompt_encoder.shared_embedding.positional_embedding, code)
            # Transformers leaves it as it is in memory where a file lacks it.
            init.zeros_(self.no_memory_embedding)

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks of the image encoder."""
        return self.vision_encoder.backbone.blocks

    def audio_adapters(self, audio_size: int, hidden_size: int, text_size: int | None = None) -> Sam2AudioAdapters:
        """Adapters that bring sound of `audio_size` channels into the image encoder, and text where it has a size."""
        return Sam2AudioAdapters(self.config, [block.dim for block in self.blocks], audio_size, hidden_size, text_size)

    def encode(
        self, pixel_values: torch.Tensor, prompts: Iterable[torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, ...]:
        """`ImageFeatures` of frames `[N, 3, S, S]`, as a tuple; each block's input is raised by the block's prompt."""
        with nullcontext() if prompts is None else raised_inputs(self.blocks, prompts):
            maps = encode_images(self, pixel_values)
        return tuple(project_features(self, maps))

    def segment(
        self,
        lengths: Sequence[int],
        encode: Callable[[Sequence[int], Sequence[int]], tuple[torch.Tensor, ...]],
        decode: Callable[[Sequence[int], Sequence[int], Callable], MaskPrediction],
        first: Callable[[int], Mapping[int, UserPrompt | None]],
    ) -> MaskPrediction:
        """Track through clips with something that prompts every frame; clips of one length go together.

        Args:
            lengths: numbers of frames on which each object is looked for.
            encode: gives the features of frames, from the number of the object and of the frame of each.
            decode: gives the prediction for them; it is handed a function from prompt tokens, or None, to that.
            first: gives for the length of a clip the frames that are segmented first, without memory, and what a user
                shows there of all objects, or None.

        Returns:
            Masks of the frames of all objects, one after the other.
        """
        rows, found = [], []
        for length in sorted(set(lengths)):
            objects = [number for number, other in enumerate(lengths) if other == length]
            rows += [(number, frame) for number in objects for frame in range(length)]
            found.append(self._track(objects, length, encode, decode, first(length)))
        order = sorted(range(len(rows)), key=rows.__getitem__)

        def join(parts: list[torch.Tensor]) -> torch.Tensor:
            return torch.cat([part.flatten(0, 1) for part in parts])[as_index(order, parts[0].device)]

        return MaskPrediction.join(found, join)

    def _track(
        self,
        objects: Sequence[int],
        length: int,
        encode: Callable,
        decode: Callable,
        first: Mapping[int, UserPrompt | None],
    ) -> MaskPrediction:
        """Masks of `n` objects in all `length` frames of their clips, everything as `[n, length, ...]`."""
        tracker = EveryFrameTracker(self, length)

        def features_of(frame: int) -> ImageFeatures:
            return ImageFeatures(*encode(objects, [frame] * len(objects)))

        def decode_frame(frame: int, features: ImageFeatures, embeddings: torch.Tensor) -> MaskPrediction:
            user = first.get(frame)
            user = user and user.map(lambda values: values[as_index(objects, values.device)])

            def run(prompts: torch.Tensor | None) -> MaskPrediction:
                sparse, dense = prompts, None
                if user is not None:
                    sparse = user.sparse if prompts is None else torch.cat([user.sparse, prompts], dim=1)
                    dense = user.dense
                sparse = tracker.empty_prompt if sparse is None or not sparse.shape[1] else sparse
                return tracker.decode(features, embeddings, sparse, dense, tracker.multimask)

            return decode(objects, [frame] * len(objects), run)

        tracked = dict(track_every_frame(tracker, features_of, decode_frame, first))
        return MaskPrediction.join([tracked[frame] for frame in range(length)], lambda parts: torch.stack(parts, dim=1))


def _blocks(config: Sam2HieraDetConfig) -> nn.ModuleList:
    """Hiera's blocks, numbered as in the stock model."""
    places = [(stage, block) for stage, depth in enumerate(config.blocks_per_stage) for block in range(depth)]
    return nn.ModuleList(FasterMultiScaleBlock(config, *place, number) for number, place in enumerate(places))


__all__ = ["Sam2Backbone"]
