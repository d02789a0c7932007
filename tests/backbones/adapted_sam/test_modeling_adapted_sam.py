"""What the adapter baselines have in common, on every host."""

import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import nano_sam2_config, nano_sam_config, tiny_config
from transformers import RobertaConfig, RobertaModel, Sam2VideoModel, SamModel, ViTConfig, ViTModel

import tiny_clips
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from tiny_clips import away_from_zero, check_reload

METHODS = {"sama": (SamaAvsConfig, SamaAvsModel), "gavs": (GavsConfig, GavsModel)}
HOSTS = ("sam", "sam2", "sam2-text")
CASES = [(method, host) for method in METHODS for host in HOSTS]
ON_SAM2 = [case for case in CASES if case[1] != "sam"]
SIZE = (40, 56)
OVERRIDES = {"sam": {}, "sam2": {"sam_config": nano_sam2_config(128)}, "sam2-text": {"use_text": True}}


def make_model(method="sama", host="sam", seed=0, **overrides):
    config_class, model_class = METHODS[method]
    torch.manual_seed(seed)
    model = away_from_zero(model_class(tiny_config(config_class, **{**OVERRIDES[host], **overrides})))
    if host != "sam":  # an object that is judged absent leaves no pointer in the memory
        with torch.no_grad():
            model.sam.mask_decoder.pred_obj_score_head.proj_out.bias.add_(20)
    return model


def make_inputs(host="sam", clips=1, frames=3, expressions=2, seed=1):
    inputs = tiny_clips.make_inputs(clips, frames, seed) | {"original_sizes": [SIZE] * clips}
    if host == "sam2-text":
        generator = torch.Generator().manual_seed(seed)
        inputs["input_ids"] = torch.randint(3, 300, (clips, expressions, 6), generator=generator)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs["attention_mask"][:, -1, 4:] = 0
    return inputs


def make_labels(inputs):
    expressions = inputs["input_ids"].shape[1] if "input_ids" in inputs else 1
    clips, frames = inputs["pixel_values"].shape[:2]
    return tiny_clips.make_labels(clips * expressions, frames, SIZE).unflatten(0, (clips, expressions))


def pick(inputs, clip, frames=slice(None)):
    """The inputs of one clip, or of some of its frames."""
    one = {name: value[clip : clip + 1] for name, value in inputs.items()}
    return {name: value[:, frames] if name.endswith(("values", "features")) else value for name, value in one.items()}


@pytest.mark.parametrize(("method", "host"), CASES)
def test_gradient_reaches_what_trains_and_nothing_else(method, host):
    model, inputs = make_model(method, host).train(), make_inputs(host)
    model(**inputs, labels=make_labels(inputs)).loss.backward()
    parameters = dict(model.named_parameters())
    with_gradient = {name for name, parameter in parameters.items() if parameter.grad is not None}
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    unread = {name for name in trained if "iou_prediction_head" in name} if host == "sam" else set()
    assert with_gradient == trained - unread
    assert all(parameters[name].grad.abs().max() > 0 for name in trained if name.startswith("adapters"))
    whole = {"sama": ("adapters.", "sam.mask_decoder."), "gavs": ("adapters.",)}[method]
    others = {name for name in trained if not name.startswith(whole)}
    if method == "sama":
        assert others == {"sam.prompt_encoder.no_mask_embed.weight"}
    else:
        assert others and all("layer_norm" in name and name.startswith("sam.vision_encoder") for name in others)
    assert not model.sam.training and not model.audio_encoder.training
    assert model.adapters.training and model.sam.mask_decoder.training == (method == "sama")


@pytest.mark.parametrize(("method", "host"), CASES)
@pytest.mark.parametrize("part", ["adapters", "mask_decoder"])
def test_what_trains_is_said_by_the_configuration(method, host, part):
    with torch.device("meta"):
        settings = {"train_adapters": part == "adapters", "train_mask_decoder": part == "mask_decoder"}
        model = METHODS[method][1](tiny_config(METHODS[method][0], **OVERRIDES[host], **settings))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(("mask_decoder" in name or "no_mask" in name) == (part == "mask_decoder") for name in trained)


@pytest.mark.parametrize(("method", "host"), CASES)
@torch.no_grad()
def test_a_batch_equals_single_runs_also_with_clips_of_different_length(method, host):
    model, inputs, lengths = make_model(method, host), make_inputs(host, clips=2), (3, 2)
    labels = make_labels(inputs)
    mask = torch.arange(3) < torch.tensor(lengths)[:, None]
    batch = model(**inputs, frame_mask=mask, labels=labels)
    losses = []
    for clip, length in enumerate(lengths):
        alone = model(**pick(inputs, clip, slice(length)), labels=labels[clip : clip + 1, :, :length])
        torch.testing.assert_close(batch.pred_masks[clip, :, :length], alone.pred_masks[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(batch.iou_scores[clip, :, :length], alone.iou_scores[0], atol=1e-5, rtol=1e-5)
        assert (batch.pred_masks[clip, :, length:] == -1024).all()
        losses.append(alone.loss * length)
    torch.testing.assert_close(batch.loss, sum(losses) / sum(lengths), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("method", "host"), CASES)
@torch.no_grad()
def test_it_hears_and_on_sam2_remembers(method, host):
    model, inputs = make_model(method, host), make_inputs(host)
    masks = model(**inputs).pred_masks
    louder = dict(inputs, input_features=inputs["input_features"].clone())
    louder["input_features"][:, 0] += 1
    changed = (model(**louder).pred_masks - masks).abs().amax((-2, -1))[0]
    assert (changed[:, 0] > 1e-5).all()
    assert (changed[:, 1:] > 1e-6).any() == (host != "sam")


@pytest.mark.parametrize(("method", "host"), CASES)
def test_masks_are_scored_at_the_size_they_come_back_at(method, host, tokenizer):
    """Scores and masks for a user take the same way, by the input's size, to any size."""
    model = make_model(method, host)
    processor = PROCESSORS[method].from_config(model.config, tokenizer if host == "sam2-text" else None)
    logits = torch.randn(1, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for size in (SIZE, (200, 130)):
        scaled = model.scale_masks(logits.flatten(0, 2), size)
        assert torch.equal(scaled.unflatten(0, (2, 3)) > 0, processor.post_process_masks(logits, [size])[0])
        assert not torch.allclose(scaled, F.interpolate(logits[0], size, mode="bilinear").flatten(0, 1), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_it_reads_and_each_expression_is_segmented_as_if_alone(method):
    model, inputs = make_model(method, "sam2-text"), make_inputs("sam2-text")
    masks = model(**inputs).pred_masks
    assert masks.shape == (1, 2, 3, 32, 32)
    assert (masks[:, 0] - masks[:, 1]).abs().max() > 1e-5
    for index in range(2):
        words = {name: inputs[name][:, index] for name in ("input_ids", "attention_mask")}
        alone = model(**{**inputs, **words}).pred_masks
        torch.testing.assert_close(alone[:, 0], masks[:, index], atol=1e-4, rtol=1e-4)
    longer = {name: torch.cat([inputs[name], 0 * inputs[name]], -1) for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(model(**{**inputs, **longer}).pred_masks, masks, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("method", "host"), ON_SAM2)
def test_the_frame_without_memory(method, host):
    model, seen = make_model(method, host), []
    decode = model.sam.mask_decoder.forward
    attend = model.sam.memory_attention.forward
    model.sam.mask_decoder.forward = lambda *args, **kwargs: (seen.append("decode"), decode(*args, **kwargs))[1]
    model.sam.memory_attention.forward = lambda *args, **kwargs: (seen.append("memory"), attend(*args, **kwargs))[1]
    with torch.no_grad():
        model(**make_inputs(host))
        assert seen == ["decode", "memory", "decode", "memory", "decode"]
    assert model.config.conditioning_frame == ("middle" if host == "sam2-text" else "first")


@pytest.mark.parametrize("first", ["first", "middle"])
@torch.no_grad()
def test_only_the_conditioning_frame_stands_alone(first):
    model, inputs = make_model(host="sam2", conditioning_frame=first), make_inputs("sam2")
    masks, frame = model(**inputs).pred_masks, 0 if first == "first" else 1
    for other in range(3):
        alone = model(**pick(inputs, 0, slice(other, other + 1))).pred_masks
        assert torch.allclose(alone[:, :, 0], masks[:, :, other], atol=1e-5) == (other == frame)


@torch.no_grad()
def test_without_adapters_it_is_stock_sam2_that_nobody_prompts():
    model, inputs = make_model(host="sam2", use_adapters=False), make_inputs("sam2", frames=1)
    points = -torch.ones(1, 1, 1, dtype=torch.int32)
    features = model.sam.get_image_features(inputs["pixel_values"][0]).fpn_hidden_states
    sparse, dense = model.sam.prompt_encoder(torch.zeros(1, 1, 1, 2), points, None, None)
    last = features[-1].permute(1, 2, 0).unflatten(-1, (8, 8)) + model.sam.no_memory_embedding.view(1, -1, 1, 1)
    masks, ious, _, scores = model.sam.mask_decoder(
        last,
        model.sam.get_image_wide_positional_embeddings(),
        sparse,
        dense,
        True,
        [features[0].permute(1, 2, 0).unflatten(-1, (32, 32)), features[1].permute(1, 2, 0).unflatten(-1, (16, 16))],
    )
    output = model(**inputs)
    best = ious[0, 0].argmax()
    torch.testing.assert_close(output.pred_masks[0, 0, 0], masks[0, 0, best], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.object_score_logits[0, 0], scores[0, 0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("method", "host"), [*CASES, ("gavs", "decoder")])
def test_gradient_checkpointing_changes_nothing_and_recomputes_the_encoder(method, host):
    settings, host = ({"train_mask_decoder": True}, "sam2") if host == "decoder" else ({}, host)
    inputs = make_inputs(host, expressions=1)
    gradients, calls = [], []
    for checkpointing in (False, True):
        model, count = make_model(method, host, **settings).train(), []
        if checkpointing:
            model.gradient_checkpointing_enable()
        encoder = model.sam.vision_encoder
        block = (encoder.layers if host == "sam" else encoder.backbone.blocks)[-1]
        block.attn.register_forward_hook(lambda *args, count=count: count.append(1))
        model(**inputs, labels=make_labels(inputs)).loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        calls.append(len(count))
    assert calls[1] == 2 * calls[0] > 0
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)
    for hooks in (block._forward_pre_hooks, block.mlp._forward_hooks):
        assert not hooks


@pytest.mark.parametrize(("method", "host"), ON_SAM2)
def test_either_loss_on_sam2(method, host):
    inputs = make_inputs(host)
    labels = make_labels(inputs)
    with torch.no_grad():
        losses = {
            kind: make_model(method, host, mask_loss=kind)(**inputs, labels=labels) for kind in ("sam2", "original")
        }
    assert set(losses["sam2"].loss_dict) == {"focal", "dice", "iou", "object"}
    assert set(losses["original"].loss_dict) == ({"bce", "soft_iou"} if method == "sama" else {"bce"})
    assert torch.equal(losses["sam2"].pred_masks, losses["original"].pred_masks)
    some = torch.tensor([[True, False, False]])
    with torch.no_grad():
        model = make_model(method, host)
        base = model(**inputs, labels=labels, label_mask=some).loss
        labels[:, :, 1:] = 1 - labels[:, :, 1:]
        torch.testing.assert_close(model(**inputs, labels=labels, label_mask=some).loss, base)


def test_saved_and_loaded_in_a_fresh_process_it_is_the_same(tmp_path):
    check_reload(tmp_path, [(make_model(method, host), make_inputs(host)) for method, host in CASES])


@pytest.mark.parametrize(("method", "host"), CASES)
def test_from_backbones_holds_the_published_weights(method, host, tmp_path):
    torch.manual_seed(7)
    sam = SamModel(nano_sam_config()) if host == "sam" else Sam2VideoModel(nano_sam2_config())
    text = RobertaModel(
        RobertaConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32), False
    )
    parts = {"sam": sam, "text": text}
    for name, part in parts.items():
        part.save_pretrained(tmp_path / name)
    audio = VggishModel(tiny_config(VggishConfig))
    fields = {"first_adapted_block": 1} if method == "gavs" else {}
    model = METHODS[method][1].from_backbones(
        str(tmp_path / "sam"), audio, str(tmp_path / "text"), use_text=host == "sam2-text", **fields
    )
    parts = parts if host == "sam2-text" else {"sam": sam}
    assert model.backbones().keys() == {*parts, "audio"}
    for name, part in {**parts, "audio": audio}.items():
        found = model.backbones()[name].state_dict()
        assert all(torch.equal(value, found[key]) for key, value in part.state_dict().items())


def test_another_host_is_refused(tmp_path):
    ViTModel(ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)).save_pretrained(
        tmp_path
    )
    with pytest.raises(ValueError, match=r"sam: .* is a 'vit' checkpoint, 'sam' or 'sam2_video' is needed"):
        GavsModel.from_backbones(str(tmp_path), VggishModel(tiny_config(VggishConfig)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("host", "change", "message"),
    [
        ("sam", {"input_ids": torch.ones(1, 1, 4).long()}, "input_ids: this model reads no text"),
        ("sam2-text", {"input_ids": None}, "input_ids: this model reads a sentence"),
        ("sam2-text", {"input_ids": torch.ones(2, 1, 4).long(), "attention_mask": None}, r"input_ids: .*\[1, exp"),
        ("sam2", {"image_embeddings": torch.zeros(1, 3, 128, 8, 8)}, "image_embeddings: only models on SAM"),
        ("sam2", {"pixel_values": torch.zeros(1, 3, 3, 64, 64)}, r"pixel_values: .*\[1, 3, 3, 128, 128\]"),
        ("sam2", {"frame_mask": torch.zeros(1, 3, dtype=torch.bool)}, "frame_mask: every clip"),
        ("sam2-text", {"labels": torch.zeros(1, 1, 3, 8, 8)}, r"labels: .*\[1, 2, 3, height, width\]"),
        ("sam2", {"output_attentions": True}, "output_attentions: .* no attention"),
    ],
)
def test_inputs_that_do_not_fit_are_named(method, host, change, message):
    with pytest.raises(ValueError, match=message):
        make_model(method, host)(**{**make_inputs(host), **change})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("host", "change", "message"),
    [
        ("sam", {"use_text": True, "sam_config": nano_sam_config()}, "use_text: sentences are read on a SAM2 host"),
        ("sam", {"conditioning_frame": "first"}, "conditioning_frame: SAM has no memory"),
        ("sam", {"mask_loss": "sam2"}, "mask_loss: 'sam2' teaches an object score"),
        ("sam", {"mask_loss": "other"}, "mask_loss: 'other' was given, accepted are 'original', 'sam2'"),
        ("sam2", {"conditioning_frame": "last"}, "conditioning_frame: 'last' was given"),
    ],
)
def test_configurations_that_cannot_be_are_refused(method, host, change, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(METHODS[method][0], **{**OVERRIDES[host], **change})


RATE = 16000
PROCESSORS = {"sama": SamaAvsProcessor, "gavs": GavsProcessor}


@pytest.mark.parametrize(("method", "host"), CASES)
@torch.no_grad()
def test_its_processor_feeds_it_and_comes_back_from_disk(method, host, tokenizer, tmp_path):
    read = {"vocab_size": len(tokenizer)} if host == "sam2-text" else {}
    model = METHODS[method][1](tiny_config(METHODS[method][0], **read, **OVERRIDES[host])).eval()
    saved = PROCESSORS[method].from_config(model.config, tokenizer if read else None)
    saved.save_pretrained(tmp_path)
    for processor in (saved, PROCESSORS[method].from_pretrained(tmp_path)):
        video, sound = torch.zeros(3, *SIZE, 3, dtype=torch.uint8), torch.zeros(3 * RATE)
        text = ["the red circle", "the square"] if read else None
        inputs = processor(video, sound, text, sampling_rate=RATE)
        assert inputs["pixel_values"].shape == (1, 3, 3, 128, 128)
        masks = processor.post_process_masks(model(**inputs).pred_masks, inputs["original_sizes"])
        assert masks[0].shape == ((2, 3, *SIZE) if read else (3, *SIZE))
        with pytest.raises(ValueError, match="text: "):
            processor(video, sound, None if read else "the dog", sampling_rate=RATE)


@pytest.mark.parametrize("method", METHODS)
def test_a_tokenizer_belongs_to_a_model_that_reads(method, tokenizer):
    config_class = METHODS[method][0]
    with pytest.raises(ValueError, match="tokenizer: missing"):
        PROCESSORS[method].from_config(tiny_config(config_class, use_text=True))
    with pytest.raises(ValueError, match="tokenizer: a model with use_text=False"):
        PROCESSORS[method].from_config(tiny_config(config_class), tokenizer)


@pytest.mark.parametrize(("method", "host"), CASES)
def test_the_loss_is_computed_in_single_precision(method, host):
    model, inputs = make_model(method, host).bfloat16(), make_inputs(host)
    halved = {
        name: value.bfloat16() if name in ("pixel_values", "input_features") else value
        for name, value in inputs.items()
    }
    assert model(**halved, labels=make_labels(inputs)).loss.dtype == torch.float32
