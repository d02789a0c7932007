import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "models"))

from test_every_method import TestEveryMethod

VARIANTS = TestEveryMethod.variants
del TestEveryMethod
