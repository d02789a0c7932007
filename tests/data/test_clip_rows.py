from itertools import chain
from pathlib import Path

import pytest
from datasets import Dataset, concatenate_datasets

from lavseg.data import load_avsbench, load_exported, load_ref_avs, write_avsbench, write_ref_avs
from lavseg.data.clip_rows import ClipStream, NamedRows, clips_of, group_by_clip
from lavseg.data.decoding import without_decoding
from lavseg.data.layouts import export_parquet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clip_rows")


@pytest.fixture(scope="module")
def rows(folder):
    return load_ref_avs(write_ref_avs(folder / "ref_avs", {"train": 2}, 2, (32, 40)), "train")


def test_rows_of_a_clip_are_together_in_order_and_in_parts(rows):
    mixed = rows.select([*range(0, len(rows), 2), *range(1, len(rows), 2)])
    names = mixed["clip"][:]
    groups = group_by_clip(mixed, 100)
    assert sorted(chain(*groups)) == list(range(len(rows))) and len(groups) == len({*names})
    for group in groups:
        assert group == [number for number, name in enumerate(names) if name == names[group[0]]]
    parts = group_by_clip(mixed, 2)
    assert parts == sorted(parts) and sorted(chain(*parts)) == list(range(len(rows)))
    assert all(len({names[number] for number in part}) == 1 and len(part) <= 2 for part in parts)


def test_clips_of_one_name_are_not_taken_for_one(folder, rows):
    other = load_ref_avs(write_ref_avs(folder / "other", {"train": 2}, 2, (32, 40)), "train")
    both = concatenate_datasets([rows, other])
    assert {*rows["clip"]} == {*other["clip"]}
    assert len({*clips_of(both)}) == len({*clips_of(rows)}) + len({*clips_of(other)})
    root = write_avsbench(folder / "avsbench", {"s4": {"test": 2}}, (32, 40))
    twice = concatenate_datasets([load_avsbench(root, "s4", "test")] * 2)
    assert group_by_clip(twice, 8) == [[0, 2], [1, 3]]


def test_rows_that_were_exported_are_grouped_alike(folder, rows, datasets_cache):
    out = export_parquet({"train": rows}, folder / "parquet")
    again = Dataset.from_parquet([str(path) for path in sorted(out.rglob("*.parquet"))], cache_dir=datasets_cache)
    assert group_by_clip(again, 100) == group_by_clip(rows, 100)


def test_a_stream_gives_the_rows_of_a_clip_that_follow_one_another_together(folder, rows, datasets_cache):
    root = export_parquet({"train": rows}, folder / "streamed")
    stream = load_exported(root, "train", streaming=True)
    for sentences, expected in ((2, [[0, 1], [2, 3], [4, 5], [6]]), (100, [[0, 1], [2, 3, 4, 5], [6]])):
        numbers, clips = zip(*ClipStream(stream, sentences), strict=True)
        assert list(numbers) == expected
        for group, [found] in zip(numbers, clips, strict=True):
            assert all(row["frames"] is found[0]["frames"] and row["audio"] is found[0]["audio"] for row in found)
            for number, row in zip(group, found, strict=True):
                original = rows[number]
                assert row["text"] == original["text"] and row.keys() == original.keys()
                for name in ("frames", "masks"):
                    assert [image.tobytes() for image in row[name]] == [image.tobytes() for image in original[name]]


def test_rows_asked_for_together_are_the_rows_and_share_what_they_may(rows):
    named, group = NamedRows(rows), group_by_clip(rows, 100)[0]
    together = named.__getitems__(group)
    for number, row in zip(group, together, strict=True):
        expected = rows[number]
        assert row["frames"] is together[0]["frames"] and row.keys() == expected.keys()
        assert [image.tobytes() for image in row["frames"]] == [image.tobytes() for image in expected["frames"]]
        assert [image.tobytes() for image in row["masks"]] == [image.tobytes() for image in expected["masks"]]
        assert {name: row[name] for name in ("id", "text", "audio")} == {
            name: expected[name] for name in ("id", "text", "audio")
        }
    assert named[group[1]]["text"] == together[1]["text"]


def test_rows_of_a_list_are_clips_each():
    listed = [{"clip": "a"}, {"clip": "a"}]
    assert group_by_clip(listed, 8) == [[0], [1]] and NamedRows(listed).__getitems__([1, 0]) == listed[::-1]


def test_a_row_that_cannot_be_decoded_names_its_clip(folder):
    root = write_avsbench(folder / "damaged", {"s4": {"train": 2}}, (28, 36))
    rows = load_avsbench(root, "s4", "train")
    first, second = without_decoding(rows, ["clip", "frames"])
    path = Path(second["frames"][-1]["path"])
    path.write_bytes(path.read_bytes()[:-40])
    named = NamedRows(rows)
    assert len(named) == 2 and named[0]["clip"] == first["clip"]
    with pytest.raises(ValueError, match=rf"^clip {second['clip']}: an image cannot be decoded: .+; copy") as caught:
        named[1]
    assert "\n" not in str(caught.value)
