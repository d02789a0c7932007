from pathlib import Path

import numpy as np
import pytest
import torch

from lavseg.backbones.vggish import VggishFeatureExtractor, VggishModel
from lavseg.backbones.vggish.convert_vggish import convert_vggish_checkpoint, read_vggish

# Keys and shapes of the public file vggish-10086976.pth.
PUBLIC_SHAPES = {
    "features.0.weight": (64, 1, 3, 3),
    "features.0.bias": (64,),
    "features.3.weight": (128, 64, 3, 3),
    "features.3.bias": (128,),
    "features.6.weight": (256, 128, 3, 3),
    "features.6.bias": (256,),
    "features.8.weight": (256, 256, 3, 3),
    "features.8.bias": (256,),
    "features.11.weight": (512, 256, 3, 3),
    "features.11.bias": (512,),
    "features.13.weight": (512, 512, 3, 3),
    "features.13.bias": (512,),
    "embeddings.0.weight": (4096, 12288),
    "embeddings.0.bias": (4096,),
    "embeddings.2.weight": (4096, 4096),
    "embeddings.2.bias": (4096,),
    "embeddings.4.weight": (128, 4096),
    "embeddings.4.bias": (128,),
}


def constant_state():
    """Every tensor of the public file holds a value of its own; stored as one number each, so files stay small."""
    return {key: torch.tensor(0.01 * (i + 1)).expand(shape) for i, (key, shape) in enumerate(PUBLIC_SHAPES.items())}


def save(content, path):
    torch.save(content, path)
    return path


def save_as_in_2019(content, path):
    """The public PCA file holds NumPy 1 arrays in torch's old file format, the means without their second axis."""
    torch.save(content, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return path


def test_every_public_key_lands_in_its_place(tmp_path):
    state = constant_state()
    rng = np.random.default_rng(0)
    pca = {"pca_eigen_vectors": rng.standard_normal((128, 128)), "pca_means": rng.standard_normal(128)}
    output_dir = tmp_path / "new" / "vggish"
    convert_vggish_checkpoint(save(state, tmp_path / "vggish.pth"), output_dir, save_as_in_2019(pca, tmp_path / "pca"))

    model = VggishModel.from_pretrained(output_dir)
    assert model.config.postprocess and model.config.final_relu
    loaded = model.state_dict()
    eigen_vectors, means = (loaded.pop(f"postprocessor.{key}") for key in pca)
    np.testing.assert_array_equal(eigen_vectors, pca["pca_eigen_vectors"].astype(np.float32))
    np.testing.assert_array_equal(means[:, 0], pca["pca_means"].astype(np.float32))
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(loaded[key], value), key
    assert VggishFeatureExtractor.from_pretrained(output_dir).num_channels == 1
    assert sorted(path.name for path in output_dir.parent.iterdir()) == ["vggish"]


def without(key):
    state = constant_state()
    del state[key]
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("features.6.bias"), "missing keys: features.6.bias"),
        (constant_state() | {"features.1.weight": torch.zeros(3)}, "unexpected keys: features.1.weight"),
        (
            constant_state() | {"embeddings.4.weight": torch.zeros(64).expand(100, 64)},
            r"wrong shapes: embeddings.4.weight is \[100, 64\] instead of \[128, 4096\]",
        ),
        ([1, 2], "does not hold a state dict"),
        ({"features.0.weight": "text"}, "does not hold a state dict"),
        ({"features.0.weight": Path("code")}, "not a PyTorch file of plain tensors"),
    ],
    ids=["missing", "unexpected", "shape", "list", "text", "code"],
)
def test_nothing_is_written_when_the_checkpoint_does_not_fit(tmp_path, state, message):
    checkpoint = save(state, tmp_path / "vggish.pth")
    with pytest.raises(ValueError, match=message):
        convert_vggish_checkpoint(checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_files_of_another_kind_are_named(tmp_path):
    checkpoint = tmp_path / "vggish.pth"
    for content in (b"", b"neither a zip archive nor a pickle", b"PK\x03\x04 cut off", bytes(100), b"."):
        checkpoint.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint_path: .*vggish.pth is not a PyTorch file"):
            convert_vggish_checkpoint(checkpoint, tmp_path / "out")


def test_pca_file_must_fit_too(tmp_path):
    checkpoint = save(constant_state(), tmp_path / "vggish.pth")
    pca = save({"pca_eigen_vectors": torch.zeros(64, 64)}, tmp_path / "pca.pth")
    with pytest.raises(ValueError, match=r"missing keys: postprocessor.pca_means.*eigen_vectors is \[64, 64\]"):
        convert_vggish_checkpoint(checkpoint, tmp_path / "out", pca)
    assert not (tmp_path / "out").exists()


def test_absent_files_are_named(tmp_path):
    for argument in ("checkpoint_path", "pca_path"):
        paths = {"checkpoint_path": save(constant_state(), tmp_path / "vggish.pth"), argument: tmp_path / "absent.pth"}
        with pytest.raises(ValueError, match=f"{argument}: there is no file"):
            convert_vggish_checkpoint(output_dir=tmp_path / "out", **paths)


def test_a_folder_with_content_is_left_alone(tmp_path):
    checkpoint = save(constant_state(), tmp_path / "vggish.pth")
    with pytest.raises(ValueError, match="give a new or an empty folder"):
        convert_vggish_checkpoint(checkpoint, tmp_path)
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_what_is_no_vggish_is_named(tmp_path):
    state = {"features.0.weight": torch.ones(2, dtype=torch.float64), "embeddings.0.bias": torch.zeros(2)}
    torch.save(state, tmp_path / "vggish.pth")
    assert {value.dtype for value in read_vggish(tmp_path / "vggish.pth", "vggish_path").values()} == {torch.float32}
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"^vggish_path: .*other\.pth is no VGGish, it has no features\.0\.weight$"):
        read_vggish(tmp_path / "other.pth", "vggish_path")
