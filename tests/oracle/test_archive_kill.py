"""kill -9 of the writers of the four stores, again and again at random moments on one and the same archive.

    FSMETA_TEST_KILLS=N     kills in each test (default 8; 100 = full)

After each kill: it opens again, everything that was acknowledged is there, and what is served is whole (the reader
compares each packet with what its number says it must be). `archive recover` closes what was left open, then
`archive check --deep` finds nothing, and the next writer goes on.
"""

import json
import os
import random
import signal
import sqlite3
import struct
import subprocess
import threading
import time

import pytest
from harness import SEED

KILLS = int(os.environ.get("FSMETA_TEST_KILLS", "8"))
GROUP = 10


def tool():
    return os.path.join(os.path.dirname(os.environ["FSMETA"]), "..", "tests", "unit", "test_archive_writer")


def fsmeta(*words, code=0):
    done = subprocess.run([os.environ["FSMETA"], *map(str, words)], capture_output=True)
    assert done.returncode == code, (words, done)
    return done.stdout.decode()


def write_and_kill(store, root, first, seconds):
    """Lines that the writer said before it was killed, `seconds` after the first of them."""
    process = subprocess.Popen([tool(), store, "write", root, str(first)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    start = process.stdout.readline()
    timer = threading.Timer(seconds, process.send_signal, [signal.SIGKILL])
    timer.start()
    rest = process.stdout.read()
    errors = process.stderr.read()
    timer.cancel()
    assert process.wait() == -signal.SIGKILL and not errors, errors
    assert start
    return [line.decode() for line in (start + rest).splitlines(keepends=True) if line.endswith(b"\n")]


def served(store, root):
    done = subprocess.run([tool(), store, "read", root], capture_output=True)
    assert done.returncode == 0, done
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("store", ["segments", "fsv", "recordings"])
def test_killed_writers(store, tmp_path):
    rng = random.Random(SEED + len(store))
    root = tmp_path / "archive"
    root.mkdir()
    acknowledged = set()
    first = 0
    mended = 0
    for _ in range(KILLS):
        lines = write_and_kill(store, root, first, rng.choice([0, 0.002, 0.02, 0.1]) * rng.random())
        acknowledged |= set(range(first, int(lines[-1]) + 1))
        before = served(store, root)
        assert before == sorted(set(before)), "served twice, or out of order"
        assert acknowledged <= set(before)
        if rng.random() < 0.5:
            told = [json.loads(line) for line in fsmeta("archive", "recover", "--dry-run", "--format=jsonl", root).splitlines()]
            did = [json.loads(line) for line in fsmeta("archive", "recover", "--format=jsonl", root).splitlines()]
            assert {o["path"] for o in told} == {o["path"] for o in did}
            mended += len(did)
            assert "all is well" in fsmeta("archive", "check", "--deep", root)
            after = served(store, root)
            assert set(before) <= set(after) and after == sorted(after)
            assert not fsmeta("archive", "recover", root)
        # A decoder, and so the next writer, begins with a key frame.  What a recording's index lost may come back
        # out of its bitstream later, so its numbers are not used again.
        first = (max(served(store, root), default=first) // GROUP + (1000 if store == "recordings" else 1)) * GROUP
    assert mended or KILLS < 8


def frames_on_disk(root):
    found = {}
    for name in os.listdir(root / "video"):
        data = (root / "video" / name).read_bytes()
        assert name.startswith("frame_") and name.endswith(".npy"), name
        number = int(name[6:-4])
        assert data[:6] == b"\x93NUMPY"
        offset = 10 + struct.unpack("<H", data[8:10])[0]
        assert data[offset:] == bytes((number * 13 + i) % 256 for i in range(3000)), f"half of {name}"
        found[number] = data
    return set(found)


def test_killed_frame_store(tmp_path):
    rng = random.Random(SEED)
    root = tmp_path / "store"
    added, done = set(), set()
    first = 0
    for _ in range(KILLS):
        for line in write_and_kill("frames", root, first, rng.choice([0, 0.002, 0.02, 0.1]) * rng.random()):
            word, number = line.split()
            {"added": added, "done": done}.get(word, set()).add(int(number))
        # Whoever starts it again cleans up first.
        done_before = subprocess.run([tool(), "frames", "read", root], capture_output=True)
        assert done_before.returncode == 0, done_before
        with sqlite3.connect(root / "tasks.db") as db:
            tasks = {int(payload) for (payload,) in db.execute("SELECT payload FROM task")}
            needed = {int(ref.split("_")[1]) for (ref,) in db.execute("SELECT ref FROM dependency")}
            assert not db.execute("SELECT count(*) FROM doomed").fetchone()[0]
        # None early: what is to be done still has its frame.  None for good: nothing else has one.
        assert needed == tasks
        assert frames_on_disk(root) == needed
        # What was said is so; of what was not said, one step may be done all the same.
        assert not done & tasks
        unsaid = added - done - tasks
        assert len(unsaid) <= 1
        done |= unsaid
        first = max(added | tasks | done) + 1


def test_sweep_leaves_what_is_needed(tmp_path):
    root = tmp_path / "archive" / "store"
    root.parent.mkdir()
    write_and_kill("frames", root, 0, 0.05)
    with sqlite3.connect(root / "tasks.db") as db:
        needed = {int(ref.split("_")[1]) for (ref,) in db.execute("SELECT ref FROM dependency")}
        known = needed | {int(ref.split("_")[1]) for (ref,) in db.execute("SELECT ref FROM doomed")}
    stray = root / "video" / "frame_900000.npy"
    number = min(needed) if needed else None
    if number is not None:
        stray.write_bytes((root / "video" / f"frame_{number:06}.npy").read_bytes())
        os.utime(stray, (time.time() - 7200,) * 2)
        assert "1 unneeded" in fsmeta("archive", "sweep", "--dry-run", root.parent)
        assert stray.exists()
        assert "1 unneeded" in fsmeta("archive", "sweep", root.parent)
        assert not stray.exists()
    left = {int(name[6:-4]) for name in os.listdir(root / "video")}
    assert needed <= left and known is not None


def test_sweep_refuses_an_archive_that_is_recorded(tmp_path):
    root = tmp_path / "archive"
    root.mkdir()
    process = subprocess.Popen([tool(), "fsv", "write", root, "0"], stdout=subprocess.PIPE)
    try:
        for _ in range(20):
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            outcomes = [json.loads(line)["outcome"] for line in subprocess.run(
                [os.environ["FSMETA"], "archive", "recover", "--format=jsonl", root], capture_output=True).stdout.splitlines()]
            if outcomes:
                break
            # It was between two files.
            process.send_signal(signal.SIGCONT)
        assert outcomes == ["in use"]
        before = served("fsv", root)
        done = subprocess.run([os.environ["FSMETA"], "archive", "sweep", "--budget", "1k", root], capture_output=True)
        assert done.returncode == 3 and b"somebody still writes to it" in done.stderr, done
        assert served("fsv", root) == before
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
