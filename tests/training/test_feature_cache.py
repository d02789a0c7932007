import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import Sam2ImageProcessor

from lavseg.media import as_frames
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from lavseg.training import feature_cache
from lavseg.training.feature_cache import FeatureCache

RATE = 16000
SOUND = np.random.default_rng(9).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)


def make_model(seed=0, **overrides):
    torch.manual_seed(seed)
    return StBavaModel(tiny_config(StBavaConfig, use_adapters=False, **overrides)).eval()


def make_clips(count=2, frames=3, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (frames, 30, 44, 3), np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def processor(model):
    return StBavaProcessor.from_config(model.config)


@pytest.fixture
def cache(model, processor, tmp_path):
    cache = FeatureCache(tmp_path / "cache", model, processor)
    assert cache.fill(model, processor, make_clips()) == 2
    return cache


@torch.no_grad()
def test_what_it_hands_out_is_what_the_encoder_makes(model, processor, cache):
    clips = [make_clips()[1], make_clips()[0][:2]]
    cache.fill(model, processor, clips)
    plain = processor(clips, [SOUND] * 2, sampling_rate=RATE)
    served = processor.with_image_inputs(cache.image_inputs)(clips, [SOUND] * 2, sampling_rate=RATE)
    assert "pixel_values" not in served and served["image_embeddings"].shape == (2, 3, 32, 8, 8)
    assert served["original_sizes"] == plain["original_sizes"]
    assert torch.equal(served["frame_mask"], plain["frame_mask"])
    torch.testing.assert_close(model(**served).pred_masks, model(**plain).pred_masks, atol=1e-4, rtol=1e-4)
    assert "pixel_values" in processor(clips, [SOUND] * 2, sampling_rate=RATE)


def test_gradients_are_those_without_it(processor, cache):
    gradients = []
    for source in (processor, processor.with_image_inputs(cache.image_inputs)):
        model = make_model(attention_dropout=0.0).train()
        inputs = source(make_clips()[0], SOUND, sampling_rate=RATE)
        model(**inputs, labels=torch.ones(1, 3, 30, 44)).loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-3)


def test_clips_are_encoded_once_and_whatever_form_they_come_in(model, processor, cache):
    as_images = [[Image.fromarray(frame) for frame in clip] for clip in make_clips()]
    assert cache.fill(model, processor, as_images) == 0
    assert cache.fill(model, processor, make_clips(count=3)) == 1
    reopened = FeatureCache(cache.folder, model, processor)
    assert reopened.fill(model, processor, make_clips(count=3)) == 0
    assert len(list(cache.folder.glob("*.safetensors"))) == 3


def test_parts_that_train_do_not_matter(model, processor, cache):
    other = make_model(num_fusion_layers=1)
    other.sam.load_state_dict(model.sam.state_dict())
    with torch.no_grad():
        other.sam.mask_decoder.iou_token.weight.add_(1)
    FeatureCache(cache.folder, other, processor)


def changed_weights(model):
    other = make_model()
    with torch.no_grad():
        other.sam.vision_encoder.neck.conv1.weight[0, 0] += 1e-6
    return other


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda model, processor: (changed_weights(model), processor), ["encoder"]),
        (lambda model, processor: (make_model().to(torch.bfloat16), processor), ["encoder", "precision"]),
        (
            lambda model, processor: (
                model,
                StBavaProcessor(
                    Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 32, "width": 32}),
                    processor.feature_extractor,
                ),
            ),
            ["image_processor.size"],
        ),
    ],
    ids=["weights", "precision", "size"],
)
def test_a_cache_of_other_settings_is_refused(model, processor, cache, change, named):
    with pytest.raises(ValueError, match=r"folder: .* was made with other settings: ") as caught:
        FeatureCache(cache.folder, *change(model, processor))
    settings = [part.split(" is ")[0] for part in str(caught.value).split("settings: ")[1].split("; ")]
    assert settings[:-1] == named


@pytest.mark.parametrize(
    "clip", [make_clips(seed=5)[0], make_clips()[0][:, :, ::-1].copy(), make_clips()[0][:2]], ids=["new", "flip", "cut"]
)
def test_frames_that_were_never_encoded_are_refused(processor, cache, clip):
    with pytest.raises(ValueError, match=r"frames: a clip of \d frames is not in .*augmented"):
        processor.with_image_inputs(cache.image_inputs)(clip, SOUND, sampling_rate=RATE)


def test_a_folder_with_something_else_is_refused(model, processor, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"folder: .* has content but no settings\.json"):
        FeatureCache(tmp_path, model, processor)


def test_an_interrupted_write_is_made_again(model, processor, cache, monkeypatch):
    def interrupt(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    names = {path.name for path in cache.folder.iterdir()}
    next(cache.folder.glob("*.safetensors")).unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(feature_cache, "save_file", lambda _, path: interrupt(path))
        cache.fill(model, processor, make_clips())
    assert len(list(cache.folder.iterdir())) == len(names) - 1
    assert cache.fill(model, processor, make_clips()) == 1
    assert {path.name for path in cache.folder.iterdir()} == names


def test_the_settings_say_what_was_cached(cache):
    settings = json.loads((cache.folder / "settings.json").read_text())
    assert settings["image_size"] == 128 and settings["precision"] == "torch.float32"
    assert settings["image_processor.size"] == {"height": 128, "width": 128}


@pytest.mark.parametrize(
    ("model_class", "processor_class", "config"),
    [
        (StBavaModel, StBavaProcessor, tiny_config(StBavaConfig)),
        (
            SamaAvsModel,
            SamaAvsProcessor,
            tiny_config(SamaAvsConfig, sam_config=nano_sam2_config(128), use_adapters=False),
        ),
        (GavsModel, GavsProcessor, tiny_config(GavsConfig)),
    ],
    ids=["adapters", "sam2", "gavs"],
)
def test_what_depends_on_more_than_the_frames_is_refused(model_class, processor_class, config, tmp_path):
    with pytest.raises(ValueError, match="model: only image embeddings of SAM without adapters"):
        FeatureCache(tmp_path, model_class(config), processor_class.from_config(config))


def test_embeddings_that_are_not_finite_are_neither_kept_nor_served(model, processor, cache):
    clip, before = make_clips(1, seed=5)[0], set(cache.folder.iterdir())
    weight = next(model.sam.vision_encoder.parameters())
    kept = weight.detach().clone()
    torch.nn.init.constant_(weight, float("nan"))
    with pytest.raises(ValueError, match="the encoder gives NaN or infinite values"):
        cache.fill(model, processor, [clip])
    assert set(cache.folder.iterdir()) == before
    with torch.no_grad():
        weight.copy_(kept)
    cache.fill(model, processor, [clip])
    [path] = set(cache.folder.iterdir()) - before
    embeddings = load_file(path)
    embeddings["image_embeddings"][0, 0, 0, 0] = float("inf")
    save_file(embeddings, path)
    with pytest.raises(ValueError, match=f"{path.name} holds NaN or infinite values; delete it"):
        cache.image_inputs(list(as_frames(clip, "clip")))
