"""``events``: what happens to held sockets, a line each."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from socketd_client.cli import output
from socketd_client.cli.shape import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.cli.session import Session

_TIME: Final = slice(0, 19)  # of RFC 3339: to the second


@click.command("events", cls=Command)
@click.option(
    "--after", type=click.IntRange(min=0), metavar="N", help="Begin after this one; 0: all that is kept."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="S", help="End after so long; 0: what is there."
)
@click.option("--json", "as_json", is_flag=True, help="As the API writes them, one a line.")
@click.pass_obj
def events_command(session: Session, /, after: int | None, timeout: float | None, *, as_json: bool) -> None:
    """Follow what happens to the sockets that you may see, until Ctrl-C.

    Goes on when the daemon is restarted. What was missed for good is told by a line "gap".

    Examples:
      socketctl events
      socketctl events --after 0 --timeout 0
      socketctl events --json | jq -r 'select(.event == "listening") | .local.text'
    """
    for said in session.client.raw_events(after=after, timeout=timeout):
        click.echo(json.dumps(said, ensure_ascii=False) if as_json else _line(said))
        sys.stdout.flush()


def _line(said: Mapping[str, Any]) -> str:
    if said["event"] == "gap":
        return f"gap: what came after {said.get('after')} and up to {said['sequence']} is missing"
    words = (
        said.get("time", "")[_TIME],
        said["event"],
        _refusal(said),
        _socket(said),
        _detail(said),
        _caller(said.get("caller")),
    )
    return " ".join(word for word in words if word)


def _refusal(said: Mapping[str, Any]) -> str:
    if said["event"] != "refused":
        return ""
    asked = said.get("reason") or said.get("asked")
    return " ".join(filter(None, (said.get("change"), said.get("result"), asked)))


def _socket(said: Mapping[str, Any]) -> str:
    of = said.get("socket")
    if of is None:
        return said.get("reference") or ""
    name = f" ({of['name']})" if of.get("name") else ""
    return f"{of['fd']}{name} {of.get('family')} {of.get('type')}"


def _detail(said: Mapping[str, Any]) -> str:
    local, peer = said.get("local"), said.get("peer")
    parts = (
        f"on {local['text']}" if local else "",
        f"with {peer['text']}" if peer else "",
        said.get("option") or said.get("how") or "",
        _forward(said["forward"]) if said.get("forward") else "",
    )
    return " ".join(filter(None, parts))


def _forward(of: Mapping[str, Any]) -> str:
    lost = f", lost {of['lost_bytes']} bytes" if of.get("lost_bytes") else ""
    got = f", got {of['delivered_bytes']} bytes" if of.get("delivered_bytes") else ""
    return f"with {of['other']} by {of['id']}{got}{lost}" + (f", {of['error']}" if of.get("error") else "")


def _caller(of: Mapping[str, Any] | None) -> str:
    if of is None:
        return "by the daemon"
    pid = f" (pid {of['pid']})" if of.get("pid") else ""
    return f"by {output.owner_text(of)}{pid}"
