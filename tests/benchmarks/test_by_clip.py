import by_clip
import pytest


@pytest.mark.slow
def test_learning_is_compared_from_the_same_weights(tmp_path, monkeypatch):
    batches, compute = [], by_clip.LavsegTrainer.compute_loss
    monkeypatch.setattr(
        by_clip.LavsegTrainer,
        "compute_loss",
        lambda self, model, inputs, *args, **kwargs: (
            batches.append(tuple(inputs["labels"].shape[:2])) or compute(self, model, inputs, *args, **kwargs)
        ),
    )
    scores = by_clip.compare_learning(clips=2, frames=2, sentences=4, steps=1, folder=tmp_path)
    assert scores.keys() == {"untrained", "one_by_one", "by_clip"}
    assert all(0 <= score <= 1 for seeds in scores.values() for score in seeds)
    assert batches[0][1] == 1 and any(sentences > 1 for _, sentences in batches)
