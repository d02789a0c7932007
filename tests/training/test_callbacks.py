from types import SimpleNamespace

from transformers import TrainerControl, TrainerState

from lavseg.training.callbacks import EarlyStopping, EpochOf


def test_early_stopping_passes_over_splits_without_the_metric():
    watch, control = EarlyStopping(1), TrainerControl()
    args = SimpleNamespace(metric_for_best_model="val_loss", greater_is_better=False)
    state = TrainerState(best_metric=1.0)
    watch.on_evaluate(args, state, control, metrics={"eval_test_loss": 5.0})
    assert not control.should_training_stop
    watch.on_evaluate(args, state, control, metrics={"eval_val_loss": 5.0})
    assert control.should_training_stop


def test_collator_and_sampler_are_told_the_epoch():
    parts = [SimpleNamespace(epoch=0), SimpleNamespace(epoch=0)]
    EpochOf(*parts).on_epoch_begin(None, TrainerState(epoch=2.0), None)
    assert [part.epoch for part in parts] == [2, 2]
