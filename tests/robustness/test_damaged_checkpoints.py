"""Checkpoints of every method with one file damaged: one line and status 2, or a result."""

import json
import shutil

import pytest
from harness import mutants, refused_or_done, tree
from mutations import damage_bytes, damage_json, generator

FILES = ("config.json", "config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")


def damage(folder, rng):
    """Damage one of a checkpoint's files; returns what was done, in words."""
    if rng.random() < 0.15:
        return damage_bytes(folder / "model.safetensors", rng)
    path = folder / rng.choice([name for name in FILES if (folder / name).exists()])
    return damage_json(path, rng) if rng.random() < 0.8 else damage_bytes(path, rng)


@pytest.mark.parametrize("seed", mutants(1000, 150))
def test_a_damaged_checkpoint_is_refused_or_works(forked, saved_method, short_clip, tmp_path, seed):
    source, reads = saved_method(seed)
    folder, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(source, folder)
    done = damage(folder, generator(seed))
    before = tree(folder)
    text = ["--text", "the red circle"] if reads else []
    outcome = forked.command("segment", short_clip, "--model", folder, "--out", out, *text, seconds=120)
    outcome.job += f"\n({source.name}: {done})"
    if refused_or_done(outcome, says="lavseg segment: "):
        assert json.loads((out / "result.json").read_text())["complete"]
    assert {path.name for path in tmp_path.iterdir()} == {"model"} | ({"out"} if outcome.status == 0 else set())
    assert tree(folder) == before
