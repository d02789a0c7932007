import math

import pytest
import torch
from huggingface_hub import ModelCard
from tiny.configurations import tiny_config
from transformers import TrainerState

from lavseg.data import ClipCollator, load_ref_avs, write_ref_avs
from lavseg.hub.record import Record, Result, read_record
from lavseg.hub.upload import push_to_hub
from lavseg.modeling.remote_code import STUB
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.training import LavsegTrainer, LavsegTrainingArguments
from lavseg.training.run_record import record_of

NAME = "org/a-model"


@pytest.fixture(scope="module")
def model(tiny_processor):
    torch.manual_seed(0)
    return Sam2LoveModel(tiny_config(Sam2LoveConfig, vocab_size=len(tiny_processor.tokenizer))).eval()


def logged(*entries, **state):
    return TrainerState(global_step=20, log_history=list(entries), **state)


@pytest.mark.parametrize(
    ("best", "state", "found"),
    [
        # The last evaluation is about the final weights only when it was made with them.
        (False, logged({"eval_jaccard": 0.1, "step": 10}, {"eval_jaccard": 0.2, "step": 20}), {"": 0.2}),
        (False, logged({"eval_jaccard": 0.1, "step": 10}, {"train_runtime": 1, "step": 20}), {}),
        # The best weights are loaded at the end: those of step 10.
        (
            True,
            logged(
                {"eval_val_jaccard": 0.3, "step": 10},
                {"eval_val_jaccard": 0.2, "step": 20},
                {"train_runtime": 1, "step": 20},
                {"eval_test_s_jaccard": 0.4, "step": 20},
                best_global_step=10,
            ),
            {"val": 0.3, "test_s": 0.4},
        ),
    ],
)
def test_the_scores_told_are_those_of_the_final_weights(model, tmp_path, best, state, found):
    choice = {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"} if best else {}
    args = LavsegTrainingArguments(str(tmp_path), use_cpu=True, **choice)
    results = record_of(model, args, state).results
    assert {result.split: result.scores["jaccard"] for result in results} == found


def test_scores_of_several_protocols_are_kept_apart(model, tmp_path):
    args = LavsegTrainingArguments(str(tmp_path), use_cpu=True, metric_protocols=["frame", "ref_avs"])
    state = logged({"eval_val_frame_j_and_f": 0.1, "eval_val_ref_avs_j_and_f": 0.2, "eval_val_ref_avs_s": 0.3})
    assert record_of(model, args, state).results == [
        Result("unnamed data", "val", "frame", {"j_and_f": 0.1}),
        Result("unnamed data", "val", "ref_avs", {"j_and_f": 0.2, "s": 0.3}),
    ]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("rows"), {"train": 1, "test_n": 1}, 2, (32, 40))
    return {split: load_ref_avs(root, split) for split in ("train", "test_n")}


def trainer_of(model, processor, folder, rows, **options):
    args = LavsegTrainingArguments(
        str(folder), max_steps=1, save_strategy="no", use_cpu=True, disable_tqdm=True, report_to="none", **options
    )
    return LavsegTrainer(model, args, ClipCollator(processor), train_dataset=rows["train"], processing_class=processor)


def test_the_trainer_pushes_model_processor_and_card_in_one_call(hub, model, tiny_processor, rows, tmp_path):
    trainer = trainer_of(model, tiny_processor, tmp_path / "run", rows, hub_model_id=NAME)
    trainer.train()
    trainer.evaluate(rows["test_n"], metric_key_prefix="eval_test_n")
    trainer.push_to_hub(dataset="org/shapes", license="mit", finetuned_from="org/encoder")
    files = hub.repos[NAME]["files"]
    assert {"config.json", "model.safetensors", "processor_config.json", STUB.name, "README.md"} <= set(files)
    card = ModelCard(files["README.md"].decode())
    assert card.data.base_model == ["org/encoder"] and card.data.license == "mit"
    assert {r.dataset_split for r in card.data.eval_results} == {"test_n"}
    assert {r.metric_config for r in card.data.eval_results} == {"frame"}
    assert "| steps | 1 |" in card.text and f"| training_clips | {len(rows['train'])} |" in card.text
    assert NAME in card.text and str(tmp_path) not in card.text
    # What the run left is enough for the command to write the same card.
    (tmp_path / "run" / "README.md").unlink()
    push_to_hub(tmp_path / "run", NAME)
    assert ModelCard(hub.repos[NAME]["files"]["README.md"].decode()).data.to_dict() == card.data.to_dict()


def test_the_trainer_pushes_no_model_without_its_processor(model, tiny_processor, rows, tmp_path):
    trainer = trainer_of(model, tiny_processor, tmp_path, rows, hub_model_id=NAME)
    trainer.processing_class = None
    with pytest.raises(ValueError, match="processing_class"):
        trainer.push_to_hub()


def test_saving_leaves_the_record_of_the_run(model, tiny_processor, rows, tmp_path):
    trainer_of(model, tiny_processor, tmp_path / "run", rows).save_model()
    assert read_record(tmp_path / "run") == Record()
    trainer = trainer_of(model, tiny_processor, tmp_path / "run", rows, max_grad_norm=math.inf)
    trainer.train()
    trainer.save_model()
    assert read_record(tmp_path / "run").recipe["max_grad_norm"] == "inf"
