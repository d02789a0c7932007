"""What sound and a user's prompts on the first frame reach on AVSBench, each alone and together.

    python examples/prompted_avs.py --model runs/aural_sam2 --data AVSBENCH --subset v1m

Tables 6 and 7 of AuralSAM2 (arXiv 2506.01015, 4.3 and supplement 7), for AuralSAM2 and for GAVS and SAMA-AVS on SAM2.
The prompts come from the true mask of a clip's first frame: four of its pixels, drawn uniformly, the box around it, or
the mask itself. Prints J, F, their mean and frames per second of each row and writes them to `--out` as JSON:

- `audio`: the method by itself.
- `points`, `box`, `mask`, `points box`: SAM2 alone tracks from the prompts and hears nothing.
- `points box, adapters`: so does SAM2 with the adapters of GAVS or SAMA-AVS, which are given zeros for the sound.
  AuralSAM2 adds nothing inside SAM2; `points box` is its row, too.
- `audio points box, one pass`: the method is given the points and the box on the first frame.
- `audio points box, ensemble`: the mean of the mask probabilities of `audio` and of `points box`, at the cost of both.

What the paper leaves open is done as follows. It does not say how the two passes of its ensemble are joined, nor what
the adapters hear where sound is no prompt. All objects of a first frame are one prompt. Where that frame has no object
there is nothing to prompt with: rows without sound then have empty masks, the one pass and the ensemble those of
`audio`. SAM2 alone is the one inside the method, of which GAVS and SAMA-AVS may have trained parts; `--sam2` names
another. Frames per second count the networks, not the reading of files, with one clip at a time.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from rich.progress import track
from transformers import BatchFeature, Sam2VideoModel

from lavseg.backbones.adapted_sam.modeling_adapted_sam import AdapterClipModel
from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.mask_tracking import MaskTracker
from lavseg.backbones.sam2.prompted_processing import MASK_LOGIT
from lavseg.backbones.sam2.tracking_sam2 import Sam2Tracker, project_features, propagate
from lavseg.backbones.sam2.user_prompts import encode_user_prompts
from lavseg.checkpoint import load_checkpoint
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.cli.printing import print_table
from lavseg.data import ClipCollator, row_masks
from lavseg.data.layouts import load_rows
from lavseg.evaluation.evaluate_checkpoint import protocol_settings
from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.encoders import load_host
from lavseg.modeling.outputs import NO_MASK_LOGIT
from lavseg.output_folders import check_new_file, write_report

NUM_POINTS = 4
SCORES = ("jaccard", "f_score", "j_and_f")
ALONE = {"points": ("points",), "box": ("boxes",), "mask": ("masks",), "points box": ("points", "boxes")}
ADAPTED, ONE_PASS, ENSEMBLE = "points box, adapters", "audio points box, one pass", "audio points box, ensemble"
HEARD = ("audio", ONE_PASS, ENSEMBLE)


def first_frame_prompts(row: dict, edge: int) -> dict[str, torch.Tensor]:
    """Prompts of the first frame, in pixels of a square of `edge`, as SAM2's arguments; none where it has no object.

    Points `[1, 1, 4, 2]` with their labels, boxes `[1, 1, 4]` and masks `[1, 1, edge, edge]`, which are logits.
    """
    mask = row_masks(row, (edge, edge), "nearest")[0].astype(bool)
    if not mask.any():
        return {}
    pixels = np.argwhere(mask)[:, ::-1]
    points = np.random.default_rng(row["id"]).choice(pixels, NUM_POINTS)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return {
        "input_points": torch.from_numpy(points.copy()).float()[None, None],
        "input_labels": torch.ones(1, 1, NUM_POINTS, dtype=torch.int32),
        "input_boxes": torch.from_numpy(box).float()[None, None],
        "input_masks": MASK_LOGIT * (2 * torch.from_numpy(mask).float()[None, None] - 1),
    }


def pick(prompts: dict[str, torch.Tensor], kinds: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Those of some kinds, `points` with their labels."""
    names = [f"input_{kind}" for kind in kinds] + ["input_labels"] * ("points" in kinds)
    return {name: prompts[name] for name in names}


def track_prompts(host: Sam2VideoModel, frames: torch.Tensor, prompts: dict[str, torch.Tensor]) -> torch.Tensor:
    """Gated mask logits `[1, T, h, w]` of SAM2 in the frames `[T, 3, S, S]`, from prompts on the first one."""
    if "input_masks" in prompts:
        return _track_mask(host, frames, prompts["input_masks"][0])
    points, labels, boxes = (prompts.get(f"input_{name}") for name in ("points", "labels", "boxes"))
    [shown] = encode_user_prompts(host.prompt_encoder, (1, 1), points, labels, boxes, None)
    tracker = Sam2Tracker(host, len(frames))

    def features_of(frame: int):
        return project_features(host, encode_images(host, frames[frame : frame + 1]))

    found = dict(propagate(tracker, features_of, shown.sparse, multimask=False))
    return torch.stack([found[frame].gated_masks for frame in range(len(frames))], dim=1)


def _track_mask(host: Sam2VideoModel, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    tracker = MaskTracker(host)
    tracker.start({0: tracker.encode_mask(tracker.encode(frames[:1]), mask)})
    given = torch.nn.functional.interpolate(mask[None], host.prompt_encoder.mask_input_size, mode="bilinear")[0]
    others = [tracker.track(n, tracker.encode(frames[n : n + 1])).gated_masks for n in range(1, len(frames))]
    return torch.stack([given.to(frames.device), *others], dim=1)


class Rows:
    """Answers of all rows of the table for one clip after the other, and how long they took.

    Args:
        model: a method on SAM2 that takes prompts, without text.
        processor: the one saved with it.
        host: SAM2 alone.

    Attributes:
        names: of the rows.
    """

    def __init__(self, model: torch.nn.Module, processor: object, host: Sam2VideoModel):
        self.model, self.processor, self.host = model, processor, host
        adapted = [ADAPTED] if isinstance(model, AdapterClipModel) else []
        self.names = ("audio", *ALONE, *adapted, ONE_PASS, ENSEMBLE)
        self.seconds, self.frames = defaultdict(float), defaultdict(int)

    def _timed(self, name: str, run: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Mask logits `[1, T, h, w]` that `run` gives."""
        cuda = self.model.device.type == "cuda"
        if cuda:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        found = run()
        if cuda:
            torch.cuda.synchronize()
        self.seconds[name] += time.perf_counter() - begin
        self.frames[name] += found.shape[1]
        return found

    def _hear(self, inputs: Mapping[str, torch.Tensor], prompts: dict[str, torch.Tensor]) -> torch.Tensor:
        shown = {**prompts, "prompt_frames": [0]} if prompts else {}
        return self.processor.gate_masks(self.model(**inputs, **shown))[0]

    def _without_sound(self, inputs: BatchFeature) -> dict[str, torch.Tensor]:
        shape = (*inputs["pixel_values"].shape[:2], self.model.config.audio_config.embedding_size)
        seen = {name: value for name, value in inputs.items() if name != "input_features"}
        return seen | {"audio_embeddings": torch.zeros(shape, device=self.model.device)}

    @torch.inference_mode()
    def answer(self, inputs: BatchFeature, prompts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gated mask logits `[1, T, h, w]` by row, for a batch of one clip without its labels."""
        heard = self._timed("audio", partial(self._hear, inputs, {}))
        if not prompts:
            nothing = torch.full_like(heard, NO_MASK_LOGIT)
            return {name: heard if name in HEARD else nothing for name in self.names}
        frames, both = inputs["pixel_values"][0], pick(prompts, ALONE["points box"])
        runs = {name: partial(track_prompts, self.host, frames, pick(prompts, kinds)) for name, kinds in ALONE.items()}
        if ADAPTED in self.names:
            runs[ADAPTED] = partial(self._hear, self._without_sound(inputs), both)
        runs[ONE_PASS] = partial(self._hear, inputs, both)
        found = {"audio": heard, **{name: self._timed(name, run) for name, run in runs.items()}}
        found[ENSEMBLE] = ((heard.sigmoid() + found["points box"].sigmoid()) / 2).logit(eps=1e-6)
        return found

    def scale(self, name: str, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Logits `[N, h, w]` of a row at the size of the labels, those of SAM2 alone in one way beside every method."""
        owner = AudioVisualPreTrainedModel if name in ALONE else type(self.model)
        return owner.scale_masks(self.model, logits, size)

    def frames_per_second(self) -> dict[str, float]:
        """By row, of what ran; the ensemble runs two others."""
        speeds = {name: self.frames[name] / seconds for name, seconds in self.seconds.items()}
        if "points box" in speeds:
            speeds[ENSEMBLE] = 1 / (1 / speeds["audio"] + 1 / speeds["points box"])
        return speeds


def score(rows: Rows, data: Dataset, protocol: str) -> dict[str, dict[str, float]]:
    """J, F and their mean by row of the table, with the batches and mask sizes of the protocol's publication."""
    clips, size, mask_resize = protocol_settings(protocol, "avsbench")
    collator = ClipCollator(rows.processor, size, mask_resize)
    metrics = {name: AvsMetric(protocol) for name in rows.names}
    edge, device = rows.host.config.image_size, rows.model.device
    for start in track(range(0, len(data), clips), description="clips", transient=True):
        parts = defaultdict(list)
        for index in range(start, min(start + clips, len(data))):
            batch = collator([data[index]]).to(device)
            targets, counted = batch.pop("labels")[0, 0], batch.pop("label_mask")[0]
            shown = {name: value.to(device) for name, value in first_frame_prompts(data[index], edge).items()}
            answers = rows.answer(batch, shown)
            for name, logits in answers.items():
                parts[name].append(rows.scale(name, logits[0, counted].float(), tuple(targets.shape[-2:])))
            parts["targets"].append(targets[counted])
        for name, metric in metrics.items():
            metric.update(torch.cat(parts[name]), torch.cat(parts["targets"]))
    return {name: {value: metric.compute()[value] for value in SCORES} for name, metric in metrics.items()}


def load(model: str, sam2: str | None) -> Rows:
    """A checkpoint and SAM2 alone.

    Raises:
        ValueError: when the method takes no prompts or reads sentences, or `sam2` is no SAM2 video model of its size.
    """
    network, processor = load_checkpoint(model)
    if not network.takes_points or network.reads_text:
        raise ValueError(
            f"model: {type(network).__name__} in {model} takes no prompts or reads sentences; AuralSAM2, GAVS and "
            "SAMA-AVS on SAM2 without text are evaluated here"
        )
    host = network.tracking_host if sam2 is None else load_host("sam2", sam2, Sam2VideoModel).eval()
    if host.config.image_size != network.tracking_host.config.image_size:
        raise ValueError(f"sam2: {sam2} takes another size of frames than {model}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Rows(network.eval().to(device), processor, host.to(device))


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder or Hub id of a checkpoint")
    parser.add_argument("--sam2", help="folder or Hub id of a SAM2 video checkpoint (default: the one in the model)")
    parser.add_argument("--data", required=True, help="folder of AVSBench")
    parser.add_argument("--subset", nargs="+", default=["v1m"], help="one or more of s4, ms3, v1s, v1m, v2")
    parser.add_argument("--split", default="test")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="aural_sam2")
    parser.add_argument("--out", type=Path, help="JSON file for the scores")
    given = parser.parse_args(argv)
    with one_line_errors("prompted_avs.py"):
        if given.out:
            check_new_file(given.out, "--out")
        data = load_rows(given.data, given.split, "avsbench", given.subset)
        rows = load(given.model, given.sam2)
        scores, speeds = score(rows, data, given.protocol), rows.frames_per_second()
        report = {
            "model": given.model,
            "sam2": given.sam2,
            "data": given.data,
            "subsets": given.subset,
            "split": given.split,
            "protocol": given.protocol,
            "rows": len(data),
            "frames": rows.frames["audio"],
            "prompts": {name: {**found, "frames_per_second": speeds.get(name)} for name, found in scores.items()},
        }
        if given.out:
            write_report(given.out, report)
    print(f"{given.model}, {given.split}, protocol {given.protocol}")
    speed = {name: f"{speeds[name]:.1f}" if name in speeds else "-" for name in rows.names}
    lines = [(name, *(f"{found[value]:.4f}" for value in SCORES), speed[name]) for name, found in scores.items()]
    print_table(("prompts", *SCORES, "frames/s"), lines)


if __name__ == "__main__":
    main(sys.argv[1:])
