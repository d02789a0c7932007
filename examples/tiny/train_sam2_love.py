"""Train the tiny SAM2-LOVE that the demo ships, from nothing, on two CPU cores.

    python examples/train_tiny.py --method sam2-love --out runs/tiny

Four stages, each kept in the output folder and taken from there when the script is run again: a SAM2 host from clicks
and masks (`host/`), stand-ins for the published encoders (`encoders/`), a prompter that points (`pointing/`), and
SAM2-LOVE itself on a synthetic Ref-AVS tree with all encoders frozen, as in the paper (`model/`, with the logs of all
four).

The shipped weights took these steps in three sittings, about 280 minutes of one core in all: the first five stages
of the host, and the encoders with 1200 steps of sound, on scenes with somewhat smaller objects; then, with 2500 more
steps of sound, the rest up to 600 steps of pointing in ten frames on 2,500 clips; last 1600 more of these on 3,000
further clips, the host's handoff, and the method on 7,200 clips of which it saw no sentence twice.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModel, AutoProcessor, PreTrainedModel, Sam2VideoModel

from lavseg import (
    ClipCollator,
    LavsegTrainer,
    Sam2LoveConfig,
    Sam2LoveModel,
    Sam2LoveProcessor,
    VggishConfig,
)
from lavseg.data import build_tokenizer, load_ref_avs
from lavseg.modeling.inputs import first_non_finite

from .configurations import NOTICE, tiny_config
from .encoders import train_encoders
from .kept_stages import LOG, keep_ref_avs, run_stages
from .models import MAX_TEXT_LENGTH
from .optimization import training_arguments
from .pointing import teach_pointing
from .sam2_host import train_host

CLIPS = {"train": 3600, "val": 60}

# Beyond the paper: three blocks are enough at this size; without a code of time nothing tells what is heard first from
# what is heard last; an attention over all states of the token reads what the first frame's state knew of places; the
# object score, the predicted IoU and a presence head are trained, so that absent objects stay empty; and the host's own
# decoder tracks, which the one that learns in single frames forgets.
METHOD = {
    "num_hidden_layers": 3,
    "audio_temporal_embedding": True,
    "seg_readout": "attention",
    "presence_head": True,
    "handoff": "mask",
    "notice": NOTICE,
}
# Wider than the smallest that run: twelve sounds, of which up to three are mixed, and drawings of 30 pixels.
ENCODERS = {
    "audio_config": tiny_config(VggishConfig, conv_channels=(16, 32, 32, 32, 64, 64), hidden_size=128),
    "vision_config": {
        "model_type": "vit",
        "image_size": 128,
        "patch_size": 16,
        "hidden_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 192,
    },
}
LOSS_WEIGHTS = {"object": 1.0, "iou": 1.0}
METHOD_TRAINING = {
    "per_device_train_batch_size": 16,
    "learning_rate": 4e-4,
    "adam_beta2": 0.95,
    "lr_scheduler_type": "cosine",
    "logging_steps": 25,
}


def save(
    model: PreTrainedModel, folder: Path, log: list[dict] | dict[str, list], processor: Sam2LoveProcessor | None = None
) -> None:
    """Save in half precision, which float32 models load from; the log goes beside."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    if name := first_non_finite(state):
        raise ValueError(f"{name} holds NaN or infinite values, nothing is saved")
    model.save_pretrained(folder, state_dict=state)
    if processor is not None:
        processor.save_pretrained(folder)
    (folder / LOG).write_text(json.dumps(log, indent=1, allow_nan=False) + "\n")


def host_stage(folder: Path, seed: int) -> None:
    sam, log = train_host(seed)
    save(sam, folder, log)


def encoder_stage(folder: Path, host: Path, seed: int) -> None:
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    sam2 = Sam2VideoModel.from_pretrained(host, dtype=torch.float32)
    sam2.config._name_or_path = ""  # else the checkpoint would name a folder of this machine
    config = tiny_config(Sam2LoveConfig, len(tokenizer), sam2_config=sam2.config, **ENCODERS, **METHOD)
    model, processor = Sam2LoveModel(config), Sam2LoveProcessor.from_config(config, tokenizer, MAX_TEXT_LENGTH)
    model.load_backbones({**model.backbones(), "sam2": sam2})
    save(model, folder, train_encoders(model, processor, seed), processor)


def pointing_stage(folder: Path, encoders: Path, seed: int) -> None:
    model, processor = AutoModel.from_pretrained(encoders), AutoProcessor.from_pretrained(encoders)
    save(model, folder, teach_pointing(model, processor, seed), processor)


def method_stage(folder: Path, pointing: Path, data: Path, seed: int, steps: int) -> None:
    keep_ref_avs(data, CLIPS, seed)
    model, processor = AutoModel.from_pretrained(pointing), AutoProcessor.from_pretrained(pointing)
    trainer = LavsegTrainer(
        model=model,
        args=training_arguments(
            folder.parent / "training",
            seed,
            max_steps=steps,
            **METHOD_TRAINING,
            warmup_steps=50,
            eval_steps=200,
            save_strategy="no",
            loss_weights=LOSS_WEIGHTS,
        ),
        train_dataset=load_ref_avs(data, "train"),
        eval_dataset=load_ref_avs(data, "val"),
        data_collator=ClipCollator(processor),
    )
    trainer.train()
    logs = {stage: json.loads((folder.parent / stage / LOG).read_text()) for stage in ("host", "encoders", "pointing")}
    save(model, folder, {**logs, "model": trainer.state.log_history}, processor)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=550, help="of SAM2-LOVE itself, 16 sentences each")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> None:
    """Train stage by stage what is not in the output folder already."""
    output, seed = arguments.out, arguments.seed
    host, encoders, pointing = output / "host", output / "encoders", output / "pointing"
    run_stages(
        {
            host: lambda folder: host_stage(folder, seed),
            encoders: lambda folder: encoder_stage(folder, host, seed),
            pointing: lambda folder: pointing_stage(folder, encoders, seed),
            output / "model": lambda folder: method_stage(folder, pointing, output / "data", seed, arguments.steps),
        }
    )
