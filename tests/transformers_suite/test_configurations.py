"""Transformers' common tests of configurations."""

import unittest

from common_tests import load
from tiny.configurations import tiny_config

from lavseg import (
    AuralSam2Config,
    AvsegFormerConfig,
    EemcConfig,
    GavsConfig,
    ReferFormerConfig,
    Sam2LoveConfig,
    SamaAvsConfig,
    SimTokenConfig,
    StBavaConfig,
    SteppingStonesConfig,
    TpaviConfig,
    VggishConfig,
)

ConfigTester = load("test_configuration_common").ConfigTester


class ConfigurationTests:
    """The common tests for one configuration class, which a sub-class names. The fields are those of a tiny model."""

    config_class = None

    def setUp(self):
        self.model_tester = self
        self.tester = ConfigTester(self, self.config_class, has_text_modality=False, common_properties=[])

    def get_config(self):
        return tiny_config(self.config_class)


for name in dir(ConfigTester):
    if name.startswith(("create_and_test_", "check_config_")):
        test = name.removeprefix("create_and_").removeprefix("check_")
        test = test if test.startswith("test_") else f"test_{test}"
        setattr(ConfigurationTests, test, lambda self, name=name: getattr(self.tester, name)())


class AuralSam2ConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = AuralSam2Config


class AvsegFormerConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = AvsegFormerConfig


class GavsConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = GavsConfig


class ReferFormerConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = ReferFormerConfig


class Sam2LoveConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = Sam2LoveConfig


class SamaAvsConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = SamaAvsConfig


class SimTokenConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = SimTokenConfig


class StBavaConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = StBavaConfig


class EemcConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = EemcConfig


class SteppingStonesConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = SteppingStonesConfig


class TpaviConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = TpaviConfig


class VggishConfigTest(ConfigurationTests, unittest.TestCase):
    config_class = VggishConfig
