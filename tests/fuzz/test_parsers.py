"""Every parser of what comes from outside: whatever the input is, it reads it or refuses as declared."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon_process import child_environment
from tests.fuzz import http_requests
from tests.fuzz.packets import PACKETS
from tests.fuzz.targets import HTTP, NAMES
from tests.fuzz.texts import TEXTS
from tests.soak import IS_SOAK

ROOT = Path(__file__).resolve().parents[2]
SOAK_S = 300
# The short search is the same each time; the long one begins elsewhere each time.
LENGTH = (f"-max_total_time={SOAK_S}",) if IS_SOAK else ("-runs=2000", "-seed=1")
# Seconds for one input, and MiB for the process: what is above is a finding, too.
BOUNDS = ("-timeout=20", "-rss_limit_mb=1024", "-max_len=4096")
SEEDS = {name: target.seeds for name, target in (TEXTS | PACKETS).items()} | {HTTP: http_requests.SEEDS}
WORDS = {name: target.words for name, target in (TEXTS | PACKETS).items()} | {HTTP: http_requests.WORDS}


def dictionary(words: tuple[str, ...]) -> str:
    """Write words as libFuzzer reads them: one a line, in quotes, bytes as \\xNN."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in words)


@pytest.mark.parametrize("name", [*TEXTS, *PACKETS])
def test_inputs_to_begin_with_are_read_or_refused(name):
    target = (TEXTS | PACKETS)[name]
    for seed in target.seeds:
        target.feed(seed)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="atheris has wheels for x86-64 only")
@pytest.mark.timeout(SOAK_S + 300)
@pytest.mark.parametrize("name", NAMES)
def test_search_finds_no_input_that_breaks_the_parser(name, tmp_path):
    if importlib.util.find_spec("atheris") is None and not os.environ.get("SOCKETD_REQUIRE_TOOLS"):
        pytest.skip("atheris is not installed")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for nth, seed in enumerate(SEEDS[name]):
        (corpus / str(nth)).write_bytes(seed)
    flags = [*LENGTH, *BOUNDS, f"-artifact_prefix={tmp_path}/"]
    if WORDS[name]:
        (tmp_path / "words").write_text(dictionary(WORDS[name]))
        flags.append(f"-dict={tmp_path}/words")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.search", name, *flags, str(corpus)],
        cwd=ROOT,
        env=child_environment({}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SOAK_S + 240,
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-6000:]  # with the input, as text and as base64, at its end
    assert "\tDONE " in said, said[-6000:]
