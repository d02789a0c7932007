"""What stands where on the page of the web app."""

from dataclasses import dataclass
from html import escape

import gradio as gr

from ..modeling.base import AudioVisualPreTrainedModel
from .answers import THRESHOLD, WebApp
from .clicks import KINDS
from .user_input import MAX_FRAMES, MAX_MEGABYTES, MAX_SECONDS

TITLE = "Segment objects in a video, by sentence and sound"
INTRODUCTION = (
    "Choose a clip and write which objects are meant: their masks are drawn over every frame. Clips of up to "
    f"{MAX_SECONDS} seconds and {MAX_MEGABYTES} MB, with sound for models that hear."
)
MASK_FORMATS = [("PNG files", "png"), ("COCO run lengths", "rle"), ("NumPy arrays", "npz")]


@dataclass
class Controls:
    """The components that users give something with, and those that show results."""

    about: gr.HTML
    clip: gr.Video
    sentences: gr.Textbox
    pointing: gr.Accordion
    thing: gr.Dropdown
    kind: gr.Radio
    frame: gr.Slider
    picture: gr.Image
    clear: gr.Button
    clicks: gr.State
    model: gr.Dropdown
    fps: gr.Slider
    threshold: gr.Slider
    mask_format: gr.Radio
    find: gr.Button
    stop: gr.Button
    video: gr.Video
    strip: gr.HTML
    download: gr.DownloadButton
    examples: gr.Examples

    @property
    def results(self) -> list:
        """What shows results."""
        return [self.video, self.strip, self.download]


def lay_out(web_app: WebApp) -> Controls:
    """The components, made within a page. On a narrow screen the results come before the examples."""
    name, (model, processor) = next(iter(web_app.models.items()))
    gr.Markdown(f"# {TITLE}\n{INTRODUCTION}")
    about = gr.HTML(about_model(name, model), elem_id="about")
    with gr.Row():
        with gr.Column():
            given = {
                "clip": gr.Video(
                    label="Clip",
                    sources=["upload", "webcam"],
                    include_audio=True,
                    webcam_options=gr.WebcamOptions(mirror=False),
                    elem_id="clip",
                ),
                "sentences": gr.Textbox(
                    label="Sentences, one on each line",
                    placeholder="the louder of the two dogs",
                    lines=3,
                    visible=processor.needs_text,
                    elem_id="sentences",
                ),
                **_pointing(model.takes_points),
                **_settings([*web_app.models], processor.fps),
            }
            with gr.Row():
                find = gr.Button("Find", variant="primary", elem_id="find")
                stop = gr.Button("Stop", variant="stop", elem_id="stop")
        with gr.Column():
            video = gr.Video(label="Masks over the clip", interactive=False, elem_id="overlay")
            strip = gr.HTML(elem_id="strip")
            download = gr.DownloadButton("Download masks, video and scores", interactive=False, elem_id="masks")
    examples = gr.Examples(
        web_app.examples,
        [given["clip"], given["sentences"]][: len(web_app.examples[0])],
        label="Examples: a drawn band that moves and plays",
        cache_examples=False,
        api_visibility="private",
    )
    shown = {"about": about, "video": video, "strip": strip, "download": download, "examples": examples}
    return Controls(**given, **shown, find=find, stop=stop, clicks=gr.State([]))


def about_model(name: str, model: AudioVisualPreTrainedModel) -> str:
    """A model's name and what its configuration has users know before anything else, as HTML."""
    notice = getattr(model.config, "notice", None)
    return f"Model: <b>{escape(name)}</b>" + (f"<p><b>Note:</b> {escape(notice)}</p>" if notice else "")


def _pointing(visible: bool) -> dict:
    with gr.Accordion("Points and boxes", open=False, visible=visible) as pointing:
        return {
            "pointing": pointing,
            "thing": gr.Dropdown([], label="The next click is about", visible=False, elem_id="thing"),
            "kind": gr.Radio(KINDS, value=KINDS[0], label="The next click is", elem_id="kind"),
            "frame": gr.Slider(0, 1, step=1, label="Frame", elem_id="frame"),
            "picture": gr.Image(interactive=False, format="png", buttons=[], label="Click on it", elem_id="picture"),
            "clear": gr.Button("Remove the clicks", size="sm"),
        }


def _settings(models: list[str], fps: float) -> dict:
    with gr.Accordion("Settings", open=len(models) > 1, elem_id="settings"):
        return {
            "model": gr.Dropdown(models, value=models[0], label="Model", visible=len(models) > 1, elem_id="model"),
            "fps": gr.Slider(
                fps, MAX_FRAMES // MAX_SECONDS, fps, step=1, label="Masks per second, up to the clip's frames"
            ),
            "threshold": gr.Slider(0.05, 0.95, THRESHOLD, step=0.05, label="Probability from which a pixel counts"),
            "mask_format": gr.Radio(MASK_FORMATS, value=MASK_FORMATS[0][1], label="Masks in the download"),
        }
