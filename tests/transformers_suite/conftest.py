"""Runs Transformers' common tests, but for those in `excused.py`."""

from collections import defaultdict

import pytest
from excused import EXCUSED

MARKERS = (
    *("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test", "order"),
    *("is_agent_test", "is_pipeline_test", "is_staging_test", "is_training_test"),
)
REASONS = {(test, variant): reason for test, variants, reason in EXCUSED for variant in variants}


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: of Transformers' common tests")


def pytest_collection_modifyitems(items):
    unknown, collected = set(REASONS), defaultdict(set)
    for item in items:
        key = (item.originalname or item.name, item.cls.__name__)
        collected[item.cls.__name__].add(key)
        if key in REASONS:
            unknown.discard(key)
            item.add_marker(pytest.mark.xfail(reason=REASONS[key], strict=True))
    unknown = {key for key in unknown if key[1] in collected}
    if unknown:
        raise pytest.UsageError(f"excused.py: there are no such tests: {sorted(unknown)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    excused = (item.originalname or item.name, item.cls.__name__) in REASONS
    if excused and report.when == "call" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = "excused.py lists this test, which skips itself"
    return report
