import json

import numpy as np
import pytest
import torch
import zero_shot_sam
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from tiny.configurations import nano_sam2_config, nano_sam_config
from transformers import Sam2ImageProcessor, Sam2Processor, Sam2VideoModel, SamImageProcessor, SamModel, SamProcessor

from conftest import ROOT
from lavseg.data import load_avsbench, row_masks, write_avsbench

KINDS = ("sam", "sam2")
SIZE = 64


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    torch.manual_seed(0)
    SamModel(nano_sam_config(SIZE)).save_pretrained(folder / "sam")
    Sam2VideoModel(nano_sam2_config(SIZE)).save_pretrained(folder / "sam2")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    counts = {"s4": {"train": 1, "test": 2}, "v1m": {"test": 1}}
    return write_avsbench(tmp_path_factory.mktemp("data"), counts, (48, 72))


def regions_by_hand(mask):
    """Regions by flooding, as sets of (x, y)."""
    left, regions = {(int(x), int(y)) for y, x in np.argwhere(mask)}, []
    while left:
        region, edge = set(), {left.pop()}
        while edge:
            region |= edge
            edge = {(x + i, y + j) for x, y in edge for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= edge
        regions.append(region)
    return sorted(regions, key=len, reverse=True)


@settings(max_examples=100, deadline=None)
@given(mask=arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_regions_are_those_of_flooding(mask):
    if not mask.any():
        return
    found = [{tuple(pixel) for pixel in region.tolist()} for region in zero_shot_sam.largest_regions(mask, 3)]
    expected = regions_by_hand(mask)
    assert [len(region) for region in found] == [len(region) for region in expected[:3]]
    assert all(region in expected for region in found) and len({frozenset(region) for region in found}) == len(found)


def test_a_winding_region_is_one():
    mask = np.zeros((99, 99), bool)
    mask[::2] = True
    mask[1::4, -1] = mask[3::4, 0] = True
    assert [len(region) for region in zero_shot_sam.largest_regions(mask, 2)] == [mask.sum()]


def test_prompts_lie_on_and_around_regions():
    mask = np.zeros((20, 30), bool)
    mask[2:5, 3:10] = True
    mask[10:19, 12:25] = True
    mask[12:17, 14:23] = False  # a ring, its centre is not on it
    regions, rng = zero_shot_sam.largest_regions(mask, 3), np.random.default_rng(0)
    points = zero_shot_sam.points_of(regions, 3, rng).long()
    assert mask[points[:, 1], points[:, 0]].all() and points[1].tolist() == [6, 3]
    assert (points[[0, 2], 1] >= 10).all()
    assert zero_shot_sam.boxes_of(regions, 3).tolist() == [[12, 10, 24, 18], [3, 2, 9, 4]]
    assert zero_shot_sam.boxes_of(regions, 1).tolist() == [[12, 10, 24, 18]]


@pytest.mark.parametrize("host", KINDS)
@pytest.mark.parametrize("size", [(48, 72), (90, 40)])
def test_masks_are_those_of_the_stock_processor(hosts, host, size):
    segmenter = zero_shot_sam.ImageSegmenter(str(hosts / host))
    assert segmenter.model.mask_decoder.transformer.layers[0].layer_norm1.eps == 1e-5  # of the original SAM, too
    frame = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8))
    if host == "sam":
        square = {"height": SIZE, "width": SIZE}
        processor = SamProcessor(SamImageProcessor(size={"longest_edge": SIZE}, pad_size=square))
    else:
        processor = Sam2Processor(Sam2ImageProcessor(size={"height": SIZE, "width": SIZE}), target_size=SIZE)
    segmenter.show(frame)
    prompts = {
        "points": ([[7.0, 30.0], [20.0, 11.0]], {"input_points": [[[[7.0, 30.0], [20.0, 11.0]]]]}),
        "boxes": ([[3.0, 5.0, 30.0, 40.0]], {"input_boxes": [[[3.0, 5.0, 30.0, 40.0]]]}),
    }
    for kind, (places, given_to_processor) in prompts.items():
        if kind == "points":
            given_to_processor["input_labels"] = [[[1, 1]]]
        inputs = processor(images=frame, return_tensors="pt", **given_to_processor)
        sizes = [inputs.pop("original_sizes")]
        if host == "sam":
            sizes.append(inputs.pop("reshaped_input_sizes"))
        with torch.no_grad():
            masks = segmenter.model(**inputs.to(torch.float32), multimask_output=False).pred_masks
        expected = processor.post_process_masks(masks, *sizes, binarize=False)[0][0, 0]
        found = segmenter.segment(kind, torch.tensor(places))
        assert found.shape == size
        if host == "sam":
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        else:  # The stock SAM2 processor goes to the frame's size in one step.
            assert (found - expected).abs().mean() < 0.1 * expected.std()


@pytest.mark.parametrize("host", KINDS)
def test_it_scores_every_prompt(hosts, data, tmp_path, capsys, host):
    output = tmp_path / "scores.json"
    zero_shot_sam.main([f"--model={hosts / host}", f"--data={data}", "--subset", "s4", f"--out={output}"])
    report = json.loads(output.read_text())
    assert report["rows"] == 2 and list(report["prompts"]) == list(zero_shot_sam.PROMPTS)
    for scores in report["prompts"].values():
        assert all(0 <= scores[name] <= 1 for name in ("jaccard", "f_score", "j_and_f", "s"))
    assert "3 boxes" in capsys.readouterr().out


def test_answers_follow_the_truth(data):
    """A segmenter that fills its boxes gets what the boxes cover; a frame without truth stays empty."""

    class Boxes:
        def show(self, frame):
            self.size = frame.height, frame.width

        def segment(self, kind, places):
            logits = torch.full(self.size, -9.0)
            for x1, y1, x2, y2 in places.long().tolist() if kind == "boxes" else []:
                logits[y1 : y2 + 1, x1 : x2 + 1] = 9.0
            return logits

    row = load_avsbench(data, "v1m", "test")[0]
    truth = torch.from_numpy(row_masks(row)).bool()
    assert not truth.flatten(1).any(1).all()
    answers = zero_shot_sam.segment_row(Boxes(), row)
    found = answers["3 boxes"] > 0
    assert (found.flatten(1).any(1) == truth.flatten(1).any(1)).all()
    assert (found | ~truth).float().mean() > 0.99
    assert (found.sum() >= (answers["1 box"] > 0).sum()) and not (answers["1 point"] > 0).any()
    scores = zero_shot_sam.score(Boxes(), load_avsbench(data, "v1m", "test"), "frame")
    assert scores["3 boxes"]["jaccard"] > scores["1 point"]["jaccard"]


def test_only_labelled_frames_count(data):
    class Nothing:
        def show(self, frame): ...

        def segment(self, kind, places):
            return torch.zeros(224, 224)

    row = load_avsbench(data, "s4", "train")[0]
    assert {len(logits) for logits in zero_shot_sam.segment_row(Nothing(), row).values()} == {1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--model": str(ROOT / "examples" / "recipes")}, "recipes is no"),
        ({"--data": "absent"}, "absent"),
        ({"--subset": "s5"}, "s5"),
    ],
)
def test_unusable_options_end_in_one_line(hosts, data, capsys, change, words):
    options = {"--model": str(hosts / "sam"), "--data": str(data), "--subset": "s4", **change}
    with pytest.raises(SystemExit):
        zero_shot_sam.main([part for item in options.items() for part in item])
    error = capsys.readouterr().err
    assert error.startswith("zero_shot_sam.py: ") and error.count("\n") == 1 and words in error


def test_other_checkpoints_are_refused(data, capsys):
    with pytest.raises(SystemExit):
        zero_shot_sam.main([f"--model={ROOT / 'examples' / 'sam2-love-tiny'}", f"--data={data}", "--subset", "s4"])
    assert "a SAM or SAM2 checkpoint is needed" in capsys.readouterr().err
