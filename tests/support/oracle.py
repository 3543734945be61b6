"""What fsmeta must say, told by find(1): the second opinion of all listing tests.

A listing is a list of dicts with the keys of `fsmeta ls --format=jsonl`, except
that `path` and `target` are bytes and times are whole nanoseconds, so that
nothing is lost in comparing.  `parse_jsonl` makes one from fsmeta's output and
judges on the way what can be judged of a single line; `find_listing` makes one
from `find -printf`, with NUL as the separator because it is the only byte that
no name and no target can hold.
"""

import base64
import json
import os
import re
import stat
import subprocess

NANO = 10**9

TYPES = {
    "f": "file",
    "d": "folder",
    "l": "symlink",
    "p": "fifo",
    "s": "socket",
    "b": "block",
    "c": "char",
}

# Every key that a line of a listing may have, and the type of its value.
ENTRY_KEYS = {
    "id": int,
    "type": str,
    "path": str,
    "path_b64": str,
    "size": int,
    "mtime": str,
    "ctime": str,
    "btime": str,
    "mode": str,
    "uid": int,
    "gid": int,
    "dev": int,
    "inode": int,
    "nlink": int,
    "allocated": int,
    "rdev": str,
    "target": str,
    "target_b64": str,
    "error": str,
    "other_filesystem": bool,
    "changed_while_read": bool,
    "hash": str,
    "unknown_since": int,
}

# What `find -printf` can vouch for on every system.
COMPARED = (
    "path",
    "type",
    "size",
    "mtime",
    "ctime",
    "mode",
    "uid",
    "gid",
    "inode",
    "nlink",
    "allocated",
    "target",
    "rdev",
)

# The fields of `--fields core`, which every source has.
CORE = ("path", "type", "size", "mtime", "mode", "uid", "gid", "target", "rdev")


def canonical_key(path):
    """Sorts in canonical order: by components, as bytes; the root first."""
    return [] if path == b"." else path.split(b"/")


# ---- times -----------------------------------------------------------------

TIME = re.compile(
    r"^([+-]\d{4,}|\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{9})Z$", re.ASCII
)


def days_from_civil(year, month, day):
    """Days since 1970-01-01 of a proleptic Gregorian date (Hinnant's algorithm)."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468


def parse_time(text):
    """Nanoseconds since 1970 of the one form that fsmeta writes; ValueError otherwise."""
    match = TIME.match(text)
    if not match:
        raise ValueError(f"not a time as fsmeta writes it: {text!r}")
    year, month, day, hour, minute, second, nano = (int(group) for group in match.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError(f"no such time: {text!r}")
    days = days_from_civil(year, month, day)
    return (days * 86400 + hour * 3600 + minute * 60 + second) * NANO + nano


# ---- fsmeta's side ---------------------------------------------------------


def take_bytes(record, key, line):
    """Replaces record[key] by the exact bytes, and judges the pair key, key_b64."""
    text = record[key]
    encoded = record.pop(key + "_b64", None)
    if encoded is None:
        record[key] = text.encode("utf-8")
        return
    raw = base64.b64decode(encoded, validate=True)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        raise AssertionError(f"{key}_b64 beside valid UTF-8: {line!r}")
    assert raw.decode("utf-8", "replace") == text, f"{key} and {key}_b64 differ: {line!r}"
    record[key] = raw


def convert_values(record, line):
    """Times to nanoseconds, names to bytes, in an entry or in old and new of a change."""
    for key, value in record.items():
        if key in ENTRY_KEYS:
            assert type(value) is ENTRY_KEYS[key], f"{key}: wrong JSON type: {line!r}"
    for key in ("path", "target", "old_path"):
        if key in record:
            take_bytes(record, key, line)
    for key in ("mtime", "ctime", "btime"):
        if key in record:
            record[key] = parse_time(record[key])
    if "mode" in record:
        assert re.fullmatch(r"[0-7]{4}", record["mode"]), f"mode: {line!r}"
    return record


def refuse_duplicates(pairs):
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key stands twice: {keys}"
    return dict(pairs)


def parse_line(line):
    """One line of JSON, strictly: UTF-8, no control bytes, no key twice."""
    assert not re.search(rb"[\x00-\x1f\x7f]", line), f"raw control byte in {line!r}"
    return json.loads(line.decode("utf-8"), object_pairs_hook=refuse_duplicates)


def parse_jsonl(output):
    """The listing in `fsmeta ls --format=jsonl` output; AssertionError where it is malformed."""
    if not output:
        return []
    assert output.endswith(b"\n"), f"last line is cut: {output[-80:]!r}"
    listing = []
    for line in output[:-1].split(b"\n"):
        record = parse_line(line)
        unknown = set(record) - set(ENTRY_KEYS)
        assert not unknown, f"unknown keys {unknown} in {line!r}"
        assert record["type"] in TYPES.values(), f"type: {line!r}"
        listing.append(convert_values(record, line))
    return listing


CHANGE_KINDS = {
    "added",
    "removed",
    "modified",
    "moved",
    "corrupted",
    "unreadable",
    "unknown",
}


def parse_changes(output):
    """The changes in `fsmeta diff --format=jsonl` output, in its order."""
    if not output:
        return []
    assert output.endswith(b"\n"), f"last line is cut: {output[-80:]!r}"
    changes = []
    for line in output[:-1].split(b"\n"):
        record = parse_line(line)
        assert record["kind"] in CHANGE_KINDS, f"kind: {line!r}"
        convert_values(record, line)
        for side in ("old", "new"):
            if side in record:
                convert_values(record[side], line)
        if record["kind"] == "modified":
            fields = record["fields"]
            assert fields and len(set(fields)) == len(fields), f"fields: {line!r}"
            for side in ("old", "new"):
                assert set(record[side]) <= set(fields), f"{side}: {line!r}"
        changes.append(record)
    return changes


def assert_order(records):
    """Canonical order; in changes a path may stand twice: a tombstone, then an arrival."""
    previous = None
    for record in records:
        key = canonical_key(record["path"])
        if previous is not None:
            twice = key == previous[0] and (previous[1], record.get("kind")) == ("removed", "added")
            assert key > previous[0] or twice, (
                f"out of order: {record['path']!r} after {b'/'.join(previous[0])!r}"
            )
        previous = key, record.get("kind")


# ---- find's side -----------------------------------------------------------

FIND_FORMAT = r"%P\0%y\0%s\0%T@\0%C@\0%m\0%U\0%G\0%i\0%n\0%b\0%l\0"
FIND_FIELDS = 12


def find_time(text):
    """find prints floored seconds and the fraction after them: "-2.25" is -1.75 s."""
    seconds, fraction = text.split(b".")
    return int(seconds) * NANO + int((fraction + b"0" * 9)[:9])


def rdev_of(path):
    """find has no word for device numbers; stat(1) and Python have."""
    number = os.lstat(path).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def find_listing(root, prefix=()):
    """The listing of the tree `root`, as find sees it; `prefix` runs find as someone else."""
    root = os.fsencode(root)
    command = [*prefix, "find", root, "-xdev", "-printf", FIND_FORMAT]
    # The C locale, so that find hands out names as the bytes they are.
    output = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, env={**os.environ, "LC_ALL": "C"}
    ).stdout
    values = output.split(b"\0")
    assert values.pop() == b"" and len(values) % FIND_FIELDS == 0
    listing = []
    for start in range(0, len(values), FIND_FIELDS):
        path, kind, size, mtime, ctime, mode, uid, gid, inode, nlink, blocks, target = values[
            start : start + FIND_FIELDS
        ]
        entry = {
            "path": path or b".",
            "type": TYPES[kind.decode()],
            "size": int(size),
            "mtime": find_time(mtime),
            "ctime": find_time(ctime),
            "mode": f"{int(mode, 8):04o}",
            "uid": int(uid),
            "gid": int(gid),
            "inode": int(inode),
            "nlink": int(nlink),
            "allocated": int(blocks) * 512,
        }
        if entry["type"] == "symlink":
            entry["target"] = target
        if entry["type"] in ("block", "char"):
            entry["rdev"] = rdev_of(os.path.join(root, path))
        listing.append(entry)
    listing.sort(key=lambda entry: canonical_key(entry["path"]))
    return listing


def python_listing(root):
    """The same once more without find: os.lstat on descriptors.  The oracle's own oracle."""
    names = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}
    names.update({stat.S_IFSOCK: "s", stat.S_IFBLK: "b", stat.S_IFCHR: "c"})
    listing = []

    def add(path, status, folder, name):
        entry = {
            "path": path or b".",
            "type": TYPES[names[stat.S_IFMT(status.st_mode)]],
            "size": status.st_size,
            "mtime": status.st_mtime_ns,
            "ctime": status.st_ctime_ns,
            "mode": f"{stat.S_IMODE(status.st_mode):04o}",
            "uid": status.st_uid,
            "gid": status.st_gid,
            "inode": status.st_ino,
            "nlink": status.st_nlink,
            "allocated": status.st_blocks * 512,
        }
        if entry["type"] == "symlink":
            entry["target"] = os.readlink(name, dir_fd=folder)
        if entry["type"] in ("block", "char"):
            entry["rdev"] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        listing.append(entry)

    root = os.fsencode(root)
    add(b"", os.lstat(root), None, root)
    pending = [(b"", os.open(root, os.O_RDONLY | os.O_DIRECTORY))]
    while pending:
        path, folder = pending.pop()
        for name in map(os.fsencode, os.listdir(folder)):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            below = path + b"/" + name if path else name
            add(below, status, folder, name)
            if stat.S_ISDIR(status.st_mode):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                pending.append((below, os.open(name, flags, dir_fd=folder)))
        os.close(folder)
    listing.sort(key=lambda entry: canonical_key(entry["path"]))
    return listing


# ---- comparing -------------------------------------------------------------


def reduced(entry, keys):
    return {key: entry[key] for key in keys if key in entry}


def assert_listings_equal(actual, expected, keys=None, what="listing"):
    """Equal in order and in `keys` (None = all but the id); tells the first difference."""
    for place, (mine, theirs) in enumerate(zip(actual, expected)):
        chosen = keys or (set(mine) | set(theirs)) - {"id"}
        mine, theirs = reduced(mine, chosen), reduced(theirs, chosen)
        if mine != theirs:
            wrong = {key for key in chosen if mine.get(key) != theirs.get(key)}
            raise AssertionError(
                f"{what}: entry {place} differs in {sorted(wrong)}\n"
                f"  is        {mine}\n  should be {theirs}"
            )
    if len(actual) != len(expected):
        longer, word = (actual, "too many") if len(actual) > len(expected) else (expected, "missing")
        entry = longer[min(len(actual), len(expected))]
        raise AssertionError(
            f"{what}: {len(actual)} entries, should be {len(expected)}; first {word}: {entry}"
        )


# Fields that `fsmeta diff` reports by itself.
REPORTED_FILE = ("size", "mtime", "mode", "uid", "gid", "rdev", "target")
REPORTED_FOLDER = ("mode", "uid", "gid")


def naive_diff(before, after):
    """The changes between two listings, the slow and obvious way, as a set of tuples.

    ("added", path), ("removed", path), ("modified", path, (fields…)); a path whose
    type changed is removed and added.
    """
    old = {entry["path"]: entry for entry in before}
    new = {entry["path"]: entry for entry in after}
    changes = set()
    for path in old.keys() | new.keys():
        mine, theirs = old.get(path), new.get(path)
        if mine and theirs and mine["type"] == theirs["type"]:
            reported = REPORTED_FOLDER if mine["type"] == "folder" else REPORTED_FILE
            fields = tuple(
                sorted(key for key in reported if mine.get(key) != theirs.get(key))
            )
            if fields:
                changes.add(("modified", path, fields))
            continue
        if mine:
            changes.add(("removed", path))
        if theirs:
            changes.add(("added", path))
    return changes


def summarize(changes):
    """parse_changes() output as the set that naive_diff() makes; no moves, no doubles."""
    summary = set()
    for change in changes:
        if change["kind"] == "modified":
            item = ("modified", change["path"], tuple(sorted(change["fields"])))
        else:
            assert change["kind"] in ("added", "removed"), f"unexpected: {change}"
            item = (change["kind"], change["path"])
        assert item not in summary, f"told twice: {item}"
        summary.add(item)
    return summary


def assert_changes_equal(actual, expected, what="changes"):
    """Two sets of change tuples; tells some of what is missing and what is too much."""
    missing, extra = sorted(expected - actual), sorted(actual - expected)
    assert not missing and not extra, (
        f"{what}: {len(missing)} missing, {len(extra)} too many\n"
        f"  missing  {missing[:5]}\n  too many {extra[:5]}"
    )
