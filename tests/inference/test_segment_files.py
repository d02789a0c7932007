"""Many clips: which are segmented, passed over, and missed, with the model and its work made up."""

import json

import pytest

from lavseg.inference import segment_files as module
from lavseg.inference.segment_files import launched_processes, segment_files

CLIPS = ["in/a.mp4", "in/bad.mp4", "in/c.mp4"]


class Processor:
    needs_text = True


@pytest.fixture
def work(monkeypatch):
    """What is loaded and segmented; a clip called `bad` cannot be, one called `long` is stopped."""
    done = []

    def load(model, device, trust_remote_code):
        done.append(f"load {model} {device}")
        return None, Processor()

    def segment(model, clip, texts, folder, overwrite, fps, mask_format, **options):
        model.load()
        done.append(f"{clip.name} {overwrite}")
        if clip.stem == "bad":
            raise RuntimeError("out of\nmemory")
        expressions = [{"text": text, "folder": str(index)} for index, text in enumerate(texts)]
        given = {"clip": str(clip), "model": str(model.name), "complete": clip.stem != "long", "fps": fps or 1.0}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps({**given, "expressions": expressions}))
        return {**given, "expressions": expressions}

    monkeypatch.setattr(module, "load_on_device", load)
    monkeypatch.setattr(module, "segment_with", segment)
    return done


def states(outcomes):
    return {outcome.clip.stem: outcome.state for outcome in outcomes}


def test_a_bad_clip_does_not_keep_the_others_and_the_model_is_loaded_once(work, tmp_path):
    told = []
    outcomes = segment_files(CLIPS, ["it"], "model", tmp_path, on_outcome=told.append)
    assert states(outcomes) == {"a": "segmented", "bad": "failed", "c": "segmented"} and told == outcomes
    assert outcomes[1].reason == "out of memory" and outcomes[1].folder == tmp_path / "bad"
    assert work == ["load model None", "a.mp4 False", "bad.mp4 False", "c.mp4 False"]


def test_what_is_finished_is_passed_over_unless_something_else_is_asked_for(work, tmp_path):
    clips = [CLIPS[0], CLIPS[2]]
    segment_files(clips, ["it"], "model", tmp_path)
    work.clear()
    assert states(segment_files(clips, ["it"], "model", tmp_path)) == {"a": "finished", "c": "finished"}
    assert work == []
    changes = [{"texts": ["that"]}, {"model": "other"}, {"fps": 2.0}, {"mask_format": "npz"}, {"attention": True}]
    for change in changes:
        given = {"texts": ["it"], "model": "model", **change}
        assert states(segment_files(clips[:1], out=tmp_path, **given)) == {"a": "segmented"}
        assert work.pop() == "a.mp4 False"  # which `segment_file` refuses, as the folder is not empty
        segment_files(clips[:1], ["it"], "model", tmp_path, overwrite=True)
    assert work[-1] == "a.mp4 True"


def test_a_clip_of_the_same_name_is_another_one(work, tmp_path):
    for folder in "xy":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
    out = tmp_path / "out"
    segment_files([tmp_path / "x" / "a.mp4"], ["it"], "model", out)
    assert states(segment_files([tmp_path / "y" / "a.mp4"], ["it"], "model", out)) == {"a": "segmented"}
    assert work.pop() == "a.mp4 False"  # which `segment_file` refuses, as the folder is not empty
    segment_files([tmp_path / "x" / "a.mp4"], ["it"], "model", out, overwrite=True)
    (tmp_path / "x").rename(tmp_path / "z")
    assert states(segment_files([tmp_path / "z" / "a.mp4"], ["it"], "model", out)) == {"a": "finished"}


def test_a_clip_that_was_stopped_ends_the_run_and_is_segmented_anew(work, tmp_path):
    clips = ["a.mp4", "long.mp4", "c.mp4"]
    assert states(segment_files(clips, ["it"], "model", tmp_path)) == {"a": "segmented", "long": "stopped"}
    work.clear()
    segment_files(clips, ["it"], "model", tmp_path)
    assert work == ["load model None", "long.mp4 True"]


def test_what_all_clips_share_is_refused_at_once(work, tmp_path):
    with pytest.raises(ValueError, match="text: Processor needs an expression"):
        segment_files(CLIPS, [], "model", tmp_path)
    (tmp_path / "result.json").touch()
    with pytest.raises(ValueError, match=r"out: .* is the result of one clip"):
        segment_files(CLIPS, ["it"], "model", tmp_path)
    assert work == ["load model None"]


def test_each_process_takes_every_nth_clip(work, tmp_path, monkeypatch):
    gathered = []
    monkeypatch.setattr(module, "_of_all_processes", lambda outcomes, clips: gathered.append(clips) or outcomes)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        assert launched_processes() == (0, 1)
        monkeypatch.setenv(name, value)
    assert launched_processes() == (1, 2)
    clips = [f"{number}.mp4" for number in range(5)]
    assert states(segment_files(clips, ["it"], "model", tmp_path)) == {"1": "segmented", "3": "segmented"}
    assert len(gathered[0]) == 5


def test_each_process_has_a_gpu_of_its_own(work, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    segment_files(CLIPS[:1], ["it"], "model", tmp_path)
    segment_files(CLIPS[:1], ["it"], "model", tmp_path, "cpu", overwrite=True)
    assert [line for line in work if line.startswith("load")] == ["load model cuda:1", "load model cpu"]
