import pytest

from lavseg.output_folders import check_can_be_made


def test_what_lies_under_a_file_cannot_be_made(tmp_path):
    check_can_be_made(tmp_path / "new" / "deeper" / "scores.json")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"scores: cannot be made, .*file is not a folder one may write into"):
        check_can_be_made(tmp_path / "file" / "deeper" / "scores")
