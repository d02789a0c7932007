import json

import feature_cache


def test_a_step_with_kept_embeddings_is_compared_with_one_without(monkeypatch, capsys):
    for name, value in {"FRAMES": 2, "SIZE": 64, "LAYERS": 1, "WIDTH": 16, "REPEATS": 1}.items():
        monkeypatch.setattr(feature_cache, name, value)
    feature_cache.main()
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 2 and report["cached_s"] > 0 and report["encoded_s"] > 0
