"""The contract of a method as tests, for the methods of this package and for those from outside it.

It needs pytest, which is not installed with the package. A method is tested by a sub-class in a test file:

```python
from lavseg.testing import MethodContract, Variant


class TestMyMethod(MethodContract):
    variants = {"plain": Variant(MyConfig(...), MyModel, MyProcessor, parameters=120_000, trainable=30_000)}
```

The configuration should be a tiny one: clips are segmented some twenty times. Model and processor have to be known to
the Auto classes once the module of the model is imported.
"""

from .contract import MethodContract
from .variants import Variant

__all__ = ["MethodContract", "Variant"]
