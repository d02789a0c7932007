"""The page of the web app and the server behind it."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import gradio as gr
import torch
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..checkpoint import load_checkpoint
from .answers import MAX_MEGABYTES, MAX_SECONDS, OFF_OBJECT, ON_OBJECT, WebApp, add_point, no_download
from .limits import Limits
from .time_strip import STRIP_CSS

# How long uploads and results stay on the server.
KEPT_SECONDS = 3600
# Requests that wait.
MAX_QUEUE = 16
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


def build_page(web_app: WebApp, title: str) -> gr.Blocks:
    """The page, to be launched, with a model's name for a title."""
    reads, private = web_app.processor.needs_text, {"api_visibility": "private"}
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
                    label="Sentences, one on each line",
                    placeholder="the louder of the two dogs",
                    lines=3,
                    visible=reads,
                    elem_id="sentences",
                )
                with gr.Accordion("Points on a frame", open=False, visible=web_app.takes_points):
                    frame = gr.Slider(0, 1, step=1, label="Frame", elem_id="frame")
                    side = gr.Radio([ON_OBJECT, OFF_OBJECT], value=ON_OBJECT, label="The next point is")
                    picture = gr.Image(
                        interactive=False, format="png", buttons=[], label="Click on it", elem_id="picture"
                    )
                    clear = gr.Button("Remove the points", size="sm")
                find = gr.Button("Find", variant="primary", elem_id="find")
                gr.Examples(
                    web_app.write_examples(),
                    [clip, sentences] if reads else [clip],
                    label="Examples: a drawn band that moves and plays",
                    cache_examples=False,
                    api_visibility="private",
                )
            with gr.Column():
                video = gr.Video(label="Masks over the clip", interactive=False, elem_id="overlay")
                strip = gr.HTML(elem_id="strip")
                masks = gr.DownloadButton("Download the masks", interactive=False, elem_id="masks")
        clip.change(lambda: (None, "", no_download()), None, [video, strip, masks], **private)
        clip.change(web_app.look_at_clip, clip, [frame, picture, points], **private)
        gr.on([frame.release, clear.click], web_app.look_at_frame, [clip, frame], [picture, points], **private)
        picture.select(add_point, [picture, points, side], [picture, points], **private)
        find.click(web_app.segment, [clip, sentences, frame, points], [video, strip, masks], **private)
    return page.queue(max_size=MAX_QUEUE)


def launch(
    model_name: str | Path,
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
    trust_remote_code: bool = False,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        model_name: folder or Hub id of a checkpoint.
        folder: for every file that is written. Gradio's own lie in the folder that `GRADIO_TEMP_DIR` names, which it
            reads when it is imported.
        host: name or IP address to listen at; only this machine can reach the default.
        port: to listen at; by default the first free one from 7860 on.
        on_ready: called with the URL of the page once it is served.
        trust_remote_code: see [`load_checkpoint`].

    Raises:
        CheckpointError: the checkpoint cannot be used.
        OSError: the port is taken.
    """
    model, processor = load_checkpoint(model_name, trust_remote_code)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    page = build_page(WebApp(model, processor, Path(folder)), str(model_name))
    # Fonts of the system: the default theme would fetch others from the network.
    theme = gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    _, url, _ = page.launch(
        # Gradio puts it into a URL as it is.
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
        css=STRIP_CSS,
        head=HEAD,
        app_kwargs={
            "routes": [Route("/gradio_api/process_recording", not_served, methods=["POST"])],
            "middleware": [Middleware(Limits, page=page, folder=Path(folder))],
        },
    )
    on_ready(url)
    page.block_thread()


async def not_served(request: Request) -> Response:
    """In place of Gradio's editing of screen recordings, which would run FFmpeg on what is sent to it."""
    return Response(status_code=404)
