"""Prints the lowest versions that pyproject.toml allows of what the package and its web app need, as constraints."""

import re
import tomllib
from pathlib import Path

FLOOR = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>[\w.]+)(,|$)")


def lowest_versions(pyproject: str) -> list[str]:
    """`name==version` of every requirement.

    Raises:
        ValueError: for a requirement without a lower bound.
    """
    project = tomllib.loads(pyproject)["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["app"]
    floors = {requirement: FLOOR.match(requirement) for requirement in requirements}
    if without := [requirement for requirement, floor in floors.items() if floor is None]:
        raise ValueError(f"pyproject.toml: {', '.join(without)} names no lowest version")
    return [f"{floor['name']}=={floor['version']}" for floor in floors.values()]


if __name__ == "__main__":
    print("\n".join(lowest_versions(Path("pyproject.toml").read_text(encoding="utf-8"))))
