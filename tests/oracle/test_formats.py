"""What other people's programs make of our listings: mtree, ncdu, bsdtar, Python's csv.

Every format is written of a live tree, and must be the same of its stream and its database
(but for ids and what a core field mask leaves out).
"""

import csv
import io
import json
import os
import stat
import subprocess

import oracle
import pytest
import treegen
from harness import SEED, need, read_bytes


@pytest.fixture(scope="module")
def tree(module_scratch):
    """A hostile tree, and names that are patterns beside what they match."""
    folder = os.path.join(module_scratch, "tree")
    treegen.generate(folder, SEED, entries=800, deep=60)
    patterns = os.path.join(folder, "patterns")
    for name in ("*", "?1", "[a-z]", "x1", "a", "b", "*z", "[b]/*", "[b]/x", "deep/*/*", "deep/*/a", "deep/z"):
        path = os.path.join(patterns, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(name)
        os.utime(path, (len(name) * 1000, sum(name.encode()) * 1000))
    subprocess.run(["sync", "-f", folder], check=True)
    return folder


def run(*command, code=0, **keywords):
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **keywords
    )
    assert code is None or result.returncode == code, (command, result)
    return result


def all_operands(fsmeta, tree, scratch):
    """The tree itself, its stream, and a database of it."""
    stream = os.path.join(scratch, "stream")
    database = os.path.join(scratch, "tree.db")
    fsmeta.run("scan", tree, "-o", stream)
    fsmeta.run("import", database, stream)
    return tree, stream, database


# ---- mtree -------------------------------------------------------------------


def mtree_differences(manifest, tree):
    """What NetBSD's mtree has to say; b"" where the tree is as the manifest says."""
    result = run("mtree", "-f", manifest, "-p", tree, code=None)
    assert result.returncode in (0, 2), result
    return result.stdout + result.stderr


def test_mtree(fsmeta, tree, scratch):
    need("mtree")
    manifest = os.path.join(scratch, "manifest")
    listings = set()
    for operand in all_operands(fsmeta, tree, scratch):
        fsmeta.run("export", operand, "--format=mtree", "-o", manifest)
        assert mtree_differences(manifest, tree) == b"", operand
        listings.add(read_bytes(manifest))
        assert fsmeta.run("ls", "--format=mtree", operand).out in listings
    assert len(listings) == 1
    assert not set(b"".join(listings)) - set(range(0x20, 0x7F)) - {0x0A}, "not plain ASCII"


def test_mtree_of_a_part(fsmeta, tree, scratch):
    """The folder that is listed is the manifest's root."""
    need("mtree")
    manifest = os.path.join(scratch, "manifest")
    for part in ("a", "patterns", "patterns/[b]", "patterns/deep/*"):
        with open(manifest, "wb") as file:
            file.write(fsmeta.run("ls", "--format=mtree", tree, part).out)
        assert mtree_differences(manifest, os.path.join(tree, part)) == b"", part


def test_mtree_notices(fsmeta, scratch):
    """The judge is awake: each change is found."""
    need("mtree")
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED + 1, entries=50, sparse=False)
    manifest = os.path.join(scratch, "manifest")
    fsmeta.run("export", tree, "--format=mtree", "-o", manifest)
    path = os.path.join(tree, "a", "x")
    for change in (
        lambda: os.chmod(path, 0o077 ^ stat.S_IMODE(os.lstat(path).st_mode)),
        lambda: os.truncate(path, os.lstat(path).st_size + 1),
        lambda: os.utime(path, (5, 5)),
        lambda: os.unlink(path),
    ):
        change()
        assert mtree_differences(manifest, tree) != b""


def test_mtree_by_bsdtar(fsmeta, tree, scratch):
    """bsdtar reads the manifest, and an archive made of it holds the names and contents."""
    need("bsdtar")
    manifest = os.path.join(scratch, "manifest")
    fsmeta.run("export", tree, "--format=mtree", "-o", manifest)
    result = run("bsdtar", "-tf", manifest, code=None)
    assert result.stdout.count(b"\n") == read_bytes(manifest).count(b"\n") - 1
    # It has no sockets; all else it knows.
    complaints = set(result.stderr.split(b"\n")) - {
        b"",
        b'bsdtar: Unrecognized file type "socket"; assuming "file"',
        b"bsdtar: Error exit delayed from previous errors.",
    }
    assert not complaints

    small = os.path.join(tree, "patterns")
    fsmeta.run("export", small, "--format=mtree", "-o", manifest)
    copy = os.path.join(scratch, "copy")
    os.mkdir(copy)
    archive = run("bsdtar", "-cf", "-", "@" + manifest, cwd=small).stdout
    run("bsdtar", "-xf", "-", "-C", copy, input=archive)
    assert run("diff", "-r", small, copy).stdout == b""


# ---- ncdu --------------------------------------------------------------------


def flatten(node, above=b""):
    """(path, entry) for all that an ncdu export holds; the root's path is its name."""
    if isinstance(node, dict):
        yield os.path.join(above, node["name"].encode("utf-8", "surrogateescape")), node
        return
    path = os.path.join(above, node[0]["name"].encode("utf-8", "surrogateescape"))
    yield path, node[0]
    for child in node[1:]:
        yield from flatten(child, path)


def parse_ncdu(text):
    document = json.loads(text.decode("utf-8", "surrogateescape"), strict=False)
    assert document[0] == 1
    return list(flatten(document[3]))


def disk_usage(entries):
    """The sum that ncdu shows: each inode once."""
    seen, total = set(), 0
    for _, entry in entries:
        if entry.get("hlnkc"):
            if entry["ino"] in seen:
                continue
            seen.add(entry["ino"])
        total += entry.get("dsize", 0)
    return total


def below_root(entries):
    """By the path below the root, whatever that is called."""
    root = len(entries[0][0].rstrip(b"/"))
    return {path[root:] or b"/": entry for path, entry in entries}


def name_of_root(tree):
    """Where the tree lies; in a chroot that is no mount point nobody knows."""
    need("findmnt")
    command = ["findmnt", "--noheadings", "--output", "TARGET", "--target", tree]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout.strip()
    return os.fsencode(os.path.realpath(tree)) if found else b"/"


def test_ncdu(fsmeta, tree, scratch):
    """ncdu reads ours and writes it again: the same entries, and in sum what du says."""
    need("ncdu")
    expected = int(run("du", "-s", "-B1", tree).stdout.split()[0])
    file = os.path.join(scratch, "tree.ncdu")
    for operand in all_operands(fsmeta, tree, scratch):
        fsmeta.run("export", operand, "--format=ncdu", "-o", file)
        ours = parse_ncdu(read_bytes(file))
        assert ours[0][0] == name_of_root(tree)
        theirs = parse_ncdu(run("ncdu", "-0", "-f", file, "-o", "-").stdout)
        assert {path for path, _ in ours} == {path for path, _ in theirs}
        assert disk_usage(ours) == disk_usage(theirs) == expected
        apparent = {path: entry.get("asize", 0) for path, entry in ours}
        assert apparent == {path: entry.get("asize", 0) for path, entry in theirs}
        run("ncdu", "-0", "-e", "-f", file, "-o", "/dev/null")


def test_ncdu_of_its_own_scan(fsmeta, tree, scratch):
    """What ncdu finds when it scans the tree itself."""
    need("ncdu")
    file = os.path.join(scratch, "theirs")
    run("ncdu", "-0", "-x", "-o", file, tree)
    theirs = below_root(parse_ncdu(read_bytes(file)))
    ours = below_root(parse_ncdu(fsmeta.run("ls", "--format=ncdu", tree).out))
    assert set(ours) == set(theirs)
    for path, entry in theirs.items():
        for key in ("asize", "dsize", "notreg", "hlnkc", "nlink"):
            assert ours[path].get(key) == entry.get(key), (path, key)


def test_ncdu_of_a_part(fsmeta, tree):
    part = parse_ncdu(fsmeta.run("ls", "--format=ncdu", tree, "patterns/deep").out)
    assert len(part) == 5  # deep, *, */*, */a, z
    result = fsmeta.run("ls", "--format=ncdu", tree, "patterns/a", code=64)
    assert result.out == b"" and b"folder" in result.err


def test_ncdu_unreadable(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    os.makedirs(os.path.join(tree, "locked"))
    if os.geteuid() == 0:
        for folder in (scratch, tree, os.path.join(tree, "locked")):
            os.chown(folder, 65534, 65534)
    os.chmod(os.path.join(tree, "locked"), 0)
    user = fsmeta.as_ordinary_user()
    entries = below_root(parse_ncdu(user.run("ls", "--format=ncdu", tree, code=2).out))
    assert entries[b"/locked"]["read_error"] is True
    assert b"locked type=dir" in user.run("ls", "--format=mtree", tree, code=2).out
    assert b" ignore\n" in user.run("ls", "--format=mtree", tree, code=2).out
    os.chmod(os.path.join(tree, "locked"), 0o755)


# ---- CSV ---------------------------------------------------------------------


def parse_csv(output):
    """Rows as dicts of what is not empty; RFC 4180 to the letter."""
    text = output.decode("utf-8")
    assert text.endswith("\r\n")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    for row in reader:
        assert None not in row and None not in row.values(), row
        rows.append({key: value for key, value in row.items() if value})
    return rows


def as_csv(record, prefix=""):
    """A record of JSON lines as the cells that CSV must have."""
    cells = {}
    for key, value in record.items():
        if key in ("old", "new"):
            continue
        if key == "fields":
            value = " ".join(value)
        elif isinstance(value, bool):
            value = "true"
        if str(value):
            cells[prefix + key] = str(value)
    return cells


def json_records(output):
    return [oracle.parse_line(line) for line in output.split(b"\n") if line]


def test_csv_entries(fsmeta, tree, scratch):
    """Cell by cell what JSON lines say."""
    for operand in all_operands(fsmeta, tree, scratch):
        rows = parse_csv(fsmeta.run("ls", "--format=csv", operand).out)
        records = json_records(fsmeta.run("ls", "--format=jsonl", operand).out)
        assert rows == [as_csv(record) for record in records]


def test_csv_changes(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    stream = os.path.join(scratch, "stream")
    treegen.generate(tree, SEED + 2, entries=400)
    fsmeta.run("scan", tree, "-o", stream)
    treegen.mutate(tree, SEED, changes=120)
    treegen.remove(os.path.join(os.fsencode(tree), b"a"))
    rows = parse_csv(fsmeta.run("diff", "--format=csv", stream, tree, code=1).out)
    records = json_records(fsmeta.run("diff", "--format=jsonl", stream, tree, code=1).out)
    assert len(rows) == len(records) and len(rows) > 100
    kinds = set()
    for row, record in zip(rows, records):
        cells = as_csv(record)
        cells.update(as_csv(record.get("new", {})))
        cells.update(as_csv(record.get("old", {}), "old_"))
        assert cells.items() <= row.items(), (row, cells)
        extra = set(row) - set(cells)
        assert not any(key.startswith("old_") for key in extra), (extra, row)
        kinds.add(row["kind"])
    assert kinds >= {"added", "removed", "modified"}


def test_csv_of_nothing_has_a_head(fsmeta, tree):
    output = fsmeta.run("diff", "--format=csv", tree, tree).out
    assert output.count(b"\r\n") == 1 and output.startswith(b"kind,type,path,")


# ---- files -------------------------------------------------------------------


def test_export_to_a_file(fsmeta, scratch):
    """Whole or not at all, and never a part of itself."""
    tree = os.path.join(scratch, "tree")
    os.mkdir(tree)
    file = os.path.join(tree, "listing")
    for _ in range(2):
        fsmeta.run("export", tree, "--format=jsonl", "-o", file)
        assert len(json_records(read_bytes(file))) == 1
        assert os.listdir(tree) == ["listing"]
    os.mkdir(os.path.join(scratch, "folder"))
    fsmeta.refused("export", tree, "--format=csv", "-o", os.path.join(scratch, "folder"))
    fsmeta.refused("export", tree, "--format=csv", "-o", "/dev/full")
    before = read_bytes(file)
    fsmeta.refused("export", os.path.join(scratch, "missing"), "--format=csv", "-o", file)
    assert read_bytes(file) == before
