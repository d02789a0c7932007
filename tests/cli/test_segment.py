import json
import os
import shutil
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import BertConfig
from typer.testing import CliRunner

from lavseg.checkpoint import load_checkpoint
from lavseg.cli import app
from lavseg.data import build_tokenizer, render_clip
from lavseg.inference import segment_file
from lavseg.inference.mask_files import PngMasks
from lavseg.inference.segment_video import segment_video
from lavseg.media import read_video, write_video
from lavseg.models.sam2_love import Sam2LoveModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from marked_clips import RATE, Writer, steady
from saved_clips import decode_rle, save_checkpoint, save_clips

TEXTS = ["the red circle", "the object making a sound"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return save_clips(tmp_path_factory.mktemp("clips"))


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
    out, model = tmp_path / "new" / "out", shutil.copytree(checkpoint, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "notice": "a toy of this test"}))
    arguments = [str(item) for item in (clips / "clip.mp4", *options(TEXTS, model, out))]
    done = subprocess.run(
        [sys.executable, "-c", "from lavseg.cli import main; main()", "segment", *arguments],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, f"{model}: a toy of this test\n")
    assert all(text in done.stdout for text in TEXTS)
    check_results(out, clips / "clip.mp4", TEXTS)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_is_not_found_is_worded_so(checkpoint, clips, tmp_path, monkeypatch):
    empty = lambda processor, logits, size, threshold: np.zeros((*logits.shape[:2], *size), bool)  # noqa: E731
    monkeypatch.setattr("lavseg.inference.frame_predictions.masks_of_size", empty)
    done = segment(clips / "clip.mp4", *options(TEXTS[:1], checkpoint, tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'out' / '0'}: {TEXTS[0]} (not found, all 4 masks are empty)\n"


def test_silence_and_what_is_left_out_are_said_once(checkpoint, clips, tmp_path):
    clip = tmp_path / "silent.mkv"
    silence = np.zeros((1, 2 * RATE), np.float32)
    Writer(clip).video(steady(2, 5), rate=5, codec="ffv1").video(steady(2, 5), rate=5, codec="ffv1").sound(
        silence
    ).save()
    done = segment(clip, *options(TEXTS[:1], checkpoint, tmp_path / "out"))
    assert done.exit_code == 0 and done.stderr.splitlines() == [
        f"lavseg segment: {clip}: holds 2 streams of video; stream 0 is taken",
        f"lavseg segment: {clip}: the sound is silent throughout",
    ]
    assert json.loads((tmp_path / "out" / "result.json").read_text())["warnings"] == ["the sound is silent throughout"]
    done = segment(clips / "clip.mp4", *options(TEXTS[:1], checkpoint, tmp_path / "other"))
    assert done.stderr == "" and json.loads((tmp_path / "other" / "result.json").read_text())["warnings"] == []


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


@pytest.mark.parametrize("beside", [[], ["result.json", "overlay.mp4", "0"]])
def test_other_folders_are_never_overwritten(checkpoint, clips, tmp_path, beside):
    for name in ("thesis.tex", *beside):
        (tmp_path / name).touch()
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, tmp_path), "--overwrite")
    assert result.exit_code == 2 and "not overwritten" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", *beside}


def test_a_result_is_not_replaced_by_one_of_its_own_video(checkpoint, clips, tmp_path):
    out = tmp_path / "out"
    assert segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out)).exit_code == 0
    result = segment(out / "overlay.mp4", *options(TEXTS, checkpoint, out), "--overwrite")
    assert result.exit_code == 2 and "not overwritten" in result.stderr
    check_results(out, clips / "clip.mp4", TEXTS)


def test_the_current_folder_is_not_replaced(checkpoint, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, "."))
    assert result.exit_code == 2 and "folder of this command" in result.stderr and not any(tmp_path.iterdir())


def test_a_link_to_a_folder_stays_a_link(checkpoint, clips, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert segment(clips / "clip.mp4", *options(TEXTS, checkpoint, tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out").is_symlink() and (tmp_path / "disk" / "result.json").is_file()


def test_a_sentence_that_is_cut_is_named(checkpoint, clips, tmp_path, caplog):
    text = "the red circle " * 20
    assert segment(clips / "clip.mp4", *options([text], checkpoint, tmp_path / "out")).exit_code == 0
    assert any("reads the first 25" in message for message in caplog.messages)


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


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "meta"])
def test_an_unusable_device(checkpoint, clips, tmp_path, device):
    out = tmp_path / "new" / "out"
    refused(segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out), "--device", device), out, device)


def test_out_under_a_file(checkpoint, clips):
    out = clips / "clip.mp4" / "out"
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out))
    assert result.exit_code == 2 and str(clips / "clip.mp4") in result.stderr


def test_formats_hold_the_same_masks_and_json_is_the_summary(checkpoint, clips, tmp_path):
    outs = {kind: tmp_path / kind for kind in ("png", "rle", "npz")}
    for kind, out in outs.items():
        result = segment(clips / "clip.mp4", *options(TEXTS[:1], checkpoint, out), "--format", kind, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == json.loads((out / "result.json").read_text())
    found = {
        "png": [np.asarray(Image.open(path)) > 0 for path in sorted((outs["png"] / "0").iterdir())],
        "rle": [decode_rle(rle) for rle in json.loads((outs["rle"] / "0.json").read_text())],
        "npz": [*np.load(outs["npz"] / "0.npz").values()],
    }
    assert np.stack(found["png"]).any()
    np.testing.assert_array_equal(found["png"], found["rle"])
    np.testing.assert_array_equal(found["png"], found["npz"])
    assert json.loads(result.stdout)["expressions"][0]["file"] == "0.npz"


def save_st_bava(folder, fusion="st_bava"):
    """An untrained ST-BAVA with its processor."""
    torch.manual_seed(0)
    config = tiny_config(StBavaConfig, spatial_mode="gate", fusion=fusion)
    StBavaModel(config).save_pretrained(folder)
    StBavaProcessor.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    return save_st_bava(tmp_path_factory.mktemp("st_bava"))


def test_attention_maps_are_drawn_over_the_frames(listener, clips, tmp_path):
    result = segment(clips / "clip.mp4", *options([], listener, tmp_path / "out"), "--attention")
    assert result.exit_code == 0, result.output
    drawn = read_video(tmp_path / "out" / "attention.mp4")
    assert len(drawn.frames) == 4 and drawn.waveform is not None and drawn.frames.shape[2] > 2 * 240
    assert "sounding objects" in result.stdout


def test_attention_maps_of_every_text_are_drawn(checkpoint, clips, tmp_path):
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, tmp_path / "out"), "--attention")
    assert result.exit_code == 0, result.output
    drawn = read_video(tmp_path / "out" / "attention.mp4")
    assert drawn.frames.shape[1] > len(TEXTS) * 100 and drawn.frames[0].std() > 0


def test_attention_of_a_method_without_maps(clips, tmp_path):
    model, out = save_st_bava(tmp_path / "without", "none"), tmp_path / "new" / "out"
    refused(segment(clips / "clip.mp4", *options([], model, out), "--attention"), out, "no attention maps")


@pytest.mark.parametrize("fps", ["0.5", "2"])
def test_rates_the_clip_does_not_have(checkpoint, clips, tmp_path, fps):
    out = tmp_path / "new" / "out"
    refused(segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out), "--fps", fps), out, f"is {fps}; give 1")


def test_an_unknown_format(checkpoint, clips, tmp_path):
    assert segment(clips / "clip.mp4", *options(TEXTS, checkpoint, tmp_path / "out"), "--format", "gif").exit_code == 2


def save_follower(folder, tokenizer=None):
    """A method that takes a user's prompts, beside sentences if it has a tokenizer."""
    torch.manual_seed(0)
    reads = {} if tokenizer is None else {"vocab_size": len(tokenizer), "use_text": True}
    config = tiny_config(SamaAvsConfig, sam_config=nano_sam2_config(128), **reads)
    SamaAvsModel(config).save_pretrained(folder)
    SamaAvsProcessor.from_config(config, *([tokenizer] if reads else [])).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def follower(tmp_path_factory):
    return save_follower(tmp_path_factory.mktemp("follower"))


def test_points_boxes_and_masks_show_the_object(follower, clips, tmp_path):
    mask = np.zeros((60, 82), np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    shown = (
        "--point",
        "2.0:40,30",
        "--negative",
        "2.3:5,6",
        "--box",
        "3.6:5,4,50,40",
        "--mask",
        f"3:{tmp_path}/mask.png",
    )
    out = tmp_path / "out"
    result = segment(clips / "clip.mp4", *options([], follower, out), *shown)
    assert (result.exit_code, result.stderr) == (0, "")
    nothing = np.full((60, 82), np.nan)
    model, processor = load_checkpoint(follower)
    frames = segment_video(
        model.eval(),
        processor,
        clips / "clip.mp4",
        input_points=[[[[[40, 30], [5, 6]], [[0, 0], [0, 0]], [[5, 4], [50, 40]]]]],
        input_labels=[[[[1, 0], [-1, -1], [2, 3]]]],
        input_masks=np.stack([nothing, mask > 0, nothing])[None, None],
        prompt_frames=[1, 2, 3],
    )
    found = np.stack([np.asarray(Image.open(path)) > 0 for path in sorted((out / "0").iterdir())])
    np.testing.assert_array_equal(found, np.stack([frame.masks[0] for frame in frames]))
    [expression] = json.loads((out / "result.json").read_text())["expressions"]
    assert expression["prompts"] == [
        {"kind": "point", "seconds": 2, "frame": 1, "places": [[40, 30]]},
        {"kind": "negative", "seconds": 2.3, "frame": 1, "places": [[5, 6]]},
        {"kind": "box", "seconds": 3.6, "frame": 3, "places": [[5, 4], [50, 40]]},
        {"kind": "mask", "seconds": 3, "frame": 2, "file": f"{tmp_path}/mask.png"},
    ]
    assert segment(clips / "clip.mp4", *options([], follower, out), "--overwrite").exit_code == 0
    [plain] = json.loads((out / "result.json").read_text())["expressions"]
    assert "prompts" not in plain and plain["iou_scores"] != expression["iou_scores"]


def test_each_object_is_shown_with_its_text(clips, tmp_path):
    checkpoint, out = save_follower(tmp_path / "reader", build_tokenizer()), tmp_path / "out"
    shown = ("--point", "1@2:40,30", "--box", "0@2:5,4,50,40")
    result = segment(clips / "clip.mp4", *options(TEXTS, checkpoint, out), *shown)
    assert (result.exit_code, result.stderr) == (0, "")
    model, processor = load_checkpoint(checkpoint)
    points, labels = [[[[[5, 4], [50, 40]]], [[[40, 30], [0, 0]]]]], [[[[2, 3]], [[1, -1]]]]
    given = {"input_points": points, "input_labels": labels, "prompt_frames": [1]}
    frames = list(segment_video(model.eval(), processor, clips / "clip.mp4", TEXTS, **given))
    expressions = json.loads((out / "result.json").read_text())["expressions"]
    assert [[prompt["kind"] for prompt in one["prompts"]] for one in expressions] == [["box"], ["point"]]
    for index, expression in enumerate(expressions):
        found = [frame.scores["iou_scores"][index] for frame in frames]
        assert expression["iou_scores"] == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (["--point", "5.5:1,1"], "--point: 5.5 seconds was given"),
        (["--negative", "1:83,10"], "--negative: 83,10 lies outside, the frames are 82 pixels wide and 60 high"),
        (["--box", "1:9,9,3,20"], "--box: 9,9,3,20 was given; its first corner"),
        (["--box", "1:9,9,20"], "--box: '1:9,9,20' was given, accepted is SECONDS:X0,Y0,X1,Y1"),
        (["--point", "x:1,1"], "--point: 'x:1,1' was given, accepted is SECONDS:X,Y"),
        (["--mask", "1:missing.png"], "--mask: missing.png cannot be read as a picture"),
        (["--point", "1@1:1,1"], "--point: object 1 was given, accepted is 0 alone, there is one object"),
    ],
)
def test_prompts_that_do_not_lie_in_the_clip(follower, clips, tmp_path, shown, words):
    result = segment(clips / "clip.mp4", *options([], follower, tmp_path / "out"), *shown)
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1 and words in result.stderr
    assert not (tmp_path / "out").exists()


def test_prompts_say_which_object_they_show_to_a_method_that_takes_them(checkpoint, clips, tmp_path):
    for texts, words in (
        (TEXTS, "--point: 2 texts were given; say which object is shown, 0@SECONDS:X,Y for that of the first text"),
        (TEXTS[:1], "--point: Sam2LoveModel takes no"),
    ):
        result = segment(clips / "clip.mp4", *options(texts, checkpoint, tmp_path / "out"), "--point", "1:4,4")
        assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1 and words in result.stderr


@pytest.fixture
def band(clips, tmp_path):
    """A folder with two clips and a file that is none, and one with a sentence."""
    (tmp_path / "band").mkdir()
    for name, source in {"a.mp4": "clip.mp4", "b.mp4": "notes.mp4", "c.mp4": "clip.mp4"}.items():
        shutil.copyfile(clips / source, tmp_path / "band" / name)
    (tmp_path / "texts").write_text(f"{TEXTS[0]}\n")
    return tmp_path / "band"


def test_many_clips_with_one_that_is_none_and_again(checkpoint, band, tmp_path, monkeypatch):
    out, given = tmp_path / "out", ["--texts", tmp_path / "texts", "--model", checkpoint, "--out", tmp_path / "out"]
    loaded = []
    load = segment_file.load_checkpoint
    monkeypatch.setattr(segment_file, "load_checkpoint", lambda *args: loaded.append(args) or load(*args))
    result = segment(band, *given)
    assert result.exit_code == 2 and len(loaded) == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("lavseg segment: b.mp4: ") and "not a media file" in line
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [str(out / "a" / "0"), str(out / "c" / "0")]
    assert sorted(path.name for path in out.iterdir()) == ["a", "c"]
    check_results(out / "a", band / "a.mp4", TEXTS[:1])
    (band / "b.mp4").unlink()
    written = (out / "a" / "result.json").stat().st_mtime_ns
    result = segment(band / "a.mp4", band / "c.mp4", *given, "--json")
    assert (result.exit_code, result.stderr, len(loaded)) == (0, "", 1)
    assert [clip["state"] for clip in json.loads(result.stdout)] == ["finished", "finished"]
    assert (out / "a" / "result.json").stat().st_mtime_ns == written


def test_points_are_of_one_clip(follower, band, tmp_path):
    out = tmp_path / "new" / "out"
    refused(segment(band, *options([], follower, out), "--point", "1:4,4"), out, "--point", "one clip")


@pytest.mark.slow
def test_two_processes_share_the_clips(checkpoint, band, tmp_path):
    out, program = tmp_path / "out", tmp_path / "program.py"
    program.write_text("from lavseg.cli import main\n\nmain()\n")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", program, "segment", band]
    arguments = [*map(str, [*launch, *options(TEXTS[:1], checkpoint, out)])]
    done = subprocess.run(arguments, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode != 0
    assert sum("lavseg segment: b.mp4: " in line for line in done.stderr.splitlines()) == 1
    assert {path.name for path in out.iterdir()} == {"a", "c"}
    for name in "ac":
        check_results(out / name, band / f"{name}.mp4", TEXTS[:1])


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal: a process that was started in the background does not listen to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("done", [0, 2])
def test_ctrl_c_ends_the_command_with_what_is_done(checkpoint, clips, tmp_path, monkeypatch, done):
    write, written = PngMasks.write, []

    def stop(file, mask):
        write(file, mask)
        written.append(mask)
        if len(written) == done:
            os.kill(os.getpid(), signal.SIGINT)

    def stop_at_once(model, **inputs):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(PngMasks, "write", stop)
    if not done:
        monkeypatch.setattr(Sam2LoveModel, "forward", stop_at_once)
    out = tmp_path / "out"
    result = segment(clips / "clip.mp4", *options(TEXTS[:1], checkpoint, out))
    assert result.exit_code == 130
    if done:
        assert f"stopped; {out} holds the {done} frames done by then" in result.stderr
        assert len(json.loads((out / "result.json").read_text())["frame_times"]) == done
    else:
        assert "stopped before the first frame was done, nothing was written" in result.stderr and not out.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_at_the_command(checkpoint, tmp_path):
    """Pressed once the first window of a longer clip is there, it stops the second one."""
    clip = render_clip(np.random.default_rng(0), 40, (60, 82))
    write_video(tmp_path / "clip.mp4", clip.frames, 1, clip.waveform, 16000)
    out = tmp_path / "out"
    arguments = [str(item) for item in (tmp_path / "clip.mp4", *options(TEXTS[:1], checkpoint, out))]
    program = [sys.executable, "-c", "from lavseg.cli import main; main()", "segment", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not any(tmp_path.rglob("00000.png")):
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        stderr = running.communicate()[1]
    frames = len(json.loads((out / "result.json").read_text())["frame_times"])
    assert 1 <= frames < 40 and running.returncode == 130
    assert f"{out} holds the {frames} frames done by then" in stderr and "Traceback" not in stderr
    assert len(list((out / "0").iterdir())) == frames == len(read_video(out / "overlay.mp4").frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out"]
