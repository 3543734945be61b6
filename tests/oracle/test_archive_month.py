"""A month of a recorder with twenty cameras, a generation a day: each thing that goes wrong is told on its
day, by its name, and nothing else is.

A day has only a few pieces here; FSMETA_MONTH=full has as many as a real one."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from datetime import datetime

import pytest

T0 = 1_700_000_000
PIECE = 1000
PIECES_A_DAY = 86 if os.environ.get("FSMETA_MONTH") == "full" else 12
DAY = PIECE * PIECES_A_DAY
DAYS = 30
CAMERAS = 20
KEPT_DAYS = 9

POWER_CUT, LOST_DISK, TAMPERED, DEAD, LOST_PIECE = 14, 18, 21, 24, 27
ON_LOST_DISK = (5, 6, 7)
TAMPERED_CAMERA, DEAD_CAMERA, LOST_PIECE_CAMERA = 11, 13, 2


def fsmeta(*words, codes=(0,)):
    done = subprocess.run([os.environ["FSMETA"], *map(str, words)], capture_output=True)
    assert done.returncode in codes, (words, done)
    return done


class Recorder:
    """Writes what a recorder would, with its times; a piece is (start, files)."""

    def __init__(self, root):
        self.root = root
        self.pieces = {camera: [] for camera in range(CAMERAS)}
        self.lost = {}
        # By day and camera: what rotation took, and the oldest that is left.
        self.rotated = {}
        self.oldest = {}

    def folder(self, camera):
        return self.root / f"cam-{camera:02}"

    def names(self, camera, start):
        if camera % 2:
            return [f"{start * 1000}.h264", f"{start * 1000}.vidx"]
        return [f"{start}_video.rf1i", f"{start}_video.rf1p"]

    def write(self, camera, start, until, size, modified=None):
        folder = self.folder(camera)
        folder.mkdir(exist_ok=True)
        for name in self.names(camera, start):
            path = folder / name
            with open(path, "wb") as file:
                file.truncate(size)
            os.utime(path, (modified or until, modified or until))
        if start not in self.pieces[camera]:
            self.pieces[camera].append(start)

    def delete(self, camera, start):
        for name in self.names(camera, start):
            (self.folder(camera) / name).unlink()
        self.pieces[camera].remove(start)

    def record(self, camera, since, until, modified=None):
        """Pieces begin every PIECE seconds from T0 - PIECE / 2; the last one may be growing."""
        start = since
        while start < until:
            end = min(until, T0 - PIECE // 2 + ((start - T0 + PIECE // 2) // PIECE + 1) * PIECE)
            begun = [piece for piece in self.pieces[camera] if piece <= start < piece + PIECE]
            first = begun[-1] if begun and since == start else start
            last = end >= until
            self.write(camera, first, end, end - first, modified if last else None)
            start = end

    def roll_over(self, day, budget):
        """The oldest of all cameras go until the rest fits."""
        def count():
            return sum(len(pieces) for pieces in self.pieces.values())

        while count() > budget:
            camera = min((pieces[0], camera) for camera, pieces in self.pieces.items() if pieces)[1]
            self.rotated.setdefault((day, camera), []).append(self.pieces[camera][0])
            self.delete(camera, self.pieces[camera][0])


def live(recorder, day):
    """What happens on a day."""
    begin, end = T0 + day * DAY, T0 + (day + 1) * DAY
    for camera in range(CAMERAS):
        if day == DEAD and camera == DEAD_CAMERA:
            continue
        if day == POWER_CUT:
            cut, back = begin + 4 * PIECE + 200, begin + 8 * PIECE
            recorder.record(camera, begin, cut, modified=back + 5)
            recorder.record(camera, back + 6, end)
        else:
            recorder.record(camera, begin, end)
    recorder.roll_over(day, CAMERAS * KEPT_DAYS * PIECES_A_DAY)
    if day == LOST_DISK:
        for camera in ON_LOST_DISK:
            # What the generation before has, and rotation did not take.
            recorder.lost[camera] = sum(start < begin for start in recorder.pieces[camera])
            shutil.rmtree(recorder.folder(camera))
            recorder.pieces[camera].clear()
    if day == TAMPERED:
        start = recorder.pieces[TAMPERED_CAMERA][40]
        recorder.write(TAMPERED_CAMERA, start, 0, 999, modified=end - 77)
    if day == LOST_PIECE:
        recorder.delete(LOST_PIECE_CAMERA, recorder.pieces[LOST_PIECE_CAMERA][30])
    for camera, pieces in recorder.pieces.items():
        recorder.oldest[day, camera] = pieces[0] if pieces else None


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """The database of the month, and who recorded it."""
    folder = tmp_path_factory.mktemp("month")
    root = folder / "recorder"
    root.mkdir()
    recorder = Recorder(root)
    for day in range(DAYS):
        live(recorder, day)
        fsmeta("scan", root, "--db", folder / "month.db", "--source-id=recorder", "-q")
    return folder / "month.db", recorder


def stories(database, day, *options):
    """{camera: what --stat says of it} for the way from the day before."""
    words = ("diff", f"{database}@{day}", f"{database}@{day + 1}", "--stat", "--format=jsonl", *options)
    lines = [json.loads(line) for line in fsmeta(*words, codes=(1,)).stdout.splitlines()]
    return {int(line["stream"][-2:]): line for line in lines if "stream" in line}


def expected(day, camera, lost):
    """What is out of the ordinary."""
    wrong = {}
    if day == POWER_CUT:
        wrong |= {"recovered": 1, "gaps": 1}
    if day == LOST_DISK and camera in ON_LOST_DISK:
        wrong["lost"] = lost[camera]
    if day == TAMPERED and camera == TAMPERED_CAMERA:
        wrong["altered"] = 1
    if day == DEAD and camera == DEAD_CAMERA:
        wrong["silent"] = True
    if day == DEAD + 1 and camera == DEAD_CAMERA:
        wrong["gaps"] = 1
    if day == LOST_PIECE and camera == LOST_PIECE_CAMERA:
        wrong["lost"] = 1
    return wrong


def told(story):
    wrong = {key: story[key] for key in ("lost", "altered", "orphaned", "recovered", "silent")
             if key in story}
    if story.get("gaps"):
        wrong["gaps"] = story["gaps"]
    return wrong


@pytest.mark.parametrize("day", range(1, DAYS))
def test_day(month, day):
    database, lost = month[0], month[1].lost
    of_day = stories(database, day)
    assert set(of_day) == set(range(CAMERAS))
    for camera, story in of_day.items():
        wrong = told(story)
        assert wrong == expected(day, camera, lost), (day, camera, story)
        # With less on the disks nothing needs to go for a while.
        if KEPT_DAYS < day < LOST_DISK and day != POWER_CUT:
            assert story["rotated"] in range(PIECES_A_DAY - 4, PIECES_A_DAY + 2), (day, camera)
        if day < KEPT_DAYS - 1:
            assert "rotated" not in story
        if not wrong and day != LOST_DISK + 1:
            assert story["recorded_seconds"] == DAY, (day, camera, story)


def test_what_went_too_early(month):
    """A policy of so many hours that the tenth day is where it begins, as seen from today."""
    database, recorder = month
    hours = int(time.time() - T0 - 10 * DAY) // 3600
    lines = map(json.loads, fsmeta("log", "--format=jsonl", database).stdout.splitlines())
    scanned = {line["generation"]: datetime.fromisoformat(line["started"][:26] + "+00:00") for line in lines}
    seen = set()
    for day in range(1, DAYS):
        due = scanned[day + 1].timestamp() - hours * 3600
        for camera, story in stories(database, day, f"--policy=keep {hours}h").items():
            if day == LOST_DISK and camera in ON_LOST_DISK:
                continue
            rotated = recorder.rotated.get((day, camera), [])
            early = sum(start > due for start in rotated)
            overdue = due - 1024 - recorder.oldest[day, camera]
            assert story["policy"] == f"keep {hours}h"
            assert story.get("rotated", 0) == len(rotated)
            assert story.get("rotated_early", 0) == early, (day, camera, story)
            assert ("overdue_seconds" in story) == (overdue > 86400), (day, camera, story)
            if overdue > 86400:
                assert abs(story["overdue_seconds"] - overdue) <= 1
            seen |= {"none" if not early else "all" if early == len(rotated) else "some"} if rotated else set()
            seen |= {"overdue"} if overdue > 86400 else set()
    assert seen == {"none", "all", "some", "overdue"}


def events(database, day):
    words = ("diff", f"{database}@{day}", f"{database}@{day + 1}", "--format=jsonl")
    lines = [json.loads(line) for line in fsmeta(*words, codes=(1,)).stdout.splitlines()]
    return [line for line in lines if "archive" in line]


def test_lines_of_files(month):
    month = month[0]
    for line in events(month, TAMPERED):
        camera = int(line["archive"]["stream"][-2:])
        assert line["path"].startswith(line["archive"]["stream"] + "/")
        assert line["archive"]["layout"] == ("segments" if camera % 2 else "fsv")
        assert line["archive"]["from"] <= line["archive"].get("to", "3")
        assert line["archive"]["event"] == {
            "added": "recorded", "removed": "rotated",
            "modified": "altered" if camera == TAMPERED_CAMERA and
            line["archive"]["event"] == "altered" else "sealed"}[line["kind"]]
    altered = [line for line in events(month, TAMPERED) if line["archive"]["event"] == "altered"]
    assert len(altered) == 2 and {line["kind"] for line in altered} == {"modified"}


def test_text_says_it_in_a_sentence(month):
    month = month[0]

    def text(day, *words):
        operands = (f"{month}@{day}", f"{month}@{day + 1}")
        return fsmeta("diff", *operands, *words, codes=(1,)).stdout.decode().splitlines()

    lines = text(LOST_PIECE)
    # A sentence for each camera, and the two files of the one that is lost.
    assert len(lines) == CAMERAS + 2
    assert all(line.startswith("V  cam-") for line in lines[:CAMERAS])
    assert "1 lost out of order (" in lines[LOST_PIECE_CAMERA]
    assert all(line.startswith(f"D  cam-{LOST_PIECE_CAMERA:02}/") and line.endswith("[lost]")
               for line in lines[CAMERAS:])
    assert "nothing after " in text(DEAD)[DEAD_CAMERA]
    assert sum("one gap of " in line for line in text(POWER_CUT)) == CAMERAS
    assert len(text(LOST_PIECE, "--no-archive")) == len(text(LOST_PIECE, "--all")) - CAMERAS > 100
    # Who asks for some of the changes gets these, and no sentences.
    assert all(line.startswith("A  ") for line in text(LOST_PIECE, "--kind=added"))


def test_a_stream_tells_the_same(month, tmp_path):
    """The older side as a stream, and the newer one too."""
    month = month[0]
    for number in (LOST_DISK, LOST_DISK + 1):
        fsmeta("export", f"{month}@{number}", "-o", tmp_path / str(number), "-q")
    by_streams = fsmeta("diff", tmp_path / str(LOST_DISK), tmp_path / str(LOST_DISK + 1), codes=(1,))
    by_database = fsmeta("diff", f"{month}@{LOST_DISK}", f"{month}@{LOST_DISK + 1}", codes=(1,))
    assert by_streams.stdout == by_database.stdout
    assert b"nothing is left" in by_streams.stdout


@pytest.mark.parametrize("way", ["pipe", "fifo", "file"])
def test_the_older_side_may_come_through_a_pipe(month, tmp_path, way):
    """What is read only once is kept as far as the sentences need it."""
    database = month[0]
    cases = [(LOST_DISK, ()), (POWER_CUT, ("--format=jsonl",)), (DEAD, ("--stat",))]
    for day, words in cases if way == "pipe" else cases[:1]:
        exported = fsmeta("export", f"{database}@{day}", "-o", "-").stdout
        newer = f"{database}@{day + 1}"
        fsmeta("export", newer, "-o", tmp_path / "newer", "-q")
        wanted = fsmeta("diff", f"{database}@{day}", tmp_path / "newer", *words, codes=(1,)).stdout
        assert b"cam-05" in wanted
        older = "-"
        if way == "fifo":
            older = tmp_path / "older"
            older.unlink(missing_ok=True)
            os.mkfifo(older)
            threading.Thread(target=older.write_bytes, args=(exported,)).start()
        if way == "file":
            (tmp_path / "older.fss").write_bytes(exported)
            with open(tmp_path / "older.fss", "rb") as file:
                done = subprocess.run([os.environ["FSMETA"], "diff", "-", tmp_path / "newer", *words],
                                      stdin=file, capture_output=True)
        else:
            done = subprocess.run([os.environ["FSMETA"], "diff", older, tmp_path / "newer", *words],
                                  input=exported if way == "pipe" else b"", capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (1, wanted, b"")


def test_a_part_against_a_pipe(archive, tmp_path):
    """What the newer side was not asked for is stepped over, and what comes behind it is not."""
    recorder, database = archive
    for camera in (2, 3):
        recorder.record(camera, T0, T0 + 40 * PIECE)
    fsmeta("scan", recorder.root, "-o", tmp_path / "older", "--source-id=recorder", "-q")
    older = fsmeta("export", tmp_path / "older", "-o", "-").stdout
    recorder.delete(3, recorder.pieces[3][0])
    recorder.delete(3, recorder.pieces[3][5])
    fsmeta("scan", recorder.root, "-o", tmp_path / "newer", "--source-id=recorder", "-q",
           "--subtree=cam-01", "--subtree=cam-03")
    wanted = fsmeta("diff", tmp_path / "older", tmp_path / "newer", codes=(1,)).stdout
    assert b"1 segment rotated out (oldest first" in wanted and b"1 lost out of order" in wanted
    done = subprocess.run([os.environ["FSMETA"], "diff", "-", tmp_path / "newer"], input=older, capture_output=True)
    assert (done.returncode, done.stdout) == (1, wanted)


def test_the_report_says_what_diff_says(month, tmp_path):
    database, lost = month[0], month[1].lost
    page = tmp_path / "report.html"
    fsmeta("report", database, f"{LOST_DISK}..{LOST_DISK + 1}", "-o", page, "-q")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S).group(1))
    archive = data["archive"]
    names = [path for path, layout in archive["streams"]]
    said = {names[stream]: text for stream, generation, rank, asked, text in archive["sentences"]
            if asked}
    words = ("diff", f"{database}@{LOST_DISK}", f"{database}@{LOST_DISK + 1}", "--stat")
    lines = fsmeta(*words, codes=(1,)).stdout.decode().splitlines()
    assert said == {line[3:].split("/: ")[0]: line.split("/: ", 1)[1]
                    for line in lines if line.startswith("V  ")}
    alarms = {names[row[0]] for row in archive["sentences"] if row[2] == 1}
    assert alarms == {f"cam-{camera:02}" for camera in ON_LOST_DISK}
    gone = {}
    for stream, generation, event, begin, end, pieces in archive["stretches"]:
        assert begin <= end
        if event == "lost":
            assert generation == LOST_DISK + 1
            gone[int(names[stream][-2:])] = gone.get(int(names[stream][-2:]), 0) + pieces
    assert gone == lost
    # What is there is what `archive info` finds.
    info = fsmeta("archive", "info", f"{database}@{LOST_DISK + 1}", "--format=jsonl").stdout
    there = {line["path"]: line["pieces"] for line in map(json.loads, info.splitlines())}
    covered = {}
    for stream, _, event, _, _, pieces in archive["stretches"]:
        if event == "covered":
            covered[names[stream]] = covered.get(names[stream], 0) + pieces
    assert covered == there


@pytest.fixture
def archive(tmp_path):
    """Two cameras with many pieces, scanned."""
    recorder = Recorder(tmp_path / "recorder")
    recorder.root.mkdir()
    for camera in (0, 1):
        recorder.record(camera, T0, T0 + 400 * PIECE)
    fsmeta("scan", recorder.root, "--db", tmp_path / "a.db", "--source-id=recorder", "-q")
    return recorder, tmp_path / "a.db"


@pytest.mark.parametrize("way", ["scan", "import"])
def test_rotation_is_no_removal(archive, tmp_path, way):
    """Three fifths went: as rotation that is fine, and out of order it is refused."""
    recorder, database = archive

    def take(*options, codes=(0,)):
        if way == "scan":
            return fsmeta("scan", recorder.root, "--db", database, "--source-id=recorder", "-q",
                          *options, codes=codes)
        stream = tmp_path / "stream"
        shutil.rmtree(stream, ignore_errors=True)
        fsmeta("scan", recorder.root, "-o", stream, "--source-id=recorder", "-q")
        return fsmeta("import", database, stream, "-q", *options, codes=codes)

    for camera in (0, 1):
        for start in recorder.pieces[camera][1:241]:
            for name in recorder.names(camera, start):
                (recorder.folder(camera) / name).unlink()
    refused = take(codes=(3,))
    assert b"aside" not in refused.stderr
    assert b"960 of 1607 entries are gone (60%, more than 50%)" in refused.stderr
    # One camera's are rotated out then, the other's are not.
    recorder.delete(0, recorder.pieces[0][0])
    refused = take("--max-removed=20%", codes=(3,))
    assert b"480 of 1607 entries are gone (30%, more than 20%), those aside that" in refused.stderr
    recorder.delete(1, recorder.pieces[1][0])
    take()
    assert len(fsmeta("log", "--format=jsonl", database).stdout.splitlines()) == 2


def test_frames_are_no_removal(tmp_path):
    """A frame store deletes what nobody needs, all of it if it likes."""
    store = tmp_path / "store"
    for video in ("a", "b"):
        (store / "frames" / video).mkdir(parents=True)
        for number in range(700):
            (store / "frames" / video / f"frame_{number:06}.npy").touch()
    database = tmp_path / "a.db"
    words = ("scan", store, "--db", database, "--source-id=store", "-q")
    fsmeta(*words)
    shutil.rmtree(store / "frames" / "a")
    for path in list((store / "frames" / "b").iterdir())[:650]:
        path.unlink()
    fsmeta(*words)
