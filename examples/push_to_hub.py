"""Score a checkpoint and upload it: model, processor and a card with the scores, in one call of the Trainer.

    hf auth login
    python examples/push_to_hub.py --model CHECKPOINT --data REFAVS --split test_s test_u --name ORG/NAME

`lavseg push CHECKPOINT ORG/NAME` uploads without scoring.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from lavseg.checkpoint import load_checkpoint
from lavseg.data import ClipCollator, load_ref_avs
from lavseg.evaluation.evaluate_checkpoint import TEST_SPLITS
from lavseg.hub.upload import make_repo
from lavseg.training import LavsegTrainer, LavsegTrainingArguments


def push(options: argparse.Namespace) -> str:
    """The address of the commit."""
    rows = {split: load_ref_avs(options.data, split) for split in options.split or TEST_SPLITS["ref_avs"]}
    model, processor = load_checkpoint(options.model)
    # What the Hub refuses shows before hours of scoring.
    make_repo(options.name, options.private)
    with tempfile.TemporaryDirectory() as folder:
        args = LavsegTrainingArguments(
            folder,
            hub_model_id=options.name,
            hub_private_repo=options.private or None,
            metric_protocols=["frame"],
            use_cpu=not torch.accelerator.is_available(),
        )
        trainer = LavsegTrainer(model, args, ClipCollator(processor), processing_class=processor)
        for split, part in rows.items():
            trainer.evaluate(part, metric_key_prefix=f"eval_{split}")
        dataset = options.dataset or Path(options.data).name
        return trainer.push_to_hub(dataset=dataset, license=options.license).commit_url


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="checkpoint folder or Hub id")
    parser.add_argument("--data", required=True, help="folder with metadata.csv, media and gt_mask")
    parser.add_argument("--split", nargs="+", action="extend", help="splits to score; all test splits by default")
    parser.add_argument("--name", required=True, help="where to, ORG/NAME")
    parser.add_argument("--dataset", help="name or Hub id of the data, for the card; by default the folder's")
    parser.add_argument("--license", help="of the weights, as the Hub names licences")
    parser.add_argument("--private", action="store_true", help="make it private if it is new")
    options = parser.parse_args(argv)
    try:
        address = push(options)
    except (ValueError, OSError) as error:
        print("push_to_hub.py: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    print(address)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
