import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from conftest import golden_files
from lavseg.backbones.vggish import VggishConfig, VggishFeatureExtractor, VggishModel, load_vggish
from lavseg.backbones.vggish.modeling_vggish import VggishPostprocessor
from lavseg.models.gavs import GavsConfig, GavsModel

FIXTURE = Path(__file__).parents[2] / "fixtures" / "vggish_reference.npz"
TOLERANCE = {"rtol": 1e-4, "atol": 1e-3}


def seeded_weight(key, shape):
    """The weights the reference embeddings were computed with: a function of key and shape alone."""
    values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    values *= np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.05
    return torch.from_numpy(values.astype(np.float32))


def model_with_weights(config, weights):
    with torch.device("meta"):
        model = VggishModel(config)
    model.load_state_dict(weights, assign=True)
    return model.eval()


@pytest.fixture(scope="session")
def released_models():
    """The network of the release with seeded weights, with and without the final ReLU, on the same tensors."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in VggishModel(VggishConfig()).state_dict().items()}
    weights = {key: seeded_weight(key, shape) for key, shape in shapes.items()}
    return {relu: model_with_weights(VggishConfig(final_relu=relu), weights) for relu in (True, False)}


@torch.no_grad()
def embed(model, log_mel):
    return model(torch.as_tensor(log_mel)).embeddings.numpy()


def tiny(seed=0, **overrides):
    torch.manual_seed(seed)
    return VggishModel(tiny_config(VggishConfig, **overrides)).eval()


def test_released_network_has_the_published_size(released_models):
    assert released_models[True].num_parameters() == 72_141_184


def test_reference_embeddings(released_models):
    reference = np.load(FIXTURE)
    for relu, name in ((True, "embedding"), (False, "embedding_pre_relu")):
        embeddings = embed(released_models[relu], reference["log_mel"])
        np.testing.assert_allclose(embeddings[:, 0], reference[name], **TOLERANCE)


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("vggish/*.npz"))
def test_parity_of_embeddings(file, released_models):
    case = np.load(file)
    if "pcm" not in case:
        pytest.skip("not an audio case")
    np.testing.assert_allclose(embed(released_models[True], case["log_mel"])[:, 0], case["embedding"], **TOLERANCE)
    pre_relu = embed(released_models[False], case["log_mel"])[:, 0]
    np.testing.assert_allclose(pre_relu, case["embedding_pre_relu"], **TOLERANCE)

    own = VggishFeatureExtractor()(case["pcm"].T, sampling_rate=int(case["sr"]))["input_features"]
    distance = np.linalg.norm(embed(released_models[True], own)[:, 0] - case["embedding"])
    assert distance <= (1e-5 if case["sr"] == 16000 else 5e-3) * np.linalg.norm(case["embedding"])


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("vggish/*stereo*.npz"))
def test_parity_of_stereo_embeddings(file, released_models):
    case = np.load(file)
    embeddings = embed(released_models[True], case["auralsam2_log_mel_2ch"])
    for channel in (0, 1):
        np.testing.assert_allclose(embeddings[:, channel], case[f"auralsam2_embedding_ch{channel}"], **TOLERANCE)


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("vggish/pca*.npz"))
def test_parity_of_postprocessing(file):
    case = np.load(file)
    postprocessor = VggishPostprocessor(VggishConfig(embedding_size=len(case["eig"])))
    postprocessor.load_state_dict(
        {"pca_eigen_vectors": torch.from_numpy(case["eig"]), "pca_means": torch.from_numpy(case["mean"])}
    )
    np.testing.assert_array_equal(postprocessor(torch.from_numpy(case["x"])).numpy(), case["y"])


def test_postprocessing_whitens_clips_and_quantises():
    postprocessor = VggishPostprocessor(tiny_config(VggishConfig, embedding_size=2))
    postprocessor.load_state_dict(
        {"pca_eigen_vectors": torch.tensor([[0.0, 1.0], [2.0, 0.0]]), "pca_means": torch.tensor([[1.0], [-1.0]])}
    )
    # (x - mean) is (0.5, 1), whitened to (1, 1); then (-9, 9), whitened to (9, -18) and clipped.
    quantised = postprocessor(torch.tensor([[1.5, 0.0], [-8.0, 8.0]]))
    assert quantised.tolist() == [[191.0, 191.0], [255.0, 0.0]]


def test_leading_axes_are_kept_and_patches_are_independent():
    model = tiny()
    for leading in [(3,), (2, 1), (2, 3, 2), (0, 1), (2, 0, 2)]:
        patches = torch.randn(*leading, 96, 64)
        embeddings = embed(model, patches)
        assert embeddings.shape == (*leading, 32)
        alone = [embed(model, patch[None])[0] for patch in patches.reshape(int(np.prod(leading)), 96, 64)]
        np.testing.assert_allclose(embeddings.reshape(-1, 32), np.reshape(alone, (-1, 32)), atol=1e-5)


def test_other_trailing_shapes_are_rejected():
    model = tiny()
    for shape in [(96, 64), (5, 1, 64, 96), (5, 1, 96, 63), (64,)]:
        with pytest.raises(ValueError, match="input_features must be log-mel patches"):
            model(torch.zeros(shape))


def test_final_relu_is_the_only_difference_it_makes():
    with_relu, without = tiny(), tiny(final_relu=False)
    patches = torch.randn(8, 1, 96, 64)
    raw = embed(without, patches)
    assert raw.min() < 0
    np.testing.assert_array_equal(embed(with_relu, patches), raw.clip(0))


def test_fresh_weights_keep_the_scale_of_the_signal():
    model = tiny(final_relu=False)
    variance = embed(model, torch.randn(16, 1, 96, 64)).var()
    assert 0.1 < variance < 100


def test_gradients_reach_every_parameter():
    model = tiny(final_relu=False)
    model(torch.randn(4, 2, 96, 64)).embeddings.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_half_precision_weights_take_float_patches():
    model = tiny().to(torch.bfloat16)
    assert model(torch.zeros(1, 1, 96, 64)).embeddings.dtype == torch.bfloat16


def test_a_saved_model_gives_the_same_outputs(tmp_path):
    model = tiny(postprocess=True)
    with torch.no_grad():
        model.postprocessor.pca_eigen_vectors.normal_()
        model.postprocessor.pca_means.normal_()
    model.save_pretrained(tmp_path)
    loaded = VggishModel.from_pretrained(tmp_path)
    patches = torch.randn(3, 2, 96, 64)
    embeddings = embed(model, patches)
    assert np.unique(embeddings).size > 2
    np.testing.assert_array_equal(embed(loaded, patches), embeddings)
    state = loaded.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(state[key], value), key


@torch.no_grad()
def test_it_takes_what_the_feature_extractor_gives():
    model = VggishModel(tiny_config(VggishConfig)).eval()
    clips = [np.zeros(16000, np.float32), np.ones(48000, np.float32)]
    features = VggishFeatureExtractor()(clips, sampling_rate=16000, return_tensors="pt")
    assert "audio_mask" in features
    assert torch.equal(model(**features).embeddings, model(features["input_features"]).embeddings)
    assert model.get_input_embeddings() is model.features[0]


def test_hidden_states_are_given_where_asked_for():
    model, patches = VggishModel(tiny_config(VggishConfig)).eval(), torch.rand(2, 3, 1, 96, 64)
    plain, asked = model(patches), model(patches, output_hidden_states=True)
    assert plain.hidden_states is None and torch.equal(plain.embeddings, asked.embeddings)
    assert [len(state) for state in asked.hidden_states] == [6] * 4
    flat = asked.hidden_states[-1].permute(0, 2, 3, 1).flatten(1)
    assert torch.equal(model.embeddings(flat).view_as(plain.embeddings), plain.embeddings)


def test_another_checkpoint_or_a_file_is_no_vggish(tmp_path):
    folder, other = tmp_path / "vggish", tmp_path / "gavs"
    tiny().save_pretrained(folder)
    assert load_vggish(str(folder)).config.embedding_size == 32
    GavsModel(tiny_config(GavsConfig)).save_pretrained(other)
    lacking = r"its weights lack 18 tensors, such as embeddings\.0\.bias"
    with pytest.raises(ValueError, match=rf"^audio: .*gavs is no VGGish: {lacking}$"):
        load_vggish(str(other))
    with pytest.raises(ValueError, match=r"^audio: .* is a file; make a folder of it with `lavseg convert vggish`$"):
        load_vggish(str(folder / "model.safetensors"))
