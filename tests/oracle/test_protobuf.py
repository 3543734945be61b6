"""A stream needs nobody's code but zstd's and protobuf's to be read."""

import os
import re
import shutil
import subprocess

import pytest
import treegen
from harness import ROOT, SEED, need

PROTO = os.path.join(ROOT, "format", "fsscan.proto")


@pytest.fixture(scope="module")
def streams(fsmeta, module_scratch):
    """Entry files of an empty, a hostile and a wide tree, and of a database's export."""
    made = {}
    for name, options in (
        ("empty", {}),
        ("hostile", {"entries": 800, "deep": 100}),
        ("wide", {"entries": 10, "wide": 40000, "sparse": False}),
    ):
        tree = os.path.join(module_scratch, name + ".tree")
        if options:
            treegen.generate(tree, SEED, **options)
        else:
            os.mkdir(tree)
        stream = os.path.join(module_scratch, name)
        fsmeta.run("scan", tree, "-o", stream)
        made[name] = os.path.join(stream, "entries.fss")
    database, export = os.path.join(module_scratch, "x.db"), os.path.join(module_scratch, "export")
    fsmeta.run("import", database, os.path.join(module_scratch, "hostile"))
    fsmeta.run("export", database, "-o", export)
    made["export"] = os.path.join(export, "entries.fss")
    made["pipe"] = os.path.join(module_scratch, "pipe.fss")
    with open(made["pipe"], "wb") as file:
        file.write(fsmeta.run("scan", os.path.join(module_scratch, "hostile.tree"), "-o", "-").out)
    return made


def split_records(data):
    """Messages between varint lengths, as every protobuf library writes them."""
    place, records = 0, []
    while place < len(data):
        length = shift = 0
        while True:
            byte = data[place]
            place += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        assert place + length <= len(data), "the last record is cut"
        records.append(data[place : place + length])
        place += length
    return records


def record_name():
    with open(PROTO, encoding="utf-8") as file:
        match = re.search(r"^\s*package\s+([\w.]+)\s*;", file.read(), re.MULTILINE)
    return f"{match[1]}.Record" if match else "Record"


def protoc_decode(record):
    """protoc's text; fields that the schema does not know stand in it as bare numbers."""
    text = subprocess.run(
        ["protoc", f"--decode={record_name()}", f"-I{os.path.dirname(PROTO)}", PROTO],
        input=record,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    unknown = re.findall(rb"^\s*\d+(?::| \{).*$", text, re.MULTILINE)
    assert not unknown, f"fields that fsscan.proto does not know: {unknown[:3]}"
    return text


@pytest.mark.parametrize("name", ["empty", "hostile", "wide", "export", "pipe"])
def test_stock_tools(streams, name):
    need("zstd")
    need("protoc")
    path = streams[name]
    subprocess.run(["zstd", "-q", "-t", path], check=True)
    data = subprocess.run(
        ["zstd", "-q", "-d", "-c", path], stdout=subprocess.PIPE, check=True
    ).stdout
    records = split_records(data)
    kinds = []
    for record in records:
        text = protoc_decode(record)
        kinds.append(re.match(rb"\w+", text)[0].decode())
    assert kinds[0] == "header" and kinds[-1] == "trailer"
    assert set(kinds[1:-1]) <= {"batch"}
    assert "batch" in kinds
    if name == "wide":
        assert kinds.count("batch") >= 2, "cut inside a folder"


def test_frames_are_independent(streams):
    """Every frame but the seek table decompresses on its own and has a checksum."""
    zstandard = pytest.importorskip("zstandard")
    with open(streams["wide"], "rb") as file:
        data = file.read()
    # The seek table, zstd's contrib/seekable_format: footer, then its frame's start.
    assert data[-4:] == bytes.fromhex("b1ea928f"), "no seek table at the end"
    frames = int.from_bytes(data[-9:-5], "little")
    descriptor = data[-5]
    assert descriptor & 0x7C == 0, "reserved bits of the seek table"
    entry_bytes = 12 if descriptor & 0x80 else 8
    table = len(data) - 9 - frames * entry_bytes
    assert data[table - 8 : table - 4] == bytes.fromhex("5e2a4d18"), "not a skippable frame"
    offset = 0
    total = 0
    for number in range(frames):
        place = table + number * entry_bytes
        compressed = int.from_bytes(data[place : place + 4], "little")
        plain = int.from_bytes(data[place + 4 : place + 8], "little")
        frame = data[offset : offset + compressed]
        parameters = zstandard.get_frame_parameters(frame)
        assert parameters.has_checksum, f"frame {number} has no checksum"
        whole = zstandard.ZstdDecompressor().decompressobj().decompress(frame)
        assert len(whole) == plain, f"frame {number}"
        split_records(whole)  # records do not reach over frames
        offset += compressed
        total += plain
    assert offset == table - 8, "bytes between the frames and the seek table"
    if shutil.which("zstd"):
        whole = subprocess.run(
            ["zstd", "-q", "-d", "-c", streams["wide"]], stdout=subprocess.PIPE, check=True
        ).stdout
        assert len(whole) == total
