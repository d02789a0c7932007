import numpy as np
import pytest
import torch
from tiny.configurations import nano_sam_config, tiny_config
from tiny.fresh_simtoken import FIELDS, fresh_simtoken
from tiny.simtoken_lessons import NAMES, Reader, teach_names, teach_to_name, teach_to_read, teach_to_see
from transformers import SamModel

from lavseg import VggishConfig, VggishModel
from lavseg.data import build_tokenizer
from lavseg.models.simtoken.prompt_simtoken import RELEASE


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    SamModel(nano_sam_config(128)).save_pretrained(folder)
    return fresh_simtoken(folder, VggishModel(tiny_config(VggishConfig)), build_tokenizer(*RELEASE), **FIELDS)


def test_what_is_read_after_clips_is_what_the_model_reads(fresh):
    model, processor = fresh
    rng, texts = np.random.default_rng(0), ["the dog", "the guitar that makes a sound"]
    frames = rng.integers(0, 255, (2, 3, 96, 128, 3), dtype=np.uint8)
    sound = rng.normal(size=(2, 3 * 16000)).astype(np.float32)
    given = processor(list(frames), list(sound), text=[texts, texts], sampling_rate=16000)
    with torch.no_grad():
        patches = model.embed_frames(given["pixel_values"].flatten(0, 1), given["clip_pixel_values"].flatten(0, 1))[-1]
        audio = model.audio_encoder(given["input_features"]).embeddings[:, :, 0]
        reader = Reader(model, processor)
        layout = reader.prompt(texts[0])
        prefixes = [model.embed_prefix(layout, *of) for of in zip(patches.unflatten(0, (2, 3)), audio, strict=True)]
        states = reader.read(texts * 2, torch.stack(prefixes))
        prompts = model(**given).prompt_embeddings
    torch.testing.assert_close(model.text_hidden_fcs(states), prompts.flatten(0, 1), rtol=1e-4, atol=1e-5)


def test_each_lesson_changes_its_own_parts(fresh, processes_here):
    model, processor = fresh
    names = torch.nn.Embedding(len(NAMES), model.config.sam_config.prompt_encoder_config.hidden_size)
    told = {"model": model, "processor": processor, "seed": 0, "steps": 2}
    speaking = {"language_model", "mm_projector", "audio_feature_layer", "text_hidden_fcs"}
    for lesson, of, learns in (
        (teach_to_read, {**told, "clips": 2}, {"language_model", "lm_head"}),
        (teach_to_see, {**told, "frames": 8}, {"vision_encoder"}),
        (teach_names, {**told, "model": None, "sam": model.sam, "names": names, "frames": 4}, {"sam"}),
        (teach_to_name, {**told, "names": names.weight.detach(), "clips": 3, "batch": 2}, speaking),
    ):
        before = {name: value.clone() for name, value in model.named_parameters()}
        log = list(lesson(**{name: value for name, value in of.items() if value is not None}))
        assert log[-1]["step"] == 2 and np.isfinite(list(log[-1].values())).all()
        changed = {name.split(".")[0] for name, value in model.named_parameters() if not value.equal(before[name])}
        assert changed == learns, lesson.__name__
