"""Real video in the archives, judged by ffmpeg: what was encoded goes in unit by unit, and every
frame file plays by itself, whole and in windows.  Without ffmpeg there is nobody to ask, and no test."""

import os
import shutil
import sqlite3
import subprocess

import pytest

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="no ffmpeg"
)

FPS = 10
SECONDS = 12
START_US = 1_700_000_000_000_000
ENCODERS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "20"],
    "h265": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
             "bframes=0:keyint=20:min-keyint=20:log-level=none"],
}


def feeder():
    fsmeta = os.environ["FSMETA"]
    return os.path.join(os.path.dirname(fsmeta), "..", "tests", "unit", "test_archive_feed")


def feed(*words):
    return subprocess.run([feeder(), *map(str, words)], check=True, capture_output=True).stdout


def raw_format(codec):
    return "hevc" if codec == "h265" else codec


def frames(codec, data):
    """MD5 of each decoded frame, and what the decoder complained of."""
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-f", raw_format(codec), "-i", "-", "-f", "framemd5", "-"],
        input=data, capture_output=True, check=True,
    )
    lines = [line for line in done.stdout.decode().splitlines() if not line.startswith("#")]
    return [line.split(",")[-1].strip() for line in lines], done.stderr.decode()


@pytest.fixture(scope="module", params=sorted(ENCODERS))
def video(request, tmp_path_factory):
    codec = request.param
    path = tmp_path_factory.mktemp(codec) / "video"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc=size=320x240:rate={FPS}",
         "-t", str(SECONDS), "-pix_fmt", "yuv420p", *ENCODERS[codec], "-f", raw_format(codec),
         str(path)],
        check=True,
    )
    wanted, complaints = frames(codec, path.read_bytes())
    assert len(wanted) == FPS * SECONDS and not complaints
    return codec, path, wanted


def test_segments_play(video, tmp_path):
    codec, path, wanted = video
    archive = tmp_path / "archive"
    assert int(feed("segments-write", archive, "cam1", codec, FPS, 4, path)) == len(wanted)
    files = sorted((archive / "cam1").glob(f"*.{codec}"))
    # 4 s as the target, key frames every 2 s: three segments, each by itself …
    assert [int(file.stem) for file in files] == [START_US // 1000 + 4000 * i for i in range(3)]
    got = []
    for file in files:
        own, complaints = frames(codec, file.read_bytes())
        assert not complaints
        assert len(own) == 4 * FPS
        probe = subprocess.run(
            ["ffprobe", "-v", "error", "-count_packets", "-show_entries",
             "stream=codec_name,width,height,nb_read_packets", "-of", "csv=p=0", str(file)],
            check=True, capture_output=True,
        )
        assert probe.stdout.decode().strip() == f"{raw_format(codec)},320,240,{4 * FPS}"
        assert not probe.stderr
        got += own
    # … and together they are the video, to the last bit.
    assert got == wanted
    assert b"".join(file.read_bytes() for file in files) == path.read_bytes()
    assert feed("segments-read", archive, "cam1", 0, 2**62) == path.read_bytes()


def test_segment_windows_decode(video, tmp_path):
    codec, path, wanted = video
    archive = tmp_path / "archive"
    feed("segments-write", archive, "cam1", codec, FPS, 4, path)
    for first, last in ((0, 1), (39, 41), (55, 101), (119, 120)):
        begin = START_US + first * 1_000_000 // FPS - 1000
        end = START_US + last * 1_000_000 // FPS - 1000
        got, complaints = frames(codec, feed("segments-read", archive, "cam1", begin, end))
        assert not complaints
        # From the key frame before.
        assert got == wanted[first // 20 * 20 : last]


def test_segment_records(video, tmp_path):
    codec, path, wanted = video
    archive = tmp_path / "archive"
    feed("segments-write", archive, "cam1", codec, FPS, 4, path)
    with sqlite3.connect(archive / "segments.db") as database:
        rows = database.execute(
            "SELECT name_ms, start_us, end_us, packets, index_bytes, frame_bytes, sealed"
            " FROM segment ORDER BY start_us"
        ).fetchall()
    assert len(rows) == 3 and sum(row[3] for row in rows) == len(wanted)
    for name, start, end, _, index_bytes, frame_bytes, sealed in rows:
        assert start == name * 1000 and 3_899_000 < end - start <= 3_900_000 and sealed
        assert os.path.getsize(archive / "cam1" / f"{name}.vidx") == index_bytes
        assert os.path.getsize(archive / "cam1" / f"{name}.{codec}") == frame_bytes
