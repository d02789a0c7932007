"""What tiny methods are built on. All know the drawn band before a method begins."""

from functools import partial
from pathlib import Path

from transformers import PreTrainedModel, Sam2VideoModel

from lavseg import Sam2LoveModel

from .categories import train_mask2former, train_pyramid
from .optimization import OnLog
from .sam_host import train_sam

# By name how each came to know it, and what teaches those that are not shipped.
HOSTS = {
    "SAM2": "taught from clicks, as shipped in SAM2-LOVE",
    "SAM": "taught from clicks",
    "PVT v2": "taught what each place of a frame shows",
    "ResNet": "taught what each place of a frame shows",
    "Mask2Former": "with Swin, taught where the objects of each category are",
}
TEACHERS = {
    "SAM": train_sam,
    "PVT v2": train_pyramid,
    "ResNet": partial(train_pyramid, model_type="resnet"),
    "Mask2Former": train_mask2former,
}


def save_host(
    name: str,
    folder: Path,
    shipped: Sam2LoveModel,
    seed: int,
    steps: int,
    on_log: OnLog = lambda entry: None,
) -> Path:
    """Save a host of `HOSTS` in `folder`, which is returned; what is there already is taken as it is.

    Args:
        shipped: a tiny SAM2-LOVE, whose SAM2 one of them is.
        steps: of the others, which are trained here.
        on_log: called with each entry of the log of their training.
    """
    if not (folder / "config.json").is_file():
        host = single_mask_sam2(shipped) if name == "SAM2" else TEACHERS[name](seed, steps, on_log=on_log)[0]
        host.save_pretrained(folder)
    return folder


def single_mask_sam2(shipped: Sam2LoveModel) -> PreTrainedModel:
    """The SAM2 of a tiny SAM2-LOVE, which `handoff="mask"` has left as it was.

    It predicts one mask. Of three each would soon learn to be one object, and nothing would say which of them sounds.
    """
    sam2: Sam2VideoModel = shipped.sam2
    sam2.config.multimask_output_in_sam = False
    sam2.config.mask_decoder_config.dynamic_multimask_via_stability = False
    return sam2
