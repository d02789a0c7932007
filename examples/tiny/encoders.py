"""Train tiny stand-ins for the published encoders that SAM2-LOVE freezes.

A ViT, a VGGish and a RoBERTa of some ten thousand parameters learn what their published counterparts know before
SAM2-LOVE begins: to name shapes and colours in a picture, sounds in a second of audio, and what a sentence asks for.
Like AudioSet and ImageNet, their data holds the categories that the method later never trains on.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lavseg.backbones.vggish import VggishModel
from lavseg.data import COLORS, SEEN, UNSEEN, draw_expressions, draw_objects, render_clip
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

from .optimization import optimize

CATEGORIES = SEEN + UNSEEN
COLOR_NAMES = tuple(COLORS)
PATCHES_PER_SIDE = 8

Batch = tuple[torch.Tensor, ...]


def train_encoders(
    model: Sam2LoveModel,
    processor: Sam2LoveProcessor,
    seed: int,
    clips: int = 1500,
    vision_steps: int = 4000,
    steps: int = 600,
) -> list[dict]:
    """Train the three encoders of `model` in place; returns a log of `{encoder, step, loss}`."""
    rng = np.random.default_rng([seed, 1])
    for module in (*model.vision_encoder.modules(), *model.text_encoder.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.reset_parameters()
    log = _fit(
        "vision", model.vision_encoder, _VisionTask(model.config), _pictures(processor, rng, clips), vision_steps
    )
    log += _fit("audio", model.audio_encoder, _AudioTask(model.config), _sounds(processor, rng), steps)
    _scale_embeddings(model.audio_encoder, next(_sounds(processor, np.random.default_rng([seed, 3]), batch=50))[0])
    log += _fit("text", model.text_encoder, _TextTask(model.config), _sentences(processor, rng), steps)
    return log


class _VisionTask(nn.Module):
    """Which shape and which colour each patch shows (background last) and where it is, from the patch's own state."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.category, self.color = nn.Linear(width, len(CATEGORIES) + 1), nn.Linear(width, len(COLOR_NAMES) + 1)
        self.place = nn.Linear(width, PATCHES_PER_SIDE**2)
        self.present = nn.Linear(width, len(CATEGORIES) * len(COLOR_NAMES))

    def forward(
        self, encoder: nn.Module, pixels: torch.Tensor, category: torch.Tensor, color: torch.Tensor
    ) -> torch.Tensor:
        states = encoder(pixel_values=pixels).last_hidden_state
        loss = F.cross_entropy(self.category(states[:, 1:]).flatten(0, 1), category.flatten())
        loss = loss + F.cross_entropy(self.color(states[:, 1:]).flatten(0, 1), color.flatten())
        places = torch.arange(PATCHES_PER_SIDE**2).expand(len(pixels), -1)
        loss = loss + F.cross_entropy(self.place(states[:, 1:]).flatten(0, 1), places.flatten())
        pairs = F.one_hot(category * len(COLOR_NAMES) + color.clamp(max=len(COLOR_NAMES) - 1), 54)[..., :48].amax(1)
        return loss + F.binary_cross_entropy_with_logits(self.present(states[:, 0]), pairs.float())


class _AudioTask(nn.Module):
    """Which sounds are heard in each patch."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.heard = nn.Linear(config.audio_config.embedding_size, len(CATEGORIES))

    def forward(self, encoder: nn.Module, patches: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        logits = self.heard(encoder(patches).embeddings.squeeze(-2))
        return F.binary_cross_entropy_with_logits(logits, heard)


class _TextTask(nn.Module):
    """Colour, shape and sounding state that a sentence asks for (each may be left open), from its first token."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        width = config.text_config.hidden_size
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in (len(COLOR_NAMES) + 1, len(CATEGORIES) + 1, 3))

    def forward(self, encoder: nn.Module, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        state = encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        return sum(F.cross_entropy(head(state), wanted[:, index]) for index, head in enumerate(self.heads))


def _pictures(processor: Sam2LoveProcessor, rng: np.random.Generator, clips: int, batch: int = 64) -> Iterator[Batch]:
    """Frames of `clips` rendered clips with the shape and the colour of each patch."""
    pixels, categories, colors = zip(*(_patch_labels(processor, rng) for _ in range(clips)), strict=True)
    pixels, categories, colors = torch.cat(pixels), torch.cat(categories), torch.cat(colors)
    while True:
        rows = torch.from_numpy(rng.integers(len(pixels), size=batch))
        yield pixels[rows].float(), categories[rows], colors[rows]


def _patch_labels(processor: Sam2LoveProcessor, rng: np.random.Generator) -> Batch:
    """The frames of one clip, in half precision, with category and colour `[10, patches]` of what fills each patch."""
    clip = render_clip(rng, 10, (112, 144), CATEGORIES)
    frames = list(torch.from_numpy(clip.frames).permute(0, 3, 1, 2))
    pixels = processor.vit_image_processor(frames, return_tensors="pt")["pixel_values"]
    shares = F.adaptive_avg_pool2d(torch.from_numpy(clip.masks).float(), PATCHES_PER_SIDE).flatten(2)
    owner = torch.cat([shares, 1 - shares.sum(0, keepdim=True)]).argmax(0)
    categories = [CATEGORIES.index(item.category) for item in clip.objects] + [len(CATEGORIES)]
    colors = [COLOR_NAMES.index(item.color) for item in clip.objects] + [len(COLOR_NAMES)]
    return pixels.half(), torch.tensor(categories)[owner], torch.tensor(colors)[owner]


def _sounds(processor: Sam2LoveProcessor, rng: np.random.Generator, batch: int = 6) -> Iterator[Batch]:
    """Ten patches of each clip with the categories heard in them."""
    while True:
        patches, heard = [], []
        for _ in range(batch):
            clip = render_clip(rng, 10, (16, 16), CATEGORIES)
            inputs = processor.feature_extractor(clip.waveform, sampling_rate=16000, return_tensors="pt")
            target = torch.zeros(10, len(CATEGORIES))
            for item in clip.objects:
                target[:, CATEGORIES.index(item.category)] = torch.from_numpy(item.seconds).float()
            patches.append(inputs["input_features"])
            heard.append(target)
        yield torch.cat(patches), torch.cat(heard)


def _sentences(processor: Sam2LoveProcessor, rng: np.random.Generator, batch: int = 64) -> Iterator[Batch]:
    """Sentences with what they ask for: colour, category, sounding; the last index of each means left open."""
    while True:
        expressions = [e for _ in range(batch // 8) for e in draw_expressions(rng, draw_objects(rng, 10, CATEGORIES))]
        wanted = [
            [
                len(COLOR_NAMES) if e.query.color is None else COLOR_NAMES.index(e.query.color),
                len(CATEGORIES) if e.query.category is None else CATEGORIES.index(e.query.category),
                2 if e.query.sounds is None else int(e.query.sounds),
            ]
            for e in expressions
        ]
        tokens = processor.tokenizer([e.text.strip() for e in expressions], padding=True, return_tensors="pt")
        yield tokens["input_ids"], tokens["attention_mask"], torch.tensor(wanted)


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
    parameters = [*encoder.parameters(), *task.parameters()]
    entries = optimize(parameters, lambda: {"loss": task(encoder, *next(batches))}, 2e-3, steps, f"{name} encoder")
    log = [{"encoder": name, **entry} for entry in entries]
    encoder.requires_grad_(False)
    encoder.eval()
    return log
