import pytest
from datasets import Dataset

from lavseg.training import LavsegTrainingArguments
from lavseg.training.evaluations import check_best_metric, check_counted


def test_streams_are_refused_also_as_one_of_several_splits():
    rows = Dataset.from_dict({"clip": ["a", "b"]})
    check_counted(rows)
    check_counted({"val": rows, "test": [{"clip": "a"}]})
    stream = rows.to_iterable_dataset()
    for given in (stream, {"val": rows, "test": stream}):
        with pytest.raises(ValueError, match=r"^eval_dataset: takes rows .*, got IterableDataset; load them without"):
            check_counted(given)


def test_terms_of_the_loss_may_choose_the_checkpoint_and_less_of_them_is_better(tmp_path):
    def args(name, **values):
        return LavsegTrainingArguments(str(tmp_path), use_cpu=True, metric_for_best_model=name, **values)

    for name, greater in (("val_loss_dice", False), ("eval_val_loss", False), ("val_s", False), ("val_jaccard", True)):
        given = args(name)
        check_best_metric(given, {"val": []}, ["bce", "dice"])
        assert given.greater_is_better is greater, name
    assert args("val_s", greater_is_better=True).greater_is_better
    check_best_metric(args("loss_dice"), [], ["bce", "dice"])
    check_best_metric(args(None), [], [])
    message = r"^metric_for_best_model: got 'val_loss_iou', evaluation reports val_loss, val_loss_bce, val_jaccard, "
    with pytest.raises(ValueError, match=message):
        check_best_metric(args("val_loss_iou"), {"val": []}, ["bce"])
