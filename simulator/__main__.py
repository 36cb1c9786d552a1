"""The command line: `python -m simulator --port 8001 --data DIR`."""

import argparse
from pathlib import Path

from simulator.limits import Limits
from simulator.server import Settings, serve

DEFAULT_KEY = "vv_sk_demo_simulator_key"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description="A stand-in for the Veevid API.")
    parser.add_argument("--port", type=int, default=8001, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="folder for the database, uploads and clips")
    parser.add_argument("--speed", type=float, default=10.0, help="divides rendering times, nothing else")
    parser.add_argument("--key", default=DEFAULT_KEY, help="key of the account made at the first start")
    parser.add_argument("--balance", type=int, default=5000, help="its credits at the first start")
    parser.add_argument("--fail-rate", type=float, default=0.0, help="share of generations that fail, 0 to 1")
    parser.add_argument("--minute-limit", type=int, default=30, help="requests per key")
    parser.add_argument("--hour-limit", type=int, default=200, help="requests per account")
    parser.add_argument("--concurrent", type=int, default=3, help="generations per account")
    parser.add_argument("--clips", choices=("full", "quick"), default="full", help="quick: tiny ones, for tests")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    serve(
        Settings(
            host=given.host,
            port=given.port,
            data=given.data,
            speed=given.speed,
            key=given.key,
            balance=given.balance,
            fail_rate=given.fail_rate,
            limits=Limits(given.minute_limit, given.hour_limit, given.concurrent),
            quick=given.clips == "quick",
        )
    )


if __name__ == "__main__":
    main()
