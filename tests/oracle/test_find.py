"""find(1) is the judge of every condition; --changed-since is judged by diff."""

import os
import random
import subprocess

import oracle
import pytest
import treegen
from harness import SEED


@pytest.fixture(scope="module")
def tree(module_scratch):
    folder = os.path.join(module_scratch, "tree")
    treegen.generate(folder, SEED, entries=1200, deep=50)
    return folder


@pytest.fixture(scope="module")
def operands(fsmeta, tree, module_scratch):
    """The tree itself, its stream, and a database of it."""
    stream = os.path.join(module_scratch, "stream")
    database = os.path.join(module_scratch, "tree.db")
    fsmeta.run("scan", tree, "-o", stream)
    fsmeta.run("import", database, stream)
    return tree, stream, database


def theirs(tree, *words):
    """Paths that find(1) selects, in canonical order."""
    output = subprocess.run(
        ["find", ".", *words, "-print0"], stdout=subprocess.PIPE, check=True, cwd=tree,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    ).stdout
    paths = [path[2:] or b"." for path in output.split(b"\0")[:-1]]
    return sorted(paths, key=oracle.canonical_key)


def ours(fsmeta, *words, **keywords):
    output = fsmeta.run("find", "-0", *words, **keywords).out
    assert not output or output.endswith(b"\0")
    return output.split(b"\0")[:-1]


# Ours, and the same for find(1).
CONDITIONS = {
    "everything": ([], []),
    "name": (["--name=*.mp4"], ["-name", "*.mp4"]),
    "name-literal-star": (["--name=\\*"], ["-name", "\\*"]),
    "name-class": (["--name=[a-c!]*"], ["-name", "[a-c!]*"]),
    "name-bytes": (["--name=*\udcff*"], ["-name", "*\udcff*"]),
    "names": (["--name=*.mp4", "--name=f?*.json"], ["(", "-name", "*.mp4", "-o", "-name", "f?*.json", ")"]),
    "path": (["--path=a/*"], ["-path", "./a/*"]),
    "path-deep": (["--path=*/*/*x*"], ["-path", "./*/*/*x*"]),
    "root": (["--path=."], ["-path", "."]),
    "type-file": (["--type=file"], ["-type", "f"]),
    "type-several": (["--type=symlink,folder,socket"], ["-type", "l,d,s"]),
    "type-devices": (["--type=block,char,fifo"], ["-type", "b,c,p"]),
    "type-letters": (["--type=f,p,b"], ["-type", "f,p,b"]),
    "type-letters-mixed": (["--type=d,symlink,s,c"], ["-type", "d,l,s,c"]),
    "larger": (["--larger=4096"], ["-type", "f", "-size", "+4096c"]),
    "larger-unit": (["--larger=1G"], ["-type", "f", "-size", "+1073741824c"]),
    "smaller": (["--smaller=10"], ["-type", "f", "-size", "-10c"]),
    "smaller-unit": (["--smaller=5kB"], ["-type", "f", "-size", "-5000c"]),
    "newer": (["--newer=2018-01-01"], ["-newermt", "2018-01-01 UTC"]),
    "older": (["--older=2018-01-01T12:30:00Z"], ["!", "-newermt", "2018-01-01 12:29:59.999999999 UTC"]),
    "older-days": (["--older=30d"], ["-mtime", "+30"]),
    "all": (
        ["--type=file", "--name=f*", "--larger=1", "--newer=2015-06-01", "--path=*/*"],
        ["-type", "f", "-name", "f*", "-size", "+1c", "-newermt", "2015-06-01 UTC", "-path", "./*/*"],
    ),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition(fsmeta, tree, operands, name):
    mine, his = CONDITIONS[name]
    expected = theirs(tree, *his)
    if name == "older-days":
        # find rounds ages down to whole days.
        exact = ours(fsmeta, operands[1], *mine)
        assert set(expected) <= set(exact) <= set(theirs(tree, "-mtime", "+29"))
        return
    if name not in ("type-devices",):
        assert expected, "a condition that selects nothing tells nothing"
    for operand in operands:
        assert ours(fsmeta, operand, *mine) == expected, operand


def test_path_and_depth(fsmeta, tree, operands):
    for operand in operands:
        expected = [path for path in theirs(tree, "-path", "./a*") if path == b"a" or path.startswith(b"a/")]
        assert ours(fsmeta, operand, "a") == expected
        assert ours(fsmeta, operand, "--depth=2") == theirs(tree, "-maxdepth", "2")
        fsmeta.refused("find", operand, "no/such/path")


def test_rows_are_those_of_ls(fsmeta, operands):
    for operand in operands:
        for form in ("text", "jsonl", "csv"):
            listing = fsmeta.run("ls", "--format=" + form, operand).out
            assert fsmeta.run("find", "--format=" + form, operand).out == listing
            end = b"\r\n" if form == "csv" else b"\n"
            found = fsmeta.run("find", "--format=" + form, "--type=folder", operand).out
            lines = listing.split(end)
            assert set(found.split(end)) < set(lines)


def test_sizes(fsmeta, scratch):
    """Each unit, one byte below and above it."""
    units = {"7": 7, "7B": 7, "2k": 2048, "2K": 2048, "2KiB": 2048, "2kB": 2000, "3M": 3 << 20,
             "3MiB": 3 << 20, "3MB": 3 * 10**6, "1G": 1 << 30, "1GB": 10**9, "1TiB": 1 << 40}
    for text, size in units.items():
        for name, length in (("less", size - 1), ("equal", size), ("more", size + 1)):
            with open(os.path.join(scratch, name), "wb") as file:
                file.truncate(length)
        assert ours(fsmeta, scratch, "--larger=" + text) == [b"more"], text
        assert ours(fsmeta, scratch, "--smaller=" + text) == [b"less"], text
    for text in ("", "K", "-1", "1.5G", "10X", "1Gi", "20E", "99999999999999999999"):
        fsmeta.run("find", scratch, "--larger=" + text, code=64)
    for text in ("", "7x", "tomorrow", "2026-13-01", "2026-11-20T25:00:00Z"):
        fsmeta.run("find", scratch, "--newer=" + text, code=64)


def test_changed_since(fsmeta, scratch):
    """All that is new or not as it was, for each generation, as diff has it."""
    tree = os.path.join(scratch, "tree")
    database = os.path.join(scratch, "tree.db")
    treegen.generate(tree, SEED + 3, entries=300)
    rng = random.Random(SEED)
    for number in range(1, 5):
        if number > 1:
            treegen.mutate(tree, rng.randrange(1000), changes=25)
        fsmeta.run("scan", tree, "--db", database, "--accept-removed", code=(0, 2))
    for since in range(1, 5):
        output = fsmeta.run(
            "diff", "--no-moves", "--format=jsonl", f"{database}@{since}", database, code=(0, 1)
        ).out
        changes = oracle.parse_changes(output)
        expected = [change["path"] for change in changes if change["kind"] in ("added", "modified")]
        assert ours(fsmeta, database, f"--changed-since={since}") == expected
        files = ours(fsmeta, database, f"--changed-since={since}", "--type=file", "--name=*.*")
        assert set(files) == {
            path for path in expected
            if os.path.isfile(os.path.join(os.fsencode(tree), path))
            and not os.path.islink(os.path.join(os.fsencode(tree), path))
            and b"." in os.path.basename(path)
        }
        if since == 4:
            assert not expected
        else:
            assert expected
    assert ours(fsmeta, database + "@3", "--changed-since=2") == ours(
        fsmeta, database + "@-1", "--changed-since=-2")
    part = ours(fsmeta, database, "a", "--changed-since=1")
    assert part == [p for p in ours(fsmeta, database, "--changed-since=1") if p == b"a" or p.startswith(b"a/")]
    fsmeta.run("find", tree, "--changed-since=1", code=64)
    fsmeta.refused("find", database, "--changed-since=9")


# ---- the same conditions for changes -----------------------------------------


@pytest.fixture(scope="module")
def pair(fsmeta, module_scratch):
    tree = os.path.join(module_scratch, "changing")
    streams = [os.path.join(module_scratch, name) for name in ("before", "after")]
    treegen.generate(tree, SEED + 4, entries=400)
    fsmeta.run("scan", tree, "-o", streams[0])
    treegen.mutate(tree, SEED, changes=100)
    treegen.remove(os.path.join(os.fsencode(tree), b"a"))
    fsmeta.run("scan", tree, "-o", streams[1])
    return streams


def changes_of(fsmeta, pair, *words, code=(0, 1)):
    result = fsmeta.run("diff", "--format=jsonl", *pair, *words, code=code)
    assert result.code == (1 if result.out else 0)
    return oracle.parse_changes(result.out)


def test_diff_filters(fsmeta, pair):
    everything = changes_of(fsmeta, pair)
    key = lambda change: (change["kind"], change["path"], change.get("old_path"))
    for words, select in (
        (["--kind=added"], lambda c: c["kind"] == "added"),
        (["--kind=removed,modified"], lambda c: c["kind"] in ("removed", "modified")),
        (["--type=folder"], lambda c: c["type"] == "folder"),
        (["--type=file", "--kind=added"], lambda c: (c["kind"], c["type"]) == ("added", "file")),
        (["--path=a/*"], lambda c: b"a/" in (c["path"][:2], c.get("old_path", b"")[:2])),
        (["--name=nothing-is-called-so"], lambda c: False),
    ):
        expected = [key(change) for change in everything if select(change)]
        assert [key(change) for change in changes_of(fsmeta, pair, *words)] == expected, words


def test_text_shows_what_a_filter_leaves(fsmeta, pair):
    """A file inside a removed folder that is not shown has a line of its own."""
    changes = changes_of(fsmeta, pair, "--path=a/*", "--kind=removed")
    output = fsmeta.run("diff", *pair, "--path=a/*", "--kind=removed", code=1).out
    top = [c for c in changes if c["path"].count(b"/") == 1]
    assert output.count(b"\n") == len(top) > 0
    files = fsmeta.run("diff", *pair, "--path=a/*", "--type=file", "--kind=removed", code=1).out
    assert files.count(b"\n") == len([c for c in changes if c["type"] == "file"])
    whole = fsmeta.run("diff", *pair, "--path=a", "--path=a/*", "--kind=removed", code=1).out
    assert whole.count(b"\n") == 1 and whole.startswith(b"D  a/")
    expanded = fsmeta.run("diff", "--all", *pair, "--path=a/*", "--kind=removed", code=1).out
    assert expanded.count(b"\n") == len(changes)


def bytes_of(change, side):
    """Bytes of a file on one side of a change; what it was or is."""
    if change["type"] != "file":
        return 0
    if change["kind"] in ("added", "removed"):
        wanted = {"added": "new", "removed": "old"}[change["kind"]]
        return change.get("size", 0) if side == wanted else 0
    return change.get(side, {}).get("size", 0)


def weigh(change):
    came = bytes_of(change, "new") - bytes_of(change, "old")
    entries = 1 + (change.get("entries", 0) if change["kind"] == "moved" else 0)
    return entries, max(came, 0), max(-came, 0)


def top_of(change, depth):
    folder = change["path"] if change["type"] == "folder" else os.path.dirname(change["path"])
    parts = [part for part in folder.split(b"/") if part not in (b"", b".")]
    return b"/".join(parts[:depth]) or b"."


@pytest.mark.parametrize("depth", [0, 1, 2, 40])
def test_stat(fsmeta, pair, depth):
    """The summary is the sum of the lines."""
    kinds, folders = {}, {}
    for change in changes_of(fsmeta, pair):
        for table, row in ((kinds, change["kind"]), (folders, top_of(change, depth))):
            sums = table.setdefault(row, [0, 0, 0])
            for index, value in enumerate(weigh(change)):
                sums[index] += value
    output = fsmeta.run("diff", "--stat", f"--depth={depth}", "--format=jsonl", *pair, code=1).out
    found = {"kind": {}, "path": {}}
    order = []
    for line in output.splitlines():
        record = oracle.parse_line(line)
        sums = [record["entries"], record["came"], record["went"]]
        if "kind" in record:
            found["kind"][record["kind"]] = sums
            continue
        oracle.take_bytes(record, "path", line)
        assert record["path"] not in found["path"]
        found["path"][record["path"]] = sums
        order.append((-sums[1] - sums[2], -sums[0]))
    assert found["kind"] == kinds
    assert found["path"] == folders
    assert order == sorted(order)
    text = fsmeta.run("diff", "--stat", f"--depth={depth}", *pair, code=1).out
    assert text.count(b"\n") == len(kinds) + len(folders) + 3


def test_stat_of_nothing(fsmeta, pair):
    assert fsmeta.run("diff", "--stat", pair[0], pair[0]).out == b""
    assert fsmeta.run("diff", "--stat", *pair, "--name=nothing", code=0).out == b""


def test_raw_paths_are_text_alone(fsmeta, scratch):
    """Nobody is left to wonder which of the two was meant."""
    tree = os.path.join(scratch, "plain")
    os.mkdir(tree)
    for command in (["ls", tree], ["find", tree], ["diff", tree, tree]):
        for form in ("jsonl", "csv"):
            result = fsmeta.run(*command, "-0", f"--format={form}", code=64)
            assert result.out == b"" and b"--null" in result.err
        fsmeta.run(*command, "-0", "--format=text")
