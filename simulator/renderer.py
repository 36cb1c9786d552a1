"""Clips are drawn in one background thread, one at a time, and kept: the same recipe is never drawn twice."""

import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import av
from PIL import Image

from simulator import clips, jobs, scenes
from simulator.contract import Order
from simulator.store import Store

LENGTH_OF_VEO = 8
UNREADABLE = "The image could not be read. Your credits were returned."
SHAPES = {"auto": "16:9", "landscape": "16:9", "portrait": "9:16"}


def recipe(order: Order, image: str = "") -> dict[str, Any]:
    """Everything a clip depends on; `image` is an upload of ours to begin from."""
    shape = order.values.get("aspect_ratio", "16:9")
    if order.mode == "kling-3" and order.generation_type == "image-to-video":
        shape = "16:9"  # the parameter is taken and ignored there
    return {
        "scene": scenes.choose(order.prompt),
        "seed": scenes.seed(order.prompt),
        "ratio": SHAPES.get(shape, shape),
        "seconds": int(order.values.get("duration", LENGTH_OF_VEO)),
        "sound": bool(order.values.get("generate_audio", True)),
        "image": image,
    }


class Renderer:
    """The thread, its queue, and the folder of finished clips."""

    def __init__(self, memory: Store, data: Path, quick: bool = False) -> None:
        self.store, self.videos, self.uploads, self.quick = memory, data / "videos", data / "uploads", quick
        self.videos.mkdir(parents=True, exist_ok=True)
        self._queue: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
        self._stop = threading.Event()
        self._made = threading.Condition()
        self._done: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)

    def start(self) -> None:
        """Take up what a restart interrupted, then wait for orders."""
        with self.store.transaction() as db:
            waiting = jobs.unmade(db)
        for job in waiting:
            self.order(job["id"], json.loads(job["recipe"]))
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def order(self, identifier: str, plan: dict[str, Any]) -> None:
        self._queue.put((identifier, plan))

    def wait(self, identifier: str, seconds: float) -> bool:
        """Until the clip of this generation is there; False when it takes longer."""
        with self._made:
            return self._made.wait_for(lambda: identifier in self._done, timeout=seconds)

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # answering comes before drawing
        while not self._stop.is_set():
            try:
                identifier, plan = self._queue.get(timeout=0.2)
            except Empty:
                continue
            try:
                path = self._file(plan)
            except (OSError, ValueError, av.FFmpegError, Image.DecompressionBombError) as reason:
                print(
                    f"simulator: the clip of {identifier} could not be drawn: {reason!r}", file=sys.stderr, flush=True
                )
                with self.store.transaction() as db:
                    jobs.doom(db, identifier, UNREADABLE if plan["image"] else jobs.DEFAULT_FAILURE)
            else:
                if path is None:
                    return
                with self.store.transaction() as db:
                    jobs.made(db, identifier, path.name, path.stat().st_size, time.time())
            with self._made:
                self._done.add(identifier)
                self._made.notify_all()

    def _file(self, plan: dict[str, Any]) -> Path | None:
        """The clip for a recipe, drawn now if it is not there yet; None when told to stop meanwhile."""
        shape = json.dumps([clips.VERSION, self.quick, plan], sort_keys=True)
        path = self.videos / f"{hashlib.sha256(shape.encode()).hexdigest()[:24]}.mp4"
        if path.exists():
            return path
        image = self.uploads / plan["image"] if plan["image"] else None
        half = path.with_suffix(".part")
        if not clips.draw(half, plan, image, self.quick, self._stop.is_set):
            half.unlink(missing_ok=True)
            return None
        os.replace(half, path)
        return path
