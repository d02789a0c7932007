import numpy as np
import pytest
from PIL import Image

from cut_out_folders import blob, picture, sine, tone
from lavseg.data.synthetic.cut_out_files import (
    find_backgrounds,
    find_pairs,
    read_background,
    read_cut_out,
    read_sound,
)


def test_pictures_are_found_with_the_sounds_of_their_names(tmp_path):
    for name in ("violin/b.png", "violin/a.PNG", "violin/a.ogg", "violin/b.mp3", "bell/a.b.png", "bell/a.b.Wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in (".DS_Store", "LICENSE", "sources.csv", "violin/._a.PNG", "violin/a.txt", "violin/.hidden.jpg"):
        (tmp_path / name).touch()
    faults = []
    found = find_pairs(tmp_path, faults)
    assert faults == [] and list(found) == ["bell", "violin"]
    assert [[path.name for path in pair] for pair in found["violin"]] == [["a.PNG", "a.ogg"], ["b.png", "b.mp3"]]
    assert [path.name for path in found["bell"][0]] == ["a.b.png", "a.b.Wav"]


@pytest.mark.parametrize(
    "names, words",
    [
        (["a.png"], ["a.png belongs to no category"]),
        (["bell/a.png"], ["a.png has no sound", "a.wav or a.ogg or a.mp3"]),
        (["bell/a.png", "bell/a.wav", "bell/b.wav"], ["b.wav has no picture", "b.png"]),
        (["bell/a.png", "bell/a.wav", "bell/a.ogg"], ["a.wav has the name of", "a.ogg", "keep one"]),
        (["bell/a.png", "bell/a.wav", "bell/b.jpg"], ["b.jpg is neither .png nor .wav, .ogg, .mp3"]),
        (["bell/a.png", "bell/a.wav", "bell/old/"], ["old is a folder", "move what it holds"]),
        (["bell/notes.txt"], ["bell holds no picture"]),
        (["Bell/a.png", "Bell/a.wav"], ["Bell is no name of a category", "lower-case"]),
        (["door bell/a.png", "door bell/a.wav"], ["door bell is no name of a category", "joined by _"]),
        (["null/a.png", "null/a.wav"], ["null is no name of a category"]),
        (["one/a.png", "one/a.wav"], ["one is no name of a category"]),
        (
            ["car/a.png", "car/a.wav", "old_car/a.png", "old_car/a.wav"],
            ["old_car is a car in sentences", "put both into one folder"],
        ),
    ],
)
def test_what_is_wrong_in_a_folder_is_named(tmp_path, names, words):
    for name in names:
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    faults = []
    find_pairs(tmp_path, faults)
    assert len(faults) == 1 and str(tmp_path) in faults[0], faults
    assert all(word in faults[0] for word in words), faults


def test_folders_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"^objects: .*absent is no folder; give one that holds a folder for each"):
        find_pairs(tmp_path / "absent", [])
    with pytest.raises(ValueError, match=r"^backgrounds: .*absent is no folder; give one that holds photographs"):
        find_backgrounds(tmp_path / "absent", [])
    faults = []
    assert find_backgrounds(tmp_path, faults) == [] and "holds no picture" in faults[0]


def test_a_cut_out_is_cropped_to_what_is_seen(tmp_path):
    alpha = blob()
    alpha[0, 0] = 5  # left over where something was wiped out
    found = read_cut_out(picture(tmp_path / "a.png", alpha))
    assert found.shape == (20, 40, 4) and found.dtype == np.uint8 and (found == (200, 30, 30, 255)).all()
    large = read_cut_out(picture(tmp_path / "b.png", blob(900, 1400, slice(50, 850), slice(100, 1300))))
    assert large.shape == (341, 512, 4)


def test_transparency_is_found_in_palettes_and_gray(tmp_path):
    alpha = blob()
    gray = Image.merge("LA", [Image.new("L", (60, 40), 90), Image.fromarray(alpha)])
    gray.save(tmp_path / "gray.png")
    indices = Image.fromarray((alpha > 0).astype(np.uint8), mode="P")
    indices.putpalette([0, 0, 0, 10, 200, 30])
    indices.save(tmp_path / "palette.png", transparency=0)
    assert read_cut_out(tmp_path / "gray.png").shape == read_cut_out(tmp_path / "palette.png").shape == (20, 40, 4)


def no_png(path):
    path.write_bytes(b"GIF89a or so")


def cut_short(path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 4), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])


PICTURES = {
    "opaque": (lambda path: picture(path, np.full((20, 20), 255, np.uint8)), "has no transparency, cut the object out"),
    "blank": (lambda path: picture(path, np.zeros((20, 20), np.uint8)), "shows nothing"),
    "faint": (lambda path: picture(path, np.full((20, 20), 100, np.uint8)), "shows nothing"),
    "small": (lambda path: picture(path, blob(20, 20, slice(3, 8), slice(3, 10))), "too small, 7x5 pixels are seen"),
    "thin": (lambda path: picture(path, np.eye(900, dtype=np.uint8) * 255), "too thin"),
    "text": (no_png, "damaged image"),
    "short": (cut_short, "damaged image"),
    "empty": (lambda path: path.touch(), "empty file"),
    "jpeg": (lambda path: Image.new("RGB", (20, 20)).save(path, "JPEG"), "another format"),
    "moving": (
        lambda path: Image.new("RGBA", (9, 9)).save(
            path, save_all=True, append_images=[Image.new("RGBA", (9, 9), (9, 9, 9, 9))]
        ),
        "animation",
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_are_no_cut_outs(tmp_path, name):
    write, words = PICTURES[name]
    write(tmp_path / "a.png")
    with pytest.raises(ValueError, match=words):
        read_cut_out(tmp_path / "a.png")


def test_pictures_of_too_many_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr("lavseg.data.file_checks.MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="image too large"):
        read_cut_out(picture(tmp_path / "a.png", blob()))


def test_photographs_come_upright_and_reduced(tmp_path):
    image = Image.new("RGB", (1000, 600), (10, 120, 10))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(tmp_path / "a.jpg", exif=exif)
    found = read_background(tmp_path / "a.jpg")
    assert found.shape == (853, 512, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - (10, 120, 10)).max() < 4


@pytest.mark.parametrize(
    "write, words",
    [
        (no_png, "damaged image.*give a photograph as JPEG"),
        (lambda path: picture(path, blob()), "has transparency, give a photograph without"),
        (lambda path: Image.new("RGB", (40, 7)).save(path), "too small, 40x7"),
    ],
)
def test_backgrounds_that_are_no_photographs(tmp_path, write, words):
    write(tmp_path / "a.png")
    with pytest.raises(ValueError, match=words):
        read_background(tmp_path / "a.png")


def test_sounds_come_in_mono_at_16_khz(tmp_path):
    left = sine(2, 44100)
    found = read_sound(tone(tmp_path / "a.wav", np.stack([left, 0.5 * left]), 44100))
    assert found.dtype == np.float32 and abs(len(found) - 32000) <= 800
    spectrum = np.abs(np.fft.rfft(found))
    assert spectrum.argmax() * 16000 / len(found) == pytest.approx(440, abs=1)
    assert np.abs(found).max() == pytest.approx(0.75 * 0.3, abs=0.01)


def test_pauses_are_shortened_and_a_sound_begins_at_once(tmp_path):
    silence = np.zeros(2 * 16000)
    found = read_sound(tone(tmp_path / "a.wav", np.concatenate([silence, sine(1), silence, sine(1), silence]) + 0.1))
    assert len(found) / 16000 == pytest.approx(1 + 0.3 + 1 + 0.3, abs=0.11)
    levels = np.sqrt((found[: len(found) // 1600 * 1600].reshape(-1, 1600) ** 2).mean(1))
    assert levels[0] > 0.1 and 4 <= (levels < 0.01).sum() <= 6


@pytest.mark.parametrize(
    "waveform, words",
    [
        (np.zeros(16000), "is silent"),
        (np.full(16000, 0.4), "is silent"),
        (sine(1, level=2e-4), "is silent"),
        (sine(0.06), "less than 0.1 s"),
        (np.zeros(0), "cannot be used"),
    ],
)
def test_sounds_in_which_nothing_is_heard(tmp_path, waveform, words):
    with pytest.raises(ValueError, match=words):
        read_sound(tone(tmp_path / "a.wav", waveform))


def test_sounds_that_cannot_be_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"no sound at all" * 9)
    with pytest.raises(ValueError, match=r"^cannot be used \((?!.*a\.wav.*a\.wav).*save it again as a \.wav file"):
        read_sound(path)
    with pytest.raises(ValueError, match="sampling_rate must be from 1000"):
        read_sound(tone(path, sine(9, 400), 400))
    monkeypatch.setattr("lavseg.data.synthetic.cut_out_files._LONGEST", 2)
    monkeypatch.setattr("lavseg.data.synthetic.cut_out_files.read_audio", pytest.fail)
    with pytest.raises(ValueError, match="it lasts 3 s, of which up to 2 s are taken"):
        read_sound(tone(path, sine(3)))
