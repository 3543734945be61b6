"""Quick scans: whatever moves the times of a folder, they find all that a complete scan finds.

The judge is fsmeta itself scanning completely, which other tests hold against find: the same
listing, the same state digest.  What a quick scan cannot see is tested too, as the documentation
says it; and strace says which folders were listed.

    FSMETA_TEST_QUICK_ROUNDS=N      rounds of changes in each test (default 4)

Folders count as unchanged only when they are older than two seconds before the last scan
began.  So all trees are made before the first test, and get old together.
"""

import json
import os
import random
import re
import shutil
import sqlite3
import stat
import subprocess
import time

import pytest
import treegen
from harness import SEED, as_ordinary_user, need

ROUNDS = int(os.environ.get("FSMETA_TEST_QUICK_ROUNDS", "4"))
NAP = 2.2
OLD = 1_600_000_000


def nap():
    time.sleep(NAP)


def write(path, size=1, mtime=OLD):
    with open(path, "wb") as file:
        file.write(b"x" * size)
    os.utime(path, (mtime, mtime))


def append(path, mtime=None):
    """Grows a file; its folder does not notice."""
    with open(path, "ab") as file:
        file.write(b"more")
    if mtime is not None:
        os.utime(path, (mtime, mtime))


def make_tree(root, folders=6, files=6):
    """Old files in folders, folders in folders."""
    os.mkdir(root)
    write(os.path.join(root, "top"))
    for i in range(folders):
        folder = os.path.join(root, f"cam{i}", f"day{i}")
        os.makedirs(folder)
        for j in range(files):
            write(os.path.join(folder, f"{j:03}.mp4"), j)
            write(os.path.join(root, f"cam{i}", f"note{j}"), j)
    return root


class Keeper:
    """A database and its tree."""

    def __init__(self, fsmeta, scratch, tree, name="quick.db"):
        self.fsmeta, self.scratch, self.tree = fsmeta, scratch, tree
        self.db = os.path.join(scratch, name)

    def scan(self, *options, code=0):
        return self.fsmeta.run("scan", self.tree, "--db", self.db, *options, code=code)

    def quick(self, *options, code=0):
        result = self.scan("--quick", "--settle", "0", *options, code=code)
        assert self.last()["quick"], repr(result)
        return result

    def log(self):
        return [json.loads(line) for line in self.fsmeta.run("log", "--format=jsonl", self.db).out.splitlines()]

    def last(self):
        """The newest generation."""
        return max(self.log(), key=lambda line: line["generation"])

    def listing(self, operand, code=0):
        entries = []
        for line in self.fsmeta.run("ls", "--format=jsonl", operand, code=code).out.splitlines():
            entry = json.loads(line)
            entry.pop("id")
            entry.pop("unknown_since", None)
            entries.append(entry)
        return entries

    def size(self, path):
        return next(entry["size"] for entry in self.listing(self.db) if entry["path"] == path)

    def assert_complete(self, code=0):
        """What is kept is what a complete scan of now keeps."""
        judge = os.path.join(self.scratch, "judge.db")
        if os.path.exists(judge):
            os.unlink(judge)
        self.fsmeta.run("scan", self.tree, "--db", judge, "-q", code=code)
        assert self.listing(self.db) == self.listing(judge)
        kept, wanted = self.last(), Keeper(self.fsmeta, self.scratch, self.tree, "judge.db").last()
        assert kept["state_digest"] == wanted["state_digest"]
        for key in ("entries", "files", "folders", "bytes", "unreadable"):
            assert kept[key] == wanted[key], key
        self.fsmeta.run("check", self.db)


def make_hostile(root):
    treegen.generate(root, seed=SEED, entries=1200)


def make_chain(root):
    folder = root
    os.mkdir(root)
    for i in range(400):
        folder = os.path.join(folder, "d")
        os.mkdir(folder)
        write(os.path.join(folder, "file"), i)


def make_flat(root):
    os.mkdir(root)
    for i in range(1200):
        write(os.path.join(root, f"{i}"))


def make_young(root):
    make_tree(root)
    for path in ("top", "cam1/day1/001.mp4"):
        os.utime(os.path.join(root, path), (time.time() - 100, time.time() - 100))


# An archive of each layout: what a quick scan looks at however old it is, and older files of the same folder.
NEWEST = [
    "fsv/cam1/1600002000_audio.rf1i", "fsv/cam1/1600002000_audio.rf1p",
    "fsv/cam1/1600002000_video.rf1i", "fsv/cam1/1600002000_video.rf1p",
    "segments/cam2/1600002000123.h265", "segments/cam2/1600002000123.vidx",
    "recordings/rec_7/data.bin", "recordings/rec_7/index.bin",
    "recordings/rec_7/index.jsonl", "recordings/rec_7/meta.json",
]
OLDER = [
    "fsv/cam1/1600001000_video.rf1p", "fsv/cam1/1600000000_audio.rf1i", "fsv/cam1/notes.txt",
    "segments/cam2/1600001000123.h265", "segments/cam2/1600000000123.vidx",
    "recordings/rec_7/thumbnail.jpg", "frames/garden/frame_000001.npy", "frames/garden/frame_000009.npy",
]


def make_archive(root):
    os.mkdir(root)
    for path in NEWEST + OLDER + [f"frames/garden/frame_{i:06}.npy" for i in range(1, 10)]:
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        write(os.path.join(root, path))
    for track in ("audio", "video"):
        for start in (1_600_000_000, 1_600_001_000):
            for half in "ip":
                write(os.path.join(root, f"fsv/cam1/{start}_{track}.rf1{half}"))


TREES = 20
SHAPES = {
    "hostile": make_hostile, "chain": make_chain, "flat": make_flat, "young": make_young,
    "newest": make_archive, "witnesses": make_archive, "histories": make_archive,
}


@pytest.fixture(scope="module")
def shelf(module_scratch):
    """Takes out a folder with a tree of this shape in it, which is old enough."""

    def make(name, shape):
        os.mkdir(os.path.join(module_scratch, name))
        os.chmod(os.path.join(module_scratch, name), 0o755)
        shape(os.path.join(module_scratch, name, "tree"))

    for name, shape in SHAPES.items():
        make(name, shape)
    plain = [f"plain{i}" for i in range(TREES)]
    for name in plain:
        make(name, make_tree)
    nap()

    def take(shape="plain"):
        return os.path.join(module_scratch, plain.pop() if shape == "plain" else shape)

    return take


@pytest.fixture
def old(fsmeta, shelf):
    """A tree that no scan knows yet."""
    folder = shelf()
    return Keeper(fsmeta, folder, os.path.join(folder, "tree"))


@pytest.fixture
def kept(old):
    """The same with a complete scan."""
    old.scan()
    return old


# ---- everything that moves a folder's times is found ------------------------------


class Mutator:
    """Changes of names, at random; each moves the times of the folders concerned."""

    def __init__(self, root, rng):
        self.root, self.rng, self.serial = os.fsencode(root), rng, 0

    def pick(self, folders):
        found = []
        for folder, below, names in os.walk(self.root):
            found += [os.path.join(folder, name) for name in (below if folders else names)]
        found = [path for path in found if stat.S_ISDIR(os.lstat(path).st_mode) == folders]
        return self.rng.choice(sorted(found)) if found else None

    def fresh(self):
        self.serial += 1
        parent = self.rng.choice([self.root, self.pick(True) or self.root])
        return os.path.join(parent, b"new%d" % self.serial)

    def step(self):
        file, folder = self.pick(False), self.pick(True)
        other = self.pick(True)
        path = self.fresh()
        kind = self.rng.randrange(11)
        if kind == 0 or not file or not folder or len(os.path.join(path, file)) > 3000:
            write(path, self.rng.randrange(100))
        elif kind == 1:
            os.unlink(file)
        elif kind == 2:
            os.rename(file, path)
        elif kind == 3:
            os.mkdir(path)
            write(os.path.join(path, b"inside"))
        elif kind == 4:
            shutil.rmtree(folder) if self.rng.randrange(4) == 0 else write(path)
        elif kind == 5 and not (path + b"/").startswith(folder + b"/"):
            os.rename(folder, path)
        elif kind == 6:  # replaced, as an editor does
            write(path, self.rng.randrange(100))
            os.rename(path, file)
        elif kind == 7:  # another type of the same name
            os.unlink(file)
            os.mkdir(file) if self.rng.randrange(2) else os.symlink(b"target", file)
        elif kind == 8:
            os.chmod(folder, self.rng.choice([0o700, 0o755, 0o750]))
        elif kind == 9 and not (other + b"/").startswith(folder + b"/") and not (
            folder + b"/"
        ).startswith(other + b"/"):  # two folders change places
            os.rename(folder, path) if not (path + b"/").startswith(folder + b"/") else None
            if os.path.exists(path) and not os.path.exists(folder) and os.path.exists(other):
                os.rename(other, folder)
        else:  # what looks old in every way that utimes(2) can make it look
            times = os.stat(folder)
            write(os.path.join(folder, b"sneaked%d" % self.serial))
            os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("threads", ["1", "2", "8"])
def test_changes_of_names_are_found(kept, threads):
    mutator = Mutator(kept.tree, random.Random(f"{SEED} {threads}"))
    for _ in range(ROUNDS):
        for _ in range(mutator.rng.randrange(8)):
            mutator.step()
        kept.quick("--threads", threads)
        kept.assert_complete()


class Recorder(Mutator):
    """Names change, and the newest pieces grow; of an archive."""

    streams = {"fsv/cam1": "{}_video.rf1p", "segments/cam2": "{}000.h264"}

    def grow(self):
        folder = os.path.join(os.fsdecode(self.root), self.rng.choice([*self.streams, "recordings/rec_7"]))
        names = sorted(os.listdir(folder))
        pieces = [name for name in names if re.match(r"\d{10}", name)]
        if folder.endswith("rec_7"):
            newest = [name for name in names if name in ("data.bin", "index.jsonl", "meta.json")]
        else:
            newest = [name for name in pieces if re.match(r"\d+", name)[0] == re.match(r"\d+", pieces[-1])[0]]
        path = os.path.join(folder, self.rng.choice(newest))
        if self.rng.randrange(4):
            append(path, OLD)
        else:
            os.chmod(path, self.rng.choice([0o600, 0o640, 0o644]))

    def step(self):
        kind = self.rng.randrange(10)
        if kind < 6:
            return self.grow()
        stream, form = self.rng.choice(list(self.streams.items()))
        folder = os.path.join(os.fsdecode(self.root), stream)
        self.serial += 1
        if kind < 8:  # the next one
            write(os.path.join(folder, form.format(1_600_002_000 + self.serial)), self.rng.randrange(100))
        elif kind == 8 and len(pieces := sorted(os.listdir(folder))) > 8:  # the oldest goes
            os.unlink(os.path.join(folder, pieces[0]))
        else:
            write(os.path.join(folder, f"x{self.serial % 4}"))  # among the last names
        return None


def test_recorders_histories(fsmeta, shelf):
    folder = shelf("histories")
    keeper = Keeper(fsmeta, folder, os.path.join(folder, "tree"))
    keeper.scan()
    recorder = Recorder(keeper.tree, random.Random(SEED))
    for round_number in range(3 * ROUNDS):
        for _ in range(recorder.rng.randrange(3)):
            recorder.step()
        keeper.quick("--threads", str(1 + round_number % 3))
        keeper.assert_complete()


def test_hostile_trees_stay_as_they_are(fsmeta, shelf):
    folder = shelf("hostile")
    tree = os.path.join(folder, "tree")
    keeper = Keeper(fsmeta, folder, tree)
    keeper.scan(code=(0, 2))
    mutator = Mutator(tree, random.Random(SEED))
    for _ in range(3):
        keeper.quick(code=(0, 2))
        keeper.assert_complete(code=(0, 2))
        write(mutator.fresh())  # nothing more: taking away a hard link changes the others unseen


def test_a_deep_chain(fsmeta, shelf):
    folder = shelf("chain")
    keeper = Keeper(fsmeta, folder, os.path.join(folder, "tree"))
    keeper.scan()
    keeper.quick()
    keeper.assert_complete()
    write(os.path.join(keeper.tree, "d/" * 399, "last"))
    keeper.quick("--threads", "1")
    keeper.assert_complete()


# ---- what is not asked for --------------------------------------------------------


@pytest.mark.parametrize("threads", ["1", "8"])
def test_unchanged_folders_are_not_listed(kept, threads):
    need("strace")
    write(os.path.join(kept.tree, "cam3", "day3", "new"))
    log = os.path.join(kept.scratch, "strace")
    command = ["strace", "-f", "-y", "-e", "trace=getdents64", "-o", log]
    command += kept.fsmeta.command("scan", kept.tree, "--db", kept.db, "--quick", "--settle", "0", "--threads", threads)
    if subprocess.run(command, stderr=subprocess.PIPE, check=False, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}).returncode:
        pytest.skip("strace does not work here")
    with open(log, encoding="utf-8") as file:
        listed = set(re.findall(r"getdents64\(\d+<([^>]*)>", file.read()))
    assert {path for path in listed if path.startswith(kept.tree)} == {os.path.join(kept.tree, "cam3", "day3")}
    kept.assert_complete()


def test_only_witnesses_are_asked_for(fsmeta, shelf):
    need("strace")
    folder = shelf("witnesses")
    keeper = Keeper(fsmeta, folder, os.path.join(folder, "tree"))
    keeper.scan()
    log = os.path.join(keeper.scratch, "strace")
    command = ["strace", "-f", "-y", "-e", "trace=statx,getdents64", "-o", log]
    command += keeper.fsmeta.command("scan", keeper.tree, "--db", keeper.db, "--quick", "--settle", "0")
    if subprocess.run(command, stderr=subprocess.PIPE, check=False, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}).returncode:
        pytest.skip("strace does not work here")
    with open(log, encoding="utf-8") as file:
        text = file.read()
    asked = [os.path.join(*found) for found in re.findall(r'statx\(\d+<([^>]*)>, "([^"]+)"', text)]
    files = [path for path in asked if path.startswith(keeper.tree) and not os.path.isdir(path)]
    assert sorted(files) == sorted(os.path.join(keeper.tree, path) for path in NEWEST)
    assert not re.findall(rf"getdents64\(\d+<{re.escape(keeper.tree)}", text)
    keeper.assert_complete()


# ---- files that are written to ----------------------------------------------------


def test_an_append_to_a_settled_file_is_found_by_the_next_complete_scan(kept):
    path = "cam1/day1/004.mp4"
    append(os.path.join(kept.tree, path))
    kept.quick()
    assert kept.size(path) == 4
    kept.scan("--quick", "--settle", "1d")
    assert kept.size(path) == 4  # it was old when it was seen last
    kept.scan()
    assert not kept.last()["quick"]
    assert kept.size(path) == 8
    kept.quick()
    kept.assert_complete()


def test_an_append_to_a_young_file_is_seen(kept):
    path = "cam1/day1/growing.mp4"
    write(os.path.join(kept.tree, path), 1, time.time() - 60)
    nap()
    for how in (["--quick"], [], ["--quick"], ["--quick"]):  # came with a quick scan, a complete one
        kept.scan(*how)
        append(os.path.join(kept.tree, path), time.time() - 60)
        size = os.path.getsize(os.path.join(kept.tree, path))
        kept.scan("--quick")
        assert kept.last()["quick"]
        assert kept.size(path) == size
        append(os.path.join(kept.tree, path), time.time() - 60)
        kept.scan("--quick", "--settle", "1s")
        assert kept.size(path) == size
        kept.scan("--quick", "--settle", "2min")
        assert kept.size(path) == size + 4
    kept.assert_complete()


def test_young_files_of_the_first_scan_and_of_new_folders(fsmeta, shelf):
    folder = shelf("young")
    tree = os.path.join(folder, "tree")
    keeper = Keeper(fsmeta, folder, tree)
    keeper.scan()
    for path in ("top", "cam1/day1/001.mp4"):
        append(os.path.join(tree, path), time.time() - 100)
    keeper.scan("--quick")
    keeper.assert_complete()
    # The scans above are all younger than the settling time; where they are not table `change` decides.
    with sqlite3.connect(keeper.db) as connection:
        connection.execute("UPDATE generation SET finished = finished - 86400000000000")
    connection.close()
    os.makedirs(os.path.join(tree, "new/deep"))
    write(os.path.join(tree, "new/deep/growing"), 1, time.time())
    nap()
    keeper.scan("--quick", "--settle", "15min")
    append(os.path.join(tree, "new/deep/growing"), OLD)
    keeper.scan("--quick", "--settle", "15min")
    keeper.assert_complete()


def test_the_newest_piece_is_looked_at_however_old(fsmeta, shelf):
    folder = shelf("newest")
    keeper = Keeper(fsmeta, folder, os.path.join(folder, "tree"))
    keeper.scan()
    for path in NEWEST:
        before = os.stat(os.path.dirname(os.path.join(keeper.tree, path)))
        append(os.path.join(keeper.tree, path), OLD)
        after = os.stat(os.path.dirname(os.path.join(keeper.tree, path)))
        assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
        keeper.quick()
        assert keeper.size(path) == 5, path
    keeper.assert_complete()
    os.chmod(os.path.join(keeper.tree, NEWEST[0]), 0o600)
    keeper.quick()
    keeper.assert_complete()
    for path in OLDER:
        append(os.path.join(keeper.tree, path), OLD)
    keeper.quick()
    for path in OLDER:
        assert keeper.size(path) == 1, path
    append(os.path.join(keeper.tree, NEWEST[0]), OLD)  # and what is listed is listed whole
    keeper.quick()
    for path in OLDER:
        assert keeper.size(path) == (5 if path.startswith("fsv/") else 1), path
    keeper.scan()
    keeper.quick()
    keeper.assert_complete()


def test_every_nth_scan_is_complete(kept):
    append(os.path.join(kept.tree, "top"))
    for _ in range(6):
        kept.scan("--quick", "--settle", "0", "--full-every", "3")
    assert [line["quick"] for line in sorted(kept.log(), key=lambda line: line["generation"])] == [
        False, True, True, False, True, True, False]
    kept.assert_complete()
    kept.scan("--quick", "--full-every", "1")
    assert not kept.last()["quick"]


# ---- where it is complete, refused, or has to be careful ----------------------------


def test_another_scope_makes_it_complete(kept):
    def complete(*options):
        result = kept.scan("--quick", "--settle", "0", *options)
        assert result.err.count(b"note: scanning completely") == 1, repr(result)
        assert not kept.last()["quick"]

    complete("--exclude", "*.mp4")
    kept.quick("--exclude", "*.mp4")
    complete()
    kept.quick()
    kept.assert_complete()
    complete("--fields", "core,ctime,inode")
    kept.quick("--fields", "core,ctime,inode")
    complete("--fields", "core")
    complete("--fields", "core")  # without ctime and inode it cannot be quick
    complete()
    complete("--cross-file-systems")
    complete()
    kept.quick()
    complete("--subtree", "cam1")
    complete()
    kept.quick()
    kept.assert_complete()


def test_what_is_carried_stays_carried(kept):
    """Files that are excluded since are carried; a folder that holds one is looked at."""
    kept.scan("--exclude", "004.mp4", "--exclude", "/cam2/")
    before = kept.last()["carried"]
    assert before
    for _ in range(2):
        kept.quick("--exclude", "004.mp4", "--exclude", "/cam2/")
        assert kept.last()["carried"] == before
        kept.fsmeta.run("check", kept.db)
    write(os.path.join(kept.tree, "cam1/day1/new"))
    kept.quick("--exclude", "004.mp4", "--exclude", "/cam2/")
    assert kept.last()["carried"] == before
    kept.scan()
    kept.quick()
    kept.assert_complete()


def test_wrong_usage(fsmeta, kept):
    tree, stream = kept.tree, os.path.join(kept.scratch, "stream")
    fsmeta.run("scan", tree, "--quick", "-o", stream, code=64)
    fsmeta.run("scan", tree, "--quick", "-o", stream, "--db", kept.db, code=64)
    fsmeta.run("scan", tree, "--quick", "--hash", "xxh3", "--db", kept.db, code=64)
    for wrong in ("15m", "min", "-1s", "1", "99999999999999999999d", ""):
        fsmeta.run("scan", tree, "--db", kept.db, "--quick", "--settle", wrong, code=64)
    for wrong in ("0", "-1", "x"):
        fsmeta.run("scan", tree, "--db", kept.db, "--quick", "--full-every", wrong, code=64)


def test_content_hashes_make_it_complete(kept):
    kept.scan("--hash", "xxh3")
    result = kept.scan("--quick")
    assert b"note: scanning completely" in result.err
    assert not kept.last()["quick"]


def test_the_first_scan_is_complete(old):
    assert b"the first scan" in old.scan("--quick").err
    assert not old.last()["quick"]
    old.assert_complete()


def test_a_database_inside_the_tree(fsmeta, old):
    keeper = Keeper(fsmeta, os.path.join(old.tree, "cam1"), old.tree)
    keeper.scan()
    nap()
    keeper.scan()
    for _ in range(2):
        keeper.quick()
        assert keeper.last()["entries"] == 1 + 1 + 6 * (2 + 12)
        fsmeta.run("check", keeper.db)
        assert not [entry for entry in keeper.listing(keeper.db) if ".db" in entry["path"]]


def test_a_root_of_files_alone_is_not_empty(fsmeta, shelf):
    folder = shelf("flat")
    tree = os.path.join(folder, "tree")
    keeper = Keeper(fsmeta, folder, tree)
    keeper.scan()
    keeper.quick()
    keeper.assert_complete()
    for i in range(1200):
        os.unlink(os.path.join(tree, f"{i}"))
    assert b"--accept-empty" in keeper.fsmeta.refused("scan", tree, "--db", keeper.db, "--quick").err
    keeper.quick("--accept-empty", "--accept-removed")
    keeper.assert_complete()


def test_many_removed_are_refused_as_ever(kept):
    for i in range(1100):
        write(os.path.join(kept.tree, f"much{i}"))
    kept.scan()
    for i in range(1100):
        os.unlink(os.path.join(kept.tree, f"much{i}"))
    assert b"--accept-removed" in kept.fsmeta.refused("scan", kept.tree, "--db", kept.db, "--quick").err
    kept.quick("--accept-removed")
    kept.assert_complete()


def test_an_unreadable_folder(fsmeta, old):
    tree = old.tree
    if as_ordinary_user():
        subprocess.run(["chown", "-R", "65534:65534", old.scratch], check=True)
    keeper = Keeper(fsmeta.as_ordinary_user(), old.scratch, tree)
    keeper.scan()
    nap()
    keeper.scan()
    os.chmod(os.path.join(tree, "cam2"), 0)
    for _ in range(2):
        keeper.quick(code=2)
        assert keeper.last()["carried"] == 6 + 7
        keeper.fsmeta.run("check", keeper.db)
    os.chmod(os.path.join(tree, "cam2"), 0o755)
    keeper.quick()
    keeper.assert_complete()
    keeper.quick()
    keeper.assert_complete()


def test_pruned_generations(kept):
    """What happened in a generation that is gone still says which files are young."""
    path = "cam4/day4/growing"
    write(os.path.join(kept.tree, path), 1, time.time())
    nap()
    for _ in range(3):
        kept.quick()
    kept.fsmeta.run("prune", kept.db, "--keep-last", "1")
    append(os.path.join(kept.tree, path), OLD)
    kept.scan("--quick")
    assert kept.size(path) == 5
    kept.assert_complete()


def test_a_time_to_come(kept):
    """A folder whose times are beyond now cannot be told from one that changes again."""
    folder = os.path.join(kept.tree, "cam5")
    os.utime(folder, (4_000_000_000, 4_000_000_000))
    kept.scan()
    append(os.path.join(folder, "note3"))
    kept.quick()
    kept.assert_complete()
