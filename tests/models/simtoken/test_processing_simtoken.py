import logging

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import AutoProcessor, CLIPImageProcessor

from lavseg import SimTokenConfig, SimTokenModel, SimTokenProcessor
from lavseg.data import build_tokenizer

TOKENIZER = build_tokenizer()
CONFIG = tiny_config(SimTokenConfig, len(TOKENIZER))


@pytest.fixture
def processor():
    return SimTokenProcessor.from_config(CONFIG, TOKENIZER)


def frame(height, width):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))


def test_frames_for_sam_and_for_clip(processor):
    image = frame(90, 120)
    inputs = processor.image_inputs([image])
    pil = Image.fromarray(image.permute(1, 2, 0).numpy())
    scaled = torch.tensor(np.array(pil.resize((128, 96), Image.BILINEAR))).permute(2, 0, 1).float()
    mean, std = torch.tensor([113.263, 99.370, 92.492]), torch.tensor([64.274, 61.068, 58.626])
    expected = (scaled - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(inputs["pixel_values"][0][:, :96], expected, atol=1e-6, rtol=1e-6)
    assert not inputs["pixel_values"][0][:, 96:].any()
    # The middle square: what is left and right of it is not seen.
    changed = image.clone()
    changed[..., :14] = changed[..., -14:] = 0
    other = processor.image_inputs([changed])
    assert inputs["clip_pixel_values"].shape == (1, 3, 56, 56)
    torch.testing.assert_close(inputs["clip_pixel_values"][..., 2:-2], other["clip_pixel_values"][..., 2:-2])
    assert not torch.equal(inputs["pixel_values"], other["pixel_values"])


def test_sam2_is_given_whole_frames_as_squares(processor, tmp_path):
    config = tiny_config(SimTokenConfig, len(TOKENIZER), sam_config=nano_sam2_config(128))
    SimTokenProcessor.from_config(config, TOKENIZER).save_pretrained(tmp_path)
    on_sam2, image = AutoProcessor.from_pretrained(tmp_path), frame(90, 120)
    found = on_sam2.image_inputs([image])
    assert found["pixel_values"].shape == (1, 3, 128, 128) and found["pixel_values"][..., 100:, :].any()
    assert torch.equal(found["clip_pixel_values"], processor.image_inputs([image])["clip_pixel_values"])
    # Of squares no part is padding: rows of the lower quarter stay.
    logits = torch.full((1, 1, 1, 32, 32), -1.0)
    logits[..., 24:, :] = 1
    below = [each.post_process_masks(logits, [(90, 120)])[0].any() for each in (processor, on_sam2)]
    assert below == [False, True]


def test_sentences_become_prompts_of_the_clips(processor):
    inputs = processor.text_inputs([["The dog.", "what sounds"], ["the louder of the two dogs", "the cat"]])
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape and inputs["input_ids"].shape[:2] == (2, 2)
    for clip, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        for row, marks in zip(clip, mask, strict=True):
            assert (row == CONFIG.seg_token_id).sum() == 1 and set(marks.tolist()) <= {0, 1, 2}
            assert (row[marks == 0] == TOKENIZER.pad_token_id).all()
    assert torch.equal(*processor.text_inputs([["The dog.", "the dog"]])["input_ids"][0])
    with pytest.raises(ValueError, match=r"^text: every clip of a batch .* \[1, 2\]"):
        processor.text_inputs([["a"], ["b", "c"]])


def test_long_sentences_are_cut_with_a_warning_and_the_prompt_is_whole(processor, caplog):
    logging.getLogger("transformers").propagate = True
    sentence = "the dog that is louder than the other dog on the left"
    cut = processor.text_inputs([[sentence]], max_length=3)["input_ids"]
    assert "reads the first 3" in caplog.text
    kept = TOKENIZER.decode(TOKENIZER(sentence, add_special_tokens=False)["input_ids"][:3])
    assert torch.equal(cut, processor.text_inputs([[kept]])["input_ids"])
    with pytest.raises(ValueError, match=r"^processor: unknown key 'padding'"):
        processor([frame(60, 80).permute(1, 2, 0).numpy()], np.zeros(16000), sentence, 16000, padding=True)


def test_the_statistics_of_another_tower_and_a_chat_are_kept(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}\n"
    own = CLIPImageProcessor(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4])
    made = SimTokenProcessor.from_config(CONFIG, tokenizer, 20, clip_image_processor=own, prompt="chat")
    assert list(made.clip_image_processor.image_mean) == [0.5, 0.4, 0.3]
    made.save_pretrained(tmp_path)
    found = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(found, SimTokenProcessor) and (found.prompt, found.max_text_length) == ("chat", 20)
    assert torch.equal(found.text_inputs([["the dog"]])["input_ids"], made.text_inputs([["the dog"]])["input_ids"])
    given = [frame(60, 80)]
    for name, value in made.image_inputs(given).items():
        assert torch.equal(value, found.image_inputs(given)[name])


@torch.no_grad()
def test_the_read_out_does_not_hang_on_what_the_tokenizer_knows_of_seg(processor):
    """The tokenizer may hold [SEG] or not: the blank before it is no token of its own."""
    knows = build_tokenizer()
    knows.add_tokens(["[SEG]"])
    assert len(knows) == len(TOKENIZER) + 1
    other = SimTokenProcessor.from_config(CONFIG, knows)
    sentence = [["the dog"]]
    assert torch.equal(other.text_inputs(sentence)["input_ids"], processor.text_inputs(sentence)["input_ids"])
    torch.manual_seed(0)
    model, clip = SimTokenModel(CONFIG).eval(), [frame(60, 80).permute(1, 2, 0).numpy()]
    masks = processor.post_process_masks(model(**processor(clip, np.zeros(16000), "it", 16000)), [(60, 80)])
    assert masks[0].shape == (1, 60, 80)
