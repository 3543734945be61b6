"""The oracles against each other: a harness that errs would let everything pass."""

import os
import subprocess

import oracle
import pytest
import test_rsync
import treegen
from harness import SEED, need


def test_find_and_python_agree(scratch):
    """Every field, on a tree with everything in it: two readers, one listing."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED, entries=1000, deep=2000)
    subprocess.run(["sync", "-f", tree], check=True)
    listing = oracle.find_listing(tree)
    oracle.assert_listings_equal(listing, oracle.python_listing(tree))
    oracle.assert_order(listing)
    types = {entry["type"] for entry in listing}
    assert {"file", "folder", "symlink", "fifo", "socket"} <= types
    assert max(len(oracle.canonical_key(entry["path"])) for entry in listing) >= 2000
    assert min(entry["mtime"] for entry in listing) < 0
    assert max(entry["mtime"] for entry in listing) > 2**31 * oracle.NANO
    assert max(entry["nlink"] for entry in listing if entry["type"] == "file") > 1
    assert any(b"\n" in entry["path"] for entry in listing)
    assert any(len(entry["path"].split(b"/")[-1]) == 255 for entry in listing)


def test_same_seed_same_tree(scratch):
    trees = [os.path.join(scratch, name) for name in ("one", "two", "three")]
    for tree, seed in zip(trees, (SEED, SEED, SEED + 1)):
        treegen.generate(tree, seed, entries=300)
    same = ("path", "type", "size", "mode", "uid", "gid", "target", "rdev", "nlink")
    listings = [oracle.find_listing(tree) for tree in trees]
    oracle.assert_listings_equal(listings[0], listings[1], same)
    with pytest.raises(AssertionError):
        oracle.assert_listings_equal(listings[0], listings[2], same)
    done = treegen.mutate(trees[0], SEED, 50), treegen.mutate(trees[1], SEED, 50)
    assert done[0] == done[1]


def test_rsync_and_naive_diff_agree(scratch):
    need("rsync")
    before, after = test_rsync.make_trees(scratch, SEED + 7)
    treegen.mutate(after, SEED + 7, 200)
    changes = oracle.naive_diff(oracle.find_listing(before), oracle.find_listing(after))
    test_rsync.compare_with_rsync(changes, before, after)
    # And it would notice: a change less, a change more.
    some = sorted(change for change in changes if change[0] == "modified")[0]
    with pytest.raises(AssertionError):
        test_rsync.compare_with_rsync(changes - {some}, before, after)
    with pytest.raises(AssertionError):
        test_rsync.compare_with_rsync(changes | {("added", b"nowhere")}, before, after)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1970-01-01T00:00:00.000000000Z", 0),
        ("1969-12-31T23:59:58.250000000Z", -1_750_000_000),
        ("2024-02-29T12:00:00.000000001Z", 1709208000_000000001),
        ("2262-04-11T23:47:16.854775808Z", 2**63),
        ("+12026-01-01T00:00:00.000000000Z", 317336745600_000000000),
        ("0000-03-01T00:00:00.000000000Z", -62162035200_000000000),
    ],
)
def test_times(text, expected):
    assert oracle.parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T12:00:00Z",
        "2024-02-29T12:00:00.000000001",
        "2024-02-29 12:00:00.000000001Z",
        "2024-13-29T12:00:00.000000001Z",
        "24-02-29T12:00:00.000000001Z",
    ],
)
def test_times_refused(text):
    with pytest.raises(ValueError):
        oracle.parse_time(text)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"file","path":"a\x1bb"}\n',  # a raw control byte
        b'{"type":"file","path":"a","path":"b"}\n',  # a key twice
        b'{"type":"file","path":"a","path_b64":"YQ=="}\n',  # needless path_b64
        b'{"type":"file","path":"x","path_b64":"/w=="}\n',  # does not fit the path
        b'{"type":"file","path":"a","size":"1"}\n',  # a number as text
        b'{"type":"file","path":"a","mode":"100644"}\n',  # with type bits
        b'{"type":"dir","path":"a"}\n',  # no such type
        b'{"type":"file","path":"a","colour":1}\n',  # no such key
        b'{"type":"file","path":"a"}',  # cut
        b'{"type":"file","path":"\xff"}\n',  # no UTF-8
    ],
)
def test_malformed_lines_are_noticed(line):
    with pytest.raises((AssertionError, UnicodeDecodeError)):
        oracle.parse_jsonl(line)


def test_raw_names_survive():
    line = b'{"type":"file","path":"\xef\xbf\xbd\\n","path_b64":"/wo="}\n'
    assert oracle.parse_jsonl(line) == [{"type": "file", "path": b"\xff\n"}]


def test_order_is_noticed():
    in_order = [b".", b"a", b"a/x", b"a!b", b"a.mp4", b"b"]
    oracle.assert_order([{"path": path} for path in in_order])
    for wrong in ([b"a", b"a!b", b"a/x"], [b"a", b"a"], [b"b", b"a"], [b"a", b"."]):
        with pytest.raises(AssertionError):
            oracle.assert_order([{"path": path} for path in wrong])
    replaced = [{"path": b"a", "kind": "removed"}, {"path": b"a", "kind": "added"}]
    oracle.assert_order(replaced)
    with pytest.raises(AssertionError):
        oracle.assert_order(replaced[::-1])
