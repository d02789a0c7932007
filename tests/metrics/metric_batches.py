"""Two batches of logits and masks, and what a metric says of them."""

import torch

from lavseg.metrics import AvsMetric


def make_batches():
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(n, 16, 16, generator=generator), (torch.rand(n, 16, 16, generator=generator) < 0.4).byte())
        for n in (3, 2)
    ]


def expected(protocol, batches):
    metric = AvsMetric(protocol)
    for logits, targets in batches:
        metric.update(logits, targets)
    return metric.compute()


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]
