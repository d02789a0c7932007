"""How many frames go through image encoders at a time: one on a CPU, on a GPU as many as its free memory allows."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Of the memory of a GPU that is free when the first frame is encoded; the rest is for what comes after the encoders.
SHARE = 0.5


class GpuMemory:
    """The memory of a GPU, in bytes."""

    def __init__(self, device: torch.device):
        self.device = device

    def free(self) -> int:
        """What this process may still take, with what PyTorch holds in reserve."""
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + unused

    def allocated(self) -> int:
        """What is in use; the peak is counted from here."""
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        """The most that was in use."""
        return torch.cuda.max_memory_allocated(self.device)


class EncoderGroups:
    """Groups of frames for image encoders. The first frame goes alone and shows how much memory a frame takes.

    Args:
        memory: of the device of the encoders; None for one frame at a time.

    Attributes:
        size: frames in the next group.
    """

    def __init__(self, memory: GpuMemory | None):
        self.memory = memory
        self.size = 1
        self._measured = memory is None

    @classmethod
    def on(cls, device: torch.device) -> "EncoderGroups":
        """Those for a device."""
        return cls(GpuMemory(device) if device.type == "cuda" else None)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around the encoding of a group."""
        if self._measured:
            yield
            return
        free, before = self.memory.free(), self.memory.allocated()
        yield
        self.size = max(1, int(SHARE * free / max(1, self.memory.peak() - before)))
        self._measured = True
