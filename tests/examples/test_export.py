import export
import numpy as np
import pytest
import run_exported
import torch
from tiny.configurations import tiny_config

from lavseg.checkpoint import load_checkpoint
from lavseg.data import render_clip
from lavseg.media import write_video
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from tiny_clips import away_from_zero

TEXTS = ["the red circle", "what sounds"]


@pytest.fixture(scope="module")
def checkpoint(untrained, tmp_path_factory):
    """The folder of a model whose memory matters, and the model with its processor."""
    model, processor = load_checkpoint(untrained)
    folder = tmp_path_factory.mktemp("checkpoint")
    away_from_zero(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder, model.eval(), processor


@pytest.fixture(scope="module")
def programs(checkpoint, tmp_path_factory):
    """The folder of programs for two sentences, as a user writes it."""
    folder = tmp_path_factory.mktemp("programs") / "new"
    export.main([f"--model={checkpoint[0]}", "--sentences=2", f"--out={folder}"])
    return folder


def prepare(processor, frames):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (frames, 40, 56, 3), dtype=np.uint8)
    sound = rng.normal(size=int(16000 * frames * 0.97)).astype(np.float32)
    return processor(video, sound, TEXTS, sampling_rate=16000)


def assert_as_the_model(exported, model, inputs):
    with torch.no_grad():
        expected = model(**inputs)
    found = exported(inputs)
    assert found.keys() == {"pred_masks", "iou_scores", "object_score_logits"}
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name][0], atol=1e-4, rtol=1e-4)
    assert expected.pred_masks.std() > 1e-3


@pytest.mark.parametrize("frames", [1, 3, 10])
def test_the_loop_gives_what_the_model_gives(checkpoint, frames):
    _, model, processor = checkpoint
    parts = export.EncodeImage(model), export.Prompter(model), export.PromptFrame(model, 2), export.TrackFrame(model, 2)
    programs = {name: part.eval() for name, part in zip(run_exported.PROGRAMS, parts, strict=True)}
    exported = run_exported.ExportedModel(export.settings(model, 2), programs)
    assert_as_the_model(exported, model, prepare(processor, frames))


@pytest.mark.slow
def test_programs_give_what_the_model_gives(checkpoint, programs, tmp_path, capsys):
    folder, model, processor = checkpoint
    exported = run_exported.ExportedModel.load(programs)
    for frames in (1, 2, 10):
        assert_as_the_model(exported, model, prepare(processor, frames))
    scene = render_clip(np.random.default_rng(0), 3, (40, 56))
    write_video(tmp_path / "clip.mp4", scene.frames, 1, scene.waveform, 16000)
    given = [f"--programs={programs}", f"--model={folder}", f"--out={tmp_path / 'new' / 'masks.pt'}"]
    run_exported.main([str(tmp_path / "clip.mp4"), *(f"--text={text}" for text in TEXTS), *given])
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == TEXTS
    written = torch.load(tmp_path / "new" / "masks.pt")
    assert written["masks"].shape == (2, 3, 40, 56) and written["masks"].dtype == torch.bool


def test_what_cannot_be_exported_is_said_in_one_line(checkpoint, tmp_path, capsys):
    folder, *_ = checkpoint
    config = tiny_config(SamaAvsConfig)
    SamaAvsModel(config).save_pretrained(tmp_path / "other")
    SamaAvsProcessor.from_config(config).save_pretrained(tmp_path / "other")
    mistakes = {
        "a 'sam2_love' is needed": ["--model", tmp_path / "other"],
        "--sentences: has to be": ["--model", folder],
    }
    for message, given in mistakes.items():
        with pytest.raises(SystemExit, match="2"):
            export.main([*map(str, given), "--sentences=0", f"--out={tmp_path / 'out'}"])
        error = capsys.readouterr().err
        assert message in error.splitlines()[-1] and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_clip_that_does_not_fit_is_refused(checkpoint):
    _, model, processor = checkpoint
    inputs, settings = prepare(processor, 3), export.settings(model, 2)
    for changed, message in (({"frames": 2}, "clip: has 3 frames"), ({"sentences": 1}, "2 sentences were given")):
        with pytest.raises(ValueError, match=message):
            run_exported.ExportedModel({**settings, **changed}, {}).padded(inputs)
