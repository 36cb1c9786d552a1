"""Looks into a video file and makes its posters and hover preview. Run as a short-lived process with a time-out:

    python -m generations.film VIDEO FOLDER

prints one line of JSON: what was found and which files were made in FOLDER. A file that is no video ends it with 1.

    python -m generations.film --frame VIDEO IMAGE [SECONDS]

writes the picture shown at that time as a JPEG, without one the very last.

PyAV reads files that strangers made: a crash or a hang here takes nothing else down.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from PIL import Image

POSTER_WIDTHS = {"poster": 1280, "poster_medium": 640, "poster_small": 320}  # pixels; a smaller video has fewer
PREVIEW_SIDE = 480
PREVIEW_SECONDS = 6.0
PREVIEW_FPS = 15
GIVES_WAY = 10  # niceness: what people wait for, and requests that have their time, go first
#: How an MP4 or MOV begins (the name of its first box), and a WebM.
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
EBML = b"\x1a\x45\xdf\xa3"
#: How far from the end that the container names its last picture may end: so many seconds, or so many frames.
SHORT_SECONDS, SHORT_FRAMES = 0.2, 2


@dataclass(frozen=True)
class Film:
    """What a video file holds. Lengths in seconds, sizes in pixels."""

    width: int
    height: int
    seconds: float
    fps: float
    sound: bool
    codec: str
    poster: str = ""
    poster_medium: str = ""
    poster_small: str = ""
    preview: str = ""


def _container(head: bytes) -> str:
    if head[4:8] in FIRST_BOXES:
        return "mov"
    if head.startswith(EBML):
        return "matroska"
    raise ValueError("the file is no playable video (neither MP4, MOV nor WebM)")


@contextmanager
def _open(video: Path) -> Iterator[InputContainer]:
    """Opens a file as what its first bytes say, and as nothing else: a playlist would name other files to read.

    Its demuxer gets the bytes from us and may open nothing by itself.
    """
    with video.open("rb") as raw:
        container = _container(raw.read(12))
        raw.seek(0)
        with av.open(raw, "r", format=container, options={"protocol_whitelist": ""}) as file:
            yield file


def probe(video: Path) -> Film:
    """Reads the file from end to end. Raises ValueError when it is no playable video, or not all of one."""
    try:
        with _open(video) as file:
            if not file.streams.video:
                raise ValueError("the file holds no picture")
            stream = file.streams.video[0]
            stream.thread_type = "AUTO"
            if next(file.decode(stream), None) is None:
                raise ValueError("the file holds no frame")
            rate = stream.average_rate or Fraction(0)
            start, seconds = _times(file, stream)
            _check_whole(file, stream, start + seconds, max(SHORT_SECONDS, SHORT_FRAMES / float(rate) if rate else 0))
            return Film(
                width=stream.width,
                height=stream.height,
                seconds=round(seconds, 3),
                fps=round(float(rate), 3),
                sound=bool(file.streams.audio),
                codec=stream.codec_context.name,
            )
    except FFmpegError as error:
        raise ValueError(f"the file is no playable video ({error.strerror or 'unreadable'})") from None


def _times(file: InputContainer, stream: av.VideoStream) -> tuple[float, float]:
    """When the picture starts and how long it is, in seconds, as the container names it (0 when it does not)."""
    if stream.duration and stream.time_base:
        return float((stream.start_time or 0) * stream.time_base), float(stream.duration * stream.time_base)
    return (file.start_time or 0) / 1e6, (file.duration or 0) / 1e6


def _check_whole(file: InputContainer, stream: av.VideoStream, named_end: float, short: float) -> None:
    """Is everything there that the container announces? All packets are read, and the last frames decoded.

    All is there when the picture ends where the container says. Raises ValueError.
    """
    file.seek(0)
    last, end = 0.0, 0.0
    for packet in file.demux():
        if packet.is_corrupt:
            raise ValueError("the file is incomplete (it ends in the middle)")
        if packet.stream == stream and packet.pts is not None and packet.size:
            last = max(last, float(packet.pts * packet.time_base))
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    if end < named_end - short:
        raise ValueError(f"the file is incomplete ({end:.1f} of {named_end:.1f} seconds)")
    last = min(last, named_end or last)
    file.seek(int(last * 1e6))
    times = [last if frame.time is None else frame.time for frame in file.decode(stream)]
    if not times or max(times) < last - short:
        raise ValueError("the file is incomplete (its last frame cannot be decoded)")


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(side / max(width, height), 1.0)
    return max(int(width * scale) // 2 * 2, 2), max(int(height * scale) // 2 * 2, 2)


def make_posters(video: Path, folder: Path, at: float) -> dict[str, str]:
    """One frame as WebP in several widths: the first at or after `at` seconds, else the last there is.

    The names of the files that were made; a picture is never enlarged.
    """
    chosen: Image.Image | None = None
    with _open(video) as file:
        for frame in file.decode(video=0):
            chosen = frame.to_image()
            if frame.time is None or frame.time >= at:
                break
    if chosen is None:
        raise ValueError("the file holds no frame")
    made: dict[str, str] = {}
    for name, width in POSTER_WIDTHS.items():
        if width < chosen.width or not made:
            size = _to_width(chosen.width, chosen.height, width)
            made[name] = f"{name}.webp"
            chosen.resize(size, Image.Resampling.LANCZOS).save(folder / made[name], "WEBP", quality=80, method=4)
    return made


def _to_width(width: int, height: int, to: int) -> tuple[int, int]:
    to = min(to, width)
    return to, max(round(height * to / width), 1)


def make_frame(video: Path, out: Path, at: float | None = None) -> None:
    """The picture that is shown at `at` seconds, else the very last, in full size. The same one is the same bytes."""
    chosen: av.VideoFrame | None = None
    with _open(video) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        start, seconds = _times(file, stream)
        wanted = start + seconds if at is None else start + min(at, seconds)
        file.seek(int(max(wanted - SHORT_SECONDS, 0.0) * 1e6))
        for frame in file.decode(stream):
            if chosen is not None and at is not None and frame.time is not None and frame.time > wanted:
                break
            chosen = frame
        if chosen is None:  # nothing comes after the end that the container names: from the beginning, then
            file.seek(0)
            for frame in file.decode(stream):
                chosen = frame
    if chosen is None:
        raise ValueError("the file holds no frame")
    chosen.to_image().save(out, "JPEG", quality=95, subsampling=0)


def make_preview(video: Path, out: Path) -> None:
    """A short muted MP4 for hovering: small, few frames, ready to play from its first byte."""
    with _open(video) as source, av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
        shown = source.streams.video[0]
        shown.thread_type = "AUTO"
        stream = target.add_stream("libx264", rate=PREVIEW_FPS)
        stream.width, stream.height = _fit(shown.width, shown.height, PREVIEW_SIDE)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "28", "preset": "veryfast"}
        count = 0
        for frame in source.decode(shown):
            time = frame.time or 0.0
            if time > PREVIEW_SECONDS:
                break
            if time + 1e-6 < count / PREVIEW_FPS:
                continue
            small = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            small.pts, small.time_base = count, Fraction(1, PREVIEW_FPS)
            target.mux(stream.encode(small))
            count += 1
        target.mux(stream.encode(None))


def develop(video: Path, folder: Path) -> Film:
    """Probes a video and makes its posters and preview in `folder`. Raises ValueError as `probe` does."""
    film = probe(video)
    preview = folder / "preview.mp4"
    try:
        posters = make_posters(video, folder, min(film.seconds * 0.25, 2.0))
        make_preview(video, preview)
    except FFmpegError as error:
        raise ValueError(f"the video cannot be decoded ({error.strerror or 'unreadable'})") from None
    return Film(**{**asdict(film), **posters, "preview": preview.name})


def main(arguments: list[str]) -> int:
    try:
        if arguments[0] == "--frame":  # somebody waits for it
            make_frame(Path(arguments[1]), Path(arguments[2]), *map(float, arguments[3:4]))
            return 0
        os.nice(GIVES_WAY)
        film = develop(Path(arguments[0]), Path(arguments[1]))
    except (ValueError, FFmpegError) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(json.dumps(asdict(film)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
