"""Real video in and out of the archives, judged by ffmpeg: what `archive write` took, `archive read`
gives back packet for packet, whole and in windows, and it decodes.  Without ffmpeg there is nobody to
ask, and no test.

FSMETA_TEST_WINDOWS=200 asks for more windows of each video and layout, and for the combinations that
say little that others do not.
"""

import bisect
import fcntl
import glob
import json
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import termios
import time
from collections import namedtuple

import pytest

FSMETA = os.environ["FSMETA"]
# lib, or what the system makes of it.
MODULES = glob.glob(os.path.join(os.path.dirname(FSMETA), "..", "lib*", "**", "fsmeta_video.so"),
                    recursive=True)

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="no ffmpeg"
)
needs_module = pytest.mark.skipif(
    not MODULES, reason="built with -DFSMETA_VIDEO=OFF"
)

WINDOWS = int(os.environ.get("FSMETA_TEST_WINDOWS", "0"))
MORE = WINDOWS > 0
START = "2026-11-20T10:00:00Z"
START_S = 1795168800
LAYOUTS = ("fsv", "segments", "recording")
# A tick of an index word is 244 us, and times are cut to it.
TICK = 0.000250
PICTURE = "testsrc=size=160x120:rate={}"

Packet = namedtuple("Packet", "pts dts size key hash")


def run(*words, code=0, **options):
    done = subprocess.run([FSMETA, *map(str, words)], capture_output=True, check=False, **options)
    assert done.returncode == code, (words, done)
    return done.stdout, done.stderr.decode()


def write(archive, stream, video, *options, layout="fsv", start=START, code=0):
    words = ["archive", "write", f"--layout={layout}", *options]
    if start:
        words.append(f"--start={start}")
    return run(*words, archive, stream, video, code=code)[1]


def read(archive, stream, output, *window, code=0):
    return run("archive", "read", archive, stream, "-o", output, *window, code=code)[1]


def ffmpeg(*words, **options):
    return subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, words)],
        check=True, capture_output=True, **options,
    )


def probe(path, kind):
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", kind, "-show_data_hash", "md5",
         "-show_entries", "packet=pts_time,dts_time,size,flags,data_hash", "-of", "json", str(path)],
        check=True, capture_output=True,
    )
    assert not done.stderr, done.stderr
    return [
        Packet(
            float(packet["pts_time"]),
            float(packet["dts_time"]) if "dts_time" in packet else None,
            int(packet["size"]), "K" in packet["flags"], packet["data_hash"],
        )
        for packet in json.loads(done.stdout)["packets"]
    ]


def complaints(path):
    """What a decoder says to it, and the number of pictures."""
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "warning", "-i", str(path), "-map", "0:v", "-f", "framemd5",
         "-fps_mode", "passthrough", "-"],
        check=True, capture_output=True,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith(b"#")]
    return done.stderr.decode(), len(lines)


def same_bytes(got, wanted):
    return [packet[2:] for packet in got] == [packet[2:] for packet in wanted]


def assert_times(got, wanted, slack):
    """Shown at the same times after the first key frame, and decoded in time."""
    first = wanted[0].pts - got[0].pts
    for ours, theirs in zip(got, wanted):
        assert abs(ours.pts + first - theirs.pts) <= slack, (ours, theirs)
    decode = [packet.dts for packet in got if packet.dts is not None]
    assert all(one < other for one, other in zip(decode, decode[1:]))
    assert all(packet.dts is None or packet.dts <= packet.pts for packet in got)


# ---- the videos -----------------------------------------------------------------------------------

ENCODERS = {
    # B-frames, and B-frames that others lean on.
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-b_strategy", "0",
             "-x264-params", "b-pyramid=normal:ref=3", "-g", "30"],
    # Open groups: what follows a key frame is shown before it.
    "h265": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
             "bframes=3:b-adapt=0:open-gop=1:keyint=30:min-keyint=30:scenecut=0:log-level=none"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "30"],
    # Frames that come when they like.
    "variable": ["-vf", "settb=1/1000,setpts=N*40+mod(N*7\\,13)", "-fps_mode", "vfr",
                 "-enc_time_base", "1/1000", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2",
                 "-g", "30"],
}
ENDINGS = {"h264": "mp4", "h265": "mp4", "vp9": "webm", "variable": "mkv"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


def make_video(folder, name):
    path = folder / f"{name}.{ENDINGS[name]}"
    if not path.exists():
        ffmpeg("-f", "lavfi", "-i", PICTURE.format(25), "-t", "8", "-pix_fmt", "yuv420p",
               *ENCODERS[name], path)
    return path


@pytest.fixture(scope="session", params=sorted(ENCODERS))
def video(request, folder):
    path = make_video(folder, request.param)
    return request.param, path, probe(path, "v")


@pytest.fixture(scope="session")
def talkie(folder):
    """Picture and sound, and a date."""
    path = folder / "talkie.mp4"
    ffmpeg("-f", "lavfi", "-i", PICTURE.format(30), "-f", "lavfi", "-i",
           "sine=frequency=440:sample_rate=48000", "-t", "9", "-pix_fmt", "yuv420p",
           *ENCODERS["h264"], "-c:a", "aac", "-metadata", f"creation_time={START}", path)
    return path


def takes(layout, name):
    return layout != "segments" or name != "vp9"


# ---- whole and in windows -------------------------------------------------------------------------


@needs_module
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole(video, layout, tmp_path):
    name, path, wanted = video
    if not takes(layout, name):
        err = write(tmp_path / "a", "cam", path, layout=layout, code=3)
        assert "--layout fsv" in err and not (tmp_path / "a").exists()
        return
    err = write(tmp_path / "a", "cam", path, layout=layout)
    assert f"cam: {len(wanted)} frames" in err and f"({layout})" in err
    for ending in ("mp4", "mkv") if MORE or layout == "fsv" else ("mp4",):
        out = tmp_path / f"out.{ending}"
        err = read(tmp_path / "a", "cam", out)
        assert f"{len(wanted)} frames" in err and "from 2026-11-20T10:00:00Z" in err
        got = probe(out, "v")
        assert same_bytes(got, wanted)
        # Not even a tick is lost, as all of these have a frame rate or count milliseconds.
        assert_times(got, wanted, 0.000002 + (0.001 if ending == "mkv" else 0))
        said, pictures = complaints(out)
        assert not said
        assert pictures == len(wanted)


@needs_module
@pytest.mark.parametrize("layout", LAYOUTS)
def test_decode_times(folder, layout, tmp_path):
    """At a constant rate they are those of the encoder, first frames and all."""
    for name in ("h264", "h265"):
        path = make_video(folder, name)
        wanted = probe(path, "v")
        if not MORE and (layout == "recording") != (name == "h265"):
            continue
        write(tmp_path / name, "cam", path, layout=layout)
        read(tmp_path / name, "cam", tmp_path / "out.mp4")
        for ours, theirs in zip(probe(tmp_path / "out.mp4", "v"), wanted):
            assert abs(ours.dts - theirs.dts - ours.pts + theirs.pts) <= 0.000004


def window_of(wanted, start, end):
    """Packets of [start, end), as the header of media_read promises them: the key frame with which the
    earliest can be decoded, up to the last that is shown in time, without what leads the key frame."""
    shown = [i for i, packet in enumerate(wanted) if start <= packet.pts < end]
    earliest = min(wanted[i].pts for i in shown)
    key = max(i for i, packet in enumerate(wanted) if packet.key and packet.pts <= earliest)
    later = [i for i in range(key + 1, len(wanted)) if wanted[i].key]
    behind = later[0] if later else len(wanted)
    return [
        packet for i, packet in enumerate(wanted[: max(shown) + 1])
        if i >= key and (i >= behind or packet.pts >= wanted[key].pts)
    ]


def at(seconds):
    whole, rest = divmod(round((START_S + seconds) * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:06d}Z"


@needs_module
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows(video, layout, tmp_path):
    name, path, wanted = video
    # Every layout, and every codec, but not every pair.
    few = {("h264", "segments"), ("h265", "fsv"), ("h265", "recording"), ("variable", "recording"),
           ("vp9", "fsv")}
    if not takes(layout, name) or (not MORE and (name, layout) not in few):
        return
    write(tmp_path / "a", "cam", path, layout=layout)
    origin = wanted[0].pts
    shown = sorted(packet.pts for packet in wanted)
    chance = random.Random(f"{name} {layout}")
    keys = [packet.pts for packet in wanted if packet.key]
    # A key frame, what is shown just before it, one picture, and anything.
    windows = [(keys[2], keys[2] + 0.5), (shown[bisect.bisect_left(shown, keys[2]) - 1], keys[3])]
    for _ in range(1 + WINDOWS):
        first = chance.randrange(len(shown))
        windows.append((shown[first], shown[min(first + chance.choice((0, 1, 20, 90)),
                                                len(shown) - 1)]))
    for start, end in windows:
        # Between the times of pictures, so that no tick decides.
        start, end = start - origin - 0.004, end - origin + 0.004
        out = tmp_path / "out.mp4"
        read(tmp_path / "a", "cam", out, "--from", at(max(start, 0)), "--to", at(end))
        expected = window_of([packet._replace(pts=packet.pts - origin) for packet in wanted],
                             start, end)
        got = probe(out, "v")
        assert same_bytes(got, expected), (start, end)
        assert_times(got, expected, TICK)
        assert not complaints(out)[0]


@needs_module
def test_sound(talkie, tmp_path):
    """AAC beside H.264: the same packets, at the same distance from the picture."""
    video, sound = probe(talkie, "v"), probe(talkie, "a")
    # The start is the file's own date.
    err = write(tmp_path / "a", "cam", talkie, start=None)
    assert f"{len(video)} frames and {len(sound)} packets of sound" in err
    assert f"from {START}" in err
    for ending in ("mp4", "mkv"):
        out = tmp_path / f"out.{ending}"
        read(tmp_path / "a", "cam", out)
        assert same_bytes(probe(out, "v"), video)
        got = probe(out, "a")
        assert same_bytes(got, sound)
        assert_times(got, sound, TICK + 0.001 * (ending == "mkv"))
        shift = got[0].pts - sound[0].pts - probe(out, "v")[0].pts + video[0].pts
        assert abs(shift) <= TICK + 0.001 * (ending == "mkv")
        ffmpeg("-xerror", "-i", out, "-f", "null", "-")
    read(tmp_path / "a", "cam", tmp_path / "w.mp4", "--from", at(4.5), "--to", at(6))
    got = probe(tmp_path / "w.mp4", "a")
    expected = [packet for packet in sound if 4 <= packet.pts < 6]
    assert len(got) == len(expected) and same_bytes(got, expected)
    # A gap in the sound, of a packet that is there twice or not at all, would be one.
    steps = {round((b.pts - a.pts) * 48000) for a, b in zip(got, got[1:])}
    assert steps == {1024}
    # Where there is no place for it, that is said.
    assert "no place" in write(tmp_path / "b", "cam", talkie, layout="segments")
    assert not probe_after(tmp_path / "b", tmp_path / "silent.mp4")
    # It carries its date, that of the key frame.
    assert date_of(tmp_path / "w.mp4") == "2026-11-20T10:00:04"


def probe_after(archive, out):
    read(archive, "cam", out)
    return probe(out, "a")


@needs_module
def test_opus(tmp_path):
    """Sound that stands in front of the first key frame, and the rate of the picture as it was."""
    path = tmp_path / "opus.webm"
    ffmpeg("-f", "lavfi", "-i", PICTURE.format("30000/1001"), "-f", "lavfi", "-i",
           "sine=sample_rate=48000", "-t", "3", "-pix_fmt", "yuv420p", *ENCODERS["vp9"],
           "-c:a", "libopus", path)
    err = write(tmp_path / "a", "cam", path)
    assert "left out" not in err
    out = tmp_path / "out.webm"
    read(tmp_path / "a", "cam", out)
    assert same_bytes(probe(out, "v"), probe(path, "v"))
    assert same_bytes(probe(out, "a"), probe(path, "a"))
    ffmpeg("-xerror", "-i", out, "-f", "null", "-")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
         "stream=avg_frame_rate", "-of", "csv=p=0", out], check=True, capture_output=True)
    assert done.stdout.strip() == b"30000/1001"


@needs_module
def test_three_hours(tmp_path):
    """A still picture: many files of an archive, and a window across them."""
    path = tmp_path / "still.mp4"
    rate, keys, frames = ("1", "50", 10800) if MORE else ("1/4", "12", 2700)
    ffmpeg("-f", "lavfi", "-i", f"color=size=64x64:rate={rate}", "-t", "10800", "-c:v", "libx264",
           "-preset", "ultrafast", "-tune", "stillimage", "-bf", "2", "-g", keys, path)
    wanted = probe(path, "v")
    assert len(wanted) == frames
    for layout in LAYOUTS if MORE else ("fsv",):
        archive = tmp_path / layout
        write(archive, "cam", path, layout=layout)
        if layout != "recording":
            # Whoever sees names and times alone sees three hours, from then.
            told = json.loads(run("archive", "info", "--format=jsonl", archive)[0])
            assert told["from"].startswith("2026-11-20T10:00:00")
            assert told["to"].startswith("2026-11-20T12:59:5")
            assert told["covered_seconds"] >= 10790 and told["gaps"] == told["overlaps"] == 0
            pieces = {name.stem.split("_")[0] for name in (archive / "cam").iterdir()}
            assert 10800 // 1024 <= len(pieces) <= 12
        read(archive, "cam", tmp_path / "out.mp4")
        got = probe(tmp_path / "out.mp4", "v")
        assert same_bytes(got, wanted)
        assert_times(got, wanted, TICK)
        read(archive, "cam", tmp_path / "w.mp4", "--from", at(3333.5), "--to", at(7777.5))
        assert same_bytes(probe(tmp_path / "w.mp4", "v"), window_of(wanted, 3333.5, 7777.5))
        assert not complaints(tmp_path / "w.mp4")[0]


@needs_module
def test_other_containers(folder, tmp_path):
    """The encoder's own parameter sets, in Annex B, with a clock that does not begin with 0."""
    source = make_video(folder, "h264")
    path = tmp_path / "video.ts"
    ffmpeg("-i", source, "-c", "copy", path)
    for layout in LAYOUTS if MORE else ("recording",):
        write(tmp_path / layout, "cam", path, layout=layout)
        read(tmp_path / layout, "cam", tmp_path / "out.mkv")
        said, pictures = complaints(tmp_path / "out.mkv")
        assert not said and pictures == len(probe(source, "v"))
        got = probe(tmp_path / "out.mkv", "v")
        assert_times(got, probe(path, "v"), TICK + 0.001)
    # What was read can be written again, at the time that it carries.
    err = write(tmp_path / "again", "cam", tmp_path / "out.mkv", start=None)
    assert f"from {START}" in err


# ---- what only the container says -----------------------------------------------------------------


def insert_boxes(data, entry, boxes):
    """An mp4 whose sample entry of that name ends in these boxes, too; its index stands at its end."""
    data = bytearray(data)
    place = data.rindex(entry) - 4
    end = place + struct.unpack_from(">I", data, place)[0]
    outer = [data.rindex(name, 0, place) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]
    assert data.index(b"mdat") < outer[0]
    for at in [*outer, place]:
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(boxes))
    data[end:end] = boxes
    return bytes(data)


# Green, blue, red and white; brightest and darkest; as ISO/IEC 14496-12 has them.
MASTERING = struct.pack(">I4s8H2I", 32, b"mdcv", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10000000, 50)
LIGHT = struct.pack(">I4s2H", 12, b"clli", 1000, 400)


def look_of(path):
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_streams", "-of", "json", path],
        check=True, capture_output=True)
    stream = json.loads(done.stdout)["streams"][0]
    return {key: stream.get(key) for key in ("color_range", "color_space", "color_transfer", "color_primaries",
                                             "side_data_list")}


@needs_module
@pytest.mark.parametrize("name,rotation", [("h264", 90), ("h265", 180), ("vp9", 270)])
def test_look(name, rotation, folder, tmp_path):
    """Which way is up, colours, and the display of the maker: told as the source told it."""
    if name == "h265" and not MORE:
        pytest.skip("FSMETA_TEST_WINDOWS asks for it")
    path = tmp_path / "source.mp4"
    ffmpeg("-i", make_video(folder, name), "-c", "copy", "-metadata:s:v:0", f"rotate={rotation}",
           "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc",
           "-color_range", "tv", path)
    entry = {"h264": b"avc1", "h265": b"hev1", "vp9": b"vp09"}[name]
    path.write_bytes(insert_boxes(path.read_bytes(), entry, MASTERING + LIGHT))
    wanted = look_of(path)
    # Of H.265 the bitstream says that nothing is said, and is believed.
    assert name == "h265" or (wanted["color_primaries"], wanted["color_transfer"]) == ("bt2020", "smpte2084")
    kinds = {data["side_data_type"]: data for data in wanted["side_data_list"]}
    assert len(kinds) == 3 and abs(kinds["Display Matrix"]["rotation"]) in (rotation, 360 - rotation)
    packets = probe(path, "v")
    for layout in LAYOUTS:
        if not takes(layout, name):
            continue
        write(tmp_path / layout, "cam", path, layout=layout)
        read(tmp_path / layout, "cam", tmp_path / "out.mp4")
        assert same_bytes(probe(tmp_path / "out.mp4", "v"), packets)
        got, expected = look_of(tmp_path / "out.mp4"), dict(wanted)
        if layout == "segments":
            # There is no place for the maker's display beside a bare bitstream.
            expected["side_data_list"] = [kinds["Display Matrix"]]
        for told in (got, expected):
            told["side_data_list"].sort(key=lambda data: data["side_data_type"])
        assert got == expected, layout
        # From the middle as well.
        if not MORE and layout != "fsv":
            continue
        read(tmp_path / layout, "cam", tmp_path / "out.mp4", "--from", at(3), "--to", at(4))
        got = look_of(tmp_path / "out.mp4")
        got["side_data_list"].sort(key=lambda data: data["side_data_type"])
        assert got == expected, layout
        run("archive", "check", "--deep", tmp_path / layout)


# ---- what is refused ------------------------------------------------------------------------------


def snapshot(folder):
    return sorted(
        (str(path), path.read_bytes() if path.is_file() else None) for path in folder.rglob("*")
    )


@needs_module
def test_hostile(talkie, folder, tmp_path):
    """Whatever it is, it is told in one line, and the archive is as it was."""
    whole = talkie.read_bytes()
    front = tmp_path / "front.mp4"
    ffmpeg("-i", talkie, "-c", "copy", "-movflags", "+faststart", front)
    secret = make_video(folder, "vp9")
    hostile = {
        "cut.mp4": whole[: len(whole) // 2],
        "cut-front.mp4": front.read_bytes()[: len(whole) * 2 // 3],
        "text.mp4": b"This is no video at all.\n" * 1000,
        "empty.mp4": b"",
        "zeros.mp4": bytes(100_000),
        "list.m3u8": f"#EXTM3U\n#EXTINF:8,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode(),
        "list.ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
    }
    archive = tmp_path / "a"
    for existing in (False, True):
        if existing:
            write(archive, "cam", talkie)
        before = snapshot(tmp_path / "a")
        for name, data in list(hostile.items())[:: 1 if MORE or not existing else 3]:
            path = tmp_path / name
            path.write_bytes(data)
            err = write(archive, "other", path, code=3)
            assert err.startswith(f"fsmeta: {path}: opening a video: "), err
            assert err.count("\n") == 1 and "success" not in err.lower()
            assert snapshot(archive) == before
        assert archive.exists() == existing
    assert "beyond its end" in write(archive, "other", tmp_path / "cut-front.mp4", code=3)
    assert "moov" in write(archive, "other", tmp_path / "cut.mp4", code=3)
    chance = random.Random(6)
    for _ in range(40 if MORE else 4):
        damaged = bytearray(whole)
        for _ in range(40):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path = tmp_path / "damaged.mp4"
        path.write_bytes(damaged)
        done = subprocess.run(
            [FSMETA, "archive", "write", "--start", START, str(tmp_path / "damaged"), "cam", path],
            capture_output=True, check=False,
        )
        assert done.returncode in (0, 2, 3), done
        shutil.rmtree(tmp_path / "damaged", ignore_errors=True)


@needs_module
@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_within(layout, folder, tmp_path):
    """Damage behind a good beginning: what came before is kept, sealed, and the exit status says so."""
    source = make_video(folder, "h264")
    wanted = probe(source, "v")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "packet=pos", "-of", "csv=p=0", source],
        check=True, capture_output=True,
    )
    damaged = bytearray(source.read_bytes())
    # The length of the first NAL unit in a packet.
    place = int(done.stdout.split()[90].strip(b","))
    damaged[place : place + 4] = b"\x7f\xff\xff\xff"
    path = tmp_path / "damaged.mp4"
    path.write_bytes(damaged)
    err = write(tmp_path / "a", "cam", path, layout=layout, code=2)
    assert f"lengths in a packet do not add up (at byte {place})" in err
    assert "cam: 90 frames" in err
    read(tmp_path / "a", "cam", tmp_path / "out.mp4")
    assert same_bytes(probe(tmp_path / "out.mp4", "v"), wanted[:90])


@needs_module
def test_refusals(talkie, folder, tmp_path):
    archive, plain = tmp_path / "a", make_video(folder, "h264")
    assert "--start" in write(archive, "cam", plain, start=None, code=3)
    assert not archive.exists()
    write(archive, "cam", plain, layout="segments")
    before = snapshot(archive)
    # The same time again, and half of it.
    for start in (START, at(4), at(-4)):
        assert "already" in write(archive, "cam", plain, layout="segments", start=start, code=3)
    # The layout is the one that is there; another one is possible where it is asked for.
    err = run("archive", "write", "--start", at(100), archive, "cam", plain)[1]
    assert "(segments)" in err
    for words in (("--layout=avi", archive, "cam", plain), (archive, "cam"), (archive,),
                  ("--start=soon", archive, "cam", plain), (archive, "cam", plain, plain)):
        run("archive", "write", *words, code=64)
    write(archive, "../cam", plain, code=64)
    write(archive, "cam", tmp_path / "missing.mp4", code=3)
    assert len(snapshot(archive)) > len(before)

    out = tmp_path / "out.mp4"
    out.write_bytes(b"what was there")
    read(archive, "nobody", out, code=3)
    assert "no video in that time" in read(archive, "cam", out, "--from", at(50), "--to", at(60),
                                           code=3)
    read(archive, "cam", tmp_path / "out.avi", code=64)
    assert ".mkv" in read(archive, "cam", tmp_path / "out.webm", code=64)
    read(archive, "cam", out, "--from", at(5), "--to", at(5), code=64)
    read(tmp_path / "nowhere", "cam", out, code=3)
    run("archive", "read", archive, "cam", code=64)
    assert out.read_bytes() == b"what was there"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".out")]

    # One file cannot hold two sizes of picture.
    small = tmp_path / "small.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:rate=25", "-t", "2", "-pix_fmt", "yuv420p",
           *ENCODERS["h264"], small)
    for layout in ("fsv", "segments"):
        write(tmp_path / layout, "cam", plain, layout=layout)
        write(tmp_path / layout, "cam", small, layout=layout, start=at(20))
        err = read(tmp_path / layout, "cam", out, code=3)
        assert "at 2026-11-20T10:00:20Z" in err and "change" in err
        read(tmp_path / layout, "cam", out, "--from", at(20))
        assert same_bytes(probe(out, "v"), probe(small, "v"))


# ---- live -----------------------------------------------------------------------------------------


def is_waiting(process):
    """True where nothing is left in its pipe and all of its threads sleep."""
    left = fcntl.ioctl(process.stdin, termios.FIONREAD, struct.pack("i", 0))
    if struct.unpack("i", left)[0]:
        return False
    states = set()
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/stat") as file:
            states.add(file.read().rpartition(")")[2].split()[0])
    return states == {"S"}


def wait_until_read(process):
    """Until the process has taken what it was sent, and waits for more."""
    deadline = time.time() + 60
    quiet = 0
    while quiet < 5:
        assert time.time() < deadline
        time.sleep(0.1)
        quiet = quiet + 1 if is_waiting(process) else 0


@needs_module
def test_live(folder, tmp_path):
    """A pipe that does not end: what came can be read while it grows, and Ctrl-C seals it."""
    source = tmp_path / "live.mkv"
    ffmpeg("-i", make_video(folder, "h264"), "-c", "copy", "-cluster_time_limit", "500", source)
    data = source.read_bytes()
    most = len(data) * 3 // 4
    wanted = probe(source, "v")
    before = time.time()
    writers = {
        layout: subprocess.Popen(
            [FSMETA, "archive", "write", f"--layout={layout}", tmp_path / layout, "cam", "-"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for layout in LAYOUTS
    }
    for writer in writers.values():
        writer.stdin.write(data[:most])
        writer.stdin.flush()
    for layout, writer in writers.items():
        archive, now = tmp_path / layout, tmp_path / f"{layout}.mkv"
        deadline = time.time() + 60
        while True:
            done = subprocess.run([FSMETA, "archive", "read", archive, "cam", "-o", now],
                                  capture_output=True, check=False)
            got = probe(now, "v") if done.returncode == 0 else []
            if len(got) > len(wanted) // 2:
                break
            assert time.time() < deadline, done
            time.sleep(0.3)
        assert writer.poll() is None
        assert same_bytes(got, wanted[: len(got)])
        # Others write other streams meanwhile, and nobody this one.
        write(archive, "other", source, layout=layout)
        write(archive, "cam", source, layout=layout, start="now", code=3)
        writer.stdin.write(data[most:])
        writer.stdin.flush()
    for writer in writers.values():
        wait_until_read(writer)
    for layout, writer in writers.items():
        archive, out = tmp_path / layout, tmp_path / "out.mkv"
        writer.send_signal(signal.SIGINT)
        _, err = writer.communicate()
        assert writer.returncode == 130 and f"cam: {len(wanted)} frames" in err.decode(), err
        read(archive, "cam", out)
        assert same_bytes(probe(out, "v"), wanted)
        streams = run("archive", "info", "--format=jsonl", archive)[0].splitlines()
        assert len(streams) == 2
        told = json.loads(streams[0])
        assert told["path"] in ("cam", "rec_cam")
        assert told["layout"] == layout and told["orphans"] == 0
        assert told.get("completed", True)
        # It began when its first bytes came.
        begun = date_of(out)
        assert utc(before) <= begun <= utc(time.time())


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def date_of(path):
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "format_tags=creation_time", "-of",
         "csv=p=0", path], check=True, capture_output=True)
    return done.stdout.decode().strip()[:19]


@needs_module
def test_live_from_the_middle(folder, tmp_path):
    """A stream that is joined between key frames: what nobody could decode is left out and counted."""
    source = make_video(folder, "h264")
    ts = tmp_path / "video.ts"
    ffmpeg("-i", source, "-c", "copy", "-mpegts_flags", "+resend_headers", ts)
    data = ts.read_bytes()
    joined = data[len(data) // 3 // 188 * 188 :]
    done = subprocess.run(
        [FSMETA, "archive", "write", str(tmp_path / "a"), "cam", "-"], input=joined,
        capture_output=True, check=False,
    )
    assert done.returncode == 0, done
    read(tmp_path / "a", "cam", tmp_path / "out.mp4")
    assert not complaints(tmp_path / "out.mp4")[0]


# ---- what it costs those who do not use it --------------------------------------------------------


def commands():
    for words in ((), ("archive",)):
        done = subprocess.run([FSMETA, *words, "--help"], capture_output=True, check=True)
        for line in done.stdout.decode().splitlines():
            if line.startswith("  ") and line.split()[0].isalpha() and line[2] != " ":
                yield (*words, line.split()[0])


def test_nobody_else_loads_it():
    """No command but `archive read` and `archive write` loads libav…: not linked, not loaded."""
    linked = subprocess.run(["ldd", FSMETA], capture_output=True, check=True).stdout
    assert b"libc.so" in linked and b"libav" not in linked
    seen = 0
    for words in commands():
        done = subprocess.run(
            [FSMETA, *words, "--help"], capture_output=True, check=True,
            env={**os.environ, "LD_DEBUG": "files"},
        )
        assert b"libav" not in done.stderr and b"fsmeta_video" not in done.stderr, words
        seen += 1
    assert seen > 15


def processor_time(program, *words):
    """Of one start, which a machine that is busy with other things hardly changes."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(program, [program, *words], os.environ, file_actions=silent)
    _, status, used = os.wait4(pid, 0)
    assert status == 0
    return used.ru_utime + used.ru_stime


def test_start_is_quick():
    """Medians of 50 starts, in turn: less than 5 ms more than `true`."""
    linked = subprocess.run(["ldd", FSMETA], capture_output=True, check=True).stdout
    if b"libasan" in linked or b"libtsan" in linked or b"libubsan" in linked:
        pytest.skip("sanitizers take their time")
    program, true = os.path.abspath(FSMETA), shutil.which("true")
    pairs = [(processor_time(program, "--version"), processor_time(true)) for _ in range(50)]
    ours, nothing = (statistics.median(times) for times in zip(*pairs))
    assert ours - nothing < 0.005, (ours, nothing)


def test_without_module(folder, tmp_path):
    """Where the module is not, the two commands say so, and nothing is changed."""
    lonely = tmp_path / "bin" / "fsmeta"
    lonely.parent.mkdir()
    shutil.copy(FSMETA, lonely)
    video = make_video(folder, "h264")
    done = subprocess.run(
        [lonely, "archive", "write", "--start", START, tmp_path / "a", "cam", video],
        capture_output=True, check=False,
        env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname((MODULES or [FSMETA])[0])},
    )
    assert done.returncode == 3 and b"video files" in done.stderr
    assert not (tmp_path / "a").exists()
