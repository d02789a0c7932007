import errno
import fcntl
import os
import re
import signal
import stat
from pathlib import Path

import pytest

import lavseg.output_folders
from lavseg.output_folders import (
    check_new_file,
    check_new_folder,
    check_replaceable_folder,
    check_writable_folder,
    holds_results,
    staged_file,
    staged_files,
    staged_folder,
    write_report,
)


def contents(folder: Path) -> dict[str, str | None]:
    """Text of the files, None for folders, by relative path."""
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a file, an empty folder and a full one, that is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("old")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    (tmp_path / "link").symlink_to("empty")
    return tmp_path


@pytest.mark.parametrize("name", ["new", "new/deeper", "empty", "link", "full/new"])
def test_new_and_empty_folders_are_accepted(place, name):
    before = contents(place)
    assert check_new_folder(name, "out") == Path(name)
    assert check_writable_folder(place / name, "out") == place / name
    assert contents(place) == before


def test_files_old_and_new_are_accepted(place):
    assert check_new_file("file", "out") == Path("file")
    assert check_new_file("new/deeper/scores.json", "out") == Path("new/deeper/scores.json")
    assert check_writable_folder("full", "out") == Path("full")


def test_every_refusal_begins_with_the_argument_and_says_what_is_accepted(place):
    refused = {
        (check_new_folder, "file"): "out: file is a file; give a folder",
        (check_new_folder, "full"): "out: full is not empty; give a new or an empty folder",
        (check_new_folder, "file/new"): f"out: file/new cannot be written, {place}/file is not a folder",
        (check_writable_folder, "file"): "out: file is a file; give a folder",
        (check_writable_folder, "file/a/b"): f"out: file/a/b cannot be written, {place}/file is not a folder",
        (check_new_file, "full"): "out: full is a folder; give a file",
        (check_new_file, "file/a/b"): f"out: file/a/b cannot be written, {place}/file is not a folder",
    }
    for (check, name), text in refused.items():
        with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
            check(name, "out")


def test_the_current_folder_is_not_replaced(place, monkeypatch):
    monkeypatch.chdir(place / "empty")
    for name in (".", "../empty", "../link"):
        with pytest.raises(ValueError, match=r"^out: .* is the folder of this command"):
            check_new_folder(name, "out")


def test_mount_points_are_not_replaced(place, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "empty")
    for name in ("empty", "link"):
        for check in (check_new_folder, check_replaceable_folder):
            with pytest.raises(ValueError, match=f"^out: {name} is a mount point, .*; give a folder in it$"):
                check(name, "out")
    assert check_new_folder("empty/new", "out") == Path("empty/new")


def test_a_folder_without_the_right_to_write_is_refused(place, monkeypatch):
    # Root, as which containers run, may write into any folder.
    monkeypatch.setattr(os, "access", lambda folder, mode: folder.name != "full")
    for check in (check_new_folder, check_new_file, check_writable_folder):
        with pytest.raises(ValueError, match=r"^out: full/new cannot be written, .*full is not a folder one may write"):
            check("full/new", "out")
    with pytest.raises(ValueError, match=r"^out: full cannot be written"):
        check_writable_folder("full", "out")


@pytest.mark.parametrize("name", ["new", "new/deeper", "empty", "link"])
def test_a_staged_folder_appears_whole(place, name):
    with staged_folder(name) as staged:
        (staged / "part").mkdir()
        (staged / "part" / "a.txt").write_text("a")
        assert not any(Path(name).glob("*"))
    assert contents(place / name) == {"part": None, "part/a.txt": "a"}
    assert not list(place.rglob(".staged-*"))


@pytest.mark.parametrize("name", ["new", "new/deeper", "empty", "full"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_everything_is_as_before(place, name, error):
    before = contents(place)
    with pytest.raises(error), staged_folder(name, replace=True) as staged:
        (staged / "a.txt").write_text("a")
        raise error
    assert contents(place) == before
    with pytest.raises(error), staged_file(Path(name) / "notes") as staged:
        staged.write_text("a")
        raise error
    assert contents(place) == before


def test_a_folder_with_content_is_replaced_on_demand_only(place):
    with pytest.raises(OSError), staged_folder("full") as staged:
        (staged / "a.txt").write_text("a")
    assert contents(place / "full") == {"notes": "mine"}
    with staged_folder("full", replace=True) as staged:
        (staged / "a.txt").write_text("a")
        assert contents(place / "full") == {"notes": "mine"}
    assert contents(place / "full") == {"a.txt": "a"}


def test_a_folder_is_put_back_when_the_new_one_cannot_take_its_place(place, monkeypatch):
    before, replace = contents(place), os.replace

    def fail_for_new(source, target):
        if Path(source).name == "new":
            raise OSError("disk trouble")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_new)
    with pytest.raises(OSError, match="disk trouble"), staged_folder("full", replace=True) as staged:
        (staged / "a.txt").write_text("a")
    assert contents(place) == before


def test_a_staged_file_replaces_the_old_one_in_one_step(place):
    for name in ("file", "new/deeper/scores.json"):
        with staged_file(name) as staged:
            staged.write_text("new")
            assert not Path(name).exists() or Path(name).read_text() == "old"
        assert Path(name).read_text() == "new"
    assert not list(place.rglob(".staged-*"))


def test_a_link_to_a_file_stays_a_link(place):
    (place / "scores").symlink_to("file")
    with staged_file("scores") as staged:
        staged.write_text("new")
    assert (place / "scores").is_symlink() and (place / "file").read_text() == "new"


def test_permissions_are_those_of_the_umask(place):
    before = os.umask(0o027)
    try:
        with staged_file("scores") as staged:
            staged.write_text("new")
        with staged_folder("new") as folder:
            (folder / "a.txt").write_text("a")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(Path(name).stat().st_mode) for name in ("scores", "new", "new/a.txt")]
    assert modes == [0o640, 0o750, 0o640]


def test_everything_is_on_disk_before_it_takes_its_place(place, monkeypatch):
    """Files and folders are flushed first, then renamed, then the folder that holds the new name is."""
    steps, fsync, replace = [], os.fsync, os.replace

    def name(descriptor):
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append(name(descriptor)), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda old, new: (steps.append("replace"), replace(old, new)))
    with staged_file("scores") as staged:
        staged.write_text("new")
    assert steps == ["scores", "replace", place.name]
    steps.clear()
    with staged_folder("results") as folder:
        (folder / "a.txt").write_text("a")
    assert steps == ["a.txt", "new", "replace", place.name]


def test_permissions_are_the_umasks_also_where_a_library_sets_its_own(place):
    with staged_file("weights") as staged:
        staged.touch(0o600)
    with staged_files("full") as staged:
        (staged / "weights").touch(0o600)
    (place / "plain").touch()
    modes = {Path(name).stat().st_mode for name in ("plain", "weights", "full/weights")}
    assert len(modes) == 1


def test_staged_files_join_those_of_a_folder_or_leave_it_alone(place):
    (place / "full" / "scores").write_text("old")
    before = contents(place)
    with pytest.raises(ValueError), staged_files("full") as staged:
        (staged / "scores").write_text("new")
        raise ValueError
    assert contents(place) == before
    with staged_files("full") as staged:
        (staged / "scores").write_text("new")
        (staged / "weights").write_text("w")
        assert (place / "full" / "scores").read_text() == "old"
    assert contents(place / "full") == {"notes": "mine", "scores": "new", "weights": "w"}
    with staged_files("new/deeper") as staged:
        (staged / "a").write_text("a")
    assert contents(place / "new") == {"deeper": None, "deeper/a": "a"}


def killed(work):
    """Do `work` in a child that ends itself with SIGKILL."""
    if not (child := os.fork()):
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def replace_folder(name="full", text="new"):
    with staged_folder(name, replace=True) as staged:
        (staged / "notes").write_text(text)


def kill_self(*args):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("step", range(4))
def test_what_a_killed_process_leaves_is_taken_over(place, monkeypatch, step):
    """Killed before the first renaming, after it, after the second, and while the earlier result is removed."""
    before = contents(place)

    def until_killed():
        done, replace, rmtree = [], os.replace, lavseg.output_folders.shutil.rmtree

        def step_by_step(function):
            def run(*args):
                if len(done) == step:
                    kill_self()
                done.append(function(*args))

            return run

        monkeypatch.setattr(os, "replace", step_by_step(replace))
        monkeypatch.setattr("shutil.rmtree", step_by_step(rmtree))
        replace_folder()

    killed(until_killed)
    visible = [name for name, text in contents(place).items() if text in ("mine", "new") and ".staged" not in name]
    assert visible, "the earlier result is only in a hidden folder"
    replace_folder(text="last")
    assert contents(place) == before | {"full/notes": "last"}


def test_the_earlier_result_comes_back_where_nothing_replaces_it(place, monkeypatch):
    replace = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: (replace(*args), kill_self()))
        killed(replace_folder)
    assert not (place / "full").exists()
    with pytest.raises(OSError), staged_folder("full") as staged:
        (staged / "a.txt").touch()
    assert contents(place / "full") == {"notes": "mine"} and not (place / "full.earlier").exists()


def test_a_check_clears_what_a_killed_process_left(place, monkeypatch):
    before = contents(place)
    replace = os.replace
    for check, name in ((check_new_folder, "new"), (check_new_file, "scores")):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", kill_self)
            killed(lambda name=name: replace_folder(name))
        assert list(place.glob(".staged-*"))
        check(name, "out")
        assert contents(place) == before
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: (replace(*args), kill_self()))
        killed(replace_folder)
    with pytest.raises(ValueError, match="is not empty"):
        check_new_folder("full", "out")
    assert contents(place) == before


def test_a_folder_of_the_same_name_as_an_earlier_result_is_left_alone(place):
    (place / "full.earlier").mkdir()
    with pytest.raises(OSError, match=r"full\.earlier is in the way"):
        replace_folder()
    with pytest.raises(ValueError, match=r"^out: .*full\.earlier is in the way; move it elsewhere$"):
        check_replaceable_folder("full", "out")
    for name in ("empty", "new"):
        check_replaceable_folder(name, "out")
    assert contents(place / "full") == {"notes": "mine"} and (place / "full.earlier").is_dir()


def test_a_process_at_work_is_left_alone(place):
    with staged_file("scores") as first, staged_file("scores") as second:
        first.write_text("first")
        second.write_text("second")
    assert (place / "scores").read_text() == "first"
    assert not list(place.rglob(".staged-*"))


def test_a_file_system_without_locks_is_named(place, monkeypatch):
    tried, before = [], contents(place)

    def flock(*given):
        assert not tried, "it is tried again"
        tried.append(given)
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="scores: the file system has no locks; write to another one"):
        write_report("scores", {})
    assert contents(place) == before


def test_a_folder_that_another_process_removes_meanwhile(place, monkeypatch):
    opened, removed = os.open, []

    def remove_and_open(path, *options, **named):
        if not removed:
            removed.append(path)
            os.rmdir(path)
        return opened(path, *options, **named)

    monkeypatch.setattr(os, "open", remove_and_open)
    write_report("scores", {})
    assert removed == [place / ".staged-scores.0"] and (place / "scores").read_text() == "{}\n"
    assert not list(place.rglob(".staged-*"))


def test_unfinished_files_are_no_results(place):
    def half_done():
        with staged_file("empty/scores"):
            kill_self()

    killed(half_done)
    assert list((place / "empty").iterdir()) and not holds_results("empty")
    assert holds_results("full") and not holds_results("nowhere")
    with staged_file("empty/scores") as staged:
        staged.write_text("new")
    assert contents(place / "empty") == {"scores": "new"}


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "report.json"
    with pytest.raises(ValueError):
        write_report(path, {"score": float("nan")})
    assert contents(tmp_path) == {}
    write_report(path, {"score": 0.5})
    assert contents(tmp_path) == {"new": None, "new/report.json": '{\n  "score": 0.5\n}\n'}
