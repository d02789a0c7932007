import numpy as np
import pytest
from PIL import Image

from cut_out_folders import blob, picture, sine, tone, write_cut_outs
from lavseg.data import CLASSES, load_avsbench, row_classes, write_avsbench
from lavseg.data.synthetic import cut_outs
from lavseg.data.synthetic.cut_outs import CutOuts

SIX = ("acoustic_guitar", "bell", "cat", "doorbell", "vacuum-cleaner", "zebra")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cut_outs(tmp_path_factory.mktemp("cut-outs") / "objects", SIX)


@pytest.fixture(scope="module")
def cast(folder):
    return CutOuts(folder)


def pitch(waveform):
    return np.abs(np.fft.rfft(waveform)).argmax() * 16000 / len(waveform)


def test_categories_are_called_by_their_words(cast):
    assert cast.categories == ("acoustic guitar", "bell", "cat", "doorbell", "vacuum-cleaner", "zebra")
    assert cast.instruments == ("acoustic guitar", "bell")


@pytest.mark.parametrize("count, unseen", [(4, 0), (5, 0), (6, 1), (9, 1), (10, 2), (11, 2)])
def test_the_last_fifth_is_unseen(tmp_path, monkeypatch, count, unseen):
    names = "abcdefghijk"[:count]
    for name in names:
        (tmp_path / name).mkdir()
        for suffix in ("png", "wav"):
            (tmp_path / name / f"a.{suffix}").touch()
    for name in ("read_cut_out", "read_sound"):
        monkeypatch.setattr(cut_outs, name, lambda path: np.ones(9))
    assert CutOuts(tmp_path).unseen == tuple(names[count - unseen :])


@pytest.mark.parametrize("size", [16, 60, 96])
def test_pictures_have_the_size_that_is_asked_for(cast, size):
    rng = np.random.default_rng(0)
    shapes = set()
    for _ in range(20):
        found = cast.picture("bell", rng.random(), rng, size)
        assert found.dtype == np.uint8 and max(found.shape[:2]) == size and found.shape[2] == 4
        inside = found[found[..., 3] > 200]
        assert len(inside) and (np.abs(inside[:, :2].astype(int) - (70, 175)) <= 2).all()  # no dark fringes
        shapes.add(found.shape)
    assert len(shapes) == 2


def test_a_picture_goes_with_the_sound_of_its_name(cast):
    pairs = set()
    for choice in np.random.default_rng(0).random(12):
        shown = cast.picture("cat", choice, np.random.default_rng(1), 40)
        heard = cast.sound("cat", choice, np.random.default_rng(2), 16000)
        pairs.add((int(shown[..., 2].max()), round(pitch(heard))))
    assert pairs == {(60, 400), (150, 430)}


def test_short_sounds_are_repeated(cast):
    found = cast.sound("zebra", 0.5, np.random.default_rng(0), 5 * 16000)
    assert found.shape == (80000,) and found.dtype == np.float32
    assert np.sqrt((found**2).mean()) == pytest.approx(1, abs=1e-4)
    assert np.sqrt((found.reshape(5, 16000) ** 2).mean(1)) == pytest.approx(np.ones(5), abs=0.02)


def test_of_long_sounds_a_loud_enough_part_is_taken(tmp_path):
    write_cut_outs(tmp_path, "abcd", 1, 1)
    softly = [sine(4, level=0.02, pitch=300), sine(6, pitch=503), sine(4, level=0.02, pitch=300)]
    tone(tmp_path / "a" / "0.wav", np.concatenate(softly))
    cast = CutOuts(tmp_path)
    parts = [cast.sound("a", 0.5, np.random.default_rng(seed), 16000) for seed in range(20)]
    assert {round(pitch(part)) for part in parts} == {503}
    assert len({part.tobytes() for part in parts}) > 10
    assert all(np.sqrt((part**2).mean()) == pytest.approx(1, abs=1e-4) for part in parts)


def test_backgrounds_are_parts_of_the_photographs(folder, tmp_path):
    picture_of_columns = np.repeat(np.arange(200, dtype=np.uint8)[None], 100, 0)
    Image.fromarray(picture_of_columns).save(tmp_path / "columns.png")
    (tmp_path / ".hidden.png").touch()
    cast = CutOuts(folder, tmp_path)
    found = [cast.background(np.random.default_rng(seed), 30, 40) for seed in range(20)]
    assert {(part.shape, part.dtype) for part in found} == {((30, 40, 3), np.dtype(np.uint8))}
    widths = [np.ptp(part[0, :, 0].astype(int)) for part in found]
    assert 70 < min(widths) < 100 and 110 < max(widths) < 135  # 0.6 to 1 of what 100 rows allow, 133 columns
    assert {bool(part[0, 0, 0] < part[0, -1, 0]) for part in found} == {True, False}
    assert len({part.tobytes() for part in found}) == 20


def test_backgrounds_are_drawn_where_none_are_given(cast):
    found = cast.background(np.random.default_rng(0), 30, 40)
    assert found.shape == (30, 40, 3) and np.ptp(found) > 10


def test_files_are_decoded_again_only_where_memory_is_missing(folder, monkeypatch):
    read = []
    monkeypatch.setattr(cut_outs, "read_sound", lambda path: np.ones(9, np.float32))
    monkeypatch.setattr(cut_outs, "read_cut_out", lambda path: read.append(path) or np.ones((9, 9, 4), np.uint8))
    cast = CutOuts(folder)
    assert len(read) == 12
    for name in cast.categories * 3:
        cast.picture(name, 0.5, np.random.default_rng(0), 16)
    assert len(read) == 12
    monkeypatch.setattr(cut_outs, "_MEMORY", 0)
    CutOuts(folder).picture("bell", 0.5, np.random.default_rng(0), 16)
    assert len(read) == 25


def test_classes_of_avsbench_are_those_of_the_folders(tmp_path):
    names = {"bus", "cat", "guitar", "vacuum-cleaner"}
    cast = CutOuts(write_cut_outs(tmp_path / "objects", sorted(names), 1, 1))
    root = write_avsbench(tmp_path / "written", {"v1s": {"test": 4}}, (32, 40), cast=cast)
    classes = [{CLASSES[index] for index in np.unique(row_classes(row))} for row in load_avsbench(root, "v1s", "test")]
    assert all(len(found - {"background"}) == 1 and found - {"background"} <= names for found in classes)


def test_what_is_no_class_of_avsbench_goes_without_classes(tmp_path):
    cast = CutOuts(write_cut_outs(tmp_path / "objects", ("bus", "cat", "guitar", "kazoo"), 1, 1))
    with pytest.raises(ValueError, match=r"^cast: kazoo: no class"):
        write_avsbench(tmp_path / "written", {"s4": {"test": 1}, "v2": {"test": 1}}, (32, 40), cast=cast)
    root = write_avsbench(tmp_path / "written", {"s4": {"test": 1}}, (32, 40), cast=cast)
    assert len(load_avsbench(root, "s4", "test")) == 1


def test_everything_wrong_is_told_at_once(tmp_path):
    write_cut_outs(tmp_path, ("bell", "cat"), 1, 1)
    picture(tmp_path / "bell" / "block.png", np.full((20, 20), 255, np.uint8))
    tone(tmp_path / "bell" / "block.wav", np.zeros(9000))
    picture(tmp_path / "dog" / "0.png", blob())
    with pytest.raises(ValueError) as caught:
        CutOuts(tmp_path)
    message = str(caught.value)
    assert message.startswith("objects: ") and "\n" not in message
    for words in ("block.png has no transparency", "block.wav is silent", "0.png has no sound", "3 folders"):
        assert words in message
    assert "more" not in message


def test_ten_faults_are_listed(tmp_path):
    write_cut_outs(tmp_path, "abcd", 1, 1)
    for number in range(13):
        picture(tmp_path / "a" / f"{number:02}_silent.png", blob())
    with pytest.raises(ValueError, match=r"09_silent\.png has no sound, [^;]*; and 3 more$"):
        CutOuts(tmp_path)


def test_faults_of_backgrounds_are_told(folder, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"^backgrounds: .*a\.jpg cannot be used \(damaged image\)"):
        CutOuts(folder, tmp_path)
