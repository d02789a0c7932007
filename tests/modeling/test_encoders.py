import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny.configurations import nano_sam2_config, nano_sam_config
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    RobertaConfig,
    RobertaModel,
    Sam2VideoModel,
    SamModel,
    ViTConfig,
)

from lavseg.modeling import encoders
from lavseg.modeling.encoders import (
    build_encoder,
    encode_text,
    let_train,
    load_encoder,
    load_host,
    load_image_processor,
    load_tokenizer,
)

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def roberta():
    torch.manual_seed(0)
    return RobertaModel(RobertaConfig(vocab_size=50, **SIZES)).eval()


@pytest.mark.parametrize("config_class", [RobertaConfig, ViTConfig])
def test_an_untrained_encoder_has_no_pooler(config_class):
    assert build_encoder(config_class(**SIZES)).pooler is None


def test_a_published_encoder_is_read_without_its_pooler(roberta, tmp_path):
    roberta.save_pretrained(tmp_path)
    loaded = load_encoder(str(tmp_path), "text_config").state_dict()
    expected = {name: value for name, value in roberta.state_dict().items() if not name.startswith("pooler.")}
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(value, loaded[name]) for name, value in expected.items())


def test_an_encoder_has_to_be_whole_but_for_its_pooler(roberta, tmp_path):
    roberta.save_pretrained(tmp_path / "roberta")
    file = tmp_path / "roberta" / "model.safetensors"
    state = load_file(file)
    del state["encoder.layer.0.output.dense.bias"]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"^text: .* lacks weights: encoder\.layer\.0\.output\.dense\.bias$"):
        load_encoder(str(tmp_path / "roberta"), "text_config")
    BertModel(BertConfig(vocab_size=50, **SIZES), add_pooling_layer=False).save_pretrained(tmp_path / "bert")
    assert isinstance(load_encoder(str(tmp_path / "bert"), "text_config"), BertModel)


def test_a_tokenizer_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"^text: .+ has no tokenizer that can be read: "):
        load_tokenizer("text", tmp_path)
    # Where neither package is there, Transformers asks for the one that does not help.
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    monkeypatch.setattr(encoders.AutoTokenizer, "from_pretrained", asks_for_tiktoken)
    with pytest.raises(
        ValueError, match=r"^text: .* needs the package sentencepiece, which `pip install sentencepiece`"
    ):
        load_tokenizer("text", tmp_path)


def asks_for_tiktoken(name):
    raise ValueError("`tiktoken` is required to read a `tiktoken` file.")


def test_what_quantisation_made_whole_numbers_does_not_train():
    layer = torch.nn.Linear(2, 3).requires_grad_(False)
    layer.weight = torch.nn.Parameter(torch.zeros(3, 1, dtype=torch.uint8), requires_grad=False)
    let_train(layer)
    assert layer.bias.requires_grad and not layer.weight.requires_grad


@pytest.mark.parametrize("part", ["text", "vision"])
def test_of_clip_one_tower_is_taken(part, tmp_path):
    torch.manual_seed(0)
    sizes = {"text_config": {"vocab_size": 50, **SIZES}, "vision_config": {"image_size": 32, "patch_size": 16, **SIZES}}
    clip = CLIPModel(CLIPConfig(**sizes, projection_dim=16))
    clip.save_pretrained(tmp_path)
    tower = load_encoder(str(tmp_path), f"{part}_config")
    assert tower.config.model_type == f"clip_{part}_model"
    expected = getattr(clip, f"{part}_model").state_dict()
    loaded = {name.removeprefix(f"{part}_model."): value for name, value in tower.state_dict().items()}
    assert all(torch.equal(value, loaded[name]) for name, value in expected.items())


def test_a_host_has_to_be_of_an_accepted_kind_and_whole(tmp_path):
    SamModel(nano_sam_config()).save_pretrained(tmp_path / "sam")
    assert isinstance(load_host("sam", tmp_path / "sam", SamModel, Sam2VideoModel), SamModel)
    with pytest.raises(ValueError, match=r"sam2: .* is a 'sam' checkpoint, 'sam2_video' is needed"):
        load_host("sam2", tmp_path / "sam", Sam2VideoModel)
    Sam2VideoModel(nano_sam2_config()).save_pretrained(tmp_path / "sam2")
    file = tmp_path / "sam2" / "model.safetensors"
    state = load_file(file)
    del state["no_object_pointer"]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"sam2: .* lacks weights: no_object_pointer$"):
        load_host("sam2", tmp_path / "sam2", SamModel, Sam2VideoModel)


def test_every_sentence_is_read_as_if_alone_without_its_padding(roberta):
    ids = torch.randint(3, 50, (2, 3, 5), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 2, 3:] = 0
    states, real = encode_text(roberta, ids, mask)
    assert states.shape == (2, 3, 5, 16)
    assert real.dtype == torch.bool and torch.equal(real, mask.bool())
    alone = roberta(ids[1, 2, None, :3]).last_hidden_state[0]
    torch.testing.assert_close(states[1, 2, :3], alone, atol=1e-5, rtol=1e-5)
    everything, real = encode_text(roberta, ids, None)
    assert real.all() and torch.equal(everything[0], states[0])


def test_gradient_is_kept_where_a_parameter_takes_it(roberta):
    encoder, ids = copy.deepcopy(roberta).requires_grad_(False), torch.ones(1, 1, 4).long()
    assert not encode_text(encoder, ids, None)[0].requires_grad
    encoder.encoder.layer[0].output.dense.bias.requires_grad_(True)
    encode_text(encoder, ids, None)[0].sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is not None] == [
        "encoder.layer.0.output.dense.bias"
    ]
    with torch.no_grad():
        assert not encode_text(encoder, ids, None)[0].requires_grad


def test_states_made_before_stand_in_for_tokens(roberta):
    ids, mask = torch.randint(3, 50, (1, 2, 4)), torch.tensor([[[1, 1, 1, 0], [1, 1, 0, 0]]])
    states, real = encode_text(roberta, ids, mask)
    again, again_real = encode_text(None, None, mask, states)
    assert again is states and torch.equal(real, again_real)
    assert encode_text(None, None, None, states)[1].all()
    with pytest.raises(ValueError, match=r"attention_mask: has to be \[1, 2, 4\] as text_embeddings, got \[1, 4\]"):
        encode_text(None, None, mask[:, 0], states)
    with pytest.raises(ValueError, match="text_embeddings: input_ids was given, too"):
        encode_text(roberta, ids, mask, states)


def test_a_mask_of_other_tokens_is_named(roberta):
    with pytest.raises(ValueError, match=r"attention_mask: has to be \[2, 1, 5\] as input_ids, got \[2, 1, 4\]"):
        encode_text(roberta, torch.ones(2, 1, 5).long(), torch.ones(2, 1, 4))


@pytest.mark.parametrize("token", [50, -1])
def test_tokens_of_another_tokenizer_are_refused(roberta, token):
    with pytest.raises(ValueError, match=rf"^input_ids: has to hold ids from 0 to 49, got {token}$"):
        encode_text(roberta, torch.tensor([[[3, token]]]), None)


def test_more_tokens_than_an_encoder_has_positions_for_are_refused():
    # RoBERTa counts from the position after that of padding.
    encoder = RobertaModel(RobertaConfig(vocab_size=50, **SIZES, max_position_embeddings=8, pad_token_id=1)).eval()
    assert encode_text(encoder, torch.full((1, 1, 6), 3), None)[0].shape == (1, 1, 6, 16)
    with pytest.raises(ValueError, match=r"^input_ids: 7 tokens per sentence were given, the text encoder takes 6$"):
        encode_text(encoder, torch.full((1, 1, 7), 3), None)


def test_an_encoder_brings_its_image_processor(tmp_path):
    with pytest.raises(ValueError, match=r"vision: .* has no readable preprocessor_config\.json"):
        load_image_processor("vision", tmp_path)
    own = CLIPImageProcessor(image_mean=(0.1, 0.2, 0.3))
    own.save_pretrained(tmp_path)
    assert load_image_processor("vision", tmp_path).to_dict() == CLIPImageProcessor.from_pretrained(tmp_path).to_dict()
