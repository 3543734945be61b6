"""Frames, judged by NumPy: what it saves is loaded and saved again, and it must find no difference."""

import os
import subprocess

import pytest

numpy = pytest.importorskip("numpy")


def feed(*words):
    feeder = os.path.join(
        os.path.dirname(os.environ["FSMETA"]), "..", "tests", "unit", "test_archive_feed"
    )
    return subprocess.run([feeder, *map(str, words)], capture_output=True)


def arrays():
    random = numpy.random.default_rng(7)
    yield random.integers(0, 255, (48, 64, 3), dtype=numpy.uint8)
    for kind in "?bBhHiIlLqQefdgFDG":
        yield numpy.arange(24).reshape(2, 3, 4).astype(kind)
    for dtype in ("<f4", ">f4", ">i8", "<u2", ">c16"):
        yield numpy.arange(6).astype(dtype)
    yield numpy.asfortranarray(random.random((5, 7)))
    yield random.random((5, 7)).T
    yield numpy.array(3.5)
    yield numpy.zeros((0, 4))
    yield numpy.zeros((1,) * 32, dtype="i2")
    yield numpy.array(["a", "größer", "日本"])
    yield numpy.array([b"ab", b"cde"])
    yield numpy.array(["2026-11-21T10:00:00"], dtype="M8[ns]")
    yield numpy.array([5, 6], dtype="m8[25s]")
    yield numpy.array([(1.5, 2, b"x")], dtype=[("a", "<f4"), ("b", ">i2"), ("c", "S3")])
    nested = [("p", [("x", "<f8"), ("y", "<f8", (2, 3))]), (("a title", "n"), "<U4")]
    yield numpy.zeros(4, dtype=nested)
    yield numpy.zeros(3, dtype=numpy.dtype({"names": ["u", "v"], "formats": ["u1", "f8"]}, align=True))
    yield numpy.zeros(2, dtype=[("größe", "<i4")])
    yield numpy.zeros(2, dtype=[(f"field{i}", "<f8") for i in range(150)])


def test_round_trip(tmp_path):
    (tmp_path / "numpy").mkdir()
    for n, array in enumerate(arrays()):
        numpy.save(tmp_path / "numpy" / f"frame_{n:06d}.npy", array)
        done = feed("frames-copy", tmp_path, f"numpy_{n}", "ours", n)
        assert done.returncode == 0, (array.dtype, array.shape, done.stderr)
        again = numpy.load(tmp_path / "ours" / f"frame_{n:06d}.npy", allow_pickle=False)
        assert again.dtype == array.dtype
        assert again.shape == array.shape
        assert again.tobytes("A") == array.tobytes("A")
        assert again.flags.f_contiguous == array.flags.f_contiguous
        mapped = numpy.load(tmp_path / "ours" / f"frame_{n:06d}.npy", mmap_mode="r") if array.size else again
        assert mapped.dtype == array.dtype


def test_objects_are_refused(tmp_path):
    (tmp_path / "numpy").mkdir()
    numpy.save(tmp_path / "numpy" / "frame_000000.npy", numpy.array([{}, None], dtype=object))
    done = feed("frames-copy", tmp_path, "numpy_0", "ours", 0)
    assert done.returncode == 3
    assert b"Python objects" in done.stderr
