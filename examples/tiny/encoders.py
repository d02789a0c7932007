"""Train tiny stand-ins for the published encoders that SAM2-LOVE freezes.

A ViT, a VGGish and a RoBERTa of some ten thousand parameters learn what their published counterparts know before
SAM2-LOVE begins: to name what a picture shows, what is heard in a second of audio and how loud it is, and what a
sentence asks for. Like AudioSet and ImageNet, their data holds the categories that the method later never trains on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lavseg.backbones.vggish import VggishModel
from lavseg.data import BAND, draw_expressions, draw_scene, render_clip
from lavseg.data.synthetic.queries import PROPERTIES
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

from .optimization import optimize
from .processes import map_in_processes

PATCHES_PER_SIDE = 8
FRAMES_SHOWN = 4
# The level of what can just be heard, and the range above it, both in decibels below full scale.
FLOOR, RANGE = -34.0, 20.0

# What a sentence may ask for, by the field of `Query`.
ANSWERS = {"category": BAND, "sounds": (True, False), **PROPERTIES}

Batch = tuple[torch.Tensor, ...]


@dataclass
class Perceived:
    """What clips look and sound like, and what there is to know about it.

    Attributes:
        pixels: float16 `[N, 3, S, S]`, frames.
        shown: int64 `[N, P]`, the category that fills each patch, background last.
        sounds: float16 `[M, 1, 96, 64]`, seconds of sound.
        levels: float32 `[M, C]`, how loud each category is, 0 (not heard) to 1.
    """

    pixels: torch.Tensor
    shown: torch.Tensor
    sounds: torch.Tensor
    levels: torch.Tensor

    @classmethod
    def of_clips(cls, processor: Sam2LoveProcessor, clips: int, seed: int) -> "Perceived":
        """Render so many clips in as many processes as there are cores."""
        tasks = [
            (processor.vit_image_processor, processor.feature_extractor, (seed, 1, index)) for index in range(clips)
        ]
        parts = zip(*map_in_processes(_perceive, tasks), strict=True)
        return cls(*(torch.from_numpy(np.concatenate(part)) for part in parts))


def train_encoders(
    model: Sam2LoveModel,
    processor: Sam2LoveProcessor,
    seed: int,
    clips: int = 2400,
    vision_steps: int = 4000,
    audio_steps: int = 3700,
    text_steps: int = 1200,
) -> list[dict]:
    """Train the three encoders of `model` in place; returns a log of `{encoder, step, loss}`."""
    rng = np.random.default_rng([seed, 1])
    for module in (*model.vision_encoder.modules(), *model.text_encoder.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.reset_parameters()
    seen = Perceived.of_clips(processor, clips, seed)
    frames, seconds = _batches(rng, seen.pixels, seen.shown), _batches(rng, seen.sounds, seen.levels)
    log = _fit("vision", model.vision_encoder, _VisionTask(model.config), frames, vision_steps)
    log += _fit("audio", model.audio_encoder, _AudioTask(model.config), seconds, audio_steps)
    _scale_embeddings(model.audio_encoder, seen.sounds[:500].float().to(model.device))
    sentences = _sentences(processor, clips // 2, seed, rng)
    log += _fit("text", model.text_encoder, _TextTask(model.config), sentences, text_steps)
    return log


class _VisionTask(nn.Module):
    """What each patch shows (background last) and where it is, from the patch's own state; what there is in all."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.category, self.place = nn.Linear(width, len(BAND) + 1), nn.Linear(width, PATCHES_PER_SIDE**2)
        self.present = nn.Linear(width, len(BAND))

    def forward(self, encoder: nn.Module, pixels: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
        states = encoder(pixel_values=pixels).last_hidden_state
        places = torch.arange(PATCHES_PER_SIDE**2, device=pixels.device).expand(len(pixels), -1)
        present = F.one_hot(category, len(BAND) + 1)[..., : len(BAND)].amax(1)
        loss = F.cross_entropy(self.category(states[:, 1:]).flatten(0, 1), category.flatten())
        loss = loss + 0.3 * F.cross_entropy(self.place(states[:, 1:]).flatten(0, 1), places.flatten())
        return loss + F.binary_cross_entropy_with_logits(self.present(states[:, 0]), present.float())


class _AudioTask(nn.Module):
    """Which sounds are heard in each second, and how loud."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        width = config.audio_config.embedding_size
        self.heard, self.level = nn.Linear(width, len(BAND)), nn.Linear(width, len(BAND))

    def forward(self, encoder: nn.Module, patches: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        embeddings, heard = encoder(patches).embeddings.squeeze(-2), levels > 0
        loss = F.binary_cross_entropy_with_logits(self.heard(embeddings), heard.float())
        distance = (self.level(embeddings) - levels).square()
        return loss + (distance * heard).sum() / heard.sum().clamp(min=1)


class AskedFor(nn.Module):
    """The loss of what a sentence asks for, told from states of so many values."""

    def __init__(self, width: int):
        super().__init__()
        self.answers = nn.ModuleList(nn.Linear(width, len(answers) + 1) for answers in ANSWERS.values())

    def forward(self, states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """States are `[N, D]`, `wanted` is what `draw_sentences` returns."""
        return sum(F.cross_entropy(answer(states), wanted[:, index]) for index, answer in enumerate(self.answers))


class _TextTask(nn.Module):
    """What a sentence asks for, from its first state and from the mean of all its words' states."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.asked_for = AskedFor(2 * config.text_config.hidden_size)

    def forward(self, encoder: nn.Module, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        states = encoder(ids, mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.asked_for(torch.cat([states[:, 0], mean], -1), wanted)


def _perceive(task: tuple) -> tuple[np.ndarray, ...]:
    """Some frames of a clip and all its seconds, as `Perceived` has them."""
    image_processor, feature_extractor, seed = task
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    clip = render_clip(rng, categories=BAND)
    chosen = np.sort(rng.choice(len(clip.frames), FRAMES_SHOWN, replace=False))
    pixels = image_processor(list(torch.from_numpy(clip.frames[chosen]).permute(0, 3, 1, 2)), return_tensors="pt")
    shares = F.adaptive_avg_pool2d(torch.from_numpy(clip.masks[:, chosen]).float(), PATCHES_PER_SIDE).flatten(2)
    # Thin things fill little of a patch: a fifth is enough to be what it shows.
    owner = torch.cat([shares, 0.2 * torch.ones_like(shares[:1])]).argmax(0)
    names = torch.tensor([BAND.index(item.category) for item in clip.objects] + [len(BAND)])
    sounds = feature_extractor(clip.waveform.mean(0), sampling_rate=16000, return_tensors="pt")["input_features"]
    levels = np.zeros((len(clip.frames), len(BAND)), np.float32)
    for item in clip.objects:
        level = np.clip((20 * np.log10(item.level) - FLOOR) / RANGE, 0.05, 1)
        column = levels[:, BAND.index(item.category)]
        np.maximum(column, level * item.seconds, out=column)
    return (
        pixels["pixel_values"].half().numpy(),
        names[owner].numpy(),
        sounds[:, : len(levels)].reshape(-1, *sounds.shape[-3:]).half().numpy(),
        levels,
    )


def _batches(rng: np.random.Generator, inputs: torch.Tensor, targets: torch.Tensor, size: int = 64) -> Iterator[Batch]:
    while True:
        rows = torch.from_numpy(rng.integers(len(inputs), size=size))
        yield inputs[rows].float(), targets[rows]


def draw_sentences(clips: int, seed: int) -> tuple[list[str], torch.Tensor]:
    """Sentences about so many clips, and int64 `[N, F]` the number of the answer for each field of their query; the
    last one says that it is left open."""
    drawn = map_in_processes(_draw_sentences, [(seed, 2, index) for index in range(clips)])
    texts, wanted = zip(*(pair for pairs in drawn for pair in pairs), strict=True)
    return list(texts), torch.tensor(wanted)


def _sentences(processor: Sam2LoveProcessor, clips: int, seed: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Batches of sentences about so many clips."""
    texts, wanted = draw_sentences(clips, seed)
    tokens = processor.tokenizer(texts, padding=True, return_tensors="pt")
    while True:
        rows = torch.from_numpy(rng.integers(len(texts), size=256))
        yield tokens["input_ids"][rows], tokens["attention_mask"][rows], wanted[rows]


def _draw_sentences(seed: tuple[int, ...]) -> list[tuple[str, list[int]]]:
    """Sentences about a clip, each with the numbers of its answers."""
    rng = np.random.default_rng(seed)
    pairs = []
    for item in draw_expressions(rng, draw_scene(rng, categories=BAND), categories=BAND, combinations=True):
        asked = [(answers, getattr(item.query, field)) for field, answers in ANSWERS.items()]
        pairs.append((item.text, [len(answers) if a is None else answers.index(a) for answers, a in asked]))
    return pairs


@torch.no_grad()
def _scale_embeddings(encoder: VggishModel, patches: torch.Tensor) -> None:
    """Bring the embeddings to a deviation of 1: after training for one task alone it is 30, and whatever learns from
    them would have to undo that first."""
    deviation = encoder(patches).embeddings.std()
    last = [module for module in encoder.embeddings if isinstance(module, nn.Linear)][-1]
    last.weight.div_(deviation)
    last.bias.div_(deviation)


def _fit(name: str, encoder: nn.Module, task: nn.Module, batches: Iterator[Batch], steps: int) -> list[dict]:
    encoder.requires_grad_(True)
    encoder.train()
    device = next(encoder.parameters()).device
    parameters = [*encoder.parameters(), *task.to(device).parameters()]

    def terms() -> dict[str, torch.Tensor]:
        return {"loss": task(encoder, *(part.to(device) for part in next(batches)))}

    entries = optimize(parameters, terms, 2e-3, steps, f"{name} encoder")
    log = [{"encoder": name, **entry} for entry in entries]
    encoder.requires_grad_(False)
    encoder.eval()
    return log
