"""SimToken's prompt, which holds the answer: how it is worded, and how its tokens are laid out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from transformers import PreTrainedTokenizerBase

# Place holders among the tokens: one for an image, several in a row for a video, and one for the sound.
IMAGE_TOKEN, AUDIO_TOKEN = -200, -300
_PLACES = {"<video>": [IMAGE_TOKEN] * 10, "<image>": [IMAGE_TOKEN], "<audio>": [AUDIO_TOKEN]}
# Values of the attention mask.
READ, LEARNED = 1, 2

_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
_MEDIA = "\nReference Video: <video> \nReference Audio: <audio> \nTarget Image: <image> \n"
_QUESTION = "What is {referent} in the Reference Video? Please respond with segmentation mask in the Target Image."
_ANSWER = "Sure, it is"
# What the released weights know: the style of Vicuna's first version.
RELEASE = f"{_SYSTEM}{_MEDIA}###Human: {_QUESTION}###Assistant:", f" {_ANSWER}", "###"


class PromptWriter:
    """Writes the prompts for one tokenizer.

    Args:
        tokenizer: the language model's.
        style: "release", the released wording, or "chat", the tokenizer's own chat template around the same question.
        seg_token_id: the token [SEG], which the tokenizer need not know.

    Raises:
        ValueError: for another style, or "chat" where the tokenizer has no template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, style: str, seg_token_id: int):
        self.tokenizer, self.seg_token_id = tokenizer, seg_token_id
        question, self._answer, self._end = RELEASE if style == "release" else _chat(tokenizer, style)
        *media, self._question = re.split("(<video>|<audio>|<image>)", question)
        # What puts a blank before text without one swallows one that is there; the released tokenizer puts one anyway.
        self._lead = " " if self._ids("x") == self._ids(" x") else ""
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        self._before = start + [token for part in media for token in _PLACES.get(part) or self.piece(part)]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def piece(self, text: str) -> list[int]:
        """Tokens of a piece of text by itself."""
        return self._ids(self._lead + text)

    def write(self, sentence: str) -> tuple[list[int], list[int]]:
        """Tokens of the prompt about a sentence, and as many marks: `LEARNED` for the answer, `READ` for the rest."""
        question = self._question.replace("{referent}", sentence.lower().rstrip("."))
        asked, read = self.piece(question), self.piece(question + self._answer)
        # The first word of the answer may swallow what the question ends with.
        pairs = enumerate(zip(asked, read, strict=False))
        answered = len(read) - next((place for place, (one, other) in pairs if one != other), len(asked)) + 1
        end = self.piece(self._end) if self._end else []
        tokens = [*self._before, *read, self.seg_token_id, *end]
        marks = [READ] * (len(tokens) - answered - len(end)) + [LEARNED] * answered + [READ] * len(end)
        return tokens, marks


def _chat(tokenizer: PreTrainedTokenizerBase, style: str) -> tuple[str, str, str]:
    if style != "chat":
        raise ValueError(f"prompt: {style!r} was given, accepted are 'release', 'chat'")
    if not tokenizer.chat_template:
        raise ValueError("prompt: 'chat' takes a tokenizer with a chat template, this one has none; use 'release'")
    turn = [{"role": "user", "content": f"{_MEDIA.strip()}\n{_QUESTION}"}]
    question = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    return question.removeprefix(tokenizer.bos_token or ""), _ANSWER, ""


@dataclass(frozen=True)
class ClipPrompt:
    """The prompts of the sentences about a clip.

    prefix: what all of them begin with, up to the last place holder: runs of the same kind, tokens of text or one of
        "video", "image" and "audio".
    suffixes: the rest of each sentence's, tokens of text.
    seg: the place of [SEG] in each rest.
    learned: the places of the answer there, that of [SEG] alone where nothing is said.
    """

    prefix: list[list[int] | str]
    suffixes: list[list[int]]
    seg: list[int]
    learned: list[list[int]]


def lay_out(rows: Sequence[Sequence[int]], marks: Sequence[Sequence[int]], seg_token_id: int, words: int) -> ClipPrompt:
    """Take apart the prompts of the sentences about a clip.

    Args:
        rows: tokens of each, with place holders.
        marks: attention masks of as many entries; 0 for padding, which comes last.
        seg_token_id: the token [SEG].
        words: tokens that the language model has.

    Raises:
        ValueError: when they begin differently, have no [SEG] or no image, or hold other tokens.
    """
    kept = [[token for token, mark in zip(row, of, strict=True) if mark] for row, of in zip(rows, marks, strict=True)]
    marked = [[mark for mark in of if mark] for of in marks]
    places = {IMAGE_TOKEN, AUDIO_TOKEN}
    for token in (token for row in kept for token in row):
        if type(token) is not int or not (0 <= token < words or token in places):
            raise ValueError(f"input_ids: has to hold ids from 0 to {words - 1} and place holders, got {token!r}")
    start = max((index for index, token in enumerate(kept[0]) if token in places), default=-1) + 1
    prefixes = {tuple(row[:start]) for row in kept}
    suffixes = [row[start:] for row in kept]
    strays = any(token in places for row in suffixes for token in row)
    if not start or len(prefixes) > 1 or strays or any(seg_token_id not in row[1:] for row in suffixes):
        raise ValueError(
            "input_ids: prompts about a clip have the same beginning, with place holders for video, sound and image, "
            f"and each a token {seg_token_id} that is segmented; pass them as the processor returns them"
        )
    seg = [len(row) - 1 - row[::-1].index(seg_token_id) for row in suffixes]
    learned = [[place - start for place, mark in enumerate(of) if mark == LEARNED] for of in marked]
    learned = [places or [last] for places, last in zip(learned, seg, strict=True)]
    return ClipPrompt(_runs(kept[0][:start]), suffixes, seg, learned)


def _runs(tokens: list[int]) -> list[list[int] | str]:
    runs = [(kind, list(group)) for kind, group in groupby(tokens, key=lambda token: min(token, 0))]
    names = {AUDIO_TOKEN: ["audio"], IMAGE_TOKEN: ["image", "video"]}
    return [names[kind][min(len(group), len(names[kind])) - 1] if kind else group for kind, group in runs]
