"""A stand-in for the Veevid API: its own process, real HTTP, the whole contract and no mercy.

    python -m simulator --port 8001 --data var/simulator

What it answers under /api is the vendor's contract (`contract`, `prices`, `limits`, `jobs`, `api`); clips
are drawn by `renderer`, `clips` and `scenes`; trouble is ordered over /control (`control`, `faults`).
README.md beside this file shows the control API by example. It shares no code with the dashboard: it is a
second, independent reading of the same contract.
"""
