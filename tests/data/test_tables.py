import pytest
from PIL import Image

from lavseg.data.tables import DataError, numbered_images, read_table


def images(folder, names):
    folder.mkdir()
    for name in names:
        Image.new("L", (4, 3)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "first", "numbers"),
    [
        (["10.png", "9.png", "8.png", *(f"{n}.png" for n in range(8))], 0, list(range(11))),
        (["a.mp4_2.png", "a.mp4_1.png", "a.mp4_3.jpg"], 1, [1, 2, 3]),
        (["a_b_00000.png"], 0, [0]),
    ],
)
def test_images_come_in_the_order_of_their_numbers(tmp_path, names, first, numbers):
    found = numbered_images("clip", images(tmp_path / "images", names), first)
    assert list(found) == numbers and len(set(found.values())) == len(names)


@pytest.mark.parametrize(
    ("names", "first"), [(["1.png", "2.png"], 0), (["0.png", "1.png"], 1), (["0.png"], 1), (["0.png", "2.png"], 0)]
)
def test_numbers_start_where_they_should_and_have_no_gaps(tmp_path, names, first):
    with pytest.raises(DataError, match=rf"clip c: missing image: .*expected {first} on"):
        numbered_images("c", images(tmp_path / "images", names), first)


def test_a_table_needs_its_columns(tmp_path):
    path = tmp_path / "table.csv"
    with pytest.raises(ValueError, match=r"table\.csv does not exist; pass the folder that holds this and that"):
        read_table(path, ("a",), "this and that")
    path.write_text("a,b\n1,2\n")
    assert read_table(path, ("a",), "") == [{"a": "1", "b": "2"}]
    with pytest.raises(ValueError, match="columns c are missing, expected a, c"):
        read_table(path, ("a", "c"), "")
    path.write_text("a,b\n1\n")
    with pytest.raises(ValueError, match=r"row 0: got .*expected all columns"):
        read_table(path, ("a",), "")
