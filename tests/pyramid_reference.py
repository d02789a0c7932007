"""Deterministic weights and inputs of the golden data of the methods on PVT v2 and ResNet."""

import importlib.util
import json
from functools import cache

import numpy as np
import torch

from conftest import GOLDEN


@cache
def det_fill():
    spec = importlib.util.spec_from_file_location("tpavi_det_fill", GOLDEN / "tpavi" / "det_fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def det_input(name, seed, shape):
    return torch.from_numpy(det_fill().det_input(name, seed, shape))


def released_state(file, wanted=lambda key: True):
    """Tensors by the official names that a file of keys and shapes lists, as far as they are `wanted`."""
    shapes = json.loads((GOLDEN / file).read_text())
    arrays = ((key, det_fill().det_array(key, shape)) for key, shape in shapes.items() if wanted(key))
    return {key: torch.from_numpy(np.asarray(array)) for key, array in arrays}


def assert_near(found, expected, atol=1e-4):
    torch.testing.assert_close(found.detach(), torch.from_numpy(expected), atol=atol, rtol=0)
