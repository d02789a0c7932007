"""What the adapter baselines have in common, on every host."""

import pytest
import torch
from tiny.configurations import nano_sam2_config, nano_sam_config, tiny_config
from transformers import RobertaConfig, RobertaModel, Sam2VideoModel, SamModel, ViTConfig, ViTModel

import tiny_clips
from lavseg.backbones.sam2.tracking_sam2 import ImageFeatures, Sam2Tracker
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.gavs import GavsConfig, GavsModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from tiny_clips import away_from_zero

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
def test_it_hears_and_on_sam2_remembers(method, host):
    model, inputs = make_model(method, host), make_inputs(host)
    masks = model(**inputs).pred_masks
    louder = dict(inputs, input_features=inputs["input_features"].clone())
    louder["input_features"][:, 0] += 1
    changed = (model(**louder).pred_masks - masks).abs().amax((-2, -1))[0]
    assert (changed[:, 0] > 1e-5).all()
    assert (changed[:, 1:] > 1e-6).any() == (host != "sam")


@pytest.mark.parametrize(("method", "host"), CASES)
@torch.no_grad()
def test_adapters_are_handed_tensors_and_no_part_of_the_host(method, host):
    """A device map moves whatever a module is called with to that module's device, the weights of a host too."""
    model, inputs, called = make_model(method, host), make_inputs(host), []
    expected = model(**inputs).pred_masks

    def see(module, args, kwargs):
        called.append([type(value) for value in (*args, *kwargs.values()) if hasattr(value, "to")])

    for module in model.adapters.modules():
        module.register_forward_pre_hook(see, with_kwargs=True)
    torch.testing.assert_close(model(**inputs).pred_masks, expected)
    assert called and {kind for kinds in called for kind in kinds} == {torch.Tensor}


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
        ("sam2-text", {"input_ids": torch.ones(2, 1, 4).long(), "attention_mask": None}, r"input_ids: .*\[1, exp"),
        (
            "sam2",
            {"pixel_values": None, "image_embeddings": torch.zeros(1, 3, 128, 8, 8)},
            "image_embeddings: a model on",
        ),
        ("sam2", {"output_attentions": True}, "output_attentions: .* no attention"),
    ],
)
def test_inputs_that_do_not_fit_are_named(method, host, change, message):
    with pytest.raises(ValueError, match=message):
        make_model(method, host)(**{**make_inputs(host), **change})


@pytest.mark.parametrize(("method", "host"), CASES)
def test_the_loss_is_computed_in_single_precision(method, host):
    model, inputs = make_model(method, host).bfloat16(), make_inputs(host)
    halved = {
        name: value.bfloat16() if name in ("pixel_values", "input_features") else value
        for name, value in inputs.items()
    }
    assert model(**halved, labels=make_labels(inputs)).loss.dtype == torch.float32


@torch.no_grad()
@pytest.mark.parametrize(("method", "host"), ON_SAM2)
def test_what_a_user_shows_of_an_object_is_seen_first_and_without_memory(method, host):
    model, inputs = make_model(method, host), make_inputs(host, clips=2)
    expressions = 2 if "text" in host else 1
    generator = torch.Generator().manual_seed(5)
    points = 128 * torch.rand(2, expressions, 2, 3, 2, generator=generator)
    labels = torch.tensor([1, 0, -1], dtype=torch.int32).expand(points.shape[:-1])
    shown = {"input_points": points, "input_labels": labels, "prompt_frames": [2, 0]}
    found, plain = model(**inputs, **shown), model(**inputs)
    assert ((found.pred_masks - plain.pred_masks).abs().amax((3, 4)) > 1e-5).all()
    # Each clip, and each object of it, has its own points; on such a frame nothing else is remembered.
    one, at = pick(inputs, 1), slice(2, 3)
    alone = {
        name: value[1:, ..., :1, :, :] if name == "input_points" else value[1:, :, :1]
        for name, value in shown.items()
        if name != "prompt_frames"
    }
    one |= {name: value[:, at] for name, value in one.items() if name in ("pixel_values", "input_features")}
    torch.testing.assert_close(
        model(**one, **alone).pred_masks[:, :, 0], found.pred_masks[1:, :, 2], atol=1e-3, rtol=1e-3
    )


@torch.no_grad()
def test_points_on_sam2_without_sound_are_sam2s_own():
    model = make_model("sama", "sam2", use_adapters=False)
    inputs = make_inputs("sam2", frames=1)
    points, labels = torch.tensor([[[[60.0, 50.0]]]]), torch.ones(1, 1, 1, dtype=torch.int32)
    sparse, dense = model.sam.prompt_encoder(points, labels, None, None)
    tracker = Sam2Tracker(model.sam, 1)
    features = ImageFeatures(*model.sam.encode(inputs["pixel_values"][0]))
    expected = tracker.prompt(features, sparse[:, 0], dense).masks
    torch.testing.assert_close(model(**inputs, input_points=points, input_labels=labels).pred_masks[0, 0], expected)
    mask = torch.zeros(1, 1, *model.sam.prompt_encoder.mask_input_size)
    masked = model(**inputs, input_masks=mask).pred_masks[0, 0]
    _, dense = model.sam.prompt_encoder(None, None, None, mask[0][None])
    torch.testing.assert_close(masked, tracker.prompt(features, tracker.empty_prompt, dense).masks)


@pytest.mark.parametrize("method", METHODS)
def test_on_sam_nobody_shows_anything(method):
    model, inputs = make_model(method), make_inputs()
    for shown in ({"input_boxes": torch.zeros(1, 1, 4)}, {"prompt_frames": [0]}):
        with pytest.raises(
            ValueError, match=f"^{next(iter(shown))}: {type(model).__name__} takes no prompts of a user"
        ):
            model(**inputs, **shown)
