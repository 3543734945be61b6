#!/usr/bin/python3
"""An independent reader of FsScanStream, written from docs/format.md alone.

    fss_reader.py ENTRIES.FSS           lists it as JSON lines, like `fsmeta ls --format=jsonl`
    fss_reader.py --check ENTRIES.FSS   checks all digests, too, and prints a summary

It stands on nothing of fsmeta's but the schema: protoc makes the messages' classes when
it starts, zstandard decompresses the frames, xxhash computes the digests.
"""

import base64
import errno
import importlib.util
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time

import xxhash
import zstandard

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCHEMA = os.path.join(ROOT, "format", "fsscan.proto")

FRAME_MAGIC = 0xFD2FB528
TABLE_MAGIC = 0x184D2A5E
FOOTER_MAGIC = 0x8F92EAB1
CONTENT_MAX = 256 << 20
BATCH_MAX_BYTES = 40 << 20
BATCH_MAX_ENTRIES = 32768
NAME_MAX = 1024
TARGET_MAX = 65536
SECOND = 1000000000
WRAP = 1 << 64

FIELDS = (
    "size mtime ctime btime mode uid gid dev inode nlink allocated rdev target hash".split()
)
BIT = {name: 1 << index for index, name in enumerate(FIELDS)}
TYPES = [None, "file", "folder", "symlink", "fifo", "socket", "block", "char"]
FILE, FOLDER, SYMLINK, BLOCK, CHAR = 1, 2, 3, 6, 7
EVERY_TYPE = (1 << 11) - 1
HASHES = {1: ("xxh3", 16), 2: ("sha256", 32)}
UNREADABLE, OTHER_FILESYSTEM, CHANGED_WHILE_READ = 1, 2, 4


class Refused(Exception):
    """The stream breaks a rule of the document."""


def must(condition, words):
    if not condition:
        raise Refused(words)


def load_schema():
    """The module that protoc makes of the schema."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["protoc", f"--proto_path={os.path.dirname(SCHEMA)}", f"--python_out={folder}", SCHEMA],
            check=True,
        )
        specification = importlib.util.spec_from_file_location(
            "fsscan_pb2", os.path.join(folder, "fsscan_pb2.py")
        )
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module


def possible_fields(kind):
    fields = EVERY_TYPE
    if kind in (BLOCK, CHAR):
        fields |= BIT["rdev"]
    if kind == SYMLINK:
        fields |= BIT["target"]
    if kind == FILE:
        fields |= BIT["hash"]
    return fields


def digest(data):
    return xxhash.xxh3_128_digest(data)


# ---- frames and records ---------------------------------------------------------------


def read_seek_table(data):
    """Sizes of all frames, and where the table begins."""
    must(len(data) >= 17, "too short for a seek table")
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    must(magic == FOOTER_MAGIC, "no seek table at the end")
    must(descriptor in (0, 0x80), "unknown bits in the seek table")
    width = 12 if descriptor else 8
    start = len(data) - 17 - count * width
    must(start >= 0, "the seek table is longer than the file")
    magic, size = struct.unpack_from("<II", data, start)
    must(magic == TABLE_MAGIC and size == count * width + 9, "the seek table's size is wrong")
    frames = [struct.unpack_from("<II", data, start + 8 + i * width) for i in range(count)]
    must(sum(frame[0] for frame in frames) == start, "the frames do not fill the file")
    return frames


def read_frame(data, content_size):
    parameters = zstandard.get_frame_parameters(data)
    must(struct.unpack_from("<I", data)[0] == FRAME_MAGIC, "no zstd frame")
    must(parameters.content_size == content_size, "the content's size is another")
    must(parameters.content_size <= CONTENT_MAX, "the content is too long")
    must(parameters.has_checksum, "a frame without checksum")
    content = zstandard.ZstdDecompressor().decompress(data)
    must(len(content) == content_size, "the content's size is another")
    return content


def read_varint(data, place):
    value = shift = 0
    while True:
        must(place < len(data) and shift < 70, "a varint is cut")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


def read_record(content):
    """Kind and inner message of the one record in a frame."""
    length, place = read_varint(content, 0)
    must(place + length == len(content), "a frame does not hold one record")
    tag, place = read_varint(content, place)
    must(tag & 7 == 2, "a record's tag is wrong")
    length, place = read_varint(content, place)
    must(place + length == len(content), "a record does not hold one message")
    return tag >> 3, content[place:]


# ---- columns --------------------------------------------------------------------------


def dense(values, count, default=0):
    must(len(values) in (0, count), "a dense column's length is wrong")
    return values if len(values) else [default] * count


def planes(data, count, most):
    must(len(data) % count == 0 and len(data) // count <= most, "planes of a wrong length")
    values = [0] * count
    for plane in range(len(data) // count):
        for i in range(count):
            values[i] |= data[plane * count + i] << (8 * plane)
    return values


def partial(values, count, default=0):
    must(len(values) in (0, count), "a partial column's length is wrong")
    return values if len(values) else [default] * count


def sparse(gaps, columns, count):
    """Index to a tuple of values."""
    found, index = {}, 0
    for i, gap in enumerate(gaps):
        must(i == 0 or gap > 0, "a gap of 0")
        index += gap
        must(index < count, "a sparse column leads beyond the batch")
        found[index] = tuple(column[i] for column in columns)
    return found


def signed(value):
    value %= WRAP
    return value - WRAP if value >= WRAP // 2 else value


def cut_bytes(data, lengths):
    must(sum(lengths) == len(data), "lengths do not agree with bytes")
    pieces, place = [], 0
    for length in lengths:
        pieces.append(data[place : place + length])
        place += length
    return pieces


def valid_name(name):
    return (
        0 < len(name) <= NAME_MAX
        and b"/" not in name
        and b"\0" not in name
        and name not in (b".", b"..")
    )


# ---- batches --------------------------------------------------------------------------


class Walk:
    """Goes through the batches of a stream and checks that they follow each other."""

    def __init__(self, header, filesystems):
        self.mask = header.field_mask
        self.stable = header.id_kind == 1
        self.filesystems = filesystems
        self.names = None  # of the entry before; None in front of the root
        self.kind = None
        self.ordinal = 0

    def step(self, level, name):
        """From the entry before to the next one."""
        must(valid_name(name), "a name is not valid")
        if level == 0:
            must(self.kind == FOLDER, "an entry below no folder")
        else:
            must(level <= len(self.names), "a level leads out of the tree")
            place = len(self.names) - level
            must(name > self.names[place], "out of canonical order")
            del self.names[place:]
        self.names.append(name)

    def begin(self, batch):
        """The level of the first entry, against the batch before."""
        base = batch.base_path.split(b"/") if batch.base_path else []
        must(all(valid_name(name) for name in base), "the base path is not valid")
        must(self.names is not None, "the first entry is not the root")
        must(self.names[: len(base)] == base, "the base path is no folder around")
        return len(self.names) - len(base)

    def entries(self, batch):
        count = batch.count
        must(0 < count <= BATCH_MAX_ENTRIES, "the number of entries is out of range")
        must(batch.field_mask == self.mask, "another field mask")
        levels = dense(batch.level, count, 1)
        kinds = dense(batch.type, count, FILE)
        must(all(FILE <= kind <= CHAR for kind in kinds), "an unknown type")
        must(levels[0] == 1, "the first level is not 1")
        prefixes = dense(batch.name_prefix, count)
        suffixes = cut_bytes(batch.names, dense(batch.name_suffix, count))
        values = Values(self, batch, kinds)
        name = b""
        for i in range(count):
            must(prefixes[i] <= len(name), "a prefix is too long")
            name = name[: prefixes[i]] + suffixes[i]
            if batch.root and i == 0:
                must(self.names is None and not name and not batch.base_path, "a root within")
                must(kinds[0] == FOLDER, "the root is no folder")
                self.names = []
            else:
                self.step(levels[i] if i else self.begin(batch), name)
            self.kind = kinds[i]
            self.ordinal += 1
            entry = values.entry(i)
            entry["path"] = b"/".join(self.names)
            if not self.stable:
                entry["id"] = self.ordinal
            yield entry


class Values:
    """The columns of a batch, place and name apart."""

    def __init__(self, walk, batch, kinds):
        count = batch.count
        self.kinds = kinds
        self.walk = walk
        missing = sparse(batch.missing_gap, [batch.missing], count)
        must(len(batch.missing) == len(batch.missing_gap), "missing does not agree")
        self.fields = []
        for i, kind in enumerate(kinds):
            fields = walk.mask & possible_fields(kind)
            lacking = missing.get(i, (0,))[0]
            must(lacking & ~fields == 0, "a field is missing that was not promised")
            self.fields.append(fields & ~lacking)
        self.size = planes(batch.size, count, 8)
        self.times = {"mtime": self.own_times(batch, count)}
        for key, seconds, nanoseconds in (
            ("ctime", batch.ctime_seconds, batch.ctime_nanoseconds),
            ("btime", batch.btime_seconds, batch.btime_nanoseconds),
        ):
            self.times[key] = self.other_times(seconds, nanoseconds, count)
        self.owner = dense(batch.owner, count)
        self.owners = list(zip(batch.owner_mode, batch.owner_uid, batch.owner_gid))
        must(
            0 < len(self.owners) <= count
            and len(batch.owner_mode) == len(batch.owner_uid) == len(batch.owner_gid),
            "the dictionary of owners is wrong",
        )
        must(max(self.owner) < len(self.owners), "an owner is not in the dictionary")
        self.device = dense(batch.device, count)
        self.devices = [walk.filesystems[self.key(one)] for one in batch.filesystems]
        self.inode = self.running(dense(batch.inode, count))
        self.nlink = dense(batch.nlink, count, 1)
        self.allocated = dense(batch.allocated, count)
        self.partials(batch)
        must(walk.stable or not batch.id, "ids where there should be none")
        self.id = self.running(dense(batch.id, count))
        must(len(batch.flags) == len(batch.flags_gap), "flags do not agree")
        errors = dense(batch.error, len(batch.flags))
        self.flags = sparse(batch.flags_gap, [batch.flags, errors], count)
        must(len(batch.unknown_since) == len(batch.unknown_since_gap), "unknown_since is wrong")
        self.unknown_since = sparse(batch.unknown_since_gap, [batch.unknown_since], count)

    @staticmethod
    def key(filesystem):
        return (filesystem.uuid, filesystem.type, b"" if filesystem.uuid else filesystem.label)

    @staticmethod
    def running(differences):
        values, value = [], 0
        for difference in differences:
            value = (value + difference) % WRAP
            values.append(value)
        return values

    def own_times(self, batch, count):
        seconds = self.running(dense(batch.mtime_seconds, count))
        nanoseconds = planes(batch.mtime_nanoseconds, count, 4)
        must(max(nanoseconds) < SECOND, "nanoseconds are out of range")
        return [(signed(s), n) for s, n in zip(seconds, nanoseconds)]

    def other_times(self, seconds, nanoseconds, count):
        seconds = dense(seconds, count)
        nanoseconds = planes(nanoseconds, count, 4)
        must(max(nanoseconds) < SECOND, "nanoseconds are out of range")
        return [
            (signed(own[0] + s), (own[1] + n) % SECOND)
            for own, s, n in zip(self.times["mtime"], seconds, nanoseconds)
        ]

    def having(self, name):
        return [i for i, fields in enumerate(self.fields) if fields & BIT[name]]

    def partials(self, batch):
        nodes = self.having("rdev")
        majors = partial(batch.rdev_major, len(nodes))
        minors = partial(batch.rdev_minor, len(nodes))
        self.rdev = {i: f"{major}:{minor}" for i, major, minor in zip(nodes, majors, minors)}
        links = self.having("target")
        lengths = partial(batch.target_length, len(links))
        must(all(length <= TARGET_MAX for length in lengths), "a target is too long")
        self.target = dict(zip(links, cut_bytes(batch.targets, lengths)))
        hashed = self.having("hash")
        algorithms = partial(batch.hash_algorithm, len(hashed), 1)
        must(all(algorithm in HASHES for algorithm in algorithms), "an unknown hash")
        hashes = cut_bytes(batch.hashes, [HASHES[a][1] for a in algorithms])
        self.hash = {
            i: f"{HASHES[a][0]}:{value.hex()}" for i, a, value in zip(hashed, algorithms, hashes)
        }

    def entry(self, i):
        """All that entry i has, path and ordinal id apart."""
        fields = self.fields[i]
        mode, uid, gid = self.owners[self.owner[i]]
        must(mode <= 0o7777, "a mode is out of range")
        size = self.size[i]
        entry = {"type": self.kinds[i]}
        plain = {
            "size": size,
            "mtime": self.times["mtime"][i],
            "ctime": self.times["ctime"][i],
            "btime": self.times["btime"][i],
            "mode": mode,
            "uid": uid,
            "gid": gid,
            "inode": self.inode[i],
            "nlink": self.nlink[i],
            "allocated": (((size + 4095) & ~4095) + self.allocated[i]) % WRAP,
        }
        entry.update({key: value for key, value in plain.items() if fields & BIT[key]})
        if fields & BIT["dev"]:
            must(self.device[i] < len(self.devices), "a file system is not in the dictionary")
            entry["dev"] = self.devices[self.device[i]]
        for key, column in (("rdev", self.rdev), ("target", self.target), ("hash", self.hash)):
            if i in column:
                entry[key] = column[i]
        entry["flags"], entry["error"] = self.flags.get(i, (0, 0))
        entry["unknown_since"] = self.unknown_since.get(i, (0,))[0]
        if self.walk.stable:
            entry["id"] = self.id[i]
        return entry


# ---- a stream -------------------------------------------------------------------------


class Stream:
    """A whole stream, checked frame by frame while entries() is read."""

    def __init__(self, data, schema=None):
        self.schema = schema or load_schema()
        self.data = data
        self.frames = read_seek_table(data)
        must(len(self.frames) >= 3, "fewer frames than any stream has")
        self.starts = [0]
        for size, _ in self.frames:
            self.starts.append(self.starts[-1] + size)
        self.header = self.message(0, 1, self.schema.Header)
        self.check_header()
        self.trailer = self.message(len(self.frames) - 1, 4, self.schema.Trailer)
        self.source = json.loads(self.trailer.source_json)
        self.paths = self.check_trailer()

    def content(self, frame):
        start, end = self.starts[frame], self.starts[frame + 1]
        return read_frame(self.data[start:end], self.frames[frame][1])

    def message(self, frame, kind, make):
        found, data = read_record(self.content(frame))
        must(found == kind, f"record {frame} is of kind {found} instead of {kind}")
        return make.FromString(data)

    def check_header(self):
        header = self.header
        must(header.signature == "FsScanStream", "not an FsScanStream")
        must(header.format_version == 1, f"format version {header.format_version}")
        must(not header.features, f"unknown feature {header.features}")
        must(header.content == 0, "a delta is no tree")
        must(header.field_mask < 1 << len(FIELDS), "unknown fields")
        first = json.loads(header.source_json)
        mask = sum(BIT[name] for name in first.get("fields", []))
        must(mask == header.field_mask, "the BatchSource has another field mask")

    def check_trailer(self):
        """The first paths of the batches."""
        trailer, batches = self.trailer, len(self.frames) - 2
        for column in (
            trailer.batch_entries,
            trailer.batch_offset,
            trailer.batch_path_prefix,
            trailer.batch_path_suffix,
        ):
            must(len(column) == batches, "a column of the trailer is of another length")
        must(len(trailer.batch_digests) == 16 * batches, "the digests are of another length")
        ids = batches if self.header.id_kind == 1 else 0
        must(len(trailer.batch_id_min) == len(trailer.batch_id_max) == ids, "id ranges")
        unseen = trailer.batch_unseen
        must(len(unseen) in (0, batches) and (any(unseen) or not unseen), "batch_unseen is wrong")
        must(sum(trailer.batch_entries) == trailer.entries, "the entries do not sum up")
        offset = 0
        for i, distance in enumerate(trailer.batch_offset):
            offset += distance
            must(offset == self.starts[i + 1], "a batch is at another offset")
        totals = self.source["totals"]
        for key in "entries files folders symlinks others bytes allocated".split():
            must(int(totals.get(key, 0)) == getattr(trailer, key), f"totals differ in {key}")
        must(self.source["state_digest"] == trailer.state_digest.hex(), "another state digest")
        paths, path = [], b""
        suffixes = cut_bytes(trailer.batch_paths, trailer.batch_path_suffix)
        for prefix, suffix in zip(trailer.batch_path_prefix, suffixes):
            must(prefix <= len(path), "a first path's prefix is too long")
            path = path[:prefix] + suffix
            must(not paths or paths[-1].split(b"/") < path.split(b"/"), "first paths out of order")
            paths.append(path)
        must(paths[0] == b"", "the first path is not the root's")
        return paths

    def filesystem_indices(self):
        def raw(one, key):
            coded = one.get(key + "_b64")
            return base64.b64decode(coded) if coded else one.get(key, "").encode()

        indices = {}
        for index, one in enumerate(self.source.get("filesystems", [])):
            uuid = raw(one, "uuid")
            indices.setdefault(
                (uuid, raw(one, "type"), b"" if uuid else raw(one, "label")), index
            )
        return indices

    def entries(self):
        walk = Walk(self.header, self.filesystem_indices())
        records = xxhash.xxh3_128()
        records.update(self.content(0))
        for i, path in enumerate(self.paths):
            content = self.content(i + 1)
            records.update(content)
            kind, message = read_record(content)
            must(kind == 2 and len(message) <= BATCH_MAX_BYTES, "no batch")
            wanted = self.trailer.batch_digests[16 * i : 16 * i + 16]
            must(digest(message) == wanted, f"batch {i} has another digest")
            batch = self.schema.Batch.FromString(message)
            must(batch.count == self.trailer.batch_entries[i], "another number of entries")
            ids, unseen = [], 0
            for number, entry in enumerate(walk.entries(batch)):
                must(number or entry["path"] == path, "another first path")
                ids.append(entry["id"])
                hidden = entry["flags"] & (UNREADABLE | OTHER_FILESYSTEM)
                unseen += bool(hidden or entry["unknown_since"])
                yield entry
            if self.trailer.batch_unseen:
                must(unseen == self.trailer.batch_unseen[i], "another number unseen")
            if self.header.id_kind == 1:
                must(min(ids) == self.trailer.batch_id_min[i], "another smallest id")
                must(max(ids) == self.trailer.batch_id_max[i], "another largest id")
        must(records.digest() == self.trailer.records_digest, "the records' digest is wrong")


# ---- deltas ---------------------------------------------------------------------------


ADDED, REMOVED, MODIFIED, MOVED, CORRUPTED, UNREADABLE_PLACE, UNKNOWN_PLACE, PARENT = range(1, 9)


class Delta:
    """A delta; sections() reads and checks it to its end."""

    def __init__(self, data, schema=None):
        self.schema = schema or load_schema()
        self.data = data
        self.frames = read_seek_table(data)
        place, self.contents = 0, []
        for size, content_size in self.frames:
            self.contents.append(read_frame(data[place : place + size], content_size))
            place += size
        self.header = self.take(self.contents[0], 1, self.schema.Header)
        must(self.header.signature == "FsScanStream", "not an FsScanStream")
        must(self.header.format_version == 1 and not self.header.features, "a newer version")
        must(self.header.content == 1, "a tree is no delta")
        must(self.header.id_kind == 1, "a delta without stable ids")
        self.trailer = self.take(self.contents[-1], 4, self.schema.Trailer)
        records = xxhash.xxh3_128_digest(b"".join(self.contents[:-1]))
        must(records == self.trailer.records_digest, "the records' digest is wrong")

    def take(self, content, kind, make):
        found, data = read_record(content)
        must(found == kind, f"a record is of kind {found} instead of {kind}")
        return make.FromString(data)

    def records(self):
        """Kind and message of every record between header and trailer."""
        for content in self.contents[1:-1]:
            place = 0
            while place < len(content):
                length, start = read_varint(content, place)
                yield read_record(content[place : start + length])
                place = start + length

    def sections(self):
        """Pairs of a Section and the list of its changes, whose paths are whole."""
        section, changes, pairs = None, [], []
        number, state = self.header.base_generation, None
        for kind, data in self.records():
            if kind == 5:
                section, changes = self.schema.Section.FromString(data), []
                must(section.base_generation == number, "a section starts elsewhere")
                must(state in (None, section.base_state_digest), "another base state")
                number, state = section.generation, section.state_digest
                source = json.loads(section.source_json)
                must(source.get("state_digest", state.hex()) == state.hex(), "another state digest")
                must(int(source.get("generation", number)) == number, "another generation")
                must(section.field_mask < 1 << len(FIELDS), "unknown fields")
                must("fields" not in source, "the field mask stands in the section")
                pairs.append((section, changes))
            else:
                must(kind == 3 and section is not None, "a record out of place")
                changes.append(self.schema.Change.FromString(data))
        must(number == self.header.generation, "it leads elsewhere")
        must(state == self.trailer.state_digest, "the trailer has another state digest")
        must(len(pairs) == self.trailer.sections, "another number of sections")
        must(sum(len(c) for _, c in pairs) == self.trailer.changes, "another number of changes")
        for section, changes in pairs:
            self.check_changes(section, changes)
        return pairs

    def check_changes(self, section, changes):
        must(len(changes) == section.changes, "a section has another number of changes")
        mask = section.field_mask
        last, named, path = None, set(), b""
        for change in changes:
            must(change.path_prefix <= len(path), "a path's prefix is too long")
            path = path[: change.path_prefix] + change.path
            change.path = path
            names = path.split(b"/") if path else []
            must(all(valid_name(name) for name in names), "a path is not valid")
            must(change.id > 0 and ADDED <= change.kind <= PARENT, "no id, or an unknown kind")
            rank = {REMOVED: 0, UNREADABLE_PLACE: 2, UNKNOWN_PLACE: 2}.get(change.kind, 1)
            must(last is None or last < (names, rank), "changes are out of order")
            last = (names, rank)
            if change.kind == REMOVED:
                continue
            must(all(tuple(names[:i]) in named for i in range(len(names))), "folders not named")
            if change.kind == PARENT or change.type == FOLDER:
                named.add(tuple(names))
            if rank == 1 and change.kind != PARENT:
                possible = possible_fields(change.type) & mask
                must(not change.fields & ~possible, "fields that it cannot have")
            if rank == 2:
                must(0 < change.unknown_since <= section.generation, "unknown since when?")


# ---- listing --------------------------------------------------------------------------


def format_time(moment):
    """RFC 3339, also for years that Python's datetime does not know."""
    seconds, nanoseconds = moment
    days, rest = divmod(seconds, 86400)
    # Days since 0000-03-01 in eras of 400 years.
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month += 3 if month < 10 else -9
    year += 400 * era + (month <= 2)
    if 0 <= year <= 9999:
        text = f"{year:04}"
    else:
        text = f"{'-' if year < 0 else '+'}{abs(year):04}"
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{text}-{month:02}-{day + 1:02}T{clock}.{nanoseconds:09}Z"


def quote(text):
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", quoted)


def text_keys(key, data):
    """KEY, and KEY_b64 where the bytes are no UTF-8."""
    keys = [(key, quote(data.decode("utf-8", "replace")))]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        keys.append((key + "_b64", quote(base64.b64encode(data).decode())))
    return keys


def flag_keys(entry):
    keys = []
    if entry["flags"] & UNREADABLE:
        name = errno.errorcode.get(entry["error"], f"ERRNO_{entry['error']}")
        keys.append(("error", quote(name)))
    if entry["flags"] & OTHER_FILESYSTEM:
        keys.append(("other_filesystem", "true"))
    if entry["flags"] & CHANGED_WHILE_READ:
        keys.append(("changed_while_read", "true"))
    return keys


def json_line(entry, stable):
    """One line of `fsmeta ls --format=jsonl`."""
    keys = [("id", str(entry["id"]))] if stable and entry["id"] else []
    keys.append(("type", quote(TYPES[entry["type"]])))
    keys += text_keys("path", entry["path"] or b".")
    for key in FIELDS[:-2]:
        if key not in entry:
            continue
        value = entry[key]
        if key in ("mtime", "ctime", "btime"):
            value = quote(format_time(value))
        elif key == "mode":
            value = quote(f"{value:04o}")
        elif key == "rdev":
            value = quote(value)
        keys.append((key, str(value)))
    if "target" in entry:
        keys += text_keys("target", entry["target"])
    keys += flag_keys(entry)
    if "hash" in entry:
        keys.append(("hash", quote(entry["hash"])))
    if entry["unknown_since"]:
        keys.append(("unknown_since", str(entry["unknown_since"])))
    return "{" + ",".join(f'"{key}":{value}' for key, value in keys) + "}\n"


# ---- state digest ---------------------------------------------------------------------


def state_term(entry, mask, filesystems):
    """The entry's term as docs/state-digest.md gives it."""

    def text(data):
        return struct.pack("<I", len(data)) + data

    present = sum(BIT[key] for key in FIELDS if key in entry) & mask
    out = struct.pack(
        "<IBBHII", present, entry["type"], 0, entry["error"], entry["flags"], len(entry["path"])
    )
    out += entry["path"]
    for key in FIELDS:
        if not present & BIT[key]:
            continue
        value = entry[key]
        if key in ("mtime", "ctime", "btime"):
            out += struct.pack("<qI", *value)
        elif key in ("size", "inode", "nlink", "allocated"):
            out += struct.pack("<Q", value)
        elif key in ("mode", "uid", "gid"):
            out += struct.pack("<I", value)
        elif key == "dev":
            out += b"".join(text(part) for part in filesystems[value])
        elif key == "rdev":
            out += struct.pack("<II", *(int(part) for part in value.split(":")))
        elif key == "target":
            out += text(value)
        elif key == "hash":
            name, digits = value.split(":")
            number = next(n for n, (known, _) in HASHES.items() if known == name)
            out += bytes([number]) + bytes.fromhex(digits)
    return xxhash.xxh3_128_intdigest(out)


def check(stream):
    """Reads all of it; the number of entries and the state digest, which must be right."""
    filesystems = {index: key for key, index in stream.filesystem_indices().items()}
    count = total = 0
    for entry in stream.entries():
        count += 1
        total += state_term(entry, stream.header.field_mask, filesystems)
    must(count == stream.trailer.entries, "another number of entries")
    state = (total % (1 << 128)).to_bytes(16, "big")
    must(state == stream.trailer.state_digest, "the state digest is wrong")
    return count, state.hex()


def main(arguments):
    checking = arguments[:1] == ["--check"]
    with open(arguments[-1], "rb") as file:
        data = file.read()
    began = time.monotonic()
    try:
        stream = Stream(data)
        if checking:
            count, state = check(stream)
            print(f"{count} entries, {len(stream.paths)} batches, state {state}")
            print(f"{time.monotonic() - began:.1f} s", file=sys.stderr)
            return 0
        out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="\n")
        for entry in stream.entries():
            out.write(json_line(entry, stream.header.id_kind == 1))
        out.flush()
    except (Refused, zstandard.ZstdError, KeyError, ValueError) as problem:
        print(f"{arguments[-1]}: {problem}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
