"""Every method and backbone is still what it was before the package was rebuilt, or when it came: names, files, values.

`tests/fixtures/before` holds, for each variant at tiny size, its configuration and processor files of then, names and
shapes of its state dict, and a few numbers of what it gave for deterministic weights and inputs, in double precision.

Numbers taken anew since, as the old ones were not what the paper says: those of `sam2_love-mean`, whose mean took in
class tokens and the two constants; and of `aural_sam2`, `aural_sam2-no_text` and `aural_sam2-classes`, where a level's
vector went to the token of SAM2's single mask as well, and the loss on the predicted IoU covered all three masks.
"""

import json
import shutil
import warnings
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoProcessor

import lavseg  # noqa: F401
from sam_reference import with_joined_projections

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "before").glob("*.json"))
# Of the sentences that the numbers were kept with.
TOKENIZER = Path(__file__).parents[1] / "fixtures" / "former_tokenizer"
# Fields of files that have another name today.
RENAMED = {"frames_per_second": "fps"}
# Fields of config.json that are the training's and the processor's today.
MOVED = {
    "aural_sam2": {
        *("focal_weight", "dice_weight", "iou_weight", "object_weight", "contrastive_weight"),
        "max_text_length",
    },
    "avsegformer": set(),
    "eemc": set(),
    "referformer": set(),
    "gavs": {"max_text_length", "bgr_frames", "pad_frames"},
    "sam2_love": {"bce_weight", "dice_weight", "object_loss_weight", "iou_loss_weight", "max_text_length"},
    "sama_avs": {"max_text_length"},
    "st_bava": {"iou_loss_weight"},
    "stepping_stones": set(),
    "tpavi": set(),
    "vggish": set(),
}
# Fields of config.json that came since, with what they mean by default.
NEW_FIELDS = {"referformer": {"absence_classifier": False}}
# Model inputs that processors hand out today only.
NEW_INPUTS = {"gavs": {"reshaped_input_sizes"}}
NUM_FRAMES = 4
FRAME_SIZE = (90, 120)
SENTENCES = ["the red circle", "what sounds"]
# Numbers kept of a tensor: its sum, and that many of its entries, evenly spread.
ENTRIES = 16


def det_array(key, shape):
    """Value of the parameter or buffer `key`, from its name and shape alone."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    noise = rng.standard_normal(shape)
    if key.endswith("running_mean"):
        return 0.1 * noise
    if key.endswith("running_var"):
        return 0.5 + rng.random(shape)
    if key.endswith("presence.bias"):
        return np.ones(shape)  # or all masks would be empty
    if len(shape) <= 1:
        return 1 + 0.02 * noise if key.endswith(".weight") else 0.02 * noise
    return noise / np.sqrt(np.prod(shape[1:]))


def old_state(model):
    """The state dict with the names of then: ST-BAVA's projections were one layer, which is still read."""
    return with_joined_projections(model.state_dict(), "in_proj.")


def fill(model):
    """`model` in double precision and evaluation mode, with deterministic weights and buffers."""
    model = model.double().eval()
    old = old_state(model)
    state = {key: torch.from_numpy(np.asarray(det_array(key, value.shape))) for key, value in old.items()}
    # Position ids and the like are what they are.
    integers = {key for key, value in old.items() if not value.is_floating_point()}
    model.load_state_dict({key: value for key, value in state.items() if key not in integers}, strict=False)
    return model


def det_input(name, shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return torch.from_numpy(rng.standard_normal(shape))


def det_clip():
    """Frames uint8 `[T, H, W, 3]`, stereo sound and its rate."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (NUM_FRAMES, 9, 12, 3), dtype=np.uint8)
    frames = coarse.repeat(FRAME_SIZE[0] // 9, axis=1).repeat(FRAME_SIZE[1] // 12, axis=2)
    time = np.arange(NUM_FRAMES * 16000) / 16000
    sound = 0.3 * np.stack([np.sin(2 * np.pi * (300 + 80 * time) * time), np.sin(2 * np.pi * 700 * time)])
    return frames, sound.astype(np.float32), 16000


def model_inputs(prepared, lengths):
    """Inputs for two clips of `lengths` frames and two sentences, of the names and shapes that a processor gave one."""
    frames = torch.arange(NUM_FRAMES) < torch.tensor(lengths)[:, None]
    inputs = {}
    for name, value in prepared.items():
        if name in ("frame_mask", "audio_mask"):
            inputs[name] = torch.nn.functional.pad(frames, (0, value.shape[1] - NUM_FRAMES), value=False)
        elif name in ("input_ids", "attention_mask", "reshaped_input_sizes"):
            inputs[name] = value.repeat(2, 1, 1)
        elif name == "original_sizes":
            inputs[name] = [FRAME_SIZE, FRAME_SIZE]
        else:
            inputs[name] = det_input(name, (2, *value.shape[1:]))
    return inputs


def digest(value):
    """A tensor as its shape, its sum and some of its entries."""
    value = value.detach().double()
    flat = value.flatten()
    places = torch.linspace(0, len(flat) - 1, min(ENTRIES, len(flat))).long()
    return {"shape": list(value.shape), "sum": float(flat.sum()), "entries": flat[places].tolist()}


def tree(state):
    """Shapes by name, as a tree: names share long beginnings."""
    root = {}
    for name, value in state.items():
        *path, leaf = name.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = list(value.shape)
    return root


def assert_same(value, kept, what):
    found = digest(value)
    assert found["shape"] == kept["shape"], what
    np.testing.assert_allclose(found["entries"], kept["entries"], rtol=1e-6, atol=1e-6, err_msg=what)
    np.testing.assert_allclose(found["sum"], kept["sum"], rtol=1e-6, atol=1e-3, err_msg=what)


def written(thing, folder, name):
    thing.save_pretrained(folder)
    return json.loads((folder / name).read_text(encoding="utf-8"))


def write_json(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_as_before(path, tmp_path):
    kept = json.loads(path.read_text(encoding="utf-8"))
    old, new = tmp_path / "old", tmp_path / "new"
    write_json(old / "config.json", kept["config"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        config = AutoConfig.from_pretrained(old)
    moved = MOVED[config.model_type]
    assert moved <= kept["config"].keys()
    told = [str(warning.message) for warning in caught if "no longer fields" in str(warning.message)]
    assert len(told) == bool(moved) and all(name in told[0] for name in moved)
    expected, architecture = {name: value for name, value in kept["config"].items() if name not in moved}, kept["model"]
    if config.model_type == "aural_sam2":  # counted classes without background, and had one architecture for both
        if classes := expected.pop("num_classes"):
            architecture = "AuralSam2ForSemanticSegmentation"
            names = [f"LABEL_{index}" for index in range(classes + 1)]
            expected["id2label"] = {str(index): name for index, name in enumerate(names)}
            expected["label2id"] = {name: index for index, name in enumerate(names)}
        expected["architectures"] = [architecture]
    expected["transformers_version"] = transformers.__version__
    expected |= NEW_FIELDS.get(config.model_type, {})
    assert written(config, new, "config.json") == expected
    model = fill(AutoModel.from_config(config))
    assert type(model).__name__ == architecture
    assert tree(old_state(model)) == kept["state"]
    if "processor" not in kept:
        features = det_input("input_features", (2, 3, 1, 96, 64))
        with torch.no_grad():
            assert_same(model(features).embeddings, kept["outputs"]["embeddings"], "embeddings")
        return

    write_json(old / "processor_config.json", kept["processor_config"])
    if kept["reads"]:
        shutil.copytree(TOKENIZER, old, dirs_exist_ok=True)
    renamed = kept["processor_config"].keys() & RENAMED.keys()
    with pytest.deprecated_call(match="is called fps now") if renamed else nullcontext():
        processor = AutoProcessor.from_pretrained(old)
    assert type(processor).__name__ == kept["processor"]
    expected = {RENAMED.get(name, name): value for name, value in kept["processor_config"].items()}
    assert written(processor, new, "processor_config.json") == expected
    frames, sound, rate = det_clip()
    heard = {"audio": sound, "sampling_rate": rate} if processor.needs_audio else {}
    prepared = processor(frames, **heard, **({"text": SENTENCES} if kept["reads"] else {}))
    added = prepared.keys() - kept["prepared"].keys()
    assert added == (NEW_INPUTS.get(config.model_type, set()) if kept["config"].get("pad_frames") else set())
    for name, value in kept["prepared"].items():
        assert_same(torch.as_tensor(prepared[name]), value, name)

    inputs = model_inputs(prepared, kept["lengths"])
    labels = (det_input("labels", (2, len(SENTENCES) if kept["reads"] else 1, NUM_FRAMES, 45, 60)) > 0.5).byte()
    if model.names_classes:
        inputs["class_labels"] = labels[:, 0].long()
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = model(**inputs, labels=labels)
    terms = kept["outputs"].pop("losses")
    assert {name: float(loss) for name, loss in outputs.loss_dict.items()} == pytest.approx(terms, rel=1e-6, abs=1e-6)
    found = {**outputs, "pred_masks": processor.gate_masks(outputs)}
    if config.model_type == "aural_sam2":  # had one key frame for all sentences of a clip
        found["key_frames"] = outputs.key_frames[:, 0]
    for name, value in kept["outputs"].items():
        assert_same(found[name], value, name)
    masks = processor.post_process_masks(outputs, inputs["original_sizes"], inputs["frame_mask"])
    areas = [mask.reshape(-1, *mask.shape[-2:]).sum((-2, -1)).tolist() for mask in masks]
    assert areas == kept["areas"]
