"""Teach an untrained prompter to point: its token learns to be the embedding of a click on the object meant.

SAM2's decoder already understands clicks, so SAM2-LOVE then starts from prompts that mean something. Without this
the token stays between all objects for as long as was tried (600 steps of 48 sentences).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lavseg.data import Expression, draw_expressions, draw_scene, render_clip
from lavseg.models.sam2_love import Sam2LoveModel, Sam2LoveProcessor
from lavseg.models.sam2_love.prompter_sam2_love import Sam2LovePrompter

from .clicks import number_objects
from .optimization import OnLog, collect_log, optimize
from .processes import map_in_processes

FRAMES = 10

# First to point in a single frame, at what is named before what is heard; then to keep pointing at the first frame
# while later ones pass.
STAGES = (
    {"num_frames": 1, "steps": 1200, "peak_rate": 1e-3, "clips": 48, "expressions": 2, "kinds": ("words",)},
    {"num_frames": 1, "steps": 3600, "peak_rate": 1e-3, "clips": 48, "expressions": 2},
    {"num_frames": 10, "steps": 2200, "peak_rate": 7e-4, "clips": 16, "expressions": 3},
)
KINDS = ("words", "sound", "both")
# An object with fewer visible pixels is not pointed at.
SMALLEST = 200


@dataclass
class EncodedClip:
    """One clip of ten frames as the frozen encoders see it, and what its sentences mean.

    Attributes:
        frames: `[10, 1 + hw, D]`; audio: `[A, D]`.
        owners: uint8 `[10, P]`, the number of the object that each click of the grid hits, from 1; 0 is background.
        areas: `[10, N]`, how many pixels of each object are seen.
        expressions: sentences about its objects.
    """

    frames: torch.Tensor
    audio: torch.Tensor
    owners: torch.Tensor
    areas: np.ndarray
    expressions: list[Expression]


@torch.no_grad()
def encode_clips(
    model: Sam2LoveModel,
    processor: Sam2LoveProcessor,
    count: int,
    rng: np.random.Generator,
    progress: Callable[[Sequence], Iterable] | None = None,
) -> list[EncodedClip]:
    """Render `count` clips and run the encoders once; `progress` wraps what is rendered."""
    seeds = rng.integers(2**32, size=count).tolist()
    grid = click_grid(model.config.sam2_config.image_size).numpy()
    tasks = [(processor.vit_image_processor, processor.feature_extractor, grid, seed) for seed in seeds]
    encoded = []
    for pixels, patches, owners, areas, expressions in map_in_processes(_prepare_clip, tasks, progress):
        pixels, patches, owners = (torch.from_numpy(part).to(model.device) for part in (pixels, patches, owners))
        frames = model.vision_encoder(pixel_values=pixels.float()).last_hidden_state
        audio = model.audio_encoder(patches.float()).embeddings.squeeze(1)
        encoded.append(EncodedClip(frames.half(), audio, owners, areas, expressions))
    return encoded


def click_grid(size: int) -> torch.Tensor:
    """Clicks all over an image, one in every 8 pixels each way: x and y as shares of its sides, `[P, 2]`."""
    steps = torch.arange(4, size, 8) / size
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(-1, 2)


def _prepare_clip(task: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[Expression]]:
    """A clip as the encoders take it, frames and seconds of sound; owners of the clicks, areas, sentences."""
    image_processor, feature_extractor, grid, seed = task
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    objects = draw_scene(rng, num_frames=FRAMES)
    expressions = [item for item in draw_expressions(rng, objects) if item.target is not None]
    clip = render_clip(rng, FRAMES, objects=objects)
    images = list(torch.from_numpy(clip.frames).permute(0, 3, 1, 2))
    pixels = image_processor(images, return_tensors="pt")["pixel_values"].half().numpy()
    sound = feature_extractor(clip.waveform.mean(0), sampling_rate=16000, return_tensors="pt")["input_features"]
    height, width = clip.masks.shape[-2:]
    rows, columns = (grid[:, 1] * height).astype(int), (grid[:, 0] * width).astype(int)
    owners = number_objects(clip.masks)[:, rows, columns]
    return pixels, sound.half().numpy(), owners, clip.masks.sum((2, 3)).T, expressions


class Pointing:
    """Batches of sentences about an object of a clip's first frame, and the loss of the tokens they lead to."""

    def __init__(self, model: Sam2LoveModel, processor: Sam2LoveProcessor, rng: np.random.Generator):
        self.model, self.processor, self.rng = model, processor, rng
        size = model.config.sam2_config.image_size
        grid = click_grid(size).to(model.device)
        with torch.no_grad():
            labels = torch.ones(len(grid), 1, 1, dtype=torch.int32, device=model.device)
            prompts = model.sam2.prompt_encoder((grid * size)[:, None, None], labels, None, None)[0]
        self.clicks = prompts[:, 0, 0]

    def loss(
        self, clips: list[EncodedClip], num_frames: int, batch: int, expressions: int, kinds: Sequence[str] = KINDS
    ) -> tuple[torch.Tensor, float]:
        """Loss of one batch of sentences of these kinds, and the share of tokens that are nearest to a click on the
        object meant."""
        model, frames, audio, texts, targets = self.model, [], [], [], []
        while len(frames) < batch:
            clip, shown = clips[self.rng.integers(len(clips))], self._frames(num_frames)
            drawn = self._expressions(clip, shown, expressions, kinds)
            if drawn:
                frames.append(clip.frames[shown].float())
                audio.append(clip.audio)
                texts += [expression.text for expression in drawn]
                targets += [clip.owners[shown[0]] == expression.target + 1 for expression in drawn]
        tokens = self.processor.tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
        ids, mask = (tokens[name].unflatten(0, (batch, expressions)) for name in ("input_ids", "attention_mask"))
        audio_mask = nn.utils.rnn.pad_sequence([torch.ones(len(a), dtype=torch.bool) for a in audio], batch_first=True)
        with torch.no_grad():
            text = model.text_encoder(ids.flatten(0, 1), mask.flatten(0, 1)).last_hidden_state
        prompts, _, _ = model.prompter(
            nn.utils.rnn.pad_sequence(audio, batch_first=True).to(model.device),
            text.unflatten(0, (batch, expressions)),
            torch.stack(frames).to(model.device),
            audio_mask.to(model.device),
            mask.bool(),
            torch.ones(batch, num_frames, dtype=torch.bool, device=model.device),
        )
        inside = torch.stack(targets)
        inside[~inside.any(1)] = True  # an object between the grid's points: anywhere is right
        loss, hits = distance_to_prompts(prompts, self.clicks, inside)
        return loss, hits.float().mean().item()

    def _frames(self, count: int) -> list[int]:
        """Some frames of a clip in order."""
        return sorted(self.rng.choice(FRAMES, count, replace=False).tolist())

    def _expressions(self, clip: EncodedClip, shown: list[int], count: int, kinds: Sequence[str]) -> list[Expression]:
        """`count` sentences about objects visible in the first frame, each of these kinds as often; none where there
        are none.

        A single frame does not show what moves.
        """
        visible = [
            expression
            for expression in clip.expressions
            if expression.kind in kinds
            and (expression.query.motion is None or len(shown) > 1)
            and clip.areas[shown[0], expression.target] >= SMALLEST
        ]
        found = sorted({expression.kind for expression in visible})
        chosen = []
        for _ in range(count if found else 0):
            kind = found[self.rng.integers(len(found))]
            of_kind = [expression for expression in visible if expression.kind == kind]
            chosen.append(of_kind[self.rng.integers(len(of_kind))])
        return chosen


def distance_to_prompts(
    prompts: torch.Tensor, known: torch.Tensor, meant: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of prompts `[N, C]`: cross-entropy over all `known` ones `[P, C]`, by distance, plus the distance to the
    nearest of those that are `meant`, bool `[N, P]`; and which are nearest to one of these, bool `[N]`."""
    squared = torch.cdist(prompts, known) ** 2
    scores = (-squared / 8).log_softmax(1)
    entropy = -(scores * meant).sum(1) / meant.sum(1)
    nearest = (squared / prompts.shape[-1]).masked_fill(~meant, torch.inf).min(1).values
    return (entropy + nearest).mean(), meant.gather(1, squared.argmin(1, keepdim=True))[:, 0]


def teach_pointing(
    model: Sam2LoveModel,
    processor: Sam2LoveProcessor,
    seed: int,
    clips: int = 5500,
    stages: Sequence[dict] = STAGES,
    on_log: OnLog = lambda entry: None,
    progress: Callable[[Sequence], Iterable] | None = None,
    on_start: Callable[[list[EncodedClip]], None] = lambda clips: None,
) -> list[dict]:
    """Train the prompter of `model` in place; returns a log of `{frames, step, loss, hits}`, hits on unseen clips.

    Args:
        clips: rendered, of which one in 25 is kept for the hits.
        stages: see `STAGES`; `logging_steps` may be added.
        on_log: called with each new entry of the log.
        progress: wraps the clips' tasks while they are rendered.
        on_start: called with the clips, as they are trained on, before the first step.
    """
    rng, log = np.random.default_rng([seed, 2]), []
    _reset(model.prompter)
    encoded = encode_clips(model, processor, clips, rng, progress)
    unseen, seen = encoded[: max(1, clips // 25)], encoded[max(1, clips // 25) :]
    on_start(seen)
    for stage in stages:
        log += collect_log(_train(Pointing(model, processor, rng), seen, unseen, **stage), on_log)
    return log


def _reset(prompter: Sam2LovePrompter) -> None:
    """A start from which so small a network learns; the two heads that read its states keep theirs."""
    for module in prompter.modules():
        if isinstance(module, nn.Linear) and module not in (prompter.presence, prompter.readout):
            module.reset_parameters()
    if prompter.time_embedding is not None:
        nn.init.normal_(prompter.time_embedding.weight, std=0.5)


def _train(
    task: Pointing,
    seen: list[EncodedClip],
    unseen: list[EncodedClip],
    num_frames: int,
    steps: int,
    peak_rate: float,
    clips: int,
    expressions: int,
    kinds: Sequence[str] = KINDS,
    logging_steps: int = 50,
) -> Iterator[dict]:
    for entry in optimize(
        task.model.prompter.parameters(),
        lambda: {"loss": task.loss(seen, num_frames, clips, expressions, kinds)[0]},
        peak_rate,
        steps,
        f"pointing, {num_frames} frame(s)",
        betas=(0.9, 0.95),
        logging_steps=logging_steps,
    ):
        with torch.no_grad():
            _, hits = task.loss(unseen, num_frames, 2 * clips, expressions, kinds)
        yield {"frames": num_frames, **entry, "hits": round(hits, 4)}
