import re

import pytest

from lavseg.data import build_tokenizer
from lavseg.models.simtoken.prompt_simtoken import AUDIO_TOKEN, IMAGE_TOKEN, LEARNED, READ, PromptWriter, lay_out

SEG = 500
CHAT = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}assistant: "


def tokenizer(template=None):
    made = build_tokenizer()
    made.chat_template = template
    return made


def written(writer, sentence):
    """A prompt in letters."""
    tokens, marks = writer.write(sentence)
    shown = {IMAGE_TOKEN: "<image>", AUDIO_TOKEN: "<audio>", SEG: "[SEG]"}
    parts = [shown.get(token) or writer.tokenizer.decode([token]) for token in tokens]
    answer = "".join(part for part, mark in zip(parts, marks, strict=True) if mark == LEARNED)
    return "".join(parts), answer


def test_the_released_prompt():
    text, answer = written(PromptWriter(tokenizer(), "release", SEG), "The Dog...")
    assert text == (
        "<s>A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions.\nReference Video: " + 10 * "<image>" + " \nReference "
        "Audio: <audio> \nTarget Image: <image> \n###Human: What is the dog in the Reference Video? Please respond "
        "with segmentation mask in the Target Image.###Assistant: Sure, it is[SEG]###"
    )
    assert answer == " Sure, it is[SEG]"


def test_a_chat_template():
    text, answer = written(PromptWriter(tokenizer(CHAT), "chat", SEG), "the dog")
    question = "What is the dog in the Reference Video? Please respond with segmentation mask in the Target Image."
    assert text.startswith("<s>user: Reference Video: ") and f"\n{question}</s>assistant: Sure, it is[SEG]" in text
    assert answer.strip() == "Sure, it is[SEG]" and text.count("<s>") == 1


class Words:
    """Stands in for a tokenizer whose tokens are words, each with the blank before it."""

    bos_token = bos_token_id = None
    chat_template = "given below"

    def __init__(self):
        self.known = []

    def __call__(self, text, add_special_tokens):
        words = re.findall(r" ?\w+|.", text, re.DOTALL)
        self.known += [word for word in words if word not in self.known]
        return {"input_ids": [self.known.index(word) for word in words]}

    def apply_chat_template(self, turns, tokenize, add_generation_prompt):
        return f"{turns[0]['content']}\nassistant: "


def test_all_words_of_the_answer_are_learned():
    """Also the first, which swallows the blank that the question ends with."""
    words = Words()
    tokens, marks = PromptWriter(words, "chat", SEG).write("the dog")
    learned = [token for token, mark in zip(tokens, marks, strict=True) if mark == LEARNED]
    assert learned[-1] == SEG and [words.known[token] for token in learned[:-1]] == [" Sure", ",", " it", " is"]


def test_a_sentence_holds_no_place():
    writer = PromptWriter(tokenizer(), "release", SEG)
    plain, _ = writer.write("the dog")
    for sentence in ("the <image> dog", "<video>", "{referent}"):
        tokens, marks = writer.write(sentence)
        assert [tokens.count(place) for place in (IMAGE_TOKEN, AUDIO_TOKEN)] == [11, 1]
        assert marks.count(LEARNED) == writer.write("the dog")[1].count(LEARNED)
        assert tokens[: plain.index(AUDIO_TOKEN)] == plain[: plain.index(AUDIO_TOKEN)]


@pytest.mark.parametrize(
    ("style", "message"),
    [("letter", "prompt: 'letter' was given, accepted are 'release', 'chat'"), ("chat", "this one has none; use")],
)
def test_other_styles_are_refused(style, message):
    with pytest.raises(ValueError, match=message):
        PromptWriter(tokenizer(), style, SEG)


V, S, A = IMAGE_TOKEN, SEG, AUDIO_TOKEN
START = [1, V, V, 2, A, 3, 4, V]


def test_prompts_are_laid_out():
    rows = [[*START, 5, 6, S, 9], [*START, 7, S, 9, 0]]
    marks = [[*[READ] * 9, LEARNED, LEARNED, READ], [*[READ] * 11, 0]]
    prompt = lay_out(rows, marks, SEG, SEG + 1)
    assert prompt.prefix == [[1], "video", [2], "audio", [3, 4], "image"]
    assert prompt.suffixes == [[5, 6, S, 9], [7, S, 9]]
    assert prompt.seg == [2, 1] and prompt.learned == [[1, 2], [1]]


@pytest.mark.parametrize(
    "rows",
    [
        [[*START, 5, 6]],  # nothing is segmented
        [[*START, S]],  # nothing comes before it
        [[1, 2, 5, S]],  # no place holder
        [[*START, 5, S], [8, *START[1:], 5, S]],  # they begin differently
        [[*START, 5, S], [*START, 5, V, S]],
        [[*START, 501, S]],
        [[*START, -5, S]],
    ],
)
def test_other_prompts_are_refused(rows):
    with pytest.raises(ValueError, match=r"^input_ids: "):
        lay_out(rows, [[READ] * len(row) for row in rows], SEG, SEG + 1)
