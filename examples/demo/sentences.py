"""A method that answers sentences and is not shipped, end to end on synthetic clips in a few minutes on two CPU cores.

Scores an untrained model, trains it, and scores it on seen, unseen and null clips, with and without sound and words;
segments a video file. Writes `report.json`, `report.html` and the model in `model/`.

What it builds on knows the drawn band already, see `tiny/hosts.py`. SimToken's language model and the tower that sees
for it start from random weights. ReferFormer hears nothing.
"""

import argparse
from dataclasses import replace

import torch
from tiny.hosts import HOSTS
from tiny.models import READERS, fresh_model, save_words, stereo_vggish
from tiny.scores import values

from lavseg import ClipCollator
from lavseg.checkpoint import load_checkpoint
from lavseg.evaluation.evaluate_model import evaluate

from .frame_training import teach_host, train
from .page import Curve
from .report_sentences import Account, write_report
from .scoring import SCORES, score_splits, score_without, summary
from .sentence_examples import pick_examples, segment_video, write_splits
from .stages import SEED, Stages, prepare_folder

STAGES = 8
DEFAULTS = {method: {"steps": 400, "clips": 40} for method in ("eemc", "referformer", "simtoken")}
# With fewer not every kind of sentence occurs.
FEWEST_CLIPS = 4
ACCOUNT = Account(
    " on clips of a drawn band, made, trained and scored for this report in {minutes} minutes.",
    {
        "untrained": "Untrained, seen kinds of objects",
        "seen": "Trained, seen kinds of objects",
        "unseen": "Trained, unseen ones and unseen combinations",
    },
    "Its training",
    "In single frames with a sentence each, then in clips; {steps} steps in all.",
    (
        Curve("frame_loss", "Single frames: loss", "sum of its terms", noisy=True),
        Curve("loss", "Clips: loss", "sum of its terms", noisy=True),
        Curve("eval_jaccard", "J on validation clips", "J"),
    ),
)


def run(arguments: argparse.Namespace) -> dict:
    """Everything the demo does; returns what is in `report.json`."""
    output, stages = prepare_folder(arguments.out), Stages(STAGES)

    stages.begin("Write synthetic clips in the layout of Ref-AVS")
    root = output / "data"
    splits = write_splits(root, arguments.clips, stages)

    shipped, trained_processor = load_checkpoint(arguments.model)
    host = READERS[arguments.method].host
    stages.begin(f"Get a tiny {host}, {HOSTS[host]}")
    folder = teach_host(host, output, shipped, arguments.host_steps, stages)
    words = save_words(shipped, trained_processor.tokenizer, output / "words")
    model, processor = fresh_model(arguments.method, folder, stereo_vggish(shipped.audio_encoder), SEED, words)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator, name = ClipCollator(processor), type(model).__name__
    trained, every = (model.num_parameters(only_trainable=only) for only in (True, False))
    stages.say(f"{name}: {every / 1e6:.2f} M parameters, {trained / 1e6:.2f} M of them to be trained")

    stages.begin("Score it untrained")
    scores = evaluate(model, collator, splits["test_s"], progress=stages.bar("untrained"))
    untrained = values(scores, *SCORES)
    stages.say_scores({"untrained": untrained})

    stages.begin(f"Train it for {arguments.steps} steps")
    history = train(model, collator, {"sentences": splits}, output, arguments.steps, stages)

    stages.begin("Score it on seen, unseen and null clips")
    seen, unseen, null = score_splits(model, collator, splits, root, stages)
    results = {"method": arguments.method, "parameters": every, "parameters_trained": trained, "untrained": untrained}
    results |= summary(seen, unseen, null)
    stages.say_scores({name: results[name] for name in ("seen", "unseen", "null")})

    stages.begin("Take the sound away, then the words" if processor.needs_audio else "Take the words away")
    without = score_without(model, collator, splits["test_s"], seen, stages)
    stages.say_scores(without)
    results |= without

    stages.begin("Segment a video file")
    video = segment_video(output / "model", output)

    stages.begin("Write the report")
    examples = pick_examples(model, collator, root, seen, unseen, null)
    results["seconds"] = round(stages.seconds, 1)
    account = replace(ACCOUNT, intro=f"{name}{ACCOUNT.intro}")
    write_report(output / "report.html", account, results, history, examples, video)
    stages.end(output, results)
    return results
