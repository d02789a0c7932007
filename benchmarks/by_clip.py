"""Evaluation and training on Ref-AVS with all sentences of a clip together, beside row by row.

    python benchmarks/by_clip.py evaluation --method sam2_love --host base_plus --frames 5
    python benchmarks/by_clip.py training --method aural_sam2 --frames 2 --sentences 5 --checkpointing
    python benchmarks/by_clip.py learning --clips 100 --frames 5 --sentences 4 --steps 150

Of `evaluation` and `training` weights are random, clips are drawn, each with `--sentences` sentences, and reading is
counted in. Prints one JSON line:

- `evaluation`: seconds for all clips both ways, scoring included, and their ratio; fails if the scores differ.
- `training`: sentences per second of steps (forward and backward) of one sentence and of all of a clip, the share `s`
  of a step of one sentence that reading and the encoders of frames and sound take, `gain`, how many times more
  sentences a second there are together, and `by_s`, 1 / (1 - s + s / N), what that share alone gives with N sentences.
  SAM2's neck and what fusions make of the frames are shared, too, but not in `s`.
- `learning`: J on unseen clips after so many steps of eight sentences, taken one by one and up to `--sentences` of a
  clip together, from the same weights: those of the shipped SAM2-LOVE but for the head that makes the prompt, which is
  drawn anew. Once for each of two seeds, which also order the rows: what they differ by is noise.
"""

import argparse
import copy
import json
import tempfile
import time
from pathlib import Path

import torch

from lavseg import LavsegTrainer, load_checkpoint
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.data import ClipCollator, build_tokenizer, load_ref_avs, write_ref_avs
from lavseg.data.clip_rows import NamedRows, group_by_clip
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from lavseg.training import LavsegTrainingArguments

METHODS = {
    "aural_sam2": (AuralSam2Config, AuralSam2Model, AuralSam2Processor),
    "sam2_love": (Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor),
}
SHIPPED = Path(__file__).parents[1] / "examples" / "sam2-love-tiny"
LEARNING = {
    "per_device_train_batch_size": 8,
    "learning_rate": 4e-4,
    "adam_beta2": 0.95,
    "lr_scheduler_type": "cosine",
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def build(method, host, image_size):
    """An untrained model of a method and what makes its inputs."""
    config_class, model_class, processor_class = METHODS[method]
    torch.manual_seed(0)
    config = config_class(sam2_config=hiera_sam2_config(host, image_size))
    return model_class(config).to(DEVICE), ClipCollator(processor_class.from_config(config, build_tokenizer()))


def make_rows(folder, clips, frames, sentences):
    """Rows of clips with so many sentences each, of which some come again; no clip is null."""
    rows = load_ref_avs(write_ref_avs(Path(folder) / "data", {"test_s": clips}, frames), "test_s")
    return rows.select([group[i % len(group)] for group in group_by_clip(rows, len(rows)) for i in range(sentences)])


def now():
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(function):
    start = now()
    result = function()
    return now() - start, result


def compare_evaluations(model, collator, rows, sentences):
    by_row, expected = seconds(lambda: evaluate(model, collator, rows, sentences=1))
    by_clip, found = seconds(lambda: evaluate(model, collator, rows, sentences=sentences))
    difference = max(abs(found.compute()[name] - value) for name, value in expected.compute().items())
    if difference > 1e-3:
        raise SystemExit(f"scores differ by {difference}")
    measured = {"row_by_row_s": round(by_row, 2), "by_clip_s": round(by_clip, 2), "ratio": round(by_clip / by_row, 3)}
    return {**measured, "scores_differ_by": difference}


class Shared:
    """Seconds of what does not depend on the sentence."""

    def __init__(self, model):
        self.seconds = 0.0
        for name, part in model.backbones().items():
            encoder = part.vision_encoder.backbone if name == "sam2" else part
            if name != "text":
                encoder.forward = self.watched(encoder.forward)

    def watched(self, function):
        def run(*args, **kwargs):
            took, result = seconds(lambda: function(*args, **kwargs))
            self.seconds += took
            return result

        return run


def compare_steps(model, collator, rows, sentences, checkpointing):
    if checkpointing:
        model.gradient_checkpointing_enable()
    shared, named = Shared(model.train()), NamedRows(rows)
    collate = shared.watched(lambda numbers, together: collator.by_clip(named.__getitems__(numbers), together))

    def step(numbers, together):
        for batch in collate(numbers, together):
            model(**batch.to(DEVICE)).loss.backward()
        model.zero_grad()

    clips = [list(range(start, start + sentences)) for start in range(0, len(rows), sentences)]
    step(clips[0][:1], 1)  # warm
    shared.seconds = 0.0
    one_by_one, _ = seconds(lambda: [step([number], 1) for clip in clips for number in clip])
    share = shared.seconds / one_by_one
    together, _ = seconds(lambda: [step(clip, sentences) for clip in clips])
    rates = {"sentences_per_s": [round(len(rows) / took, 3) for took in (one_by_one, together)]}
    by_share = 1 / (1 - share + share / sentences)
    return {**rates, "s": round(share, 3), "gain": round(one_by_one / together, 2), "by_s": round(by_share, 2)}


def partly_untrained(seed):
    """The shipped model with the head that makes the prompt drawn anew, and its processor."""
    shipped, processor = load_checkpoint(SHIPPED)
    torch.manual_seed(seed)
    model = Sam2LoveModel(shipped.config)
    kept = {name: value for name, value in shipped.state_dict().items() if not name.startswith("prompter.projector.")}
    model.load_state_dict(kept, strict=False)
    return model.to(DEVICE), processor


def jaccard_after(model, processor, rows, test, folder, **fields):
    """J on the rows `test` after training on `rows`."""
    collator = ClipCollator(processor)
    args = LavsegTrainingArguments(str(folder), use_cpu=DEVICE == "cpu", **LEARNING, **fields)
    LavsegTrainer(model, args, collator, train_dataset=rows, processing_class=processor).train()
    return round(evaluate(model, collator, test).compute()["jaccard"], 4)


def compare_learning(clips, frames, sentences, steps, folder):
    """J before training and after it, for each seed."""
    data = write_ref_avs(Path(folder) / "data", {"train": clips, "test_s": max(clips // 4, 2)}, frames)
    rows, test, found = load_ref_avs(data, "train"), load_ref_avs(data, "test_s"), []
    for seed in (0, 1):
        model, processor = partly_untrained(seed)
        scores = {"untrained": round(evaluate(model, ClipCollator(processor), test).compute()["jaccard"], 4)}
        for name, together in {"one_by_one": 1, "by_clip": sentences}.items():
            fields = {"max_steps": steps, "seed": seed, "sentences_per_clip": together}
            arm = Path(folder) / f"{name}_{seed}"
            scores[name] = jaccard_after(copy.deepcopy(model), processor, rows, test, arm, **fields)
        found.append(scores)
    return {name: [scores[name] for scores in found] for name in found[0]}


def measure(given):
    """What the command line asks for, by name."""
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "learning":
            return compare_learning(given.clips, given.frames, given.sentences, given.steps, folder)
        model, collator = build(given.method, given.host, given.image_size)
        rows = make_rows(folder, given.clips, given.frames, given.sentences)
        evaluate(model, collator, rows.select([0]))  # warm
        if given.what == "evaluation":
            return compare_evaluations(model, collator, rows, given.sentences)
        return compare_steps(model, collator, rows, given.sentences, given.checkpointing)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("evaluation", "training", "learning"))
    parser.add_argument("--method", choices=METHODS, default="sam2_love")
    parser.add_argument("--host", default="base_plus", help="tiny, small, base_plus or large (Hiera)")
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--checkpointing", action="store_true", help="of gradients, in training")
    parser.add_argument("--steps", type=int, default=150, help="of learning")
    given = parser.parse_args()
    unread = {
        "evaluation": ("checkpointing", "steps"),
        "training": ("steps",),
        "learning": ("method", "host", "image_size", "checkpointing"),
    }
    about = {name: value for name, value in vars(given).items() if name not in unread[given.what]}
    about |= {"threads": torch.get_num_threads(), "device": DEVICE}
    print(json.dumps({**about, **measure(given)}, allow_nan=False))


if __name__ == "__main__":
    main()
