import numpy as np
import torch
from tiny.scores import blanker, silencer

from lavseg.data import ClipCollator, load_ref_avs


def test_taking_sound_or_words_away(tiny_processor, ref_avs):
    processor = tiny_processor
    rows = load_ref_avs(ref_avs, "test_s").select(range(2))
    inputs = ClipCollator(processor)(list(rows))
    before = {name: inputs[name].clone() for name in ("input_features", "input_ids")}
    silencer(processor)(inputs)
    silent = processor([np.zeros((32, 40, 3), np.uint8)] * 3, np.zeros(3 * 16000), "a", sampling_rate=16000)
    assert torch.equal(inputs["input_features"][0], silent["input_features"][0])
    assert not torch.equal(inputs["input_features"], before["input_features"])
    blanker(processor)(inputs)
    real = inputs["attention_mask"].bool()
    special = {processor.tokenizer.bos_token_id, processor.tokenizer.eos_token_id}
    assert set(inputs["input_ids"][real].tolist()) == special
    assert inputs["input_ids"].shape == before["input_ids"].shape
