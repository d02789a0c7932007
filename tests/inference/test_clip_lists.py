"""Which clips are meant, and where their results go."""

from pathlib import Path

import pytest

from lavseg.inference.clip_lists import find_clips, means_many, read_lines, result_folders


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "a.MKV", "._b.mp4", "notes.md", "list.txt", "empty.txt"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("\ufeffb.mp4\n\n  elsewhere/ö c.mp4 \n", encoding="utf-8")
    (tmp_path / "none").mkdir()
    return tmp_path


def test_clips_of_folders_lists_and_themselves_come_in_order(folder):
    given = [folder / "list.txt", "x.any", folder]
    wanted = ["b.mp4", "elsewhere/ö c.mp4"]
    expected = [*(folder / name for name in wanted), Path("x.any"), folder / "a.MKV", folder / "b.mp4"]
    assert find_clips(given) == expected


def test_one_file_is_one_clip(folder):
    assert not means_many(["clip.mp4"]) and not means_many([folder / "b.mp4"])
    assert all(map(means_many, ([folder], [folder / "list.txt"], ["a.mp4", "b.mp4"])))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", r"clip: .*none holds no clip; their names end in \.avi"),
        ("empty.txt", r"clip: .*empty\.txt has no lines"),
        ("absent.txt", r"clip: .*absent\.txt cannot be read, No such file"),
    ],
)
def test_what_holds_no_clips_is_named(folder, name, message):
    with pytest.raises(ValueError, match=message):
        find_clips([folder / name])


def test_lines_in_another_encoding_are_refused(folder):
    (folder / "latin.txt").write_bytes("das Gerät".encode("latin-1"))
    with pytest.raises(ValueError, match=r"--texts: .*latin\.txt cannot be read, it is not in UTF-8"):
        read_lines(folder / "latin.txt", "--texts")


def test_every_clip_has_a_folder_of_its_own():
    assert result_folders([Path("x/a.mp4"), Path("b.c.mkv")], "out") == [Path("out/a"), Path("out/b.c")]
    with pytest.raises(ValueError, match=r"clip: x/a\.mp4 and y/A\.mkv would both be written to out/a; give"):
        result_folders([Path("x/a.mp4"), Path("y/A.mkv")], "out")
