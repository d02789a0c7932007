"""Calls with arguments that cannot be right: each ends with a ValueError in one line that names the argument."""

import numpy as np
import pytest
import torch
from harness import GIB, raised, unchanged
from PIL import Image

import lavseg
from lavseg.auto import METHODS
from lavseg.data import (
    ClipAugmentation,
    ClipCollator,
    binary_masks,
    build_tokenizer,
    class_masks,
    load_avsbench,
    load_ref_avs,
    write_avsbench,
    write_ref_avs,
)
from lavseg.media import read_audio, read_video, write_video
from lavseg.metrics.protocols import AvsMetric
from lavseg.metrics.semantic import SemanticMetric
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.visualization import contact_sheet, heatmap, overlay
from tiny_methods import tiny_method

RATE, FRAMES = 16000, 3
VIDEO = np.random.default_rng(0).integers(0, 256, (FRAMES, 48, 64, 3), dtype=np.uint8)
SOUND = np.random.default_rng(1).uniform(-0.5, 0.5, (2, FRAMES * RATE)).astype(np.float32)
METHOD_NAMES = [config_class.model_type for config_class, _, _ in METHODS]
NAN, INF = float("nan"), float("inf")


def method(name):
    return tiny_method(METHODS[METHOD_NAMES.index(name)], build_tokenizer())


def arguments(processor, **change):
    given = {"video": VIDEO, "audio": SOUND, "sampling_rate": RATE}
    if processor.needs_text:
        given["text"] = "the red circle"
    return {**given, **change}


# What is given to a processor in place of a clip, its sound, its rate or its sentence.
CALLS = {
    "video of floats": {"video": VIDEO / 255},
    "video of int64": {"video": VIDEO.astype(np.int64)},
    "video in gray": {"video": VIDEO[..., :1]},
    "video of one frame": {"video": VIDEO[0]},
    "video without frames": {"video": VIDEO[:0]},
    "video without pixels": {"video": VIDEO[:, :0]},
    "video with channels first": {"video": VIDEO.transpose(0, 3, 1, 2)},
    "video of frames of two sizes": {"video": [VIDEO[0], VIDEO[1, :40]]},
    "video of gray frames": {"video": [VIDEO[0, ..., 0]] * 3},
    "video of numbers": {"video": [1, 2, 3]},
    "video of None": {"video": [None, None]},
    "no video": {"video": None},
    "an empty list as video": {"video": []},
    "a number as video": {"video": 7},
    "a dictionary as video": {"video": {"frames": VIDEO}},
    "objects as video": {"video": np.full((3, 4, 4, 3), None)},
    "a missing file": {"video": "no-such-file.mp4", "audio": None, "sampling_rate": None},
    "a folder as video": {"video": "/", "audio": None, "sampling_rate": None},
    "an empty path": {"video": "", "audio": None, "sampling_rate": None},
    "a path with a zero byte": {"video": "a\0b.mp4", "audio": None, "sampling_rate": None},
    "a path without end": {"video": "x" * 5000, "audio": None, "sampling_rate": None},
    "sound with NaN": {"audio": SOUND + np.float32(NAN)},
    "sound with one infinity": {"audio": np.where(np.arange(SOUND.size).reshape(SOUND.shape) == 9, INF, SOUND)},
    "sound of int64": {"audio": (SOUND * 30000).astype(np.int64)},
    "sound of bools": {"audio": SOUND > 0},
    "complex sound": {"audio": SOUND.astype(np.complex64)},
    "sound of objects": {"audio": SOUND.astype(object)},
    "sound of letters": {"audio": np.full(48000, "a")},
    "no samples": {"audio": SOUND[:, :0]},
    "no channels": {"audio": SOUND[:0]},
    "sound with three axes": {"audio": SOUND[None, None]},
    "sound of samples by channels": {"audio": SOUND.T},
    "sound that is too long": {"audio": np.tile(SOUND, 3)},
    "sound that is too short": {"audio": SOUND[:, :16000]},
    "no sound": {"audio": None},
    "a number as sound": {"audio": 3},
    "a dictionary as sound": {"audio": {"array": SOUND}},
    "a ragged list as sound": {"audio": [[0.0, 1.0], [0.0]]},
    "whole numbers in a list": {"audio": [0, 1, 2] * 16000},
    "a missing sound": {"audio": "no-such-file.wav"},
    "no rate": {"sampling_rate": None},
    "a rate of 0": {"sampling_rate": 0},
    "a rate of 1": {"sampling_rate": 1},
    "a rate below 0": {"sampling_rate": -16000},
    "a rate of NaN": {"sampling_rate": NAN},
    "an infinite rate": {"sampling_rate": INF},
    "a rate of letters": {"sampling_rate": "16000"},
    "a rate between": {"sampling_rate": 16000.5},
    "a rate of another sound": {"sampling_rate": 48000},
    "a rate without bounds": {"sampling_rate": 10**12},
    "too many rates": {"sampling_rate": [16000, 16000]},
    "other tensors": {"return_tensors": "tf"},
}
SENTENCES = {
    "no sentence": None,
    "an empty sentence": "",
    "a blank sentence": " \n",
    "a number as sentence": 7,
    "bytes as sentence": b"the dog",
    "no sentences": [],
    "a number among sentences": ["the dog", 7],
    "an empty one among sentences": ["the dog", ""],
    "sentences of two clips": [["a"], ["b"]],
    "a dictionary as sentence": {"text": "a"},
}


def process(name, change):
    _, processor = method(name)
    processor(**arguments(processor, **CALLS[change]))


def read(name, change):
    _, processor = method(name)
    processor(**arguments(processor, text=SENTENCES[change]))


def put(**values):
    return lambda inputs: inputs.update(values)


def changed(name, function):
    """An input that is there is changed."""

    def change(inputs):
        inputs[name] = function(inputs[name])

    return change


def labels(value, dtype=torch.float32, frames=FRAMES, place=(0, 0, 1, 2, 3)):
    found = torch.zeros(1, 1, frames, 24, 32, dtype=dtype)
    found[place] = value
    return put(labels=found)


FORWARD = {
    "labels of 255": labels(255, torch.uint8),
    "labels of -1": labels(-1, torch.int64),
    "labels of 2": labels(2, torch.int32),
    "labels of NaN": labels(NAN),
    "infinite labels": labels(INF),
    "labels between": labels(0.5),
    "labels of another length": labels(1, frames=FRAMES + 1),
    "labels without frames": put(labels=torch.zeros(1, 24, 32)),
    "label_mask of numbers": lambda inputs: (labels(1)(inputs), inputs.update(label_mask=torch.ones(1, FRAMES))),
    "label_mask of another length": lambda inputs: inputs.update(label_mask=torch.ones(1, 9, dtype=torch.bool)),
    "frame_mask of numbers": put(frame_mask=torch.ones(1, FRAMES)),
    "frame_mask of another length": put(frame_mask=torch.ones(1, FRAMES + 2, dtype=torch.bool)),
    "frame_mask of nothing": put(frame_mask=torch.zeros(1, FRAMES, dtype=torch.bool)),
    "frame_mask with a hole": put(frame_mask=torch.tensor([[True, False, True]])),
    "audio_mask of numbers": changed("audio_mask", lambda mask: mask.long()),
    "audio_mask of another length": put(audio_mask=torch.ones(1, 99, dtype=torch.bool)),
    "frames of bytes": changed("pixel_values", lambda frames: frames.to(torch.uint8)),
    "frames of whole numbers": changed("pixel_values", lambda frames: frames.long()),
    "frames without a batch": changed("pixel_values", lambda frames: frames[0]),
    "frames of another size": changed("pixel_values", lambda frames: frames[..., :60, :60]),  # TPAVI takes 64
    "no frames": changed("pixel_values", lambda frames: None),
    "no frame in a clip": changed("pixel_values", lambda frames: frames[:, :0]),
    "no clip": changed("pixel_values", lambda frames: frames[:0]),
    "features of whole numbers": changed("input_features", lambda features: features.long()),
    "features of other channels": changed("input_features", lambda features: features.repeat(1, 1, 3, 1, 1)),
    "features without patches": changed("input_features", lambda features: features[:, :0]),
    "features of two clips": changed("input_features", lambda features: features.repeat(2, 1, 1, 1, 1)),
    "no features": changed("input_features", lambda features: None),
}
TOKENS = {
    "tokens past the end": changed("input_ids", lambda ids: ids + 10**6),
    "tokens below zero": changed("input_ids", lambda ids: ids - 10**6),
    "tokens of floats": changed("input_ids", lambda ids: ids.float()),
    "no tokens": changed("input_ids", lambda ids: None),
    "tokens of two clips": changed("input_ids", lambda ids: ids.repeat(2, 1, 1)),
    "an attention mask of another length": changed("attention_mask", lambda mask: mask[..., :3]),
}


def forward(name, group, change):
    model, processor = method(name)
    inputs = dict(processor(**arguments(processor)))
    {"forward": FORWARD, "tokens": TOKENS}[group][change](inputs)
    model(**inputs)


def logits(count=2):
    return torch.randn(1, count, FRAMES, 8, 8, generator=torch.Generator().manual_seed(0))


POST_PROCESSING = {
    "logits without axes": {"outputs": logits()[0]},
    "no outputs": {"outputs": None},
    "a list as outputs": {"outputs": [logits()]},
    "arrays as outputs": {"outputs": logits().numpy()},
    "logits of NaN": {"outputs": logits() * NAN},
    "logits of whole numbers": {"outputs": logits().long()},
    "outputs without masks": {"outputs": AudioVisualSegmentationOutput()},
    "no sizes": {"original_sizes": None},
    "one size": {"original_sizes": (48, 64)},
    "a number as sizes": {"original_sizes": 48},
    "sizes of two clips": {"original_sizes": [(48, 64)] * 2},
    "sizes of letters": {"original_sizes": [("a", "b")]},
    "sizes of NaN": {"original_sizes": [(NAN, 64)]},
    "sizes of 0": {"original_sizes": [(0, 64)]},
    "sizes below 0": {"original_sizes": [(-48, 64)]},
    "sizes without bounds": {"original_sizes": [(10**6, 10**6)]},
    "a frame mask of numbers": {"frame_mask": torch.ones(1, FRAMES)},
    "a frame mask of another length": {"frame_mask": torch.ones(1, 9, dtype=torch.bool)},
    "a list of numbers as frame mask": {"frame_mask": [[1] * FRAMES]},
    "a threshold of NaN": {"mask_threshold": NAN},
    "an infinite threshold": {"mask_threshold": -INF},
    "a threshold of letters": {"mask_threshold": "0"},
    "no threshold": {"mask_threshold": None},
}


def post_process(change):
    _, processor = method("sam2_love")
    processor.post_process_masks(**{"outputs": logits(), "original_sizes": [(48, 64)], **POST_PROCESSING[change]})


def row(**change):
    frames, masks = [Image.new("RGB", (40, 32))] * 3, [Image.new("L", (40, 32))] * 3
    sound = {"bytes": None, "path": "no-such-file.wav"}
    texts = {"text": "a", "object": "o", "clip": "c", "id": 0, "is_null": False}
    return {**texts, "frames": frames, "masks": masks, "audio": sound, **change}


def collate(rows, **options):
    ClipCollator(method("sam2_love")[1], **options)(rows)


ONES, ZEROS = torch.ones(2, 8, 8), torch.zeros(2, 8, 8)
MASK = np.zeros((3, 48, 64), bool)
# Functions by name, each with its arguments.
OTHERS = {
    "a metric of no protocol": lambda: AvsMetric("none"),
    "a number as protocol": lambda: AvsMetric(7),
    "a list as protocol": lambda: AvsMetric(["frame"]),
    "a metric of letters": lambda: AvsMetric("frame").update([["a"]], ZEROS),
    "a metric of nothing": lambda: AvsMetric("frame").update(None, ZEROS),
    "a metric of whole numbers": lambda: AvsMetric("frame").update(ONES.long(), ZEROS),
    "a metric of NaN": lambda: AvsMetric("frame").update(ONES * NAN, ZEROS),
    "a metric of complex numbers": lambda: AvsMetric("frame").update(ONES.to(torch.complex64), ZEROS),
    "targets of 255": lambda: AvsMetric("frame").update(ONES, 255 * ONES),
    "targets of -1": lambda: AvsMetric("frame").update(ONES, -ONES),
    "targets of NaN": lambda: AvsMetric("frame").update(ONES, ONES * NAN),
    "targets of another size": lambda: AvsMetric("frame").update(ONES, ZEROS[:, :4]),
    "targets without frames": lambda: AvsMetric("frame").update(ONES[:0], ZEROS[:0]),
    "a metric of no batch": lambda: AvsMetric("frame").compute(),
    "classes of letters": lambda: SemanticMetric("71"),
    "classes between": lambda: SemanticMetric(2.5),
    "one class": lambda: SemanticMetric(1),
    "no classes": lambda: SemanticMetric(None),
    "classes of floats": lambda: SemanticMetric(3).update(ONES, ONES),
    "a class too many": lambda: SemanticMetric(3).update(ONES.long() * 3, ONES.long()),
    "a class of -1": lambda: SemanticMetric(3).update(ONES.long(), -ONES.long()),
    "a class of 255": lambda: SemanticMetric(3).update(ONES.long(), (255 * ONES).to(torch.uint8)),
    "a probability of NaN": lambda: ClipAugmentation(flip_probability=NAN),
    "a probability of letters": lambda: ClipAugmentation(grayscale_probability="0.5"),
    "an angle of NaN": lambda: ClipAugmentation(degrees=NAN),
    "no angle": lambda: ClipAugmentation(shear=None),
    "a seed below 0": lambda: ClipAugmentation(seed=-1),
    "nulls of NaN": lambda: collate([], null_probability=NAN),
    "nulls of letters": lambda: collate([], null_probability="a"),
    "no rows": lambda: collate([]),
    "labels of one edge": lambda: collate([row()], label_size=(4,)),
    "labels without pixels": lambda: collate([row()], label_size=(0, 4)),
    "labels of letters": lambda: collate([row()], label_size="ab"),
    "an unknown way to resize": lambda: collate([row()], mask_resize="cubic"),
    "a row with an absent sound": lambda: collate([row()]),
    "a row without a sentence": lambda: collate([row(text=None)]),
    "masks of no image": lambda: binary_masks([], (4, 4)),
    "masks of one edge": lambda: binary_masks([Image.new("L", (4, 4))], (4,)),
    "masks without pixels": lambda: binary_masks([Image.new("L", (4, 4))], (0, 4)),
    "masks in arrays": lambda: binary_masks([np.zeros((4, 4))], (4, 4)),
    "class masks of no image": lambda: class_masks([], (4, 4)),
    "class masks in gray": lambda: class_masks([Image.new("L", (4, 4), 9)], (4, 4)),
    "no root": lambda: load_ref_avs(None, "train"),
    "a number as root": lambda: load_ref_avs(3, "train"),
    "an absent root": lambda: load_ref_avs("nowhere", "train"),
    "a root with a zero byte": lambda: load_ref_avs("a\0b", "train"),
    "no split": lambda: load_ref_avs("nowhere", None),
    "a list as split": lambda: load_ref_avs("nowhere", ["train"]),
    "no subset": lambda: load_avsbench("nowhere", None, "train"),
    "a list as subset": lambda: load_avsbench("nowhere", ["s4"], "train"),
    "clips of no split": lambda: write_ref_avs("out", {"none": 1}),
    "clips below 0": lambda: write_ref_avs("out", {"train": -1}),
    "clips between": lambda: write_ref_avs("out", {"train": 1.5}),
    "clips of no frame": lambda: write_ref_avs("out", {"train": 1}, num_frames=0),
    "clips without pixels": lambda: write_ref_avs("out", {"train": 1}, frame_size=(0, 4)),
    "a list as clips": lambda: write_ref_avs("out", ["train"]),
    "clips of no subset": lambda: write_avsbench("out", {"none": {"train": 1}}),
    "fps of 0": lambda: read_video("nowhere", fps=0),
    "fps of NaN": lambda: read_video("nowhere", fps=NAN),
    "infinite fps": lambda: read_video("nowhere", fps=INF),
    "fps of letters": lambda: read_video("nowhere", fps="1"),
    "no fps": lambda: read_video("nowhere", fps=None),
    "frames from the middle": lambda: read_video("nowhere", at="middle"),
    "no video file": lambda: read_video(None),
    "an absent video file": lambda: read_video("nowhere"),
    "no sound file": lambda: read_audio(None),
    "no bytes of sound": lambda: read_audio(b""),
    "bytes that are no sound": lambda: read_audio(b"RIFF1234WAVE"),
    "text as sound": lambda: read_audio(b"a" * 999),
    "a video of floats": lambda: write_video("out.mp4", VIDEO / 255, 1.0),
    "a video without frames": lambda: write_video("out.mp4", VIDEO[:0], 1.0),
    "a video at 0 fps": lambda: write_video("out.mp4", VIDEO, 0),
    "a video with sound of no rate": lambda: write_video("out.mp4", VIDEO, 1.0, SOUND),
    "masks of numbers": lambda: overlay(VIDEO, MASK.astype(float)),
    "masks of another size": lambda: overlay(VIDEO, MASK[:, :4]),
    "frames of floats": lambda: overlay(VIDEO / 255, MASK),
    "a weight of NaN": lambda: heatmap(VIDEO[0], np.ones((2, 2)), alpha=NAN),
    "a weight of letters": lambda: heatmap(VIDEO[0], np.ones((2, 2)), alpha="a"),
    "colours of another number": lambda: overlay(VIDEO, MASK, colors=np.zeros((2, 3))),
    "colours of NaN": lambda: overlay(VIDEO, MASK, colors=np.full((1, 3), NAN)),
    "colours past 255": lambda: overlay(VIDEO, MASK, colors=np.full((1, 3), 999)),
    "heat of NaN": lambda: heatmap(VIDEO[0], np.full((4, 4), NAN)),
    "heat of nothing": lambda: heatmap(VIDEO[0], np.zeros((0, 4))),
    "a sheet of no picture": lambda: contact_sheet([], 1),
    "a sheet of no column": lambda: contact_sheet([VIDEO[0]], 0),
    "a window of NaN": lambda: list(
        lavseg.segment_video(*method("sam2_love"), "nowhere", ["a"], fps=NAN),
    ),
    "an absent clip": lambda: list(lavseg.segment_video(*method("sam2_love"), "nowhere", ["a"])),
    "loss weights of NaN": lambda: method("sam2_love")[0].set_loss_weights({"bce": NAN}),
    "loss weights of letters": lambda: method("sam2_love")[0].set_loss_weights({"bce": "1"}),
    "loss weights of no term": lambda: method("sam2_love")[0].set_loss_weights({"none": 1}),
}


def other(name):
    OTHERS[name]()


READING = [name for name, (_, _, processor) in zip(METHOD_NAMES, METHODS, strict=True) if processor.needs_text]
JOBS = [
    *((process, METHOD_NAMES[index % len(METHOD_NAMES)], change) for index, change in enumerate(CALLS)),
    *((read, name, change) for name in READING for change in SENTENCES),
    *((forward, name, "forward", change) for name in METHOD_NAMES for change in FORWARD),
    *((forward, name, "tokens", change) for name in READING for change in TOKENS),
    *((post_process, change) for change in POST_PROCESSING),
    *((other, name) for name in OTHERS),
]
# One in so many runs by default.
EVERY = 25


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(job, id=" ".join(map(str, job[1:])), marks=[pytest.mark.slow] if index % EVERY else [])
        for index, job in enumerate(JOBS)
    ],
)
def test_what_cannot_be_right_is_refused(forked, tmp_path, job):
    function, *given = job
    with unchanged(tmp_path):
        raised(forked.call(function, *given, folder=tmp_path, seconds=30, memory=2 * GIB))
