"""`python -m tbconv`: the command without an installed script."""

from tbconv.cli import main

main()
