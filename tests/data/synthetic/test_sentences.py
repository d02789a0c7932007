import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lavseg.data.synthetic.scene import COLORS, PLANS, SEEN, UNSEEN, draw_objects
from lavseg.data.synthetic.sentences import KINDS, build_tokenizer, draw_expressions


def fitting(text, objects):
    """Indices of the objects a sentence fits, read from its words alone."""
    words = set(re.findall(r"[\w’-]+", text.lower()))
    colors, categories = words & set(COLORS), words & {*SEEN, *UNSEEN}
    silent = bool(words & {"silent", "isn’t", "no"})
    heard = not silent and bool(words & {"sound", "sounding", "heard", "hear", "hearing"})
    assert len(colors) <= 1 and len(categories) <= 1 and (colors or categories or silent or heard)
    return [
        index
        for index, item in enumerate(objects)
        if (not colors or item.color in colors)
        and (not categories or item.category in categories)
        and (not heard or item.seconds.any())
        and (not silent or not item.seconds.any())
    ]


def sentences_of(seed, plan=None, categories=SEEN):
    rng = np.random.default_rng(seed)
    objects = draw_objects(rng, categories=categories, plan=plan)
    return objects, draw_expressions(rng, objects)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    plan=st.sampled_from([None, *PLANS]),
    categories=st.sampled_from([SEEN, SEEN + UNSEEN, UNSEEN + SEEN[:2]]),
)
def test_sentences_are_true(seed, plan, categories):
    objects, expressions = sentences_of(seed, plan, categories)
    for item in expressions:
        assert item.kind in KINDS
        assert fitting(item.text, objects) == ([] if item.kind == "null" else [item.target]), item


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), plan=st.sampled_from([None, *PLANS]))
def test_kinds_need_what_they_claim(seed, plan):
    objects, expressions = sentences_of(seed, plan)
    for item in expressions:
        if item.kind == "null":
            continue
        target = objects[item.target]
        others = [other for index, other in enumerate(objects) if index != item.target]
        says_color = bool(set(re.findall(r"\w+", item.text)) & set(COLORS))
        if item.kind == "sound":
            assert not says_color and not any(other.sounds for other in others)
        elif item.kind == "both":
            assert any(other.color == target.color for other in others)
            assert any(other.sounds == target.sounds for other in others)
        else:
            assert not re.search("sound|hear|silent", item.text)


def test_every_kind_occurs_often():
    clips = Counter()
    for seed in range(200):
        clips.update({item.kind for item in sentences_of(seed)[1]})
    assert clips["words"] == clips["null"] == 200 and clips["sound"] > 50 and clips["both"] > 60


def test_null_sentences_use_words_that_fit_something_alone():
    hard = 0
    for seed in range(100):
        objects, expressions = sentences_of(seed)
        colors, categories = {item.color for item in objects}, {item.category for item in objects}
        nulls = [item.query for item in expressions if item.kind == "null"]
        hard += any(query.color in colors and query.category in categories for query in nulls)
        hard += any(query.color in colors and query.sounds for query in nulls)
    assert hard > 150


def test_wordings_cover_the_odd_corners_of_the_format_with_few_words():
    texts = {item.text for seed in range(300) for item in sentences_of(seed, categories=SEEN + UNSEEN)[1]}
    for odd in (",", '"', "’"):
        assert any(odd in text for text in texts)
    assert any(text != text.strip() for text in texts)
    assert len({word for text in texts for word in re.findall(r"[\w’-]+", text.lower())}) < 60


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_tokenizer_is_deterministic(tokenizer):
    again = build_tokenizer()
    assert again.get_vocab() == tokenizer.get_vocab()
    text = "the silent plus-sign isn’t here"
    assert again(text).input_ids == tokenizer(text).input_ids


def test_tokenizer_reads_any_text(tokenizer):
    for text in ("the red circle", " The “loudest” dogs ", "[Error] 错误: 42", "", "the silent plus-sign"):
        ids = tokenizer(text).input_ids
        assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text.strip()


def test_sentences_fit_in_25_tokens(tokenizer):
    texts = {item.text for seed in range(100) for item in sentences_of(seed, categories=SEEN + UNSEEN)[1]}
    assert max(len(tokenizer(text).input_ids) for text in texts) <= 25 and len(tokenizer) <= 420


def test_tokenizer_survives_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    text = " The object we’re hearing, the red one "
    assert AutoTokenizer.from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids
