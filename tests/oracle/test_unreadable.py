"""A folder that cannot be read is unknown, not empty.

Runs as an ordinary user, because root reads everything: where the tests run as root, fsmeta
runs as nobody on a tree that belongs to nobody.
"""

import os
import re

import oracle
import pytest
from harness import as_ordinary_user

SECRET = b"b-secret"


def give_away(root):
    """Makes the tree belong to the user that fsmeta will run as."""
    if not as_ordinary_user():
        return
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [b"."] + folders + files:
            os.chown(os.path.join(folder, name), 65534, 65534, follow_symlinks=False)


@pytest.fixture
def tree(scratch):
    """root/{a-open,b-secret/{deep/{leaf},file},c-open}, files of known sizes."""
    root = os.path.join(scratch, "tree")
    for folder in ("a-open", "b-secret/deep", "c-open"):
        os.makedirs(os.path.join(root, folder))
    for name, size in (
        ("a-open/file", 10),
        ("b-secret/file", 20),
        ("b-secret/deep/leaf", 30),
        ("c-open/file", 40),
        ("d-file", 50),
    ):
        with open(os.path.join(root, name), "wb") as file:
            file.write(b"x" * size)
    give_away(scratch)
    return root


@pytest.fixture(scope="module")
def user(fsmeta):
    return fsmeta.as_ordinary_user()


def listing(user, *operand, code=0):
    output = user.run("ls", "--format=jsonl", *operand, code=code).out
    entries = oracle.parse_jsonl(output)
    oracle.assert_order(entries)
    return {entry["path"]: entry for entry in entries}


def changes(user, old, new, code):
    return oracle.parse_changes(user.run("diff", "--format=jsonl", old, new, code=code).out)


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_unreadable_folder(user, scratch, tree, mode):
    """0: nothing; 0400: names without metadata; 0100: metadata but no names."""
    secret = os.path.join(tree, "b-secret")
    database = os.path.join(scratch, "tree.db")
    whole = os.path.join(scratch, "whole")
    partial = os.path.join(scratch, "partial")
    user.run("scan", tree, "-o", whole)
    user.run("scan", tree, "--db", database)
    known = listing(user, database)
    seen_before = user.run("ls", "--format=jsonl", database).out

    os.chmod(secret, mode)

    # The live tree: everything else is there, the folder says why it is not.
    live = listing(user, tree, code=2)
    assert live[SECRET]["type"] == "folder"
    if mode != 0o400:
        assert live[SECRET]["error"] == "EACCES"
        assert not [path for path in live if path.startswith(SECRET + b"/")]
    else:  # readable names, but nothing can be asked about them
        below = [path for path in live if path.startswith(SECRET + b"/")]
        assert "error" in live[SECRET] or all(live[path]["error"] == "EACCES" for path in below)
    for path in (b"a-open/file", b"c-open/file", b"d-file"):
        assert "error" not in live[path] and live[path]["size"] == known[path]["size"]

    # A scan says so by its exit status and on stderr, and keeps what it saw.
    result = user.run("scan", tree, "-o", partial, code=2)
    assert re.search(rb"\b[1-9]\d* unreadable\b", result.err), repr(result)
    assert listing(user, partial, code=(0, 2))[b"c-open/file"]["size"] == 40

    # Diff: no word of removal, by any route; the place itself is named once.
    for old in (whole, database):
        for new in (tree, partial):
            told = changes(user, old, new, code=2)
            assert not [one for one in told if one["kind"] == "removed"], told
            assert not [one for one in told if one["kind"] == "added"], told
            if mode == 0o400:
                continue
            named = [one for one in told if one["kind"] == "unreadable"]
            assert [one["path"] for one in named] == [SECRET], told
            assert named[0]["entries"] == 3 and named[0]["bytes"] == 50, told

    # The database carries what it knew.
    user.run("scan", tree, "--db", database, code=2)
    carried = listing(user, database, code=(0, 2))
    assert set(carried) == set(known)
    for path in (b"b-secret/file", b"b-secret/deep", b"b-secret/deep/leaf"):
        for key in ("type", "size", "mtime", "mode", "id"):
            assert carried[path][key] == known[path][key], path
        if mode == 0o400 and path != b"b-secret/deep/leaf":
            # Its name was seen, the rest is as it was known; the error says so.
            assert carried[path]["error"] == "EACCES", carried[path]
        else:
            assert carried[path].get("unknown_since") == 2, carried[path]
    for path in (b"a-open/file", b"c-open", b"d-file", b"."):
        assert "unknown_since" not in carried[path]

    # A third, equally blind scan leaves unknown_since where it began.
    user.run("scan", tree, "--db", database, code=2)
    again = listing(user, database, code=(0, 2))
    assert again[b"b-secret/deep/leaf"]["unknown_since"] == 2
    assert {path: entry.get("unknown_since") for path, entry in again.items()} == {
        path: entry.get("unknown_since") for path, entry in carried.items()
    }

    # The first generation is untouched by all this.
    assert user.run("ls", "--format=jsonl", database + "@1").out == seen_before

    # Readable again, with a change that happened in the dark.
    os.chmod(secret, 0o755)
    with open(os.path.join(secret, "file"), "ab") as file:
        file.write(b"more")
    user.run("scan", tree, "--db", database)
    now = listing(user, database)
    assert set(now) == set(known)
    assert not [entry for entry in now.values() if "unknown_since" in entry or "error" in entry]
    assert now[b"b-secret/file"]["size"] == 24
    assert now[b"b-secret/deep/leaf"]["id"] == known[b"b-secret/deep/leaf"]["id"]
    told = changes(user, database + "@1", database + "@4", code=1)
    assert {(one["kind"], one["path"]) for one in told} == {("modified", b"b-secret/file")}
    user.run("check", database)
    history = user.run("log", database).out
    assert history, "log says nothing"


def test_removed_while_unreadable(user, scratch, tree):
    """What was deleted in the dark is removed when the light is on again, not before."""
    secret = os.path.join(tree, "b-secret")
    database = os.path.join(scratch, "tree.db")
    user.run("scan", tree, "--db", database)
    os.unlink(os.path.join(secret, "deep", "leaf"))
    os.chmod(secret, 0)
    user.run("scan", tree, "--db", database, code=2)
    told = changes(user, database + "@1", database + "@2", code=2)
    assert not [one for one in told if one["kind"] == "removed"], told
    os.chmod(secret, 0o755)
    user.run("scan", tree, "--db", database)
    told = changes(user, database + "@2", database + "@3", code=(1, 2))
    removed = [one["path"] for one in told if one["kind"] == "removed"]
    assert removed == [b"b-secret/deep/leaf"], told
    told = changes(user, database + "@1", database + "@3", code=1)
    assert [one["path"] for one in told if one["kind"] == "removed"] == [b"b-secret/deep/leaf"]


def test_unreadable_from_the_first(user, scratch, tree):
    """Nothing was ever known below: the folder alone, with its error, and later all is added."""
    secret = os.path.join(tree, "b-secret")
    database = os.path.join(scratch, "tree.db")
    os.chmod(secret, 0)
    user.run("scan", tree, "--db", database, code=2)
    first = listing(user, database, code=(0, 2))
    assert first[SECRET]["error"] == "EACCES"
    assert "size" in first[b"d-file"] and b"b-secret/file" not in first
    os.chmod(secret, 0o755)
    user.run("scan", tree, "--db", database)
    told = changes(user, database + "@1", database + "@2", code=(1, 2))
    added = [one["path"] for one in told if one["kind"] == "added"]
    assert added == [b"b-secret/deep", b"b-secret/deep/leaf", b"b-secret/file"], told
    assert not [one for one in told if one["kind"] == "removed"], told


def test_unreadable_root(user, scratch, tree):
    """A root that cannot be read is no scan: refused, and nothing is written."""
    database = os.path.join(scratch, "tree.db")
    user.run("scan", tree, "--db", database)
    before = listing(user, database)
    os.chmod(tree, 0)
    try:
        result = user.refused("scan", tree, "--db", database)
        assert b"ermission denied" in result.err, repr(result)
        user.refused("scan", tree, "-o", os.path.join(scratch, "stream"))
        assert not os.path.exists(os.path.join(scratch, "stream"))
        user.refused("ls", tree)
    finally:
        os.chmod(tree, 0o755)
    assert listing(user, database) == before
