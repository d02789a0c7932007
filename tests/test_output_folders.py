import os
import re
import stat
from pathlib import Path

import pytest

from lavseg.output_folders import check_new_file, check_new_folder, check_writable_folder, staged_file, staged_folder


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
