"""What a tiny SimToken learns before it segments clips, as its published parts know it: the language model what
sentences ask for, the tower what patches show, SAM what prompts name, and the language model to name what is meant.

From the loss of masks alone, language model and tower learned nothing in 900 steps of 16 sentences.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache

from lavseg import SimTokenModel, SimTokenProcessor
from lavseg.backbones.sam.modeling_sam import SamBackbone
from lavseg.data import BAND, Expression, draw_expressions, draw_scene, render_clip
from lavseg.losses import mask_bce, mask_dice, mask_iou
from lavseg.models.simtoken.language_simtoken import cache_argument
from lavseg.models.simtoken.prompt_simtoken import ClipPrompt, lay_out
from lavseg.models.simtoken.scaling_simtoken import size_without_padding

from .categories import CategoryFrames
from .encoders import AskedFor, draw_sentences
from .optimization import optimize, reset_layers
from .pointing import distance_to_prompts
from .processes import map_in_processes
from .silent_clips import render_silent_clip

BETAS = (0.9, 0.95)
# The last one is the name of nothing.
NAMES = (*BAND, None)
# How often the language model is asked each kind of sentence while it learns to name, and how many about a clip.
KINDS = {"words": 0.5, "sound": 0.3, "both": 0.1, "null": 0.1}
ASKED = 6
AS_TENSORS = {"return_tensors": "pt", "input_data_format": "channels_first"}


class Reader:
    """Reads prompts up to the state before [SEG]."""

    def __init__(self, model: SimTokenModel, processor: SimTokenProcessor):
        self.language, self._config, self._processor = model.language_model, model.config, processor
        self._known = {}

    def prompt(self, text: str) -> ClipPrompt:
        """The layout of the prompt of a sentence."""
        if text not in self._known:
            tokens = self._processor.text_inputs([[text]])
            rows, marks = (tokens[name][0].tolist() for name in ("input_ids", "attention_mask"))
            self._known[text] = lay_out(rows, marks, self._config.seg_token_id, self._config.language_config.vocab_size)
        return self._known[text]

    def words(self, text: str) -> torch.Tensor:
        """What stands after the last place holder, up to [SEG]."""
        prompt = self.prompt(text)
        return torch.tensor(prompt.suffixes[0][: prompt.seg[0] + 1])

    def states(self, words: Sequence[torch.Tensor], prefixes: torch.Tensor | None = None) -> torch.Tensor:
        """States `[N, L, D]` of all words but [SEG], after `prefixes [B, P, D]` of clips, each asked `N / B` in a row.
        Without them the prompts begin after the last place holder."""
        given = {}
        if prefixes is not None:
            known = DynamicCache(config=self.language.config)
            given = {cache_argument(type(self.language)): known, "use_cache": True}
            self.language(inputs_embeds=prefixes, **given)
            known.batch_repeat_interleave(len(words) // len(prefixes))
        ids = nn.utils.rnn.pad_sequence([row[:-1] for row in words], batch_first=True)
        return self.language(inputs_embeds=self.language.get_input_embeddings()(ids), **given).last_hidden_state

    def read(self, texts: Sequence[str], prefixes: torch.Tensor) -> torch.Tensor:
        """States `[N, D]` before [SEG] of sentences about clips."""
        words = [self.words(text) for text in texts]
        return before_seg(self.states(words, prefixes), words)


def before_seg(states: torch.Tensor, words: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of `Reader.states` those that [SEG] follows, `[N, D]`."""
    return states[range(len(words)), [len(row) - 2 for row in words]]


def teach(model: SimTokenModel, processor: SimTokenProcessor, seed: int) -> dict[str, list[dict]]:
    """All lessons, one after the other, for `model` in place; returns the log of each."""
    reset_layers(model.language_model)
    log = {"reading": list(teach_to_read(model, processor, seed)), "seeing": list(teach_to_see(model, processor, seed))}
    names = nn.Embedding(len(NAMES), model.config.sam_config.prompt_encoder_config.hidden_size)
    log["names"] = list(teach_names(model.sam, names, processor, seed))
    log["naming"] = list(teach_to_name(model, processor, names.weight.detach(), seed))
    return log


def teach_to_read(
    model: SimTokenModel, processor: SimTokenProcessor, seed: int, steps: int = 250, clips: int = 400
) -> Iterator[dict]:
    """Teach the language model how prompts with sentences about so many clips go on, and what these ask for; yields a
    log of `{step, loss, ce}`, `ce` of the next words."""
    rng, reader = np.random.default_rng([seed, 2]), Reader(model, processor)
    texts, wanted = draw_sentences(clips, seed)
    asked = AskedFor(model.config.language_config.hidden_size)

    def terms() -> dict[str, torch.Tensor]:
        rows = rng.integers(len(texts), size=128)
        words = [reader.words(texts[row]) for row in rows]
        states = reader.states(words)
        logits = model.lm_head(states).flatten(0, 1)
        following = nn.utils.rnn.pad_sequence([row[1:] for row in words], batch_first=True, padding_value=-100)
        ce = F.cross_entropy(logits, following.flatten())
        return {"loss": asked(before_seg(states, words), wanted[rows]) + ce, "ce": ce}

    yield from optimize(_learning(model.language_model, model.lm_head, asked), terms, 1e-3, steps, "reading", BETAS)


def teach_to_see(
    model: SimTokenModel, processor: SimTokenProcessor, seed: int, steps: int = 1000, frames: int = 3000
) -> Iterator[dict]:
    """Teach the tower what each patch of so many frames shows, and where it is; yields a log of `{step, loss, hits}`,
    hits among patches that show an object."""
    seen, config = CategoryFrames.render(frames, seed), model.config.vision_config
    pixels = processor.clip_image_processor(list(seen.images), **AS_TENSORS)["pixel_values"].half()
    side = config.image_size // config.patch_size
    shown = torch.cat([_fill(part, side) for part in seen.shown.split(100)])
    category, place = nn.Linear(config.hidden_size, len(BAND) + 1), nn.Linear(config.hidden_size, side**2)
    places, rng = torch.arange(side**2), np.random.default_rng([seed, 1])

    def terms() -> dict[str, torch.Tensor]:
        rows = torch.from_numpy(rng.integers(len(pixels), size=64))
        states, targets = model.vision_encoder(pixels[rows].float()).flatten(0, 1), shown[rows].flatten()
        logits, objects = category(states), targets > 0
        loss = F.cross_entropy(logits, targets) + 0.3 * F.cross_entropy(place(states), places.repeat(len(rows)))
        return {"loss": loss, "hits": (logits.argmax(1) == targets)[objects].float().mean()}

    yield from optimize(_learning(model.vision_encoder, category, place), terms, 2e-3, steps, "seeing")


def _fill(shown: torch.Tensor, side: int) -> torch.Tensor:
    """What fills each patch, long `[N, P]`, of what each pixel shows, `[N, S, S]`; 0 for background. Thin things fill
    little of a patch: a fifth is enough."""
    shares = F.one_hot(shown.long(), len(BAND) + 1).permute(0, 3, 1, 2).float()
    shares = F.adaptive_avg_pool2d(shares, side).flatten(2)
    shares[:, 0] = 0.2
    return shares.argmax(1)


def teach_names(
    sam: SamBackbone, names: nn.Embedding, processor: SimTokenProcessor, seed: int, steps: int = 400, frames: int = 1500
) -> Iterator[dict]:
    """Teach SAM to segment what a prompt of `NAMES` names, as it does what is clicked on, and these prompts, 13 of its
    width; yields a log of `{step, loss, iou}`."""
    tasks = [(processor.image_processor, (seed, 8, index)) for index in range(frames)]
    drawn = zip(*map_in_processes(_render_named, tasks), strict=True)
    pixels, shown = (torch.from_numpy(np.stack(part)) for part in drawn)
    rng = np.random.default_rng([seed, 8])

    def terms() -> dict[str, torch.Tensor]:
        rows = torch.from_numpy(rng.integers(len(pixels), size=16))
        features, numbers = sam.encode(pixels[rows].float()), shown[rows, None].float()
        named = torch.einsum("nchw,kc->nkhw", features, names.weight) / names.embedding_dim**0.5
        places = F.interpolate(numbers, named.shape[-2:])[:, 0].long()
        asked = torch.stack([_draw_names(rng, of) for of in numbers])
        masks = torch.stack([sam.decode(features, names(of)[:, None]).masks for of in asked.T], 1)
        there = F.interpolate(numbers, masks.shape[-2:]) == asked[..., None, None]
        targets = (there & (asked < len(BAND))[..., None, None]).float()
        present = targets.flatten(2).any(2)
        loss = F.cross_entropy(named, places) + 5 * mask_bce(masks, targets).mean()
        loss = loss + mask_dice(masks, targets)[present].mean()
        return {"loss": loss, "iou": mask_iou(masks, targets)[present].mean()}

    sam.requires_grad_(True)
    yield from optimize(_learning(sam, names), terms, 1e-3, steps, "names")


def _render_named(task: tuple) -> tuple[np.ndarray, np.ndarray]:
    """A frame as SAM takes it, and uint8 `[S, S]` the number in `NAMES` of what each pixel shows."""
    image_processor, seed = task
    clip, _ = render_silent_clip(seed, 1, 8)
    pixels = image_processor(list(torch.from_numpy(clip.frames).permute(0, 3, 1, 2)), **AS_TENSORS)["pixel_values"][0]
    numbers = np.array([BAND.index(item.category) for item in clip.objects], np.uint8)[:, None, None]
    shown = torch.from_numpy(np.where(clip.masks[:, 0], numbers, 0).sum(0, dtype=np.uint8))
    shown[~torch.from_numpy(clip.masks[:, 0].any(0))] = len(BAND)
    edge, (height, width) = pixels.shape[-1], size_without_padding(shown.shape, pixels.shape[-1])
    small = F.interpolate(shown[None, None], (height, width))[0, 0]
    return pixels.half().numpy(), F.pad(small, (0, edge - width, 0, edge - height), value=len(BAND)).numpy()


def _draw_names(rng: np.random.Generator, numbers: torch.Tensor) -> torch.Tensor:
    """Two of what a frame shows, and one of anything."""
    there = [number for number in numbers.unique().long().tolist() if number < len(BAND)] or [len(BAND)]
    return torch.tensor([*rng.choice(there, 2), rng.integers(len(NAMES))])


@dataclass
class SeenClip:
    """A clip as tower and VGGish see and hear it, and its sentences.

    Attributes:
        patches: half precision `[T, hw, D]`; audio: `[A, D]`.
        asked: sentences, each with the name of the object meant.
    """

    patches: torch.Tensor
    audio: torch.Tensor
    asked: list[tuple[Expression, str | None]]


@torch.no_grad()
def see_clips(model: SimTokenModel, processor: SimTokenProcessor, count: int, seed: int) -> list[SeenClip]:
    """Render so many clips, and run tower and VGGish once."""
    tools, seen = (processor.clip_image_processor, processor.feature_extractor), []
    for pixels, sound, asked in map_in_processes(_render_clip, [(*tools, (seed, 3, index)) for index in range(count)]):
        patches = model.vision_encoder(torch.from_numpy(pixels).float())
        audio = model.audio_encoder(torch.from_numpy(sound).float()).embeddings[:, 0]
        seen.append(SeenClip(patches.half(), audio, asked))
    return seen


def teach_to_name(
    model: SimTokenModel,
    processor: SimTokenProcessor,
    names: torch.Tensor,
    seed: int,
    steps: int = 300,
    clips: int = 1500,
    batch: int = 16,
) -> Iterator[dict]:
    """Teach the language model to prompt with the name of the object meant, of `names [13, C]`, or that of nothing;
    tower and SAM stay as they are. Yields a log of `{step, loss, hits, unseen_hits}`, the last one of clips that it
    does not learn from, one in 25.
    """
    rng, seen = np.random.default_rng([seed, 3]), see_clips(model, processor, clips, seed)
    reader, held, known = Reader(model, processor), seen[: max(1, clips // 25)], seen[max(1, clips // 25) :]

    def terms(clips: Sequence[SeenClip] = known) -> dict[str, torch.Tensor]:
        chosen = [clips[index] for index in rng.integers(len(clips), size=batch)]
        asked = [pair for clip in chosen for pair in _ask(rng, clip)]
        texts = [expression.text for expression, _ in asked]
        layout = reader.prompt(texts[0])
        prefixes = [model.embed_prefix(layout, clip.patches.float(), clip.audio) for clip in chosen]
        prompts = model.text_hidden_fcs(reader.read(texts, torch.stack(prefixes)))
        meant = torch.tensor([[name == of for name in NAMES] for _, of in asked])
        loss, hits = distance_to_prompts(prompts, names, meant)
        return {"loss": loss, "hits": hits.float().mean()}

    parts = (model.language_model, model.mm_projector, model.audio_feature_layer, model.text_hidden_fcs)
    for entry in optimize(_learning(*parts), terms, 1e-3, steps, "naming", BETAS):
        with torch.no_grad():
            yield {**entry, "unseen_hits": round(float(terms(held)["hits"]), 4)}


def _render_clip(task: tuple) -> tuple[np.ndarray, np.ndarray, list[tuple[Expression, str | None]]]:
    """Frames and seconds of sound of a clip, as its encoders take them, and its sentences, as `SeenClip` has them."""
    image_processor, feature_extractor, seed = task
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    objects = draw_scene(rng)
    names = [item.category for item in objects]
    asked = [(item, None if item.target is None else names[item.target]) for item in draw_expressions(rng, objects)]
    clip = render_clip(rng, objects=objects)
    pixels = image_processor(list(torch.from_numpy(clip.frames).permute(0, 3, 1, 2)), **AS_TENSORS)["pixel_values"]
    sound = feature_extractor(clip.waveform.mean(0), sampling_rate=16000, return_tensors="pt")["input_features"]
    return pixels.half().numpy(), sound.half().numpy(), asked


def _ask(rng: np.random.Generator, clip: SeenClip) -> list[tuple[Expression, str | None]]:
    """Some sentences about a clip, of each kind as often as `KINDS` says where there are any."""
    by_kind = {kind: [pair for pair in clip.asked if pair[0].kind == kind] for kind in KINDS}
    shares = np.array([share if by_kind[kind] else 0 for kind, share in KINDS.items()])
    kinds = rng.choice(list(KINDS), ASKED, p=shares / shares.sum())
    return [by_kind[kind][rng.integers(len(by_kind[kind]))] for kind in kinds]


def _learning(*modules: nn.Module) -> Iterable[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
