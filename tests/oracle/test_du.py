"""du(1) is the judge: bytes on the disk and apparent sizes, folder by folder, links once."""

import os
import subprocess

import oracle
import pytest
import treegen
from harness import SEED


@pytest.fixture(scope="module")
def tree(module_scratch):
    folder = os.path.join(module_scratch, "tree")
    treegen.generate(folder, SEED, entries=1500, deep=100)
    subprocess.run(["sync", "-f", folder], check=True)
    return folder


def du_totals(tree, *words):
    output = subprocess.run(
        ["du", "-0", "-B1", *words, "."], stdout=subprocess.PIPE, check=True, cwd=tree
    ).stdout
    totals = {}
    for line in output.split(b"\0")[:-1]:
        size, path = line.split(b"\t", 1)
        totals[b"." if path == b"." else path[2:]] = int(size)
    return totals


def our_totals(fsmeta, *words, **keywords):
    totals = {}
    for line in fsmeta.run("du", "--format=jsonl", *words, **keywords).out.splitlines():
        record = oracle.parse_line(line)
        oracle.take_bytes(record, "path", line)
        assert record["path"] not in totals
        totals[record["path"]] = record
    return totals


def entries_below(tree):
    """{folder: number of entries below it}"""
    counts = {}
    for folder, folders, files in os.walk(os.fsencode(tree)):
        path = os.path.relpath(folder, os.fsencode(tree))
        counts.setdefault(path, 0)
        while True:
            counts[path] = counts.get(path, 0) + len(folders) + len(files)
            if path == b".":
                break
            path = os.path.dirname(path) or b"."
    return counts


def drop_links(tree):
    """Makes all files single, so that each folder's sum does not depend on the order."""
    seen = set()
    for folder, _, files in os.walk(os.fsencode(tree)):
        for name in files:
            status = os.lstat(os.path.join(folder, name))
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    os.unlink(os.path.join(folder, name))
                seen.add((status.st_dev, status.st_ino))


def all_operands(fsmeta, tree, scratch):
    stream = os.path.join(scratch, "stream")
    database = os.path.join(scratch, "tree.db")
    fsmeta.run("scan", tree, "-o", stream)
    fsmeta.run("import", database, stream)
    return tree, stream, database


def folder_sizes(tree):
    """Sum of st_size of folders: du(1) counts them in apparent sizes until coreutils 9.1."""
    output = subprocess.run(
        ["find", ".", "-type", "d", "-printf", "%s\n"], stdout=subprocess.PIPE, check=True, cwd=tree
    ).stdout
    return sum(int(size) for size in output.split())


def other_sizes(tree):
    """The same of devices and the like, should they have any."""
    output = subprocess.run(
        ["find", ".", "!", "-type", "d", "!", "-type", "f", "!", "-type", "l", "-printf", "%s\n"],
        stdout=subprocess.PIPE, check=True, cwd=tree,
    ).stdout
    return sum(int(size) for size in output.split())


def counts_folders(scratch):
    """Whether this du(1) counts what a folder itself is large."""
    empty = os.path.join(scratch, "empty")
    os.mkdir(empty)
    return du_totals(empty, "--apparent-size")[b"."] != 0


def test_totals_with_links(fsmeta, tree, scratch):
    """In sum each inode counts once, whichever link came first."""
    allocated = du_totals(tree)[b"."]
    apparent = du_totals(tree, "--apparent-size")[b"."]
    if counts_folders(scratch):
        apparent -= folder_sizes(tree) + other_sizes(tree)
    for operand in all_operands(fsmeta, tree, scratch):
        ours = our_totals(fsmeta, operand)
        assert ours[b"."]["allocated"] == allocated
        assert ours[b"."]["apparent"] == apparent


def test_every_folder(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED + 1, entries=1200, deep=100)
    drop_links(tree)
    subprocess.run(["sync", "-f", tree], check=True)
    theirs = du_totals(tree)
    counts = entries_below(tree)
    for operand in all_operands(fsmeta, tree, scratch):
        ours = our_totals(fsmeta, operand)
        assert {path: record["allocated"] for path, record in ours.items()} == theirs
        assert {path: record["entries"] for path, record in ours.items()} == counts
    # Folders come behind what is in them, the root last.
    order = list(our_totals(fsmeta, tree))
    assert order[-1] == b"."
    for index, path in enumerate(order):
        assert all(not other.startswith(path + b"/") for other in order[index + 1 :])


def test_depth_and_path(fsmeta, tree):
    for depth in (0, 1, 2, 5):
        theirs = du_totals(tree, f"--max-depth={depth}")
        ours = our_totals(fsmeta, tree, f"--depth={depth}")
        assert set(ours) == set(theirs)
    everything = our_totals(fsmeta, tree)
    part = our_totals(fsmeta, tree, "a")
    assert set(part) == {path for path in everything if path == b"a" or path.startswith(b"a/")}
    assert part[b"a"]["allocated"] == du_totals(os.path.join(tree, "a"))[b"."]
    assert set(our_totals(fsmeta, tree, "a", "--depth=0")) == {b"a"}


def test_a_file_alone(fsmeta, tree):
    ours = our_totals(fsmeta, tree, "a/x")
    status = os.lstat(os.path.join(tree, "a/x"))
    assert list(ours) == [b"a/x"]
    assert ours[b"a/x"]["apparent"] == status.st_size
    assert ours[b"a/x"]["allocated"] == status.st_blocks * 512
    fsmeta.refused("du", tree, "no/such/path")


def test_without_what_is_not_known(fsmeta, tree, scratch):
    """Core fields have no blocks: nothing is said, instead of 0."""
    stream = os.path.join(scratch, "stream")
    fsmeta.run("scan", tree, "-o", stream, "--fields=core")
    ours = our_totals(fsmeta, stream, "--depth=0")
    assert "allocated" not in ours[b"."] and ours[b"."]["apparent"] > 0
    assert fsmeta.run("du", "--depth=0", stream).out.split()[0] == b"-"


def test_text_and_csv(fsmeta, tree):
    text = fsmeta.run("du", tree).out
    assert text.count(b"\n") == len(our_totals(fsmeta, tree))
    assert text.endswith(b"  ./\n")
    table = fsmeta.run("du", "--format=csv", "--depth=0", tree).out
    head, line = table.split(b"\r\n")[:2]
    record = our_totals(fsmeta, tree, "--depth=0")[b"."]
    assert head == b"type,path,path_b64,entries,apparent,allocated"
    assert line == b"folder,.,,%d,%d,%d" % (
        record["entries"], record["apparent"], record["allocated"]
    )
