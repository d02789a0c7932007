import copy
import math
import os
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import concatenate_datasets
from tiny.configurations import tiny_config
from transformers import ProgressCallback, TrainerCallback, get_linear_schedule_with_warmup

from lavseg.data import ClipCollator, load_ref_avs, write_ref_avs
from lavseg.data.clip_rows import group_by_clip
from lavseg.hub.record import read_record
from lavseg.metrics.protocols import AvsMetric
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.training import LavsegTrainer, LavsegTrainingArguments, TrainingDivergedError
from lavseg.training.progress import LossLinesCallback, LossProgressCallback


@pytest.fixture(scope="module")
def untrained(tiny_processor):
    torch.manual_seed(0)
    return Sam2LoveModel(tiny_config(Sam2LoveConfig, vocab_size=len(tiny_processor.tokenizer)))


@pytest.fixture
def model(untrained):
    return copy.deepcopy(untrained)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("short"), {"train": 3, "test_n": 1}, 3, (32, 40))
    return {split: load_ref_avs(root, split) for split in ("train", "test_n")}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, short):
    """Clips of three and of five frames."""
    root = write_ref_avs(tmp_path_factory.mktemp("long"), {"train": 1}, 5, (32, 40), seed=1)
    return concatenate_datasets([short["train"].select(range(3)), load_ref_avs(root, "train").select(range(2))])


@pytest.fixture
def build(tmp_path, model, tiny_processor, short):
    """Makes a trainer from arguments that differ from these."""

    def make(model=model, eval_dataset=None, folder="run", train_dataset=short["train"], **values):
        defaults = {
            "per_device_train_batch_size": 2,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
        }
        args = LavsegTrainingArguments(str(tmp_path / folder), **{**defaults, **values})
        collator = ClipCollator(tiny_processor)
        return LavsegTrainer(
            model,
            args,
            collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tiny_processor,
        )

    return make


def logged(trainer, name):
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_the_loss_goes_down_and_its_terms_are_logged(build, short):
    trainer = build(max_steps=20, learning_rate=2e-3, train_dataset=short["train"].select([3]))
    trainer.train()
    loss = logged(trainer, "loss")
    assert len(loss) == 20 and np.mean(loss[-5:]) < 0.8 * loss[0]
    terms = zip(logged(trainer, "loss_bce"), logged(trainer, "loss_dice"), strict=True)
    assert [bce + dice for bce, dice in terms] == pytest.approx(loss, rel=1e-5)


def test_loss_weights_are_put_on_the_model_and_recorded(build, model, tmp_path):
    trainer = build(loss_weights={"dice": 0.0, "iou": 0.5}, max_steps=1)
    weights = {"bce": 1.0, "dice": 0.0, "object": 0.0, "iou": 0.5}
    assert model.loss_weights == weights
    trainer.train()
    terms = [logged(trainer, f"loss_{name}")[0] for name in ("bce", "dice", "iou")]
    assert terms[1] == 0 and terms[2] > 0 and logged(trainer, "loss") == pytest.approx([sum(terms)], abs=1e-4)
    trainer.save_model()
    assert read_record(tmp_path / "run").recipe["loss_weights"] == weights
    assert "loss_weights" not in (tmp_path / "run" / "config.json").read_text()


def test_terms_are_averaged_as_the_loss_is(build):
    trainer = build(max_steps=4, logging_steps=2, gradient_accumulation_steps=2, per_device_train_batch_size=1)
    trainer.train()
    terms = zip(logged(trainer, "loss_bce"), logged(trainer, "loss_dice"), strict=True)
    assert [bce + dice for bce, dice in terms] == pytest.approx(logged(trainer, "loss"), rel=1e-5)
    assert len(logged(trainer, "loss")) == 2


def test_only_trainable_parameters_are_optimised(build, model):
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trainer = build(max_steps=2, learning_rate=1e-3, adam_epsilon=1e-12)
    trainer.train()
    optimised = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in optimised) == parameter.requires_grad, name
        assert parameter.requires_grad or torch.equal(parameter, before[name]), name
    assert not torch.equal(model.prompter.seg_tokens, before["prompter.seg_tokens"])


def test_gradients_are_averaged_over_accumulation_steps(build, untrained):
    runs = []
    for size, accumulation in ((4, 1), (2, 2)):
        trainer = build(
            copy.deepcopy(untrained),
            max_steps=1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            optim="sgd",
            learning_rate=0.1,
        )
        trainer.train()
        runs.append(trainer)
    assert logged(runs[0], "loss") == pytest.approx(logged(runs[1], "loss"), rel=1e-5)
    assert logged(runs[0], "grad_norm") == pytest.approx(logged(runs[1], "grad_norm"), rel=1e-3)
    torch.testing.assert_close(runs[0].model.prompter.seg_tokens, runs[1].model.prompter.seg_tokens)


def test_rows_of_a_stream_are_not_taken_together(build, short):
    trainer = build(train_dataset=short["train"].to_iterable_dataset(), max_steps=1, sentences_per_clip=2)
    with pytest.raises(ValueError, match=r"^sentences_per_clip: takes rows .* and no stream; leave it at 1"):
        trainer.train()


def test_no_clip_of_an_evaluation_is_dropped(build, short):
    trainer = build(dataloader_drop_last=True)
    assert not trainer.get_eval_dataloader(short["train"]).drop_last and trainer.args.dataloader_drop_last


@pytest.fixture(scope="module")
def uneven(short):
    """Three, two and one rows about three clips, mixed."""
    groups = sorted(group_by_clip(short["train"], 100), key=len)
    chosen = [groups[-1][:3], groups[-2][:2], groups[0][:1]]
    assert [len(group) for group in chosen] == [3, 2, 1]
    return short["train"].select([chosen[0][0], chosen[1][0], chosen[0][1], chosen[2][0], chosen[1][1], chosen[0][2]])


def test_sentences_taken_together_teach_what_they_teach_one_by_one(build, untrained, uneven):
    runs = []
    for sentences, size, accumulation in ((1, 6, 1), (3, 6, 1), (3, 3, 2), (2, 2, 3)):
        model, frames = copy.deepcopy(untrained), []
        model.image_blocks[0].register_forward_hook(
            lambda block, given, out, frames=frames: frames.append(len(given[0]))
        )
        trainer = build(
            model,
            train_dataset=uneven,
            max_steps=1,
            sentences_per_clip=sentences,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            optim="sgd",
            learning_rate=0.1,
        )
        trainer.train()
        runs.append((trainer, sum(frames)))
    first = runs[0][0]
    for trainer, _ in runs[1:]:
        for name in ("loss", "loss_bce", "loss_dice"):
            assert logged(trainer, name) == pytest.approx(logged(first, name), rel=1e-5)
        assert logged(trainer, "grad_norm") == pytest.approx(logged(first, "grad_norm"), rel=1e-3)
        torch.testing.assert_close(trainer.model.prompter.seg_tokens, first.model.prompter.seg_tokens)
    # A clip's key frame is encoded once for up to so many sentences, and again where a batch ends.
    assert [frames for _, frames in runs] == [6, 3, 3, 4]


def test_rows_taken_together_all_come_once_an_epoch_also_after_an_interruption(build, untrained, uneven, monkeypatch):
    seen, by_clip = [], ClipCollator.by_clip

    def spy(self, rows, sentences):
        seen.append([row["id"] for row in rows])
        return by_clip(self, rows, sentences)

    monkeypatch.setattr(ClipCollator, "by_clip", spy)
    values = {"train_dataset": uneven, "sentences_per_clip": 2, "num_train_epochs": 2}
    whole = build(copy.deepcopy(untrained), folder="whole", save_strategy="steps", save_steps=4, **values)
    whole.train()
    batches = seen.copy()
    assert [len(batch) for batch in batches] == [2] * 6
    for epoch in (batches[:3], batches[3:]):
        assert sorted(row for batch in epoch for row in batch) == sorted(uneven["id"])
    seen.clear()
    resumed = build(copy.deepcopy(untrained), folder="resumed", **values)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-4")
    assert seen[-2:] == batches[-2:] and logged(resumed, "loss") == logged(whole, "loss")
    found = resumed.model.state_dict()
    assert all(torch.equal(found[name], expected) for name, expected in whole.model.state_dict().items())


def test_the_schedule_is_linear_warmup_and_decay(build, model):
    trainer = build(
        max_steps=5, warmup_steps=2, learning_rate=1e-4, lr_scheduler_type="linear", per_device_train_batch_size=1
    )
    trainer.train()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    schedule, expected = get_linear_schedule_with_warmup(optimizer, 2, 5), []
    for _ in range(5):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert logged(trainer, "learning_rate") == pytest.approx(expected)


def test_scores_are_those_of_the_metric(build, model, tiny_processor, mixed, short):
    protocols = ["ref_avs", "aural_sam2"]
    splits = {"seen": mixed, "null": short["test_n"]}
    trainer = build(eval_dataset=splits, per_device_eval_batch_size=3, metric_protocols=protocols)
    found = trainer.evaluate()
    model.eval()
    for split, rows in splits.items():
        metrics = [AvsMetric(protocol) for protocol in protocols]
        for start in range(0, len(rows), 3):
            chunk = [rows[index] for index in range(start, min(start + 3, len(rows)))]
            batch = ClipCollator(tiny_processor)(chunk)
            with torch.no_grad():
                output = model(**batch)
            logits = F.interpolate(tiny_processor.gate_masks(output)[:, 0], batch["labels"].shape[-2:], mode="bilinear")
            for metric in metrics:
                metric.update(logits[batch["label_mask"]], batch["labels"][:, 0][batch["label_mask"]])
        with torch.no_grad():
            losses = [model(**ClipCollator(tiny_processor)([row])).loss.item() for row in rows]
        for metric in metrics:
            for name, value in metric.compute().items():
                assert found[f"eval_{split}_{metric.protocol}_{name}"] == pytest.approx(value, abs=1e-9)
        assert found[f"eval_{split}_loss"] == pytest.approx(sum(losses) / len(losses))
        terms = found[f"eval_{split}_loss_bce"] + found[f"eval_{split}_loss_dice"]
        assert terms == pytest.approx(found[f"eval_{split}_loss"])


def test_masks_are_scaled_as_the_models_method_does(build, model, short, monkeypatch):
    monkeypatch.setattr(model, "scale_masks", lambda masks, size: torch.ones(len(masks), *size))
    assert build(eval_dataset=short["test_n"]).evaluate()["eval_s_ratio"] == 1


def test_evaluation_keeps_no_masks(build, model, short, monkeypatch):
    seen, alive = [], []

    def spy(module, arguments, output):
        alive.append(sum(reference() is not None for reference in seen))
        seen.append(weakref.ref(output.pred_masks))

    frame_sums = AvsMetric.frame_sums

    def spy_on_metric(self, logits, targets, *curve):
        seen.extend([weakref.ref(logits), weakref.ref(targets)])
        return frame_sums(self, logits, targets, *curve)

    monkeypatch.setattr(AvsMetric, "frame_sums", spy_on_metric)
    model.register_forward_hook(spy)
    trainer = build(per_device_eval_batch_size=1, eval_sentences=2)
    output = trainer.predict(short["train"])
    assert len(alive) > len({*short["train"]["clip"]}) and max(alive) == 0
    assert not any(reference() is not None for reference in seen)
    assert output.predictions is None and output.label_ids is None and "test_jaccard" in output.metrics


def test_synthetic_nulls_are_for_training_batches_only(build, short):
    trainer = build(eval_dataset=short["train"], synthetic_null_probability=1.0, per_device_train_batch_size=8)
    plain = ClipCollator(trainer.processing_class)(list(short["train"]))
    shown = plain["labels"].flatten(1).any(1).sum()
    trained = sum(batch["labels"].flatten(1).any(1).sum() for batch in trainer.get_train_dataloader())
    evaluated = sum(batch["labels"].flatten(2).any(2).sum() for batch in trainer.get_eval_dataloader())
    assert trained < shown and evaluated == shown


def test_training_prepares_the_key_frame_alone_for_sam2(build, short):
    trainer = build(eval_dataset=short["train"])
    trained, evaluated = next(iter(trainer.get_train_dataloader())), next(iter(trainer.get_eval_dataloader()))
    assert trained["pixel_values"].shape[1] == 1 and trained["vit_pixel_values"].shape[1] == 3
    assert evaluated["pixel_values"].shape[1] == 3 and "key_frames" not in evaluated


def test_resuming_restores_everything(build, tiny_processor, short):
    """Also the encoders, whose published key names differ from those in memory, and the random choices to come, in the
    epoch and in the next one."""
    torch.manual_seed(1)
    config = tiny_config(Sam2LoveConfig, vocab_size=len(tiny_processor.tokenizer), key_frame="best")
    first, second = Sam2LoveModel(config), Sam2LoveModel(config)
    values = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "synthetic_null_probability": 0.5}
    values["train_dataset"] = short["train"].select(range(6))
    whole = build(first, folder="whole", **values)
    whole.train()
    assert not torch.equal(second.vision_encoder.embeddings.cls_token, first.vision_encoder.embeddings.cls_token)
    resumed = build(second, folder="resumed", **values)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    for (name, expected), found in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(found, expected), name
    assert logged(resumed, "loss") == logged(whole, "loss")


def test_a_stream_is_resumed_where_it_was_also_in_a_later_pass(build, model, short):
    rows = short["train"].select(range(3)).to_iterable_dataset().shuffle(seed=0, buffer_size=3)
    values = {"train_dataset": rows, "max_steps": 4, "per_device_train_batch_size": 1}
    whole = build(copy.deepcopy(model), save_strategy="steps", save_steps=3, folder="whole", **values)
    whole.train()
    resumed = build(folder="resumed", **values)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
    assert logged(resumed, "loss") == logged(whole, "loss") and len({*logged(whole, "loss")}) == 4
    resumed.save_model()


def test_the_disk_keeps_a_checkpoint_before_the_file_that_says_it_is_complete(build, tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync

    def spy(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        flushed.append((path.name, (path.parent / "trainer_state.json").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    build(max_steps=1, save_strategy="steps", save_steps=1).train()
    assert {("optimizer.pt", False), ("scheduler.pt", False), ("rng_state.pth", False)} <= {*flushed}
    assert ("trainer_state.json", True) in flushed


@pytest.mark.parametrize("workers", [0, 1])
def test_a_row_that_cannot_be_decoded_is_named(build, tmp_path, workers):
    root = write_ref_avs(tmp_path / "data", {"train": 1}, 2, (32, 40))
    rows = load_ref_avs(root, "train").select([0])
    for path in (root / "media").glob("*/frames/*"):
        path.write_bytes(path.read_bytes()[:300])
    trainer = build(train_dataset=rows, max_steps=1, dataloader_num_workers=workers)
    with pytest.raises(ValueError, match=f"clip {rows.select_columns('clip')[0]['clip']}: an image cannot be decoded"):
        trainer.train()


def test_nothing_to_resume_from(build):
    with pytest.raises(ValueError, match="no complete checkpoint"):
        build().train(resume_from_checkpoint=True)


def test_a_score_that_is_not_reported_cannot_choose_the_checkpoint(build, short):
    values = {"eval_strategy": "epoch", "metric_protocols": ["frame", "ref_avs"]}
    for name in ("jaccard", "val_jaccard", "loss"):
        with pytest.raises(ValueError, match=r"metric_for_best_model.*val_frame_jaccard"):
            build(eval_dataset={"val": short["train"]}, metric_for_best_model=name, **values)
    for name in ("eval_val_frame_jaccard", "val_loss_dice"):
        build(eval_dataset={"val": short["train"]}, metric_for_best_model=name, **values)


def test_a_stream_to_evaluate_on_is_refused_before_training(build, short):
    stream = short["train"].to_iterable_dataset()
    for refused in (lambda: build(eval_dataset={"val": stream}), lambda: build().evaluate(stream)):
        with pytest.raises(ValueError, match=r"^eval_dataset: takes rows that can be counted"):
            refused()


def test_other_metrics_are_refused(model, tiny_processor, tmp_path):
    args = LavsegTrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(ValueError, match="metric_protocols"):
        LavsegTrainer(model, args, ClipCollator(tiny_processor), compute_metrics=print)


def test_the_progress_bar_is_the_one_with_losses(build):
    def bars(trainer):
        return [found for found in trainer.callback_handler.callbacks if isinstance(found, ProgressCallback)]

    assert not bars(build())
    assert any(isinstance(found, LossLinesCallback) for found in build().callback_handler.callbacks)
    assert [type(bar) for bar in bars(build(disable_tqdm=False))] == [LossProgressCallback]


def test_training_stops_early_where_the_metric_gets_no_better(build, short):
    splits = {"val": short["train"].select([0]), "test_n": short["test_n"]}
    watched = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "val_loss"}
    trainer = build(
        eval_dataset=splits, max_steps=5, early_stopping_patience=1, early_stopping_threshold=1e9, **watched
    )
    trainer.train()
    assert trainer.state.global_step == 2


def poison_after(trainer, step):
    """Weights are NaN once `step` is done, as after a step with gradients that are NaN."""

    class Poison(TrainerCallback):
        def on_optimizer_step(self, args, state, control, model=None, **kwargs):
            if state.global_step + 1 == step:
                torch.nn.init.constant_(model.prompter.seg_tokens, math.nan)

    trainer.add_callback(Poison())
    return trainer


def test_weights_that_are_not_finite_are_not_saved_and_earlier_checkpoints_stay(build, tmp_path):
    trainer = poison_after(build(max_steps=6, save_strategy="steps", save_steps=1, logging_steps=5), 2)
    with pytest.raises(TrainingDivergedError, match=r"prompter.seg_tokens holds NaN .* after step 2, .* learning_rate"):
        trainer.train()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-1"]


def test_a_loss_that_is_not_finite_ends_training_at_the_next_log(build):
    trainer = poison_after(build(max_steps=6, logging_steps=5), 2)
    with pytest.raises(TrainingDivergedError, match=r"the loss is NaN or infinite at step 3, nothing was saved"):
        trainer.train()
    assert trainer.state.global_step == 5 and not any("loss" in entry for entry in trainer.state.log_history)


@pytest.mark.parametrize(("step", "words"), [(1, "the loss is NaN or infinite at step 2"), (2, "seg_tokens holds NaN")])
def test_a_training_without_logs_is_looked_at_in_the_end(build, step, words):
    trainer = poison_after(build(max_steps=2, logging_strategy="no"), step)
    with pytest.raises(TrainingDivergedError, match=words):
        trainer.train()


def test_logs_do_not_hide_losses_and_are_json(build):
    trainer = build()
    assert trainer.args.logging_nan_inf_filter is False
    for norm in (math.inf, math.nan, 2.0):
        trainer.log({"loss": 1.0, "grad_norm": norm, "learning_rate": 0.1})
    assert [entry["grad_norm"] for entry in trainer.state.log_history] == [None, None, 2.0]


@pytest.mark.parametrize("what", ["loss", "weights"])
def test_evaluation_refuses_what_is_not_finite(build, short, what):
    trainer = build(eval_dataset=short["test_n"])
    trainer.evaluate()
    if what == "weights":
        torch.nn.init.constant_(trainer.model.prompter.seg_tokens, math.nan)
        with pytest.raises(ValueError, match="the model gives NaN or infinite values"):
            trainer.evaluate()
        return
    trainer.model.register_forward_hook(lambda model, inputs, outputs: setattr(outputs, "loss", outputs.loss / 0))
    with pytest.raises(ValueError, match="evaluation: loss is inf"):
        trainer.evaluate()
