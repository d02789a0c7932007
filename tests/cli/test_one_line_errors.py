import pytest

from lavseg.cli.one_line_errors import one_line_errors


def test_what_cannot_be_used_is_one_line_and_status_2(capsys):
    for error in (ValueError, OSError, ImportError):
        with pytest.raises(SystemExit) as end, one_line_errors("lavseg paint"):
            raise error("color: 'mauve'\n  is not known")
        assert end.value.code == 2 and capsys.readouterr() == ("", "lavseg paint: color: 'mauve' is not known\n")


def test_faults_of_the_program_are_not_hidden():
    for error in (RuntimeError, KeyError, KeyboardInterrupt):
        with pytest.raises(error), one_line_errors("lavseg paint"):
            raise error("color")
