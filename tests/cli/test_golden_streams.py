"""Streams of every released version of the format, kept in tests/golden for ever, read as they were written."""

import os

import harness
import pytest

GOLDEN = os.path.join(harness.ROOT, "tests", "golden")

EXPECTED = {
    "stream-v1-scan": "stream-v1-scan.jsonl",
    "stream-v1-base": "fsmetadb-v2@1.jsonl",
    "stream-v1-export": "fsmetadb-v2@9.jsonl",
}


def golden(name):
    return os.path.join(GOLDEN, name)


def expected(name):
    return harness.read_bytes(golden(name))


@pytest.mark.parametrize("stream", sorted(EXPECTED))
def test_a_stream_is_read(fsmeta, stream):
    entries = os.path.join(golden(stream), "entries.fss")
    fsmeta.run("check", golden(stream))
    listings = [
        fsmeta.run("ls", "--format=jsonl", golden(stream), code=(0, 2)).out,
        fsmeta.run("ls", "--format=jsonl", entries, code=(0, 2)).out,
        fsmeta.run("ls", "--format=jsonl", "-", data=harness.read_bytes(entries), code=(0, 2)).out,
    ]
    assert listings == 3 * [expected(EXPECTED[stream])]


def test_the_index_of_paths_is_used(fsmeta):
    lines = expected("stream-v1-scan.jsonl").splitlines(keepends=True)
    wanted = next(line for line in lines if b'"path":"deep/er/est/frame_000177.npy"' in line)
    stream = golden("stream-v1-scan")
    result = fsmeta.run("lookup", "--format=jsonl", stream, "deep/er/est/frame_000177.npy")
    assert (result.out, result.err) == (wanted, b"")
    assert b"not in" in fsmeta.run("lookup", stream, "deep/er/est/frame_000300.npy", code=1).err


def test_a_delta_leads_from_base_to_export(fsmeta, scratch):
    db = os.path.join(scratch, "archive.db")
    fsmeta.run("check", golden("stream-v1-delta"))
    fsmeta.run("import", "-q", db, golden("stream-v1-base"))
    fsmeta.run("import", "-q", db, golden("stream-v1-delta"), code=(0, 2))
    for number in range(1, 10):
        listing = fsmeta.run("ls", "--format=jsonl", f"{db}@{number}", code=(0, 2)).out
        assert listing == expected(f"fsmetadb-v2@{number}.jsonl"), number
    fsmeta.run("check", db)
