"""A disk that is not there is not an empty one: a file system in a file, mounted and not.

Needs root and a loop device; skipped elsewhere, with the reason.
"""

import json
import os
import shutil
import subprocess
import time

import oracle
import pytest
import treegen
from harness import SEED, need, read_bytes


def run(*command):
    return subprocess.run(command, capture_output=True, check=False)


class Disk:
    """An ext4 file system in a file, and the folder where it is mounted, or not."""

    def __init__(self, folder, name, place):
        self.image = os.path.join(folder, name)
        self.place = place
        with open(self.image, "wb") as file:
            file.truncate(24 << 20)
        # A file system as small as it gets: it is made several times.
        done = run("mkfs.ext4", "-q", "-O", "^has_journal", "-N", "4096", self.image)
        assert done.returncode == 0, done.stderr

    def plug(self):
        done = run("mount", "-o", "loop", self.image, self.place)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")

    def unplug(self):
        # Whoever looks at all disks as they come holds it for a moment.
        for _ in range(60):
            done = run("umount", self.place)
            if b"busy" not in done.stderr:
                break
            time.sleep(0.5)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def place(scratch):
    """The folder on which disks are mounted; nothing is when the test has ended."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    need("mkfs.ext4")
    folder = os.path.join(scratch, "archive")
    os.mkdir(folder)
    yield folder
    while os.path.ismount(folder):
        assert run("umount", "--lazy", folder).returncode == 0


@pytest.fixture
def empty_disk(scratch, place):
    """Plugged in."""
    made = Disk(scratch, "disk", place)
    made.plug()
    return made


@pytest.fixture
def disk(empty_disk, place):
    """With a tree on it."""
    treegen.generate(os.path.join(place, "tree"), seed=SEED, entries=1500, deep=20, sparse=False)
    return empty_disk


def everything(fsmeta, database):
    """All that the database says: its generations, their entries, byte for byte, and what went on."""
    count = fsmeta.run("log", "--format=jsonl", database).out.count(b"\n")
    listings = [
        fsmeta.run("ls", "--format=jsonl", f"{database}@{number}", code=(0, 2)).out
        for number in range(1, count + 1)
    ]
    fsmeta.run("check", database)
    return [fsmeta.run("log", "--format=jsonl", database).out, *listings]


def assert_refused(fsmeta, database, place, because, *words):
    """And nothing is lost."""
    before, content = everything(fsmeta, database), read_bytes(database)
    result = fsmeta.refused("scan", place, "--db", database, *words)
    assert because in result.err, repr(result)
    assert read_bytes(database) == content
    assert everything(fsmeta, database) == before


def assert_as_it_was(fsmeta, database, place, first):
    """A scan finds no change, and says of every entry what it said at first."""
    assert fsmeta.run("diff", database, place, "--format=jsonl").out == b""
    fsmeta.run("scan", place, "--db", database)
    assert fsmeta.run("diff", database + "@1", database, "--format=jsonl").out == b""
    assert fsmeta.run("ls", "--format=jsonl", database).out == first


def test_unplugged_and_plugged_in_again(fsmeta, scratch, disk, place):
    database = os.path.join(scratch, "archive.db")
    fsmeta.run("scan", place, "--db", database)
    first = fsmeta.run("ls", "--format=jsonl", database).out
    disk.unplug()
    assert_refused(fsmeta, database, place, b"is it mounted?")
    assert_refused(fsmeta, database, place, b"is it mounted?", "--quick")
    assert b"is it mounted?" in fsmeta.refused("diff", database, place).err
    # What was recorded meanwhile lies where the disk should be; that is no archive either.
    stray = os.path.join(place, "stray.mp4")
    with open(stray, "wb") as file:
        file.write(b"recorded onto the system's disk")
    assert_refused(fsmeta, database, place, b"source")
    assert_refused(fsmeta, database, place, b"source", "--accept-removed", "--accept-empty")
    os.unlink(stray)
    disk.plug()
    assert_as_it_was(fsmeta, database, place, first)


def test_another_disk_in_its_place(fsmeta, scratch, disk, place):
    """Empty or full, with or without an id in its root: it is not the one."""
    database = os.path.join(scratch, "archive.db")
    fsmeta.run("init", place)
    fsmeta.run("scan", place, "--db", database)
    first = fsmeta.run("ls", "--format=jsonl", database).out
    marker = read_bytes(os.path.join(place, ".fsmetadrive.json"))
    disk.unplug()
    other = Disk(scratch, "other", place)
    other.plug()
    assert_refused(fsmeta, database, place, b"source")
    with open(os.path.join(place, ".fsmetadrive.json"), "wb") as file:
        file.write(marker)
    assert_refused(fsmeta, database, place, b"file system")
    other.unplug()
    disk.plug()
    assert_as_it_was(fsmeta, database, place, first)


def test_another_disk_is_accepted_once(fsmeta, scratch, empty_disk, place):
    """From then on it is the one, and the first one is another."""
    database, words = os.path.join(scratch, "archive.db"), ("--source-id=shelf", "--accept-removed")
    with open(os.path.join(place, "film.mp4"), "wb") as file:
        file.write(b"film")
    fsmeta.run("scan", place, "--db", database, *words)
    empty_disk.unplug()
    other = Disk(scratch, "other", place)
    other.plug()
    assert_refused(fsmeta, database, place, b"the root lies on file system", *words)
    fsmeta.run("scan", place, "--db", database, "--accept-other-filesystem", *words)
    with open(os.path.join(place, "another.mp4"), "wb") as file:
        file.write(b"another")
    fsmeta.run("scan", place, "--db", database, *words)
    # Copies hold the file systems as the database does, the first one in front.
    stream = os.path.join(scratch, "stream")
    fsmeta.run("export", database, "-o", stream)
    fsmeta.run("scan", place, "--db", database, *words)
    other.unplug()
    empty_disk.plug()
    assert_refused(fsmeta, database, place, b"the root lies on file system", *words)
    fsmeta.run("scan", place, "-o", os.path.join(scratch, "first"), *words[:1])
    copy = os.path.join(scratch, "copy.db")
    fsmeta.run("import", copy, stream)
    refused = fsmeta.refused("import", copy, os.path.join(scratch, "first"), words[1])
    assert b"the root lies on file system" in refused.err


def test_a_disk_inside_the_tree(fsmeta, scratch, disk, place):
    """Of several disks below one root one is away, the smallest among them."""
    database, root = os.path.join(scratch, "archive.db"), os.path.join(scratch, "shelf")
    os.makedirs(os.path.join(root, "drive"))
    with open(os.path.join(root, "notes"), "wb"):
        pass
    disk.unplug()
    disk.place = os.path.join(root, "drive")
    disk.plug()
    try:
        words = ("--cross-file-systems",)
        fsmeta.run("scan", root, "--db", database, *words)
        first = fsmeta.run("ls", "--format=jsonl", database).out
        disk.unplug()
        because = b"entries are gone with file system"
        assert_refused(fsmeta, database, root, because, *words)
        assert_refused(fsmeta, database, root, because, "--accept-removed", *words)
        assert_refused(fsmeta, database, root, because, "--max-removed=100%", *words)
        disk.plug()
        fsmeta.run("scan", root, "--db", database, *words)
        assert fsmeta.run("ls", "--format=jsonl", database).out == first
        # What goes from a disk that is there is no matter of mounts, nor is one that was given up.
        shutil.rmtree(os.path.join(root, "drive", "tree"))
        fsmeta.run("scan", root, "--db", database, "--accept-removed", *words)
        disk.unplug()
        fsmeta.refused("scan", root, "--db", database, *words)
        fsmeta.run("scan", root, "--db", database, "--accept-other-filesystem", *words)
        os.unlink(os.path.join(root, "notes"))
        fsmeta.run("scan", root, "--db", database, *words)
    finally:
        if os.path.ismount(disk.place):
            disk.unplug()


def test_a_folder_that_could_not_be_read_for_a_while(fsmeta, scratch, empty_disk, place):
    """As somebody whom permissions stop: unknown, and back without a trace of removal."""
    secret, home = os.path.join(place, "b", "secret"), os.path.join(scratch, "home")
    os.rmdir(os.path.join(place, "lost+found"))
    os.makedirs(os.path.join(secret, "deep"))
    os.mkdir(home)
    for number in range(40):
        with open(os.path.join(secret, "deep" if number % 2 else ".", str(number)), "wb") as file:
            file.write(b"x" * number)
    for folder in (home, place, os.path.join(place, "b"), secret, os.path.join(secret, "deep")):
        os.chown(folder, 65534, 65534)
    database = os.path.join(home, "archive.db")
    user = fsmeta.as_ordinary_user()
    user.run("scan", place, "--db", database)
    first = user.run("ls", "--format=jsonl", database).out

    os.chmod(secret, 0)
    for again in range(2):
        user.run("scan", place, "--db", database, code=2)
        changes = oracle.parse_changes(
            user.run("diff", "--format=jsonl", f"{database}@1", database, code=2).out
        )
        kinds = {(change["kind"], change["path"]) for change in changes}
        # Its mode did change, and that is all that did.
        assert kinds == {("modified", b"b/secret"), ("unreadable", b"b/secret")}
        carried = oracle.parse_jsonl(user.run("ls", "--format=jsonl", database, code=(0, 2)).out)
        assert sum("unknown_since" in entry for entry in carried) == 41

    os.chmod(secret, 0o755)
    user.run("scan", place, "--db", database)

    def without_ctime(listing):
        return [
            {key: value for key, value in entry.items() if key != "ctime"}
            for entry in oracle.parse_jsonl(listing)
        ]

    last = user.run("ls", "--format=jsonl", database).out
    assert without_ctime(last) == without_ctime(first)
    assert user.run("diff", "--format=jsonl", f"{database}@1", database).out == b""
    for line in map(json.loads, user.run("log", "--format=jsonl", database).out.splitlines()):
        assert line.get("removed", 0) == 0 or line["generation"] == 1
    history = user.run("history", "--format=jsonl", database, "b/secret/deep/1").out
    assert b"removed" not in history and history.count(b'"kind":"added"') == 1
    user.run("check", database)
