"""Agreement with values of the official evaluation codes, case by case, to 1e-6."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT, golden_files
from lavseg.metrics import AvsMetric, SemanticMetric
from lavseg.metrics.functional import curve_counts, curve_thresholds, f_curve, jaccard, mask_counts
from lavseg.metrics.semantic import class_statistics

pytestmark = pytest.mark.parity

FIXTURES = ROOT / "tests" / "fixtures" / "metrics"
# The folders are named after the codes; GAVS evaluates as Ref-AVS does.
PROTOCOLS_OF = {
    "avsbench": ["avsbench"],
    "refavs": ["ref_avs", "gavs"],
    "gavs": ["gavs"],
    "sama": ["sama_avs"],
    "auralsam2": ["aural_sam2"],
}
# Names of the official functions and totals, by the keys of compute() they must equal.
KEYS_OF = {
    "mask_iou": ["jaccard"],
    "foreground_iou": ["jaccard"],
    "miou": ["jaccard"],
    "fmeasure": ["f_score"],
    "foreground_fscore": ["f_score"],
    "F_score": ["f_score"],
    "s_null": ["s"],
    "foreground_s_ratio_PoverN": ["s", "s_ratio"],
    "s_ratio_PoverN": ["s", "s_ratio"],
}


def cases_file(folder: Path) -> Path:
    own = folder / "cases.npz"
    return own if own.exists() else folder.parent / "cases.npz"


def load(golden_path: Path) -> tuple[dict, dict]:
    arrays = np.load(cases_file(golden_path.parent))
    cases = {}
    for name in arrays:
        case, part = name.split("__")
        cases.setdefault(case, {})[part] = torch.from_numpy(arrays[name])
    return json.loads(golden_path.read_text()), cases


def folders(key: str) -> list:
    """golden.json of every folder, under the golden folder and among the fixtures, that holds values under `key`."""
    found = []
    for param in golden_files("metrics/*/cases.npz"):
        if param.values[0] is None:
            found.append(param)
        elif key in json.loads((golden := param.values[0].with_name("golden.json")).read_text()):
            found.append(pytest.param(golden, id=golden.parent.name))
    for golden in sorted(FIXTURES.glob("*/golden.json")):
        if key in json.loads(golden.read_text()):
            found.append(pytest.param(golden, id=f"fixture-{golden.parent.name}"))
    return found


def binary_folders() -> list:
    return folders("mask_iou") + [param for param in folders("foreground_iou") if param.values[0] is not None]


def protocols_of(golden_path: Path) -> list[str]:
    name = golden_path.parent.name
    return next(protocols for prefix, protocols in PROTOCOLS_OF.items() if name.startswith(prefix))


def evaluate_batches(protocol: str, batches: list) -> dict[str, float]:
    metric = AvsMetric(protocol)
    for logits, target in batches:
        metric.update(logits, target)
    return metric.compute()


def expected(official: dict) -> dict[str, float]:
    """Official values under the keys of compute()."""
    return {key: value for name, value in official.items() for key in KEYS_OF.get(name, [])}


def assert_agrees(actual: dict, official: dict) -> None:
    wanted = expected(official)
    assert {"jaccard", "f_score"} <= wanted.keys()
    assert {key: actual[key] for key in wanted} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("golden_path", binary_folders())
def test_every_case_as_one_batch(golden_path):
    golden, cases = load(golden_path)
    for protocol in protocols_of(golden_path):
        for case, parts in cases.items():
            official = {name: values[case] for name, values in golden.items() if name in KEYS_OF}
            assert_agrees(evaluate_batches(protocol, [(parts["logits"], parts["target"])]), official)


@pytest.mark.parametrize("golden_path", binary_folders())
def test_every_frame(golden_path):
    golden, cases = load(golden_path)
    protocol = protocols_of(golden_path)[0]
    for case, parts in cases.items():
        logits, target = parts["logits"], parts["target"].bool()
        mask = logits.sigmoid() > (0.4 if protocol in ("ref_avs", "gavs") else 0.5)
        scores = logits if protocol == "sama_avs" else logits.sigmoid()
        ours = {
            "iou_per_frame": jaccard(mask_counts(mask, target), "specificity").tolist(),
            "fmeasure_per_frame": f_curve(curve_counts(scores, target)).amax(1).tolist(),
        }
        compared = [name for name in golden if name.endswith(tuple(ours))]
        assert compared
        for name in compared:
            quantity = next(key for key in ours if name.endswith(key))
            assert ours[quantity] == pytest.approx(golden[name][case], abs=1e-6), (name, case)


@pytest.mark.parametrize("golden_path", folders("foreground_s_sqrt"))
def test_root_of_the_ratio(golden_path):
    golden, cases = load(golden_path)
    for case, value in golden["foreground_s_sqrt"].items():
        batch = (cases[case]["logits"], cases[case]["target"])
        assert evaluate_batches("ref_avs", [batch])["s"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("golden_path", folders("epoch"))
def test_mean_over_batches(golden_path):
    golden, cases = load(golden_path)
    batches = [(cases[case]["logits"], cases[case]["target"]) for case in golden["epoch"]["batches"]]
    for protocol in protocols_of(golden_path):
        assert_agrees(evaluate_batches(protocol, batches), golden["epoch"])


@pytest.mark.parametrize("golden_path", folders("grouping_videos_per_batch"))
def test_clips_per_batch(golden_path):
    golden, _ = load(golden_path)
    arrays = np.load(golden_path.parent.parent / "grouping.npz")
    logits, target = torch.from_numpy(arrays["logits"]), torch.from_numpy(arrays["target"])
    for clips, official in golden["grouping_videos_per_batch"].items():
        pairs = zip(logits.split(int(clips)), target.split(int(clips)), strict=True)
        batches = [(scores.flatten(0, 1), truth.flatten(0, 1)) for scores, truth in pairs]
        for protocol in protocols_of(golden_path):
            assert_agrees(evaluate_batches(protocol, batches), official)


@pytest.mark.parametrize("golden_path", folders("thresholds_float32_255"))
def test_thresholds(golden_path):
    golden, _ = load(golden_path)
    assert curve_thresholds().tolist() == golden["thresholds_float32_255"]


@pytest.mark.parametrize("golden_path", golden_files("auralsam2/metrics.json"))
def test_aural_sam2_maps(golden_path):
    arrays = np.load(golden_path.with_suffix(".npz"))
    for seed, golden in json.loads(golden_path.read_text()).items():
        logits, target = torch.from_numpy(arrays[f"logits_{seed}"]), torch.from_numpy(arrays[f"gt_{seed}"])
        halves = [(logits[:3], target[:3]), (logits[3:], target[3:])]
        whole = evaluate_batches("aural_sam2", [(logits, target)])
        assert whole["jaccard"] == pytest.approx(golden["iou_batch_of_6"], abs=1e-6)
        assert whole["f_score"] == pytest.approx(golden["f_batch_of_6"], abs=1e-6)
        per_frame = [
            evaluate_batches("aural_sam2", [frame]) for frame in zip(logits.split(1), target.split(1), strict=True)
        ]
        assert [frame["jaccard"] for frame in per_frame] == pytest.approx(golden["iou_per_frame"], abs=1e-6)
        assert [frame["f_score"] for frame in per_frame] == pytest.approx(golden["f_per_frame"], abs=1e-6)
        reported = golden["s_reported_by_code_ratio_without_sqrt"]
        assert evaluate_batches("aural_sam2", halves)["s"] == pytest.approx(reported, abs=1e-6)
        roots = [evaluate_batches("ref_avs", [half])["s"] for half in halves]
        assert roots == pytest.approx([golden["sqrt_ratio_first3"], golden["sqrt_ratio_last3"]], abs=1e-6)
        assert evaluate_batches("ref_avs", halves)["s"] == pytest.approx(golden["mean_of_sqrt"], abs=1e-6)


def class_maps(parts: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true class ids; where a case holds logits, ties go to the lower class."""
    if "pred" in parts:
        return parts["pred"], parts["target"]
    logits = parts["logits_f16"].float()
    return (logits - 1e-4 * torch.arange(logits.shape[1])[:, None, None]).argmax(1), parts["target"]


def assert_semantic_agrees(actual: dict, official: dict) -> None:
    names = {
        "miou": "miou",
        "f_score": "F_score",
        "miou_no_background_official": "miou_noBg_official_drops_last_class",
        "f_score_no_background_official": "F_score_noBg_official",
    }
    wanted = {ours: official[theirs] for ours, theirs in names.items()}
    assert {key: actual[key] for key in wanted} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("golden_path", folders("per_case"))
def test_every_semantic_case(golden_path):
    golden, cases = load(golden_path)
    for case, official in golden["per_case"].items():
        predictions, target = class_maps(cases[case])
        metric = SemanticMetric()
        metric.update(predictions, target)
        assert_semantic_agrees(metric.compute(), official["final"])
        statistics = class_statistics(predictions, target, 71)
        for name, row in zip(("iou_sum", "f_sum", "cls_count"), statistics, strict=True):
            sums = np.zeros(71)
            sums[[int(index) for index in official[name]]] = list(official[name].values())
            assert row.tolist() == pytest.approx(sums.tolist(), abs=1e-5), (case, name)


@pytest.mark.parametrize("golden_path", folders("epoch_all_32px_cases"))
def test_semantic_epoch(golden_path):
    golden, cases = load(golden_path)
    metric = SemanticMetric()
    for parts in cases.values():
        if parts["target"].shape[-1] == 32:
            metric.update(*class_maps(parts))
    assert_semantic_agrees(metric.compute(), golden["epoch_all_32px_cases"])
