"""The web app: a clip and sentences in; masks over the video, a time strip and files out. Needs the extra `app`."""

import inspect
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from html import escape
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import numpy as np
import torch
from PIL import Image, ImageDraw
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..checkpoint import load_checkpoint
from ..data.synthetic.scene import SAMPLING_RATE, draw_objects, render_clip
from ..data.synthetic.sentences import draw_expressions
from ..inference.mask_files import PngMasks
from ..inference.windows import SegmentedFrame, segment_video
from ..media import VideoInfo, VideoWriter, write_video
from ..media.isolated_reading import IsolatedReader
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.inputs import check_outputs
from ..modeling.processing import AudioVisualProcessor
from ..visualization import overlay, palette

MAX_MEGABYTES = 200
MAX_SECONDS = 60
# The longer and the shorter side of a picture: frames of a window are held in memory, and one mask for each sentence.
MAX_SIDES = (4096, 2304)
MAX_SENTENCES = 8
# Everybody waits for one request: seconds that looking at a clip and segmenting it may take. Large models need minutes
# for a clip on a CPU.
LOOK_SECONDS, JOB_SECONDS = 60, 900
# How long uploads and results stay on the server.
KEPT_SECONDS = 3600
# Values of the drawn sound for each frame.
LOUDNESS_VALUES = 20
EXAMPLE_PLANS = ("both", "sound", "words")
ON_OBJECT, OFF_OBJECT = "on the object", "not on the object"
POINT_COLORS = {1: (0, 158, 115), 0: (213, 94, 0)}

CSS = """
#strip .row { position: relative; height: 36px; margin: 2px 0 8px; border-bottom: 1px solid currentColor; }
#strip .row svg { width: 100%; height: 100%; display: block; }
#strip .swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
#strip .playhead { position: absolute; top: 0; bottom: 0; left: 0; width: 2px; background: currentColor; }
#strip .seconds { position: relative; height: 1.4em; font-size: .85em; }
#strip .seconds span { position: absolute; }
"""
# Moves a line over the time strip as the overlay video plays, and says why a file that is too large is not taken.
HEAD = (
    """<script>
document.addEventListener("timeupdate", ({target}) => {
  if (!target.closest("#overlay")) return;
  const left = `${100 * target.currentTime / target.duration}%`;
  document.querySelectorAll("#strip .playhead").forEach((line) => { line.style.left = left; });
}, true);
for (const kind of ["change", "drop"]) document.addEventListener(kind, (event) => {
  const files = event.target.files ?? event.dataTransfer?.files ?? [];
  if (![...files].some((file) => file.size > LIMIT * 1e6)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  alert("The file is too large: clips of up to LIMIT MB are taken here.");
}, true);
</script>"""
).replace("LIMIT", str(MAX_MEGABYTES))


class Answer(NamedTuple):
    """Files and HTML for one request: the overlay video, a zip of PNG masks, the time strip."""

    video: Path
    masks: Path
    strip: str


class WebApp:
    """A model behind a web page.

    Args:
        model: in evaluation mode, on its device.
        processor: of the model.
        folder: every file is written here.
    """

    def __init__(self, model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, folder: Path):
        self.model = model
        self.processor = processor
        self.folder = folder
        self.takes_points = "input_points" in inspect.signature(model.forward).parameters

    def page(self, title: str) -> gr.Blocks:
        """The page, to be launched."""
        reads, private = self.processor.needs_text, {"api_visibility": "private"}
        limits = f"Clips with sound, up to {MAX_SECONDS} seconds and {MAX_MEGABYTES} MB."
        with gr.Blocks(title="lavseg", delete_cache=(KEPT_SECONDS // 6, KEPT_SECONDS)) as page:
            gr.Markdown(f"# Which object is meant?\n{limits} Model: {escape(title)}")
            points = gr.State([])
            with gr.Row():
                with gr.Column():
                    clip = gr.Video(
                        label="Clip",
                        sources=["upload", "webcam"],
                        include_audio=True,
                        webcam_options=gr.WebcamOptions(mirror=False),
                        elem_id="clip",
                    )
                    sentences = gr.Textbox(
                        label="Sentences, one a line",
                        placeholder="the louder of the two dogs",
                        lines=3,
                        visible=reads,
                        elem_id="sentences",
                    )
                    with gr.Accordion("Points on a frame", open=False, visible=self.takes_points):
                        frame = gr.Slider(0, 1, step=1, label="Frame", elem_id="frame")
                        side = gr.Radio([ON_OBJECT, OFF_OBJECT], value=ON_OBJECT, label="The next point is")
                        picture = gr.Image(
                            interactive=False, format="png", buttons=[], label="Click on it", elem_id="picture"
                        )
                        clear = gr.Button("Remove the points", size="sm")
                    find = gr.Button("Find", variant="primary", elem_id="find")
                    gr.Examples(
                        self._examples(),
                        [clip, sentences] if reads else [clip],
                        label="Examples: shapes that move and sound",
                        cache_examples=False,
                        api_visibility="private",
                    )
                with gr.Column():
                    video = gr.Video(label="Masks over the clip", interactive=False, elem_id="overlay")
                    strip = gr.HTML(elem_id="strip")
                    masks = gr.DownloadButton("Download the masks", interactive=False, elem_id="masks")
            clip.change(lambda: (None, "", no_download()), None, [video, strip, masks], **private)
            clip.change(self.look_at_clip, clip, [frame, picture, points], **private)
            gr.on([frame.release, clear.click], self.look_at_frame, [clip, frame], [picture, points], **private)
            picture.select(add_point, [picture, points, side], [picture, points], **private)
            find.click(self.segment, [clip, sentences, frame, points], [video, strip, masks], **private)
        return page.queue(max_size=16)

    def look_at_clip(self, clip: str | None) -> tuple[dict, np.ndarray | None, list]:
        """Refuse a clip that cannot be used as soon as it is chosen; show its first frame to point at."""
        if clip is None:
            return gr.skip(), None, []
        with shown_errors(clip):
            video = check_clip(clip, IsolatedReader(LOOK_SECONDS))
            last = max(int(video.seconds * self.processor.fps) - 1, 1)
            return gr.Slider(0, last, value=0), *self.look_at_frame(clip, 0)

    def look_at_frame(self, clip: str | None, frame: int) -> tuple[np.ndarray | None, list]:
        """A frame to point at, without points."""
        if clip is None or not self.takes_points:
            return None, []
        with shown_errors(clip):
            with closing(IsolatedReader(LOOK_SECONDS).iter_frames(clip, self.processor.fps)) as frames:
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
            reader = IsolatedReader(JOB_SECONDS)
            total = int(check_clip(clip, reader).seconds * self.processor.fps)
            progress(0, "Reading the clip")
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            undo.callback(shutil.rmtree, folder)
            if points:
                frames = self._segment_pointed(reader, clip, texts, frame, points)
            else:
                frames = segment_video(self.model, self.processor, clip, texts, reader=reader)
            answer = write_answer(
                frames,
                texts or ["sounding objects"],
                self.processor.fps,
                folder,
                lambda done: progress((done, max(done, total)), unit="frames"),
            )
            undo.pop_all()
        return str(answer.video), answer.strip, gr.DownloadButton(value=str(answer.masks), interactive=True)

    @torch.inference_mode()
    def _segment_pointed(
        self, reader: IsolatedReader, clip: str, texts: list[str], frame: int, points: list[list[int]]
    ) -> Iterator[SegmentedFrame]:
        """The clip in one piece: from the frame with the points the object is tracked to both ends."""
        if len(texts) > 1:
            raise ValueError("Points show one object: give one sentence with them, or remove the points.")
        parts = list(reader.iter_clip(clip, self.processor.fps))
        inputs = self.processor(
            np.stack([part.frame for part in parts]),
            np.concatenate([part.waveform for part in parts], axis=1),
            texts or None,
            sampling_rate=parts[0].sampling_rate,
            input_points=[[[[x, y] for x, y, _ in points]]],
            input_labels=[[[label for _, _, label in points]]],
        )
        outputs = self.model(**inputs.to(self.model.device), prompt_frames=[min(frame, len(parts) - 1)])
        check_outputs(outputs)
        masks = self.processor.post_process_masks(outputs, inputs["original_sizes"])[0].cpu().numpy()
        logits = outputs.object_score_logits[0, 0].double().cpu().numpy()
        for part, mask, logit in zip(parts, masks, logits, strict=True):
            yield SegmentedFrame(part, mask[None], {"object_score_logits": logit[None]}, {})

    def _examples(self) -> list[list[str]]:
        """Clips of moving shapes that sound, each with a sentence of every kind it allows."""
        found = []
        for seed, plan in enumerate(EXAMPLE_PLANS):
            rng = np.random.default_rng(seed)
            objects = draw_objects(rng, plan=plan)
            clip = render_clip(rng, frame_size=(224, 288), objects=objects)
            path = self.folder / f"shapes-{seed + 1}.mp4"
            write_video(path, clip.frames, 1, clip.waveform, SAMPLING_RATE)
            texts = {item.kind: item.text.strip() for item in draw_expressions(rng, objects) if item.target is not None}
            found.append([str(path), "\n".join(texts.values())] if self.processor.needs_text else [str(path)])
        return found


def launch(
    model_name: str | Path,
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        model_name: folder or Hub id of a checkpoint.
        folder: for every file that is written. Gradio's own lie in the folder that `GRADIO_TEMP_DIR` names, which it
            reads when it is imported.
        host: address to listen at; only this machine can reach the default.
        port: to listen at; by default the first free one from 7860 on.
        on_ready: is told the page's address.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        OSError: the port is taken.
    """
    model, processor = load_checkpoint(model_name)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    page = WebApp(model, processor, Path(folder)).page(str(model_name))
    # Fonts of the system: the default theme would fetch others from the network.
    theme = gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    _, address, _ = page.launch(
        # Gradio makes an address of it as it is.
        server_name=f"[{host.strip('[]')}]" if ":" in host else host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=f"{MAX_MEGABYTES}mb",
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        theme=theme,
        css=CSS,
        head=HEAD,
        app_kwargs={"routes": [Route("/gradio_api/process_recording", not_served, methods=["POST"])]},
    )
    on_ready(address)
    page.block_thread()


async def not_served(request: Request) -> Response:
    """In place of Gradio's editing of screen recordings, which would run FFmpeg on what is sent to it."""
    return Response(status_code=404)


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


def check_clip(clip: str, reader: IsolatedReader) -> VideoInfo:
    """Length and rate of a clip.

    Raises:
        ValueError: (of which `MediaError` is one) it is damaged, too long or too large, or carries no sound.
    """
    video = reader.inspect_video(clip)
    if video.seconds > MAX_SECONDS:
        raise ValueError(
            f"{clip}: lasts {video.seconds:.0f} seconds; clips of up to {MAX_SECONDS} are taken here, longer ones by "
            "the command lavseg segment"
        )
    with closing(reader.iter_clip(clip)) as parts:
        first = next(parts)
    height, width, _ = first.frame.shape
    if max(height, width) > MAX_SIDES[0] or min(height, width) > MAX_SIDES[1]:
        most = "x".join(map(str, MAX_SIDES))
        raise ValueError(f"{clip}: its pictures are {width}x{height}; up to {most} are taken here")
    if first.waveform is None:
        raise ValueError(f"{clip}: carries no sound, which the model needs")
    return video


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
    rate: float,
    folder: Path,
    on_frame: Callable[[int], None],
) -> Answer:
    """Write the overlay video and the masks as frames come.

    `masks.zip` holds `0/00000.png`, ... for the first label, `1/` for the second, and so on, and `labels.txt` with a
    label a line.

    Args:
        frames: at least one, each with `E` masks.
        labels: what each of the `E` masks shows.
        rate: frames a second.
        folder: an empty one.
        on_frame: is told after each frame how many are done.
    """
    first, colors, root = next(frames), palette(len(labels)), folder / "masks"
    root.mkdir()
    (root / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    files = [PngMasks(root / str(index)) for index in range(len(labels))]
    loudness, scores = [], []
    with VideoWriter(folder / "overlay.mp4", rate, first.part.sampling_rate) as video:
        for frame in chain([first], frames):
            for file, mask in zip(files, frame.masks, strict=True):
                file.write(mask)
            video.write(overlay(frame.part.frame[None], frame.masks[:, None], colors)[0], frame.part.waveform)
            loudness.append(peaks(frame.part.waveform))
            scores.append(visibility(frame))
            on_frame(len(scores))
    archive = shutil.make_archive(str(root), "zip", root)
    shutil.rmtree(root)
    strip = time_strip(np.concatenate(loudness), np.stack(scores, axis=1), labels, colors, rate)
    return Answer(folder / "overlay.mp4", Path(archive), strip)


def peaks(waveform: np.ndarray) -> np.ndarray:
    """The largest value in each of `LOUDNESS_VALUES` equal parts of a waveform `[channels, samples]`."""
    begins = np.linspace(0, waveform.shape[1], LOUDNESS_VALUES, endpoint=False).astype(int)
    return np.maximum.reduceat(np.abs(waveform).max(0), begins)


def visibility(frame: SegmentedFrame) -> np.ndarray:
    """The probability `[E]` that each object is in view; for models that do not say, whether its mask is not empty."""
    logits = frame.scores.get("object_score_logits")
    if logits is None:
        return frame.masks.any((1, 2)).astype(float)
    return np.exp(-np.logaddexp(0, -logits))


def time_strip(loudness: np.ndarray, scores: np.ndarray, labels: Sequence[str], colors: np.ndarray, rate: float) -> str:
    """The sound and the scores of the objects over time, as HTML; each row has a line that can be moved.

    Args:
        loudness: float `[n]`, evenly spaced; drawn against its largest value.
        scores: 0..1, `[E, T]`.
        labels: of the `E` objects.
        colors: RGB `[E, 3]`.
        rate: frames a second.
    """
    height = loudness / max(float(loudness.max()), 1e-6)
    edge = [*enumerate(0.5 - height / 2), *reversed([*enumerate(0.5 + height / 2)])]
    sound = f'<polygon fill="currentColor" points="{" ".join(f"{x},{y:.3f}" for x, y in edge)}"/>'
    rows = [_strip_row("Sound", sound, len(loudness) - 1)]
    for index, (label, color, values) in enumerate(zip(labels, colors.tolist(), scores.tolist(), strict=True)):
        fill = f"rgb({','.join(map(str, color))})"
        bars = "".join(
            f'<rect x="{x}" y="{1 - value:.3f}" width="1" height="{value:.3f}" fill="{fill}">'
            f"<title>{x / rate:g} s: {value:.2f}</title></rect>"
            for x, value in enumerate(values)
        )
        name = f'<span class="swatch" style="background: {fill}"></span>{index}: {escape(label)}'
        rows.append(_strip_row(name, bars, len(values)))
    seconds = scores.shape[1] / rate
    step = next(step for step in (1, 2, 5, 10) if seconds <= 10 * step or step == 10)
    ticks = "".join(
        f'<span style="left: {100 * second / seconds:.2f}%">{second} s</span>'
        for second in range(0, max(1, round(seconds)), step)
    )
    note = "<div>Height of the bars: how likely the object is in view, 0 to 1</div>"
    return "".join(rows) + f'<div class="seconds">{ticks}</div>{note}'


def _strip_row(name: str, shapes: str, width: int) -> str:
    drawing = f'<svg viewBox="0 0 {width} 1" preserveAspectRatio="none">{shapes}</svg>'
    return f'<div>{name}</div><div class="row">{drawing}<div class="playhead"></div></div>'
