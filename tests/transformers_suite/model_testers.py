"""What the common tests of Transformers need to know about a method: a configuration, inputs and labels."""

import copy
from contextlib import nullcontext
from unittest.mock import patch

import torch
from common_tests import load
from tiny.configurations import tiny_config
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from lavseg import VggishConfig, VggishModel
from lavseg.testing import Variant

ModelTesterMixin = load("test_modeling_common").ModelTesterMixin


class SeeingTests(ModelTesterMixin):
    """The common tests as the library has them for models that are given images or spectrograms."""

    test_resize_embeddings = False

    def test_model_get_set_embeddings(self):
        """The first layer is no table of embeddings."""
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        model = self.all_model_classes[0](config)
        self.assertIsInstance(model.get_input_embeddings(), nn.Module)
        self.assertIsNone(model.get_output_embeddings())


class MethodTester:
    """Two clips of two frames, one sentence each where it reads."""

    is_training = True
    batch_size = 2

    def __init__(self, variant: Variant):
        self.variant = variant
        self.inputs = variant.prepare([1, 1])
        self.labels = {name: value[:, ..., :2, :, :] for name, value in variant.labels.items()}

    def get_config(self):
        return copy.deepcopy(self.variant.config)

    def prepare_config_and_inputs_for_common(self):
        inputs = {name: value.clone() for name, value in self.inputs.items() if torch.is_tensor(value)}
        return self.get_config(), inputs


class MethodTests(SeeingTests):
    """The common tests for one variant of a method, which a sub-class names.

    A fresh tiny model gives masks of 1e-4, on which no tolerance means anything: its last layers start larger here, and
    SAM2 judges every object visible.
    """

    variant: Variant
    _is_composite = True
    additional_model_inputs = ("vit_pixel_values", "clip_pixel_values", "input_features", "input_ids")

    @classmethod
    def setUpClass(cls):
        cls.model_tester = MethodTester(cls.variant)
        cls.all_model_classes = (cls.variant.model_class,)
        # Heads that nothing reads under a configuration get no gradient.
        cls.test_all_params_have_gradient = not cls.variant.unreached
        initialize = PreTrainedModel._initialize_weights

        def initialize_visibly(self, module, *args, **kwargs):
            fresh = not getattr(module, "_is_hf_initialized", False)
            initialize(self, module, *args, **kwargs)
            if fresh:
                enlarge_last_layers(module)

        patched = patch.object(PreTrainedModel, "_initialize_weights", initialize_visibly)
        patched.start()
        cls.addClassCleanup(patched.stop)

    def subTest(self, *args, **kwargs):
        """One class, one test: what fails inside is the failure of the test, which may be excused."""
        return nullcontext()

    def test_attention_outputs(self):
        """As the common test, of the maps that the method has."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        config._attn_implementation = "eager"
        model = self.variant.model_class(config).eval()
        if not model.gives_attentions:
            self.skipTest("it has no attention between sound, words and frames")
        with torch.no_grad():
            asked = model(**inputs, output_attentions=True)
            config.output_attentions = True
            configured = self.variant.model_class(config).eval()(**inputs)
        for name in asked.attention_maps:
            for one, other in zip(asked.get(name, ()), configured.get(name, ()), strict=True):
                self.assertEqual(one.shape, other.shape)

    def test_hidden_states_output(self):
        """As the common test, of the states of the image encoder."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        model = self.variant.model_class(config).eval()
        with torch.no_grad():
            asked = model(**inputs, output_hidden_states=True).hidden_states
            config.output_hidden_states = True
            configured = model(**inputs).hidden_states
        self.assertEqual(len(asked), len(model.image_blocks) + 1)
        for one, other in zip(asked, configured, strict=True):
            torch.testing.assert_close(one, other)
            self.assertIn(one.dim(), (3, 4))

    def test_batching_equivalence(self):
        """As the common test, but for hidden states where several clips are encoded frame by frame."""
        on_sam2 = self.variant.model_class(self.model_tester.get_config()).tracking_host is not None
        with patch("lavseg.modeling.base._select", return_value=()) if on_sam2 else nullcontext():
            super().test_batching_equivalence()

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = copy.deepcopy(inputs_dict)
        return {**inputs, **copy.deepcopy(self.model_tester.labels)} if return_labels else inputs


def enlarge_last_layers(module):
    """Those of a mask decoder, so that masks are of order one, scores differ and objects are visible."""
    if not hasattr(module, "output_hypernetworks_mlps"):
        return
    last = (*module.output_hypernetworks_mlps, module.iou_prediction_head, module.upscale_conv1, module.upscale_conv2)
    for layer in (layer for part in last for layer in part.modules()):
        if isinstance(layer, nn.Linear):
            init.normal_(layer.weight, std=1.4 / layer.in_features**0.5)
        elif isinstance(layer, nn.ConvTranspose2d):
            init.normal_(layer.weight, std=1.4 / layer.in_channels**0.5)
    if hasattr(module, "pred_obj_score_head"):
        init.constant_(module.pred_obj_score_head.proj_out.bias, 20.0)


class VggishTester:
    """Patches of the two channels of two clips."""

    is_training = False
    batch_size = 2

    def get_config(self):
        return tiny_config(VggishConfig)

    def prepare_config_and_inputs_for_common(self):
        generator = torch.Generator().manual_seed(0)
        return self.get_config(), {"input_features": torch.randn(2, 2, 96, 64, generator=generator)}


class VggishTests(SeeingTests):
    """The common tests for the sound encoder."""

    all_model_classes = (VggishModel,)
    has_attentions = False

    def setUp(self):
        self.model_tester = VggishTester()

    def test_hidden_states_output(self):
        """As the common test, of the maps that each pooling gives."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        config.output_hidden_states = True
        states = VggishModel(config).eval()(**inputs).hidden_states
        self.assertEqual([tuple(state.shape[2:]) for state in states], [(48, 32), (24, 16), (12, 8), (6, 4)])
