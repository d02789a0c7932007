import push_to_hub
import pytest
from huggingface_hub import ModelCard

from hub_stand_in import running_hub, use

NAME = "org/a-model"


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as hub:
        use(hub, monkeypatch)
        yield hub


def test_the_repository_is_looked_at_before_anything_is_scored(hub, ref_avs, untrained, monkeypatch, capsys):
    monkeypatch.setattr(push_to_hub.LavsegTrainer, "evaluate", lambda *rest, **others: 1 / 0)
    given = ["--model", str(untrained), "--data", str(ref_avs), "--name", NAME, "--split", "test_s"]
    use(hub, monkeypatch, token="hf_wrong")
    assert push_to_hub.main(given) == 2 and "hf auth login" in capsys.readouterr().err
    hub.shutdown()
    hub.server_close()
    assert push_to_hub.main(given) == 2 and "the Hub cannot be reached" in capsys.readouterr().err


def test_a_checkpoint_is_scored_and_pushed_with_its_scores(hub, ref_avs, untrained, capsys):
    given = ["--model", str(untrained), "--data", str(ref_avs), "--name", NAME, "--private"]
    assert push_to_hub.main([*given, "--split", "test_s", "test_n"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{hub.endpoint}/{NAME}/commit/")
    repo = hub.repos[NAME]
    assert repo["private"] and {"model.safetensors", "processor_config.json"} <= set(repo["files"])
    card = ModelCard(repo["files"]["README.md"].decode())
    scores = {(r.dataset_name, r.dataset_split, r.metric_config) for r in card.data.eval_results}
    assert scores == {("SHAPES", "test_s", "frame"), ("SHAPES", "test_n", "frame")}
    assert "preview.jpg" in repo["files"] and "](preview.jpg)" in card.text


@pytest.mark.parametrize(("option", "value"), [("--model", "nowhere/at/all"), ("--split", "test_u")])
def test_mistakes_give_one_line_and_upload_nothing(hub, ref_avs, untrained, capsys, option, value):
    given = {
        "--model": str(untrained),
        "--data": str(ref_avs),
        "--name": NAME,
        "--split": "test_s",
        option: value,
    }
    assert push_to_hub.main([word for pair in given.items() for word in pair]) == 2
    assert capsys.readouterr().err.startswith("push_to_hub.py: error: ") and not hub.repos
