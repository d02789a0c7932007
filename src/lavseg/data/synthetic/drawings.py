"""Pictures of the band, drawn in code: each one different, with transparency around it."""

import numpy as np

from .drawn_animals import bird, dog
from .drawn_car import car
from .drawn_keys import accordion, keyboard
from .drawn_strings import guitar, violin
from .drawn_struck import bell, drum
from .drawn_winds import flute, saxophone, trumpet

SMALLEST = 8
_DRAWINGS = {
    drawing.__name__: drawing
    for drawing in (guitar, violin, trumpet, drum, keyboard, flute, bell, saxophone, accordion, dog, bird, car)
}


def draw_picture(category: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw one object, upright and tightly cropped; colours, proportions and details differ from call to call.

    Args:
        category: guitar, violin, trumpet, drum, keyboard, flute, bell, saxophone, accordion, dog, bird or car.
        rng: the source of all variation; the same state gives the same picture.
        size: pixels of the longer side, at least 8.

    Returns:
        uint8 RGBA `[h, w, 4]` with straight alpha and `max(h, w) == size`.

    Raises:
        ValueError: for another category or a smaller size.
    """
    if category not in _DRAWINGS:
        raise ValueError(f"category must be one of {', '.join(_DRAWINGS)}, got {category!r}.")
    if size < SMALLEST:
        raise ValueError(f"size must be at least {SMALLEST} pixels, got {size}.")
    return _DRAWINGS[category](rng).picture(size)
