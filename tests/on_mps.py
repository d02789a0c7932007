"""A stand-in for tensors on Apple's MPS, which has no float64."""

import torch


class OnMps(torch.Tensor):
    """Says that it is on that device, and refuses what is refused there."""

    @property
    def device(self):
        return torch.device("mps")

    def cpu(self):
        return self.as_subclass(torch.Tensor)

    def to(self, *args, **kwargs):
        return self.cpu().to(*args, **kwargs)

    def double(self):
        raise TypeError("MPS has no float64")
