"""What processes that read data need."""

import multiprocessing.util
import os
import tempfile

# Of the 103 bytes that every Unix takes, what is left beside "/pymp-xxxxxxxx/listener-xxxxxxxx".
_LONGEST_FOLDER = 71


def shorten_worker_sockets() -> None:
    """Let the workers of a `DataLoader` hand over tensors where the path of the temporary folder is long.

    They do so by sockets in the temporary folder. Where a socket's path gets longer than the system takes, the loader
    waits for ever (https://github.com/python/cpython/issues/132124), so that a folder in /tmp is taken instead.
    """
    if os.name != "posix" or len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER:
        return
    usual, tempfile.tempdir = tempfile.tempdir, "/tmp"
    try:
        # Made once in a process and handed down to its workers.
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = usual
