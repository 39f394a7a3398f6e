from __future__ import annotations

import subprocess
import sys

MIB = 1 << 20
ROUNDS = 50
# What a request does that brings a mebibyte: pieces, the whole of them, an answer.
PROGRAM = f"""
import resource
from socketd.runtime.heap import keep_freed

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def request():
    pieces = [b"x" * ({MIB} // 4) for _ in range(4)]
    return len(b"".join(pieces))

keep_freed()
for _ in range(10):
    request()
before = faults()
for _ in range({ROUNDS}):
    request()
print(faults() - before)
"""


def test_memory_of_one_request_is_there_for_the_next():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) < ROUNDS  # page faults; 256 a round without
