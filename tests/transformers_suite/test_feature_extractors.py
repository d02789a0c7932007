"""Transformers' common tests of feature extractors."""

import unittest

from common_tests import load

from lavseg import VggishFeatureExtractor

SavingTests = load("test_feature_extraction_common").FeatureExtractionSavingTestMixin


class VggishFeatureExtractorTest(SavingTests, unittest.TestCase):
    feature_extraction_class = VggishFeatureExtractor
    feat_extract_dict = {"min_patches": 2}


del SavingTests
