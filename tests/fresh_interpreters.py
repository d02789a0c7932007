"""Code that has to run where Transformers and this package were not imported before."""

import os
import subprocess
import sys

# One interpreter imports what takes long and has no part in it; each piece of code then runs in a fork of its own.
PROGRAM = """
import os, sys, traceback
import {preload}
assert not {{"transformers", "lavseg"}} & sys.modules.keys()
failed = False
for code in sys.argv[1:]:
    if not (child := os.fork()):
        try:
            exec(code, {{"__name__": "__main__"}})
        except BaseException:
            print(code, traceback.format_exc(), sep="\\n", file=sys.stderr, flush=True)
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    failed |= os.waitpid(child, 0)[1] != 0
sys.exit(failed)
"""


def run_each(*codes, preload="torch, torchvision", **environment):
    """Run every piece of code as in an interpreter of its own; what they print comes in their order.

    Returns:
        A `CompletedProcess`, whose `returncode` is 1 where one of them failed and whose `stderr` says how.
    """
    program = [sys.executable, "-c", PROGRAM.format(preload=preload), *codes]
    return subprocess.run(program, capture_output=True, text=True, env={**os.environ, **environment}, timeout=280)
