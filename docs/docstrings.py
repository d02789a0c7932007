"""What a reader of the API's pages needs beyond what the source says: public names where they are imported from, and
links where docstrings name a class as [`ClipCollator`]."""

import ast
import re
from typing import Any

import griffe


class PublicNames(griffe.Extension):
    """`lavseg` imports its public names when they are used, from the modules that its `_PUBLIC` lists."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Enter the names, and the links to them."""
        public = ast.literal_eval(str(pkg["_PUBLIC"].value))
        for name, module in public.items():
            pkg.set_member(name, griffe.Alias(name, f"{pkg.path}.{module}.{name}"))
        _link(pkg, {name: f"{pkg.path}.{name}" for name in public})


def _link(documented: griffe.Object | griffe.Alias, targets: dict[str, str]) -> None:
    if documented.is_alias:
        return
    if documented.docstring is not None:
        documented.docstring.value = re.sub(
            r"\[`(\w+)`\](?![\[(])",
            lambda found: f"{found[0]}[{targets[found[1]]}]" if found[1] in targets else f"`{found[1]}`",
            documented.docstring.value,
        )
    for member in documented.members.values():
        _link(member, targets)
