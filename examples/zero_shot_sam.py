"""What a SAM or SAM2 that hears nothing reaches on AVSBench when the true masks tell it where to look.

    python examples/zero_shot_sam.py --model facebook/sam-vit-huge --data AVSBENCH --subset s4

The upper half of table 2 of ST-BAVA (Seon et al., ICIP 2024): points and boxes taken from the largest connected regions
of each frame's true mask prompt the model, without training. Prints J, F, their mean and S for each kind of prompt and
writes all of it to `--out` as JSON, if asked to.

What the paper leaves open is done as follows. A point is a region's centre of mass, or a random pixel of the region
where that lies outside; where a frame has fewer regions than points are asked for, the others are random pixels of the
largest one. All points of a frame are one prompt; each box is one of its own, and their masks are united. A single
point is ambiguous: of SAM's three masks the one with the highest predicted IoU is taken; other prompts take SAM's
single mask. A frame with an empty true mask has nothing to be prompted with, and its answer is empty.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from PIL import Image
from rich.progress import track
from transformers import (
    AutoConfig,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2VideoConfig,
    SamConfig,
    SamImageProcessor,
    SamModel,
)

from lavseg.backbones.sam.configuration_sam import with_original_norms
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.cli.printing import print_table
from lavseg.data import row_masks
from lavseg.data.layouts import load_rows
from lavseg.evaluation.evaluate_checkpoint import protocol_settings
from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.output_folders import check_new_file, write_report

# Kind and number of each row of the table.
PROMPTS = {"1 point": ("points", 1), "3 points": ("points", 3), "1 box": ("boxes", 1), "3 boxes": ("boxes", 3)}
SCORES = ("jaccard", "f_score", "j_and_f", "s")
NO_MASK_LOGIT = -1024.0


class ImageSegmenter:
    """A SAM or SAM2 with its own image processor: encodes a frame once and answers prompts in pixels of the frame.

    Args:
        name: Hub id or folder of a Transformers checkpoint, SAM, SAM2 or SAM2 video.

    Raises:
        ValueError: when there is no such checkpoint, or it is another model.
    """

    def __init__(self, name: str):
        try:
            config = AutoConfig.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise ValueError(f"model: {name} is no checkpoint, neither as a folder nor on the Hub") from error
        if isinstance(config, SamConfig):
            config, self.keeps_aspect = with_original_norms(config), True
            self.model = SamModel.from_pretrained(name, config=config, dtype=torch.float32)
        elif isinstance(config, Sam2Config | Sam2VideoConfig):
            self.model, self.keeps_aspect = Sam2Model.from_pretrained(name, dtype=torch.float32), False
        else:
            raise ValueError(f"model: {name} is a {config.model_type!r}, a SAM or SAM2 checkpoint is needed")
        self.model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self.edge = self.model.config.prompt_encoder_config.image_size
        square = {"height": self.edge, "width": self.edge}
        if self.keeps_aspect:
            self.processor = SamImageProcessor(size={"longest_edge": self.edge}, pad_size=square)
        else:
            self.processor = Sam2ImageProcessor(size=square)

    @torch.inference_mode()
    def show(self, frame: Image.Image) -> None:
        """Encode the frame that the following prompts are about."""
        inputs = self.processor(frame.convert("RGB"), return_tensors="pt")
        self.height, self.width = frame.height, frame.width
        self.resized = tuple(inputs["reshaped_input_sizes"][0]) if self.keeps_aspect else (self.edge, self.edge)
        self.embeddings = self.model.get_image_embeddings(inputs["pixel_values"].to(self.model.device))

    @torch.inference_mode()
    def segment(self, kind: str, places: torch.Tensor) -> torch.Tensor:
        """Mask logits `[H, W]` of the frame for points `[n, 2]` (x, y) or boxes `[n, 4]` (x1, y1, x2, y2)."""
        scale = torch.tensor([self.resized[1] / self.width, self.resized[0] / self.height])
        places = (places * scale.repeat(places.shape[-1] // 2)).to(self.model.device)
        prompt = {"input_points": places[None, None]} if kind == "points" else {"input_boxes": places[None]}
        ambiguous = kind == "points" and len(places) == 1
        outputs = self.model(image_embeddings=self.embeddings, multimask_output=ambiguous, **prompt)
        masks, scores = outputs.pred_masks[0], outputs.iou_scores[0]
        chosen = masks[torch.arange(len(masks)), scores.argmax(1)].amax(0)
        logits = F.interpolate(chosen[None, None].float(), (self.edge, self.edge), mode="bilinear")
        logits = logits[..., : self.resized[0], : self.resized[1]]
        return F.interpolate(logits, (self.height, self.width), mode="bilinear")[0, 0].cpu()


def largest_regions(mask: np.ndarray, count: int) -> list[np.ndarray]:
    """The `count` largest connected regions (of eight neighbours) of a bool mask `[H, W]`, largest first, as pixels
    (x, y), long `[n, 2]`; fewer where there are fewer."""
    pixels = torch.from_numpy(mask)
    labels = torch.arange(1, mask.size + 1, dtype=torch.float64).view(mask.shape) * pixels
    while True:
        # The highest label near by, then the label that its owner has taken since: regions settle in few rounds.
        spread = F.max_pool2d(labels[None, None], 3, 1, 1)[0, 0] * pixels
        owners = torch.cat([spread.new_zeros(1), spread.flatten()])
        spread = owners[spread.long()]
        if torch.equal(spread, labels):
            break
        labels = spread
    names, sizes = labels[pixels].unique(return_counts=True)
    order = sizes.argsort(descending=True, stable=True)[:count]
    return [(labels == name).nonzero().flip(1).numpy() for name in names[order]]


def points_of(regions: list[np.ndarray], count: int, rng: np.random.Generator) -> torch.Tensor:
    """`count` points, float `[count, 2]`: one in each region, the others in the first."""
    centers = [_center(region, rng) for region in regions[:count]]
    others = rng.choice(regions[0], count - len(centers))
    return torch.from_numpy(np.concatenate([centers, others])).float()


def _center(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    center = np.rint(region.mean(0)).astype(int)
    return center if (region == center).all(1).any() else rng.choice(region)


def boxes_of(regions: list[np.ndarray], count: int) -> torch.Tensor:
    """The boxes, float `[n, 4]`, around up to `count` regions."""
    boxes = [np.concatenate([region.min(0), region.max(0)]) for region in regions[:count]]
    return torch.from_numpy(np.stack(boxes)).float()


def segment_row(segmenter: ImageSegmenter, row: dict) -> dict[str, torch.Tensor]:
    """Mask logits `[L, H, W]` of the frames of a row that carry a label, for each kind of prompt."""
    masks, rng = row_masks(row).astype(bool), np.random.default_rng(row["id"])
    logits = {name: torch.full(masks.shape, NO_MASK_LOGIT) for name in PROMPTS}
    for index in np.flatnonzero(masks.any((1, 2))):
        segmenter.show(row["frames"][index])
        regions = largest_regions(masks[index], max(count for _, count in PROMPTS.values()))
        for name, (kind, count) in PROMPTS.items():
            places = points_of(regions, count, rng) if kind == "points" else boxes_of(regions, count)
            logits[name][index] = segmenter.segment(kind, places)
    return logits


def score(segmenter: ImageSegmenter, rows: Dataset, protocol: str) -> dict[str, dict[str, float]]:
    """J, F, their mean and S for each kind of prompt, with the batches and mask sizes of the protocol's publication."""
    clips, size, mask_resize = protocol_settings(protocol, "avsbench")
    metrics = {name: AvsMetric(protocol) for name in PROMPTS}
    for start in track(range(0, len(rows), clips), description="clips", transient=True):
        batch = [rows[index] for index in range(start, min(start + clips, len(rows)))]
        targets = [torch.from_numpy(row_masks(row, size, mask_resize)) for row in batch]
        answers = [segment_row(segmenter, row) for row in batch]
        for name, metric in metrics.items():
            logits = [
                F.interpolate(answer[name][:, None], target.shape[-2:], mode="bilinear")[:, 0]
                for answer, target in zip(answers, targets, strict=True)
            ]
            metric.update(torch.cat(logits), torch.cat(targets))
    return {name: {score: metric.compute()[score] for score in SCORES} for name, metric in metrics.items()}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder or Hub id of a SAM or SAM2 checkpoint")
    parser.add_argument("--data", required=True, help="folder of AVSBench")
    parser.add_argument("--subset", nargs="+", required=True, help="one or more of s4, ms3, v1s, v1m, v2")
    parser.add_argument("--split", default="test")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="avsbench")
    parser.add_argument("--out", type=Path, help="file for the scores as JSON")
    given = parser.parse_args(argv)
    with one_line_errors("zero_shot_sam.py"):
        if given.out:
            check_new_file(given.out, "--out")
        rows = load_rows(given.data, given.split, "avsbench", given.subset)
        scores = score(ImageSegmenter(given.model), rows, given.protocol)
        report = {
            "model": given.model,
            "data_root": given.data,
            "subsets": given.subset,
            "split": given.split,
            "protocol": given.protocol,
            "rows": len(rows),
            "prompts": scores,
        }
        if given.out:
            write_report(given.out, report)
    print(f"{given.model}, {given.split}, protocol {given.protocol}")
    print_table(
        ("prompt", *SCORES),
        [(name, *(f"{found[score]:.4f}" for score in SCORES)) for name, found in scores.items()],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
