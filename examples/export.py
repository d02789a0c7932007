"""Write a SAM2-LOVE as programs of `torch.export`, which run without this package and without Transformers.

python examples/export.py --model examples/sam2-love-tiny --out runs/exported

The folder then holds four programs and what the loop around them has to know; `examples/run_exported.py` is that loop.
"""

import argparse
import copy
import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.tracking_sam2 import (
    FrameMemory,
    ImageFeatures,
    MaskPrediction,
    Memory,
    Sam2Tracker,
    WithinReach,
    project_features,
)
from lavseg.checkpoint import load_checkpoint
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.modeling.encoders import encode_text
from lavseg.models.sam2_love import Sam2LoveModel

# Sizes that differ from frame to frame as the memory fills: remembered maps and object pointers.
MAPS, POINTERS = Dim("maps", min=1, max=64), Dim("pointers", min=1, max=64)


class EncodeImage(nn.Module):
    """One frame `[1, 3, S, S]` to what SAM2's decoder reads of it: maps at strides 4, 8 and 16."""

    def __init__(self, model: Sam2LoveModel):
        super().__init__()
        self.sam2 = model.sam2

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = project_features(self.sam2, encode_images(self.sam2, pixel_values))
        return features.stride4, features.stride8, features.stride16


class Prompter(nn.Module):
    """The model's inputs for a clip, padded to its longest, to one prompt `[E, C]` for each sentence."""

    def __init__(self, model: Sam2LoveModel):
        super().__init__()
        self.text_encoder, self.audio_encoder = model.text_encoder, model.audio_encoder
        self.vision_encoder, self.prompter = model.vision_encoder, model.prompter

    def forward(
        self,
        vit_pixel_values: torch.Tensor,
        input_features: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        frame_mask: torch.Tensor,
        audio_mask: torch.Tensor,
    ) -> torch.Tensor:
        text, text_mask = encode_text(self.text_encoder, input_ids, attention_mask)
        audio = self.audio_encoder(input_features).embeddings.squeeze(2)
        frames = self.vision_encoder(pixel_values=vit_pixel_values.flatten(0, 1)).last_hidden_state
        frames = frames.unflatten(0, vit_pixel_values.shape[:2])
        return self.prompter(audio, text, frames, audio_mask, text_mask, frame_mask)[0]


class OnFrame(nn.Module):
    """What is common to the programs that segment a frame for `E` sentences."""

    def __init__(self, model: Sam2LoveModel, sentences: int):
        super().__init__()
        self.sam2, self.prompt_decoder, self.sentences = copy.deepcopy(model.sam2), model.prompt_decoder, sentences
        del self.sam2.vision_encoder.backbone  # most of the weights, and not used here
        self.tracker = Sam2Tracker(self.sam2, model.clip_length, model.prompt_decoder)
        self.multimask = model.config.mask_selection != "single"

    def features(self, *maps: torch.Tensor) -> ImageFeatures:
        return ImageFeatures(*(each.expand(self.sentences, -1, -1, -1) for each in maps))

    @staticmethod
    def found(prediction: MaskPrediction, memory: FrameMemory) -> tuple[torch.Tensor, ...]:
        """Mask logits `[E, h, w]`, predicted IoU and object score `[E]`, and what is to be remembered."""
        scores = prediction.iou_scores, prediction.object_score_logits
        return prediction.masks, *scores, memory.spatial, memory.pointer


class PromptFrame(OnFrame):
    """Segments the frame on which the prompts are given."""

    def forward(
        self, stride4: torch.Tensor, stride8: torch.Tensor, stride16: torch.Tensor, prompts: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        features = self.features(stride4, stride8, stride16)
        prediction = self.tracker.prompt(features, prompts[:, None], multimask=self.multimask)
        memory = self.tracker.remember(Memory(), 0, features, prediction, prompted=True)
        return self.found(prediction, memory.prompted[0])


class TrackFrame(OnFrame):
    """Segments a later frame from what is remembered of others."""

    def forward(
        self,
        stride4: torch.Tensor,
        stride8: torch.Tensor,
        stride16: torch.Tensor,
        maps: torch.Tensor,
        offsets: torch.Tensor,
        pointers: torch.Tensor,
        times: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        features = self.features(stride4, stride8, stride16)
        codes = self.sam2.memory_temporal_positional_encoding[offsets - 1]
        prediction = self.tracker.track_from(features, WithinReach(maps, codes, pointers, times))
        return self.found(prediction, self.tracker.encode_memory(features.stride16, prediction, prompted=False))


@torch.no_grad()
def export(model: Sam2LoveModel, sentences: int, text_length: int, folder: Path) -> None:
    """Write the programs and `settings.json` to a folder, for one clip at a time and a fixed number of sentences."""
    config, device = model.config, model.device
    if config.key_frame != "first":
        raise ValueError(
            f"--model: its key frame is {config.key_frame!r}; only those of key_frame='first' are exported"
        )
    frames, edge = model.clip_length, config.sam2_config.image_size
    folder.mkdir(parents=True, exist_ok=True)
    image = torch.zeros(1, 3, edge, edge, device=device)
    write(EncodeImage(model), (image,), folder / "encode_image.pt2")

    words = torch.ones(1, sentences, text_length, dtype=torch.long, device=device)
    pictures = torch.zeros(1, frames, 3, *[config.vision_config.image_size] * 2, device=device)
    sounds, real = pictures.new_zeros(1, frames, 1, 96, 64), words.new_ones(1, frames, dtype=torch.bool)
    # Copies: a tensor that is given twice would become one input of the program.
    inputs = (pictures, sounds, words, words.clone(), real, real.clone())
    write(Prompter(model), inputs, folder / "prompter.pt2")

    maps = EncodeImage(model)(image)
    prompts = image.new_zeros(sentences, config.sam2_config.mask_decoder_config.hidden_size)
    write(PromptFrame(model, sentences), (*maps, prompts), folder / "prompt_frame.pt2")

    *_, spatial, pointer = PromptFrame(model, sentences)(*maps, prompts)
    remembered = spatial.expand(2, *spatial.shape), words.new_tensor([0, 1])
    pointers = pointer.expand(3, *pointer.shape), image.new_ones(3)
    shapes = (None, None, None, {0: MAPS}, {0: MAPS}, {0: POINTERS}, {0: POINTERS})
    write(TrackFrame(model, sentences), (*maps, *remembered, *pointers), folder / "track_frame.pt2", shapes)

    text = json.dumps(settings(model, sentences), indent=2)
    (folder / "settings.json").write_text(text + "\n", encoding="utf-8")


def settings(model: Sam2LoveModel, sentences: int) -> dict[str, int]:
    """What the loop has to know: frames and sentences that the programs take, and how far the memory reaches."""
    return {
        "frames": model.clip_length,
        "sentences": sentences,
        "num_maps": model.sam2.num_maskmem,
        "num_pointers": model.config.sam2_config.max_object_pointers_in_encoder,
    }


def write(program: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, shapes: tuple | None = None) -> None:
    """Export a program for inputs of these shapes, in which `shapes` names those that may differ."""
    program.eval()(*inputs)  # what is computed once is a constant of the program
    torch.export.save(torch.export.export(program, inputs, dynamic_shapes=shapes), path)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder or Hub id of a SAM2-LOVE checkpoint")
    parser.add_argument("--sentences", type=int, default=1, help="how many sentences the programs take at a time")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    given = parser.parse_args(argv)
    with one_line_errors("export.py"):
        model, processor = load_checkpoint(given.model)
        if not isinstance(model, Sam2LoveModel):
            raise ValueError(f"--model: {given.model} is a {model.config.model_type!r}, a 'sam2_love' is needed")
        if given.sentences < 1:
            raise ValueError(f"--sentences: has to be at least 1, got {given.sentences}")
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        export(model, given.sentences, processor.max_text_length, given.out)


if __name__ == "__main__":
    main(sys.argv[1:])
