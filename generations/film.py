"""Looks into a video file and makes its poster and hover preview. Run as a short-lived process with a time-out:

    python -m generations.film VIDEO FOLDER

prints one line of JSON: what was found and which files were made in FOLDER. A file that is no video ends it with 1.
PyAV reads files that strangers made: a crash or a hang here takes nothing else down.
"""

import json
import sys
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError
from PIL import Image

POSTER_SIDE = 960  # pixels, the longest
PREVIEW_SIDE = 480
PREVIEW_SECONDS = 6.0
PREVIEW_FPS = 15


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
    preview: str = ""


def probe(video: Path) -> Film:
    """Reads the container and decodes one frame. Raises ValueError when the file is no playable video."""
    try:
        with av.open(str(video)) as file:
            if not file.streams.video:
                raise ValueError("the file holds no picture")
            stream = file.streams.video[0]
            if next(file.decode(stream), None) is None:
                raise ValueError("the file holds no frame")
            length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
            seconds = float(length) if length else (file.duration or 0) / 1e6
            rate = stream.average_rate or Fraction(0)
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


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(side / max(width, height), 1.0)
    return max(int(width * scale) // 2 * 2, 2), max(int(height * scale) // 2 * 2, 2)


def make_poster(video: Path, out: Path, at: float) -> None:
    """One frame as WebP: the first at or after `at` seconds, else the last there is."""
    chosen: Image.Image | None = None
    with av.open(str(video)) as file:
        for frame in file.decode(video=0):
            chosen = frame.to_image()
            if frame.time is None or frame.time >= at:
                break
    if chosen is None:
        raise ValueError("the file holds no frame")
    chosen.resize(_fit(chosen.width, chosen.height, POSTER_SIDE), Image.Resampling.LANCZOS).save(
        out, "WEBP", quality=82, method=4
    )


def make_preview(video: Path, out: Path) -> None:
    """A short muted MP4 for hovering: small, few frames, ready to play from its first byte."""
    with av.open(str(video)) as source, av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
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
    """Probes a video and makes its poster and preview in `folder`. Raises ValueError as `probe` does."""
    film = probe(video)
    poster, preview = folder / "poster.webp", folder / "preview.mp4"
    try:
        make_poster(video, poster, min(film.seconds * 0.25, 2.0))
        make_preview(video, preview)
    except FFmpegError as error:
        raise ValueError(f"the video cannot be decoded ({error.strerror or 'unreadable'})") from None
    return Film(**{**asdict(film), "poster": poster.name, "preview": preview.name})


def main(arguments: list[str]) -> int:
    try:
        film = develop(Path(arguments[0]), Path(arguments[1]))
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(json.dumps(asdict(film)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
