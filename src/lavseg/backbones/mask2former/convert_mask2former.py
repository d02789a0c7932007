"""What parts of Mask2Former were called in Transformers 4.30 to 4.35, on which released codes stand."""

import re
from collections.abc import Callable, Sequence

# Rules for what follows the name of the host, such as "mask2former.".
MASK2FORMER_KEYS: list[tuple[str, str | Callable]] = [
    (r"(\.pixel_level_module\.encoder)\.(embeddings|encoder)\.", r"\1.swin.\2."),
    (r"\.attention\.self\.(query|key|value)\.", lambda match: f".attention.{match[1][0]}_proj."),
    (
        r"\.attention\.self\.relative_position_bias_table$",
        ".attention.relative_position_bias.relative_position_bias_table",
    ),
    (r"(\.blocks\.\d+)\.attention\.output\.dense\.", r"\1.attention.o_proj."),
    (r"(\.blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"(\.blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
]
# Indices that follow from the size of a window, and weights of a loss that is not stored here.
UNUSED_MASK2FORMER_KEYS = r"\.relative_position_index$|\.criterion\.empty_weight$"


def renamed(key: str, rules: Sequence[tuple[str, str | Callable]]) -> str:
    """A key after all rules, each what `re.sub` takes, one after the other."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


__all__ = ["MASK2FORMER_KEYS", "renamed"]
