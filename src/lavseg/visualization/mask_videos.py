"""Pictures of a video with masks, one after the other: legend and sound stand under each."""

from collections.abc import Sequence

import numpy as np

from .legends import legend
from .mask_pictures import enlarge, overlay, palette
from .sound_strips import SoundStrip

# The font is the shorter side of a picture divided by the first number, and at least as many pixels as the second.
SIDE_TO_FONT, MIN_FONT = 36, 14


class MaskVideo:
    """Draws frame by frame, in memory that does not grow.

    ```python
    video = MaskVideo(["the louder of the two dogs"], fps=5)
    with VideoWriter("overlay.mp4", fps=5) as writer:
        for frame, masks in results:  # uint8 [H, W, 3], bool [E, H, W]
            writer.write(video.draw(frame, masks))
    ```

    Args:
        labels: what each of the `E` masks shows.
        fps: frames per second.
        colors: 0..255 RGB `[E, 3]`; by default `palette(E)`.
    """

    def __init__(self, labels: Sequence[str], fps: float, colors: np.ndarray | None = None):
        self.labels, self.fps = labels, fps
        self.colors = palette(len(labels)) if colors is None else np.asarray(colors)
        self.legend: np.ndarray | None = None
        self.strip: SoundStrip | None = None

    def draw(self, frame: np.ndarray, masks: np.ndarray, waveform: np.ndarray | None = None) -> np.ndarray:
        """The next frame with its masks, legend and sound; small frames are enlarged.

        Args:
            frame: uint8 `[H, W, 3]`, RGB, of the same size each time.
            masks: bool `[E, H, W]`.
            waveform: the sound under the frame, float `[channels, samples]` in [-1, 1]; for all frames or for none.

        Returns:
            uint8 `[H', W', 3]`, the same size each time.

        Raises:
            ValueError: shapes or types do not fit.
        """
        frame, masks = enlarge(frame, masks)
        return self.caption(overlay(frame[None], masks[:, None], self.colors)[0], waveform)

    def caption(self, picture: np.ndarray, waveform: np.ndarray | None = None) -> np.ndarray:
        """A finished picture, such as one of `side_by_side`, as the next one: legend and sound are put under it."""
        height, width = picture.shape[:2]
        if self.legend is None:
            size = max(MIN_FONT, round(min(height, width) / SIDE_TO_FONT))
            self.legend = legend(self.labels, self.colors, width, size)
            self.strip = None if waveform is None else SoundStrip(width, size, self.fps)
        under = [self.legend] if self.strip is None else [self.legend, self.strip.add(waveform)]
        return np.concatenate([picture, *under])
