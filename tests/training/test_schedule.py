import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.data import ClipCollator
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.training import LavsegTrainer, LavsegTrainingArguments

POLY = {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 0.9, "lr_end": 0.0}}


def make_trainer(tmp_path, behavior="paper", **arguments):
    config = tiny_config(AuralSam2Config, behavior=behavior, use_text=False)
    arguments = LavsegTrainingArguments(
        str(tmp_path), learning_rate=1e-3, weight_decay=0.05, use_cpu=True, report_to="none", **arguments
    )
    return LavsegTrainer(AuralSam2Model(config), arguments, ClipCollator(AuralSam2Processor.from_config(config)))


def test_the_poly_schedule_falls_to_zero_and_stays_there(tmp_path):
    trainer = make_trainer(tmp_path, audio_learning_rate_factor=0.1, **POLY)
    trainer.create_optimizer_and_scheduler(20)
    rates = []
    for _ in range(24):
        rates.append(trainer.lr_scheduler.get_last_lr())
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    fast, slow = {max(group) for group in rates}, {min(group) for group in rates}
    assert sorted(fast, reverse=True) == pytest.approx([1e-3 * (1 - step / 20) ** 0.9 for step in range(21)])
    assert sorted(slow, reverse=True) == pytest.approx([1e-4 * (1 - step / 20) ** 0.9 for step in range(21)])
    assert rates[20:] == [[0.0] * len(rates[0])] * 4


@pytest.mark.parametrize("behavior, slower", [("paper", True), ("release", False)])
def test_the_audio_encoder_learns_at_a_rate_of_its_own_where_it_trains(tmp_path, behavior, slower):
    trainer = make_trainer(tmp_path, behavior, audio_learning_rate_factor=0.1)
    optimizer = trainer.create_optimizer()
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    trainable = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert len(rate_of) == len(trainable) == sum(len(group["params"]) for group in optimizer.param_groups)
    kinds = (torch.nn.LayerNorm, torch.nn.BatchNorm1d)
    norms = {f"{name}.weight" for name, module in trainer.model.named_modules() if isinstance(module, kinds)}
    for name, parameter in trainable.items():
        heard = name.startswith("audio_encoder.")
        assert rate_of[id(parameter)] == pytest.approx(1e-4 if heard else 1e-3), name
        assert decay_of[id(parameter)] == (0 if name.endswith("bias") or name in norms else 0.05), name
    assert any(name.startswith("audio_encoder.") for name in trainable) == slower


def test_without_a_factor_there_are_no_further_groups(tmp_path):
    assert len(make_trainer(tmp_path).create_optimizer().param_groups) == 2


def test_a_factor_that_is_not_positive_is_refused(tmp_path):
    with pytest.raises(ValueError, match="audio_learning_rate_factor: got 0"):
        LavsegTrainingArguments(str(tmp_path), audio_learning_rate_factor=0)


def test_a_step_moves_the_audio_encoder_by_its_share(tmp_path):
    trainer = make_trainer(tmp_path, audio_learning_rate_factor=0.1, optim="adamw_torch")
    optimizer = trainer.create_optimizer()
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in trainer.model.named_parameters():
        if name.endswith("bias") and parameter.requires_grad:
            moved = (before[name] - parameter).abs().max().item()
            assert moved == pytest.approx(1e-4 if name.startswith("audio_encoder.") else 1e-3, rel=1e-2), name


def test_the_audio_encoder_is_found_in_a_wrapped_model(tmp_path):
    trainer = make_trainer(tmp_path, audio_learning_rate_factor=0.1)
    groups = trainer.create_optimizer(torch.nn.DataParallel(trainer.model)).param_groups
    slow = {id(parameter) for group in groups if group["lr"] == pytest.approx(1e-4) for parameter in group["params"]}
    assert slow == {id(parameter) for parameter in trainer.model.audio_encoder.parameters()}
