"""Models that break what users of the library do with them have to be found by the test about it."""

import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.backbones.sam.adapters_sam import SamAudioAdapters
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.testing import MethodContract, Variant


class HearsWithoutGradient(SamaAvsModel):
    @torch.no_grad()
    def embed_audio(self, input_features):
        return self.audio_encoder(input_features).embeddings.squeeze(2)


class ClaimsTooMuch(SamaAvsModel):
    def unreached_modules(self):
        return ["sam.vision_encoder"]


class StartsAnywhere(SamaAvsModel):
    def _init_weights(self, module):
        if not isinstance(module, torch.nn.Linear | SamAudioAdapters):
            super()._init_weights(module)


class ChecksAnyWay(SamaAvsModel):
    def _set_gradient_checkpointing(self, *args, **kwargs):
        pass


FAULTS = [
    (HearsWithoutGradient, "adapters_get_their_gradients", False),
    (ClaimsTooMuch, "adapters_that_no_gradient_would_reach_are_refused", True),
    (StartsAnywhere, "what_a_file_lacks_is_initialised", False),
    (ChecksAnyWay, "a_reentrant_checkpoint_is_refused", False),
]


def variant_of(model_class):
    unreached = ("sam.mask_decoder.iou_prediction_head",)
    return Variant(tiny_config(SamaAvsConfig), model_class, SamaAvsProcessor, 184_620, 44_864, unreached=unreached)


@pytest.mark.parametrize(("faulty", "name", "patches"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_is_found_by_the_test_about_it(faulty, name, patches, monkeypatch):
    test, given = getattr(MethodContract(), f"test_{name}"), [monkeypatch] if patches else []
    test(variant_of(SamaAvsModel), *given)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(variant_of(faulty), *given)
