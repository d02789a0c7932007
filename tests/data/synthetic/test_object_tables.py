import numpy as np
import pytest

from lavseg.data import load_ref_avs, render_clip, row_masks, write_ref_avs
from lavseg.data.synthetic.object_tables import clip_object, clip_objects, write_objects


def test_what_is_written_is_read(tmp_path):
    scene = render_clip(np.random.default_rng(0), 4, (32, 40)).objects
    written = [clip_object(clip, fid, item) for clip in ("-a_b_0_4000", "c") for fid, item in enumerate(scene)]
    write_objects(tmp_path, written)
    found = clip_objects(tmp_path)
    assert list(found) == ["-a_b_0_4000", "c"]
    for item, other in zip(written, found["-a_b_0_4000"] + found["c"], strict=True):
        assert (item.clip, item.fid, item.category) == (other.clip, other.fid, other.category)
        assert other.x == pytest.approx(item.x, abs=1e-4) and other.level == pytest.approx(item.level, abs=1e-5)
        assert other.seconds.dtype == bool and (item.seconds == other.seconds).all()


def test_every_row_of_ref_avs_finds_its_object(tmp_path):
    root = write_ref_avs(tmp_path / "data", {"test_s": 2, "test_n": 1}, num_frames=3, frame_size=(32, 40))
    objects = clip_objects(root)
    for split in ("test_s", "test_n"):
        for row in load_ref_avs(root, split):
            found = {item.fid: item for item in objects[row["clip"]]}
            assert all(len(item.seconds) == 3 for item in found.values())
            if not row["is_null"]:
                assert found[row["fid"]].category == row["object"] and row_masks(row).any()


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no objects\.csv"):
        clip_objects(tmp_path)
