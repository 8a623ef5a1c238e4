"""`python -m runner.cli`: the same as the `runner` script."""

from runner.cli import main

main()
