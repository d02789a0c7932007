"""Reads the public PyTorch checkpoints of VGGish (torchvggish) into [`VggishModel`]."""

from pathlib import Path

import numpy as np
import torch

from ...modeling.conversion import check_state, read_tensors, unpickled
from ...output_folders import check_new_folder, staged_folder
from .configuration_vggish import VggishConfig
from .feature_extraction_vggish import VggishFeatureExtractor
from .modeling_vggish import VggishModel

PCA_PREFIX = "postprocessor."

# The public PCA file holds NumPy arrays, pickled under the module names of NumPy 1.
_RECONSTRUCT_ARRAY = np.empty(0).__reduce__()[0]
_NUMPY_GLOBALS = [
    (_RECONSTRUCT_ARRAY, "numpy.core.multiarray._reconstruct"),
    (_RECONSTRUCT_ARRAY, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
]


def convert_vggish_checkpoint(
    checkpoint_path: str | Path, output_dir: str | Path, pca_path: str | Path | None = None
) -> VggishModel:
    """Convert `vggish-10086976.pth` to a folder with safetensors weights, config and feature extractor.

    Args:
        checkpoint_path: the public file with keys `features.{0,3,6,8,11,13}.*` and `embeddings.{0,2,4}.*`.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        pca_path: `vggish_pca_params-970ea276.pth` with `pca_eigen_vectors` and `pca_means`. The result then has
            `config.postprocess` set.

    Returns:
        The converted model, in evaluation mode.

    Raises:
        ValueError: when a file cannot be read, when keys or shapes differ from the network's (each one is named), or
            when `output_dir` already has content.
    """
    output_dir = check_new_folder(output_dir, "output_dir")
    state = _read_tensors(checkpoint_path, "checkpoint_path")
    if pca_path is not None:
        pca = _read_tensors(pca_path, "pca_path")
        if "pca_means" in pca:
            pca["pca_means"] = pca["pca_means"].reshape(-1, 1)
        state.update({PCA_PREFIX + key: value for key, value in pca.items()})

    model = VggishModel(VggishConfig(postprocess=pca_path is not None)).eval()
    check_state(state, model.state_dict(), "the public VGGish checkpoint")
    model.load_state_dict(state)
    with staged_folder(output_dir) as staged:
        model.save_pretrained(staged)
        VggishFeatureExtractor().save_pretrained(staged)
    return model


def read_vggish(path: str | Path, argument: str) -> dict[str, torch.Tensor]:
    """The tensors of the public `vggish-10086976.pth`, which released code loads beside checkpoints that lack them.

    Args:
        path: the file.
        argument: name under which it was given, for error messages.

    Raises:
        ValueError: when it cannot be read, or is another network's.
    """
    tensors = read_tensors(path, argument)
    if "features.0.weight" not in tensors:
        raise ValueError(f"{argument}: {path} is no VGGish, it has no features.0.weight")
    return {key: value.float() for key, value in tensors.items()}


def _read_tensors(path: str | Path, argument: str) -> dict[str, torch.Tensor]:
    """A dict of float32 tensors; only tensors and NumPy arrays are unpickled."""
    with torch.serialization.safe_globals(_NUMPY_GLOBALS):
        content = unpickled(path, argument)
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor | np.ndarray) for v in content.values()):
        raise ValueError(f"{argument}: {path} does not hold a state dict, a dict from names to tensors")
    return {key: torch.as_tensor(value, dtype=torch.float32) for key, value in content.items()}
