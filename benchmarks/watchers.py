"""Measures one gunicorn process while 200 people have the gallery open, and what a visitor more waits for a page.

`python -m benchmarks.watchers` starts a private PostgreSQL with 10,000 clips and gunicorn as gunicorn.conf.py has it,
but with one process. Each of 200 galleries, opened one after the other, asks over 127.0.0.1 as its page says (every 3 s
while it shows work in progress, or at the pace it was told), and sends back what it was told. Meanwhile a clip gets
ready and a new one begins each second. The visitor asks for the whole page twice a second: first alone, then with all.
"""

import argparse
import asyncio
import html
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

from django.db import connection

from benchmarks.machine import costs
from benchmarks.million import FEW, PEOPLE, fill, server, signed_in
from tests.servers import Process, clean_environment, free_port, get

EVERY = 0.5  # seconds between two pages of the visitor
MOVES = """
UPDATE generations_generation SET status = 'COMPLETED', charged = price, finished_at = now(), next_look_at = NULL
    WHERE id = (SELECT min(id) FROM generations_generation WHERE status = 'PROCESSING');
INSERT INTO generations_clip (generation_id, state, source_url, tries, trouble, file, poster, poster_medium,
    poster_small, preview, size, extra_size, sha256, width, height, seconds, sound, stored_at)
SELECT id, 'STORED', '', 0, '', 'a.mp4', 'a.webp', '', '', 'p.mp4', 1, 0, 'x', 1280, 720, 8, false, now()
    FROM generations_generation g WHERE status = 'COMPLETED'
    AND NOT EXISTS (SELECT FROM generations_clip c WHERE c.generation_id = g.id);
UPDATE generations_generation SET status = 'PROCESSING', account_id = 1, sent_at = now()
    WHERE id = (SELECT min(id) FROM generations_generation WHERE status = 'QUEUED');
"""


@dataclass
class Line:
    """One connection that is kept open, as a browser does."""

    port: int
    cookie: str
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def get(self, path: str, htmx: bool = False) -> tuple[int, str]:
        for again in (True, False):
            try:
                return await self._get(path, htmx)
            except (ConnectionError, asyncio.IncompleteReadError):  # it was idle for too long: a new one
                self.reader = None
                if not again:
                    raise
        raise AssertionError

    async def _get(self, path: str, htmx: bool) -> tuple[int, str]:
        if self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.writer is not None
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Cookie: sessionid={self.cookie}"]
        lines += ["HX-Request: true"] if htmx else []
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split(" ", 2)[1])
        length = re.search(r"content-length: (\d+)", head, re.I)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        if "connection: close" in head.lower():
            self.writer.close()
            self.reader = None
        return status, body.decode()


@dataclass
class Gallery:
    """An open page: what it knows, and what it asks."""

    line: Line
    url: str = ""
    pace: float = 3.0
    fields: dict[str, str] = field(default_factory=dict)
    tiles: dict[str, str] = field(default_factory=dict)

    def read(self, text: str) -> None:
        watch = re.search(r'<div id="watch".*?</div>\s*</div>', text, re.S)
        if watch:
            self.url = html.unescape(re.findall(r'hx-get="([^"]+)"', watch[0])[0])
            self.pace = int(re.findall(r'hx-trigger="every (\d+)ms"', watch[0])[0]) / 1000
            self.fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', watch[0]))
        for pk in re.findall(r'<article id="tile-(\d+)"', text):
            self.tiles.pop(pk, None)
        self.tiles |= {pk: f"{pk}-{state}" for pk, state in re.findall(r'name="tile" value="(\d+)-([^"]*)"', text)}

    async def open(self) -> None:
        status, text = await self.line.get("/")
        assert status == 200, status
        self.read(text)

    async def watch(self, took: list[float], answers: Counter[str]) -> None:
        """Asks from when it is open until it is cancelled."""
        await asyncio.sleep(random.random() * self.pace)
        while True:
            more = urlencode({**self.fields, "tile": list(self.tiles.values())}, doseq=True)
            began = time.perf_counter()
            status, text = await self.line.get(f"{self.url}&{more}", htmx=True)
            took.append(1000 * (time.perf_counter() - began))
            answers[str(status)] += 1
            answers["tiles"] += text.count("<article")
            self.read(text)
            await asyncio.sleep(max(self.pace - (time.perf_counter() - began), 0))


async def visit(line: Line, until: float, took: list[float]) -> None:
    while time.monotonic() < until:
        began = time.perf_counter()
        status, _ = await line.get("/")
        assert status == 200, status
        took.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(EVERY)


async def move(until: float) -> None:
    """Clips get ready, one a second. By a thread of its own: Django's connection belongs to this one."""
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(MOVES)
        await asyncio.sleep(1)


def row(name: str, took: Sequence[float]) -> None:
    print(f"| {name} | {len(took):,} | {median(took):,.0f} | {quantiles(took, n=20)[-1]:,.0f} | {max(took):,.0f} |")


async def measure(port: int, cookies: Sequence[str], process: Process, seconds: float) -> None:
    visitor, galleries = Line(port, cookies[-1]), [Gallery(Line(port, cookie)) for cookie in cookies[:-1]]
    alone: list[float] = []
    await visit(visitor, time.monotonic() + seconds / 3, alone)
    polls: list[float] = []
    pages: list[float] = []
    answers: Counter[str] = Counter()
    watching = []
    for gallery in galleries:  # one after the other, as people come; each asks from then on
        await gallery.open()
        watching.append(asyncio.create_task(gallery.watch(polls, answers)))
    polls.clear()
    answers.clear()
    until, before = time.monotonic() + seconds, costs([process])["web"].cpu
    await asyncio.gather(move(until), visit(visitor, until, pages))
    used = costs([process])["web"].cpu - before
    for task in watching:
        task.cancel()
    ended = await asyncio.gather(*watching, return_exceptions=True)
    went_wrong = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
    assert not went_wrong, went_wrong[:3]
    print("| what | number | p50 ms | p95 ms | longest |\n|---|---|---|---|---|")
    row("a page for the visitor, alone", alone)
    row(f"a page for the visitor, {len(galleries)} galleries open", pages)
    row("a question of an open gallery", polls)
    print(
        f"\n{len(polls) / seconds:.0f} questions a second, {answers['204'] / len(polls):.0%} of them answered by "
        f"nothing (204), {answers['tiles']:,} tiles shown anew; gunicorn used {used / seconds:.0%} of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galleries", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rows", type=int, default=FEW)
    given = parser.parse_args()
    with server():
        fill(given.rows, clips=True)
        people = [f"p{1 + number % PEOPLE}@example.com" for number in range(given.galleries + 1)]
        cookies = [signed_in(email).cookies["sessionid"].value for email in people]
        port, folder = free_port(), Path(os.environ["DATA_DIR"])
        names = ("DATABASE_URL", "DATA_DIR", "ALLOWED_HOSTS")
        env = clean_environment(**{name: os.environ[name] for name in names})
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-w", "1"]
        web = Process("web-1", [*command, "-b", f"127.0.0.1:{port}", "veevid_site.wsgi"], folder, env)
        try:
            web.start().ready(lambda: get(f"http://127.0.0.1:{port}/healthz")[0] == 200)
            print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # the one connection is used by one coroutine
            asyncio.run(measure(port, cookies, web, given.seconds))
        finally:
            with suppress(AssertionError):
                web.stop()


if __name__ == "__main__":
    main()
