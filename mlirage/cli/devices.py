"""`mlirage devices`: what this machine can run modules on, and what the compiler calls it."""

from __future__ import annotations

import sys

import click


@click.command("devices")
def command() -> None:
    """List the devices of this machine."""
    from mlirage.runtime import driver_names

    for name in driver_names():
        sys.stdout.write(f"{name}\n")
