import torch
from tiny.configurations import nano_sam_config, tiny_config
from tiny.fresh_simtoken import FIELDS, fresh_simtoken
from tiny.single_frames import as_inputs, collate_frames, single_frames
from transformers import SamModel

from lavseg import VggishConfig, VggishModel
from lavseg.data import build_tokenizer


def test_all_that_the_loss_reaches_trains(tmp_path):
    SamModel(nano_sam_config(128)).save_pretrained(tmp_path)
    torch.manual_seed(0)
    model, processor = fresh_simtoken(tmp_path, VggishModel(tiny_config(VggishConfig)), build_tokenizer(), **FIELDS)
    model.train()
    frozen = {name.split(".")[0] for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"sam", "audio_encoder", "vision_encoder"}
    assert all(parameter.requires_grad for parameter in model.language_model.parameters())
    assert min(processor.image_processor.image_mean) > 100

    # Single frames, whose prompts differ in length, are padded to one batch.
    frames = single_frames(processor, 3, seed=1)
    lengths = {frame["input_ids"].shape[-1] for frame in frames}
    batch = as_inputs(collate_frames(frames), model.device)
    assert batch["input_ids"].shape == (len(frames), 1, max(lengths)) and min(lengths) < max(lengths)
    with torch.no_grad():
        learned = [
            model(**given).loss_dict["ce"]
            for given in (batch, *(as_inputs(collate_frames([f]), model.device) for f in frames))
        ]
    torch.testing.assert_close(learned[0], torch.stack(learned[1:]).mean(), rtol=1e-3, atol=1e-4)
