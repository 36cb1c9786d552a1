"""`manage.py up`: all of Dailies with one command. It prepares; veevid_site.supervisor keeps the processes."""

import os
import socket
import time
from typing import Any

from celery.exceptions import OperationalError as NoBroker
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from generations.management.commands.prepare import collect_static, frozen_words, prepare_database, prepare_storage
from generations.models import SetupCode, User
from veevid_site import broker, celery_app, probe, programs
from veevid_site.supervisor import AskedToStop, CannotRun, Program, Supervisor, take_lock

DEMO_BALANCE = 5000
# Floors: the lower ones start first and stop last.
BROKER, SIMULATOR, DAILIES = 0, 1, 2


class Command(BaseCommand):
    help = "Starts Dailies: broker, web, worker, fetcher, beat and, without VEEVID_API_KEY, the simulator."
    requires_system_checks: list[str] = []  # settings have checked themselves by now

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        try:
            with take_lock(settings.DATA_DIR / "up.lock"):
                try:
                    self.run(began)
                finally:
                    broker.clean_up(settings.BROKER_SOCKET, settings.DATA_DIR)
        except CannotRun as error:
            raise CommandError(str(error)) from None
        except AskedToStop:
            self.say("Stopped.")

    def run(self, began: float) -> None:
        check_port(settings.PORT)
        simulator_port = None if settings.VEEVID_API_KEY else free_port(settings.PORT + 1)
        if simulator_port:
            settings.SIMULATOR_URL = os.environ["SIMULATOR_URL"] = f"http://127.0.0.1:{simulator_port}/api"
        with Supervisor(settings.DATA_DIR / "logs", os.environ, settings.BASE_DIR, self.say) as supervisor:
            start_broker(supervisor)
            prepare_storage()
            prepare_database()
            collect_static(settings.DATA_DIR / "static.stamp")
            # The web alone at first: whoever waits, waits for a page.
            supervisor.wait_until_ready(
                supervisor.start(Program("web", programs.web(settings.PORT), DAILIES, web_answers))
            )
            if simulator_port:
                supervisor.start(simulator(simulator_port))
            supervisor.start(Program("worker", programs.bell_worker(), DAILIES))
            supervisor.start(Program("fetcher", programs.fetcher(), DAILIES))
            supervisor.start(Program("beat", programs.beat(), DAILIES))
            for running in supervisor.running:
                supervisor.wait_until_ready(running)
            self.greet(time.monotonic() - began, first_run=not User.objects.exists())
            connection.close()
            try:
                supervisor.watch()
            finally:
                self.say("Stopping …")

    def greet(self, seconds: float, *, first_run: bool) -> None:
        address = f"http://127.0.0.1:{settings.PORT}"
        mode = "Veevid" if settings.VEEVID_API_KEY else "demo mode: a simulator stands in, nothing costs money"
        self.say(f"Dailies is ready after {seconds:.1f} s: {address}/")
        self.say(f"  upstream  {mode}")
        self.say(f"  data      {settings.DATA_DIR}  (logs in logs/)")
        self.say("  stop      Ctrl-C")
        if frozen_words():
            self.say(boxed("Safe mode", frozen_words()))
        if first_run:
            self.say(boxed("Make the first admin:", f"{address}/welcome/", "with the code", SetupCode.issue()))

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def boxed(*lines: str) -> str:
    width = max(len(line) for line in lines)
    inside = "\n".join(f"│  {line:<{width}}  │" for line in lines)
    edge = "─" * (width + 4)
    return f"\n╭{edge}╮\n{inside}\n╰{edge}╯\n"


# -- ports ------------------------------------------------------------------------------------------------------------
def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just left counts as free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_port(port: int, patience: float = 2) -> None:
    """Waits a moment: what was killed just now may still be letting go of it."""
    deadline = time.monotonic() + patience
    while not is_free(port):
        if time.monotonic() > deadline:
            raise CannotRun(f"PORT: {port} is in use by another program. Stop that one, or set PORT to another.")
        time.sleep(0.1)


def free_port(wanted: int) -> int:
    if wanted <= 65535 and is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- the processes ----------------------------------------------------------------------------------------------------
def start_broker(supervisor: Supervisor) -> None:
    """Our own, unless REDIS_URL names one; that one only has to answer."""
    if settings.REDIS_URL:
        try:
            with celery_app.connection_for_write() as bell:
                bell.ensure_connection(max_retries=1, interval_start=0.2)
        except (NoBroker, OSError) as error:
            raise CannotRun(f"REDIS_URL: the server does not answer ({type(error).__name__}).") from None
        return
    path = settings.BROKER_SOCKET
    command = broker.command(path, settings.DATA_DIR / "broker")
    supervisor.start(Program("broker", command, BROKER, lambda: broker.answers(path), loud=False))


def simulator(port: int) -> Program:
    folder = settings.DATA_DIR / "simulator"
    command = programs.simulator(port, folder, settings.DEMO_SPEED, settings.DEMO_KEY, DEMO_BALANCE)
    return Program("simulator", command, SIMULATOR, lambda: accepts(port))


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def web_answers() -> bool:
    return probe.web(settings.PORT, ",".join(settings.ALLOWED_HOSTS))
