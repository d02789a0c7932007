import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from flat_cast import FlatCast
from lavseg.data.synthetic.cast import BAND, DRAWN_BAND, SEEN
from lavseg.data.synthetic.queries import held_out
from lavseg.data.synthetic.scene import draw_objects
from lavseg.data.synthetic.sentences import KINDS, SCENES, build_tokenizer, draw_expressions, draw_scene
from sentence_reader import ANIMALS, INSTRUMENTS, is_at, read


def scene_of(seed, scene=None, num_frames=10, categories=BAND):
    rng = np.random.default_rng(seed)
    objects = draw_scene(rng, scene, num_frames, categories=categories)
    return objects, draw_expressions(rng, objects, combinations=True)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scene=st.sampled_from([None, *SCENES]),
    num_frames=st.sampled_from([1, 2, 5, 6, 10, 12]),
)
def test_sentences_are_true_of_one_object_or_of_none(seed, scene, num_frames):
    objects, expressions = scene_of(seed, scene, num_frames)
    for item in expressions:
        meaning = read(item.text)
        assert item.kind in KINDS
        assert meaning.fitting(objects) == ([] if item.kind == "null" else [item.target]), item
        if item.target is not None:
            category = objects[item.target].category
            assert meaning.noun in (category, "one", "object", "instrument", "animal")
            assert meaning.noun != "instrument" or category in INSTRUMENTS
            assert meaning.noun != "animal" or category in ANIMALS
            assert "play" not in item.text or category in INSTRUMENTS


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scene=st.sampled_from([None, *SCENES]))
def test_kinds_need_what_they_claim(seed, scene):
    objects, expressions = scene_of(seed, scene)
    for item in expressions:
        meaning = read(item.text)
        by_sight = replace(meaning, heard=None, compared=None).fitting(objects)
        by_ear = replace(meaning, noun="one", place=None, motion=None).fitting(objects)
        if item.kind == "words":
            assert by_sight == [item.target]
        elif item.kind == "sound":
            assert by_ear == [item.target] and len(by_sight) > 1
        elif item.kind == "both":
            assert len(by_sight) > 1 and len(by_ear) != 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scene=st.sampled_from([None, *SCENES]))
def test_who_of_two_alike_sounds_need_not_be_known(seed, scene):
    objects, expressions = scene_of(seed, scene)
    for name, count in Counter(item.category for item in objects).items():
        if count != 2:
            continue
        one, two = (index for index, item in enumerate(objects) if item.category == name)
        others = list(objects)
        others[one] = replace(objects[one], seconds=objects[two].seconds, level=objects[two].level)
        others[two] = replace(objects[two], seconds=objects[one].seconds, level=objects[one].level)
        for item in expressions:
            meaning = read(item.text)
            if meaning.name and meaning.compared:
                sides = {place for place in ("left", "right") for i in (one, two) if is_at(objects[i], place)}
                assert sides == {"left", "right"} and item.query.needs_stereo
            else:
                assert meaning.fitting(others) == meaning.fitting(objects), item


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scene=st.sampled_from([None, *SCENES]))
def test_sentences_are_plain_english(seed, scene):
    objects, expressions = scene_of(seed, scene)
    assert len({item.text for item in expressions}) == len(expressions)
    for item in expressions:
        assert re.fullmatch(r"(the|a (?![aeiou])|an (?=[aeiou]))[a-z ]+", item.text) and "  " not in item.text
        assert item.text == item.text.strip()
        sounding = [one.category for one in objects if any(one.seconds)]
        if "of the two instruments" in item.text:
            assert sum(one.category in INSTRUMENTS for one in objects) == 2
        if re.search("louder|quieter", item.text) and sounding and not read(item.text).name:
            assert len(sounding) == 2
        if re.search("loudest|quietest", item.text):
            assert len(sounding) > 2


def test_names_of_a_users_own_read_well():
    categories = ("Orange Ukulele", "unicycle", "umbrella", "wolf", "bus", "man")
    cast, texts = FlatCast(categories, (), ()), set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        texts |= {item.text for item in draw_expressions(rng, draw_scene(rng, None, 6, cast), cast)}
    assert {"an orange ukulele", "a unicycle", "an umbrella", "a wolf"} <= texts
    assert not re.search(r"[A-Z]|wolfs|buss|mans|instrument|play", " ".join(texts))


def test_training_never_words_what_is_held_out():
    said = Counter()
    for seed in range(120):
        rng = np.random.default_rng(seed)
        objects = draw_objects(rng)
        for new in (False, True):
            for item in draw_expressions(rng, objects, combinations=new):
                meaning = read(item.text)
                said.update(
                    {(new, meaning.name, value) for value in (("place", meaning.place), ("motion", meaning.motion))}
                )
                assert new or not held_out(item.query, DRAWN_BAND)
    pairs = {new: {pair[1:] for pair in said if pair[0] == new and pair[1] and pair[2][1]} for new in (False, True)}
    assert len(pairs[True]) == len(SEEN) * 9
    only_tested = pairs[True] - pairs[False]
    assert len(only_tested) == len(SEEN) * 9 // 5
    assert {name for name, _ in only_tested} == set(SEEN) and len({value for _, value in only_tested}) == 9


@pytest.mark.parametrize("scene", SCENES)
def test_scenes_allow_what_is_asked_for(scene):
    for seed in range(6):
        objects, expressions = scene_of(seed, scene, categories=None)
        assert {item.category for item in objects} <= set(SEEN)
        if scene == "silent":
            assert not any(item.sounds for item in objects)
        elif scene == "combination":
            assert any(held_out(item.query, DRAWN_BAND) and item.target is not None for item in expressions)
        else:
            assert any(item.kind == scene for item in expressions)


def test_scenes_for_sound_mostly_have_one_that_sounds():
    alone = [sum(item.sounds for item in scene_of(seed, "sound")[0]) == 1 for seed in range(80)]
    assert 0.5 < np.mean(alone) < 0.8


def test_required_categories_are_shown_and_an_unknown_scene_is_named():
    objects = draw_scene(np.random.default_rng(0), "both", required=["bird"])
    assert "bird" in {item.category for item in objects}
    with pytest.raises(ValueError, match="scene: got 'loud', expected one of words, sound, both"):
        draw_scene(np.random.default_rng(0), "loud")


def test_every_kind_and_every_thing_to_say_occurs():
    kinds, said = Counter(), set()
    for seed in range(120):
        _, expressions = scene_of(seed)
        kinds.update({item.kind for item in expressions})
        meanings = [read(item.text) for item in expressions if item.target is not None]
        said |= {value for item in meanings for value in (item.noun, item.place, item.compared, item.heard)}
        said |= {("moves", item.motion) for item in meanings}
    assert kinds["words"] == kinds["null"] == 120 and kinds["sound"] > 60 and kinds["both"] > 50
    assert said >= {*BAND, "one", "instrument", "animal", "left", "right", "first", "last", "stops", "louder", "softer"}
    motions = {"left", "right", "up", "down", "still", "enters", "leaves"}
    assert {motion for _, motion in (item for item in said if isinstance(item, tuple))} - {None} == motions


def test_what_says_nothing_true_might_be_true_elsewhere():
    """A sentence that fits nothing is not known by its words: each sort of it fits something in other clips."""
    sorts = {True: set(), False: set()}
    for seed in range(150):
        for item in scene_of(seed, ("silent", None, "both")[seed % 3], categories=None)[1]:
            meaning = read(item.text)
            sort = (bool(meaning.name), bool(meaning.place), bool(meaning.motion), meaning.compared, meaning.heard)
            sorts[item.kind == "null"].add(sort)
    assert sorts[True] <= sorts[False] and len(sorts[True]) > 12


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_tokenizer_is_deterministic(tokenizer):
    again = build_tokenizer()
    assert again.get_vocab() == tokenizer.get_vocab()
    text = "the quieter of the two accordions isn’t here"
    assert again(text).input_ids == tokenizer(text).input_ids


def test_tokenizer_reads_any_text(tokenizer):
    for text in ("the red circle", " The “loudest” dogs ", "[Error] 错误: 42", "", "the silent saxophone"):
        ids = tokenizer(text).input_ids
        assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text.strip()


def test_sentences_fit_in_20_tokens_with_one_for_each_category(tokenizer):
    texts = {item.text for seed in range(60) for item in scene_of(seed)[1]}
    assert max(len(tokenizer(text).input_ids) for text in texts) <= 20 and 400 < len(tokenizer) <= 500
    assert all(len(tokenizer(f"the {name}").input_ids) == 4 for name in BAND)


def test_tokenizer_knows_the_words_of_further_texts(tokenizer):
    wider = build_tokenizer("Please respond with a segmentation mask")
    assert wider.tokenize("Please respond, dog") == ["Please", "Ġrespond", ",", "Ġdog"]
    assert len(tokenizer.tokenize("Please respond")) > 2 and len(wider) > len(tokenizer)


def test_tokenizer_survives_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    text = "the one you’re hearing, the louder of the two guitars"
    assert AutoTokenizer.from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids
