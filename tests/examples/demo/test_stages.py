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


@pytest.mark.parametrize("method", ["sam2-love", "gavs"])
def test_foreign_folders_are_left_alone(untrained, tmp_path, method):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="no earlier demo"):
        run_demo.main([f"--method={method}", f"--output={tmp_path}", f"--checkpoint={untrained}"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_earlier_demo_is_replaced(tmp_path):
    output = stages.prepare_folder(tmp_path / "demo")
    (output / "report.json").touch()
    assert not [path.name for path in stages.prepare_folder(output).iterdir() if path.name != stages.MARKER]
