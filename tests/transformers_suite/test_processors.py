"""Transformers' common tests of processors, on every kind of processor that a method has."""

import copy
import unittest

import numpy as np
from common_tests import load
from PIL import Image
from variants_under_test import VARIANTS

ProcessorTesterMixin = load("test_processing_common").ProcessorTesterMixin
BLANK, SOUND, RATE = Image.new("RGB", (40, 30)), np.zeros(1000), 1000


def one_at_a_time(processor_class):
    """The class of a processor, called as the common tests do: with an image alone, which becomes a clip of a single
    frame, or with a sound alone and no rate, which then lasts as long as the clip. A clip has one sentence here."""

    def call(self, video=None, audio=None, text=None, sampling_rate=None, videos=None, images=None, **kwargs):
        if all(part is None for part in (video, audio, text, videos, images)):
            return processor_class.__call__(self)
        texts = text if isinstance(text, list) else [text or "the dog"]
        if videos is not None:
            clips = [videos.transpose(0, 2, 3, 1)] * len(texts)
        else:
            clips = [[frame] for frame in (images if isinstance(images, list) else [images or BLANK] * len(texts))]
        sounds = [np.resize(SOUND if audio is None else audio[0], len(clip) * RATE) for clip in clips]
        given = {
            "videos": clips,
            **({"audio": sounds, "sampling_rate": RATE} if self.needs_audio else {}),
            **({"text": texts} if self.needs_text else {}),
        }
        inputs = processor_class.__call__(self, **given, **kwargs)
        for name in {"input_ids", "attention_mask"} & inputs.keys():
            inputs[name] = inputs[name][:, 0]
        return inputs

    contents = {"__call__": call, "__module__": processor_class.__module__}
    return type(processor_class.__name__, (processor_class,), contents)


class ProcessorTests(ProcessorTesterMixin):
    """The common tests for the processor of a variant, which a sub-class names."""

    variant = None
    videos_input_name = "pixel_values"

    @classmethod
    def setUpClass(cls):
        cls.processor_class = one_at_a_time(cls.variant.processor_class)
        super().setUpClass()

    def get_component(self, attribute, *args, **kwargs):
        if attribute in ("vit_image_processor", "clip_image_processor"):  # of no kind that Transformers knows by name
            return copy.deepcopy(getattr(self.variant.processor, attribute))
        return super().get_component(attribute, *args, **kwargs)

    @classmethod
    def _setup_from_components(cls):
        processor = copy.deepcopy(cls.variant.processor)
        if getattr(processor, "tokenizer", None) is not None:
            processor.tokenizer.backend_tokenizer.no_padding()  # which calls in other tests leave switched on
        processor.__class__ = cls.processor_class
        return processor


class AuralSam2ProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2"]


class AuralSam2NoTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2-no_text"]


class AvsegFormerProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["avsegformer"]


class AvsegFormerTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["avsegformer-text"]


class GavsProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["gavs"]


class GavsTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["gavs-sam2_text"]


class ReferFormerProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["referformer"]


class Sam2LoveProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sam2_love"]


class SamaAvsProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sama_avs"]


class SamaAvsSam2ProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sama_avs-sam2"]


class SamaAvsTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sama_avs-sam2_text"]


class SimTokenProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["simtoken"]


class StBavaProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["st_bava"]


class EemcProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["eemc"]


class SteppingStonesProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["stepping_stones"]


class TpaviProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["tpavi"]


class TpaviTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["tpavi-text"]


del ProcessorTests, ProcessorTesterMixin
