"""What a request asks of the policy: of each kind of request all questions, in its own words."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from socketd.access.questions import Act, Bind, Connect, Create, SetOption, UseName
from socketd.core import creation, options
from socketd.core.address import Address, Service
from socketd.service import paths
from socketd.service.guard import refusal

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Sequence

    from socketd.access.questions import Question
    from socketd.core.address import Endpoint
    from socketd.core.creation import Plan, Specification
    from socketd.core.entry import Entry
    from socketd.errors import NotPermittedError
    from socketd.service.call import Call

_EVERY_PATH: Final = "/"
_GIVE_WAY_EVERY: Final = 256
_UNSPECIFIED: Final[dict[int, Address]] = {
    int(socket.AF_INET): Address(socket.AF_INET, ("0.0.0.0", 0)),  # noqa: S104 (it is asked for)
    int(socket.AF_INET6): Address(socket.AF_INET6, ("::", 0, 0, 0)),
}
"""What listen(2) binds a socket to that has no address yet: a port of the kernel's choice, everywhere."""

_V6ONLY: Final = options.lookup("IPV6_V6ONLY")


def require_names(call: Call, names: Iterable[str | None]) -> None:
    """Return if the policy grants each of these names; others run meanwhile.

    Raises:
        NotPermittedError: It does not grant one.
    """
    for count, name in enumerate(names, start=1):
        if count % _GIVE_WAY_EVERY == 0:
            call.waiter.give_way()
        if name is not None:
            call.require(UseName(name))


def require_making(call: Call, wanted: Specification, family: int | None) -> None:
    """Return if a socket may be made and its options set, and its names looked up; the addresses come later.

    Args:
        call: Who asks.
        wanted: What for.
        family: As far as it is known before a name is looked up; ``None``: inet or inet6.

    Raises:
        NotPermittedError: The policy does not grant it.
    """
    kind = (wanted.type, wanted.protocol)
    either = (Create(socket.AF_INET, *kind), Create(socket.AF_INET6, *kind))
    if family is not None:
        call.require(Create(family, *kind))
    elif not any(call.guard.allows(call.caller, each) for each in either):
        raise refusal(call.caller, str(either[0]))
    call.require(*(SetOption(option.name) for option, _ in wanted.options))
    for endpoint in (wanted.bind, wanted.connect):
        require_lookup(call, endpoint)


def require_lookup(call: Call, endpoint: Endpoint | None) -> None:
    """Return if what is to be looked up of an address may be.

    Raises:
        NotPermittedError: It may not.
    """
    if isinstance(endpoint, Service):
        call.guard.require_lookup(call.caller)


def allowed_plans(call: Call, wanted: Specification, plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """Leave the plans that the policy grants in full, each with how its paths are to be come to.

    Raises:
        NotPermittedError: None is left; says why the first is not.
    """
    first: NotPermittedError | None = None
    found = []
    for plan in plans:
        error = _refusal_of(call, wanted, plan)
        if error is None:
            found.append(_with_ways(call, plan, is_dual=_is_dual(wanted)))
        else:
            first = first or error
    if not found and first is not None:
        raise first
    return tuple(found)


def to_bind(call: Call, endpoint: Endpoint, address: Address, *, is_dual: bool) -> Address:
    """Return how to bind an address that was asked for as ``endpoint``.

    Args:
        call: Who asks.
        endpoint: In the caller's words, which the refusal repeats: it does not tell what a name stands for.
        address: What that was resolved to.
        is_dual: It is of inet6, and takes the port of inet as well.

    Raises:
        NotPermittedError: The policy does not grant it.
    """
    _check(call, Bind(address, is_dual), endpoint)
    return _bound(call, address, is_dual=is_dual)


def to_reach(call: Call, endpoint: Endpoint, address: Address) -> Address:
    """Return how to connect or send to an address that was asked for as ``endpoint``.

    Raises:
        NotPermittedError: The policy does not grant it.
    """
    _check(call, Connect(address), endpoint)
    return _reached(call, address)


def require_listening(call: Call, entry: Entry) -> None:
    """Return if a socket may listen: one that has no port is given one by listen(2), without a bind(2).

    Raises:
        NotPermittedError: The policy does not grant that.
    """
    if entry.family not in _UNSPECIFIED:
        return
    local = Address(entry.family, entry.sock.getsockname())
    if local.sockaddr[1] == 0:
        call.require(Bind(local, is_dual(entry)))


def require_bringing(call: Call, sock: _socket.socket) -> None:
    """Return if a socket that comes from elsewhere is one that the caller might have made here.

    Raises:
        NotPermittedError: The policy does not grant it.
    """
    call.require(Create(sock.family, sock.type, sock.proto))


def is_dual(entry: Entry) -> bool:
    """Whether a socket of inet6 takes the port of inet as well (IPV6_V6ONLY, ipv6(7))."""
    if entry.family != socket.AF_INET6:
        return False
    return not entry.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def _is_dual(wanted: Specification) -> bool:
    """Say the same of one that is to be made; if in doubt it does, and more has to be granted."""
    given = [value for option, value in wanted.options if option == _V6ONLY]
    return not given or given[-1] not in (True, 1)


def _refusal_of(call: Call, wanted: Specification, plan: Plan) -> NotPermittedError | None:
    asked: list[tuple[Question, Endpoint | None]] = []
    if plan.family != creation.family(wanted):  # else that was asked first
        asked.append((Create(plan.family, wanted.type, wanted.protocol), None))
    if plan.local is not None:
        asked.append((Bind(plan.local, _is_dual(wanted)), wanted.bind))
    elif wanted.backlog is not None and plan.family in _UNSPECIFIED:
        asked.append((Bind(_UNSPECIFIED[plan.family], _is_dual(wanted)), None))
    if plan.remote is not None:
        asked.append((Connect(plan.remote), wanted.connect))
    for question, endpoint in asked:
        if not call.guard.allows(call.caller, question):
            return refusal(call.caller, _said(question, endpoint))
    return None


def _check(call: Call, question: Question, endpoint: Endpoint) -> None:
    if not call.guard.allows(call.caller, question):
        raise refusal(call.caller, _said(question, endpoint))


def _said(question: Question, endpoint: Endpoint | None) -> str:
    if not isinstance(endpoint, Service) or not isinstance(question, Bind | Connect):
        return str(question)
    verb = "bind" if isinstance(question, Bind) else "connect to"
    return f"{verb} {endpoint.host or '*'}:{endpoint.service or '0'}"


def _with_ways(call: Call, plan: Plan, *, is_dual: bool) -> Plan:
    if plan.local is not None:
        plan = replace(plan, local=_bound(call, plan.local, is_dual=is_dual))
    if plan.remote is not None:
        plan = replace(plan, remote=_reached(call, plan.remote))
    return plan


def _bound(call: Call, address: Address, *, is_dual: bool) -> Address:
    if address.family != socket.AF_UNIX:
        return address
    folder = call.guard.folder(call.caller, Bind(address, is_dual))
    return paths.to_bind(address, call.caller, folder)


def _reached(call: Call, address: Address) -> Address:
    if address.family != socket.AF_UNIX:
        return address
    folder = call.guard.folder(call.caller, Connect(address))
    if folder is None and not call.guard.allows(call.caller, Act("api")):
        folder = _EVERY_PATH  # no link may lead to the daemon's own, which the policy knows by their paths
    return paths.to_reach(address, folder)
