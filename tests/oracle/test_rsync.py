"""Two hundred changes, told by fsmeta in three ways and by rsync in its own.

    before ── cp -a ── tree, 200 changes ── after
       │                                      │
       ├─ stream ─ database        live ──────┤
       └─ diff of each against each, all the same, and the same as
          rsync -ani --delete --modify-window=-1 after/ before/

What rsync says, and how it is read (man rsync, --itemize-changes, "YXcstpoguax"):

    *deleting   path     removed (a folder ends in "/")
    >f+++++++++ path     added; any letter in place of f
    .f...p.....  path    modified: s size, t mtime, p mode, o uid, g gid, c target or rdev

What rsync cannot see or says otherwise, and what is made of it here:

  - Folders' mtimes (t on d lines): rsync shows them, fsmeta reports them only on
    request.  The letter is dropped.
  - A symlink's size: is the length of its target; rsync shows c alone.  "size" is
    dropped from fsmeta's fields where "target" is among them.
  - A path whose type changed: rsync shows the arrival alone (and of a replaced folder
    sometimes what was in it).  For such paths only the arrival is compared with rsync;
    the tombstones are compared with the naive diff of find's listings, which sees
    everything, and with which all of fsmeta's answers are compared as well.
  - Symlink modes and sizes of special files never change.
"""

import os
import re
import subprocess

import oracle
import pytest
import treegen
from harness import SEED, need

LETTERS = {3: "size", 4: "mtime", 5: "mode", 6: "uid", 7: "gid"}


def unescape(name):
    """rsync writes what is not printable as \\#ooo, in the C locale every byte above 127."""
    return re.sub(rb"\\#([0-7]{3})", lambda match: bytes([int(match[1], 8)]), name)


def rsync_changes(before, after):
    """What rsync would do to make `before` like `after`, as tuples of naive_diff()."""
    output = subprocess.run(
        ["rsync", "-ani", "--delete", "--modify-window=-1", "--no-human-readable"]
        + ["--out-format=%i %n", after + "/", before + "/"],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout
    changes = set()
    for line in output.split(b"\n"):
        if not line:
            continue
        item, name = line[:11].decode(), unescape(line[12:])
        path = name[:-1] if name.endswith(b"/") else name
        path = path or b"."
        if path == b"./" or path == b".":
            path = b"."
        if item.startswith("*deleting"):
            changes.add(("removed", path))
            continue
        kind = item[1]
        if item[2:].startswith("+"):
            changes.add(("added", path))
            continue
        fields = {LETTERS[place] for place in LETTERS if item[place] not in ". "}
        if kind == "d":
            fields.discard("mtime")
        if item[2] == "c":
            fields.add({"L": "target", "D": "rdev"}[kind])
        if fields:
            changes.add(("modified", path, tuple(sorted(fields))))
    return changes


def as_rsync_would(changes):
    """fsmeta's or the naive changes in rsync's words; see the head of the file."""
    result = set()
    for change in changes:
        if change[0] == "modified" and "target" in change[2]:
            change = (change[0], change[1], tuple(f for f in change[2] if f != "size"))
        result.add(change)
    return result


def replaced_paths(changes):
    removed = {change[1] for change in changes if change[0] == "removed"}
    return removed & {change[1] for change in changes if change[0] == "added"}


def without_tombstones_at(changes, paths):
    """Drops removals at or below `paths`."""

    def concerned(path):
        parts = path.split(b"/")
        return any(b"/".join(parts[:end]) in paths for end in range(1, len(parts) + 1))

    return {
        change for change in changes if change[0] != "removed" or not concerned(change[1])
    }


def compare_with_rsync(changes, before, after):
    paths = replaced_paths(changes)
    mine = without_tombstones_at(as_rsync_would(changes), paths)
    theirs = without_tombstones_at(rsync_changes(before, after), paths)
    oracle.assert_changes_equal(mine, theirs, "against rsync")


def make_trees(scratch, seed):
    before, after = os.path.join(scratch, "before"), os.path.join(scratch, "after")
    treegen.generate(before, seed, entries=800, deep=30)
    subprocess.run(["cp", "-a", before, after], check=True)
    return before, after


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_two_hundred_changes(fsmeta, scratch, seed):
    need("rsync")
    before, after = make_trees(scratch, seed)

    # A copy is equal in all that is reported: the harness itself, and exit status 0.
    assert rsync_changes(before, after) == set()
    assert fsmeta.run("diff", "--format=jsonl", before, after, code=0).out == b""

    done = treegen.mutate(after, seed, 200)
    assert sum(done.values()) == 200
    listing_before, listing_after = oracle.find_listing(before), oracle.find_listing(after)
    expected = oracle.naive_diff(listing_before, listing_after)
    assert len(expected) >= 200
    compare_with_rsync(expected, before, after)  # two oracles, one opinion

    operands = {}
    for name, tree in (("before", before), ("after", after)):
        stream = os.path.join(scratch, name + ".stream")
        database = os.path.join(scratch, name + ".db")
        fsmeta.run("scan", tree, "-o", stream)
        fsmeta.run("import", database, stream)
        operands[name] = {"live": tree, "stream": stream, "database": database}

    outputs = {}
    for old in operands["before"]:
        for new in operands["after"]:
            outputs[old, new] = fsmeta.run(
                "diff", "--format=jsonl", operands["before"][old], operands["after"][new], code=1
            ).out

    reference = None
    for pair, output in outputs.items():
        changes = oracle.parse_changes(output)
        oracle.assert_order(changes)
        summary = oracle.summarize(changes)
        oracle.assert_changes_equal(summary, expected, " against ".join(pair))
        values = [without_ids(change) for change in changes]
        reference = reference or values
        assert values == reference, pair
    assert_values(reference, listing_before, listing_after)
    compare_with_rsync(summary, before, after)

    # The same backwards, and each against itself.
    backwards = {
        "added": "removed",
        "removed": "added",
        "modified": "modified",
    }
    result = fsmeta.run(
        "diff", "--format=jsonl", operands["after"]["database"], operands["before"]["stream"], code=1
    )
    turned = {(backwards[change[0]], *change[1:]) for change in expected}
    oracle.assert_changes_equal(
        oracle.summarize(oracle.parse_changes(result.out)), turned, "backwards"
    )
    for operand in operands["after"].values():
        assert fsmeta.run("diff", "--format=jsonl", operand, operand, code=0).out == b""


def without_ids(change):
    """Ids differ between operands by their nature; all the rest must not."""
    change = {key: value for key, value in change.items() if key != "id"}
    for side in ("old", "new"):
        if side in change:
            change[side] = {key: value for key, value in change[side].items() if key != "id"}
    return change


def assert_values(changes, listing_before, listing_after):
    """The values that the lines carry are those that find printed."""
    before = {entry["path"]: entry for entry in listing_before}
    after = {entry["path"]: entry for entry in listing_after}
    for change in changes:
        path = change["path"]
        if change["kind"] == "modified":
            for field in change["fields"]:
                assert change["old"][field] == before[path][field], change
                assert change["new"][field] == after[path][field], change
            continue
        listing, entry = (
            (listing_after, after[path]) if change["kind"] == "added" else (listing_before, before[path])
        )
        for key in oracle.CORE:
            assert change.get(key) == entry.get(key), (key, change, entry)
        if change["type"] == "folder":
            inside = [one for one in listing if one["path"].startswith(path + b"/")]
            assert change["entries"] == len(inside), change
            assert change["bytes"] == sum(
                one["size"] for one in inside if one["type"] == "file"
            ), change


def test_generations_of_one_database(fsmeta, scratch):
    """The same changes as two generations of one source, and as a third that undoes them."""
    before, after = make_trees(scratch, SEED + 50)
    treegen.mutate(after, SEED + 50, 200)
    database = os.path.join(scratch, "tree.db")
    listings = [oracle.find_listing(before), oracle.find_listing(after)]
    for tree in (before, after, before):
        fsmeta.run("scan", tree, "--source-id", "camera-shelf", "--db", database)
    expected = oracle.naive_diff(*listings)
    for pair in (("@1", "@2"), ("@-1", "@1")):
        result = fsmeta.run("diff", "--format=jsonl", database + pair[0], database + pair[1], code=(0, 1))
        if pair == ("@1", "@2"):
            changes = oracle.summarize(oracle.parse_changes(result.out))
            oracle.assert_changes_equal(changes, expected, "generations")
    assert fsmeta.run("diff", database + "@1", database + "@3").out == b""
    fsmeta.run("diff", database + "@latest", before, code=0)
    fsmeta.run("check", database)
