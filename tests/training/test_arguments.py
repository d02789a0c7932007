import logging
from types import SimpleNamespace

import pytest
import torch

from lavseg.training import LavsegTrainingArguments


@pytest.mark.parametrize("given", [{"dice": 0.5, "iou": 0}, '{"dice": 0.5, "iou": 0}'])
def test_loss_weights_are_a_mapping_or_json(tmp_path, given):
    assert LavsegTrainingArguments(str(tmp_path), loss_weights=given).loss_weights == {"dice": 0.5, "iou": 0}


def test_sentences_of_a_clip_have_to_fit_into_a_batch(tmp_path, monkeypatch):
    given = {"output_dir": str(tmp_path), "per_device_train_batch_size": 4}
    assert LavsegTrainingArguments(**given, sentences_per_clip=4).sentences_per_clip == 4
    for value, message in ((5, "5 do not fit into batches of 4"), (0, "has to be a number above 0, got 0")):
        with pytest.raises(ValueError, match=f"^sentences_per_clip: {message}"):
            LavsegTrainingArguments(**given, sentences_per_clip=value)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    LavsegTrainingArguments(**given)
    with pytest.raises(ValueError, match=r"^sentences_per_clip: has to be 1 with DeepSpeed and FSDP"):
        LavsegTrainingArguments(**given, sentences_per_clip=4)


def test_defaults_that_differ_from_transformers(tmp_path):
    args = LavsegTrainingArguments(str(tmp_path))
    assert args.metric_protocols == ["frame"] and args.synthetic_null_probability == 0
    assert args.remove_unused_columns is False and args.ddp_find_unused_parameters is True
    assert args.dataloader_pin_memory == torch.accelerator.is_available()


def test_bf16_without_a_gpu_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    for given in ({"bf16": True}, {"bf16_full_eval": True}):
        with pytest.raises(ValueError, match=r"^bf16: .* on a CPU give --bf16 false$"):
            LavsegTrainingArguments(str(tmp_path), **given)
    assert LavsegTrainingArguments(str(tmp_path), bf16=True, use_cpu=True).bf16


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_for_terminals(tmp_path, monkeypatch, terminal):
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: terminal, write=len, flush=list))
    monkeypatch.setattr("transformers.training_args.logger.getEffectiveLevel", lambda: logging.WARNING)
    assert LavsegTrainingArguments(str(tmp_path)).disable_tqdm is not terminal
    assert LavsegTrainingArguments(str(tmp_path), disable_tqdm=False).disable_tqdm is False


@pytest.mark.parametrize(
    "values, message",
    [
        ({"metric_protocols": ["frames"]}, "metric_protocols.*frames.*ref_avs"),
        ({"metric_protocols": []}, "metric_protocols"),
        ({"remove_unused_columns": True}, "remove_unused_columns"),
        ({"dataloader_persistent_workers": True, "dataloader_num_workers": 1}, "^dataloader_persistent_workers"),
        (
            {"synthetic_null_probability": 0.5, "per_device_train_batch_size": 1, "use_cpu": True},
            "^synthetic_null_probability: got 0.5, takes sentences about other clips of a batch; set per_device_train",
        ),
        ({"early_stopping_patience": 0}, "early_stopping_patience: has to be 1 or more, got 0"),
        ({"early_stopping_patience": 2}, "early_stopping_patience: needs evaluations and what to compare"),
        ({"loss_weights": "{dice: 1}"}, "loss_weights: '{dice: 1}' is not readable as JSON"),
        ({"loss_weights": "0.5"}, "loss_weights: takes weights by name.*got 0.5"),
        ({"loss_weights": [1.0]}, r"loss_weights: takes weights by name.*got \[1.0\]"),
    ],
)
def test_wrong_values_are_refused(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        LavsegTrainingArguments(str(tmp_path), **values)
