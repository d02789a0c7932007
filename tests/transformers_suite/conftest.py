"""Markers of Transformers' common tests, and what of them is excused."""

import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

SUITE = Path(__file__).parent
MARKERS = (
    *("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test", "order"),
    *("is_agent_test", "is_pipeline_test", "is_staging_test", "is_training_test"),
)


@cache
def reasons() -> dict[tuple[str, str], str]:
    """Why a test is excused, by its name and that of its class."""
    sys.path.insert(0, str(SUITE))
    from excused import EXCUSED

    return {(test, variant): reason for test, variants, reason in EXCUSED for variant in variants}


def _key(item):
    return (item.name, item.cls.__name__) if SUITE in item.path.parents and item.cls else None


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: of Transformers' common tests")


def pytest_collection_modifyitems(items):
    collected = defaultdict(set)
    for key, item in ((_key(item), item) for item in items):
        if key is None:
            continue
        collected[key[1]].add(key)
        if key in reasons():
            item.add_marker(pytest.mark.xfail(reason=reasons()[key], strict=True))
    if len(collected) > 1:  # the whole suite, not one test of it
        unknown = {key for key in reasons() if key[1] in collected} - set().union(*collected.values())
        if unknown:
            raise pytest.UsageError(f"excused.py: there are no such tests: {sorted(unknown)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    key = _key(item)
    if key and report.skipped and not hasattr(report, "wasxfail") and key in reasons():
        report.outcome = "failed"
        report.longrepr = "excused.py lists this test, which skips itself"
    return report
