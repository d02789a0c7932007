import pytest
import torch
from tiny.configurations import tiny_config
from transformers import AutoModel

from lavseg.data import CLASSES, ClipCollator, load_avsbench, load_ref_avs, write_avsbench, write_ref_avs
from lavseg.models.aural_sam2 import (
    AuralSam2Config,
    AuralSam2ForSemanticSegmentation,
    AuralSam2Model,
    AuralSam2Processor,
)
from lavseg.training import LavsegTrainer, LavsegTrainingArguments


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("clips"), {"train": 2, "test_n": 1}, 3, (32, 40))
    return {split: load_ref_avs(root, split) for split in ("train", "test_n")}


@pytest.mark.parametrize("behavior", ["release", "paper"])
def test_the_trainer_lowers_the_loss_and_its_checkpoint_comes_back(clips, tokenizer, tmp_path, behavior):
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, len(tokenizer), behavior=behavior, dropout=0.0)
    processor = AuralSam2Processor.from_config(config, tokenizer)
    args = LavsegTrainingArguments(
        str(tmp_path),
        max_steps=4,
        learning_rate=1e-3,
        logging_steps=1,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=2,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = LavsegTrainer(
        AuralSam2Model(config),
        args,
        ClipCollator(processor),
        train_dataset=clips["train"].select(range(2)),
        eval_dataset=clips["test_n"].select(range(1)),
        processing_class=processor,
    )
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert {f"loss_{name}" for name in ("focal", "dice", "iou", "object", "contrastive")} <= logs[0].keys()
    assert logs[-1]["loss"] < logs[0]["loss"]
    scores = trainer.evaluate()
    assert scores["eval_loss_object"] > 0

    trainer.save_model(str(tmp_path / "model"))
    loaded = AutoModel.from_pretrained(tmp_path / "model").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in trainer.model.state_dict().items())


def test_the_trainer_fits_a_class_head_to_masks_that_stay(tmp_path):
    torch.manual_seed(0)
    root = write_avsbench(tmp_path / "data", {"v1m": {"train": 2, "val": 1}}, (32, 40))
    config = tiny_config(AuralSam2Config, use_text=False, num_labels=len(CLASSES), dropout=0.0)
    model = AuralSam2ForSemanticSegmentation(config)
    before = {name: value.clone() for name, value in model.fuser.state_dict().items()}
    args = LavsegTrainingArguments(
        str(tmp_path / "run"),
        max_steps=3,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
        logging_steps=1,
        per_device_train_batch_size=2,
        eval_strategy="steps",
        eval_steps=3,
        save_steps=3,
        load_best_model_at_end=True,
        metric_for_best_model="val_loss",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = LavsegTrainer(
        model,
        args,
        ClipCollator(AuralSam2Processor.from_config(config), class_labels=True),
        train_dataset=load_avsbench(root, "v1m", "train"),
        eval_dataset={"val": load_avsbench(root, "v1m", "val")},
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] and trainer.state.best_metric > 0
    assert all(torch.equal(value, before[name]) for name, value in model.fuser.state_dict().items())


@pytest.mark.parametrize("behavior", ["release", "paper"])
def test_checkpointing_keeps_little_of_a_frame_and_changes_no_gradient(behavior):
    """On five frames the object pointers of earlier frames bring a gradient through the attention to the memory."""
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, use_text=False, behavior=behavior)
    state = AuralSam2Model(config).state_dict()
    pixels, sounds = torch.randn(1, 5, 3, 128, 128), torch.randn(1, 5, 2, 96, 64)
    labels = torch.zeros(1, 5, 128, 128, dtype=torch.uint8)
    labels[..., 32:64, 32:64] = 1
    models, sizes = [], []
    for checkpointing in (False, True):
        model, kept = AuralSam2Model(config), {}
        model.load_state_dict(state)
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.train()
        known = {value.data_ptr() for value in (*model.parameters(), *model.buffers(), pixels, sounds)}

        def keep(value, kept=kept, known=known):
            if value.data_ptr() not in known:
                kept[value.untyped_storage().data_ptr()] = value
            return value

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            loss = model(pixel_values=pixels, input_features=sounds, labels=labels).loss
        sizes.append(sum(value.untyped_storage().nbytes() for value in kept.values()))
        loss.backward()
        models.append(model)
    plain, checkpointed = models
    for name, parameter in checkpointed.named_parameters():
        expected = plain.get_parameter(name).grad
        assert (parameter.grad is None) == (expected is None), name
        if expected is not None:
            torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-6, msg=name)
    for name, value in checkpointed.named_buffers():
        assert torch.equal(value, plain.get_buffer(name)), name
    assert sizes[1] < 0.5 * sizes[0]
