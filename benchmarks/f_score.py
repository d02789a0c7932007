"""Time of the F curve by one histogram against 255 passes, one threshold after the other, over the same frames.

Run `python benchmarks/f_score.py`; it prints one JSON line and fails if the two curves differ.
"""

import json
import time

import torch

from lavseg.metrics.functional import CurveCounts, count_pixels, curve_counts, curve_thresholds, f_curve

FRAMES, SIZE, REPEATS = 10, 1024, 5


def counts_by_threshold(scores, targets):
    """The counts of `curve_counts` by a comparison of all pixels with each threshold."""
    true_positive, predicted = [], []
    for threshold in curve_thresholds():
        mask = scores >= threshold
        true_positive.append(count_pixels(mask & targets))
        predicted.append(count_pixels(mask))
    return CurveCounts(torch.stack(true_positive, 1), torch.stack(predicted, 1), count_pixels(targets))


def seconds(counts, scores, targets):
    start = time.perf_counter()
    curve = f_curve(counts(scores, targets))
    return time.perf_counter() - start, curve


def main():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(FRAMES, SIZE, SIZE, generator=generator).mul(4).sigmoid()
    targets = torch.rand(FRAMES, SIZE, SIZE, generator=generator) < 0.3
    runs = [seconds(curve_counts, scores, targets) for _ in range(REPEATS)]
    histogram = min(run[0] for run in runs)
    loop, expected = seconds(counts_by_threshold, scores, targets)
    if not torch.equal(runs[0][1], expected):
        raise SystemExit("the two F curves differ")
    report = {
        "frames": FRAMES,
        "size": SIZE,
        "threads": torch.get_num_threads(),
        "histogram_s": round(histogram, 4),
        "loop_s": round(loop, 3),
        "ratio": round(loop / histogram, 1),
    }
    print(json.dumps(report, allow_nan=False))


if __name__ == "__main__":
    main()
