import pytest
from typer.testing import CliRunner

from lavseg import __version__
from lavseg.cli import app
from lavseg.cli.command_group import _debug_first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segment", "clip.mp4", "--format", "bmp"], "lavseg segment: Invalid value for '--format'"),
        (["segment"], "lavseg segment: Missing argument 'CLIP...'"),
        (["data", "synthetic", "--clips", "many"], "lavseg data synthetic: Invalid value for '--clips'"),
        (["--paint"], "lavseg: No such option: --paint"),
    ],
)
def test_wrong_arguments_are_one_line_that_names_the_command(arguments, said):
    done = CliRunner().invoke(app, arguments, prog_name="lavseg")
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(said) and "--help" in done.stderr


def test_without_arguments_there_is_help():
    for arguments in ([], ["data"]):
        done = CliRunner().invoke(app, arguments, prog_name="lavseg")
        assert "Usage: lavseg" in done.output and "Commands" in done.output


def test_the_version_and_short_help():
    done = CliRunner().invoke(app, ["--version"], prog_name="lavseg")
    assert (done.exit_code, done.output) == (0, f"lavseg {__version__}\n")
    for arguments in (["-h"], ["train", "-h"], ["data", "-h"], ["convert", "vggish", "-h"]):
        done = CliRunner().invoke(app, arguments, prog_name="lavseg")
        assert done.exit_code == 0 and f"Usage: lavseg {' '.join(arguments[:-1])}" in done.output, arguments


def test_debug_shows_where_and_is_forgotten_afterwards():
    for arguments in (["--debug", "data", "check", "nowhere"], ["data", "check", "nowhere", "--debug"]):
        done = CliRunner().invoke(app, arguments, prog_name="lavseg")
        assert done.exit_code == 2 and done.stderr.startswith("Traceback")
    done = CliRunner().invoke(app, ["data", "check", "nowhere"], prog_name="lavseg")
    assert done.exit_code == 2 and done.stderr.startswith("lavseg data check: ")


def test_debug_with_a_value_is_a_key_of_recipes():
    recipe = ["train", "recipe.yaml", "--debug", "underflow_overflow"]
    assert _debug_first(recipe) == recipe
    assert _debug_first(["train", "--debug", "--out", "runs"]) == ["--debug", "train", "--out", "runs"]
    assert _debug_first(["segment", "--debug", "clip"]) == ["--debug", "segment", "clip"]
