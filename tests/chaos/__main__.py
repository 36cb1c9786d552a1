"""`python -m tests.chaos --database both --kills 1000 --seed 1`: the long form, and what the tests start."""

import argparse
import json
import random
import sys
from pathlib import Path

from tests.chaos import run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--kills", type=int, default=1000, help="on each database")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--with", dest="with_", default=",".join(run.ALL), help="which disturbances")
    parser.add_argument("--seconds", type=float, default=3600, help="at most, for the kills on each database")
    parser.add_argument("--keep", type=Path, help="a folder for the logs and data of the run")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    return parser.parse_args()


def main() -> int:
    given, good, lines = arguments(), True, []
    for database in ("sqlite", "postgres") if given.database == "both" else (given.database,):
        figures = run.run(database, given.kills, given.seed, tuple(given.with_.split(",")), given.seconds, given.keep)
        if given.json:
            given.json.write_text(json.dumps(figures))
        lines += run.told(figures)
        good = good and run.good(figures)
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
