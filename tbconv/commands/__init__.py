"""One module a group of commands; each parses, builds one frozen config, calls one function.

Here are the options that several of them take: what a set's labels mean.
"""

from __future__ import annotations

from typing import Annotated

import typer

Label = Annotated[
    str | None, typer.Option(metavar="FINDING", help="The finding that makes a film positive, where a set has several.")
]
Negative = Annotated[
    str | None,
    typer.Option(
        metavar="FINDING", help='What makes another film negative, such as "No Finding"; others are left out.'
    ),
]
UncertainLabels = Annotated[
    str, typer.Option("--uncertain", help="Films of which the set is not certain: leave-out, positive or negative.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a folder that holds anything but films and what tells their labels.")
]
