import csv
import json
import os
import pickle
import shutil
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from datasets import concatenate_datasets
from PIL import Image
from tiny.configurations import tiny_config

from conftest import golden_files
from lavseg.backbones.vggish import VggishFeatureExtractor
from lavseg.data.avsbench import SPLITS, SUBSETS, load_avsbench
from lavseg.data.classes import row_classes
from lavseg.data.collator import ClipCollator
from lavseg.data.masks import row_masks
from lavseg.data.synthetic.synthetic_avsbench import write_avsbench
from lavseg.data.tables import DataError
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.media import read_audio
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor

SIZE = (28, 36)
TABLES = {"s4": "Single-source/s4_meta_data.csv", "ms3": "Multi-sources/ms3_meta_data.csv"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    counts = {"train": 2, "val": 1, "test": 1}
    return write_avsbench(tmp_path_factory.mktemp("data") / "AVSBench", {name: counts for name in SUBSETS}, SIZE)


@pytest.fixture
def root(written, tmp_path):
    return shutil.copytree(written, tmp_path / "AVSBench")


def read_rows(root, subset):
    with (root / TABLES.get(subset, "metadata.csv")).open(newline="") as file:
        return [(index, row) for index, row in enumerate(csv.DictReader(file)) if row.get("label", subset) == subset]


@pytest.mark.parametrize("subset", SUBSETS)
def test_rows_follow_the_table(written, subset):
    for split in SPLITS:
        check_rows(written, subset, split)


def check_rows(written, subset, split):
    expected = [(index, row) for index, row in read_rows(written, subset) if row["split"] == split]
    num_frames, size = 10 if subset == "v2" else 5, SIZE if subset.startswith("v") else (224, 224)
    labeled = 1 if subset in ("s4", "v1s") and split == "train" else num_frames
    for got, (index, row) in zip(load_avsbench(written, subset, split), expected, strict=True):
        name = row.get("uid") or row.get("name") or row.get("video_id")
        assert (got["id"], got["uid"], got["clip"], got["subset"], got["split"]) == (index, name, name, subset, split)
        assert got["vid"] == row.get("vid", name)
        assert got["object"] == row.get("a_obj", row.get("category", ""))
        assert got["text"] is None and got["is_null"] is False
        assert [frame.size for frame in got["frames"]] == [size[::-1]] * num_frames
        assert len(got["masks"]) == labeled and row_masks(got).shape == (labeled, *size)
        assert got["has_classes"] == subset.startswith("v")
        waveform, rate = read_audio(got["audio"]["path"])
        assert waveform.shape[1] == num_frames * rate


@pytest.mark.parametrize(("subset", "same"), [("v1s", "s4"), ("v1m", "ms3")])
def test_classes_lie_on_the_foreground_of_both_releases(written, subset, same):
    for ours, other in zip(load_avsbench(written, subset, "test"), load_avsbench(written, same, "test"), strict=True):
        assert np.array_equal(row_classes(ours) > 0, row_masks(ours))
        assert np.mean((row_classes(ours, (224, 224)) > 0) == row_masks(other)) > 0.99
        folder = Path(ours["audio"]["path"]).parent / "labels_semantic"
        assert np.array_equal(row_classes(ours), [np.asarray(Image.open(folder / f"{t}.png")) for t in range(5)])


def test_subsets_of_the_semantic_release_can_be_joined(written):
    parts = [load_avsbench(written, subset, "train") for subset in ("v1s", "v1m", "v2")]
    joined = concatenate_datasets(parts)
    assert len(set(joined["id"])) == len(joined) == 6


def test_the_table_may_lie_in_avss_index(root):
    before = load_avsbench(root, "v2", "train")["uid"][:]
    (root / "metadata.csv").unlink()
    assert load_avsbench(root, "v2", "train")["uid"][:] == before


@pytest.mark.parametrize("subset", ["s4", "v1s"])
def test_training_takes_the_first_label_of_several(root, subset):
    before = load_avsbench(root, subset, "train")[0]
    first = next(iter((root / "Single-source/s4_data/gt_masks/train").glob(f"*/{before['clip']}/*")), None)
    first = first or root / subset / before["clip"] / "labels_rgb" / "0.png"
    stem, number = first.stem[:-1], int(first.stem[-1])
    for later in range(1, 5):
        shutil.copy(first, first.with_name(f"{stem}{number + later}.png"))
    row = load_avsbench(root, subset, "train")[0]
    assert len(row["masks"]) == 1 and np.array_equal(row_masks(row), row_masks(before))


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


class AudioOnly:
    needs_text, needs_audio = False, True

    def __call__(self, **inputs):
        return inputs


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_pickles_are_never_opened(root, tmp_path, subset):
    marker = tmp_path / "ran"
    for wav in list(root.rglob("audio_wav/**/*.wav")):  # as the release has them
        path = Path(str(wav.with_suffix(".pkl")).replace("audio_wav", "audio_log_mel"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Malicious(marker)))
    for split in SPLITS:
        ClipCollator(AudioOnly())(list(load_avsbench(root, subset, split)))
    assert not marker.exists()
    pickle.loads(path.read_bytes()).close()
    assert marker.exists()


def cut(path, keep):
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


DAMAGES = {
    "no frames": (lambda frames, masks, sound: shutil.rmtree(frames), "missing folder", 0),
    "a frame gone": (lambda frames, masks, sound: sorted(frames.iterdir())[2].unlink(), "missing image", 0),
    "cut frame": (lambda frames, masks, sound: cut(sorted(frames.iterdir())[2], 0.6), "(truncated|damaged) image", 0),
    "no masks": (lambda frames, masks, sound: shutil.rmtree(masks), "missing folder", 1),
    "first mask gone": (lambda frames, masks, sound: sorted(masks.iterdir())[0].unlink(), "missing image", 1),
    "last mask gone": (lambda frames, masks, sound: sorted(masks.iterdir())[-1].unlink(), "masks differ", 1),
    "cut mask": (lambda frames, masks, sound: cut(sorted(masks.iterdir())[0], 0.6), "damaged image", 1),
    "sound gone": (lambda frames, masks, sound: sound.unlink(), "missing file", 2),
    "text as sound": (lambda frames, masks, sound: sound.write_text("not a sound file"), "damaged sound", 2),
    "cut sound": (lambda frames, masks, sound: cut(sound, 0.5), "truncated sound", 2),
}


@pytest.mark.parametrize(("damage", "reason", "where"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("subset", ["ms3", "v2"])
def test_damage_is_found_and_named_or_skipped(written, tmp_path, subset, damage, reason, where):
    root = tmp_path / "AVSBench"
    release = {"ms3": "Multi-sources"}.get(subset)
    for name in [release] if release else [subset, "metadata.csv"]:
        source = written / name
        shutil.copytree(source, root / name) if source.is_dir() else shutil.copy(source, root / name)
    row = load_avsbench(root, subset, "val")[0]
    sound = Path(row["audio"]["path"])
    files = [
        next(root.rglob(f"{kind}/**/{row['clip']}")) if release else sound.parent / semantic
        for kind, semantic in (("visual_frames", "frames"), ("gt_masks", "labels_rgb"))
    ]
    files.append(sound)
    damage(*files)
    with pytest.raises(DataError, match=f"clip {row['clip']}: .*{reason}") as caught:
        load_avsbench(root, subset, "val")
    assert str(files[where]) in str(caught.value)
    with pytest.raises(ValueError, match="all 1 rows are unreadable"):
        load_avsbench(root, subset, "val", on_error="skip")


@pytest.mark.parametrize(
    "subset, column, value, message",
    [
        ("s4", "name", "../x", r"row \d+: name is '\.\./x', expected the plain name"),
        ("s4", "category", "a/../../b", r"row \d+: category is"),
        ("ms3", "video_id", "/etc/passwd", r"row \d+: video_id is"),
        ("v2", "uid", "..", r"row \d+: uid is"),
        ("v2", "split", "Train", r"row \d+: split is 'Train', expected 'train'"),
        ("v2", "label", "V2", r"row \d+: label is 'V2', expected 'v2'"),
    ],
)
def test_words_of_the_table_that_lead_elsewhere_are_named(root, subset, column, value, message):
    path = root / TABLES.get(subset, "metadata.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[-1][column] = value
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ValueError, match=message):
        load_avsbench(root, subset, "train")


def test_rows_with_damage_are_left_out(root):
    rows = load_avsbench(root, "ms3", "train")
    os.remove(rows[0]["audio"]["path"])
    with pytest.warns(UserWarning, match=r"AVSBench ms3 'train': left out 1 of 2 rows \(1 missing file\)"):
        rest = load_avsbench(root, "ms3", "train", on_error="skip")
    assert rest["uid"][:] == [rows[1]["uid"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "v3"}, "subset: got 'v3', expected one of s4, ms3, v1s, v1m, v2"),
        ({"split": "test_s"}, "split: got 'test_s', expected one of train, val, test"),
        ({"on_error": "ignore"}, "on_error: got 'ignore'"),
        ({"root": "nowhere"}, r"s4_meta_data\.csv does not exist; pass the folder that holds Single-source"),
        ({"root": "nowhere", "subset": "v2"}, r"metadata\.csv does not exist; pass the folder that holds v2"),
    ],
)
def test_bad_arguments_are_named(written, options, message):
    with pytest.raises(ValueError, match=message):
        load_avsbench(**{"root": written, "subset": "s4", "split": "val", **options})


def test_a_model_without_text_is_evaluated_on_it(written):
    config = tiny_config(AuralSam2Config, use_text=False)
    collator = ClipCollator(AuralSam2Processor.from_config(config), label_size=(32, 32))
    parts = [load_avsbench(written, name, split).select([0]) for name, split in (("s4", "train"), ("v2", "val"))]
    metric = evaluate(AuralSam2Model(config), collator, concatenate_datasets(parts), batch_size=2)
    assert 0 <= metric.compute()["jaccard"] <= 1


def official_images(row):
    """Frames as the official readers of the object release hand them on, float32 `[5, 3, 224, 224]`."""
    pixels = np.stack([np.asarray(frame.convert("RGB")) for frame in row["frames"]]).transpose(0, 3, 1, 2)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return (pixels.astype(np.float32) / np.float32(255) - mean) / std


@pytest.mark.parametrize("file", golden_files("loader/golden_loader.json"))
@pytest.mark.parity
def test_the_object_release_agrees_with_the_official_reader(file):
    arrays, cases = np.load(file.with_suffix(".npz")), json.loads(file.read_text())
    patches = VggishFeatureExtractor()
    root = file.parent / "synth" / "avsbench_data"
    for name in [name for name in cases if name.startswith(("avsbench_s4/", "avsbench_ms3/"))]:
        subset, split = name.removeprefix("avsbench_").split("/")
        rows, case = load_avsbench(root, subset, split), cases[name]
        assert len(rows) == case["n"]
        row = rows[0]
        assert {row["clip"], row["object"]} - {""} >= set(case["rest"])
        assert np.array_equal(row_masks(row)[:, None], arrays[f"{name.replace('/', '_')}_masks"])
        images = official_images(row)
        assert list(images.shape) == case["imgs"]["shape"]
        assert crc32(images.tobytes()) == case["imgs"]["crc32"]
        waveform, rate = read_audio(row["audio"]["path"])
        log_mel = patches(waveform, sampling_rate=rate, return_tensors="pt")["input_features"]
        assert list(log_mel.shape) == case["audio_log_mel"]["shape"]
        assert log_mel.double().sum().item() == pytest.approx(case["audio_log_mel"]["sum"], abs=0.01)


def official_labels(row, split):
    """Class maps `[10, 224, 224]` as the official AVSS reader hands them on: a crop in training, squeezed otherwise."""
    labels = np.zeros((10, 224, 224), np.uint8)
    width, height = row["frames"][0].size
    size = (224, 224)
    if split == "train":
        size = tuple(int(224 * edge / min(height, width)) for edge in (height, width))
    classes = row_classes(row, size)
    top, left = ((edge - 224) // 2 for edge in size)
    labels[: len(classes)] = classes[:, top : top + 224, left : left + 224]
    return labels


@pytest.mark.parametrize("file", golden_files("loader/golden_loader.json"))
@pytest.mark.parity
def test_the_semantic_release_agrees_with_the_official_reader(file):
    arrays = np.load(file.with_suffix(".npz"))
    root = file.parent / "synth" / "AVSBench"
    cases = {name: case for name, case in json.loads(file.read_text()).items() if name.startswith("avsbench_avss/")}
    seen = set()
    for subset in ("v1s", "v1m", "v2"):
        for split in SPLITS:
            if not any(f"/{split}/" in name and f"/{subset}/" in case["audio_path"] for name, case in cases.items()):
                continue
            for row in load_avsbench(root, subset, split):
                name = f"avsbench_avss/{split}/{row['uid']}"
                expected = arrays[f"avss_{split}_{row['uid']}_labels"][:, 0]
                assert np.array_equal(official_labels(row, split), expected)
                assert np.unique(expected).tolist() == cases[name]["classes"]
                assert sum(cases[name]["vid_flag"]) == len(row["frames"])
                assert row["audio"]["path"].endswith(cases[name]["audio_path"])
                seen.add(name)
    assert seen == set(cases)
