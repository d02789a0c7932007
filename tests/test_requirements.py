"""What the package needs, by version: bounds on both sides, and the lowest set that `.ci/lowest` installs."""

import runpy
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from conftest import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
lowest_versions = runpy.run_path(str(ROOT / ".ci" / "lowest_versions.py"))["lowest_versions"]


@pytest.mark.parametrize("requirement", map(Requirement, tomllib.loads(PYPROJECT)["project"]["dependencies"]), ids=str)
def test_requirements_are_bounded_on_both_sides_and_met_here(requirement):
    assert {bound.operator for bound in requirement.specifier} == {">=", "<"}
    assert requirement.specifier.contains(version(requirement.name))


def test_the_lowest_versions_are_listed():
    listed = lowest_versions(PYPROJECT)
    assert len(listed) == len(set(listed)) and "transformers==5.23" in listed
    assert any(line.startswith("gradio==") for line in listed)
    with pytest.raises(ValueError, match="numpy, rich<2 names no lowest version"):
        lowest_versions('[project]\ndependencies = ["numpy", "av>=15", "rich<2"]\noptional-dependencies.app = []')
