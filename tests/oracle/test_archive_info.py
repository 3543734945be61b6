"""`fsmeta archive info`: a live tree, its stream and its generation tell the same, and only of archives."""

import json
import os
import subprocess

import pytest

T0 = 1_700_000_000


def fsmeta(*words, code=0):
    done = subprocess.run([os.environ["FSMETA"], *map(str, words)], capture_output=True)
    assert done.returncode == code, (words, done)
    return done.stdout, done.stderr


def put(path, size, mtime):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (mtime, mtime))


def make(root):
    for i in (0, 1, 3):
        for track in ("audio", "video"):
            for part in "ip":
                put(root / "cam1" / f"{T0 + 1000 * i}_{track}.rf1{part}", 100, T0 + 1000 * i + 998)
    put(root / "cam1" / f"{T0 + 9000}_video.rf1i", 100, T0 + 9000)
    for i in range(2):
        put(root / "cam 2" / f"{(T0 + 500 * i) * 1000}.h265", 5000, T0 + 500 * i + 499)
        put(root / "cam 2" / f"{(T0 + 500 * i) * 1000}.vidx", 50, T0 + 500 * i + 499)
    for i in range(3):
        put(root / "frames" / "video_001" / f"frame_{i:06d}.npy", 80, T0)
    for name, finished in (("a", T0 + 10), ("b", T0 - 10)):
        put(root / f"rec_{name}" / "data.bin", 70, T0)
        put(root / f"rec_{name}" / "index.jsonl", 7, T0)
        put(root / f"rec_{name}" / "meta.json", 3, finished)
    put(root / "photos" / f"{T0}_holiday.jpg", 9, T0)
    put(root / "rec_none" / "data.bin", 9, T0)


def test_info(tmp_path):
    root = tmp_path / "tree"
    make(root)
    fsmeta("scan", root, "-o", tmp_path / "s", "--db", tmp_path / "d.db")
    told, noise = fsmeta("archive", "info", "--format=jsonl", root)
    assert not noise
    assert fsmeta("archive", "info", "--format=jsonl", tmp_path / "s")[0] == told
    assert fsmeta("archive", "info", "--format=jsonl", f"{tmp_path / 'd.db'}@1")[0] == told
    streams = {line["path"]: line for line in map(json.loads, told.splitlines())}
    assert list(streams) == ["cam 2", "cam1", "frames/video_001", "rec_a", "rec_b"]
    assert streams["cam1"] == {
        "layout": "fsv", "path": "cam1", "pieces": 3, "bytes": 1300, "orphans": 1,
        "from": "2023-11-14T22:13:20.000000000Z", "to": "2023-11-14T23:19:58.000000000Z",
        # A pause of 2 s is none; one of 1002 s is.
        "covered_seconds": 998 + 2 + 998 + 998, "bitrate": 1300 * 8 // 2996,
        "gaps": 1, "longest_gap_seconds": 1002, "overlaps": 0,
    }
    assert streams["cam 2"]["layout"] == "segments" and streams["cam 2"]["pieces"] == 2
    assert streams["cam 2"]["bytes"] == 10100 and streams["cam 2"]["gaps"] == 0
    assert streams["frames/video_001"]["pieces"] == 3
    assert streams["rec_a"]["completed"] and not streams["rec_b"]["completed"]


def test_text(tmp_path):
    root = tmp_path / "tree"
    make(root)
    text, _ = fsmeta("archive", "info", root)
    assert text.decode().splitlines() == [
        "segments   cam 2  (2 segments, 9.9 KiB, 2023-11-14T22:13:20Z to 2023-11-14T22:29:59Z, 16 min, 80 bit/s)",
        "fsv        cam1  (3 files, 1.3 KiB, 2023-11-14T22:13:20Z to 2023-11-14T23:19:58Z, 49 min,"
        " 3 bit/s, 1 gap, longest 16 min, 1 orphan)",
        "frames     frames/video_001  (3 frames, 240 B)",
        # Written just now and made old: when it began is not known.
        "recording  rec_a  (80 B, to 2023-11-14T22:13:20Z)",
        "recording  rec_b  (80 B, to 2023-11-14T22:13:20Z, not completed)",
    ]


def test_nothing_and_nonsense(tmp_path):
    (tmp_path / "empty").mkdir()
    out, err = fsmeta("archive", "info", tmp_path / "empty")
    assert not out and b"no video archive" in err
    fsmeta("archive", code=64)
    fsmeta("archive", "frobnicate", code=64)
    fsmeta("archive", "info", code=64)
    fsmeta("archive", "info", "--format=csv", tmp_path, code=64)
    fsmeta("archive", "info", tmp_path / "missing", code=3)
    assert b"\n  info  " in fsmeta("archive", "--help")[0]
    assert b"OPERAND" in fsmeta("archive", "info", "--help")[0]


@pytest.mark.parametrize("size, rate", [
    (124_999, "999 bit/s"), (125_000, "1.0 kbit/s"), (124_993_000, "999.9 kbit/s"), (124_999_000, "1.0 Mbit/s"),
    (1 << 30, "8.6 Mbit/s"),
])
def test_bitrate(tmp_path, size, rate):
    """Of a thousand seconds."""
    (tmp_path / "cam").mkdir()
    for name, length in (("1700000000000.h264", size), ("1700000000000.vidx", 0)):
        path = tmp_path / "cam" / name
        with open(path, "wb") as file:
            file.truncate(length)
        os.utime(path, (1700001000, 1700001000))
    text, _ = fsmeta("archive", "info", tmp_path)
    assert text.decode().endswith(f", 16 min, {rate})\n")
