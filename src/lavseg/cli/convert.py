"""`lavseg convert`: published checkpoints to folders that `from_pretrained` reads."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..output_folders import check_new_folder
from .one_line_errors import one_line_errors
from .printing import Json, print_json
from .quiet import silence_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedModel

convert = typer.Typer(
    help="Convert a published checkpoint to a folder with weights, configuration and processor. Every key and shape is "
    "checked, no code in the file is run, and a file that does not fit leaves nothing behind.",
    no_args_is_help=True,
)

_FILE = "a path, hf://OWNER/NAME/PATH of a file on the Hub, or an https address."
_Checkpoint = Annotated[str, typer.Argument(help=f"The published file: {_FILE}", metavar="CKPT", show_default=False)]
_Out = Annotated[Path, typer.Option(help="Folder for the result, new or empty.", show_default=False)]
_Text = Annotated[str, typer.Option(help="Text encoder with its tokenizer, folder or Hub id.")]
_Vggish = Annotated[
    str,
    typer.Option(help="The public vggish-10086976.pth, which the file lacks, or its address.", show_default=False),
]


@convert.command("aural-sam2")
def _aural_sam2(
    checkpoint: _Checkpoint,
    out: _Out,
    sam2: Annotated[
        str | None,
        typer.Option(
            help="For a file with the fuser only: the SAM 2 it was trained with, a .pt file, its address, a folder or "
            "a Hub id.",
            show_default=False,
        ),
    ] = None,
    text: _Text = "distilbert/distilroberta-base",
    image_size: Annotated[int, typer.Option(help="Edge of the square input.")] = 1024,
    as_json: Json = False,
) -> None:
    """One of the four AuralSAM2 files: fuser or whole model, with or without text, in any of their key layouts."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.aural_sam2.convert_aural_sam2 import convert_aural_sam2_checkpoint

        return convert_aural_sam2_checkpoint(_here(checkpoint), out, sam2 and _here(sam2), text, image_size)

    _report("aural-sam2", run, out, as_json)


@convert.command("avsegformer")
def _avsegformer(
    checkpoint: _Checkpoint,
    out: _Out,
    frame_size: Annotated[
        int | None,
        typer.Option(
            help="Edge of the square input; by default that of the released loaders, 512 for masks, 224 for classes.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """One of the six AVSegFormer files, on PVT-v2-B5 or ResNet-50, for masks or 71 classes."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.avsegformer.convert_avsegformer import convert_avsegformer_checkpoint

        return convert_avsegformer_checkpoint(_here(checkpoint), out, frame_size)

    _report("avsegformer", run, out, as_json)


@convert.command("eemc")
def _eemc(
    checkpoint: _Checkpoint,
    out: _Out,
    vggish: _Vggish,
    text: _Text = "distilbert/distilroberta-base",
    as_json: Json = False,
) -> None:
    """A checkpoint of the released Ref-AVS code."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.eemc.convert_eemc import convert_eemc_checkpoint

        return convert_eemc_checkpoint(_here(checkpoint), _here(vggish), out, text)

    _report("eemc", run, out, as_json)


@convert.command("referformer")
def _referformer(
    checkpoint: _Checkpoint,
    out: _Out,
    text: Annotated[str, typer.Option(help="Where the tokenizer is taken from, folder or Hub id.")] = (
        "FacebookAI/roberta-base"
    ),
    vggish: Annotated[
        str | None,
        typer.Option(
            help="The public vggish-10086976.pth, or its address, for a model that hears: it starts as the published "
            "one, which does not, and has to be trained.",
            show_default=False,
        ),
    ] = None,
    absence_classifier: Annotated[
        bool,
        typer.Option(
            "--absence-classifier",
            help="Add R2VOS' classifier, which says whether a sentence's object is there at all and has to be trained.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """A checkpoint of the released ReferFormer code on ResNet or Swin, with its text encoder."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.referformer.convert_referformer import convert_referformer_checkpoint

        return convert_referformer_checkpoint(
            _here(checkpoint), out, text, vggish and _here(vggish), absence_classifier
        )

    _report("referformer", run, out, as_json)


@convert.command("st-bava")
def _st_bava(
    checkpoint: _Checkpoint,
    out: _Out,
    vggish: _Vggish,
    as_json: Json = False,
) -> None:
    """A checkpoint of the released ST-BAVA code."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.st_bava.convert_st_bava import convert_st_bava_checkpoint

        return convert_st_bava_checkpoint(_here(checkpoint), _here(vggish), out)

    _report("st-bava", run, out, as_json)


@convert.command("sama-avs")
def _sama_avs(checkpoint: _Checkpoint, out: _Out, as_json: Json = False) -> None:
    """A published model_epoch_best.pth of SAMA-AVS."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.sama_avs.convert_sama_avs import convert_sama_avs_checkpoint

        return convert_sama_avs_checkpoint(_here(checkpoint), out)

    _report("sama-avs", run, out, as_json)


@convert.command("simtoken")
def _simtoken(
    checkpoint: _Checkpoint,
    out: _Out,
    vggish: _Vggish,
    language_model: Annotated[
        Path,
        typer.Option(
            help="Folder of the Chat-UniVi it was trained from: for the tokenizer, and the weights that do not train.",
            show_default=False,
        ),
    ],
    vision: Annotated[str, typer.Option(help="CLIP, folder or Hub id, for a file that lacks it.")] = (
        "openai/clip-vit-large-patch14"
    ),
    sam: Annotated[
        str, typer.Option(help="SAM, folder or Hub id, for a file that lacks it.")
    ] = "facebook/sam-vit-huge",
    dtype: Annotated[str, typer.Option(help="Of the weights that are written, float32 or bfloat16.")] = "float32",
    keep_lora: Annotated[
        bool, typer.Option("--keep-lora", help="Keep the LoRA in a folder of its own, adapter, in place of adding it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A checkpoint of the released SimToken code, of all of the model or of what trains; read and written part by
    part."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.simtoken.convert_simtoken import convert_simtoken_checkpoint

        files = _here(checkpoint), _here(vggish)
        return convert_simtoken_checkpoint(*files, out, language_model, vision, sam, dtype, keep_lora)

    _report("simtoken", run, out, as_json)


@convert.command("stepping-stones")
def _stepping_stones(
    checkpoint: _Checkpoint,
    out: _Out,
    vggish: _Vggish,
    adapter_place: Annotated[
        str | None,
        typer.Option(
            help="Where the adapters of the decoders stand, which no file says: instead of output projections, or "
            "after them.",
            show_default="as in the released code of its stage",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """One of the three Stepping-Stones files, of masks or of 71 classes, which its head tells."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.stepping_stones.convert_stepping_stones import convert_stepping_stones_checkpoint

        return convert_stepping_stones_checkpoint(_here(checkpoint), _here(vggish), out, adapter_place)

    _report("stepping-stones", run, out, as_json)


@convert.command("tpavi")
def _tpavi(checkpoint: _Checkpoint, out: _Out, vggish: _Vggish, as_json: Json = False) -> None:
    """A checkpoint of the released AVSBench code, on PVT-v2-B5 or ResNet-50, for masks or 71 classes."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..models.tpavi.convert_tpavi import convert_tpavi_checkpoint

        return convert_tpavi_checkpoint(_here(checkpoint), _here(vggish), out)

    _report("tpavi", run, out, as_json)


@convert.command("vggish")
def _vggish(
    out: _Out,
    checkpoint: Annotated[
        str | None,
        typer.Argument(help=f"The published file: {_FILE}", metavar="[CKPT]", show_default="where it is published"),
    ] = None,
    pca: Annotated[
        str | None,
        typer.Option(
            help="The public vggish_pca_params-970ea276.pth or its address, for whitened embeddings.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """The public VGGish, vggish-10086976.pth, which the other methods' training takes as --audio."""

    def run() -> "tuple[PreTrainedModel, list[str]]":
        from ..backbones.vggish.convert_vggish import convert_vggish_checkpoint
        from ..released import releases

        file = checkpoint or releases()["vggish"].sources["checkpoint"].address
        return convert_vggish_checkpoint(_here(file), out, pca and _here(pca)), []

    _report("vggish", run, out, as_json)


def _here(given: str) -> str:
    """The path of a file, fetched first where an address was given."""
    from ..released import known_sha256
    from ..remote_files import fetch, is_address

    return str(fetch(given, known_sha256(given))) if is_address(given) else given


def _report(name: str, run: "Callable[[], tuple[PreTrainedModel, list[str]]]", out: Path, as_json: bool) -> None:
    """Convert, and say what came of it and which keys of the file were not used."""
    with one_line_errors(f"lavseg convert {name}"):
        silence_libraries(downloads=True)
        check_new_folder(out, "out")
        model, unused = run()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    notice = getattr(model.config, "notice", None)
    if as_json:
        found = {"out": str(out), "model": type(model).__name__, "parameters": parameters, "unused": unused}
        print_json(found | ({"notice": notice} if notice else {}))
        return
    typer.echo(f"{out}: {type(model).__name__}, {parameters:,} parameters")
    if notice:
        typer.echo(f"note: {notice}")
    for key in unused:
        typer.echo(f"not used: {key}")
