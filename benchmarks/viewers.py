"""Fifty people watch clips over slow lines, all from the built-in server: how long does somebody else wait for a page?

    python -m benchmarks.viewers                   50 viewers, 200 KB/s each, 30 s; PostgreSQL, one gunicorn process
    python -m benchmarks.viewers --quick           10 s

gunicorn as gunicorn.conf.py has it, with one worker process instead of two. Each viewer asks as a browser's player
does: a range to the end, then from where the answer ended, over one connection, and reads no faster than its line. Its
receive buffer is small: what a far line would not have taken in, the kernel of this machine does not take in either.
Everything is on 127.0.0.1. Ends with 1 when a page took longer than promised or a viewer did not get its rate.
"""

import argparse
import asyncio
import http.client
import multiprocessing
import re
import socket
import sys
import time
from multiprocessing.queues import Queue
from typing import Any

from benchmarks.machine import quantile, say, system
from tests import jobs
from tests.servers import free_port, get
from tests.stack import Dailies
from veevid_site import programs

CLIPS = 8
CLIP_BYTES = 24 * 1024 * 1024
RECEIVE_BUFFER = 64 * 1024
READ = 16 * 1024
EVERY = 0.1  # seconds between two pages that the visitor opens
PROMISED = 0.5  # seconds: the p95 of a page, while all watch
OF_RATE = 0.95  # of its line that each viewer must get

SEED = """
import json, uuid
from django.core.files.base import ContentFile
from django.utils import timezone
from generations.models import ApiAccount, Clip, Generation, Quote, User
mara = User.objects.get(email="mara@example.com")
quote = Quote.objects.create(account=ApiAccount.objects.first(), digest="d", billing={{}}, credits=140)
made, now = [], timezone.now()
for number in range({rows}):
    row = Generation.objects.create(team=mara.teams.get(), owner=mara, nonce=uuid.uuid4(), status="COMPLETED",
        mode="veo3", generation_type="text-to-video", params={{"aspect_ratio": "16:9"}}, quote=quote,
        prompt=f"Take {{number}}", price=140, charged=140, finished_at=now, took=60.0)
    clip = Clip(generation=row, state="STORED", source_url="", sha256=f"{{number}}", size={size}, width=1280,
        height=720, seconds=8.0, fps=24.0, stored_at=now, fetch_at=None)
    if number < {clips}:
        clip.file.save("a.mp4", ContentFile(bytes({size})), save=False)
        made.append(row.pk)
    clip.poster.save("a.webp", ContentFile(bytes(40_000)), save=False)
    clip.save()
print(json.dumps(made))
"""


class Line:
    """One viewer's connection, read no faster than so many bytes a second."""

    def __init__(self, port: int, rate: int) -> None:
        self.port, self.rate = port, rate
        self.taken, self.waited, self.opened, self.began = 0, 0.0, 0, time.monotonic()

    async def open(self) -> None:
        self.opened += 1
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(self.sock, ("127.0.0.1", self.port))

    async def ask_again(self, path: str, cookie: str, start: int) -> tuple[int, int]:
        """As a browser does: a connection that the server closed while it was idle is opened anew."""
        try:
            return await self.ask(path, cookie, start)
        except OSError:
            self.sock.close()
            await self.open()
            return await self.ask(path, cookie, start)

    async def ask(self, path: str, cookie: str, start: int) -> tuple[int, int]:
        """Sends one request and reads the head of its answer: its status, and how many bytes follow."""
        loop, asked = asyncio.get_running_loop(), time.monotonic()
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nRange: bytes={start}-\r\n\r\n"
        await loop.sock_sendall(self.sock, head.encode())
        said = b""
        while b"\r\n\r\n" not in said:
            piece = await loop.sock_recv(self.sock, 1)
            if not piece:
                raise ConnectionError("closed by the server")
            said += piece
        self.waited = max(self.waited, time.monotonic() - asked)
        length = re.search(rb"(?i)content-length: (\d+)", said)
        return int(said[9:12]), int(length[1]) if length else 0

    async def read(self, length: int, ends: float) -> None:
        loop = asyncio.get_running_loop()
        while length and time.monotonic() < ends:
            piece = await loop.sock_recv(self.sock, min(READ, length))
            if not piece:
                raise ConnectionError("closed in the middle")
            length -= len(piece)
            self.taken += len(piece)
            await asyncio.sleep(max(self.began + self.taken / self.rate - time.monotonic(), 0))


async def watch(line: Line, path: str, cookie: str, ends: float) -> str:
    """Watches one clip, from its beginning again when it ends. What went wrong; empty when nothing did."""
    at = 0
    try:
        await line.open()
        while time.monotonic() < ends:
            status, length = await line.ask_again(path, cookie, at)
            if status != 206:
                return f"answered {status}"
            await line.read(length, ends)
            at = at + length if at + length < CLIP_BYTES else 0
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        line.sock.close()
    return ""


def audience(given: Any, port: int, cookie: str, clips: list[int], told: "Queue[Any]") -> None:
    """A process of its own: all viewers, until their time is over. Tells (rates, longest waits, what went wrong)."""

    async def all_of_them() -> tuple[list[Line], list[str]]:
        ends = time.monotonic() + given.seconds
        lines = [Line(port, given.rate) for _ in range(given.viewers)]
        going = [watch(line, f"/g/{clips[n % len(clips)]}/video", cookie, ends) for n, line in enumerate(lines)]
        return lines, await asyncio.gather(*going)

    lines, wrong = asyncio.run(all_of_them())
    rates, waits = [line.taken / given.seconds for line in lines], [line.waited for line in lines]
    told.put((rates, waits, [w for w in wrong if w], sum(line.opened for line in lines)))


def visit(port: int, cookie: str, seconds: float) -> list[float]:
    """One person opens the gallery again and again, over one connection: how long each page took."""
    call = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    ends, times = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        began = time.monotonic()
        call.request("GET", "/", headers={"Cookie": cookie})
        answer = call.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        times.append(time.monotonic() - began)
        time.sleep(EVERY)
    return times


def start_web(dailies: Dailies, threads: int | None) -> int:
    port = free_port()
    more = ["-w", "1"] + (["--threads", str(threads)] if threads else [])
    process = dailies._start("web", [*programs.web(port), *more])
    process.ready(lambda: get(f"http://127.0.0.1:{port}/healthz")[0] == 200)
    return port


def row(name: str, times: list[float]) -> str:
    figures = [f"{quantile(times, share) * 1000:8.0f} ms" for share in (0.5, 0.95, 0.99)]
    return f"{name:<28}{len(times):>7}{''.join(figures)}{max(times) * 1000:8.0f} ms"


def measure(given: Any) -> bool:
    with system("postgres") as it:
        jobs.add_people(it.dailies)
        clips = it.dailies.python(SEED.format(rows=60, clips=CLIPS, size=CLIP_BYTES))
        cookie = f"sessionid={jobs.session_of(it.dailies, 'mara@example.com')['sessionid']}"
        port = start_web(it.dailies, given.threads)
        visit(port, cookie, 2)  # warm
        alone = visit(port, cookie, given.seconds / 2)
        context = multiprocessing.get_context("spawn")
        told: Queue[Any] = context.Queue()
        process = context.Process(target=audience, args=(given, port, cookie, clips, told), daemon=True)
        process.start()
        time.sleep(3)  # all have begun
        among = visit(port, cookie, given.seconds - 5)
        rates, waits, wrong, opened = told.get(timeout=given.seconds + 60)
        process.join(10)
    say(f"{'the gallery, 40 clips':<28}{'pages':>7}{'p50':>11}{'p95':>11}{'p99':>11}{'longest':>11}")
    say(row("nobody watches", alone))
    say(row(f"{given.viewers} watch", among))
    asked = given.rate * given.viewers
    say(
        f"each viewer got {quantile(rates, 0) / 1000:.0f} to {max(rates) / 1000:.0f} KB/s of {given.rate / 1000:.0f}, "
        f"all together {sum(rates) / 1e6:.1f} of {asked / 1e6:.1f} MB/s; the longest wait for an answer's head "
        f"{max(waits):.2f} s; {opened} connections; went wrong: {len(wrong)} {sorted(set(wrong))[:3] if wrong else ''}"
    )
    return not wrong and quantile(among, 0.95) <= PROMISED and quantile(rates, 0) >= given.rate * OF_RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=50, choices=range(1, 201), metavar="1-200")
    parser.add_argument("--rate", type=int, default=200_000, help="bytes a second of each")
    parser.add_argument("--seconds", type=int, default=30, choices=range(8, 301), metavar="8-300")
    parser.add_argument("--threads", type=int, help="of gunicorn, instead of those of gunicorn.conf.py")
    parser.add_argument("--quick", action="store_const", dest="seconds", const=10)
    sys.exit(0 if measure(parser.parse_args()) else 1)


if __name__ == "__main__":
    main()
