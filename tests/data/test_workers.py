import os
import subprocess
import sys

import pytest

PROGRAM = """
import tempfile
import torch
from torch.utils.data import DataLoader
from lavseg.data.workers import shorten_worker_sockets

shorten_worker_sockets()
print(next(iter(DataLoader(torch.arange(4), 4, num_workers=1))).tolist(), tempfile.mkdtemp())
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sockets with a path are a matter of Unix")
def test_workers_hand_over_tensors_where_the_temporary_folder_has_a_long_path(tmp_path):
    place = tmp_path / "für Würfe".ljust(60, "x") / "y".ljust(60, "y")
    place.mkdir(parents=True)
    environment = os.environ | {"TMPDIR": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"[0, 1, 2, 3] {place}"), "files stay in the temporary folder"
