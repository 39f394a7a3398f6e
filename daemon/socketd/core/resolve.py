"""From what was asked for to the addresses to try, in order: ``getaddrinfo(3)``."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core import constants
from socketd.core.address import Address, Endpoint
from socketd.errors import InvalidRequestError, ResolveError

if TYPE_CHECKING:
    from socketd.core.seams import Resolver

_EAI: Final = {value: name for name, value in vars(socket).items() if name.startswith("EAI_")}
_RESOLVABLE_TYPES: Final = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


@dataclass(frozen=True, slots=True)
class AddressInfo:
    """One answer of ``getaddrinfo``."""

    family: int
    type: int
    protocol: int
    canonical_name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of ``getaddrinfo``; 0 means "any" as in its hints."""

    host: str | None
    service: str | None
    family: int = 0
    type: int = 0
    protocol: int = 0
    flags: int = 0


def addrinfo(resolver: Resolver, question: Question) -> tuple[AddressInfo, ...]:
    """Look up a host and a service.

    Raises:
        ResolveError: With the resolver's own symbol, ``EAI_NONAME`` for "no such thing".
    """
    q = question
    try:
        answers = resolver(q.host, q.service, q.family, q.type, q.protocol, q.flags)
    except socket.gaierror as error:
        number = error.errno or 0
        raise ResolveError(
            f"{q.host or '*'}, {q.service or '*'}: {error.strerror}",
            symbol=_EAI.get(number, f"EAI_{number}"),
            number=number,
            hint=_hint(number),
        ) from error
    except OSError as error:  # the resolver itself failed: EMFILE, ENOMEM, …
        raise ResolveError(
            f"{q.host or '*'}, {q.service or '*'}: {error.strerror}",
            symbol="EAI_SYSTEM",
            number=socket.EAI_SYSTEM,
        ) from error
    except (ValueError, OverflowError) as error:
        # A label over 63 octets, an empty one or a NUL never reach the resolver: Python refuses them first.
        raise ResolveError(
            f"{(q.host or '*')[:80]!r} cannot be a host name: {error}",
            symbol="EAI_NONAME",
            number=socket.EAI_NONAME,
        ) from error
    return tuple(AddressInfo(f, t, p, name, Address(f, sockaddr)) for f, t, p, name, sockaddr in answers)


def candidates(
    endpoint: Endpoint, family: int | None, kind: int, resolver: Resolver, flags: int = 0
) -> tuple[Address, ...]:
    """List the addresses to try for ``endpoint``, in order; at least one.

    Args:
        endpoint: As the caller gave it.
        family: Of the socket it is for; ``None`` if that may still be chosen.
        kind: The socket's type.
        resolver: Asked only for names.
        flags: ``AI_PASSIVE`` when it is to be bound.

    Raises:
        ResolveError: The name has no address.
        InvalidRequestError: The address is of another family than the socket.
    """
    if isinstance(endpoint, Address):
        return (matching(endpoint, family),)
    if family not in (None, socket.AF_INET, socket.AF_INET6):
        raise _wrong_family(socket.AF_INET, family or 0)
    found = addrinfo(
        resolver,
        Question(
            endpoint.host,
            endpoint.service,
            family or socket.AF_UNSPEC,
            # Raw and MPTCP sockets have addresses too, but getaddrinfo has no services for them.
            kind if kind in _RESOLVABLE_TYPES else socket.SOCK_STREAM,
            flags=flags | endpoint.flags,
        ),
    )
    return tuple(dict.fromkeys(info.address for info in found))


def matching(address: Address, family: int | None) -> Address:
    """Return ``address`` if a socket of ``family`` can be given it.

    Raises:
        InvalidRequestError: It cannot (EAFNOSUPPORT).
    """
    if family is not None and address.family != family:
        raise _wrong_family(address.family, family)
    return address


def _wrong_family(given: int, wanted: int) -> InvalidRequestError:
    hint = None
    if (given, wanted) == (socket.AF_INET, socket.AF_INET6):
        hint = "an IPv4 address of an inet6 socket is written [::ffff:192.0.2.1]:80"
    return InvalidRequestError(
        f"an address of family {constants.family_name(given)} does not fit a socket of family "
        f"{constants.family_name(wanted)}",
        member="address",
        symbol="EAFNOSUPPORT",
        hint=hint,
    )


def _hint(number: int) -> str | None:
    match number:
        case socket.EAI_NONAME:
            return "no such host or service is known; AI_NUMERICHOST and AI_NUMERICSERV want numbers"
        case socket.EAI_SERVICE:
            return "the service is not known for this type of socket; /etc/services lists the names"
        case socket.EAI_AGAIN:
            return "the name server did not answer; try again"
    return None
