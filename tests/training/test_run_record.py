from types import SimpleNamespace

import pytest
from transformers import TrainerState

from lavseg.hub.record import Result
from lavseg.training import LavsegTrainingArguments
from lavseg.training.run_record import record_of


def untrained(name="", **encoders):
    """Stands for a model that was loaded under this name, with encoders that were loaded under those."""
    modules = {part: SimpleNamespace(config=SimpleNamespace(name_or_path=path)) for part, path in encoders.items()}
    return SimpleNamespace(name_or_path=name, backbones=lambda: modules, loss_weights={})


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
def test_scores_are_those_of_the_final_weights(tmp_path, best, state, found):
    choice = {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"} if best else {}
    args = LavsegTrainingArguments(str(tmp_path), use_cpu=True, **choice)
    results = record_of(untrained(), args, state).results
    assert {result.split: result.scores["jaccard"] for result in results} == found


def test_scores_of_several_protocols_are_kept_apart(tmp_path):
    args = LavsegTrainingArguments(str(tmp_path), use_cpu=True, metric_protocols=["frame", "ref_avs"])
    state = logged({"eval_val_frame_j_and_f": 0.1, "eval_val_ref_avs_j_and_f": 0.2, "eval_val_ref_avs_s": 0.3})
    assert record_of(untrained(), args, state).results == [
        Result("unnamed data", "val", "frame", {"j_and_f": 0.1}),
        Result("unnamed data", "val", "ref_avs", {"j_and_f": 0.2, "s": 0.3}),
    ]


def test_the_recipe_is_there_once_something_was_trained(tmp_path):
    args = LavsegTrainingArguments(str(tmp_path), use_cpu=True, learning_rate=3e-5, max_grad_norm=float("inf"))
    assert record_of(untrained(), args, TrainerState(), train_rows=7).recipe == {}
    recipe = record_of(untrained(), args, logged(), train_rows=7).recipe
    assert (recipe["steps"], recipe["training_clips"], recipe["learning_rate"]) == (20, 7, 3e-5)
    assert recipe["max_grad_norm"] == "inf" and recipe["lr_scheduler_type"] == "linear"


@pytest.mark.parametrize(
    ("model", "given", "found"),
    [
        (untrained("org/start", text="org/text"), [], ["org/start"]),
        (untrained("/a/folder", text="org/text", audio=""), [], ["org/text"]),
        (untrained("org/start"), ["org/other"], ["org/other"]),
    ],
)
def test_what_training_started_from(tmp_path, model, given, found):
    args = LavsegTrainingArguments(str(tmp_path), use_cpu=True)
    assert record_of(model, args, TrainerState(), base_models=given).base_models == found
