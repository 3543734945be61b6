"""`fsmeta archive check`: policies on a tree, its stream and its generation; --deep on what is broken, and only there.
`archive recover` and `sweep`: what they do, what they say beforehand, and what they leave alone."""

import io
import json
import os
import random
import shutil
import struct
import subprocess
import time

import pytest
from harness import SEED

ROUNDS = int(os.environ.get("FSMETA_TEST_ROUNDS", "4"))
DAY = 86400
HEADER = struct.Struct("<4s4sIIqHHHH")
SETS = bytes.fromhex("0000000167640014ac" "0000000168ee3cb0")
KEY = bytes.fromhex("0000000165888400") + b"\x55" * 600
DELTA = bytes.fromhex("00000001419a0200") + b"\x66" * 300


def fsmeta(*words, code=0):
    done = subprocess.run([os.environ["FSMETA"], *map(str, words)], capture_output=True)
    assert done.returncode == code, (words, done)
    return done.stdout.decode(), done.stderr.decode()


def put(path, data, mtime):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (mtime, mtime))


def word(seconds, location, flags):
    return int(seconds * 4096) << 42 | location << 12 | flags


def track(start, packets, *, sealed=True, base_flags=0, magic=b"rf1v", codec=b"h264"):
    """Index and packets as docs/archives.md describes them; packets are (seconds, flags, bytes)."""
    words, data = [], b""
    for seconds, flags, body in packets:
        words.append(word(seconds, len(data), flags))
        data += body
    end = max((seconds for seconds, _, _ in packets), default=0)
    words.append(word(end, len(data), 0))
    head = HEADER.pack(magic, codec, base_flags | sealed, 0, int(start * 1e6), len(packets) if sealed else 0, 640, 480, 0)
    assert len(head) == 32
    return head + struct.pack(f"<{len(words)}Q", *words), data


def video(seconds=990):
    return [(i * 10, 5, SETS + KEY) if i % 3 == 0 else (i * 10, 4, DELTA) for i in range(seconds // 10)]


def put_pair(folder, start, index, data, names=("{}_video.rf1i", "{}_video.rf1p"), mtime=None):
    for name, content in zip(names, (index, data)):
        put(folder / name.format(start * 1000), content, mtime or start + 990)


SEGMENT = ("{}.vidx", "{}.h264")


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def archive(tmp_path):
    """Forty days of one camera an hour each day, a dead one, and one that began yesterday."""
    root = tmp_path / "archive"
    now = int(time.time())
    for name, first, last in (("old", 40, 0), ("dead", 40, 5), ("new", 1, 0)):
        for day in range(first, last - 1, -1):
            # Ages are told in minutes: nearly a whole one is left until the next.
            start = now - day * DAY - 1021
            put_pair(root / name, start, *track(start, video()))
    return root


def test_policies_hold_or_not(archive, tmp_path):
    stream, db = tmp_path / "stream", tmp_path / "db"
    fsmeta("scan", archive, "-o", stream, "--db", db)
    policies = ["--policy", "keep 30d", "--policy", "gaps 2d", "--policy", "fresh 1h", "--policy", "budget 1GB"]
    told = [fsmeta("archive", "check", "--format=jsonl", *policies, operand, code=1)[0] for operand in (archive, stream, db)]
    assert told[0] == told[1] == told[2]
    objects = lines(told[0])
    by_path = {o["path"]: {p["policy"].split()[0]: p for p in o["policies"]} for o in objects if "path" in o}
    verdicts = {path: {k: p["holds"] for k, p in policies.items()} for path, policies in by_path.items()}
    assert verdicts == {
        "old": {"keep": True, "gaps": True, "fresh": True},
        "dead": {"keep": True, "gaps": True, "fresh": False},
        "new": {"keep": False, "gaps": True, "fresh": True},
    }
    assert by_path["dead"]["fresh"]["reason"].startswith("nothing for 5 d 0 h, since ")
    assert by_path["new"]["keep"]["reason"].startswith("it reaches back 24 h 17 min, to ")
    budget = objects[-1]
    assert budget["holds"] and budget["budget"] == 10**9
    assert budget["bytes"] == sum(o["bytes"] for o in objects[:-1])
    fresh = [o for o in objects[:-1] if o["path"] != "dead"]
    a_day = sum(o["bytes"] / (40 + 990 / DAY if o["path"] == "old" else 1 + 990 / DAY) for o in fresh)
    assert budget["bytes_per_day"] == pytest.approx(a_day, rel=0.01)
    assert budget["days_to_full"] == pytest.approx((10**9 - budget["bytes"]) / a_day, rel=0.01)


def test_patterns_gaps_and_status(archive):
    fsmeta("archive", "check", "--policy", "keep 30d old", "--policy", "fresh 1h [on]*", archive)
    out, _ = fsmeta("archive", "check", "--policy", "gaps 5m old", archive, code=1)
    assert "gaps 5m old: does not hold: 23 h 43 min are missing from " in out
    assert out.count("gaps 5m") == 1 and out.splitlines()[-1] == "3 streams; 1 breaks a policy"
    out, _ = fsmeta("archive", "check", "--policy", "budget 1k", archive, code=1)
    assert "budget 1k: does not hold: " in out and out.splitlines()[-1] == "3 streams; it is beyond its budget"
    assert fsmeta("archive", "check", archive)[0].splitlines()[-1] == "3 streams; all is well"


def test_a_generation_is_judged_as_it_was(archive, tmp_path):
    db = tmp_path / "db"
    fsmeta("scan", archive, "--db", db)
    for path in sorted((archive / "old").iterdir())[:60]:
        path.unlink()
    fsmeta("scan", archive, "--db", db, "--max-removed", "100%")
    fsmeta("archive", "check", "--policy", "keep 30d old", f"{db}@1")
    fsmeta("archive", "check", "--policy", "keep 30d old", f"{db}@2", code=1)


def test_nonsense_is_refused(archive, tmp_path):
    for policy in ("keep", "keep 90", "keep d", "keep 9q", "hold 9d", "budget", "budget x", "budget 1TB old", "", "keep 9999999d"):
        assert "--policy" in fsmeta("archive", "check", "--policy", policy, archive, code=64)[1]
    fsmeta("archive", "check", code=64)
    fsmeta("scan", archive, "-o", tmp_path / "s")
    assert "name the folder itself" in fsmeta("archive", "check", "--deep", tmp_path / "s", code=3)[1]


def snapshot(root):
    found = {}
    for folder, _, files in os.walk(root):
        for name in [*files, "."]:
            s = os.lstat(os.path.join(folder, name))
            found[os.path.join(folder, name)] = (s.st_size, s.st_mtime_ns, s.st_ctime_ns)
    return found


def recording(folder, mtime, completed=True, junk=b"", tail=b""):
    chunks = [KEY, DELTA, DELTA]
    text, at = b"", 0
    for i, chunk in enumerate(chunks):
        text += json.dumps({"offset": at, "size": len(chunk), "timestamp": i * 33333, "type": "delta" if i else "key", "isKeyframe": not i},
                           separators=(",", ":")).encode() + b"\n"
        at += len(chunk)
    put(folder / "data.bin", b"".join(chunks) + tail, mtime)
    put(folder / "index.jsonl", text + junk, mtime)
    put(folder / "meta.json", json.dumps({"codec": "h264", "width": 640, "height": 480, "completed": completed}).encode(), mtime + 1)


def npy(shape, data, fortran=False):
    header = repr({"descr": "|u1", "fortran_order": fortran, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def damages(root, old):
    """Name of the stream, and what a deep check must say of it; None is nothing."""
    good = track(old, video())
    index, data = good

    def fsv(name, index, data, **more):
        put_pair(root / name, old, index, data, **more)

    fsv("sound", index, data)
    yield "sound", None
    fsv("cut", index, data[:-10])
    yield "cut", "1 of 99 packets that it speaks of are not there"
    fsv("long", index, data + b"x" * 7)
    yield "long", "7 bytes behind the last packet belong to none"
    fsv("foreign", b"rf2v" + index[4:], data)
    yield "foreign", "neither rf1v nor rf1a"
    fsv("empty", b"", data)
    yield "empty", "shorter than a header"
    fsv("open", *track(old, video(), sealed=False))
    yield "open", "its writer did not close it"
    fsv("growing", *track(old, video(), sealed=False), mtime=int(time.time()))
    yield "growing", None
    fsv("zeros", index, data[:-308] + bytes(308))
    yield "zeros", None  # fewer than a sector: an encoder may do that
    fsv("blank", index, bytes(len(data)))
    yield "blank", "nothing but zeros"
    fsv("delta", *track(old, video()[1:]))
    yield "delta", "does not begin with a key frame"
    fsv("continues", *track(old, video()[1:], base_flags=2))
    yield "continues", None
    fsv("naked", *track(old, [(0, 5, KEY), *video()[1:]]))
    yield "naked", "without its parameter sets"
    fsv("apart", *track(old, [(0, 6, SETS), (0, 5, KEY), *video()[1:]]))
    yield "apart", None
    fsv("backward", *track(old, [(0, 5, SETS + KEY), (50, 5, SETS + KEY), (40, 5, SETS + KEY), (60, 4, DELTA)]))
    yield "backward", "time goes back at packet 2"
    fsv("reordered", *track(old, [(0, 5, SETS + KEY), (3, 4, DELTA), (1, 4, DELTA), (2, 4, DELTA)]))
    yield "reordered", None
    late = bytearray(index)
    late[-8:] = struct.pack("<Q", word(1, len(data), 0))
    fsv("late", bytes(late), data)
    yield "late", "is later than the sentinel says"
    fsv("startless", index, b"\x01\x02\x03\x04\x05" + data[5:])
    yield "startless", "does not begin with a start code"
    fsv("audio", *track(old, [(i, 1, b"a" * 200) for i in range(90)], magic=b"rf1a", codec=b"aac0"))
    yield "audio", None
    # What a decoder is set up with has a time, but is not heard: sound may begin before it.
    fsv("audio-set-up", *track(old, [(2, 2, b"setup"), *((i, 1, b"a" * 200) for i in range(1, 90))], magic=b"rf1a", codec=b"mp4a"))
    yield "audio-set-up", None
    fsv("audio-backward", *track(old, [(i, 1, b"a" * 200) for i in (0, 2, 1)], magic=b"rf1a", codec=b"mp4a"))
    yield "audio-backward", "time goes back at packet 2"
    put_pair(root / "segments", old, index, data, names=SEGMENT)
    yield "segments", None
    put_pair(root / "segment-cut", old, index, data[:100], names=SEGMENT)
    yield "segment-cut", "99 of 99 packets"
    for number, content in enumerate((npy((3, 4), bytes(12)), npy((0,), b""), npy((), b"x", True))):
        put(root / "frames" / f"frame_{number:06}.npy", content, old)
    yield "frames", None
    put(root / "frames-short" / "frame_000000.npy", npy((3, 4), bytes(11)), old)
    yield "frames-short", "it should have 12 bytes of data, and 11 are there"
    put(root / "frames-long" / "frame_000000.npy", npy((3, 4), bytes(13)), old)
    yield "frames-long", "1 bytes stand behind its data"
    put(root / "frames-none" / "frame_000000.npy", b"\x89PNG" * 9, old)
    yield "frames-none", "reading the header"
    now = int(time.time())
    put(root / "frames-begun" / "frame_000000.npy", npy((3, 4), bytes(12)), old)
    put(root / "frames-begun" / "frame_000001.npy", npy((3, 4), bytes(11)), now)
    put(root / "frames-begun" / "frame_000002.npy", b"", now)
    yield "frames-begun", None
    recording(root / "rec_sound", old)
    yield "rec_sound", None
    recording(root / "rec_open", old, completed=False)
    yield "rec_open", "its writer did not complete it"
    recording(root / "rec_growing", int(time.time()), completed=False)
    yield "rec_growing", None
    recording(root / "rec_tail", old, tail=b"left over")
    yield "rec_tail", "9 bytes belong to no chunk"
    recording(root / "rec_junk", old, junk=b"{}\n")
    yield "rec_junk", "3 bytes behind line 3 are no lines"


def test_deep_finds_what_is_broken_and_nothing_else(tmp_path):
    root = tmp_path / "archive"
    old = int(time.time()) - 10 * DAY
    wanted = dict(damages(root, old))
    before = snapshot(root)
    objects = lines(fsmeta("archive", "check", "--deep", "--format=jsonl", root, code=1)[0])
    assert {o["path"] for o in objects} == set(wanted)
    for o in objects:
        texts = [f["text"] for f in o.get("findings", [])]
        if wanted[o["path"]]:
            assert any(wanted[o["path"]] in text for text in texts), (o["path"], texts)
        else:
            assert not texts, (o["path"], texts)
    assert snapshot(root) == before
    text, _ = fsmeta("archive", "check", "--deep", root, code=1)
    count = sum(o.get("finding_count", 0) for o in objects)
    assert text.splitlines()[-1].endswith(f"pieces opened; {count} findings")


def test_deep_of_frames_that_numpy_and_zstd_wrote(tmp_path):
    numpy, zstandard = pytest.importorskip("numpy"), pytest.importorskip("zstandard")
    old = int(time.time()) - DAY
    for number in range(6):
        out = io.BytesIO()
        numpy.save(out, numpy.arange(200000 * number, dtype="<f4").reshape(-1, 2))
        data = out.getvalue()
        put(tmp_path / "v" / f"frame_{number:06}.npy", data, old)
        put(tmp_path / "w" / f"frame_{number:06}.npy.zst", zstandard.compress(data), old)
    assert "12 pieces opened; all is well" in fsmeta("archive", "check", "--deep", tmp_path)[0]
    packed = tmp_path / "w" / "frame_000003.npy.zst"
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    # Who writes in place may not be done; after two minutes nobody is at it any more.
    assert "12 pieces opened; all is well" in fsmeta("archive", "check", "--deep", tmp_path)[0]
    os.utime(packed, (old, old))
    out, _ = fsmeta("archive", "check", "--deep", tmp_path, code=1)
    assert "damaged: frame_000003.npy.zst: unpacking a frame: it ends in the middle" in out


@pytest.mark.parametrize("size", [1 << 17, 1 << 18, (1 << 18) - 1, (1 << 18) + 1])
def test_deep_of_a_packed_frame_that_ends_with_the_room_for_it(tmp_path, size):
    zstandard = pytest.importorskip("zstandard")
    head = len(npy((1000000,), b""))
    data = npy((size - head,), bytes(size - head))
    put(tmp_path / "v" / "frame_000000.npy.zst", zstandard.compress(data), int(time.time()) - DAY)
    assert len(npy((size - head,), b"")) == head
    assert "1 piece opened; all is well" in fsmeta("archive", "check", "--deep", tmp_path)[0]


def test_deep_follows_no_link(tmp_path):
    old = int(time.time()) - DAY
    put_pair(tmp_path / "outside", old, *track(old, video()))
    inside = tmp_path / "archive" / "cam"
    put_pair(inside, old, b"", b"x")
    for ending in ("i", "p"):
        name = f"{old * 1000 + 5}_video.rf1{ending}"
        (inside / name).symlink_to(tmp_path / "outside" / f"{old * 1000}_video.rf1{ending}")
        os.utime(inside / name, (old, old), follow_symlinks=False)
    out, _ = fsmeta("archive", "check", "--deep", tmp_path / "archive", code=1)
    assert "it is a symbolic link" in out and "2 findings" in out
    assert "0 pieces opened" in out


def test_orphans_and_abandoned_recordings_are_found_from_entries(tmp_path):
    root, old = tmp_path / "archive", int(time.time()) - 2 * DAY
    put_pair(root / "cam", old, *track(old, video()))
    put(root / "cam" / f"{old * 1000 + 999}_video.rf1i", b"x", old)
    recording(root / "rec_a", old, completed=False)
    os.utime(root / "rec_a" / "meta.json", (old - 99, old - 99))
    recording(root / "rec_b", int(time.time()) + 1, completed=False)
    os.utime(root / "rec_b" / "meta.json", (old, old))
    fsmeta("scan", root, "-o", tmp_path / "s")
    out, _ = fsmeta("archive", "check", "--format=jsonl", tmp_path / "s", code=1)
    kinds = {o["path"]: [f["kind"] for f in o.get("findings", [])] for o in lines(out)}
    assert kinds == {"cam": ["orphaned"], "rec_a": ["unsealed"], "rec_b": []}


def test_a_stream_without_any_index_is_told(tmp_path):
    """Every index of one camera goes, every frame file of another; each is named, and diff says the same."""
    root, old, now = tmp_path / "archive", int(time.time()) - 2 * DAY, int(time.time())
    for i in range(3):
        for camera in ("cam1", "cam2"):
            put_pair(root / camera, old + 1000 * i, *track(old, video()))
        for camera in ("seg1", "seg2"):
            put_pair(root / camera, old + 1000 * i, *track(old, video()), SEGMENT)
    for name in ("photos/1700000000_holiday.jpg", "rec_x/data.bin", "tapes/old/1700000000000.h264"):
        put(root / name, b"x", now)
    fsmeta("scan", root, "--db", tmp_path / "db")
    assert fsmeta("archive", "check", "--deep", root)[0].splitlines()[-1] == "4 streams; 12 pieces opened; all is well"
    for pattern in ("cam2/*.rf1i", "seg1/*.vidx"):
        for path in root.glob(pattern):
            path.unlink()
    fsmeta("scan", root, "--db", tmp_path / "db")
    left = {camera: sorted(path.name for path in (root / camera).iterdir()) for camera in ("cam2", "seg1")}
    for words in ((root,), ("--deep", root), (tmp_path / "db",)):
        out, _ = fsmeta("archive", "check", "--format=jsonl", "--policy=gaps 1h", *words, code=1)
        told = {o["path"]: o for o in lines(out)}
        assert list(told) == ["cam1", "cam2", "seg1", "seg2"]
        for path, o in told.items():
            names = [f["name"] for f in o.get("findings", [])]
            assert (o["pieces"], o["orphans"], names) == (0, 3, left[path]) if path in left else (3, 0, []), o
            assert all(f["kind"] == "orphaned" for f in o.get("findings", []))
            assert ("from" in o) == (path not in left)
            assert o["policies"][0].get("reason") == ("nothing of it is whole" if path in left else None)
    assert fsmeta("archive", "info", tmp_path / "db")[0].count(" (0 ") == 2
    story = {o["stream"]: o for o in lines(fsmeta(
        "diff", "--stat", "--format=jsonl", f"{tmp_path / 'db'}@1", f"{tmp_path / 'db'}@2", code=1)[0]) if "stream" in o}
    assert {path: (o["layout"], o["orphaned"]) for path, o in story.items()} == {
        path: (told[path]["layout"], told[path]["orphans"]) for path in left}
    # What lost its index is left alone.
    fsmeta("archive", "recover", root)
    assert left == {camera: sorted(path.name for path in (root / camera).iterdir()) for camera in left}


def write_live(root, name, seconds, mtime):
    """Files of FSV, 1000 s each, from `mtime` - seconds on."""
    for start in range(mtime - seconds, mtime, 1000):
        put_pair(root / name, start, *track(start, video()))


def test_sweep_keeps_a_budget_across_streams(tmp_path):
    root, now = tmp_path / "archive", int(time.time())
    write_live(root, "cam1", 50_000, now)
    write_live(root, "cam2", 30_000, now)
    sizes = {path: path.stat().st_size for path in root.rglob("*.rf1?")}
    total = sum(sizes.values())
    budget = total // 2
    before = snapshot(root)
    told = lines(fsmeta("archive", "sweep", "--dry-run", "--format=jsonl", "--budget", str(budget), root)[0])[0]
    assert snapshot(root) == before
    did = lines(fsmeta("archive", "sweep", "--format=jsonl", "--budget", str(budget), root)[0])[0]
    assert told["files"] == did["files"] and told["bytes"] == did["bytes"] and told["dry_run"] and not did["dry_run"]
    left = {path for path in root.rglob("*.rf1?")}
    assert sum(sizes[path] for path in left) == total - did["bytes"] < budget * 0.98
    # The oldest went, whichever stream they were of, and no more than was needed.
    assert max(path.name[:13] for path in set(sizes) - left) <= min(path.name[:13] for path in left)
    assert total - did["bytes"] + max(sizes.values()) * 2 > budget * 0.97
    assert "0 files" in fsmeta("archive", "sweep", "--budget", str(budget), root)[0]


def test_sweep_takes_no_frames_behind_a_link(tmp_path):
    store, outside = tmp_path / "store", tmp_path / "outside"
    for folder in (store / "video", outside):
        folder.mkdir(parents=True)
        (folder / "frame_000001.npy").write_bytes(b"old")
        os.utime(folder / "frame_000001.npy", (1, 1))
    (store / "link").symlink_to(outside)
    (store / "tasks.db").touch()
    fsmeta("archive", "sweep", store)
    assert (outside / "frame_000001.npy").exists() and not (store / "video" / "frame_000001.npy").exists()


def test_sweep_takes_nothing_behind_a_link(tmp_path):
    root, now = tmp_path / "archive", int(time.time())
    write_live(root, "cam1", 5000, now)
    write_live(tmp_path / "outside", "cam", 5000, now - DAY)
    (root / "link").symlink_to(tmp_path / "outside" / "cam")
    before = snapshot(tmp_path / "outside")
    fsmeta("archive", "sweep", "--budget", "1k", root)
    assert snapshot(tmp_path / "outside") == before
    assert not list((root / "cam1").iterdir())


def test_sweep_refuses_what_it_must(tmp_path):
    root, now = tmp_path / "archive", int(time.time())
    write_live(root / "one", "cam", 5000, now)
    write_live(root / "two", "cam", 5000, now)
    before = snapshot(root)
    assert "holds 2 archives" in fsmeta("archive", "sweep", "--budget", "1k", root, code=3)[1]
    assert "nothing to sweep" in fsmeta("archive", "sweep", root)[1]
    # Frames of whom nobody knows what they are for.
    put(root / "frames" / "v" / "frame_000000.npy", npy((1,), b"x"), now - 90 * DAY)
    assert "there is no tasks.db" in fsmeta("archive", "sweep", root)[1]
    assert (root / "frames" / "v" / "frame_000000.npy").exists()
    fsmeta("scan", root, "-o", tmp_path / "s")
    for command in ("sweep", "recover"):
        assert "no live folder" in fsmeta("archive", command, tmp_path / "s", code=64)[1]
        fsmeta("archive", command, code=64)
        fsmeta("archive", command, root, root, code=64)
    fsmeta("archive", "sweep", "--budget", "0", root, code=64)
    assert all(snapshot(root)[path] == state for path, state in before.items() if not path.endswith("/."))


def test_recover_mends_what_is_open_and_leaves_what_is_damaged(tmp_path):
    root, old = tmp_path / "archive", int(time.time()) - DAY
    open_index, open_data = track(old, video(), sealed=False)
    index, data = track(old, video())
    put_pair(root / "open", old, open_index, open_data + b"half a packet")
    put_pair(root / "segments", old, open_index[:-11], open_data, names=SEGMENT)
    # A count in the header says that it was closed, whoever wrote it.
    put_pair(root / "lost", old, index, data[:-5])
    put_pair(root / "born", old, index, data)
    put_pair(root / "born", old + 1000, b"", b"")
    recording(root / "rec_open", old, completed=False, junk=b'{"offset":')
    before = snapshot(root)
    told = lines(fsmeta("archive", "recover", "--dry-run", "--format=jsonl", root, code=2)[0])
    assert snapshot(root) == before
    did = lines(fsmeta("archive", "recover", "--format=jsonl", root, code=2)[0])
    names = {o["path"].split("/")[0]: o["outcome"] for o in did}
    assert names == {"open": "mended", "segments": "mended", "lost": "left alone", "born": "mended", "rec_open": "mended"}
    assert {(o["path"], o["outcome"]) for o in told} == {(o["path"], o["outcome"]) for o in did}
    assert next(o for o in did if o["path"].startswith("open"))["text"] == "99 packets, 13 bytes cut off"
    assert not (root / "born" / f"{(old + 1000) * 1000}_video.rf1i").exists()
    found = {o["path"] for o in lines(fsmeta("archive", "check", "--deep", "--format=jsonl", root, code=1)[0]) if o.get("findings")}
    assert found == {"lost"}
    again = lines(fsmeta("archive", "recover", "--format=jsonl", root, code=2)[0])
    assert [o["outcome"] for o in again] == ["left alone"]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not there")
def test_a_window_of_a_recording_is_one_read(tmp_path):
    writer = os.path.join(os.path.dirname(os.environ["FSMETA"]), "..", "tests", "unit", "test_archive_writer")
    subprocess.run([writer, "window", "write", tmp_path], check=True)
    trace = tmp_path / "trace"
    done = subprocess.run(["strace", "-f", "-y", "-e", "trace=pread64,read,mmap", "-o", trace, writer, "window", "read", tmp_path],
                          capture_output=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    if done.returncode and b"ptrace" in done.stderr:
        pytest.skip("ptrace is not allowed here")
    assert done.returncode == 0, done
    chunks, size = map(int, done.stdout.split())
    assert chunks >= 75  # 3 s at 25 a second, and back to the key frame
    reads = [line for line in trace.read_text().splitlines() if "/data.bin>" in line]
    assert len(reads) == 1 and reads[0].endswith(f"= {size}"), reads


CLIPS = {
    "h264": ("-f lavfi -i testsrc2=size=320x240:rate=25:duration=4 -f lavfi -i sine=duration=4 -c:v libx264 -bf 3 -g 25 -c:a aac", "mp4"),
    "h265": ("-f lavfi -i testsrc2=size=320x240:rate=25:duration=4 -c:v libx265 -x265-params log-level=error -g 25", "mp4"),
    "vp9": ("-f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -c:v libvpx-vp9 -g 25 -deadline realtime -cpu-used 8", "webm"),
}


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not there")
def test_deep_of_real_video(tmp_path):
    root = tmp_path / "archive"
    root.mkdir()
    for codec, (words, ending) in CLIPS.items():
        clip = tmp_path / f"clip-{codec}.{ending}"
        made = subprocess.run(["ffmpeg", "-v", "error", *words.split(), clip], capture_output=True)
        if made.returncode:
            pytest.skip(f"ffmpeg makes no {codec} here")
        for layout in ("fsv", "segments", "recording"):
            if (codec, layout) == ("vp9", "segments"):
                continue
            done = subprocess.run([os.environ["FSMETA"], "archive", "write", "--layout", layout, "--start", "2026-11-20T10:00:00Z",
                                   root / layout, f"cam-{codec}", clip], capture_output=True)
            if b"module" in done.stderr and done.returncode == 3:
                pytest.skip("built without the module for video files")
            assert done.returncode == 0, done
    for path in root.rglob("*"):
        os.utime(path, (time.time() - DAY,) * 2)
    out, _ = fsmeta("archive", "check", "--deep", root)
    assert out.splitlines()[-1] == "8 streams; 9 pieces opened; all is well"
    assert not fsmeta("archive", "recover", root)[0]


def test_whatever_is_inside_of_the_pieces(tmp_path):
    """Bytes exchanged, cut off and put in at random: a verdict, never a crash, and recovery leaves what can be read."""
    rng = random.Random(SEED)
    old = 1_700_000_000  # Not of today, so that the bytes are the same every day.
    for round_ in range(ROUNDS):
        root = tmp_path / f"archive{round_}"
        list(damages(root, old))
        for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
            data = bytearray(path.read_bytes())
            for _ in range(rng.choice([0, 1, 1, 5])):
                at = rng.randrange(min(len(data), rng.choice([48, 10**6])) + 1)
                kind = rng.randrange(3)
                data[at : at + (kind != 1)] = b"" if kind == 2 else bytes([rng.choice([0, 1, 255, rng.randrange(256)])])
            if rng.random() < 0.2:
                del data[rng.randrange(len(data) + 1) :]
            path.write_bytes(data)
            os.utime(path, (old, old))
        for words in (("check", "--deep"), ("recover", "--dry-run"), ("recover",), ("check", "--deep")):
            done = subprocess.run([os.environ["FSMETA"], "archive", *words, root], capture_output=True)
            assert done.returncode in (0, 1, 2), (round_, words, done)
            assert not done.stderr or done.stderr.endswith(b"nothing was left open\n"), (round_, words, done)
        # What is open no more needs no mending.
        again = subprocess.run([os.environ["FSMETA"], "archive", "recover", "--format=jsonl", root], capture_output=True).stdout
        assert not [o for o in lines(again.decode()) if o["outcome"] == "mended"], (round_, again)
