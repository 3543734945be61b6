"""`--policy` of diff, report and archive check: what was rotated out too early, what is overdue, and policies
that fit no stream; judged by who knows what was deleted and when it began."""

import calendar
import json
import os
import random
import re
import subprocess
import time

import pytest

HOUR, DAY, PIECE = 3600, 86400, 1000


def fsmeta(*words, code=0):
    done = subprocess.run([os.environ["FSMETA"], *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code, (words, done)
    return done


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


class Archive:
    """Segments and FSV by camera, in a folder that is scanned again and again."""

    def __init__(self, folder):
        self.root = folder / "recorder"
        self.database = folder / "a.db"
        self.root.mkdir()

    def files(self, camera, start):
        names = ("%d.h264", "%d.vidx") if camera.startswith("seg") else ("%d_video.rf1i", "%d_video.rf1p")
        return [self.root / camera / (name % (start * 1000)) for name in names]

    def put(self, camera, *starts):
        (self.root / camera).mkdir(exist_ok=True)
        for start in starts:
            for path in self.files(camera, start):
                path.write_bytes(b"x")
                os.utime(path, (start + PIECE, start + PIECE))

    def drop(self, camera, *starts):
        for start in starts:
            for path in self.files(camera, start):
                path.unlink()

    def scan(self):
        fsmeta("scan", self.root, "--db", self.database, "--source-id=recorder", "-q")

    def diff(self, *words):
        return fsmeta("diff", f"{self.database}@1", f"{self.database}@2", *words, code=1).stdout


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path)


def sentences(text):
    return dict(line[3:].split("/: ", 1) for line in text.splitlines() if line.startswith("V  "))


def test_a_sentence_says_whether_rotation_was_due(archive):
    now = int(time.time())
    starts = range(now - 33 * DAY, now - DAY, 6 * HOUR)
    gone = {"seg-due": 12, "seg-early": 20, "fsv-late": 2, "fsv-still": 0, "fsv-all": 13}
    for camera in gone:
        archive.put(camera, *starts)
    archive.scan()
    for camera, count in gone.items():
        archive.drop(camera, *starts[:count])
        archive.put(camera, now - PIECE)
    archive.drop("fsv-all", starts[40])
    archive.scan()

    def tails(*words):
        return {camera: re.split(r" h \d+ min\)(?:, |$)", text, maxsplit=1)[1]
                for camera, text in sentences(archive.diff(*words)).items()}

    plain = tails()
    assert plain["seg-due"] == "12 rotated out (oldest first, 30 d kept)"
    assert plain["fsv-still"] == ""
    told = tails("--policy=keep 30d")
    assert told["seg-due"] == "12 rotated out (oldest first, policy 30 d)"
    assert told["seg-early"] == \
        "20 rotated out (oldest first, 7 of them too early for policy 30 d, 28 d kept)"
    assert told["fsv-late"] == "2 rotated out (oldest first, policy 30 d, the oldest 2 d overdue)"
    assert told["fsv-still"] == "the oldest 3 d overdue (policy 30 d)"
    assert told["fsv-all"].startswith("13 rotated out (oldest first, policy 30 d), 1 lost out of order (")
    assert tails("--policy=keep 40d")["seg-due"] == \
        "12 rotated out (oldest first, too early for policy 40 d, 30 d kept)"
    # Of several the longest; of those that a pattern leaves out none.
    assert tails("--policy=keep 30d", "--policy=keep 2h *") == told
    some = tails("--policy=keep 30d seg-*")
    assert {camera: text for camera, text in some.items() if text != plain[camera]} == \
        {camera: text for camera, text in told.items() if camera.startswith("seg")}
    # What went too early did not go as it should: its files have lines.
    lines = [line for line in archive.diff("--policy=keep 30d seg-*").splitlines() if line[0] == "D"]
    assert len(lines) == 2 * 7 + 2
    early = [line for line in lines if line.endswith("  [rotated too early]")]
    assert len(early) == 2 * 7 and all(line.startswith("D  seg-early/") for line in early)
    story = {o["stream"]: o for o in objects(archive.diff("--stat", "--format=jsonl", "--policy=keep 30d"))
             if "stream" in o}
    assert {o["policy"] for o in story.values()} == {"keep 30d"}
    assert story["seg-early"]["rotated"] == 20 and story["seg-early"]["rotated_early"] == 7
    assert "rotated_early" not in story["fsv-late"] and "overdue_seconds" not in story["seg-due"]
    assert abs(story["fsv-late"]["overdue_seconds"] - (2.5 * DAY - 1024)) < 120


def test_too_early_is_what_began_within_the_policy(archive):
    """Random archives and policies; pieces of two tracks count once."""
    numbers = random.Random(6)
    for _ in range(2):
        now = int(time.time())
        cameras = [f"{kind}-{i}" for kind in ("seg", "fsv") for i in range(3)]
        starts = {c: sorted(numbers.sample(range(now - 20 * DAY, now - 2 * PIECE, PIECE), 40)) for c in cameras}
        for camera in cameras:
            archive.put(camera, *starts[camera])
            if camera.startswith("fsv"):
                for start in starts[camera]:
                    for path in archive.files(camera, start):
                        path.with_name(path.name.replace("video", "audio")).write_bytes(b"y")
        archive.scan()
        gone = {camera: numbers.randrange(35) for camera in cameras}
        for camera in cameras:
            for start in starts[camera][:gone[camera]]:
                for path in (archive.root / camera).glob(f"{start * 1000}*"):
                    path.unlink()
        archive.scan()
        for keep in (0, 3, 8, 15, 30):
            policy = f"--policy=keep {keep}d"
            newest = objects(fsmeta("log", "--format=jsonl", archive.database).stdout)
            at = max(newest, key=lambda o: o["generation"])["started"]
            due = calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) - keep * DAY
            told = {o["stream"]: o.get("rotated_early", 0)
                    for o in objects(archive.diff("--stat", "--format=jsonl", policy)) if "stream" in o}
            early = {c: sum(start > due for start in starts[c][:gone[c]]) for c in cameras}
            assert told == {c: early[c] for c in cameras if gone[c]}, keep
            marked = {}
            for o in objects(archive.diff("--format=jsonl", policy)):
                if o.get("archive", {}).get("early"):
                    assert o["archive"]["event"] == "rotated"
                    marked[o["archive"]["stream"]] = marked.get(o["archive"]["stream"], 0) + 1
            assert marked == {c: n * (4 if c.startswith("fsv") else 2) for c, n in early.items() if n}
        for path in sorted(archive.root.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        archive.database.unlink()


def test_the_report_says_it_too(archive, tmp_path):
    now = int(time.time())
    starts = range(now - 20 * DAY, now - DAY, 6 * HOUR)
    for camera in ("seg-1", "fsv-2"):
        archive.put(camera, *starts)
    archive.scan()
    for camera in ("seg-1", "fsv-2"):
        archive.drop(camera, *starts[:30])
        archive.put(camera, now - PIECE)
    archive.scan()

    def report(*words):
        page = tmp_path / "report.html"
        done = fsmeta("report", archive.database, "-o", page, "-q", *words)
        data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S).group(1))["archive"]
        said = {data["streams"][stream][0]: (rank, text)
                for stream, _, rank, asked, text in data["sentences"] if asked}
        return said, done.stderr

    policy = "--policy=keep 14d seg*"
    said, noted = report(policy, "--policy=keep 14d door-*")
    assert {camera: text for camera, (_, text) in said.items()} == sentences(archive.diff(policy))
    # Rank 1 is what nobody planned.
    assert said["seg-1"][0] == 1 and "too early for policy 14 d" in said["seg-1"][1]
    assert said["fsv-2"][0] != 1
    assert noted == f"fsmeta: {archive.database}: --policy 'keep 14d door-*': " \
                    "no stream of fsv or segments fits the pattern\n"
    assert report(policy)[1] == ""


def test_a_policy_that_fits_no_stream_does_not_hold(archive, tmp_path):
    now = int(time.time())
    archive.put("seg-1", now - PIECE)
    (archive.root / "frames").mkdir()
    (archive.root / "frames" / "frame_000000.npy").write_bytes(b"x")
    fits, none, timeless = "fresh 1h seg-*", "fresh 1h seg-7", "keep 9d frames"
    assert fsmeta("archive", "check", archive.root, "--policy", fits).stderr == ""
    text = fsmeta("archive", "check", archive.root, "--policy", fits, "--policy", none, "--policy", timeless,
                  code=1).stdout.splitlines()
    assert text[-3:] == [
        "fresh 1h seg-7: does not hold: no stream with times fits 'seg-7'",
        "keep 9d frames: does not hold: no stream with times fits 'frames'",
        "2 streams; 2 policies fit no stream",
    ]
    told = objects(fsmeta("archive", "check", archive.root, "--format=jsonl", "--policy", none, code=1).stdout)
    assert told[-1] == {"policy": none, "holds": False, "reason": "no stream with times fits 'seg-7'"}
    # A drive that is not mounted keeps no promise either.
    (tmp_path / "empty").mkdir()
    done = fsmeta("archive", "check", tmp_path / "empty", "--policy=fresh 1h", code=1)
    assert done.stdout == "fresh 1h: does not hold: no stream with times is there\n"
    assert "no video archive is recognised" in done.stderr
    fsmeta("archive", "check", tmp_path / "empty")
    fsmeta("archive", "check", tmp_path / "empty", "--policy=budget 1GB")


def put_recording(folder, end=None, born_now=False):
    """One that ended at `end`; its files are younger then, as copies are, unless they are written to now."""
    folder.mkdir(parents=True)
    for name in ("data.bin", "index.jsonl", "meta.json"):
        (folder / name).write_bytes(b"x")
        if not born_now:
            os.utime(folder / name, (end, end))


def test_recordings_of_a_folder_are_judged_together(archive, tmp_path):
    """In an archive of cameras and recordings; of the tree, its stream and its generation alike."""
    now = int(time.time())
    archive.put("seg-1", *range(now - 3 * HOUR, now - PIECE, PIECE))
    for day in (40, 31, 3):
        put_recording(archive.root / "old" / f"rec_{day}", now - day * DAY)
    for day in (2, 1):
        put_recording(archive.root / "new" / f"rec_{day}", now - day * DAY + HOUR)
    put_recording(archive.root / "new" / "rec_live", born_now=True)
    fsmeta("scan", archive.root, "-o", tmp_path / "s", "--db", archive.database, "-q")
    policies = ["--policy=keep 30d", "--policy=fresh 1h", "--policy=gaps 1h"]
    told = [fsmeta("archive", "check", "--format=jsonl", *policies, operand, code=1).stdout
            for operand in (archive.root, tmp_path / "s", archive.database)]
    assert told[1] == told[2]
    for text in told:
        streams = {o["path"]: o for o in objects(text)}
        verdicts = {path: {p["policy"].split()[0]: p["holds"] for p in o["policies"]}
                    for path, o in streams.items() if "policies" in o}
        # Nothing tells when copies began, so of gaps between those alone nothing is said.
        births = "from" in streams["new/rec_live"]
        assert verdicts == {
            "seg-1": {"keep": False, "fresh": True, "gaps": True},
            "old": {"keep": True, "fresh": False},
            "new": {"keep": False, "fresh": True, **({"gaps": False} if births else {})},
        }
        assert streams["old"]["layout"] == "recordings" and streams["old"]["pieces"] == 3
        for field, day in (("first_end", 40), ("last_end", 3)):
            assert calendar.timegm(time.strptime(streams["old"][field][:19], "%Y-%m-%dT%H:%M:%S")) == now - day * DAY
            assert streams[f"old/rec_{day}"]["to"] == streams["old"][field]
        assert "from" not in streams["old/rec_3"]
        reasons = {p["policy"]: p.get("reason") for o in ("old", "new") for p in streams[o]["policies"] if not p["holds"]}
        assert reasons["fresh 1h"].startswith("nothing for 3 d 0 h, since ")
        assert reasons["keep 30d"].startswith("it reaches back 47 h ") or \
            reasons["keep 30d"].startswith("it reaches back 46 h ")
        if births:
            assert re.match(r"2[23] h \d+ min are missing from ", reasons["gaps 1h"])
    # Patterns name the folder or recordings in it; without a verdict there is no line.
    text = fsmeta("archive", "check", archive.root, "--policy=keep 9d old", "--policy=fresh 5d old/rec_3").stdout
    assert text.splitlines()[-4].startswith("recordings old  (3 recordings, the first ended ")
    assert text.splitlines()[-3:] == [
        "           keep 9d old: holds", "           fresh 5d old/rec_3: holds", "7 streams; all is well"]
    assert "recordings" not in fsmeta("archive", "check", archive.root, "--policy=fresh 1h seg-*").stdout
    # A policy on gaps where nothing tells of any does not pass unnoticed.
    text = fsmeta("archive", "check", archive.root, "--policy=gaps 1h old", code=1).stdout
    assert "gaps 1h old: does not hold: no stream with times fits 'old'" in text


@pytest.mark.parametrize("words, reason", [
    (("--policy=keep 9",), "'keep 9' is none, as 'keep 90d' or 'keep 90d camera-*' is"),
    (("--policy=keep 999999y",), "'keep 999999y' is none"),
    (("--policy=gaps 5m",), "'gaps 5m' is for fsmeta archive check"),
    (("--policy=keep 9d", "--no-archive"), "--policy is for text and jsonl, without --no-archive"),
    (("--policy=keep 9d", "--format=csv"), "--policy is for text and jsonl, without --no-archive"),
    (["--policy=keep 9d"] * 65, "--policy: no more than 64"),
])
def test_wrong_usage(tmp_path, words, reason):
    assert reason in fsmeta("diff", *words, tmp_path, tmp_path, code=64).stderr
