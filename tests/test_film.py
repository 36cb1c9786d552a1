"""Looking into a video file: what it is, and whether all of it is there."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from generations import film

RATE = 12


def shoot(
    path: Path, seconds: float = 4, sound: bool = True, size: tuple[int, int] = (160, 90), **options: Any
) -> Path:
    """A small film. Options are those of the container; by default its index stands before its pictures."""
    if path.suffix == ".mp4" and not options:
        options = {"movflags": "+faststart"}
    with av.open(str(path), "w", options=options) as target:
        video = target.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        hum = target.add_stream("aac", rate=22050, layout="mono") if sound else None
        for number in range(int(seconds * RATE)):
            picture = Image.effect_noise(size, number * 2 + 10).convert("RGB")
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            target.mux(video.encode(frame))
            if hum is not None:
                samples = av.AudioFrame("s16", "mono", 22050 // RATE)
                samples.planes[0].update(bytes(samples.planes[0].buffer_size))
                samples.rate, samples.pts, samples.time_base = 22050, number * (22050 // RATE), Fraction(1, 22050)
                target.mux(hum.encode(samples))
        target.mux(video.encode(None))
        if hum is not None:
            target.mux(hum.encode(None))
    return path


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    short = path.with_name(f"cut-{path.name}")
    short.write_bytes(data[: int(len(data) * part)])
    return short


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "index first": ("a.mp4", {}),
    "index last": ("b.mp4", {"movflags": "0"}),
    "fragments": ("c.mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "quicktime": ("d.mov", {}),
    "matroska": ("e.mkv", {}),
}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {kind: shoot(folder / name, **options) for kind, (name, options) in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_film_of_every_kind_is_read(films, tmp_path, kind):
    found = film.develop(films[kind], tmp_path)
    assert (found.width, found.height, found.sound, found.fps) == (160, 90, True, RATE)
    assert abs(found.seconds - 4) < 0.2
    assert Image.open(tmp_path / found.poster).format == "WEBP"
    assert film.probe(tmp_path / found.preview).sound is False


@pytest.mark.parametrize(
    ("size", "widths"),
    [((1920, 1080), {"poster": 1280, "poster_medium": 640, "poster_small": 320}),
     ((720, 1280), {"poster": 720, "poster_medium": 640, "poster_small": 320}),
     ((640, 480), {"poster": 640, "poster_small": 320}), ((160, 90), {"poster": 160})],
)  # fmt: skip
def test_posters_come_in_several_widths_and_never_enlarged(tmp_path, size, widths):
    whole = shoot(tmp_path / "a.mp4", 0.5, sound=False, size=size)
    made = film.make_posters(whole, tmp_path, 1)
    found = {name: Image.open(tmp_path / path).size for name, path in made.items()}
    assert {name: width for name, (width, _) in found.items()} == widths
    for width, height in found.values():
        assert abs(width / height - size[0] / size[1]) < 0.02


@pytest.mark.parametrize("part", [0.3, 0.4, 0.6, 0.8, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_a_film_of_which_the_end_is_missing_is_refused(films, kind, part):
    with pytest.raises(ValueError, match=r"incomplete|no playable video|no frame"):
        film.probe(cut(films[kind], part))


def test_a_film_without_only_its_last_byte_is_refused(films):
    with pytest.raises(ValueError, match="incomplete"):
        film.probe(cut(films["index first"], 1 - 1e-9))


def test_a_film_that_stops_exactly_between_two_pictures_is_refused(tmp_path):
    whole = shoot(tmp_path / "a.mp4", sound=False)
    with av.open(str(whole)) as file:
        places = [packet.pos for packet in file.demux(video=0) if packet.size]
    whole.write_bytes(whole.read_bytes()[: places[len(places) // 2]])
    with pytest.raises(ValueError, match="incomplete"):
        film.probe(whole)


def test_a_length_that_is_wrong_in_the_header_alone_is_no_missing_picture(tmp_path):
    whole = shoot(tmp_path / "a.mp4", sound=False, movflags="+faststart", use_editlist="0")
    data = bytearray(whole.read_bytes())
    place = data.index(b"mdhd") + 16  # version and flags, made, changed, scale: then the length
    scale, length = struct.unpack_from(">II", data, place)
    assert length == 4 * scale
    struct.pack_into(">I", data, place + 4, 9 * scale)
    whole.write_bytes(data)
    assert film.probe(whole).seconds == 4


def test_a_last_picture_that_is_rubbish_is_found(tmp_path):
    whole = shoot(tmp_path / "a.mp4", sound=False, movflags="+faststart")
    with av.open(str(whole)) as file:
        last = max((packet for packet in file.demux(video=0) if packet.size), key=lambda packet: packet.pos)
    data = bytearray(whole.read_bytes())
    data[last.pos : last.pos + last.size] = b"\xff" * last.size
    whole.write_bytes(data)
    with pytest.raises(ValueError, match=r"no playable video|last frame"):
        film.probe(whole)


def test_a_playlist_does_not_bring_in_its_neighbour(tmp_path):
    shoot(tmp_path / "secret.mp4")
    playlist = tmp_path / "clip.mp4"
    for text in ("ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:4,\nsecret.mp4\n#EXT-X-ENDLIST\n"):
        playlist.write_text(text)
        with pytest.raises(ValueError, match="neither MP4, MOV nor WebM"):
            film.develop(playlist, tmp_path)
        assert not (tmp_path / "poster.webp").exists()
        for read in (
            lambda: film.make_posters(playlist, tmp_path, 0),
            lambda: film.make_preview(playlist, tmp_path / "p.mp4"),
        ):
            with pytest.raises(ValueError, match="neither MP4, MOV nor WebM"):
                read()


@pytest.mark.parametrize("name", ["a.avi", "a.ts", "a.flv"])
def test_other_containers_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="neither MP4, MOV nor WebM"):
        film.probe(shoot(tmp_path / name, sound=False))


def test_the_demuxer_can_open_nothing_by_itself(tmp_path, monkeypatch):
    secret = shoot(tmp_path / "secret.mp4")
    playlist = tmp_path / "clip.mp4"
    playlist.write_text(f"ffconcat version 1.0\nfile {secret.name}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(film, "_container", lambda head: "concat")
    with pytest.raises(ValueError, match="no playable video"):
        film.probe(playlist)


def test_the_program_says_in_one_line_what_is_wrong(films, tmp_path, capsys):
    assert film.main([str(cut(films["index first"], 0.4)), str(tmp_path)]) == 1
    assert "incomplete" in capsys.readouterr().err.strip().splitlines()[-1]
