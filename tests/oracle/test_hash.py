"""Content hashes: sha256sum and xxhash say what they must be; strace says which files were read.

    FSMETA_TEST_REHASH=N    scans in which everything must have been read again (default 20; 100 = full)
"""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import xxhash
from harness import SEED, SUPPORT

sys.path.insert(0, SUPPORT)

import treegen  # noqa: E402

REHASH_SCANS = int(os.environ.get("FSMETA_TEST_REHASH", "20"))


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def entries(fsmeta, operand):
    """Path to entry, of everything that is no folder."""
    out = fsmeta.run("ls", "--format=jsonl", operand, code=(0, 2)).out
    lines = [json.loads(line) for line in out.splitlines()]
    return {line["path"]: line for line in lines if line["type"] != "folder"}


def hashes(fsmeta, operand):
    return {path: entry.get("hash") for path, entry in entries(fsmeta, operand).items()}


def summary(result):
    """Files read, known, and taken from the journal, as the closing line says."""
    match = re.search(
        rb"hashing contents: ([\d,]+) files? read \(.*?\), ([\d,]+) known(?:, ([\d,]+) from the journal)?",
        result.err,
    )
    assert match, repr(result)
    return tuple(int((number or b"0").replace(b",", b"")) for number in match.groups())


def corrupt(path):
    """Changes a byte and leaves size and mtime as they were."""
    status = os.stat(path)
    with open(path, "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def make_files(tree, count, size=1000):
    rng = random.Random(SEED)
    for number in range(count):
        folder = os.path.join(tree, f"cam{number % 7}")
        os.makedirs(folder, exist_ok=True)
        write(os.path.join(folder, f"{number:05}.mp4"), rng.randbytes(size))


@pytest.fixture
def tree(scratch):
    path = os.path.join(scratch, "tree")
    os.mkdir(path)
    return path


@pytest.fixture
def database(scratch):
    return os.path.join(scratch, "archive.db")


def make_shapes(tree):
    """Sizes at every edge, holes, hard links, names of any bytes; what has no content, too."""
    rng = random.Random(SEED)
    for size in (0, 1, 16, 240, 241, 4095, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20):
        write(os.path.join(tree, f"size{size:08}"), rng.randbytes(size))
    for name, pieces in {
        "hole-only": [],
        "hole-first": [(5 << 20, b"end")],
        "hole-last": [(0, b"begin")],
        "holes": [(1 << 20, b"a" * 5000), (3 << 20, b"b"), ((7 << 20) - 1, b"c")],
    }.items():
        with open(os.path.join(tree, name), "wb") as file:
            for offset, data in pieces:
                file.seek(offset)
                file.write(data)
            file.truncate(8 << 20)
    for name in (b"not\xffutf-8", b"new\nline", b"-dash", b'quote"', b"\x01"):
        write(os.path.join(os.fsencode(tree), name), name)
    os.link(os.path.join(tree, "size00004097"), os.path.join(tree, "zz-link"))
    os.symlink("size00000240", os.path.join(tree, "symlink"))
    os.mkfifo(os.path.join(tree, "fifo"))


@pytest.mark.parametrize("algorithm", ["xxh3", "sha256"])
def test_agrees_with_others(fsmeta, tree, scratch, algorithm):
    make_shapes(tree)
    stream = os.path.join(scratch, "stream")
    fsmeta.run("scan", tree, "-o", stream, "--hash", algorithm)
    out = fsmeta.run("ls", "--format=jsonl", stream).out
    seen = 0
    for line in map(json.loads, out.splitlines()):
        if line["type"] != "file":
            assert "hash" not in line
            continue
        path = os.fsencode(line["path"])
        if "path_b64" in line:
            path = base64.b64decode(line["path_b64"])
        with open(os.path.join(os.fsencode(tree), path), "rb") as file:
            content = file.read()
        if algorithm == "xxh3":
            expected = xxhash.xxh3_128(content).hexdigest()
        else:
            expected = hashlib.sha256(content).hexdigest()
        assert line["hash"] == f"{algorithm}:{expected}", line["path"]
        seen += 1
    assert seen == 11 + 4 + 5 + 1
    if algorithm == "sha256":
        plain = os.path.join(tree, "holes")
        said = subprocess.run(["sha256sum", plain], capture_output=True, check=True).stdout
        assert hashes(fsmeta, stream)["holes"] == "sha256:" + said.split()[0].decode()


def test_deep_paths(fsmeta, tree, database):
    """Longer than the kernel takes in one call."""
    here = os.open(tree, os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    file = os.open("deep", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(file, b"deep")
    os.close(file)
    os.close(here)
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    (found,) = hashes(fsmeta, database).values()
    assert found == "xxh3:" + xxhash.xxh3_128(b"deep").hexdigest()
    shutil.rmtree(tree)


def opened(fsmeta, tree, log, *words):
    """Names of regular files of the tree that a scan opens."""
    command = ["strace", "-f", "-qq", "-e", "trace=openat,openat2", "-o", log]
    command += fsmeta.command("scan", tree, *words)
    # The leak checker of a sanitized build cannot work under ptrace.
    environment = {**fsmeta.environment, "ASAN_OPTIONS": "detect_leaks=0"}
    process = subprocess.run(command, env=environment, capture_output=True, check=False)
    if process.returncode and b"ptrace" in process.stderr:
        pytest.skip("ptrace is not allowed here")
    assert process.returncode == 0, process.stderr
    with open(log, encoding="ascii", errors="replace") as file:
        return sorted(set(re.findall(r'"(?:[^"]*/)?([^"/]+\.mp4)"', file.read())))


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not there")
def test_unchanged_files_are_not_opened(fsmeta, tree, database, scratch):
    make_files(tree, 30)
    log = os.path.join(scratch, "strace")
    words = ("--db", database, "--hash", "xxh3")
    assert len(opened(fsmeta, tree, log, *words)) == 30
    assert opened(fsmeta, tree, log, *words) == []
    os.chmod(os.path.join(tree, "cam0/00007.mp4"), 0o600)
    assert opened(fsmeta, tree, log, *words) == []
    write(os.path.join(tree, "cam1/00001.mp4"), b"longer, and at another time" * 99)
    os.utime(os.path.join(tree, "cam2/00002.mp4"))
    copy = os.path.join(tree, "cam3/copy")
    shutil.copy2(os.path.join(tree, "cam3/00003.mp4"), copy)
    os.rename(copy, os.path.join(tree, "cam3/00003.mp4"))
    write(os.path.join(tree, "cam4/new.mp4"), b"new")
    changed = ["00001.mp4", "00002.mp4", "00003.mp4", "new.mp4"]
    assert opened(fsmeta, tree, log, *words) == changed
    assert opened(fsmeta, tree, log, *words) == []


def test_atime_is_kept(fsmeta, tree, database):
    make_files(tree, 3)
    path = os.path.join(tree, "cam0/00000.mp4")
    os.utime(path, ns=(10**18, os.stat(path).st_mtime_ns))
    fsmeta.run("scan", tree, "--db", database, "--hash", "sha256")
    assert os.stat(path).st_atime_ns == 10**18


def test_known_hashes_stay(fsmeta, tree, database):
    """Also in a scan that does not hash; what changed then has none until one does."""
    make_files(tree, 20)
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    before = hashes(fsmeta, database)
    assert all(before.values())
    write(os.path.join(tree, "cam0/00000.mp4"), b"other")
    fsmeta.run("scan", tree, "--db", database)
    between = hashes(fsmeta, database)
    assert between.pop("cam0/00000.mp4") is None
    assert between == {path: before[path] for path in between}
    # Not hashed is no difference of content.
    out = fsmeta.run("diff", "--format=jsonl", database + "@1", database + "@2", code=1).out
    assert json.loads(out)["fields"] == ["size", "mtime"]
    result = fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    assert summary(result) == (1, 19, 0)
    fsmeta.run("diff", database + "@2", database + "@3")
    fsmeta.run("scan", tree, "--db", database, "--hash", "none")
    assert not any(hashes(fsmeta, database).values())
    fsmeta.run("check", database)


def content_hashes(tree):
    """Path to hash of every regular file, by reading all of them."""
    found = {}
    for folder, _, names in os.walk(os.fsencode(tree)):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    content = file.read()
                relative = os.path.relpath(path, os.fsencode(tree))
                found[relative] = "xxh3:" + xxhash.xxh3_128(content).hexdigest()
    return found


def told_hashes(fsmeta, operand):
    """The same by fsmeta."""
    found = {}
    for line in map(json.loads, fsmeta.run("ls", "--format=jsonl", operand).out.splitlines()):
        if line["type"] == "file":
            path = os.fsencode(line["path"])
            if "path_b64" in line:
                path = base64.b64decode(line["path_b64"])
            found[path] = line.get("hash")
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="others could not read all files")
def test_random_histories(fsmeta, tree, database):
    """What is taken over from before is what reading everything anew gives."""
    treegen.generate(tree, seed=SEED, entries=300, sparse=False)
    known = 0
    for step in range(4):
        words = ("--rehash-oldest", "10%") if step % 2 else ("--threads", "1")
        result = fsmeta.run(
            "scan", tree, "--db", database, "--hash", "xxh3", "--accept-removed", *words
        )
        assert b"CORRUPTED" not in result.err
        known += summary(result)[1]
        assert told_hashes(fsmeta, database) == content_hashes(tree)
        treegen.mutate(tree, seed=SEED * 100 + step, changes=40)
    assert known > 100
    fsmeta.run("check", database)


def test_another_algorithm(fsmeta, tree, database):
    make_files(tree, 20)
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    result = fsmeta.run("scan", tree, "--db", database, "--hash", "sha256")
    assert summary(result) == (20, 0, 0)
    assert all(found.startswith("sha256:") for found in hashes(fsmeta, database).values())
    fsmeta.run("diff", database + "@1", database + "@2")
    fsmeta.run("check", database)


def test_corruption_is_loud(fsmeta, tree, database):
    make_files(tree, 20)
    victim = os.path.join(tree, "cam3/00010.mp4")
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    corrupt(victim)
    # Nobody looks, nobody sees.
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    result = fsmeta.run(
        "scan", tree, "--db", database, "--hash", "xxh3", "--rehash-oldest", "100%", "-q", code=1
    )
    assert result.err.count(b"CORRUPTED") == 1
    assert b"fsmeta: cam3/00010.mp4: CORRUPTED" in result.err
    out = fsmeta.run("diff", database + "@2", database + "@3", code=1).out
    assert out.startswith(b"!  cam3/00010.mp4")
    line = json.loads(
        fsmeta.run("diff", "--format=jsonl", database + "@-1", database, code=1).out
    )
    assert line["kind"] == "corrupted" and line["fields"] == ["hash"]
    # It is known now, and told once.
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3", "--rehash-oldest", "100%")
    # A copy with the same size and mtime that took its place is judged by its content.
    copy = victim + ".copy"
    shutil.copy2(victim, copy)
    os.rename(copy, victim)
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    shutil.copy2(victim, copy)
    corrupt(copy)
    os.rename(copy, victim)
    fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3", code=1)
    fsmeta.run("check", database)


def test_corruption_is_told_by_an_import(fsmeta, tree, database, scratch):
    make_files(tree, 5)
    streams = [os.path.join(scratch, name) for name in ("before", "after")]
    fsmeta.run("scan", tree, "-o", streams[0], "--hash", "sha256", "--source-id", "x")
    corrupt(os.path.join(tree, "cam3/00003.mp4"))
    fsmeta.run("scan", tree, "-o", streams[1], "--hash", "sha256", "--source-id", "x")
    fsmeta.run("import", database, streams[0])
    result = fsmeta.run("import", "-q", database, streams[1], code=1)
    assert result.err.count(b"CORRUPTED") == 1
    assert b"fsmeta: cam3/00003.mp4: CORRUPTED" in result.err
    out = fsmeta.run("diff", database + "@1", database + "@2", code=1).out
    assert out.startswith(b"!  cam3/00003.mp4")


def test_corruption_is_told_by_a_delta(fsmeta, tree, database, scratch):
    """As loudly as by the scan that found it: by name, in every section, and by the status."""
    make_files(tree, 30)
    words = ("scan", tree, "--db", database, "--hash", "xxh3", "--rehash-oldest", "100%")
    fsmeta.run(*words)
    other, delta = (os.path.join(scratch, name) for name in ("other.db", "delta"))
    stream = os.path.join(scratch, "stream")
    fsmeta.run("export", database, "-o", stream)
    fsmeta.run("import", other, stream)
    for number in range(12):
        corrupt(os.path.join(tree, f"cam{number % 7}/{number:05}.mp4"))
    scanned = fsmeta.run(*words, "-q", code=1).err
    corrupt(os.path.join(tree, "cam6/00020.mp4"))
    fsmeta.run(*words, "-q", code=1)
    fsmeta.run("export", database, "--since", "1", "-o", delta)
    imported = fsmeta.run("import", "-q", other, delta, code=1).err
    assert scanned.count(b"CORRUPTED: ") == imported.count(b"CORRUPTED: ") == 10
    assert scanned.splitlines()[:10] == imported.splitlines()[:10]
    assert b"and 2 more files are CORRUPTED" in scanned
    assert b"and 3 more files are CORRUPTED" in imported


# ---- moves ----------------------------------------------------------------------


def test_what_moved_is_not_read(fsmeta, tree, database):
    """Its hash goes along: of a file, of a folder, to another folder, to an older name or a newer."""
    make_files(tree, 70)
    words = ("scan", tree, "--db", database, "--hash", "sha256")
    fsmeta.run(*words)
    before = entries(fsmeta, database)
    os.rename(os.path.join(tree, "cam3"), os.path.join(tree, "new"))
    os.rename(os.path.join(tree, "cam1/00001.mp4"), os.path.join(tree, "cam0/zz.mp4"))
    os.rename(os.path.join(tree, "cam6/00006.mp4"), os.path.join(tree, "cam0/000.mp4"))
    result = fsmeta.run(*words)
    assert summary(result) == (0, 70, 0)
    after = entries(fsmeta, database)
    known = {entry["id"]: entry["hash"] for entry in before.values()}
    assert {entry["id"]: entry["hash"] for entry in after.values()} == known
    for path, entry in after.items():
        with open(os.path.join(tree, path), "rb") as file:
            assert entry["hash"] == "sha256:" + hashlib.sha256(file.read()).hexdigest()
    fsmeta.run("check", database)
    # Nor does it lose its hash where nobody reads.
    os.rename(os.path.join(tree, "new"), os.path.join(tree, "cam3"))
    fsmeta.run("scan", tree, "--db", database)
    assert {entry["id"]: entry["hash"] for entry in entries(fsmeta, database).values()} == known


def test_what_moved_and_changed_is_read(fsmeta, tree, database):
    """Size, mtime and inode must be those; what only looks like it is read."""
    make_files(tree, 30)
    words = ("scan", tree, "--db", database, "--hash", "xxh3")
    fsmeta.run(*words)
    written = os.path.join(tree, "cam0/written.mp4")
    os.rename(os.path.join(tree, "cam0/00000.mp4"), written)
    with open(written, "r+b") as file:
        file.write(b"other")
    os.utime(written, ns=(0, 0))
    copied = os.path.join(tree, "cam1/copied.mp4")
    shutil.copy2(os.path.join(tree, "cam1/00001.mp4"), copied)
    os.unlink(os.path.join(tree, "cam1/00001.mp4"))
    assert summary(fsmeta.run(*words)) == (2, 28, 0)
    assert told_hashes(fsmeta, database) == content_hashes(tree)
    # As new files, on request.
    os.rename(os.path.join(tree, "cam2"), os.path.join(tree, "cam9"))
    files = len(os.listdir(os.path.join(tree, "cam9")))
    assert summary(fsmeta.run(*words, "--no-moves")) == (files, 30 - files, 0)
    fsmeta.run("check", database)


def test_exchanged_files(fsmeta, tree, database):
    """Two that exchanged their names have exchanged their hashes, unless they look the same."""
    os.mkdir(os.path.join(tree, "cam0"))
    os.mkdir(os.path.join(tree, "cam1"))
    words = ("scan", tree, "--db", database, "--hash", "xxh3")

    def exchange(one, other):
        one, other = os.path.join(tree, one), os.path.join(tree, other)
        os.rename(one, one + "-")
        os.rename(other, one)
        os.rename(one + "-", other)

    write(os.path.join(tree, "cam0/x.mp4"), b"x" * 10)
    write(os.path.join(tree, "cam1/y.mp4"), b"y" * 20)
    for name in ("a", "b"):
        write(os.path.join(tree, name), name.encode() * 30)
        os.utime(os.path.join(tree, name), ns=(10**18, 10**18))
    fsmeta.run(*words)
    exchange("cam0/x.mp4", "cam1/y.mp4")
    assert summary(fsmeta.run(*words))[0] == 0
    assert told_hashes(fsmeta, database) == content_hashes(tree)
    # Same size, same time, another content: by path that is corruption, whoever did it.
    exchange("a", "b")
    result = fsmeta.run(*words, code=1)
    assert summary(result)[0] == 2
    assert result.err.count(b"CORRUPTED: ") == 2
    assert told_hashes(fsmeta, database) == content_hashes(tree)


def test_what_moved_is_still_among_the_oldest(fsmeta, tree, database):
    """A hash that went along was not read: the file's turn comes when it would have come."""
    make_files(tree, 20)
    words = ("scan", tree, "--db", database, "--hash", "xxh3")
    fsmeta.run(*words)
    fsmeta.run(*words, "--rehash-oldest", "50%")
    os.rename(os.path.join(tree, "cam0"), os.path.join(tree, "zzz"))
    corrupt(os.path.join(tree, "zzz/00000.mp4"))
    fsmeta.run(*words)
    found = [
        fsmeta.run(*words, "--rehash-oldest", "50%", code=(0, 1)).err.count(b"CORRUPTED: ")
        for _ in range(2)
    ]
    assert sum(found) == 1
    fsmeta.run("check", database)


def test_oldest_are_read_again(fsmeta, tree, database):
    """In 100 % / N scans each, everything once; also where metadata changes meanwhile."""
    count = 97
    make_files(tree, count)
    words = ("scan", tree, "--db", database, "--hash", "xxh3")
    fsmeta.run(*words)
    paths = list(hashes(fsmeta, database))
    for path in paths:
        corrupt(os.path.join(tree, path))
    found = 0
    for number in range(REHASH_SCANS):
        # What is not read does not get younger.
        os.chmod(os.path.join(tree, paths[-1 - number % count]), 0o640)
        result = fsmeta.run(*words, "--rehash-oldest", f"{100 / REHASH_SCANS}%", code=(0, 1))
        read, _, _ = summary(result)
        named = result.err.count(b"CORRUPTED:")
        more = re.search(rb"and (\d+) more files are CORRUPTED", result.err)
        found += named + (int(more.group(1)) if more else 0)
        assert read <= count // REHASH_SCANS + 1
    assert found == count
    for path, said in hashes(fsmeta, database).items():
        with open(os.path.join(tree, path), "rb") as file:
            assert said == "xxh3:" + xxhash.xxh3_128(file.read()).hexdigest()
    fsmeta.run("prune", database, "--keep-last", "1")
    fsmeta.run("check", database)


def test_removed_files_are_not_waited_for(fsmeta, tree, database):
    """Rows below a removed folder stay in the database; they must not be the oldest for ever."""
    make_files(tree, 40)
    words = ("scan", tree, "--db", database, "--hash", "xxh3", "--accept-removed")
    fsmeta.run(*words)
    shutil.rmtree(os.path.join(tree, "cam0"))
    shutil.rmtree(os.path.join(tree, "cam1"))
    assert summary(fsmeta.run(*words, "--rehash-oldest", "10%"))[0] == 0
    assert summary(fsmeta.run(*words, "--rehash-oldest", "50%"))[0] == 14


def make_endless(tree):
    """A file behind all others that takes minutes at the rates of these tests, so that a scan is still at it."""
    path = os.path.join(tree, "zzz.mp4")
    with open(path, "wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    return path


def wait_for_records(database, count):
    """Until a scan has written so many hashes to its journal."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if os.path.exists(database + "-hashes"):
            if os.path.getsize(database + "-hashes") >= 64 * (count + 1):
                return
        time.sleep(0.01)
    pytest.fail("nothing is written to the journal")


def test_killed_and_resumed(fsmeta, tree, database):
    make_files(tree, 300, 10000)
    words = ("scan", tree, "--db", database, "--hash", "sha256")
    endless = make_endless(tree)
    process = fsmeta.start(*words, "--max-hash-rate", "1M", stdout=-3, stderr=-3)
    wait_for_records(database, 50)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    os.unlink(endless)
    assert os.path.exists(database + "-hashes") and not os.path.exists(database)
    # A torn record, and one that the disk lost.
    with open(database + "-hashes", "r+b") as file:
        file.seek(64 * 3 + 10)
        file.write(b"lost")
        file.seek(0, os.SEEK_END)
        file.write(b"torn")
    result = fsmeta.run(*words)
    read, known, resumed = summary(result)
    assert known == 0 and read + resumed == 300 and resumed >= 50, repr(result)
    assert not os.path.exists(database + "-hashes")
    for path, said in hashes(fsmeta, database).items():
        with open(os.path.join(tree, path), "rb") as file:
            assert said == "sha256:" + hashlib.sha256(file.read()).hexdigest()


def test_stopped_and_resumed(fsmeta, tree, database):
    """Also across changes: a file that changed is read again."""
    make_files(tree, 100, 10000)
    words = ("scan", tree, "--db", database, "--hash", "xxh3")
    endless = make_endless(tree)
    process = fsmeta.start(*words, "--max-hash-rate", "500k", stdout=-3, stderr=-3)
    wait_for_records(database, 20)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert time.monotonic() - started < 5
    os.unlink(endless)
    write(os.path.join(tree, "cam0/00000.mp4"), b"x" * 10000)
    result = fsmeta.run(*words)
    read, _, resumed = summary(result)
    assert read + resumed == 100 and resumed >= 20, repr(result)
    assert hashes(fsmeta, database)["cam0/00000.mp4"] == (
        "xxh3:" + xxhash.xxh3_128(b"x" * 10000).hexdigest()
    )


def test_refused_scan_loses_nothing(fsmeta, tree, database):
    make_files(tree, 50)
    fsmeta.run("scan", tree, "--db", database)
    fsmeta.refused("scan", tree, "--db", database, "--hash", "xxh3", "--source-id", "other")
    result = fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    assert summary(result) == (0, 0, 50)


def test_hard_links_are_read_once(fsmeta, tree, database):
    write(os.path.join(tree, "a.mp4"), b"content")
    os.link(os.path.join(tree, "a.mp4"), os.path.join(tree, "z.mp4"))
    # More than what is read ahead lies between them.
    for number in range(4200):
        os.symlink("nowhere", os.path.join(tree, f"link{number}"))
    status = fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
    found = hashes(fsmeta, database)
    assert found["a.mp4"] == found["z.mp4"] == "xxh3:" + xxhash.xxh3_128(b"content").hexdigest()
    # Only where the file system has a UUID is an inode number enough.
    assert summary(status) in ((1, 0, 1), (2, 0, 0))


def test_one_at_a_time(fsmeta, tree, database):
    make_files(tree, 20)
    make_endless(tree)
    words = ("scan", tree, "--db", database, "--hash", "xxh3")
    process = fsmeta.start(*words, "--max-hash-rate", "200k", stdout=-3, stderr=-3)
    wait_for_records(database, 0)
    try:
        assert b"another scan is hashing" in fsmeta.run(*words, code=3).err
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_foreign_journal_is_left_alone(fsmeta, tree, database):
    make_files(tree, 3)
    write(database + "-hashes", b"my notes\n" * 20)
    result = fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3", code=3)
    assert b"-hashes" in result.err
    with open(database + "-hashes", "rb") as file:
        assert file.read() == b"my notes\n" * 20


def test_journal_inside_the_tree_is_hidden(fsmeta, tree):
    make_files(tree, 5)
    database = os.path.join(tree, "archive.db")
    for _ in range(2):
        fsmeta.run("scan", tree, "--db", database, "--hash", "xxh3")
        assert len(entries(fsmeta, database)) == 5


def test_unreadable_contents(fsmeta, scratch):
    """No hash, a word about it and status 2; a hash that is known stays."""
    user = fsmeta.as_ordinary_user()
    home = os.path.join(scratch, "home")
    os.mkdir(home)
    os.chmod(home, 0o777)
    os.chmod(scratch, 0o755)
    tree = os.path.join(home, "tree")
    os.mkdir(tree)
    make_files(tree, 10)
    database = os.path.join(home, "archive.db")
    os.chmod(os.path.join(tree, "cam1/00001.mp4"), 0)
    words = ("scan", tree, "--db", database, "--hash", "xxh3")
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "65534:65534", home], check=True)
    result = user.run(*words, code=2)
    assert b"fsmeta: cam1/00001.mp4: hashing contents: Permission denied" in result.err
    found = hashes(user, database)
    assert found.pop("cam1/00001.mp4") is None and all(found.values())
    os.chmod(os.path.join(tree, "cam2/00002.mp4"), 0)
    user.run(*words, "--rehash-oldest", "100%", code=2)
    assert hashes(user, database)["cam2/00002.mp4"] == found["cam2/00002.mp4"]
    os.chmod(os.path.join(tree, "cam1/00001.mp4"), 0o600)
    os.chmod(os.path.join(tree, "cam2/00002.mp4"), 0o600)
    user.run(*words)
    assert all(hashes(user, database).values())


def test_file_that_grows_meanwhile(fsmeta, tree, database):
    """A file that a recorder writes to has no hash rather than a wrong one."""
    grows = os.path.join(tree, "grows.mp4")
    write(grows, b"x" * 200000)
    write(os.path.join(tree, "zzz.mp4"), b"y" * 1000)
    stop, begun = threading.Event(), threading.Event()

    def append():
        with open(grows, "ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"more")
                begun.set()
                time.sleep(0.005)

    thread = threading.Thread(target=append)
    thread.start()
    begun.wait()
    result = fsmeta.run(
        "scan", tree, "--db", database, "--hash", "xxh3", "--max-hash-rate", "200k", "-q"
    )
    stop.set()
    thread.join()
    found = hashes(fsmeta, database)
    assert found["grows.mp4"] is None, repr(result)
    assert found["zzz.mp4"]


def test_swapped_links_are_not_followed(fsmeta, tree, scratch):
    """Somebody who may write to the tree cannot make us read what lies outside of it."""
    outside = os.path.join(scratch, "outside")
    inside = os.path.join(tree, "folder")
    aside = os.path.join(tree, "aside")
    os.mkdir(outside)
    os.mkdir(inside)
    for number in range(50):
        write(os.path.join(inside, f"{number}"), b"inside")
    for number in range(50):
        # Everything the same but the inode: what would betray them is not followed at all.
        write(os.path.join(outside, f"{number}"), b"secret")
        shutil.copystat(os.path.join(inside, f"{number}"), os.path.join(outside, f"{number}"))
    os.symlink(outside, os.path.join(tree, "link"))
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            try:
                os.rename(inside, aside)
                os.rename(os.path.join(tree, "link"), inside)
                os.rename(inside, os.path.join(tree, "link"))
                os.rename(aside, inside)
            except OSError:
                pass

    secret = "xxh3:" + xxhash.xxh3_128(b"secret").hexdigest()
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(15):
            stream = os.path.join(scratch, f"stream{number}")
            # Without inode numbers, size and mtime alone would take them for the same.
            fsmeta.run(
                "scan", tree, "-o", stream, "--hash", "xxh3", "--fields", "core,hash", code=(0, 2)
            )
            assert secret not in hashes(fsmeta, stream).values()
    finally:
        stop.set()
        thread.join()


def test_usage(fsmeta, tree, database):
    for words in (
        ("--hash", "md5"),
        ("--rehash-oldest", "1%"),
        ("--max-hash-rate", "1M"),
        ("--hash", "xxh3", "--max-hash-rate", "fast"),
        ("--hash", "xxh3", "--max-hash-rate", "0"),
        ("--hash", "xxh3", "--rehash-oldest", "101%"),
        ("--hash", "xxh3", "--fields", "size"),
    ):
        fsmeta.run("scan", tree, "--db", database, *words, code=64)
    fsmeta.run(
        "scan", tree, "-o", database, "--hash", "xxh3", "--rehash-oldest", "1%", code=64
    )
