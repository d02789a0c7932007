import json

import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.data import CLASSES, ClipCollator, layouts, load_avsbench, load_ref_avs, write_avsbench, write_ref_avs
from lavseg.data.layouts import export_parquet
from lavseg.evaluation.evaluate_checkpoint import _SETTINGS, evaluate_checkpoint, protocol_settings
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.metrics.protocols import PROTOCOLS
from lavseg.metrics.semantic import AVSS
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation, AuralSam2Processor
from lavseg.models.eemc import EemcConfig, EemcModel, EemcProcessor


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_avsbench(tmp_path_factory.mktemp("data") / "root", {"v1m": {"test": 2}}, (32, 40))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model that names classes."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    model = AuralSam2ForSemanticSegmentation(tiny_config(AuralSam2Config, use_text=False, num_labels=len(CLASSES)))
    model.save_pretrained(folder)
    AuralSam2Processor.from_config(model.config).save_pretrained(folder)
    return folder


def test_every_protocol_has_its_settings():
    assert _SETTINGS.keys() == PROTOCOLS.keys() | {AVSS}
    assert protocol_settings("aural_sam2", "ref_avs")[0] == 4 and protocol_settings("aural_sam2", "avsbench")[0] == 1


def test_masks_are_scored_as_in_memory_and_the_report_says_what_was_asked(checkpoint, data, tmp_path):
    out = tmp_path / "new" / "scores.json"
    report = evaluate_checkpoint(checkpoint, data, None, "frame", "avsbench", ["v1m"], out=out)
    assert report == json.loads(out.read_text())
    found = report["splits"].pop("test")
    asked = {"model": str(checkpoint), "data_root": str(data), "dataset": "avsbench", "subsets": ["v1m"]}
    assert report == {**asked, "protocol": "frame", "splits": {}}
    model = AuralSam2ForSemanticSegmentation.from_pretrained(checkpoint)
    processor = AuralSam2Processor.from_pretrained(checkpoint)
    scores = evaluate(model, ClipCollator(processor), load_avsbench(data, "v1m", "test"), batch_size=1).compute()
    assert found.pop("loss") > 0 and found.pop("rows") == 2
    assert found == pytest.approx(scores, abs=1e-6)


def test_an_exported_data_set_is_scored_as_the_original(checkpoint, data, tmp_path, datasets_cache, monkeypatch):
    listed, listing = [], layouts.exported_splits
    monkeypatch.setattr(layouts, "exported_splits", lambda root: listed.append(root) or listing(root))
    exported = export_parquet({"test": load_avsbench(data, "v1m", "test")}, tmp_path / "exported")
    asked = None, "frame", "avsbench", ["v1m"]
    found, expected = (evaluate_checkpoint(checkpoint, root, *asked)["splits"] for root in (exported, data))
    assert found == expected
    for workers in (0, 1):
        streamed = evaluate_checkpoint(checkpoint, exported, *asked, workers=workers, streaming=True)["splits"]
        assert streamed == expected
    assert listed.count(exported) == 3, "once each time"
    with pytest.raises(ValueError, match=r"^workers: a stream is read by one process, got 2"):
        evaluate_checkpoint(checkpoint, exported, *asked, workers=2, streaming=True)
    with pytest.raises(ValueError, match=r"^streaming: is for what `lavseg data export` wrote"):
        evaluate_checkpoint(checkpoint, data, *asked, streaming=True)


def test_bfloat16_is_used_where_it_is_asked_for(checkpoint, data):
    exact, rounded = (
        evaluate_checkpoint(checkpoint, data, None, "frame", "avsbench", ["v1m"], bf16=bf16)["splits"]["test"]
        for bf16 in (False, True)
    )
    assert rounded["loss"] != exact["loss"] and rounded["loss"] == pytest.approx(exact["loss"], rel=0.05)


def test_the_released_evaluation_of_eemc_lets_rows_attend_to_one_another(checkpoint, data, tokenizer, tmp_path):
    torch.manual_seed(0)
    model = EemcModel(tiny_config(EemcConfig, len(tokenizer))).eval()
    processor = EemcProcessor.from_config(model.config, tokenizer)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    root = write_ref_avs(tmp_path / "data", {"test_s": 1}, 2, (32, 40))
    report = evaluate_checkpoint(tmp_path / "model", root, ["test_s"], across_clips=True)
    assert report["across_clips"] is True
    model.config.across_clips = True
    collator = ClipCollator(processor, *protocol_settings("ref_avs", "ref_avs")[1:])
    expected = evaluate(model, collator, load_ref_avs(root, "test_s"), "ref_avs", batch_size=4).compute()
    assert report["splits"]["test_s"]["f_score"] == pytest.approx(expected["f_score"], abs=1e-6)
    with pytest.raises(
        ValueError,
        match=r"^across_clips: AuralSam2ForSemanticSegmentation answers every sentence by itself; leave it out",
    ):
        evaluate_checkpoint(checkpoint, data, None, "frame", "avsbench", ["v1m"], across_clips=True)
    EemcModel(tiny_config(EemcConfig, len(tokenizer), behavior="paper")).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"across_clips: is what the release does; it goes with behavior='release'"):
        evaluate_checkpoint(tmp_path / "model", root, ["test_s"], across_clips=True)
