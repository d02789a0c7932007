"""A method that answers sentences and is not shipped, end to end on synthetic clips in a few minutes on two CPU cores.

Scores an untrained model, trains it, and scores it on seen, unseen and null clips, with and without sound and words;
segments a video file. Writes `report.json`, `report.html` and the model in `model/`.

What it builds on knows the drawn band already, see `tiny/hosts.py`. SimToken's language model and the tower that sees
for it start from random weights. ReferFormer hears nothing.
"""

import argparse
from dataclasses import replace

from tiny.models import save_words
from tiny.scores import values

from lavseg.checkpoint import load_checkpoint
from lavseg.evaluation.evaluate_model import evaluate

from .frame_training import CURVES, begin_model, train
from .report_sentences import Account, write_report
from .scoring import SCORES, score_splits, score_without, summary
from .sentence_examples import pick_examples, segment_video, write_splits
from .stages import Stages, prepare_folder

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
    CURVES,
)


def run(arguments: argparse.Namespace) -> dict:
    """Everything the demo does; returns what is in `report.json`."""
    output, stages = prepare_folder(arguments.out), Stages(STAGES)

    stages.begin("Write synthetic clips in the layout of Ref-AVS")
    root = output / "data"
    splits = write_splits(root, arguments.clips, stages)

    shipped, trained_processor = load_checkpoint(arguments.model)
    words = save_words(shipped, trained_processor.tokenizer, output / "words")
    model, collator, results = begin_model(arguments.method, shipped, output, arguments.host_steps, stages, words)

    stages.begin("Score it untrained")
    scores = evaluate(model, collator, splits["test_s"], progress=stages.bar("untrained"))
    results["untrained"] = values(scores, *SCORES)
    stages.say_scores({"untrained": results["untrained"]})

    stages.begin(f"Train it for {arguments.steps} steps")
    history = train(model, collator, {"sentences": splits}, output, arguments.steps, stages)

    stages.begin("Score it on seen, unseen and null clips")
    seen, unseen, null = score_splits(model, collator, splits, root, stages)
    results |= summary(seen, unseen, null)
    stages.say_scores({name: results[name] for name in ("seen", "unseen", "null")})

    stages.begin("Take the sound away, then the words" if collator.processor.needs_audio else "Take the words away")
    without = score_without(model, collator, splits["test_s"], seen, stages)
    stages.say_scores(without)
    results |= without

    stages.begin("Segment a video file")
    video = segment_video(output / "model", output)

    stages.begin("Write the report")
    examples = pick_examples(model, collator, root, seen, unseen, null)
    results["seconds"] = round(stages.seconds, 1)
    account = replace(ACCOUNT, intro=f"{type(model).__name__}{ACCOUNT.intro}")
    write_report(output / "report.html", account, results, history, examples, video)
    stages.end(output, results)
    return results
