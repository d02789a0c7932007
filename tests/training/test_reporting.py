from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import tiny_config
from transformers.integrations import TrackioCallback, WandbCallback

from lavseg.data import ClipCollator, load_ref_avs, write_ref_avs
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.training import LavsegTrainer, LavsegTrainingArguments, reporting
from lavseg.training.reporting import Preview, SampleMasks, check_loggers, showing
from lavseg.visualization import OKABE_ITO


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return load_ref_avs(write_ref_avs(tmp_path_factory.mktemp("reporting"), {"train": 2}, 2, (32, 40)), "train")


def test_a_logger_that_is_not_there_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(reporting, "get_available_reporting_integrations", lambda: ["tensorboard"])
    check_loggers(["tensorboard"])
    for name in ("wandb", "trackio"):
        with pytest.raises(ValueError, match=rf"^report_to: {name} is not installed; pip install {name}, or 'lavseg\["):
            check_loggers(["tensorboard", name])
    with pytest.raises(ValueError, match=r"^report_to: comet_ml is not installed$"):
        LavsegTrainingArguments("run", report_to="comet_ml")
    with pytest.raises(ValueError, match=r"^report_to: 'wandbb' is unknown, accepted are tensorboard, trackio, wandb"):
        check_loggers(["wandbb"])


def test_tensorboard_gets_losses_scores_and_pictures_of_masks(rows, tiny_processor, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    torch.manual_seed(0)
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer)))
    given = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "max_steps": 2, "logging_steps": 1}
    given |= {"save_strategy": "no", "eval_strategy": "steps", "eval_steps": 1, "use_cpu": True}
    args = LavsegTrainingArguments(str(tmp_path), report_to="tensorboard", **given)
    collator = ClipCollator(tiny_processor)
    trainer = LavsegTrainer(model, args, collator, train_dataset=rows, eval_dataset={"val": rows.select([0])})
    trainer.train()
    [folder] = (tmp_path / "runs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert {"train/loss", "train/loss_bce", "eval/val_jaccard"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["eval_val/clip_0"]
    assert [event.step for event in events.Images("eval_val/clip_0")] == [1, 2]


def test_a_picture_has_what_was_found_above_what_is_true(rows, tiny_processor):
    batch = ClipCollator(tiny_processor)([[rows[0], rows[0]]])
    batch["labels"] = torch.zeros_like(batch["labels"])
    batch["labels"][:, :, :, 16:] = 1  # the lower half is true, the left half is found
    masks = torch.full((1, 2, 2, 8, 8), -9.0)
    masks[..., :4] = 9.0
    samples = SampleMasks(tiny_processor)
    samples.update(None, batch, [])  # does not count
    for numbers in ([0, 1], [1, 0], [0]):
        samples.update(AudioVisualSegmentationOutput(pred_masks=masks), batch, numbers)
    samples.update(None, batch, [1])  # further clips are not looked at
    assert samples.compute() == {} and [row for row, *_ in samples.clips] == [0, 1, 0]
    pictures = samples.draw(rows)
    assert len(pictures) == 3
    picture, color = np.asarray(pictures[0]).astype(int), OKABE_ITO[0].astype(int)
    colored = np.abs(picture - color).sum(-1) < 200
    plain = np.asarray(samples_of_nothing(samples, rows)).astype(int)
    changed = (picture != plain).any(-1)
    assert changed.any() and colored[changed].mean() > 0.5
    upper, lower = changed[: len(changed) // 2], changed[len(changed) // 2 :]
    assert upper.any() and lower.any()


def samples_of_nothing(samples, rows):
    """The first picture with empty masks."""
    empty = SampleMasks(samples.processor)
    empty.clips = [(row, *(np.zeros_like(part) for part in masks)) for row, *masks in samples.clips]
    return empty.draw(rows)[0]


@pytest.mark.parametrize(("kind", "name"), [(WandbCallback, "_wandb"), (TrackioCallback, "_trackio")])
def test_other_loggers_are_given_pictures_as_they_take_them(kind, name):
    logged, callback = [], kind.__new__(kind)
    setattr(callback, name, SimpleNamespace(log=logged.append, Image=lambda picture: ("image", picture)))
    picture, callback._initialized = Image.new("RGB", (4, 4)), False
    assert showing([callback]) == []
    callback._initialized = True
    for show in showing([callback]):
        show("eval/clip_0", picture, 7)
    assert logged == [{"eval/clip_0": ("image", picture), "train/global_step": 7}]


def test_the_preview_is_of_a_clip_with_something_to_find_and_of_the_weights_that_are_kept(
    rows, tiny_processor, tmp_path
):
    preview, samples = Preview(), SampleMasks(tiny_processor)
    nothing, something = np.zeros((2, 32, 40), bool), np.ones((2, 32, 40), bool)
    samples.clips = [(0, something, nothing)]
    preview.keep(samples, rows, None)
    assert not preview.save(tmp_path, 3) and not any(tmp_path.iterdir())
    samples.clips.append((1, nothing, something))
    preview.keep(samples, rows, 2)
    assert not preview.save(tmp_path, 3) and preview.save(tmp_path, 2)
    with Image.open(tmp_path / "preview.jpg") as picture:
        assert picture.format == "JPEG" and picture.width > 2 * 200
    preview.keep(samples, rows, None)
    assert preview.save(tmp_path, 3)
