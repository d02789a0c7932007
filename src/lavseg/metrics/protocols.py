"""Named evaluation protocols for binary masks: J, F, and S for null expressions.

Publications share these names but not their definitions, so a number is only comparable under one protocol. All but
`frame` score each batch and average the batches with equal weight: values depend on how frames are grouped.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lavseg.metrics import functional
from lavseg.metrics.frame_pairs import paired_frames


@dataclass(frozen=True)
class Protocol:
    """One publication's choices.

    Attributes:
        source: the code or rule that is followed, and the frames it puts into one batch.
        mask_threshold: J calls a pixel foreground when it is strictly above this,
        mask_from_logits: compared with the logit instead of its sigmoid.
        curve_from_logits: the F curve's thresholds are compared (>=) with the logits instead of their sigmoid.
        pooled_s: S is the ratio positives / pixels over all frames, without a root.
        per_frame: average over frames instead of batches, and take F at the mask's threshold.
        own_curve: the F curve is of other maps than the masks, where a method gives some.
    """

    source: str
    mask_threshold: float = 0.5
    mask_from_logits: bool = False
    curve_from_logits: bool = False
    pooled_s: bool = False
    per_frame: bool = False
    own_curve: bool = False


PROTOCOLS = {
    "avsbench": Protocol("AVSBench, ECCV 2022 (S4 and MS3): 4 clips of 5 frames"),
    "ref_avs": Protocol("Ref-AVS, ECCV 2024: 4 clips of 10 frames, masks at 256 x 256", mask_threshold=0.4),
    "gavs": Protocol("GAVS, AAAI 2024: 1 clip, frames at their own size", mask_threshold=0.4),
    "simtoken": Protocol("SimToken, ICASSP 2026: 1 sentence, frames at their own size; as gavs", mask_threshold=0.4),
    "sama_avs": Protocol("SAMA-AVS, WACV 2024: 1 clip, masks at 1024 x 1024", curve_from_logits=True),
    "aural_sam2": Protocol(
        "AuralSAM2: 4 clips of 10 frames on Ref-AVS, 1 clip on AVSBench, masks at 1024 x 1024",
        mask_threshold=0.0,
        mask_from_logits=True,
        pooled_s=True,
    ),
    "stepping_stones": Protocol(
        "Stepping-Stones, ECCV 2024: 1 clip, masks at 224 x 224, F of its own maps",
        mask_threshold=0.0,
        mask_from_logits=True,
        own_curve=True,
    ),
    "frame": Protocol("mean over frames, independent of batches; empty truth as in DAVIS", per_frame=True),
}


class AvsMetric:
    """J, F and S of a stream of batches under one protocol, in constant memory.

    ```python
    metric = AvsMetric("ref_avs")
    for logits, targets in batches:
        metric.update(logits, targets)
    metric.compute()  # {"jaccard": ..., "f_score": ..., "j_and_f": ..., "s": ..., "s_ratio": ...}
    ```

    Batch protocols: J is the mean over the frames of a batch, where a frame with empty truth scores the share of its
    pixels predicted background. F (beta^2 = 0.3) is averaged over the frames with truth at each of 255 thresholds and
    the best threshold counts; a batch without such a frame counts 0. S is sqrt(foreground / pixels) of a batch at
    probability 0.5, in `aural_sam2` the pooled ratio. Each is then averaged over batches. The publications' values
    need their own grouping, given by `PROTOCOLS[name].source`; S of `avsbench`, `gavs` and `sama_avs`, which define
    none, is that of Ref-AVS.

    `frame`: J, F and S of each frame at probability 0.5, averaged over frames, so that neither batch size nor order
    matters and no threshold is chosen on the test data. With empty truth J and F are 1 for an empty prediction, else 0.

    `state` is a float64 tensor `[6]` of plain sums: evaluations that were split may be joined by `merge`, or, across
    processes, by a sum-reduction of `state`.

    Args:
        protocol: a key of `PROTOCOLS`.

    Raises:
        ValueError: for an unknown protocol.
    """

    def __init__(self, protocol: str):
        if not isinstance(protocol, str) or protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}.")
        self.protocol = protocol
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        # Units averaged over (batches or frames), pixels; sums of J, F and S over the units; foreground pixels.
        self.state = torch.zeros(6, dtype=torch.float64)

    @torch.no_grad()
    def update(self, logits: Tensor, targets: Tensor, curve_logits: Tensor | None = None) -> None:
        """Add one batch.

        Args:
            logits: floating `[N, H, W]`, the raw mask scores before the sigmoid, at the size of the masks. Infinite
                values are legal. Compared in float32.
            targets: `[N, H, W]` of 0 and 1, any type.
            curve_logits: `[N, H, W]`, what the F curve is of under a protocol with `own_curve`; the logits when None.

        Raises:
            ValueError: if the shapes differ or are not `[N, H, W]`, if `logits` or `curve_logits` is not floating or
                holds NaN, or if `targets` holds anything but 0 and 1.
        """
        self.add(self.frame_sums(logits, targets, curve_logits)[None])

    @torch.no_grad()
    def frame_sums(self, logits: Tensor, targets: Tensor, curve_logits: Tensor | None = None) -> Tensor:
        """What the score of a batch is made of, as float64 sums over frames `[num_sums]`: those of a batch are the sums
        of its parts added up, in whatever order the parts were seen.

        Args:
            logits, targets, curve_logits: as `update` takes them, with its errors.
        """
        protocol = PROTOCOLS[self.protocol]
        logits, targets = _checked("logits", logits, targets)
        curve = logits
        if protocol.own_curve and curve_logits is not None:
            curve, _ = _checked("curve_logits", curve_logits, targets)
        probabilities = logits.sigmoid()
        scores = logits if protocol.mask_from_logits else probabilities
        counts = functional.mask_counts(scores > protocol.mask_threshold, targets)
        positives = functional.count_pixels(probabilities > 0.5)
        pixels = logits[0].numel()
        seen = positives.new_tensor([len(logits), logits.numel()], dtype=torch.float64)
        if protocol.per_frame:
            return torch.cat([seen, torch.stack([*_frame_sums(counts, positives, pixels), positives.sum().double()])])
        curve = functional.curve_counts(curve if protocol.curve_from_logits else curve.sigmoid(), targets)
        scalars = [functional.jaccard(counts, "specificity").sum(), positives.sum(), curve.truth.count_nonzero()]
        scalars = torch.stack([value.double() for value in scalars])
        return torch.cat([seen, scalars, functional.f_curve(curve).sum(0)])

    @property
    def num_sums(self) -> int:
        """Length of what `frame_sums` returns."""
        return 6 if PROTOCOLS[self.protocol].per_frame else 5 + functional.CURVE_THRESHOLDS

    def add(self, sums: Tensor) -> None:
        """Add `G` batches by what `frame_sums` says of each, `[G, num_sums]`; one without frames does not count."""
        if not PROTOCOLS[self.protocol].per_frame:
            sums = _batch_scores(sums[sums[:, 0] > 0])
        self.state = self.state.to(sums.device) + sums.sum(0)

    def compute(self) -> dict[str, float]:
        """Values over everything seen since the last reset; the state stays as it is.

        Returns:
            `jaccard`, `f_score`, their mean `j_and_f`, `s` as the protocol defines it, and `s_ratio`, the share of all
            pixels predicted foreground at probability 0.5. All in 0..1; lower is better for the last two.

        Raises:
            ValueError: if no batch was added.
        """
        units, pixels, jaccard, f_score, s, positives = self.state.tolist()
        if units == 0:
            raise ValueError("nothing to compute: call update(logits, targets) with at least one batch first.")
        s_ratio = positives / pixels
        return {
            "jaccard": jaccard / units,
            "f_score": f_score / units,
            "j_and_f": (jaccard + f_score) / (2 * units),
            "s": s_ratio if PROTOCOLS[self.protocol].pooled_s else s / units,
            "s_ratio": s_ratio,
        }

    def merge(self, other: "AvsMetric") -> None:
        """Add everything another metric of the same protocol has seen.

        Raises:
            ValueError: if the protocols differ.
        """
        if other.protocol != self.protocol:
            raise ValueError(f"other must follow the protocol {self.protocol!r}, got {other.protocol!r}.")
        self.state = self.state + other.state.to(self.state.device)


def _checked(name: str, logits: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Valid logits, which the caller calls `name`, in float32 and targets as bool, both `[N, H, W]`."""
    logits, targets = paired_frames(name, logits, targets)
    if not logits.is_floating_point():
        raise ValueError(f"{name} must be floating, got {logits.dtype}: pass the raw mask scores, not finished masks.")
    if logits.isnan().any():
        raise ValueError(f"{name} holds NaN; finite and infinite values are accepted.")
    if targets.dtype != torch.bool:
        foreign = targets[(targets != 0) & (targets != 1)]
        if len(foreign):
            raise ValueError(
                f"targets must hold only 0 and 1, got {foreign[0].item()}: for 0/255 masks pass targets > 0."
            )
    return logits.float(), targets.bool()


def _batch_scores(sums: Tensor) -> Tensor:
    """Of `G` batches, from what `frame_sums` says of each: batches, pixels, J, F, S and foreground pixels, `[G, 6]`."""
    frames, pixels, jaccard, positives, frames_with_truth = sums[:, :5].unbind(1)
    f_score = functional.max_mean_f(sums[:, 5:], frames_with_truth)
    batch_s = functional.null_s(positives, pixels)
    return torch.stack([torch.ones_like(frames), pixels, jaccard / frames, f_score, batch_s, positives], dim=1)


def _frame_sums(counts: functional.MaskCounts, positives: Tensor, pixels: int) -> list[Tensor]:
    """J, F and S of each frame of `pixels` pixels, summed over frames: three scalars."""
    tp, fp, fn, _ = counts
    jaccard = functional.jaccard(counts, "exact")
    # With empty truth F follows the same rule as J.
    f_score = torch.where(tp + fn == 0, jaccard, functional.f_measure(tp, tp + fp, tp + fn))
    return [jaccard.sum(), f_score.sum(), functional.null_s(positives, pixels).sum()]
