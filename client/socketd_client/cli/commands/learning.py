"""``addrinfo``, ``byteorder`` and ``net``: what a socket programmer looks up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from socketd_client.cli import output
from socketd_client.cli.shape import Command

if TYPE_CHECKING:
    from socketd_client.cli.session import Session


@click.command("addrinfo", cls=Command)
@click.argument("host")
@click.argument("service", required=False)
@click.option("--family", metavar="FAMILY", help="inet or inet6.")
@click.option("--type", metavar="TYPE", help="stream, dgram or raw.")
@click.option("--flag", multiple=True, metavar="FLAG", help="AI_PASSIVE, AI_CANONNAME, AI_NUMERICHOST, …")
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.pass_obj
def addrinfo_command(  # noqa: PLR0913 - as many as getaddrinfo has
    session: Session,
    /,
    host: str,
    service: str | None,
    family: str | None,
    type: str | None,  # noqa: A002 - the socket module's name for it
    flag: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Resolve HOST and SERVICE with getaddrinfo, on the daemon's host; - is no host.

    Examples:
      socketctl addrinfo localhost http
      socketctl addrinfo - 3490 --flag AI_PASSIVE
    """
    wanted = None if host == "-" else host
    if as_json:
        query = {"host": wanted, "service": service, "family": family, "type": type, "flags": flag or None}
        output.print_json(session.json("/v1/addrinfo", query))
        return
    found = session.client.addrinfo(wanted, service, family=family, type=type, flags=flag)
    if found.canonical_name:
        click.echo(f"canonical name: {found.canonical_name}")
    rows = [(one.family, one.type, one.protocol, str(one.address)) for one in found.results]
    output.print_table(("FAMILY", "TYPE", "PROTOCOL", "ADDRESS"), rows)


@click.command("byteorder", cls=Command)
@click.argument("function", type=click.Choice(["htons", "htonl", "ntohs", "ntohl"]))
@click.argument("number")
@click.pass_obj
def byteorder_command(session: Session, /, function: str, number: str) -> None:
    """Turn NUMBER (3490 or 0x0da2) between host and network order, and show its bytes.

    Examples:
      socketctl byteorder htons 3490
      socketctl byteorder ntohl 0x0100007f
    """
    found = session.json(f"/v1/byteorder/{function}/{number}")
    for name in ("host_bytes", "network_bytes"):
        found[name] = " ".join(f"{byte:02x}" for byte in found[name])
    output.print_pairs((name.replace("_", " "), value) for name, value in found.items())


@click.command("net", cls=Command)
@click.argument("network", metavar="ADDRESS/PREFIX")
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.pass_obj
def net_command(session: Session, /, network: str, *, as_json: bool) -> None:
    """Explain an address and its prefix length: mask, network, hosts, and the & in bits.

    Examples:
      socketctl net 192.168.17.42/20
      socketctl net 2001:db8::1/64
    """
    address, slash, prefix = network.partition("/")
    if not slash or not prefix.isdecimal():
        raise click.UsageError(f"{network!r} is not ADDRESS/PREFIX, as in 192.168.17.42/20")
    found = session.json(f"/v1/networks/{address}/{prefix}")
    if as_json:
        output.print_json(found)
        return
    bits = found.pop("binary", None) or {}
    found["kinds"] = " ".join(found.get("kinds") or []) or None
    pairs = [(name.replace("_", " "), value) for name, value in found.items()]
    output.print_pairs([*pairs, *((f"{name} in bits", value) for name, value in bits.items())])
