"""The page of the web app and the server behind it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from gradio import processing_utils
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..checkpoint import load_checkpoint
from .answers import MAX_QUEUE, NOTHING, WebApp, choose_object, unchanged
from .layout import TITLE, Controls, about_model, lay_out
from .limits import Limits
from .time_strip import STRIP_CSS
from .user_input import MAX_MEGABYTES

# How long uploads and results stay on the server.
KEPT_SECONDS = 3600
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


def build_page(web_app: WebApp) -> gr.Blocks:
    """The page, to be launched."""
    with gr.Blocks(title=TITLE, delete_cache=(KEPT_SECONDS // 6, KEPT_SECONDS)) as page:
        controls = lay_out(web_app)
        _connect_work(web_app, controls)
        _connect_clicks(web_app, controls)
    # Else requests could go past the queue, and so past the limits of what waits.
    return page.queue(max_size=MAX_QUEUE, api_open=False)


def _connect_work(web_app: WebApp, on: Controls) -> None:
    """What starts and ends the work, and what is shown of it: its progress over the video alone."""
    private: dict[str, Any] = {"api_visibility": "private"}
    quiet = {"show_progress": "hidden", "queue": False, **private}
    # Work that is asked for while other work of the page ends begins after it.
    at_work: dict[str, Any] = {
        "concurrency_limit": None,
        "show_progress_on": on.video,
        "trigger_mode": "always_last",
    }
    asked = [on.clip, on.sentences, on.model, on.fps, on.threshold, on.mask_format, on.clicks]
    segmented = on.find.click(web_app.segment, asked, on.results, api_name="segment", **at_work)
    shown = on.examples.load_input_event.then(
        web_app.segment_example, [on.examples.dataset, on.model], on.results, **at_work, **private
    )

    for done in (segmented, shown):
        # Work that was ended counts as a success, without a file.
        done.success(lambda file: gr.DownloadButton(interactive=file is not None), on.download, on.download, **quiet)

    def stopped(request: gr.Request) -> tuple:
        web_app.end_work(request)
        return nothing_found()

    def changed(clip: str | None, request: gr.Request) -> tuple:
        example = web_app.example_like(clip)
        web_app.end_work(request, unless=example or clip)
        return nothing_found() if example is None else unchanged()

    on.stop.click(stopped, None, on.results, **quiet)
    on.clip.change(changed, on.clip, on.results, **quiet)

    def chosen(name: str) -> tuple:
        model, processor = web_app.models[name]
        visible = gr.Textbox(visible=processor.needs_text), gr.Accordion(visible=model.takes_points)
        return about_model(name, model), *visible, *nothing_found()

    on.model.change(chosen, on.model, [on.about, on.sentences, on.pointing, *on.results], **quiet)


def _connect_clicks(web_app: WebApp, on: Controls) -> None:
    """What is shown of a clip that was chosen, and of clicks on its frames: at once themselves, then their masks."""
    private: dict[str, Any] = {"api_visibility": "private"}
    looked_at = [on.frame, on.fps, on.picture, on.clicks]
    gr.on([on.clip.change, on.model.change], web_app.look_at_clip, [on.clip, on.model], looked_at, **private)
    on.sentences.change(
        choose_object,
        on.sentences,
        on.thing,
        trigger_mode="always_last",
        show_progress="hidden",
        queue=False,
        **private,
    )
    on.clear.click(lambda: [], None, on.clicks, **private).then(
        web_app.look_at_frame, [on.clip, on.model, on.frame, on.clicks], on.picture, **private
    )
    clicked = on.picture.select(
        web_app.add_click,
        [on.clip, on.model, on.frame, on.thing, on.kind, on.clicks],
        [on.clicks, on.picture],
        show_progress="hidden",
        **private,
    )
    moved = on.frame.release(
        web_app.look_at_frame, [on.clip, on.model, on.frame, on.clicks], on.picture, show_progress="hidden", **private
    )
    for done in (clicked, moved):
        done.success(
            web_app.preview,
            [on.clip, on.sentences, on.model, on.frame, on.threshold, on.clicks],
            on.picture,
            trigger_mode="always_last",
            **private,
        )


def launch(
    models: Sequence[str | Path],
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
    trust_remote_code: bool = False,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        models: folders or Hub ids of checkpoints, for users to choose from; the first one is chosen at the start. All
            are loaded.
        folder: for every file that is written. Gradio's own lie in the folder that `GRADIO_TEMP_DIR` names, which it
            reads when it is imported.
        host: name or IP address to listen at; only this machine can reach the default.
        port: to listen at; by default the first free one from 7860 on.
        on_ready: called with the URL of the page once it is served.
        trust_remote_code: see [`load_checkpoint`].

    Raises:
        CheckpointError: a checkpoint cannot be used.
        OSError: the port is taken.
    """
    loaded = [load_checkpoint(name, trust_remote_code) for name in models]
    for model, _ in loaded:
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    page = build_page(WebApp(dict(zip(shown_names(models), loaded, strict=True)), folder))
    # Gradio would fetch what a request names, of any size, into memory.
    processing_utils.async_ssrf_protected_download = refuse_address
    # Fonts of the system: the default theme would fetch others from the network.
    theme = gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    _, url, _ = page.launch(
        # Gradio puts it into a URL as it is.
        server_name=f"[{host.strip('[]')}]" if ":" in host else host,
        server_port=port,
        share=False,
        # A second server before this one would make everybody one user.
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=f"{MAX_MEGABYTES}mb",
        enable_monitoring=False,
        run_history=False,
        footer_links=["api"],
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


def shown_names(models: Sequence[str | Path]) -> list[str]:
    """What users see of folders, without their places, and of Hub ids; numbered where several would be the same."""
    names = [Path(model).resolve().name if Path(model).is_dir() else str(model) for model in models]
    return [
        f"{name} ({names[:index].count(name) + 1})" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def nothing_found() -> tuple:
    """The results while there are none."""
    return *NOTHING[:2], gr.DownloadButton(value=None, interactive=False)


async def not_served(request: Request) -> Response:
    """In place of Gradio's editing of screen recordings, which would run FFmpeg on what is sent to it."""
    return Response(status_code=404)


async def refuse_address(url: str, cache_dir: str) -> str:
    """In place of Gradio's fetching of a clip that a request gives by its address."""
    raise gr.Error("Addresses are not fetched here; upload the clip.", print_exception=False)
