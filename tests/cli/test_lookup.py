"""fsmeta lookup: what ls says of an entry, by path and by id; paths.idx; what is not there."""

import os
import random
import shutil

import harness
import pytest
import treegen


class Shelf:
    """A tree with hostile names as streams, with and without an index of paths, and its listing."""

    def __init__(self, folder):
        self.folder = folder
        self.tree = os.path.join(folder, "tree")
        self.streams = {name: os.path.join(folder, name) for name in ("plain", "indexed")}


@pytest.fixture(scope="module")
def shelf(module_scratch):
    shelf = Shelf(module_scratch)
    treegen.generate(shelf.tree, harness.SEED, entries=800, wide=9000, sparse=False)
    return shelf


@pytest.fixture
def listing(fsmeta, shelf):
    """Raw paths and JSON lines of all entries, in order; the streams are made when first needed."""
    for name, stream in shelf.streams.items():
        if not os.path.exists(stream):
            option = ["--index"] if name == "indexed" else []
            fsmeta.run("scan", shelf.tree, "-q", "-o", stream, *option, code=(0, 2))
    plain = shelf.streams["plain"]
    paths = fsmeta.run("ls", "-0", plain, code=(0, 2)).out.split(b"\0")[:-1]
    lines = fsmeta.run("ls", "--format=jsonl", plain, code=(0, 2)).out.splitlines()
    assert len(paths) == len(lines) > 9000
    return list(zip(paths, lines))


@pytest.mark.parametrize("name", ["plain", "indexed"])
def test_paths_and_ids(fsmeta, shelf, listing, name):
    stream = shelf.streams[name]
    assert os.path.exists(os.path.join(stream, "paths.idx")) == (name == "indexed")
    chosen = random.Random(harness.SEED).sample(range(len(listing)), 60) + [0, len(listing) - 1]
    paths = [listing[index][0] for index in chosen]
    lines = [listing[index][1] for index in chosen]
    result = fsmeta.run("lookup", "--format=jsonl", stream, "--", *paths)
    assert result.out.splitlines() == lines and result.err == b""
    ids = [str(index + 1) for index in chosen]
    for result in (
        fsmeta.run("lookup", "--id", "--format=jsonl", stream, *ids),
        fsmeta.run("lookup", stream, *ids, "--format=jsonl", "--id"),
        fsmeta.run("lookup", "--format=jsonl", os.path.join(stream, "entries.fss"), *ids, "--id"),
    ):
        assert result.out.splitlines() == lines and result.err == b""
    assert fsmeta.run("lookup", "-0", stream, "--", paths[0]).out == paths[0] + b"\0"


@pytest.mark.parametrize("name", ["plain", "indexed"])
def test_not_there(fsmeta, shelf, listing, name):
    stream = shelf.streams[name]
    path, line = listing[500]
    result = fsmeta.run(
        "lookup", "--format=jsonl", stream, "--", "no/such", path, path + b"\x01", code=1
    )
    assert result.out.splitlines() == [line]
    assert result.err.startswith(b"fsmeta: no/such: not in ")
    assert len(result.err.splitlines()) == 2
    result = fsmeta.run("lookup", stream, "--id", str(len(listing) + 1), "1", code=1)
    assert b"./" in result.out and b"not in" in result.err


def test_stable_ids(fsmeta, shelf, listing, scratch):
    database, stream = os.path.join(scratch, "a.db"), os.path.join(scratch, "s")
    fsmeta.run("import", database, shelf.streams["plain"])
    fsmeta.run("export", database, "-o", stream, code=(0, 2))
    paths = fsmeta.run("ls", "-0", stream, code=(0, 2)).out.split(b"\0")[:-1]
    assert paths == [path for path, _ in listing]
    lines = fsmeta.run("ls", "--format=jsonl", stream, code=(0, 2)).out.splitlines()
    for line in (lines[0], lines[4000], lines[-1]):
        number = line.split(b'"id":')[1].split(b",")[0]
        assert fsmeta.run("lookup", "--format=jsonl", "--id", stream, number).out.splitlines() == [line]


def test_index_of_another_stream(fsmeta, shelf, listing, scratch):
    """It is not used, and named; check says so too; a new scan without --index removes it."""
    stream = os.path.join(scratch, "s")
    tree = os.path.join(scratch, "t")
    os.mkdir(tree)
    fsmeta.run("scan", tree, "-o", stream)
    shutil.copy(os.path.join(shelf.streams["indexed"], "paths.idx"), stream)
    result = fsmeta.run("lookup", stream, ".")
    assert result.out.endswith(b"./\n")
    assert b"paths.idx: not used: it was made for another entries.fss" in result.err
    result = fsmeta.run("check", stream, code=1)
    assert b"another entries.fss" in result.err
    assert fsmeta.run("check", shelf.streams["indexed"]).err == b""
    fsmeta.run("scan", tree, "-o", stream)
    assert sorted(os.listdir(stream)) == ["entries.fss", "source.json"]


def test_damaged_index(fsmeta, shelf, listing, scratch):
    stream = os.path.join(scratch, "s")
    shutil.copytree(shelf.streams["indexed"], stream)
    index = os.path.join(stream, "paths.idx")
    with open(index, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for offset in range(100, size, 4096):
            file.seek(offset)
            file.write(b"\xff\xff")
    result = fsmeta.run("lookup", stream, "no/such", code=1)
    assert b"paths.idx: not used: a page's checksum" in result.err and b"no/such: not in" in result.err
    result = fsmeta.run("lookup", "-0", stream, "--", listing[7][0])
    assert result.out == listing[7][0] + b"\0" and b"paths.idx: not used" in result.err
    fsmeta.run("check", stream, code=1)


def test_refusals(fsmeta, shelf, listing):
    with open(os.path.join(shelf.streams["plain"], "entries.fss"), "rb") as file:
        fsmeta.run("lookup", "-", "x", data=file.read(), stdin=None, code=3)
    fsmeta.run("lookup", shelf.tree, "x", code=3)
    fsmeta.run("lookup", shelf.streams["plain"], "../x", code=64)
    fsmeta.run("lookup", shelf.streams["plain"], "--id", "0", code=64)
    fsmeta.run("lookup", shelf.streams["plain"], "--id", "18446744073709551616", code=64)
    fsmeta.run("lookup", shelf.streams["plain"], code=64)
    fsmeta.run("lookup", code=64)
    fsmeta.run("scan", shelf.tree, "--index", "--db", "x", code=64)
    fsmeta.run("scan", shelf.tree, "--index", "-o", "-", code=64)
