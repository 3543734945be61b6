"""Every entry that find(1) sees, exactly, from everything that fsmeta can list.

    live tree ── ls ──────────────────────────────┐
        └─ scan ── stream ── ls (folder, file, pipe, ─┤
                      │          independent reader)  ├── all equal, and equal to find -printf
                      └─ import ── database ── ls ────┤
                                      └─ export ── ls ┘

"Equal" means byte for byte of the JSON lines but for the id, which a live tree does
not have, a stream counts, and a database gives.
"""

import os
import subprocess
import sys

import oracle
import pytest
import treegen
from harness import ENTRIES, SEED, SUPPORT, read_bytes


def settle(tree):
    """Lets the file system allocate what it put off: block counts stand still then."""
    subprocess.run(["sync", "-f", os.fsdecode(tree)], check=True)


def read_independently(*arguments):
    """tests/support/fss_reader.py: written from docs/format.md alone, shares no code."""
    command = [sys.executable, "-B", os.path.join(SUPPORT, "fss_reader.py"), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def chain(fsmeta, tree, scratch):
    """Lists `tree` in every way there is; returns {name: output of ls --format=jsonl}."""
    stream = os.path.join(scratch, "stream")
    database = os.path.join(scratch, "tree.db")
    export = os.path.join(scratch, "export")
    entries = os.path.join(stream, "entries.fss")
    listings = {"live": fsmeta.run("ls", "--format=jsonl", tree).out}

    fsmeta.run("scan", tree, "-o", stream)
    listings["stream folder"] = fsmeta.run("ls", "--format=jsonl", stream).out
    listings["stream file"] = fsmeta.run("ls", "--format=jsonl", entries).out
    with open(entries, "rb") as file:  # a regular file as standard input …
        listings["stream as stdin"] = fsmeta.run("ls", "--format=jsonl", "-", stdin=file).out
    piped = read_bytes(entries)  # … and a pipe, which cannot seek
    listings["stream from a pipe"] = fsmeta.run("ls", "--format=jsonl", "-", data=piped).out
    piped = fsmeta.run("scan", tree, "-o", "-").out
    listings["scan into a pipe"] = fsmeta.run("ls", "--format=jsonl", "-", data=piped).out

    listings["independent reader"] = read_independently(entries)
    read_independently("--check", entries)

    fsmeta.run("import", database, stream)
    listings["database"] = fsmeta.run("ls", "--format=jsonl", database).out
    listings["database@1"] = fsmeta.run("ls", "--format=jsonl", database + "@1").out

    fsmeta.run("export", database, "-o", export)
    listings["export"] = fsmeta.run("ls", "--format=jsonl", export).out
    again = os.path.join(scratch, "again.db")
    fsmeta.run("import", again, export)
    listings["import of the export"] = fsmeta.run("ls", "--format=jsonl", again).out

    direct = os.path.join(scratch, "direct.db")
    fsmeta.run("scan", tree, "--db", direct)
    listings["scan --db"] = fsmeta.run("ls", "--format=jsonl", direct).out

    # Stable ids go along with an export and are adopted: equal to the last byte.
    assert listings["database"] == listings["export"]
    assert listings["database"] == listings["import of the export"]
    assert listings["database"] == listings["database@1"]

    stable = read_independently(os.path.join(export, "entries.fss"))
    assert stable == listings["export"]

    for operand in (stream, entries, database, export, again, direct):
        fsmeta.run("check", operand)
    return listings


def assert_chain(fsmeta, tree, scratch, expected):
    """Everything that lists `tree` says what `expected` (find's listing) says."""
    listings = chain(fsmeta, tree, scratch)
    live = oracle.parse_jsonl(listings["live"])
    oracle.assert_order(live)
    oracle.assert_listings_equal(live, expected, oracle.CORE, "live against find")
    optional = [key for key in oracle.COMPARED if key not in oracle.CORE and key in live[0]]
    oracle.assert_listings_equal(live, expected, oracle.CORE + tuple(optional), "live against find")
    judged = {listings["live"]}  # most are equal byte for byte: no need to parse them again
    for name, output in listings.items():
        if output not in judged:
            oracle.assert_listings_equal(oracle.parse_jsonl(output), live, None, name)
            judged.add(output)
    return live


def test_random_hostile_tree(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED, entries=2500, deep=2000, wide=0)
    settle(tree)
    expected = oracle.find_listing(tree)
    oracle.assert_listings_equal(oracle.python_listing(tree), expected, None, "the oracle itself")
    assert_chain(fsmeta, tree, scratch, expected)


@pytest.mark.parametrize("offset", range(1, 6))
def test_small_random_trees(fsmeta, scratch, offset):
    """More seeds, because one seed is one opinion."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED * 1000 + offset, entries=200 * offset, deep=20, sparse=False)
    settle(tree)
    assert_chain(fsmeta, tree, scratch, oracle.find_listing(tree))


def test_one_wide_folder(fsmeta, scratch):
    """More entries in one folder than a batch holds: it is cut inside the folder."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED, entries=50, wide=max(ENTRIES, 70000), sparse=False)
    settle(tree)
    assert_chain(fsmeta, tree, scratch, oracle.find_listing(tree))


def test_empty_tree(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    os.mkdir(tree)
    assert_chain(fsmeta, tree, scratch, oracle.find_listing(tree))


def test_existing_tree(fsmeta, scratch):
    """A tree of the machine's own, nothing chosen by us."""
    tree = os.environ.get("FSMETA_TEST_TREE", "/usr/include")
    if not os.path.isdir(tree):
        pytest.skip(f"no {tree}")
    expected = oracle.find_listing(tree)
    assert_chain(fsmeta, tree, scratch, expected)


def test_path_and_depth(fsmeta, scratch):
    """`ls OPERAND PATH` and --depth are parts of the whole listing, paths as in the whole."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED, entries=600, deep=30, sparse=False)
    stream = os.path.join(scratch, "stream")
    database = os.path.join(scratch, "tree.db")
    fsmeta.run("scan", tree, "-o", stream)
    fsmeta.run("import", database, stream)
    for operand in (tree, stream, database):
        whole = oracle.parse_jsonl(fsmeta.run("ls", "--format=jsonl", operand).out)
        folders = [entry["path"] for entry in whole if entry["type"] == "folder"][1:]
        for folder in folders[::7]:
            part = oracle.parse_jsonl(fsmeta.run("ls", "--format=jsonl", "--", operand, folder).out)
            inside = [entry for entry in whole if (entry["path"] + b"/").startswith(folder + b"/")]
            below = [entry for entry in inside if entry["path"] != folder]
            # Contract: "what is below PATH"; the folder itself may head the listing.
            listed = [entry for entry in part if entry["path"] != folder]
            oracle.assert_listings_equal(listed, below, None, f"{operand} {folder!r}")
        for depth in (1, 2, 5):
            part = oracle.parse_jsonl(
                fsmeta.run("ls", "--format=jsonl", f"--depth={depth}", operand).out
            )
            shallow = [
                entry for entry in whole if len(oracle.canonical_key(entry["path"])) <= depth
            ]
            oracle.assert_listings_equal(part, shallow, None, f"{operand} --depth={depth}")


def test_null_gives_raw_paths(fsmeta, scratch):
    """-0: nothing but the paths' own bytes, each ended by NUL."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED, entries=300, sparse=False)
    paths = [entry["path"] for entry in oracle.find_listing(tree)]
    for option in ("-0", "--null"):
        output = fsmeta.run("ls", option, tree).out
        assert output.endswith(b"\0")
        assert output[:-1].split(b"\0") == paths
