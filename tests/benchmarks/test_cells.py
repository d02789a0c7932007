import os
import signal

from cells import in_own_process, read_results, run_cells


def measure(number, fate, seen):
    with open(seen, "a") as calls:
        print(number, file=calls)
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "fails":
        raise MemoryError(number)
    return {"square": number**2}


def test_a_cell_that_dies_is_reported_and_the_others_go_on(tmp_path, capfd):
    file, seen = tmp_path / "results" / "cells.jsonl", tmp_path / "seen"
    fates = ["lives", "killed", "fails", "lives"]
    cells = [{"number": number, "fate": fate, "seen": str(seen)} for number, fate in enumerate(fates)]
    reports = run_cells(cells[:2], measure, file)
    assert reports == [{**cells[0], "square": 0}, {**cells[1], "died": reports[1]["died"]}]
    assert "SIGKILL" in reports[1]["died"]

    # What is there is not measured again, what died is tried anew.
    reports = run_cells(cells, measure, file)
    assert seen.read_text().split() == ["0", "1", "1", "2", "3"]
    assert [report.get("square") for report in reports] == [0, None, None, 9]
    assert "exit status 1" in reports[2]["died"] and "MemoryError: 2" in capfd.readouterr().err
    assert [report["result"].get("square") for report in read_results(file).values()] == [0, None, None, 9]


def test_a_function_runs_in_another_process():
    assert in_own_process(os.getpid) != os.getpid()
