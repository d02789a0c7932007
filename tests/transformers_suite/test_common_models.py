"""Transformers' common tests of models, on every variant of the contract and on VGGish."""

import unittest

from model_testers import MethodTests, VggishTests
from variants_under_test import VARIANTS


class AuralSam2Test(MethodTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2"]


class AuralSam2ReleaseTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2-release"]


class AuralSam2NoTextTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2-no_text"]


class AuralSam2ClassesTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["aural_sam2-classes"]


class AvsegFormerTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["avsegformer"]


class AvsegFormerTextTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["avsegformer-text"]


class AvsegFormerClassesTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["avsegformer-classes"]


class GavsTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["gavs"]


class GavsSam2Test(MethodTests, unittest.TestCase):
    variant = VARIANTS["gavs-sam2"]


class GavsSam2TextTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["gavs-sam2_text"]


class ReferFormerTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["referformer"]


class Sam2LoveTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["sam2_love"]


class Sam2LoveEveryOptionTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["sam2_love-every_option"]


class SamaAvsTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["sama_avs"]


class SamaAvsSam2Test(MethodTests, unittest.TestCase):
    variant = VARIANTS["sama_avs-sam2"]


class SamaAvsSam2TextTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["sama_avs-sam2_text"]


class SimTokenTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["simtoken"]


class StBavaTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["st_bava"]


class StBavaGateTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["st_bava-gate"]


class EemcTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["eemc"]


class EemcPaperTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["eemc-paper"]


class SteppingStonesTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["stepping_stones"]


class SteppingStonesClassesTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["stepping_stones-classes"]


class TpaviTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["tpavi"]


class TpaviTextTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["tpavi-text"]


class TpaviClassesTest(MethodTests, unittest.TestCase):
    variant = VARIANTS["tpavi-classes"]


class VggishTest(VggishTests, unittest.TestCase):
    pass


del MethodTests, VggishTests
