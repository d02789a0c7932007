"""Segment a clip with the programs that `examples/export.py` wrote. The loop around them needs nothing but PyTorch.

python examples/run_exported.py examples/clips/band.mp4 --text "the guitar on the right" --programs runs/exported \
    --model examples/sam2-love-tiny --out runs/guitar.pt
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoProcessor

import lavseg  # noqa: F401, makes its processors known to AutoProcessor
from lavseg.cli.one_line_errors import one_line_errors

PROGRAMS = ("encode_image", "prompter", "prompt_frame", "track_frame")


@dataclass
class Memory:
    """What frames left behind: of each a map `[h w, E, 64]` and a pointer to the objects `[E, C]`."""

    num_maps: int
    num_pointers: int
    maps: list[torch.Tensor] = field(default_factory=list)
    pointers: list[torch.Tensor] = field(default_factory=list)

    def within_reach(self) -> tuple[torch.Tensor, ...]:
        """What the next frame reads: of the first frame, which was prompted, and of those shortly before."""
        frame, device = len(self.maps), self.maps[0].device
        near = range(max(frame - self.num_maps + 1, 1), frame)
        latest = range(frame - 1, max(frame - self.num_pointers, 0), -1)
        maps, offsets = [self.maps[i] for i in (0, *near)], [0, *(frame - i for i in near)]
        pointers, distances = [self.pointers[i] for i in (0, *latest)], [frame, *(frame - i for i in latest)]
        times = torch.tensor(distances, dtype=torch.float32, device=device) / (self.num_pointers - 1)
        return torch.stack(maps), torch.tensor(offsets, device=device), torch.stack(pointers), times


@dataclass
class ExportedModel:
    """The programs of a folder and the loop around them, for one clip at a time."""

    settings: dict[str, int]
    programs: dict[str, torch.nn.Module]

    @classmethod
    def load(cls, folder: Path) -> "ExportedModel":
        """What `export.py` wrote to a folder."""
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        return cls(settings, {name: torch.export.load(folder / f"{name}.pt2").module() for name in PROGRAMS})

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Segment a clip `inputs`, as the processor prepares it: mask logits `[E, T, h, w]` and scores `[E, T]`."""
        prompts = self.programs["prompter"](*self.padded(inputs))
        frames = inputs["pixel_values"][0]
        num_pointers = min(len(frames), self.settings["num_pointers"])
        memory, found = Memory(self.settings["num_maps"], num_pointers), []
        for image in frames.split(1):
            features = self.programs["encode_image"](image)
            if not found:
                *predicted, spatial, pointer = self.programs["prompt_frame"](*features, prompts)
            else:
                *predicted, spatial, pointer = self.programs["track_frame"](*features, *memory.within_reach())
            memory.maps.append(spatial)
            memory.pointers.append(pointer)
            found.append(predicted)
        names = "pred_masks", "iou_scores", "object_score_logits"
        return {name: torch.stack(values, dim=1) for name, values in zip(names, zip(*found, strict=True), strict=True)}

    def padded(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What the prompter reads: frames and sounds are as many as it was exported for, and masks say which are real.

        Raises:
            ValueError: when the clip is longer, or has another number of sentences.
        """
        longest, sentences = self.settings["frames"], self.settings["sentences"]
        counts = {"frames": inputs["frame_mask"].shape[1], "patches of sound": inputs["audio_mask"].shape[1]}
        for name, count in counts.items():
            if count > longest:
                raise ValueError(f"clip: has {count} {name}, the programs take {longest}; cut it into parts")
        if inputs["input_ids"].shape[1] != sentences:
            given = inputs["input_ids"].shape[1]
            raise ValueError(f"--text: {given} sentences were given, the programs were exported for {sentences}")
        frame_mask, audio_mask = (fill_up(inputs[f"{name}_mask"], longest) for name in ("frame", "audio"))
        frames, sounds = (fill_up(inputs[name], longest) for name in ("vit_pixel_values", "input_features"))
        return frames, sounds, inputs["input_ids"], inputs["attention_mask"], frame_mask, audio_mask


def fill_up(values: torch.Tensor, length: int) -> torch.Tensor:
    """`[1, n, ...]` as `[1, length, ...]`, with zeros at the end."""
    return F.pad(values, (0, 0) * (values.dim() - 2) + (0, length - values.shape[1]))


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", help="video file with sound")
    parser.add_argument("--text", action="append", required=True, help="which object is meant; again for further ones")
    parser.add_argument("--programs", type=Path, required=True, help="folder that export.py wrote")
    parser.add_argument("--model", required=True, help="folder or Hub id of the checkpoint that was exported")
    parser.add_argument("--out", type=Path, required=True, help="file to write, for torch.load")
    given = parser.parse_args(argv)
    with one_line_errors("run_exported.py"):
        model = ExportedModel.load(given.programs)
        processor = AutoProcessor.from_pretrained(given.model)
        inputs = processor(given.clip, text=given.text).to("cuda" if torch.cuda.is_available() else "cpu")
        outputs = model(inputs)
        masks = processor.post_process_masks(outputs["pred_masks"][None], inputs["original_sizes"])[0]
        given.out.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**outputs, "masks": masks}, given.out)
        for text, mask in zip(given.text, masks.reshape(len(given.text), -1, *masks.shape[-2:]), strict=True):
            if seen := int(mask.flatten(1).any(1).sum()):
                print(f"{text}: in {seen} of {len(mask)} frames, {100 * mask.float().mean():.1f} % of the picture")
            else:
                print(f"{text}: not found")


if __name__ == "__main__":
    main(sys.argv[1:])
