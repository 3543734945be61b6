"""fsmeta prune: what is decided, what is printed, what is left as it was."""

import hashlib
import json
import os
import re
import shutil
import sqlite3

import oracle
import pytest
from harness import read_bytes

# 2026-11-02 is a Monday.
FINISHED = [
    "2025-12-31T12:00:00.000000000Z",
    "2026-10-30T08:00:00.000000000Z",
    "2026-11-01T23:59:59.999999999Z",
    "2026-11-02T00:00:00.000000000Z",
    "2026-11-02T20:00:00.000000000Z",
    "2026-11-04T01:00:00.000000000Z",
]


def add_generation(fsmeta, tree, path, number):
    folder = os.path.join(tree, f"folder{number}")
    os.mkdir(folder)
    with open(os.path.join(folder, "file"), "wb") as file:
        file.write(b"x" * number)
    if number > 2:
        gone = os.path.join(tree, f"folder{number - 2}")
        os.unlink(os.path.join(gone, "file"))
        os.rmdir(gone)
    fsmeta.run("scan", tree, "--db", path, "-q")


@pytest.fixture(scope="module")
def history(fsmeta, module_scratch):
    """A small tree, and a database of six generations of it, finished when FINISHED says."""
    tree = os.path.join(module_scratch, "tree")
    path = os.path.join(module_scratch, "a.db")
    os.makedirs(os.path.join(tree, "always"))
    for number in range(1, len(FINISHED) + 1):
        add_generation(fsmeta, tree, path, number)
    with sqlite3.connect(path) as connection:
        for number, finished in enumerate(FINISHED, 1):
            connection.execute(
                "UPDATE generation SET source = json_set(source, '$.scan.finished', ?,"
                " '$.scan.started', ?) WHERE number = ?",
                (finished, finished, number),
            )
    connection.close()
    fsmeta.run("check", path)
    return module_scratch


@pytest.fixture
def database(history, scratch):
    """A copy of it."""
    shutil.copytree(os.path.join(history, "tree"), os.path.join(scratch, "tree"))
    return shutil.copy(os.path.join(history, "a.db"), scratch)


def state_of(path):
    """The folder and the database to the last bit."""
    folder = os.path.dirname(path)
    status = os.stat(path)
    return sorted(os.listdir(folder)), hashlib.sha256(read_bytes(path)).digest(), status.st_mtime_ns


def without_sizes(output):
    return re.sub(rb"[\d.]+ (?:B|[KM]iB)", b"N KiB", output)


def pruned(fsmeta, path):
    lines = fsmeta.run("log", "--format=jsonl", path).out.splitlines()
    return [line["generation"] for line in map(json.loads, lines) if line["pruned"]]


def decisions(fsmeta, path, *options):
    """{number: reasons or None}, and the closing line."""
    lines = fsmeta.run("prune", path, *options, "--format=jsonl").out.splitlines()
    *items, closing = map(json.loads, lines)
    for item in items:
        assert item["finished"] == FINISHED[item["generation"] - 1]
        assert item["keep"] == bool(item["reasons"])
    return {item["generation"]: item["reasons"] or None for item in items}, closing


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--keep-last", "2"], {5: ["last"], 6: ["last"]}),
        (["--keep-daily", "3"], {3: ["daily"], 5: ["daily"], 6: ["daily"]}),
        (["--keep-weekly", "2"], {3: ["weekly"], 6: ["weekly"]}),
        (["--keep-monthly", "2"], {2: ["monthly"], 6: ["monthly"]}),
        (["--keep-yearly", "7"], {1: ["yearly"], 6: ["yearly"]}),
        (["--keep-within", "2d"], {5: ["within"], 6: ["within"]}),
        (
            ["--keep-last=1", "--keep-daily=2", "--keep-yearly=2"],
            {1: ["yearly"], 5: ["daily"], 6: ["last", "daily", "yearly"]},
        ),
        (["--keep-last=99"], {number: ["last"] for number in range(1, 7)}),
    ],
)
def test_policies(fsmeta, database, options, expected):
    before = state_of(database)
    everything = {number: expected.get(number) for number in range(1, 7)}
    found, closing = decisions(fsmeta, database, *options, "--dry-run")
    assert found == everything
    assert (closing["kept"], closing["removed"]) == (len(expected), 6 - len(expected))
    assert closing["dry_run"] and state_of(database) == before
    found, closing = decisions(fsmeta, database, *options)
    assert found == everything and not closing["dry_run"]
    assert closing["bytes_after"] == os.stat(database).st_size
    assert pruned(fsmeta, database) == [n for n in range(1, 7) if n not in expected]
    fsmeta.run("check", database)


def test_table(fsmeta, database, golden):
    options = ("--keep-last=2", "--keep-daily=2", "--keep-monthly=2")
    out = fsmeta.run("prune", database, *options, "--dry-run").out
    golden("prune-dry-run.txt", without_sizes(out))
    golden("prune.txt", without_sizes(fsmeta.run("prune", database, *options).out))


def test_what_is_left(fsmeta, database):
    before = {n: fsmeta.run("ls", "--format=jsonl", f"{database}@{n}").out for n in range(1, 7)}
    log = fsmeta.run("log", database).out.splitlines()
    fsmeta.run("prune", database, "--keep-monthly", "2")
    for number in (2, 6):
        assert fsmeta.run("ls", "--format=jsonl", f"{database}@{number}").out == before[number]
    # Relative names count what is kept; the list of generations forgets nothing.
    assert fsmeta.run("ls", "--format=jsonl", f"{database}@-1").out == before[2]
    for old, new in zip(log, fsmeta.run("log", database).out.splitlines()):
        assert new in (old, old + b"  pruned")
    changes = fsmeta.run("diff", "--format=jsonl", f"{database}@2", database, code=1).out
    oracle.assert_changes_equal(
        oracle.summarize(oracle.parse_changes(changes)),
        oracle.naive_diff(oracle.parse_jsonl(before[2]), oracle.parse_jsonl(before[6])),
    )


def test_pruned_is_named(fsmeta, database):
    fsmeta.run("prune", database, "--keep-last", "2")
    for command in (
        ["ls", f"{database}@3"],
        ["diff", f"{database}@3", database],
        ["export", f"{database}@3", "-o", "-"],
        ["export", database, "--since", "3", "-o", "-"],
    ):
        assert b"generation 3 was pruned" in fsmeta.refused(*command).err
    assert b"there is no generation 9" in fsmeta.refused("ls", f"{database}@9").err


def test_again_and_further(fsmeta, database):
    """A second prune finds nothing; the next generation takes the next number."""
    fsmeta.run("prune", database, "--keep-last", "1")
    before = state_of(database)
    _, closing = decisions(fsmeta, database, "--keep-last", "1")
    assert closing["removed"] == 0
    assert state_of(database) == before
    fsmeta.run("scan", os.path.join(os.path.dirname(database), "tree"), "--db", database, "-q")
    log = fsmeta.run("log", "--format=jsonl", database).out.splitlines()
    assert json.loads(log[-1])["generation"] == 7
    fsmeta.run("check", database)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--dry-run"],
        ["--keep-last", "0"],
        ["--keep-last", "-1"],
        ["--keep-last", "many"],
        ["--keep-last", "1x"],
        ["--keep-within", "5"],
        ["--keep-within", "5s"],
        ["--keep-last", "1", "--format", "csv"],
        ["--keep-last", "1", "another.db"],
    ],
)
def test_wrong_usage(fsmeta, database, options):
    before = state_of(database)
    fsmeta.run("prune", database, *options, code=64)
    assert state_of(database) == before


def test_wrong_operands(fsmeta, database):
    before = state_of(database)
    folder = os.path.dirname(database)
    fsmeta.run("prune", "--keep-last", "1", code=64)
    for operand in (f"{database}@3", os.path.join(folder, "tree"), "-"):
        fsmeta.refused("prune", operand, "--keep-last", "1", code=64)
    fsmeta.refused("prune", os.path.join(folder, "none.db"), "--keep-last", "1")
    assert state_of(database) == before
