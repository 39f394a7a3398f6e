"""``whoami``: who the daemon takes one for, and what one may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from socketd_client.cli import output
from socketd_client.cli.shape import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from socketd_client.cli.session import Session


@click.command("whoami", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.pass_obj
def whoami_command(session: Session, /, *, as_json: bool) -> None:
    """Show who the daemon takes you for, the rules of its policy that are for you, and your bounds.

    Examples:
      socketctl whoami
      socketctl whoami --json | jq .rules
    """
    found = session.json("/v1/caller")
    if as_json:
        output.print_json(found)
        return
    output.print_pairs(_identity(found))
    for rule in found["rules"]:
        click.echo(f"\nrule {rule['name']}")
        output.print_pairs((f"  {key}", _words(value)) for key, value in rule["grants"].items())
    bounds = [(name, bound) for name, bound in found["quota"].items() if bound["most"] is not None]
    if bounds:
        click.echo("\nquota")
        output.print_pairs((f"  {name}", _bound(bound)) for name, bound in bounds)


def _identity(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Say who it is; ``None`` is not shown."""
    yield "owner", output.owner_text(found)
    yield "uid", found["uid"]
    yield "groups", ", ".join(each["group"] or str(each["gid"]) for each in found["groups"]) or None
    yield "pid", found["pid"]
    yield "via", found["via"]
    yield "policy", found["policy"]


def _words(value: object) -> str:
    """Write a grant as the policy has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bound(bound: Mapping[str, Any]) -> str:
    used = bound["used"]
    return f"{bound['most']:g}" if used is None else f"{used} of {bound['most']:g}"
