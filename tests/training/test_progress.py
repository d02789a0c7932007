from types import SimpleNamespace

from lavseg.training.progress import LossLinesCallback, LossProgressCallback


def test_losses_and_rate_stand_beside_the_bar_and_other_logs_on_a_line():
    callback, shown = LossProgressCallback(), []
    callback.training_bar = SimpleNamespace(set_postfix=shown.append, write=shown.append)
    state = SimpleNamespace(is_world_process_zero=True)
    logs = {"loss": 1.5, "loss_bce": 1.0, "grad_norm": 2.0, "learning_rate": 0.1}
    callback.on_log(None, state, None, logs=logs)
    callback.on_log(None, state, None, logs={"eval_loss": 0.5})
    assert shown == [{"loss": 1.5, "loss_bce": 1.0, "lr": 0.1}, "{'eval_loss': '0.5'}"]


def test_processes_without_a_bar_show_nothing():
    callback = LossProgressCallback()
    callback.on_log(None, SimpleNamespace(is_world_process_zero=False), None, logs={"loss": 1.5, "learning_rate": 0.1})
    assert callback.training_bar is None


def test_without_a_bar_every_log_is_a_line_of_numbers(capsys):
    callback = LossLinesCallback()
    state = SimpleNamespace(is_world_process_zero=True, global_step=20, max_steps=400)
    logs = {"loss": 0.53219, "grad_norm": None, "learning_rate": 1e-4, "epoch": 0.5, "total_flos": 0}
    callback.on_log(None, state, None, logs=logs)
    callback.on_log(None, SimpleNamespace(is_world_process_zero=False), None, logs=logs)
    assert capsys.readouterr().out == "step 20 of 400: loss 0.5322, learning_rate 0.0001\n"
