"""Starts the processes of Dailies, watches them, and ends them all together. Knows nothing of Django.

Every process gets a session (so a process group) of its own: Ctrl-C reaches the supervisor alone, which ends the others
in order, and a group can be killed with all its descendants. `watchdog.py` lets none outlive a killed supervisor.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from veevid_site import watchdog

LOG_LIMIT = 10 * 1024 * 1024
TROUBLE = re.compile(r"(^|[ \[])(WARNING|ERROR|CRITICAL)[\] :]")
GRACE = 85.0  # seconds; the one long thing a program may be in the middle of is a paid request, which takes up to 75
PATIENCE = 3.0  # seconds until the console says who is being waited for
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CannotRun(Exception):
    """Dailies cannot start or go on; the text is meant for the console."""


class AskedToStop(Exception):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


@dataclass(frozen=True)
class Program:
    """What to start. Programs of a higher `floor` are stopped first; `loud` ones show their warnings on the console.

    `grace` is how long it may take to finish what it has begun; one with nothing to do leaves at once.
    """

    name: str
    command: Sequence[str]
    floor: int
    is_ready: Callable[[], bool] | None = None
    grace: float = GRACE
    loud: bool = True


class Running:
    """One started program and its log."""

    def __init__(self, program: Program, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.program, self.process, self.log = program, process, log
        self.seen = log.stat().st_size

    def ended(self) -> bool:
        return self.process.poll() is not None

    def news(self) -> list[str]:
        """The warnings and errors in its log since the last look."""
        size = self.log.stat().st_size
        if size <= self.seen:
            self.seen = min(self.seen, size)
            return []
        with self.log.open("rb") as log:
            log.seek(self.seen)
            fresh = log.read(256 * 1024)
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self.seen += len(whole) or (len(fresh) if len(fresh) == 256 * 1024 else 0)
        return [line for line in whole.decode(errors="replace").splitlines() if TROUBLE.search(line)]

    def last_words(self, count: int = 8) -> str:
        text = self.log.read_bytes()[-8192:].decode(errors="replace")
        return "\n".join("    " + line for line in text.rstrip().splitlines()[-count:])


class Supervisor:
    """Use as a context manager: on the way out, everything that was started has ended."""

    def __init__(self, logs: Path, env: Mapping[str, str], folder: Path, say: Callable[[str], None]) -> None:
        self.logs, self.env, self.folder, self.say = logs, dict(env), folder, say
        self.running: list[Running] = []
        self.asked = 0.0
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Supervisor":
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        self.watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__], stdin=subprocess.PIPE, start_new_session=True, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        assert self.watchdog.stdin
        try:
            self.watchdog.stdin.close()
        except BrokenPipeError:
            pass
        self.watchdog.wait()

    # -- starting -----------------------------------------------------------------------------------------------------
    def start(self, program: Program) -> Running:
        self._check()
        log = self.logs / f"{program.name}.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as out:
            process = subprocess.Popen(
                program.command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        running = Running(program, process, log)
        self.running.append(running)
        self._tell_watchdog(f"+{process.pid}")
        return running

    def wait_until_ready(self, running: Running, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while running.program.is_ready and not running.program.is_ready():
            self._look()
            if time.monotonic() > deadline:
                raise CannotRun(f"{running.program.name} did not answer within {seconds:g} s. {self._where(running)}")
            time.sleep(0.03)

    # -- watching -----------------------------------------------------------------------------------------------------
    def watch(self) -> None:
        """Returns never: raises AskedToStop or CannotRun."""
        while True:
            self._look()
            for running in self.running:
                self._keep_small(running.log)
            time.sleep(0.2)

    def _look(self) -> None:
        self._check()
        for running in self.running:
            if running.program.loud:
                for line in running.news():
                    self.say(f"{running.program.name}: {line}")
        for running in self.running:
            if running.ended():
                raise CannotRun(f"{running.program.name} has ended, so Dailies stops. {self._where(running)}")
        if self.watchdog.poll() is not None:
            raise CannotRun("The watchdog has ended, so Dailies stops.")

    def _where(self, running: Running) -> str:
        return f"The end of {running.log}:\n{running.last_words()}"

    def _keep_small(self, log: Path) -> None:
        if log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)  # its writer appends, so it goes on at the new end

    def _check(self) -> None:
        if self.asked:
            raise AskedToStop

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Only counts, so that no start is cut in half. Whoever asks twice does not want to wait."""
        if not self.asked:
            self.asked = time.monotonic()
        elif time.monotonic() - self.asked > 1:  # one wish may arrive twice, through make and through the terminal
            for running in self.running:
                watchdog.kill_group(running.process.pid)
            os._exit(130)

    def _tell_watchdog(self, line: str) -> None:
        pipe: IO[str] | None = self.watchdog.stdin
        assert pipe
        try:
            print(line, file=pipe, flush=True)
        except BrokenPipeError:
            pass  # it was killed: the next look says so

    # -- stopping -----------------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """Ends the upper floors first. Who overstays the grace is killed, and so is whatever a program left behind."""
        self.asked = self.asked or time.monotonic()  # from here on, one more Ctrl-C means: now
        for floor in sorted({running.program.floor for running in self.running}, reverse=True):
            leaving = [running for running in self.running if running.program.floor == floor]
            for running in leaving:
                running.process.terminate()
            self._wait_for(leaving)
            for running in leaving:
                watchdog.kill_group(running.process.pid)
                running.process.wait()
                self._tell_watchdog(f"-{running.process.pid}")
        self.running = []

    def _wait_for(self, leaving: Sequence[Running]) -> None:
        began = time.monotonic()
        grace = max(running.program.grace for running in leaving)
        told = False
        while late := [running.program.name for running in leaving if not running.ended()]:
            waited = time.monotonic() - began
            if waited > grace:
                return
            if waited > PATIENCE and not told:
                self.say(f"Waiting up to {grace:g} s for {' and '.join(late)} to finish. Ctrl-C again ends it now.")
                told = True
            time.sleep(0.03)


def take_lock(path: Path) -> IO[str]:
    """Keeps a second start out of the same folder. The system drops the lock with the process, however it ends."""
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise CannotRun(f"Dailies already runs with the data in {path.parent}.") from None
    return lock
