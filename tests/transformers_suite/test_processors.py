"""Transformers' common tests of processors, on every kind of processor that a method has."""

import copy
import unittest

from common_tests import load
from variants_under_test import VARIANTS

ProcessorTesterMixin = load("test_processing_common").ProcessorTesterMixin


class ProcessorTests(ProcessorTesterMixin):
    """The common tests for the processor of a variant, which a sub-class names."""

    variant = None

    @classmethod
    def setUpClass(cls):
        cls.processor_class = cls.variant.processor_class
        super().setUpClass()

    @classmethod
    def _setup_from_components(cls):
        return copy.deepcopy(cls.variant.processor)


class AuralSam2ProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2"]


class AuralSam2NoTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2-no_text"]


class GavsProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["gavs"]


class GavsTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["gavs-sam2_text"]


class Sam2LoveProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sam2_love"]


class SamaAvsProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sama_avs"]


class SamaAvsSam2ProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sama_avs-sam2"]


class SamaAvsTextProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["sama_avs-sam2_text"]


class StBavaProcessorTest(ProcessorTests, unittest.TestCase):
    variant = VARIANTS["st_bava"]


del ProcessorTests, ProcessorTesterMixin
