"""`python -m relctl` is `relctl`."""

from relctl.cli import main

main()
