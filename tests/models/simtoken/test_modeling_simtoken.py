import pytest
import torch
from tiny.configurations import nano_sam_config, tiny_config
from transformers import (
    AutoModel,
    BitsAndBytesConfig,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    SamModel,
)

from lavseg import SimTokenConfig, SimTokenModel, VggishConfig, VggishModel
from lavseg.models.simtoken.prompt_simtoken import AUDIO_TOKEN, IMAGE_TOKEN
from lavseg.testing.variants import as_double

SEG = 400
START = [1, 7, *[IMAGE_TOKEN] * 10, 8, AUDIO_TOKEN, 9, IMAGE_TOKEN]
SENTENCES = ([10, 11], [12], [13, 14, 15])


def inputs_of(frames=3, sentences=SENTENCES, clips=1, patches=3):
    """Clips about each of which there are `sentences`, as long as they are."""
    generator = torch.Generator().manual_seed(1)
    rows = [[*START, *words, SEG, 20] for words in sentences]
    tokens = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, rows)), batch_first=True)
    return as_double(
        {
            "pixel_values": torch.randn(clips, frames, 3, 128, 128, generator=generator),
            "clip_pixel_values": torch.randn(clips, frames, 3, 56, 56, generator=generator),
            "input_features": torch.randn(clips, patches, 1, 96, 64, generator=generator),
            "input_ids": tokens.expand(clips, -1, -1),
            "attention_mask": (tokens != 0).long().expand(clips, -1, -1),
        }
    )


def labels_of(clips=1, sentences=3, frames=3):
    return (torch.rand(clips, sentences, frames, 60, 80, generator=torch.Generator().manual_seed(2)) > 0.5).byte()


def make_model(**overrides):
    torch.manual_seed(0)
    return SimTokenModel(tiny_config(SimTokenConfig, **overrides)).double().eval()


@torch.no_grad()
def test_a_clip_is_read_once_and_nothing_after_what_is_read_out():
    model, runs = make_model(), {"sam": 0, "clip": 0, "merged": 0, "language": []}
    model.sam.vision_encoder.neck.register_forward_hook(lambda m, args, out: runs.update(sam=runs["sam"] + len(out)))
    model.vision_encoder.register_forward_hook(lambda m, args, out: runs.update(clip=runs["clip"] + 1))
    model.mm_projector.register_forward_hook(lambda m, args, out: runs.update(merged=runs["merged"] + 1))
    model.language_model.layers[0].register_forward_hook(lambda m, a, out: runs["language"].append(out.shape[:2]))
    model(**inputs_of(clips=2))
    # 12 tokens of the clip, 3 of its frames and 12 of one stand for the place holders, 3 of sound for theirs.
    prefix = len(START) - 12 + (3 + 12) + 12 + 3
    assert runs["sam"] == 6 and runs["clip"] == runs["merged"] == 2
    assert runs["language"] == [(1, prefix), (3, max(map(len, SENTENCES)))] * 2


@torch.no_grad()
def test_training_reads_the_same_as_the_prefix_that_is_kept():
    model, inputs = make_model(), inputs_of()
    segmented, learned = model(**inputs), model(**inputs, labels=labels_of())
    torch.testing.assert_close(segmented.prompt_embeddings, learned.prompt_embeddings)
    torch.testing.assert_close(segmented.pred_masks, learned.pred_masks)
    # What comes after [SEG] makes no difference, nor does the row of [SEG] itself.
    ids = torch.where(inputs["input_ids"] == 20, 21, inputs["input_ids"])
    model.language_model.embed_tokens.weight[SEG] += 1
    torch.testing.assert_close(model(**{**inputs, "input_ids": ids}).pred_masks, segmented.pred_masks)


@torch.no_grad()
def test_what_was_made_before_takes_the_place_of_frames_and_words():
    model, inputs = make_model(), inputs_of()
    expected = model(**inputs).pred_masks
    made = model.embed_frames(inputs.pop("pixel_values")[0], inputs.pop("clip_pixel_values")[0])
    inputs["text_embeddings"] = model.embed_text(inputs.pop("input_ids"))
    given = {**inputs, "image_embeddings": [each[None] for each in made]}
    torch.testing.assert_close(model(**given).pred_masks, expected)
    with pytest.raises(ValueError, match=r"^pixel_values: missing"):
        model(**inputs)


@torch.no_grad()
def test_still_clips_long_ones_and_short_ones_give_the_same_each_time():
    model, inputs = make_model(), inputs_of(frames=17)
    still = {**inputs, "clip_pixel_values": inputs["clip_pixel_values"][:, :1].expand(-1, 17, -1, -1, -1)}
    for given in (inputs, still, inputs_of(frames=1)):
        before = torch.get_rng_state()
        first = model(**given).prompt_embeddings
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(5)
        assert torch.equal(model(**given).prompt_embeddings, first)
    unbroken = make_model(merge_noise=False)(**still).prompt_embeddings
    assert unbroken.isfinite().all() and not torch.allclose(unbroken, model(**still).prompt_embeddings, atol=1e-9)


@torch.no_grad()
def test_the_target_frame_is_the_middle_one_of_clips_that_lack_it():
    inputs = inputs_of()
    found = [make_model(target_frame=frame)(**inputs).prompt_embeddings for frame in (5, 1, 0)]
    assert torch.equal(found[0], found[1]) and not torch.allclose(found[0], found[2])


def test_prompts_are_remembered_in_training_alone():
    model, inputs, labels = make_model(), inputs_of(), labels_of()
    objects = torch.tensor([[[4, 1], [4, 1], [4, 2]]])
    assert model(**inputs, labels=labels, object_ids=objects).loss_dict["alignment"] == 0
    assert model.bank.of(4, 1) == []
    model.train()
    for step in range(2):
        loss = model(**inputs, labels=labels, object_ids=objects).loss_dict["alignment"]
        assert (loss > 0) == (step > 0)
        assert len(model.bank.of(4, 1)) == 2 * (step + 1)
    model(**inputs, labels=labels, object_ids=objects, label_mask=torch.zeros(1, 3, dtype=torch.bool))
    assert len(model.bank.of(4, 1)) == 4
    with pytest.raises(ValueError, match=r"^object_ids: has to be \[1, 3, 2\], got \[1, 3\]"):
        model(**inputs, labels=labels, object_ids=objects[..., 0])


def test_the_negatives_of_the_named_option_count():
    inputs, labels, objects = inputs_of(), labels_of(), torch.tensor([[[4, 1], [4, 2], [5, 2]]])
    losses = []
    for kind in ("release", "contrastive"):
        model = make_model(alignment=kind).train()
        for _ in range(2):
            loss = model(**inputs, labels=labels, object_ids=objects).loss_dict["alignment"]
        losses.append(loss)
    assert losses[0] == 0 < losses[1]


@torch.no_grad()
def test_padding_of_the_squares_does_not_count_in_the_loss():
    model, inputs = make_model(), inputs_of()
    wide = [model(**inputs, labels=labels_of(), original_sizes=sizes).loss for sizes in ([(60, 80)], None)]
    tall = model(**inputs, labels=labels_of(), original_sizes=[(80, 60)]).loss
    assert torch.equal(*wide) and wide[0] != tall


def test_the_loss_takes_the_size_of_every_clip():
    inputs, labels = inputs_of(clips=2), labels_of(clips=2)
    with pytest.raises(ValueError, match=r"^original_sizes: has to hold .* of each of 2 clips, got 1"):
        make_model()(**inputs, labels=labels, original_sizes=[(60, 80)])


def save_parts(folder, causal):
    """Published networks at tiny size."""
    tiny = tiny_config(SimTokenConfig)
    torch.manual_seed(3)
    parts = {
        "language": causal,
        "vision": CLIPVisionModel(CLIPVisionConfig(**tiny.vision_config.to_dict())),
        "sam": SamModel(nano_sam_config(128)),
        "audio": VggishModel(tiny_config(VggishConfig)),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    return {name: folder / name for name in parts}


SIZES = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


@pytest.mark.parametrize("tied", [False, True])
def test_any_language_model_is_taken_with_one_more_token(tmp_path, tied):
    torch.manual_seed(0)
    qwen = tied and Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=True))
    causal = qwen or LlamaForCausalLM(LlamaConfig(**SIZES))
    paths = save_parts(tmp_path, causal)
    model = SimTokenModel.from_backbones(**paths, train_projector=True, merge_levels=((8, 3),)).double().eval()
    assert model.config.seg_token_id == 90 and model.config.language_config.vocab_size == 91
    assert model.config.language_config.model_type == ("qwen2" if tied else "llama")
    assert not model.config.audio_config.final_relu and model.mm_projector.weight.requires_grad
    assert torch.equal(model.lm_head.weight[:90].float(), causal.get_output_embeddings().weight)
    assert torch.equal(model.language_model.embed_tokens.weight[:90].float(), causal.get_input_embeddings().weight)
    assert model.lm_head.weight is not model.language_model.embed_tokens.weight
    inputs = inputs_of()
    inputs["input_ids"] = torch.where(inputs["input_ids"] == SEG, 90, inputs["input_ids"])
    with torch.no_grad():
        read = [model(**inputs, **labels).prompt_embeddings for labels in ({}, {"labels": labels_of()})]
    torch.testing.assert_close(*read)


# By their types: a window shorter than a clip, linear attention, and blocks under other names.
DECODERS = {
    "mistral": {**SIZES, "sliding_window": 8},
    "qwen3": {**SIZES, "head_dim": 16},
    "qwen3_5_text": {**SIZES, "head_dim": 16, "layer_types": ["linear_attention", "full_attention"]},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128},
}


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_of_the_library_read_and_train(kind):
    decoder = {"model_type": kind, "initializer_range": 0.1, **DECODERS[kind], "vocab_size": SEG + 1}
    model, inputs = make_model(language_config=decoder), inputs_of(frames=2, patches=1)
    labels = labels_of(frames=2)
    with torch.no_grad():
        read = [model(**inputs, **given).prompt_embeddings for given in ({}, {"labels": labels})]
    torch.testing.assert_close(*read, rtol=1e-5, atol=1e-5)  # linear attention is in single precision
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    model(**inputs, labels=labels).loss.backward()
    assert model.audio_feature_layer.weight.grad.any()


# What stays in 16 or 32 bits beside a language model of 8 or 4.
BESIDE = ["sam", "vision_encoder", "audio_encoder", "mm_projector", "audio_feature_layer", "text_hidden_fcs", "lm_head"]


@torch.no_grad()
@pytest.mark.parametrize(("bits", "likeness"), [(8, 0.99), (4, 0.85)])
def test_the_language_model_in_8_and_4_bits_of_bitsandbytes(tmp_path, bits, likeness):
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="quantises to 4 bits, and is not installed")
    model, inputs = make_model().float(), inputs_of()
    inputs |= {name: value.float() for name, value in inputs.items() if value.is_floating_point()}
    model.save_pretrained(tmp_path)
    asked = BitsAndBytesConfig(
        load_in_8bit=bits == 8, load_in_4bit=bits == 4, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=BESIDE
    )
    loaded = AutoModel.from_pretrained(tmp_path, quantization_config=asked).eval()
    kind = bitsandbytes.nn.Linear4bit if bits == 4 else bitsandbytes.nn.Linear8bitLt
    layers = {name: layer for name, layer in loaded.named_modules() if isinstance(layer, kind)}
    assert len(layers) == 2 * 7 and all(name.startswith("language_model.layers.") for name in layers)
    plain = {name: model.get_submodule(name).weight for name in layers}
    assert all(8 * layer.weight.nbytes == bits * plain[name].numel() for name, layer in layers.items())
    assert loaded.lm_head.weight.requires_grad and loaded.sam.mask_decoder.iou_token.weight.requires_grad
    found, expected = (each(**inputs) for each in (loaded, model))
    assert found.pred_masks.isfinite().all()
    alike = torch.cosine_similarity(found.prompt_embeddings.float(), expected.prompt_embeddings, dim=-1)
    assert (alike > likeness).all(), alike


def test_the_configuration_of_the_sound_network_may_be_given_whole(tmp_path):
    paths, heard = save_parts(tmp_path, LlamaForCausalLM(LlamaConfig(**SIZES))), tiny_config(VggishConfig)
    given = {"train_projector": True, "merge_levels": ((8, 3),), "audio_config": heard}
    assert SimTokenModel.from_backbones(**paths, **given).config.audio_config.final_relu


def test_without_the_layer_from_clip_it_has_to_train(tmp_path):
    paths = save_parts(tmp_path, LlamaForCausalLM(LlamaConfig(**SIZES)))
    with pytest.raises(ValueError, match=r"^train_projector: .* holds no layer from CLIP's patches"):
        SimTokenModel.from_backbones(**paths, merge_levels=((8, 3),))


def test_fsdp_wraps_the_blocks_of_the_language_model():
    model = make_model()
    wrapped = set(model._no_split_modules)
    assert "LlamaDecoderLayer" in wrapped, wrapped


def test_parameters_at_full_size():
    with torch.device("meta"):
        model = SimTokenModel(SimTokenConfig())
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    lora = 4_194_304
    assert trained == 288_763_364 - lora
    # Without VGGish, which the release runs before; here SAM's position code has two names.
    assert sum(counts.values()) - counts["audio_encoder"] == 7_709_445_424 - lora + 2 * 128
    assert counts["mm_projector"] == 4_198_400 and counts["vision_encoder"] == 303_179_776
