import pytest
import typer
from torch.utils.data import DataLoader

from lavseg.cli.one_line_errors import one_line_errors, show_tracebacks


def ended(error):
    with pytest.raises(SystemExit) as end, one_line_errors("lavseg paint"):
        raise error
    return end.value.code


def test_what_cannot_be_used_is_one_line_and_status_2(capsys):
    for error in (ValueError, OSError, ImportError):
        assert ended(error("color: 'mauve'\n  is not known")) == 2
        assert capsys.readouterr() == ("", "lavseg paint: color: 'mauve' is not known\n")


def test_errors_that_nobody_expected_name_their_class(capsys):
    for error in (RuntimeError("color"), TypeError("color"), ZeroDivisionError("color"), RecursionError("color")):
        assert ended(error) == 2
        assert capsys.readouterr() == ("", f"lavseg paint: {type(error).__name__}: color\n")
    for error in (ValueError(""), AssertionError()):
        assert ended(error) == 2 and capsys.readouterr().err == f"lavseg paint: {type(error).__name__}\n"


def test_of_what_a_process_that_reads_data_raised_its_message_is_left(capsys):
    class Rows(list):
        def __getitem__(self, index):
            raise ValueError("clip c: an image cannot be decoded")

    with pytest.raises(ValueError) as caught:
        next(iter(DataLoader(Rows("ab"), num_workers=1)))
    assert ended(caught.value) == 2
    assert capsys.readouterr().err == "lavseg paint: clip c: an image cannot be decoded\n"


def test_ctrl_c_is_one_line_and_its_own_status(capsys):
    assert ended(KeyboardInterrupt()) == 130 and capsys.readouterr().err == "lavseg paint: stopped\n"


def test_a_traceback_is_shown_on_demand(capsys):
    show_tracebacks(True)
    try:
        assert ended(TypeError("color")) == 2
    finally:
        show_tracebacks(False)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Traceback") and last == "lavseg paint: TypeError: color"


def test_a_command_ends_with_the_status_that_it_chose():
    for kind in (typer.Exit, typer.Abort):
        with pytest.raises(kind), one_line_errors("lavseg paint"):
            raise kind
