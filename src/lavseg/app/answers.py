"""What the page's requests are answered with: masks of clips, previews of clicks, and the files users get."""

import filecmp
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cached_property, lru_cache
from html import escape
from itertools import chain, islice
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ..data.synthetic.rendering import SAMPLING_RATE, render_clip
from ..data.synthetic.sentences import draw_expressions, draw_scene
from ..inference.clip_segmenter import ClipSegmenter
from ..inference.encoded_frames import FrameInput
from ..inference.frame_predictions import segmented_frame
from ..inference.mask_files import MASK_FILES
from ..inference.segment_video import segment_video
from ..media import ClipPart, write_video
from ..media.isolated_reading import IsolatedClipReader
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from ..visualization import overlay, palette
from .answer_files import AnswerFiles
from .clicks import Click, add_click, click_prompts, draw_clicks
from .user_input import check_clip, filled_lines, mask_logit, shown_errors, split_sentences
from .work import Work, WorkLine

# Seconds that looking at a clip and segmenting it may take, while everybody else waits. Large models need minutes for a
# clip on a CPU.
LOOK_SECONDS, JOB_SECONDS = 60, 900
# Requests of all users together that wait.
MAX_QUEUE = 16
# Frames that are kept decoded for clicks, of all users together.
KEPT_FRAMES = 4
EXAMPLE_SCENES = ("both", "sound", "words")
THRESHOLD = 0.5
SOUNDING = "sounding objects"

# The overlay video, the time strip, and the archive.
Results = tuple[str | None, str, str | None]
NOTHING: Results = (None, "", None)


class WebApp:
    """Models behind a web page.

    Args:
        models: by the names that users see, each in evaluation mode, on its device, and the processor saved with it;
            the first one is used where none is chosen.
        folder: every file is written here.
    """

    def __init__(
        self, models: Mapping[str, tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]], folder: str | Path
    ):
        self.models = dict(models)
        self.folder = Path(folder)
        self._kept: dict[tuple[str, int], Results] = {}
        self._part = lru_cache(KEPT_FRAMES)(_read_part)
        self._line = WorkLine(MAX_QUEUE)

    def look_at_clip(self, clip: str | None, model: str) -> tuple[Any, Any, Any, list[Click]]:
        """Refuse a clip that cannot be used as soon as it is chosen; show its first frame to click on.

        Returns:
            Sliders for frames and for frames per second, a picture, and no clicks.
        """
        if clip is None:
            return gr.skip(), gr.skip(), None, []
        processor = self.models[model][1]
        fps = processor.fps
        with shown_errors(clip):
            reader = IsolatedClipReader(clip, LOOK_SECONDS)
            check_clip(reader, processor.needs_audio)
            last, rate = max(int(reader.info.seconds * fps) - 1, 1), int(reader.info.fps + 0.01)
        frames = gr.Slider(0, last, value=0, step=1)
        # Gradio takes no range of one value.
        rates = gr.Slider(fps, max(rate, fps + 1), value=fps, step=1, interactive=rate > fps)
        return frames, rates, self.look_at_frame(clip, model, 0, []), []

    def look_at_frame(self, clip: str | None, model: str, frame: int, clicks: list[Click]) -> np.ndarray | None:
        """A frame with its clicks; none for a model that takes no clicks."""
        network, processor = self.models[model]
        if clip is None or not network.takes_points:
            return None
        with shown_errors(clip):
            picture = self._part(clip, frame, processor.fps).frame
        return _draw(picture, clicks, frame)

    def add_click(
        self,
        clip: str,
        model: str,
        frame: int,
        thing: int | None,
        kind: str,
        clicks: list[Click],
        click: gr.SelectData,
    ) -> tuple[list[Click], np.ndarray | None]:
        """Add where the user clicked on a frame, and draw it."""
        with shown_errors(clip):
            x, y = map(int, click.index)
            clicks = add_click(clicks, Click(thing or 0, frame, x, y, kind))
        return clicks, self.look_at_frame(clip, model, frame, clicks)

    def preview(
        self, clip: str, sentences: str, model: str, frame: int, threshold: float, clicks: list[Click]
    ) -> np.ndarray:
        """A frame with its clicks and with the masks that the model finds on this frame alone."""
        network, processor = self.models[model]
        with shown_errors(clip):
            part = self._part(clip, frame, processor.fps)
            here = [click for click in clicks if click.frame == frame]
            if not here:
                return part.frame
            texts = split_sentences(sentences) if processor.needs_text else []
            prompts = click_prompts(here, max(len(texts), 1))
            if not prompts:
                return _draw(part.frame, clicks, frame)
            del prompts["prompt_frames"]
            inputs = [FrameInput(part, part.waveform, 0)]
            with self._line.joined(None, clip) as work:
                deque(self._line.waiting(work), maxlen=0)
                found = ClipSegmenter(network, processor, texts).segment_clip(inputs, prompts, prompt_frames=[0])
            masks = segmented_frame(processor, part, found, mask_logit(threshold)).masks
        return _draw(overlay(part.frame[None], masks[:, None])[0], clicks, frame)

    def segment(
        self,
        clip: str | None,
        sentences: str = "",
        model: str | None = None,
        fps: float | None = None,
        threshold: float = THRESHOLD,
        mask_format: str = "png",
        clicks: Sequence[Click] = (),
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        request: gr.Request | None = None,
    ) -> Iterator[Results]:
        """Segment a clip: give it, with sound for a model that hears, and sentences that say which objects are meant,
        one on each line.

        The other arguments are the model's name, frames per second, the probability from which a pixel is in a mask,
        and how masks are stored: `png`, `rle` or `npz`. The results are the clip with the masks over it, the sound and
        the objects' scores over time as HTML, and a zip file with masks, `overlay.mp4` and `result.json`.
        """
        session = None if request is None else request.session_hash
        with shown_errors(clip), self._line.joined(session, clip) as work:
            for before in self._line.waiting(work):
                progress(0, f"Waiting: {before} before you")
                yield unchanged()
            asked = sentences, model or next(iter(self.models)), fps, threshold, mask_format, clicks
            if not work.ended:
                yield from self._segmented(work, *asked, progress)

    def _segmented(
        self,
        work: Work,
        sentences: str,
        name: str,
        fps: float | None,
        threshold: float,
        mask_format: str,
        clicks: Sequence[Click],
        progress: gr.Progress,
    ) -> Iterator[Results]:
        """The results of [`segment`] at the end; before that, nothing new with every frame, where work may end."""
        clip = work.clip
        if clip is None:
            raise ValueError("Choose or record a clip first.")
        if mask_format not in MASK_FILES:
            raise ValueError(f"Masks as {mask_format} are not known here; give one of {', '.join(MASK_FILES)}")
        network, processor = self.models[name]
        texts = split_sentences(sentences) if processor.needs_text else []
        labels, rate = texts or [SOUNDING], float(fps or processor.fps)
        prompts = click_prompts(clicks, len(labels)) if network.takes_points else {}
        reader = IsolatedClipReader(clip, JOB_SECONDS)
        check_clip(reader, processor.needs_audio)
        total = int(reader.info.seconds * rate)
        progress(0, "Reading the clip")
        with ExitStack() as undo:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            undo.callback(shutil.rmtree, folder)
            frames = segment_video(
                network, processor, reader, texts, rate, mask_threshold=mask_logit(threshold), **prompts
            )
            first = next(frames)
            with closing(AnswerFiles(folder, labels, first, rate, mask_format, processor.needs_audio)) as files:
                for frame in chain([first], frames):
                    if work.ended:
                        return
                    done = files.write(frame)
                    progress((done, max(done, total)), "Segmenting", unit="frames")
                    yield unchanged()
                answer = files.finish({"model": name})
            if work.ended:
                return
            undo.pop_all()
        remarks = [remark.removeprefix(f"{clip}: ") for remark in reader.remarks] + answer.warnings
        notes = "".join(f"<div>Note: {escape(remark)}</div>" for remark in remarks)
        yield str(answer.video), notes + answer.strip, str(answer.archive)

    def end_work(self, request: gr.Request, unless: str | None = None) -> None:
        """End what a session has begun, other than on the clip `unless`."""
        self._line.end(request.session_hash, unless)

    def segment_example(
        self,
        example: tuple[int, Any],
        model: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        request: gr.Request | None = None,
    ) -> Iterator[Results]:
        """The results for an example, which are kept for whoever asks next; of an example only its number is read."""
        key = model, example[0]
        yield NOTHING
        results = self._kept.get(key, NOTHING)
        files = [Path(file) for file in results[::2] if file is not None]
        if files and all(file.is_file() for file in files):
            for file in files:
                file.touch()  # Gradio deletes old ones
            yield results
            return
        for results in self.segment(*self.examples[example[0]], model=model, progress=progress, request=request):
            yield results
        if isinstance(results[0], str):
            self._kept[key] = results

    def example_like(self, clip: str | None) -> str | None:
        """The example that a clip is a copy of."""
        paths = (example[0] for example in self.examples if clip is not None)
        return next((path for path in paths if filecmp.cmp(clip, path, shallow=False)), None)

    @cached_property
    def examples(self) -> list[list[str]]:
        """Clips of a drawn band, each with a sentence of every kind it allows."""
        reads = any(processor.needs_text for _, processor in self.models.values())
        found = []
        for seed, scene in enumerate(EXAMPLE_SCENES):
            rng = np.random.default_rng(seed)
            objects = draw_scene(rng, scene)
            clip = render_clip(rng, frame_size=(224, 288), objects=objects)
            path = self.folder / f"band-{seed + 1}.mp4"
            write_video(path, clip.frames, 1, clip.waveform, SAMPLING_RATE)
            texts = {item.kind: item.text.strip() for item in draw_expressions(rng, objects) if item.target is not None}
            found.append([str(path), "\n".join(texts.values())] if reads else [str(path)])
        return found


def unchanged() -> tuple:
    """Results that leave on the page what is there."""
    return gr.skip(), gr.skip(), gr.skip()


def choose_object(sentences: str) -> gr.Dropdown:
    """The choice of the object that clicks are about, one for each sentence; not shown where there is no choice."""
    lines = filled_lines(sentences) or [SOUNDING]
    return gr.Dropdown(
        [(f"{index}: {line}", index) for index, line in enumerate(lines)], value=0, visible=len(lines) > 1
    )


def _read_part(clip: str, frame: int, fps: float) -> ClipPart:
    """A frame of a clip with the sound under it; the last one of a clip that has fewer."""
    with closing(IsolatedClipReader(clip, LOOK_SECONDS).iter_clip(fps)) as parts:
        (part,) = deque(islice(parts, frame + 1), maxlen=1)
    return part


def _draw(picture: np.ndarray, clicks: Sequence[Click], frame: int) -> np.ndarray:
    colors = palette(1 + max((click.thing for click in clicks), default=0))
    return draw_clicks(picture, [click for click in clicks if click.frame == frame], colors)
