"""A scan beside others: any number of threads writes the same batches, a rate is kept, whoever
is stopped is gone within a second and leaves nothing behind, and there are more threads than
processors where a disk is slow."""

import os
import re
import signal
import subprocess
import time

import fss_reader
import pytest
import treegen
from harness import SEED, THREADS as ASKED_THREADS, need, read_bytes

THREADS = ("1", "2", "8", "64")
# One, and what a machine that has much else to do may take to run it at all; not stopped it takes 35.
STOPPED_SECONDS = 10


@pytest.fixture(scope="module")
def tree(module_scratch):
    root = os.path.join(module_scratch, "tree")
    treegen.generate(os.fsencode(root), seed=SEED, entries=3000, deep=60, wide=4000)
    return root


def batches(stream):
    """Their frames as they lie in the file; header and trailer say when the scan was."""
    data = read_bytes(os.path.join(stream, "entries.fss"))
    frames, offset = [], 0
    for size, _ in fss_reader.read_seek_table(data):
        frames.append(data[offset : offset + size])
        offset += size
    return frames[1:-1]


@pytest.mark.parametrize("fields", (["--fields", "core"], []), ids=("core", "all"))
def test_same_batches_with_all_threads(fsmeta, tree, scratch, fields):
    streams = []
    for threads in THREADS:
        stream = os.path.join(scratch, threads)
        fsmeta.run("scan", tree, "-q", *fields, "--threads", threads, "-o", stream, code=(0, 2))
        streams.append(batches(stream))
    assert len(streams[0]) > 1
    for threads, stream in zip(THREADS, streams):
        assert stream == streams[0], f"{threads} threads"


@pytest.mark.parametrize("threads", THREADS)
def test_rate_is_kept(fsmeta, tree, scratch, threads):
    """4,000 files, 4,000 a second: a slow machine may take longer, none shorter."""
    words = ("scan", tree, "-q", "--threads", threads, "--subtree", "wide", "--max-rate", "4000")
    began = time.monotonic()
    fsmeta.run(*words, "-o", os.path.join(scratch, "out"))
    assert time.monotonic() - began > 0.7


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM), ids=("int", "term"))
def test_stopped_within_a_second(fsmeta, tree, scratch, threads, number):
    """At 200 a second it would take 35."""
    output = os.path.join(scratch, "out")
    process = fsmeta.start(
        "scan", tree, "-q", "--threads", threads, "--max-rate", "200", "-o", output
    )
    # From then on it writes, and minds signals.
    while not os.listdir(scratch):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.2)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert time.monotonic() - began < STOPPED_SECONDS
    assert os.listdir(scratch) == []


def test_a_slow_disk_gets_more_threads(fsmeta, tree, scratch):
    """With 2 ms for each look at a file, no processor has anything to do."""
    need("strace")
    processors = len(os.sched_getaffinity(0))
    if processors >= 12 or ASKED_THREADS:
        pytest.skip("there are as many processors as threads, or FSMETA_TEST_THREADS says how many")
    log = os.path.join(scratch, "strace")
    command = ["strace", "-f", "-e", "trace=clone,clone3", "-e", "inject=statx:delay_enter=2000", "-o", log]
    command += fsmeta.command("scan", tree, "-q", "-o", os.path.join(scratch, "out"))
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    if subprocess.run(command, stderr=subprocess.PIPE, check=False, env=environment).returncode not in (0, 2):
        pytest.skip("strace does not work here")
    with open(log, encoding="utf-8") as file:
        started = len(re.findall(r"clone3?\(.*CLONE_THREAD", file.read()))
    # All that are asked for by default, but for some that the end came before; and one that writes.
    assert processors + 1 < started <= 16
