import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import Sam2ImageProcessor

from lavseg.backbones.vggish import VggishFeatureExtractor
from lavseg.media import MediaError, read_audio, read_video, write_video
from lavseg.modeling import outputs
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.modeling.processing import AudioVisualProcessor
from lavseg.models.sam2_love import Sam2LoveProcessor

RATE = 16000
TEXT = "the louder of the two dogs"


def make_frames(count=3, height=40, width=56, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def make_sound(seconds=3, channels=2, rate=RATE, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, seconds * rate)).astype(np.float32)


def edge(image_processor):
    return (image_processor.size["height"],) * 2


def assert_same(inputs, expected):
    assert inputs.keys() == expected.keys()
    for name, value in expected.items():
        if name == "original_sizes":
            assert inputs[name] == value
        else:
            assert inputs[name].dtype == value.dtype and torch.equal(inputs[name], value), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of four seconds with stereo sound, the same without sound, and a file that is only sound."""
    path, frames = tmp_path_factory.mktemp("clips"), make_frames(4, 48, 64)
    write_video(path / "loud.mp4", frames, 1.0, make_sound(4), RATE)
    write_video(path / "mute.mp4", frames, 1.0)
    write_video(path / "bark.mp4", frames[:1], 1.0, make_sound(3, seed=7), RATE)
    return path


KINDS_OF_VIDEO = {
    "tensor": torch.from_numpy,
    "PIL images": lambda frames: [Image.fromarray(frame) for frame in frames],
    "tuple of PIL images": lambda frames: tuple(Image.fromarray(frame) for frame in frames),
    "list of arrays": list,
    "RGBA images": lambda frames: [Image.fromarray(frame).convert("RGBA") for frame in frames],
    "read-only array": lambda frames: np.frombuffer(frames.tobytes(), np.uint8).reshape(frames.shape),
    "array with negative strides": lambda frames: frames[::-1].copy()[::-1],
    "tensor that is not contiguous": lambda frames: torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()).permute(
        0, 2, 3, 1
    ),
}


@pytest.mark.parametrize("convert", KINDS_OF_VIDEO.values(), ids=KINDS_OF_VIDEO)
@pytest.mark.filterwarnings("error")
def test_every_kind_of_video_gives_the_same_inputs(tiny_processor, convert):
    frames, sound = make_frames(), make_sound()
    expected = tiny_processor(frames, sound, TEXT, RATE)
    assert_same(tiny_processor(convert(frames), sound, TEXT, RATE), expected)


KINDS_OF_SOUND = {
    "tensor": torch.from_numpy,
    "double": lambda sound: sound.astype(np.float64),
    "mono [1, samples]": lambda sound: sound.mean(0, keepdims=True, dtype=np.float64),
    "mono [samples]": lambda sound: sound.mean(0, dtype=np.float64),
    "list of numbers": lambda sound: sound.mean(0, dtype=np.float64).tolist(),
}


@pytest.mark.parametrize("convert", KINDS_OF_SOUND.values(), ids=KINDS_OF_SOUND)
def test_every_kind_of_sound_gives_the_same_inputs(tiny_processor, convert):
    frames, sound = make_frames(), make_sound()
    expected = tiny_processor(frames, sound, TEXT, RATE)
    found = tiny_processor(frames, convert(sound), TEXT, RATE)
    torch.testing.assert_close(found["input_features"], expected["input_features"], atol=1e-6, rtol=0)


def test_names_shapes_and_types_of_one_clip(tiny_processor):
    inputs = tiny_processor(make_frames(), make_sound(), TEXT, sampling_rate=RATE)
    assert {name: (value.dtype, tuple(value.shape)) for name, value in inputs.items() if torch.is_tensor(value)} == {
        "pixel_values": (torch.float32, (1, 3, 3, *edge(tiny_processor.image_processor))),
        "vit_pixel_values": (torch.float32, (1, 3, 3, *edge(tiny_processor.vit_image_processor))),
        "frame_mask": (torch.bool, (1, 3)),
        "input_features": (torch.float32, (1, 3, 1, 96, 64)),
        "audio_mask": (torch.bool, (1, 3)),
        "input_ids": (torch.int64, (1, 1, 25)),
        "attention_mask": (torch.int64, (1, 1, 25)),
    }
    assert inputs["original_sizes"] == [(40, 56)]
    assert inputs["frame_mask"].all() and inputs["audio_mask"].all()


def test_arguments_by_position_and_by_name_are_the_same(tiny_processor):
    frames, sound = make_frames(), make_sound()
    named = tiny_processor(sampling_rate=RATE, text=TEXT, audio=sound, video=frames, return_tensors="pt")
    assert_same(tiny_processor(frames, sound, TEXT, RATE), named)


def test_what_users_of_transformers_type_is_taken(tiny_processor):
    frames, sound = make_frames(), make_sound()
    expected = tiny_processor([frames, frames[:2]], [sound, sound], [TEXT, "the dog"], RATE)
    heard = {"array": sound, "sampling_rate": RATE, "path": None}
    batch = {"videos": [frames, frames[:2]], "audio": [heard, heard], "text": [TEXT, "the dog"]}
    assert_same(tiny_processor(**batch, do_sample_frames=False), expected)
    told = {"audio": [sound, sound], "audio_kwargs": {"sampling_rate": RATE}}
    common = {"text_kwargs": {}, "images_kwargs": {}, "common_kwargs": {"return_tensors": "np"}}
    arrays = tiny_processor(**{**batch, **told, **common})
    assert all(isinstance(value, np.ndarray) for name, value in arrays.items() if name != "original_sizes")
    given = {name: value if name == "original_sizes" else torch.from_numpy(value) for name, value in arrays.items()}
    assert_same(given, expected)


@pytest.mark.parametrize("nested", [False, True], ids=["by themselves", "nested"])
def test_options_reach_tokenizer_and_image_processors(tiny_processor, nested):
    clip = {"video": make_frames(), "audio": make_sound(), "sampling_rate": RATE, "text": [TEXT, "the dog"]}

    def call(**options):
        kinds = {name: "images_kwargs" if name.startswith("do_") else "text_kwargs" for name in options}
        dictionaries = {kind: {n: v for n, v in options.items() if kinds[n] == kind} for kind in kinds.values()}
        return tiny_processor(**clip, **(dictionaries if nested else options))

    plain, changed = call(), call(max_length=9, do_normalize=False)
    assert changed["input_ids"].shape == changed["attention_mask"].shape == (1, 2, 9)
    assert torch.equal(changed["input_ids"][..., :8], plain["input_ids"][..., :8])
    for name in ("pixel_values", "vit_pixel_values"):
        assert plain[name].min() < 0 and changed[name].min() >= 0 and changed[name].max() <= 1
    longest = call(padding="longest")
    assert longest["input_ids"].shape[-1] == plain["attention_mask"].sum(-1).max() < 25


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_file_brings_its_own_sound(tiny_processor, folder, kind):
    clip = read_video(folder / "loud.mp4", 1.0)
    expected = tiny_processor(clip.frames, clip.waveform, TEXT, clip.sampling_rate)
    assert expected["pixel_values"].shape[1] == 4
    assert_same(tiny_processor(kind(folder / "loud.mp4"), text=TEXT), expected)


@pytest.mark.parametrize("video", ["loud.mp4", "mute.mp4"])
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_given_sound_takes_the_place_of_the_files(tiny_processor, folder, video, kind):
    waveform, rate = read_audio(folder / "bark.mp4")
    expected = tiny_processor(read_video(folder / video, 1.0).frames, waveform, TEXT, rate)
    assert_same(tiny_processor(folder / video, kind(folder / "bark.mp4"), TEXT), expected)
    assert_same(tiny_processor(folder / video, waveform, TEXT, rate), expected)


def test_a_file_is_read_at_the_processors_rate(folder, tiny_processor, monkeypatch):
    monkeypatch.setattr(tiny_processor, "fps", 0.5)
    inputs = tiny_processor(folder / "loud.mp4", text=TEXT)
    assert inputs["pixel_values"].shape[1] == 2 and inputs["input_features"].shape[1] == 4


@pytest.mark.parametrize(("name", "silent"), [("coffee.mp4", True), ("nasa.mp4", False)])
def test_real_clips(tiny_processor, media, name, silent):
    clip = read_video(media / name, 1.0)
    inputs = tiny_processor(media / name, text=[TEXT, "the speaker"])
    assert inputs["pixel_values"].shape[:2] == (1, len(clip.frames))
    assert inputs["original_sizes"] == [clip.frames.shape[1:3]]
    # A patch begins every 0.96 s and needs 0.975 s.
    seconds = len(clip.frames)
    assert inputs["input_features"].shape[1] == int((seconds - 0.015) / 0.96)
    assert inputs["input_ids"].shape == (1, 2, 25)
    assert (inputs["input_features"].std() < 1e-3) == silent


def test_what_was_made_before_takes_the_place_of_frames_and_sentences(tiny_processor):
    given = (make_frames(), make_sound(), [TEXT, "the violin"], RATE)
    plain, made = tiny_processor(*given), {"text_embeddings": torch.zeros(1, 2, 3, 4)}
    assert_same(tiny_processor.text_inputs([given[2]]), {name: plain[name] for name in ("input_ids", "attention_mask")})
    other = tiny_processor.with_text_inputs(lambda texts: made).with_image_inputs(lambda frames: {})(*given)
    kept = ("input_features", "audio_mask", "frame_mask", "original_sizes")
    assert_same(other, {**{name: plain[name] for name in kept}, **made})


def test_several_expressions_about_one_clip(tiny_processor):
    frames, sound = make_frames(), make_sound()
    texts = [TEXT, " the violin ", "the object making the most sound"]
    inputs = tiny_processor(frames, sound, texts, RATE)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (1, 3, 25)
    assert inputs["pixel_values"].shape[0] == 1
    for index, text in enumerate(texts):
        single = tiny_processor(frames, sound, text.strip(), RATE)
        assert torch.equal(inputs["input_ids"][:, index], single["input_ids"][:, 0])
        assert torch.equal(inputs["attention_mask"][:, index], single["attention_mask"][:, 0])


def test_a_batch_holds_each_clip_as_if_alone(tiny_processor, folder):
    """Clips of different length, size, kind, rate and sound."""
    clips = [make_frames(2), folder / "loud.mp4", [Image.fromarray(frame) for frame in make_frames(3, 24, 88, seed=1)]]
    sounds = [make_sound(2), None, make_sound(4, 1, 22050, seed=2)]
    rates = [RATE, None, 22050]
    texts = [["the dog", "the cat"], ["a", "b"], ["the piano", "the loudest"]]
    batch = tiny_processor(clips, sounds, texts, rates)
    assert batch["frame_mask"].sum(1).tolist() == [2, 4, 3]
    assert batch["audio_mask"].sum(1).tolist() == [2, 4, 4]
    assert batch["original_sizes"] == [(40, 56), (48, 64), (24, 88)]
    for index, arguments in enumerate(zip(clips, sounds, texts, rates, strict=True)):
        single = tiny_processor(*arguments)
        for name in ("pixel_values", "vit_pixel_values", "input_features"):
            length = single[name].shape[1]
            assert torch.equal(batch[name][index, :length], single[name][0]), name
            assert not batch[name][index, length:].any()
        for name in ("frame_mask", "audio_mask"):
            length = single[name].shape[1]
            assert batch[name][index, :length].all() and not batch[name][index, length:].any()
        assert torch.equal(batch["input_ids"][index], single["input_ids"][0])


def test_one_rate_and_one_expression_a_clip(tiny_processor):
    clips, sounds = [make_frames(2), make_frames(3)], [make_sound(2), make_sound(3)]
    one = tiny_processor(clips, sounds, ["the dog", "the cat"], RATE)
    assert_same(one, tiny_processor(tuple(clips), tuple(sounds), [["the dog"], ["the cat"]], (RATE, RATE)))


def test_a_list_of_one_clip_is_that_clip(tiny_processor):
    frames, sound = make_frames(), make_sound()
    assert_same(tiny_processor([frames], [sound], [TEXT], [RATE]), tiny_processor(frames, sound, TEXT, RATE))


def test_each_sound_is_resampled_from_its_own_rate(tiny_processor):
    time = np.arange(44100 * 2) / 44100
    tones = [np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 440 * time[: 2 * 22050] * 2)]
    features = tiny_processor([make_frames(2)] * 2, tones, ["a", "b"], [44100, 22050])["input_features"]
    torch.testing.assert_close(features[0], features[1], atol=0.02, rtol=0)
    wrong = tiny_processor([make_frames(2)] * 2, tones, ["a", "b"], 44100)
    assert not wrong["audio_mask"].all()


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3),
    expressions=st.integers(1, 3),
)
def test_any_batch_has_the_documented_shapes(tiny_processor, sizes, expressions):
    frames = [make_frames(count, height, width) for count, height, width in sizes]
    sounds = [make_sound(count, 1) for count, *_ in sizes]
    inputs = tiny_processor(frames, sounds, [[TEXT] * expressions] * len(sizes), RATE)
    batch, longest = len(sizes), max(count for count, *_ in sizes)
    assert inputs["pixel_values"].shape == (batch, longest, 3, *edge(tiny_processor.image_processor))
    assert inputs["vit_pixel_values"].shape == (batch, longest, 3, *edge(tiny_processor.vit_image_processor))
    assert inputs["frame_mask"].sum(1).tolist() == [count for count, *_ in sizes]
    assert inputs["audio_mask"].sum(1).tolist() == [count for count, *_ in sizes]
    assert inputs["input_ids"].shape == (batch, expressions, 25)
    assert inputs["original_sizes"] == [(height, width) for _, height, width in sizes]


def test_outputs_go_to_a_device_and_a_precision(tiny_processor):
    inputs = tiny_processor(make_frames(), make_sound(), TEXT, RATE)
    halved = inputs.to(torch.bfloat16)
    for name in ("pixel_values", "vit_pixel_values", "input_features"):
        assert halved[name].dtype == torch.bfloat16
    assert halved["frame_mask"].dtype == torch.bool and halved["input_ids"].dtype == torch.int64
    moved = halved.to("meta")
    assert all(value.device.type == "meta" for value in moved.values() if torch.is_tensor(value))
    assert moved["original_sizes"] == [(40, 56)]


FRAMES, SOUND = make_frames(), make_sound()
TWO = {"video": [FRAMES, FRAMES], "audio": [SOUND, SOUND], "text": ["a", "b"]}

# What is given, and what the message has to name: the argument, what it got and what it takes.
REFUSED = {
    "no video": ({"video": None}, r"^video: a path, .* is needed"),
    "number as video": ({"video": 5}, r"^video: has to be a path, .* got int"),
    "no frames": ({"video": []}, r"^video: the clip has no frames, it takes at least one"),
    "empty array": ({"video": FRAMES[:0]}, r"^video: has to be \[T, H, W, 3\] .*got \[0, 40, 56, 3\]"),
    "channels first": ({"video": FRAMES.transpose(0, 3, 1, 2)}, r"^video: has to be \[T, H, W, 3\].*\[3, 3, 40, 56\]"),
    "one image": ({"video": FRAMES[0]}, r"^video: has to be \[T, H, W, 3\].*got \[40, 56, 3\]"),
    "batch as one array": ({"video": FRAMES[None]}, r"^video: has to be \[T, H, W, 3\].*got \[1, 3, 40, 56, 3\]"),
    "floats": ({"video": FRAMES / 255}, r"^video: has to hold uint8 .*got float64"),
    "float tensor": ({"video": torch.zeros(2, 8, 8, 3)}, r"^video: has to hold uint8 .*got torch.float32"),
    "objects": ({"video": FRAMES.astype(object)}, r"^video: has to hold uint8 .*got object"),
    "frames of two sizes": ({"video": [FRAMES[0], FRAMES[1, :20]]}, r"^video: .*one size, got \[\(20.*\(40"),
    "frames of no kind": ({"video": [FRAMES[0], None]}, r"^video: .*PIL images, got a NoneType at index 1"),
    "file among frames": ({"video": [FRAMES[0], "a.mp4"]}, r"^video: .*PIL images, got a str at index 1"),
    "no sound": ({"audio": None}, r"^audio: missing; pass a path or a waveform"),
    "no rate": ({"sampling_rate": None}, r"^sampling_rate: missing for audio; .*in Hz, such as"),
    "rate of zero": ({"sampling_rate": 0}, r"^audio: sampling_rate .*positive whole number of Hz.*got 0"),
    "rate as text": ({"sampling_rate": "44k"}, r"^audio: sampling_rate .*got '44k'"),
    "several sounds of one clip": ({"audio": [SOUND, SOUND]}, r"^audio: one clip takes one .*got a list of ndarray"),
    "several files of one clip": ({"audio": ["a.wav"]}, r"^audio: one clip takes one .*got a list of str"),
    "sound of no kind": ({"audio": {1.0}}, r"^audio: waveform must be an array.*got set"),
    "sound without a rate": ({"audio": {"array": SOUND}}, r"^audio: .*'array' and 'sampling_rate', got array$"),
    "two rates": (
        {"audio": {"array": SOUND, "sampling_rate": 8000}},
        r"^sampling_rate: 16000 was given, but audio says 8000; leave it out",
    ),
    "video twice": ({"videos": FRAMES}, r"^videos: video was given, too; pass one of them"),
    "frames to be chosen": ({"do_sample_frames": True}, r"^do_sample_frames: all frames given are taken"),
    "no such option": ({"max_len": 5}, r"^processor: unknown key 'max_len'; did you mean 'max_length'\?"),
    "no such option of text": ({"text_kwargs": {"stride": 5}}, r"^text_kwargs: unknown key 'stride'"),
    "options that are none": ({"text_kwargs": 5}, r"^text_kwargs: takes options by name, got 5"),
    "an option twice": (
        {"max_length": 5, "text_kwargs": {"max_length": 5}},
        r"^max_length: was given twice, in text_kwargs and by itself",
    ),
    "text of no length": ({"max_length": 0}, r"^max_length: has to be a whole number above 0, up to 10000, got 0"),
    "images not finite": ({"image_std": [0.1, 0.0, 0.1]}, r"^images_kwargs: image_std has to be other than 0"),
    "three axes": ({"audio": SOUND[None]}, r"^audio: waveform must be \[samples\].*got shape \[1, 2, 48000\]"),
    "not finite": ({"audio": SOUND * np.nan}, r"^audio: waveform has NaN"),
    "transposed": ({"audio": SOUND.T}, r"^audio: waveform of shape \[48000, 2\].*transpose"),
    "empty sound": ({"audio": SOUND[:, :0]}, r"^audio: waveform is empty"),
    "no text": ({"text": None}, r"^text: Sam2LoveProcessor needs an expression"),
    "no expressions": ({"text": []}, r"^text: has to be a string or a list of strings, got \[\]"),
    "number as text": ({"text": 7}, r"^text: has to be a string or a list of strings, got 7"),
    "number in text": ({"text": ["a", 7]}, r"^text: has to be .*list of strings, got a int in it"),
    "blank": ({"text": ["a", " \n"]}, r"^text: an expression is empty"),
    "lists out": ({"return_tensors": None}, r"^return_tensors: None was given, accepted are 'pt' and 'np'"),
    "one sound for two": ({**TWO, "audio": SOUND}, r"^audio: the 2 clips .*list of 2 paths or waveforms, got ndarray"),
    "three sounds for two": ({**TWO, "audio": [SOUND] * 3}, r"^audio: the 2 clips .*list of 2 .*got 3"),
    "one text for two": ({**TWO, "text": "ab"}, r"^text: the 2 clips .*list of 2 expressions.*got str"),
    "a number for two": ({**TWO, "text": 2}, r"^text: the 2 clips .*list of 2 expressions.*got int"),
    "one in a list for two": ({**TWO, "text": ["ab"]}, r"^text: the 2 clips .*list of 2 expressions.*got 1"),
    "blank in the second": ({**TWO, "text": ["a", [""]]}, r"^text\[1\]: an expression is empty"),
    "uneven expressions": ({**TWO, "text": ["a", ["b", "c"]]}, r"^text: every clip .*same number.*got \[1, 2\]"),
    "three rates for two": ({**TWO, "sampling_rate": [RATE] * 3}, r"^sampling_rate: the 2 clips .*2 rates.*got 3"),
    "second rate missing": ({**TWO, "sampling_rate": [RATE, None]}, r"^sampling_rate: missing for audio\[1\]"),
    "second sound missing": ({**TWO, "audio": [SOUND, None]}, r"^audio\[1\]: missing"),
    "second sound bad": ({**TWO, "audio": [SOUND, SOUND * np.inf]}, r"^audio\[1\]: waveform has NaN"),
    "second clip bad": ({**TWO, "video": [FRAMES, FRAMES / 255]}, r"^video\[1\]: has to hold uint8"),
    "sound too long": ({"audio": make_sound(5)}, r"^audio: lasts 5 s at 16000 Hz, the 3 frames 3 s at 1 frames per"),
    "sound too short": ({"audio": make_sound(1).T[:16000].T}, r"^audio: lasts 1 s at 16000 Hz, the 3 frames 3 s"),
    "rate of another sound": ({"sampling_rate": 48000}, r"^audio: lasts 1 s at 48000 Hz"),
    "rate of one": ({"sampling_rate": 1}, r"^audio: lasts 4.8e\+04 s at 1 Hz"),
    "second clip empty": ({**TWO, "video": [[FRAMES[0]] * 2, []]}, r"^video\[1\]: the clip has no frames"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_named(tiny_processor, change, message):
    arguments = {"video": FRAMES, "audio": SOUND, "text": TEXT, "sampling_rate": RATE, **change}
    with pytest.raises(ValueError, match=message):
        tiny_processor(**arguments)


def test_files_that_cannot_be_used_are_named(tiny_processor, folder):
    with pytest.raises(ValueError, match=r"^audio: .*mute.mp4 carries no sound; pass audio="):
        tiny_processor(folder / "mute.mp4", text=TEXT)
    with pytest.raises(ValueError, match=r"^audio\[1\]: .*mute.mp4 carries no sound"):
        tiny_processor([folder / "loud.mp4", folder / "mute.mp4"], text=["a", "b"])
    with pytest.raises(MediaError, match=r"absent.mp4: no such file"):
        tiny_processor(folder / "absent.mp4", text=TEXT)
    with pytest.raises(MediaError, match=r"mute.mp4: holds no sound"):
        tiny_processor(FRAMES, folder / "mute.mp4", TEXT)


class WordlessProcessor(AudioVisualProcessor):
    """A method without sentences and with stereo sound."""

    needs_text = False

    def __init__(self, image_processor, feature_extractor):
        super().__init__(image_processor, feature_extractor)

    def image_inputs(self, frames, **images_kwargs):
        return {"pixel_values": self.image_processor(frames, return_tensors="pt", **images_kwargs)["pixel_values"]}


@pytest.fixture(scope="module")
def wordless():
    size = {"height": 64, "width": 64}
    return WordlessProcessor(Sam2ImageProcessor(size=size), VggishFeatureExtractor(num_channels=2))


def test_a_method_without_sentences_takes_none(wordless):
    inputs = wordless(FRAMES, SOUND, sampling_rate=RATE)
    assert inputs.keys() == {"pixel_values", "frame_mask", "input_features", "audio_mask", "original_sizes"}
    assert inputs["input_features"].shape == (1, 3, 2, 96, 64)
    with pytest.raises(ValueError, match=r"^text: WordlessProcessor reads no text; leave it out$"):
        wordless(FRAMES, SOUND, "dog", RATE)


def logits(batch=2, expressions=2, frames=3, size=8, seed=0):
    return torch.randn(batch, expressions, frames, size, size, generator=torch.Generator().manual_seed(seed))


def test_masks_come_back_at_each_clips_size(tiny_processor):
    masks = tiny_processor.post_process_masks(logits(), [(40, 56), (5, 9)])
    assert [mask.shape for mask in masks] == [(2, 3, 40, 56), (2, 3, 5, 9)]
    assert all(mask.dtype == torch.bool for mask in masks)


@pytest.mark.parametrize(
    ("expressions", "frames", "shape"), [(1, 3, (3, 4, 5)), (1, 1, (1, 4, 5)), (2, 1, (2, 1, 4, 5))]
)
def test_only_a_single_expression_drops_its_axis(tiny_processor, expressions, frames, shape):
    assert tiny_processor.post_process_masks(logits(1, expressions, frames), [(4, 5)])[0].shape == shape


def test_masks_at_the_logits_own_size_are_their_sign(tiny_processor):
    values = logits()
    masks = tiny_processor.post_process_masks(values, [(8, 8), (8, 8)])
    assert torch.equal(torch.stack(masks), values > 0)


@pytest.mark.parametrize("threshold", [-0.7, 0.0, 0.3])
def test_a_mask_is_where_the_interpolated_logit_exceeds_the_threshold(tiny_processor, threshold):
    """Against interpolation written out: pixel centres, edges repeated."""
    values, (height, width) = logits(1, 1, 1, 4)[0, 0, 0].double(), (7, 10)

    def weights(target, source):
        position = ((torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5).clamp(0, source - 1)
        return (1 - (position[:, None] - torch.arange(source)).abs()).clamp(min=0)

    expected = weights(height, 4) @ values @ weights(width, 4).T > threshold
    found = tiny_processor.post_process_masks(values[None, None, None], [(height, width)], mask_threshold=threshold)[0]
    assert torch.equal(found[0], expected)


def test_soft_masks_are_the_interpolated_logits_themselves(tiny_processor):
    values, mask = logits(), torch.tensor([[True, True, False], [True, True, True]])
    soft = tiny_processor.post_process_masks(values.half(), [(40, 56), (5, 9)], mask, binarize=False)
    hard = tiny_processor.post_process_masks(values.half(), [(40, 56), (5, 9)], mask, mask_threshold=0.2)
    assert [mask.shape for mask in soft] == [(2, 2, 40, 56), (2, 3, 5, 9)] and soft[0].dtype == torch.float32
    assert all(torch.equal(a > 0.2, b) for a, b in zip(soft, hard, strict=True))


def test_padding_frames_are_left_out(tiny_processor):
    values, mask = logits(), torch.tensor([[True, True, False], [True, True, True]])
    cut = tiny_processor.post_process_masks(values, [(16, 16)] * 2, frame_mask=mask)
    whole = tiny_processor.post_process_masks(values, [(16, 16)] * 2)
    assert torch.equal(cut[0], whole[0][:, :2]) and torch.equal(cut[1], whole[1])


def test_frames_judged_empty_stay_empty(tiny_processor):
    assert not tiny_processor.post_process_masks(torch.full((1, 1, 2, 8, 8), -1024.0), [(40, 56)])[0].any()


def test_half_precision_and_sizes_as_a_tensor(tiny_processor):
    values = logits().bfloat16()
    found = tiny_processor.post_process_masks(values, torch.tensor([[40, 56], [5, 9]]))
    expected = tiny_processor.post_process_masks(values.float(), [(40, 56), (5, 9)])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_long_clip_is_scaled_in_parts(tiny_processor, monkeypatch):
    values, parts, interpolate = logits(1, 2, 41), [], torch.nn.functional.interpolate

    def recorded(part, *args, **kwargs):
        parts.append(len(part))
        return interpolate(part, *args, **kwargs)

    monkeypatch.setattr(outputs.F, "interpolate", recorded)
    found = tiny_processor.post_process_masks(values, [(24, 20)])[0]
    assert max(parts) <= 16 and sum(parts) == 82
    assert torch.equal(found, interpolate(values[0], (24, 20), mode="bilinear") > 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": logits()[0]}, r"^pred_masks: has to be \[B, E, T, h, w\].*got \[2, 3, 8, 8\] and 2 sizes"),
        ({"original_sizes": [(4, 4)]}, r"^pred_masks: .*one entry of original_sizes per clip.*and 1 sizes"),
        ({"original_sizes": [(4, 4), (4, 4, 3)]}, r"^original_sizes: .*\(height, width\).*\(4, 4, 3\)"),
        ({"original_sizes": [(4, 4), (0, 4)]}, r"^original_sizes: .*\(0, 4\)"),
        ({"frame_mask": torch.ones(2, 4, dtype=torch.bool)}, r"^frame_mask: has to be bool \[2, 3\].*got .*\[2, 4\]"),
        ({"frame_mask": torch.ones(2, 3, dtype=torch.long)}, r"^frame_mask: has to be bool \[2, 3\].*got torch.int64"),
        ({"mask_threshold": float("nan")}, r"^mask_threshold: has to be a finite number, got nan"),
        ({"mask_threshold": "0"}, r"^mask_threshold: has to be a finite number, got '0'"),
        ({"mask_threshold": float("inf")}, r"^mask_threshold: has to be a finite number, got inf"),
        ({"outputs": logits() + float("nan")}, r"^pred_masks: the model gives NaN"),
        ({"outputs": logits() / 0}, r"^pred_masks: the model gives NaN or infinite values"),
    ],
)
def test_masks_that_do_not_fit_are_named(tiny_processor, change, message):
    with pytest.raises(ValueError, match=message):
        tiny_processor.post_process_masks(**{"outputs": logits(), "original_sizes": [(4, 4), (4, 4)], **change})


class Deaf(Sam2LoveProcessor):
    needs_audio = False


def test_a_method_that_hears_nothing_takes_video_and_text_alone(tiny_processor):
    parts = (tiny_processor.image_processor, tiny_processor.vit_image_processor, tiny_processor.feature_extractor)
    deaf = Deaf(*parts, tiny_processor.tokenizer)
    frames = np.zeros((3, 20, 30, 3), np.uint8)
    inputs = deaf(frames, text="the red circle")
    assert list(inputs) == sorted(deaf.model_input_names, key=list(inputs).index) and "input_features" not in inputs
    with pytest.raises(ValueError, match=r"^audio: Deaf hears nothing; leave it out"):
        deaf(frames, np.zeros(16000, np.float32), "the red circle", sampling_rate=16000)


def test_masks_are_emptied_by_the_judgements_that_there_are(tiny_processor):
    logits = torch.ones(1, 2, 2, 4, 4)
    present = AudioVisualSegmentationOutput(pred_masks=logits, presence_logits=torch.tensor([[1.0, -1.0]]))
    assert tiny_processor.gate_masks(present).amax((-3, -2, -1)).tolist() == [[1.0, -1024.0]]
    visible = AudioVisualSegmentationOutput(
        pred_masks=logits, object_score_logits=torch.tensor([[[1.0, -1.0], [1.0, 1.0]]])
    )
    assert tiny_processor.gate_masks(visible).amax((-2, -1)).tolist() == [[[1.0, -1024.0], [1.0, 1.0]]]


def test_former_names_of_arguments_are_read(tiny_processor, caplog):
    logits = torch.ones(1, 1, 2, 4, 4)
    with pytest.deprecated_call(match="pred_masks: is called outputs now"):
        (found,) = tiny_processor.post_process_masks(pred_masks=logits, original_sizes=[(4, 4)])
    with pytest.deprecated_call(match="threshold: is called mask_threshold now"):
        (none,) = tiny_processor.post_process_masks(logits, [(4, 4)], threshold=2.0)
    assert found.all() and not none.any()
    with pytest.deprecated_call(match="frames_per_second: is called fps now"):
        assert tiny_processor.frames_per_second == 1.0
    with pytest.deprecated_call(match="losses: is called loss_dict now"):
        assert AudioVisualSegmentationOutput(loss_dict={"bce": logits})["losses"] == {"bce": logits}


def test_a_clip_by_itself_is_not_copied(tiny_processor):
    prepared = torch.rand(3, 4)
    serving = tiny_processor.with_image_inputs(lambda frames, **options: {"pixel_values": prepared})
    frames, sound = make_frames(), make_sound()
    one = serving(frames, sound, TEXT, RATE)["pixel_values"]
    two = serving([frames] * 2, [sound] * 2, [[TEXT]] * 2, RATE)["pixel_values"]
    assert one.data_ptr() == prepared.data_ptr() and torch.equal(one[0], prepared)
    assert torch.equal(two, torch.stack([prepared] * 2))
