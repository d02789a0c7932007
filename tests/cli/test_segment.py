import json
import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertConfig
from typer.testing import CliRunner

from lavseg.cli import app
from lavseg.data import build_tokenizer, render_clip
from lavseg.media import read_video, write_video
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

TEXTS = ["the red circle", "the object making a sound"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained model that judges every object visible, so that its masks are not blank."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = build_tokenizer()
    config = Sam2LoveConfig.tiny(vocab_size=len(tokenizer))
    torch.manual_seed(0)
    model = Sam2LoveModel(config)
    torch.nn.init.constant_(model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    model.save_pretrained(folder)
    Sam2LoveProcessor.from_config(config, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip of four seconds, one without sound, and a text file."""
    folder = tmp_path_factory.mktemp("clips")
    clip = render_clip(np.random.default_rng(0), 4, (60, 82))
    write_video(folder / "clip.mp4", clip.frames, 1, clip.waveform, 16000)
    write_video(folder / "mute.mp4", clip.frames, 1)
    (folder / "notes.mp4").write_text("no video")
    return folder


def segment(*arguments):
    return CliRunner().invoke(app, ["segment", *map(str, arguments)])


def options(texts, model, out):
    return [*(part for text in texts for part in ("--text", text)), "--model", model, "--out", out]


def check_results(out, clip, texts):
    """Everything that was written fits the clip and itself; returns the summary."""
    decoded = read_video(clip)
    summary = json.loads((out / "result.json").read_text())
    assert [expression["text"] for expression in summary["expressions"]] == texts
    assert summary["frame_times"] == pytest.approx(decoded.frame_times, abs=1e-3)
    for expression in summary["expressions"]:
        paths = sorted((out / expression["folder"]).iterdir())
        assert [path.name for path in paths] == [f"{index:05d}.png" for index in range(len(decoded.frames))]
        masks = np.stack([np.asarray(Image.open(path)) for path in paths])
        assert masks.any() and masks.shape == decoded.frames.shape[:3] and set(np.unique(masks)) <= {0, 255}
        assert expression["area_fractions"] == pytest.approx((masks > 0).mean((1, 2)), abs=1e-5)
        assert len(expression["object_score_logits"]) == len(expression["iou_scores"]) == len(decoded.frames)
    with av.open(str(out / "overlay.mp4")) as video:
        assert video.streams.audio and video.streams.video[0].frames == len(decoded.frames)
        assert float(video.duration / av.time_base) == pytest.approx(len(decoded.frames), abs=0.3)
    return summary


def test_two_expressions_from_the_command_line(checkpoint, clips, tmp_path):
    out = tmp_path / "new" / "out"
    arguments = [str(item) for item in (clips / "clip.mp4", *options(TEXTS, checkpoint, out))]
    done = subprocess.run(
        [sys.executable, "-c", "from lavseg.cli import main; main()", "segment", *arguments],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(text in done.stdout for text in TEXTS)
    check_results(out, clips / "clip.mp4", TEXTS)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_expressions_do_not_depend_on_each_other(checkpoint, clips, tmp_path):
    together = tmp_path / "together"
    assert segment(clips / "clip.mp4", *options(TEXTS, checkpoint, together)).exit_code == 0
    for index, text in enumerate(TEXTS):
        alone = tmp_path / f"alone{index}"
        assert segment(clips / "clip.mp4", *options([text], checkpoint, alone)).exit_code == 0
        for path in sorted((alone / "0").iterdir()):
            assert path.read_bytes() == (together / str(index) / path.name).read_bytes()


@pytest.mark.parametrize("name", ["coffee.mp4", "nasa.mp4"])
def test_real_clips(checkpoint, media, tmp_path, name):
    assert segment(media / name, *options(TEXTS[1:], checkpoint, tmp_path / "out")).exit_code == 0
    check_results(tmp_path / "out", media / name, TEXTS[1:])


def test_an_earlier_result_is_replaced_only_on_demand(checkpoint, clips, tmp_path):
    out = tmp_path / "out"
    assert segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out)).exit_code == 0
    refused = segment(clips / "clip.mp4", *options(TEXTS[:1], checkpoint, out))
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr
    check_results(out, clips / "clip.mp4", TEXTS)
    assert segment(clips / "clip.mp4", *options(TEXTS[:1], checkpoint, out), "--overwrite").exit_code == 0
    check_results(out, clips / "clip.mp4", TEXTS[:1])
    assert not (out / "1").exists() and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_folders_are_never_overwritten(checkpoint, clips, tmp_path):
    (tmp_path / "thesis.tex").touch()
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, tmp_path), "--overwrite")
    assert result.exit_code == 2 and "not overwritten" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def refused(result, out, *words):
    """The command said in one line what is wrong and wrote nothing."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("lavseg segment: ") and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert result.stdout == "" and not out.parent.exists()


@pytest.mark.parametrize(
    ("clip", "texts", "words"),
    [
        ("absent.mp4", TEXTS, ["absent.mp4", "no such file"]),
        ("notes.mp4", TEXTS, ["notes.mp4", "not a media file"]),
        ("mute.mp4", TEXTS, ["mute.mp4", "no sound"]),
        ("clip.mp4", ["the red circle", " "], ["--text", "empty"]),
        ("clip.mp4", [], ["text", "needs an expression"]),
    ],
)
def test_unusable_clips_and_texts(checkpoint, clips, tmp_path, clip, texts, words):
    out = tmp_path / "new" / "out"
    refused(segment(clips / clip, *options(texts, checkpoint, out)), out, *words)


def test_a_hub_model_without_network(clips, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    out = tmp_path / "new" / "out"
    refused(segment(clips / "clip.mp4", *options(TEXTS, "org/no-such-model", out)), out, "org/no-such-model", "Hub")


def test_a_model_folder_that_does_not_exist(clips, tmp_path):
    out, model = tmp_path / "new" / "out", tmp_path / "absent"
    refused(segment(clips / "clip.mp4", *options(TEXTS, model, out)), out, str(model), "no such folder")


def spoil_nothing_there(folder):
    for path in folder.iterdir():
        path.unlink()


def spoil_architecture(folder):
    BertConfig().save_pretrained(folder)


def spoil_unknown_type(folder):
    (folder / "config.json").write_text('{"model_type": "sam9"}')


def spoil_weights_cut(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])


def spoil_weights_absent(folder):
    (folder / "model.safetensors").unlink()


def spoil_weights_of_other_sizes(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))


def spoil_missing_weights(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "presence_head": True}))


def spoil_processor(folder):
    (folder / "processor_config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_nothing_there, "no config.json"),
        (spoil_architecture, "'bert'"),
        (spoil_unknown_type, "sam9"),
        (spoil_weights_cut, "weights"),
        (spoil_weights_absent, "model.safetensors"),
        (spoil_weights_of_other_sizes, "weights"),
        (spoil_missing_weights, "prompter.presence"),
        (spoil_processor, "processor"),
    ],
)
def test_unusable_checkpoints(checkpoint, clips, tmp_path, spoil, words):
    model, out = tmp_path / "model", tmp_path / "new" / "out"
    model.mkdir()
    for path in checkpoint.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    spoil(model)
    refused(segment(clips / "clip.mp4", *options(TEXTS, model, out)), out, str(model), words)


@pytest.mark.parametrize("device", ["toaster", "cuda:99"])
def test_an_unusable_device(checkpoint, clips, tmp_path, device):
    out = tmp_path / "new" / "out"
    refused(segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out), "--device", device), out, device)


def test_out_under_a_file(checkpoint, clips):
    out = clips / "clip.mp4" / "out"
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out))
    assert result.exit_code == 2 and str(clips / "clip.mp4") in result.stderr


def test_nothing_is_left_when_writing_fails(checkpoint, clips, tmp_path, monkeypatch):
    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lavseg.inference.segment_file.write_video", full_disk)
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, tmp_path / "out"))
    assert result.exit_code == 2 and "No space left" in result.stderr
    assert not any(tmp_path.iterdir())
