import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import (
    CLIPTextConfig,
    CLIPVisionConfig,
    RobertaConfig,
    RobertaModel,
    Sam2VideoModel,
    ViTConfig,
    ViTModel,
)

from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel


def make_model(seed=0, **overrides):
    torch.manual_seed(seed)
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig, **overrides)).eval()
    with torch.no_grad():  # away from zero-initialised parts, and with objects that are judged visible
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
        model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias.add_(5)
    return model


def make_inputs(clips=1, frames=4, expressions=1, seed=1, tokens=25):
    generator = torch.Generator().manual_seed(seed)
    return {
        "pixel_values": torch.randn(clips, frames, 3, 128, 128, generator=generator),
        "vit_pixel_values": torch.randn(clips, frames, 3, 96, 96, generator=generator),
        "input_features": torch.randn(clips, frames, 1, 96, 64, generator=generator),
        "input_ids": torch.randint(3, 390, (clips, expressions, tokens), generator=generator),
        "attention_mask": torch.ones(clips, expressions, tokens, dtype=torch.long),
    }


def make_labels(clips=1, frames=4, expressions=1, size=(56, 72)):
    labels = torch.zeros(clips, expressions, frames, *size, dtype=torch.uint8)
    labels[..., 10:30, 20:50] = 1
    return labels


def clip_of(inputs, index, frames=None):
    return {name: value[index : index + 1] for name, value in inputs.items()}


def test_trainable_parameters_and_sequence_lengths_at_the_defaults():
    with torch.device("meta"):
        model = Sam2LoveModel(Sam2LoveConfig())
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert sum(trainable.values()) == 85_969_553
    assert {name.split(".")[0] for name in trainable} == {"prompter", "sam2"}
    count = lambda prefix: sum(n for name, n in trainable.items() if name.startswith(prefix))  # noqa: E731
    assert count("prompter.fusion.layers") == 75_577_344
    assert count("sam2.mask_decoder") == 4_215_109
    assert count("sam2.prompt_encoder") == 6_220
    assert count("prompter.projector") == 1_312_000


@pytest.mark.parametrize(("accumulate_history", "expected"), [(True, list(range(235, 245))), (False, [234] * 10)])
@torch.no_grad()
def test_the_fused_sequence_grows_by_class_tokens_alone(accumulate_history, expected):
    model = make_model(
        accumulate_history=accumulate_history,
        vision_config={
            "model_type": "vit",
            "image_size": 224,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
    )
    lengths = []
    model.prompter.fusion.layers[0].register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[1]))
    inputs = make_inputs(frames=10)
    inputs["vit_pixel_values"] = torch.randn(1, 10, 3, 224, 224)
    model(**inputs)
    assert lengths == expected


@torch.no_grad()
def test_text_padding_does_not_change_the_result():
    model = make_model()
    short = make_inputs(tokens=7)
    padded = dict(short)
    padded["input_ids"] = torch.cat([short["input_ids"], torch.ones(1, 1, 18, dtype=torch.long)], -1)
    padded["attention_mask"] = torch.cat([short["attention_mask"], torch.zeros(1, 1, 18, dtype=torch.long)], -1)
    torch.testing.assert_close(model(**padded).pred_masks, model(**short).pred_masks, atol=1e-4, rtol=0)
    open_model = make_model(mask_text_padding=False)
    difference = open_model(**padded).prompt_embeddings - open_model(**short).prompt_embeddings
    assert difference.abs().max() > 1e-4


@torch.no_grad()
def test_expressions_share_every_encoder_pass_and_equal_single_runs():
    model = make_model()
    inputs = make_inputs(frames=3, expressions=3)
    counts = {"images": 0, "frames": 0, "patches": 0}

    def count(name):
        def hook(module, args, kwargs):
            counts[name] += len(args[0] if args else kwargs["pixel_values"])

        return hook

    handles = [
        model.sam2.vision_encoder.backbone.register_forward_pre_hook(count("images"), with_kwargs=True),
        model.vision_encoder.register_forward_pre_hook(count("frames"), with_kwargs=True),
        model.audio_encoder.register_forward_pre_hook(count("patches"), with_kwargs=True),
    ]
    together = model(**inputs)
    assert counts == {"images": 3, "frames": 3, "patches": 1}
    for handle in handles:
        handle.remove()
    for index in range(3):
        single = dict(
            inputs, input_ids=inputs["input_ids"][:, index], attention_mask=inputs["attention_mask"][:, index]
        )
        alone = model(**single).pred_masks
        torch.testing.assert_close(together.pred_masks[:, index : index + 1], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("decoder", [True, False])
@pytest.mark.parametrize("prompt_encoder", [True, False])
def test_which_sam2_parts_train(decoder, prompt_encoder):
    model = make_model(train_mask_decoder=decoder, train_prompt_encoder=prompt_encoder)
    assert all(p.requires_grad == decoder for p in model.sam2.mask_decoder.parameters())
    assert all(p.requires_grad == prompt_encoder for p in model.sam2.prompt_encoder.parameters())
    assert not any(p.requires_grad for p in model.sam2.vision_encoder.parameters())


def test_evaluation_gives_the_training_loss_and_the_whole_clip():
    model = make_model()
    inputs, labels = make_inputs(), make_labels()
    with torch.no_grad():
        evaluated = model(**inputs, labels=labels)
    trained = model.train()(**inputs, labels=labels)
    torch.testing.assert_close(evaluated.loss, trained.loss.detach(), atol=1e-5, rtol=1e-5)
    assert evaluated.pred_masks.shape == (1, 1, 4, 32, 32)
    assert trained.pred_masks.shape == (1, 1, 1, 32, 32)


def test_only_the_first_frames_label_counts_and_unlabelled_clips_do_not():
    model = make_model().train()
    inputs, labels = make_inputs(clips=2), make_labels(clips=2)
    base = model(**inputs, labels=labels).loss
    later = labels.clone()
    later[:, :, 1:] = 1 - later[:, :, 1:]
    torch.testing.assert_close(model(**inputs, labels=later).loss, base)
    mask = torch.tensor([[True] * 4, [False] * 4])
    first_alone = model(**clip_of(inputs, 0), labels=labels[:1]).loss
    torch.testing.assert_close(model(**inputs, labels=labels, label_mask=mask).loss, first_alone, atol=1e-5, rtol=1e-5)


SWITCHES = [
    {"num_seg_tokens": 4},
    {"num_hidden_layers": 1},
    {"accumulate_history": False},
    {"prompt_pooling": "mean"},
    {"learn_modality_tokens": True},
    {"final_layer_norm": False},
    {"mask_selection": "min_loss", "loss_weights": {"iou": 1.0}},
    {"mask_selection": "single"},
    {"loss_size": "low_res"},
    {"loss_weights": {"object": 1.0}},
    {"presence_head": True},
    {"key_frame": "best"},
    {"handoff": "mask"},
    {"audio_temporal_embedding": True},
    {"seg_readout": "mean"},
    {"seg_readout": "attention"},
]


@pytest.mark.parametrize(
    "overrides", SWITCHES, ids=lambda overrides: "-".join(f"{k}={v}" for k, v in overrides.items())
)
def test_every_switch_trains_and_segments(overrides):
    weights = overrides.get("loss_weights", {})
    model = make_model(**{k: v for k, v in overrides.items() if k != "loss_weights"}).train()
    model.set_loss_weights(weights)
    inputs = make_inputs(clips=2)
    output = model(**inputs, labels=make_labels(clips=2))
    output.loss.backward()
    assert torch.isfinite(output.loss) and weights.keys() <= output.loss_dict.keys()
    assert model.prompter.audio_projection.linear1.weight.grad.abs().max() > 0
    with torch.no_grad():
        changed = model.eval()(**inputs)
        assert changed.pred_masks.shape == (2, 1, 4, 32, 32)
    gradients = {n: p.grad for n, p in model.named_parameters() if "prompter" in n and p.requires_grad}
    assert not [name for name, gradient in gradients.items() if gradient is None and "seg_tokens" not in name]


@torch.no_grad()
def test_a_fresh_presence_head_says_yes():
    torch.manual_seed(0)
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig, presence_head=True)).eval()
    assert (model(**make_inputs()).presence_logits > 0).all()


@torch.no_grad()
def test_presence_is_learnt_from_labelled_frames():
    model = make_model(presence_head=True).train()
    inputs, labels = make_inputs(clips=2), make_labels(clips=2)
    labels[1] = 0
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[1] = False
    logits = model(**inputs).presence_logits[0]
    expected = torch.nn.functional.softplus(-logits).mean()
    assert model(**inputs, labels=labels, label_mask=mask).loss_dict["presence"].item() == pytest.approx(
        expected.item()
    )


@torch.no_grad()
def test_a_presence_head_that_says_no_empties_the_clip(tiny_processor):
    model = make_model(presence_head=True)
    model.prompter.presence.weight.zero_()
    model.prompter.presence.bias.fill_(-1.0)
    assert (tiny_processor.gate_masks(model(**make_inputs())) == -1024).all()
    model.prompter.presence.bias.fill_(1.0)
    assert (tiny_processor.gate_masks(model(**make_inputs())) > -1024).any()


@torch.no_grad()
def test_the_best_key_frame_has_the_highest_score_and_covers_the_clip():
    model = make_model(key_frame="best")
    output = model(**make_inputs(clips=3, frames=6, expressions=2))
    assert output.key_frames.shape == (3, 2)
    assert (output.pred_masks > -1024).flatten(3).any(-1).all()
    assert len(output.key_frames.unique()) > 1


def test_a_key_frame_by_itself_trains_as_among_all_frames(monkeypatch):
    inputs, labels = make_inputs(clips=2, expressions=2), make_labels(clips=2, expressions=2)
    for kind, numbers in (("first", [0, 0]), ("best", [3, 1])):
        model, chosen = make_model(key_frame=kind).train(), torch.tensor(numbers)
        monkeypatch.setattr(model, "_training_key_frames", lambda labeled, chosen=chosen: chosen)
        found = []
        for given in (inputs, {**inputs, "pixel_values": inputs["pixel_values"][[0, 1], chosen][:, None]}):
            model.zero_grad()
            torch.manual_seed(0)
            output = model(**given, labels=labels, **({"key_frames": chosen} if given is not inputs else {}))
            output.loss.backward()
            gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
            found.append([output.loss, output.pred_masks, output.key_frames, *gradients])
        assert len(found[0]) > 20 and all(map(torch.equal, *found)), kind
    assert make_model().training_key_frame == "first" and make_model(key_frame="best").training_key_frame == "random"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda model, inputs: model.eval(), "^key_frames: are for training with labels; leave them out"),
        (lambda model, inputs: inputs.update(pixel_values=torch.zeros(1, 4, 3, 128, 128)), "^pixel_values: has to be"),
        (lambda model, inputs: inputs.update(key_frames=torch.zeros(2, dtype=torch.long)), "^key_frames: has to be"),
        (lambda model, inputs: inputs.update(key_frames=torch.tensor([4])), "^key_frames: has to hold ids from 0 to 3"),
    ],
)
def test_key_frames_that_do_not_fit_are_refused(change, message):
    model = make_model().train()
    inputs = {**make_inputs(), "labels": make_labels(), "key_frames": torch.tensor([0])}
    inputs["pixel_values"] = inputs["pixel_values"][:, :1]
    change(model, inputs)
    with pytest.raises(ValueError, match=message):
        model(**inputs)


def test_clip_encoders_take_the_place_of_roberta_and_vit():
    model = make_model(
        text_config=CLIPTextConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=400
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=96,
            patch_size=16,
        ),
    )
    assert torch.isfinite(model(**make_inputs(), labels=make_labels()).loss)


@pytest.fixture(scope="module")
def backbone_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(7)
    parts = {
        "sam2": Sam2VideoModel(nano_sam2_config()),
        "vision": ViTModel(ViTConfig(**tiny_config(Sam2LoveConfig).vision_config.to_dict()), add_pooling_layer=False),
        "text": RobertaModel(
            RobertaConfig(**tiny_config(Sam2LoveConfig).text_config.to_dict()), add_pooling_layer=False
        ),
        "audio": VggishModel(tiny_config(VggishConfig)),
    }
    for name, part in parts.items():
        part.save_pretrained(root / name)
    return parts, {name: str(root / name) for name in parts}


def test_from_backbones_holds_the_published_weights(backbone_folders):
    parts, folders = backbone_folders
    model = Sam2LoveModel.from_backbones(**folders, hidden_size=64, num_attention_heads=4, intermediate_size=64)
    assert model.config.hidden_size == 64
    for name, module in model.backbones().items():
        expected = parts[name].state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in module.state_dict().items())


def test_with_a_handoff_by_mask_the_tracking_decoder_stays_as_published(backbone_folders):
    parts, folders = backbone_folders
    small = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 64}
    model = Sam2LoveModel.from_backbones(**folders, **small, handoff="mask").train()
    published = parts["sam2"].mask_decoder.state_dict()
    assert all(torch.equal(value, published[key]) for key, value in model.prompt_decoder.state_dict().items())
    assert model.prompt_decoder.training and not model.sam2.mask_decoder.training
    model(**make_inputs(), labels=make_labels()).loss.backward()
    assert model.prompt_decoder.upscale_conv1.weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in model.sam2.parameters())


def test_from_backbones_needs_a_trained_vggish():
    with pytest.raises(ValueError, match=r"audio: .*convert"):
        Sam2LoveModel.from_backbones()


# Weights that are mapped from a file lie at other addresses than fresh ones. Vector kernels start their sums elsewhere
# then and outputs move by a rounding, so that only the weights and buffers can be the same to the bit.


def test_a_fresh_model_has_one_position_code_for_image_and_points():
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig))
    code = model.sam2.shared_image_embedding.positional_embedding
    assert torch.equal(code, model.sam2.prompt_encoder.shared_embedding.positional_embedding)
