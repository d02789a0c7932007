import pytest
import run_demo
from demo import stages
from rich.console import Console


def test_lines_stay_whole_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setattr(stages, "get_console", lambda: Console(width=20))
    announced = stages.Stages(8)
    announced.begin("Write the report")
    announced.say("a folder [of mine] with a long name/report.html after 3 s")
    assert capsys.readouterr().out.splitlines() == [
        "0:00 1/8 Write the report",
        "     a folder [of mine] with a long name/report.html after 3 s",
    ]


def test_without_a_terminal_lines_say_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(stages, "get_console", lambda: Console(force_terminal=False))
    monkeypatch.setattr(stages.time, "monotonic", iter(range(0, 1000, 4)).__next__)
    assert list(stages.Stages(1).bar("clips")(range(6))) == list(range(6))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines and len(lines) < 6 and all(line.endswith(" of 6") for line in lines)


@pytest.mark.parametrize("method", ["sam2-love", "gavs"])
def test_foreign_folders_are_left_alone(untrained, tmp_path, method):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="no earlier demo"):
        run_demo.main([f"--method={method}", f"--out={tmp_path}", f"--model={untrained}"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_earlier_demo_is_replaced(tmp_path):
    output = stages.prepare_folder(tmp_path / "demo")
    (output / "report.json").touch()
    assert not [path.name for path in stages.prepare_folder(output).iterdir() if path.name != stages.MARKER]
