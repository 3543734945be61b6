"""fsmeta init: the identity that a folder carries with it, and what a copy of it may do."""

import json
import os
import re
import sqlite3
import subprocess

import oracle
import pytest
from harness import read_bytes

MARKER = ".fsmetadrive.json"


@pytest.fixture
def tree(scratch):
    folder = os.path.join(scratch, "tree")
    os.mkdir(folder)
    with open(os.path.join(folder, "file"), "wb") as file:
        file.write(b"x")
    return folder


def marker(tree):
    return json.loads(read_bytes(os.path.join(tree, MARKER)))


def put_marker(tree, content):
    with open(os.path.join(tree, MARKER), "w", encoding="utf-8") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))


def source_of(fsmeta, tree, scratch, *options):
    stream = os.path.join(scratch, "source-of")
    fsmeta.run("scan", tree, "-o", stream, *options)
    return json.loads(read_bytes(os.path.join(stream, "source.json")))


def identity(result):
    return result.out.decode().rstrip("\n")


def test_help(fsmeta, golden):
    golden("help-init.txt", fsmeta.run("init", "--help").out)


def test_init_gives_an_identity(fsmeta, tree, scratch):
    given = identity(fsmeta.run("init", tree))
    assert re.fullmatch(r"[0-9a-f]{32}", given)
    assert sorted(os.listdir(tree)) == [MARKER, "file"]
    assert os.stat(os.path.join(tree, MARKER)).st_mode & 0o444 == 0o444
    keys = marker(tree)
    assert list(keys)[0] == "format" and keys["format"] == "fsmeta-drive"
    assert keys["format_version"] == 1
    assert keys["source_id"] == given
    oracle.parse_time(keys["created"])
    version = fsmeta.run("--version").out.split()[1].decode()
    assert keys["fsmeta_version"] == version
    source = source_of(fsmeta, tree, scratch)
    assert source["source"]["id"] == given
    # Without a UUID there is no key for it.
    assert keys.get("filesystem_uuid", "") == source["filesystems"][0].get("uuid", "")
    assert keys.get("filesystem_uuid") != ""
    assert source_of(fsmeta, tree, scratch, "--source-id=other")["source"]["id"] == "other"


def test_ids_are_random(fsmeta, tree):
    given = {identity(fsmeta.run("init", "--force", tree)) for _ in range(5)}
    assert len(given) == 5


def test_init_again_changes_nothing(fsmeta, tree):
    given = identity(fsmeta.run("init", tree))
    before = read_bytes(os.path.join(tree, MARKER)), os.stat(tree).st_mtime_ns
    result = fsmeta.run("init", tree)
    assert identity(result) == given and b"already" in result.err
    assert identity(fsmeta.run("init", tree, "--source-id", given)) == given
    fsmeta.refused("init", tree, "--source-id=another")
    assert before == (read_bytes(os.path.join(tree, MARKER)), os.stat(tree).st_mtime_ns)
    assert identity(fsmeta.run("init", tree, "--source-id=another", "--force")) == "another"
    assert marker(tree)["source_id"] == "another"
    assert sorted(os.listdir(tree)) == [MARKER, "file"], "nothing temporary is left"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"source_id": 7}', '{"source_id": ""}'])
def test_what_is_no_marker_is_not_lost(fsmeta, tree, content):
    put_marker(tree, content)
    assert b"--force" in fsmeta.refused("init", tree).err
    assert read_bytes(os.path.join(tree, MARKER)).decode() == content
    given = identity(fsmeta.run("init", tree, "--force"))
    assert marker(tree)["source_id"] == given


def test_links_are_not_written_through(fsmeta, tree, scratch):
    other = os.path.join(scratch, "other")
    with open(other, "w", encoding="utf-8") as file:
        file.write("precious")
    os.symlink(other, os.path.join(tree, MARKER))
    fsmeta.refused("init", tree)
    fsmeta.refused("init", tree, "--force")
    assert read_bytes(other) == b"precious" and os.path.islink(os.path.join(tree, MARKER))


def test_hostile_identity_does_no_harm_to_a_terminal(fsmeta, tree):
    put_marker(tree, {"source_id": "\x1b[31mred"})
    result = fsmeta.run("init", tree)
    assert b"\x1b" not in result.out + result.err
    result = fsmeta.refused("init", tree, "--source-id=x")
    assert b"\x1b" not in result.out + result.err


def test_init_refuses(fsmeta, tree, scratch):
    fsmeta.refused("init", os.path.join(scratch, "missing"))
    fsmeta.refused("init", os.path.join(tree, "file"))
    fsmeta.run("init", code=64)
    fsmeta.run("init", tree, tree, code=64)
    fsmeta.run("init", tree, "--source-id=", code=64)
    fsmeta.run("init", tree, b"--source-id=\xff", code=64)
    fsmeta.run("init", tree, "--source-id=" + "x" * 5000, code=64)
    assert os.listdir(tree) == ["file"]


def test_scan_follows_the_identity_not_the_place(fsmeta, tree, scratch):
    database, moved = os.path.join(scratch, "tree.db"), os.path.join(scratch, "moved")
    fsmeta.run("init", tree)
    fsmeta.run("scan", tree, "--db", database)
    os.rename(tree, moved)
    fsmeta.run("scan", moved, "--db", database)
    fsmeta.run("init", moved, "--force")
    fsmeta.refused("scan", moved, "--db", database)


def aliases(database):
    connection = sqlite3.connect(database)
    try:
        return {row[0] for row in connection.execute("SELECT id FROM source_alias")}
    finally:
        connection.close()


def numbers(fsmeta, database):
    lines = fsmeta.run("log", "--format=jsonl", database).out.splitlines()
    return sorted(json.loads(line)["generation"] for line in lines)


def test_init_after_the_first_scan_changes_nothing(fsmeta, tree, scratch):
    """The database goes on under the tree's old name, and knows the new one."""
    database, other = os.path.join(scratch, "tree.db"), os.path.join(scratch, "other.db")
    fsmeta.run("scan", tree, "--db", database)
    fsmeta.run("export", database, "-o", other + ".1", "-q")
    fsmeta.run("import", other, other + ".1", "-q")
    first = source_of(fsmeta, tree, scratch)["source"]
    given = identity(fsmeta.run("init", tree))
    now = source_of(fsmeta, tree, scratch)["source"]
    assert now["id"] == given
    place = first.get("id") or first["aliases"][0]["id"]
    assert now["aliases"] == [{"id": place}]
    fsmeta.run("scan", tree, "--db", database)
    assert given in aliases(database)

    # The marker is lost again: nothing changes either.
    marker_text = read_bytes(os.path.join(tree, MARKER))
    os.unlink(os.path.join(tree, MARKER))
    fsmeta.run("scan", tree, "--db", database)
    assert numbers(fsmeta, database) == [1, 2, 3]

    # A delta takes the names along: where it was imported, the marker alone will do.
    delta = fsmeta.run("export", database, "--since", "1", "-o", "-", "-q").out
    fsmeta.run("import", other, "-", "-q", data=delta)
    assert aliases(other) == aliases(database)
    moved = os.path.join(scratch, "moved")
    os.rename(tree, moved)
    with open(os.path.join(moved, MARKER), "wb") as file:
        file.write(marker_text)
    fsmeta.run("scan", moved, "--db", other)
    assert numbers(fsmeta, other) == [1, 2, 3, 4]


def test_a_stream_tells_of_the_init(fsmeta, tree, scratch):
    """The same on a machine that gets streams only."""
    database, stream = os.path.join(scratch, "nas.db"), os.path.join(scratch, "stream")
    fsmeta.run("scan", tree, "-o", stream)
    fsmeta.run("import", database, stream)
    given = identity(fsmeta.run("init", tree))
    fsmeta.run("scan", tree, "-o", stream)
    fsmeta.run("import", database, stream)
    assert given in aliases(database)
    # And the other way: a full export of it is taken by who knows any of the names.
    full = os.path.join(scratch, "full")
    fsmeta.run("export", database, "-o", full, "-q")
    keys = json.loads(read_bytes(os.path.join(full, "source.json")))["source"]
    assert given in {alias["id"] for alias in keys["aliases"]}


def test_two_that_claim_one_place(fsmeta, tree, scratch):
    """A tree that was given another identity is another source, where it lies notwithstanding."""
    database = os.path.join(scratch, "tree.db")
    fsmeta.run("scan", tree, "--db", database)
    one = identity(fsmeta.run("init", tree))
    fsmeta.run("scan", tree, "--db", database)
    other = identity(fsmeta.run("init", "--force", tree))
    result = fsmeta.refused("scan", tree, "--db", database)
    for part in (one, other, "both claim"):
        assert part.encode() in result.err, repr(result)
    assert other not in aliases(database)
    # What is told counts alone, and says what it is to be taken for.
    assert b"is of" in fsmeta.refused("scan", tree, "--db", database, "--source-id=third").err
    fsmeta.run("scan", tree, "--db", database, f"--source-id={one}")


def test_scanning_never_writes_into_the_tree(fsmeta, tree, scratch):
    os.utime(tree, ns=(0, 10**18))
    before = os.stat(tree)
    fsmeta.run("scan", tree, "-o", os.path.join(scratch, "stream"))
    fsmeta.run("scan", tree, "--db", os.path.join(scratch, "tree.db"), "--subtree=file")
    fsmeta.run("ls", tree)
    fsmeta.run("diff", tree, tree)
    after = os.stat(tree)
    assert os.listdir(tree) == ["file"]
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


# ---- a copy on another file system -------------------------------------------------------


@pytest.fixture
def drive(scratch):
    """A file system with a UUID, mounted; made by root on a loop device, else skipped."""
    folder, image = os.path.join(scratch, "drive"), os.path.join(scratch, "image")
    os.mkdir(folder)
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    commands = (
        ["mkfs.ext4", "-q", "-U", "11223344-5566-7788-99aa-bbccddeeff00", image],
        ["mount", "-o", "loop", image, folder],
    )
    for command in commands:
        try:
            done = subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
        except OSError:
            done = False
        if not done:
            pytest.skip(f"{command[0]} is not possible here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_copied_marker(fsmeta, drive, scratch):
    """scan refuses a copy and names both; who only looks may; init --force makes it its own."""
    here = "11223344-5566-7788-99aa-bbccddeeff00"
    there = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
    given = identity(fsmeta.run("init", drive))
    if marker(drive).get("filesystem_uuid") is None:
        pytest.skip("this system does not tell the UUID of a loop device")
    assert marker(drive)["filesystem_uuid"] == here
    assert source_of(fsmeta, drive, scratch)["source"]["id"] == given

    put_marker(drive, {**marker(drive), "filesystem_uuid": there})
    for words in (("scan", drive, "-o", os.path.join(scratch, "stream")), ("init", drive)):
        result = fsmeta.refused(*words)
        for part in (here, there, "--force", drive):
            assert part.encode() in result.err, repr(result)
    assert b"--source-id" in fsmeta.refused("scan", drive, "-o", "-").err
    fsmeta.run("ls", drive)
    fsmeta.run("diff", drive, drive)
    assert source_of(fsmeta, drive, scratch, "--source-id=x")["source"]["id"] == "x"

    own = identity(fsmeta.run("init", "--force", drive))
    assert own != given and source_of(fsmeta, drive, scratch)["source"]["id"] == own
    # Without a marker the UUID and the path within the file system are the identity.
    os.unlink(os.path.join(drive, MARKER))
    os.mkdir(os.path.join(drive, "part"))
    assert source_of(fsmeta, drive, scratch)["source"]["id"] == f"fs:{here}:"
    part = os.path.join(drive, "part")
    assert source_of(fsmeta, part, scratch)["source"]["id"] == f"fs:{here}:part"
