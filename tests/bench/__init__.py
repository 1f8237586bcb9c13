"""The figures: what the service costs, each as a ratio to something bare, measured in one run on one machine.

`python -m tests.bench` prints them and writes `build/bench.json`; `python -m tests.bench.profile` shows where the
time goes.
"""
