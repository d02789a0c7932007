"""What the page's requests are answered with: checks of what users give, masks, and the files they get."""

import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from html import escape
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image, ImageDraw

from ..data.synthetic.rendering import SAMPLING_RATE, render_clip
from ..data.synthetic.sentences import draw_expressions, draw_scene
from ..inference.frame_predictions import SegmentedFrame
from ..inference.result_files import ResultFiles
from ..inference.segment_video import segment_video
from ..media import ClipReader, write_video
from ..media.isolated_reading import IsolatedClipReader
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from .time_strip import peaks, time_strip, visibility

MAX_MEGABYTES = 200
MAX_SECONDS = 60
# The longer and the shorter side of a picture: frames of a window are held in memory, and one mask for each sentence.
MAX_SIDES = (4096, 2304)
# All are decoded, whatever the rate at which the model looks at them: 120 a second.
MAX_FRAMES = 7200
MAX_SENTENCES, MAX_CHARACTERS = 8, 500
# Everybody waits for one request: seconds that looking at a clip and segmenting it may take. Large models need minutes
# for a clip on a CPU.
LOOK_SECONDS, JOB_SECONDS = 60, 900
EXAMPLE_SCENES = ("both", "sound", "words")
ON_OBJECT, OFF_OBJECT = "on the object", "not on the object"
POINT_COLORS = {1: (0, 158, 115), 0: (213, 94, 0)}


class Answer(NamedTuple):
    """Files and HTML for one request: the overlay video, a zip of PNG masks, the time strip; and what was noticed."""

    video: Path
    masks: Path
    strip: str
    warnings: list[str]


class WebApp:
    """A model behind a web page.

    Args:
        model: in evaluation mode, on its device.
        processor: the one saved with the model.
        folder: every file is written here.
    """

    def __init__(self, model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, folder: Path):
        self.model = model
        self.processor = processor
        self.folder = folder
        self.takes_points = model.takes_points

    def look_at_clip(self, clip: str | None) -> tuple[dict, np.ndarray | None, list]:
        """Refuse a clip that cannot be used as soon as it is chosen; show its first frame to point at."""
        if clip is None:
            return gr.skip(), None, []
        with shown_errors(clip):
            reader = IsolatedClipReader(clip, LOOK_SECONDS)
            check_clip(reader)
            last = max(int(reader.info.seconds * self.processor.fps) - 1, 1)
            return gr.Slider(0, last, value=0), *self.look_at_frame(clip, 0)

    def look_at_frame(self, clip: str | None, frame: int) -> tuple[np.ndarray | None, list]:
        """A frame to point at, without points."""
        if clip is None or not self.takes_points:
            return None, []
        with shown_errors(clip):
            with closing(IsolatedClipReader(clip, LOOK_SECONDS).iter_frames(self.processor.fps)) as frames:
                ((_, image),) = deque(islice(frames, frame + 1), maxlen=1)
            return image, []

    def segment(
        self,
        clip: str | None,
        sentences: str,
        frame: int,
        points: list[list[int]],
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, gr.DownloadButton]:
        """What the button does: video, time strip and the button with the masks.

        Raises:
            gr.Error: with a message for the user, where something given cannot be used.
        """
        with shown_errors(clip), ExitStack() as undo:
            if clip is None:
                raise ValueError("Choose or record a clip first.")
            texts = split_sentences(sentences) if self.processor.needs_text else []
            reader = IsolatedClipReader(clip, JOB_SECONDS)
            check_clip(reader)
            total = int(reader.info.seconds * self.processor.fps)
            prompts = point_prompts(points, min(frame, max(total - 1, 0)), texts)
            progress(0, "Reading the clip")
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            undo.callback(shutil.rmtree, folder)
            answer = write_answer(
                segment_video(self.model, self.processor, reader, texts, **prompts),
                texts or ["sounding objects"],
                self.processor.fps,
                folder,
                lambda done: progress((done, max(done, total)), unit="frames"),
            )
            undo.pop_all()
        remarks = [remark.removeprefix(f"{clip}: ") for remark in reader.remarks] + answer.warnings
        notes = "".join(f"<div>Note: {escape(remark)}</div>" for remark in remarks)
        return str(answer.video), notes + answer.strip, gr.DownloadButton(value=str(answer.masks), interactive=True)

    def write_examples(self) -> list[list[str]]:
        """Clips of a drawn band, each with a sentence of every kind it allows."""
        found = []
        for seed, scene in enumerate(EXAMPLE_SCENES):
            rng = np.random.default_rng(seed)
            objects = draw_scene(rng, scene)
            clip = render_clip(rng, frame_size=(224, 288), objects=objects)
            path = self.folder / f"band-{seed + 1}.mp4"
            write_video(path, clip.frames, 1, clip.waveform, SAMPLING_RATE)
            texts = {item.kind: item.text.strip() for item in draw_expressions(rng, objects) if item.target is not None}
            found.append([str(path), "\n".join(texts.values())] if self.processor.needs_text else [str(path)])
        return found


@contextmanager
def shown_errors(clip: str | None) -> Iterator[None]:
    """Show what is wrong with the user's input as a message on the page, with the clip's name and not its place."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        if clip is not None:
            message = message.replace(clip, Path(clip).name)
        raise gr.Error(escape(message), print_exception=False) from error


def no_download() -> gr.DownloadButton:
    """The button while there are no masks."""
    return gr.DownloadButton(value=None, interactive=False)


def check_clip(clip: ClipReader) -> None:
    """Refuse a clip that is not taken here.

    Raises:
        ValueError: (of which `MediaError` is one) it is damaged, too long or too large, or carries no sound.
    """
    seconds = clip.info.seconds
    if seconds > MAX_SECONDS:
        raise ValueError(
            f"{clip.path}: lasts {seconds:.0f} seconds; clips of up to {MAX_SECONDS} are taken here, longer ones by "
            "the command lavseg segment"
        )
    frames = round(seconds * clip.info.fps)
    if frames > MAX_FRAMES:
        raise ValueError(f"{clip.path}: has {frames} frames; up to {MAX_FRAMES} are taken here")
    with closing(clip.iter_clip()) as parts:
        first = next(parts)
    height, width, _ = first.frame.shape
    if max(height, width) > MAX_SIDES[0] or min(height, width) > MAX_SIDES[1]:
        most = "x".join(map(str, MAX_SIDES))
        raise ValueError(f"{clip.path}: its pictures are {width}x{height}; up to {most} are taken here")
    if first.waveform is None:
        raise ValueError(f"{clip.path}: carries no sound, which the model needs")


def point_prompts(points: list[list[int]], frame: int, texts: list[str]) -> dict[str, Any]:
    """Points `[x, y, label]` on a frame as arguments of `segment_video`; none where there are no points.

    Raises:
        ValueError: they belong to more than one sentence.
    """
    if not points:
        return {}
    if len(texts) > 1:
        raise ValueError("Points show one object: give one sentence with them, or remove the points.")
    return {
        "input_points": [[[[x, y] for x, y, _ in points]]],
        "input_labels": [[[label for _, _, label in points]]],
        "prompt_frames": [frame],
    }


def split_sentences(sentences: str) -> list[str]:
    """The lines that say something.

    Raises:
        ValueError: there are none, or too many.
    """
    texts = [line.strip() for line in sentences.splitlines() if line.strip()]
    if not texts:
        raise ValueError("Write a sentence that says which object is meant, such as: the louder of the two dogs")
    if len(texts) > MAX_SENTENCES:
        raise ValueError(f"{len(texts)} sentences were given; up to {MAX_SENTENCES} are taken at a time")
    longest = max(map(len, texts))
    if longest > MAX_CHARACTERS:
        raise ValueError(f"A sentence has {longest} characters; up to {MAX_CHARACTERS} are taken")
    return texts


def add_point(
    picture: np.ndarray, points: list[list[int]], side: str, click: gr.SelectData
) -> tuple[np.ndarray, list[list[int]]]:
    """Add where the user clicked, `[x, y, label]` with label 1 on the object and 0 off it, and draw it."""
    (x, y), label = click.index, int(side == ON_OBJECT)
    image = Image.fromarray(picture)
    radius = max(4, min(image.size) // 60)
    ImageDraw.Draw(image).circle((x, y), radius, POINT_COLORS[label], "white", max(1, radius // 3))
    return np.asarray(image), [*points, [int(x), int(y), label]]


def write_answer(
    frames: Iterator[SegmentedFrame],
    labels: Sequence[str],
    fps: float,
    folder: Path,
    on_frame: Callable[[int], None],
) -> Answer:
    """Write the overlay video and the masks as frames come.

    `masks.zip` holds `0/00000.png`, ... for the first label, `1/` for the second, and so on, and `labels.txt` with
    each label on a line of its own.

    Args:
        frames: at least one, each with `E` masks.
        labels: what each of the `E` masks shows.
        fps: frames per second.
        folder: an empty one.
        on_frame: called after each frame with how many are done.
    """
    first, masks = next(frames), folder / "masks"
    masks.mkdir()
    (masks / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    loudness, scores = [], []
    with closing(ResultFiles(masks, labels, first, fps)) as files:
        for frame in chain([first], frames):
            files.write(frame)
            loudness.append(peaks(frame.part.waveform))
            scores.append(visibility(frame))
            on_frame(len(scores))
    video = (masks / "overlay.mp4").rename(folder / "overlay.mp4")
    archive = shutil.make_archive(str(masks), "zip", masks)
    shutil.rmtree(masks)
    strip = time_strip(np.concatenate(loudness), np.stack(scores, axis=1), labels, files.colors, fps)
    return Answer(video, Path(archive), strip, files.summary()["warnings"])
