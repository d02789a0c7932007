"""A Space in a folder, and its page as its program serves it."""

import runpy
import sys

import pytest
from huggingface_hub import RepoCard

from saved_clips import save_checkpoint

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app import space  # noqa: E402


def test_a_space_holds_all_that_it_serves(tmp_path, monkeypatch):
    model = save_checkpoint(tmp_path / "tiny-1.0")
    (model / "optimizer.pt").touch()
    space.write_space(tmp_path / "space", [model, "org/other"])
    made = tmp_path / "space"
    assert sorted(path.name for path in made.iterdir()) == [
        "README.md",
        "app.py",
        "checkpoints",
        "lavseg",
        "requirements.txt",
    ]
    copied = {path.name for path in (made / "checkpoints" / "tiny-1.0").iterdir()}
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json"} <= copied
    assert "optimizer.pt" not in copied and not list(made.rglob("__pycache__"))
    card = RepoCard.load(made / "README.md").data
    assert (card.sdk, card.sdk_version, card.app_file, card.models) == (
        "gradio",
        gr.__version__,
        "app.py",
        ["org/other"],
    )
    needed = (made / "requirements.txt").read_text().splitlines()
    assert {"torch", "transformers", "gradio"} <= {line.split("<")[0].split(">")[0] for line in needed}
    assert not [line for line in needed if ";" in line or line.startswith(("pytest", "lavseg"))]

    ran = []
    monkeypatch.setattr("lavseg.cli.main", lambda: ran.extend(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
    runpy.run_path(str(made / "app.py"))
    served = ["--model", "checkpoints/tiny-1.0", "--model", "org/other"]
    assert ran == ["app", "--host", "0.0.0.0", "--port", "7860", *served]


def test_what_cannot_be_served_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"is no checkpoint, it has no config.json"):
        space.write_space(tmp_path / "space", [tmp_path / "empty"])
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    with pytest.raises(ValueError, match=r"space: .* is not empty; give a new or an empty folder"):
        space.write_space(tmp_path, [tmp_path / "empty"])
