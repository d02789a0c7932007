import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny.configurations import tiny_config
from transformers import AutoModel

from lavseg.data import build_tokenizer
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """An untrained stand-in for the shipped model."""
    folder, tokenizer = tmp_path_factory.mktemp("encoders"), build_tokenizer()
    config = tiny_config(Sam2LoveConfig, vocab_size=len(tokenizer))
    Sam2LoveModel(config).save_pretrained(folder / "model")
    Sam2LoveProcessor.from_config(config, tokenizer).save_pretrained(folder / "model")
    return folder


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import train_aural_sam2

    return train_aural_sam2


def test_it_trains_scores_and_draws_every_behavior_and_does_not_repeat_itself(script, encoders, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    arguments = ["--output", str(tmp_path), "--frame_steps", "1", "--steps", "2", "--clips", "2"]
    arguments += ["--checkpoint", str(encoders / "model")]
    script.main(arguments)
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report) == {"release", "paper"}
    for behavior, scores in report.items():
        assert scores["steps"] == 2
        for name in ("single", "multi", "single_silent", "multi_silent", "single_bf16", "multi_bf16"):
            assert all(0 <= scores[name][score] <= 1 for score in ("jaccard", "f_score", "j_and_f")), name
        folder = tmp_path / behavior
        log = json.loads((folder / "training_log.json").read_text())
        assert [entry["step"] for entry in log["frames"]] == [1] and log["frames"][0]["contrastive"] > 0
        for name in ("loss_contrastive", "eval_single_jaccard", "eval_multi_jaccard"):
            assert any(name in entry for entry in log["clips"])
        assert (folder / "curves.svg").read_text().count("<svg") == 4
        assert Image.open(folder / "examples.jpg").width > 5 * 112
        model = AutoModel.from_pretrained(folder / "model")
        assert model.config.behavior == behavior and not model.config.use_text

    monkeypatch.setattr(script, "train", lambda *args: pytest.fail("trained twice"))
    script.main(arguments)


@torch.no_grad()
def test_the_wider_ear_hears_the_same(script, encoders):
    narrow = AutoModel.from_pretrained(encoders / "model").audio_encoder
    wide = script.stereo_vggish(encoders / "model")
    patches = torch.randn(3, 1, 96, 64, generator=torch.Generator().manual_seed(0))
    size = narrow.config.embedding_size
    found, expected = wide(patches).embeddings, narrow(patches).embeddings
    assert found.shape[-1] == 2 * size
    torch.testing.assert_close(found[..., :size], expected)
    assert ((found[..., :size] * found[..., size:]) == 0).all() and (found.amax((0, 1, 2)) > 0).any()
