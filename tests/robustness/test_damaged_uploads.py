"""Published files that `convert` is given, and folders that `push` is given: whole, or one line and nothing done."""

import math
import shutil

import pytest
import torch
from harness import ended_well, mutants, refused_or_done, unchanged
from mutations import damage_bytes, generator
from test_damaged_checkpoints import damage
from test_interruptions import published, push, some_slow, tiny_command  # noqa: F401

from hub_stand_in import running_hub
from published_files import PUBLISHED


def weights(path):
    """Tensors of a published file by their names."""
    content = torch.load(path, weights_only=True)
    return content.get("model", content)


def nothing(path, rng):
    torch.save({}, path)


def no_state(path, rng):
    torch.save([1, {"model": "x"}, None], path)


def nan(path, rng):
    state = weights(path)
    state[rng.choice([name for name in sorted(state) if state[name].is_floating_point()])].view(-1)[0] = math.nan
    torch.save({"model": state}, path)


def other_shapes(path, rng):
    torch.save({name: value[None] for name, value in weights(path).items()}, path)


def fewer_keys(path, rng):
    state = weights(path)
    del state[rng.choice(sorted(state))]
    torch.save({"model": state}, path)


class Code:
    """Unpickled, it would run a command."""

    def __reduce__(self):
        return print, ("code ran",)


def code(path, rng):
    torch.save({"model": Code()}, path)


def folder_instead(path, rng):
    path.unlink()
    path.mkdir()


DAMAGES = (nothing, no_state, nan, other_shapes, fewer_keys, code, folder_instead, damage_bytes, damage_bytes)
CONVERSIONS = [(name, str(number)) for name in PUBLISHED for number in range(len(DAMAGES))]
FAST = [("vggish", "2"), ("sama_avs", "5")]


@pytest.mark.parametrize(("name", "number"), some_slow(CONVERSIONS, FAST))
def test_a_damaged_published_file_is_refused(forked, published, tmp_path, name, number):  # noqa: F811
    path, rng = tmp_path / "published.pth", generator(int(number))
    file, options = published[name]
    shutil.copy(file, path)
    DAMAGES[int(number)](path, rng)
    method = name.replace("_", "-")
    arguments = ["convert", method, path, "--out", tmp_path / "out", *options]
    with unchanged(tmp_path):
        done = refused_or_done(forked.call(tiny_command, *arguments, seconds=120), says=f"lavseg convert {method}: ")
        if done:  # a few bytes of a whole file may change numbers only
            assert DAMAGES[int(number)] is damage_bytes
            shutil.rmtree(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_whole_published_file_is_taken(forked, published, tmp_path, name):  # noqa: F811
    file, options = published[name]
    method = name.replace("_", "-")
    ended_well(forked.call(tiny_command, "convert", method, file, "--out", tmp_path / "out", *options, seconds=120))
    assert {"config.json", "model.safetensors"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("seed", mutants(4000, 30))
def test_a_damaged_checkpoint_is_pushed_whole_or_not_at_all(forked, saved_method, tmp_path, seed):
    folder, rng = tmp_path / "model", generator(seed)
    shutil.copytree(saved_method(seed)[0], folder)
    done = damage(folder, rng)
    if rng.random() < 0.3:
        name = rng.choice(("README.md", "training_record.json", "evaluation.json"))
        (folder / name).write_bytes(rng.choice((b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b'{"splits": 3}')))
    with running_hub() as hub, unchanged(tmp_path):
        outcome = forked.call(push, hub.endpoint, folder, "org/name", seconds=120)
        outcome.job += f"\n({done})"
        if refused_or_done(outcome, says="lavseg push: "):
            files = hub.repos["org/name"]["files"]
            assert {"config.json", "model.safetensors", "processor_config.json", "README.md"} <= files.keys()
        else:
            assert not any(repo["files"] for repo in hub.repos.values())
