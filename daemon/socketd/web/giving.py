"""The protocol ``socketd-give``: a manifest, then descriptors in batches, each acknowledged, then the answer.

docs/fd-passing.md has it in full.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import orjson
from flask import Response, current_app
from marshmallow import ValidationError

from socketd.errors import ClientGoneError, InvalidRequestError, KernelRefusedError, PeerStalledError
from socketd.kernel import scm
from socketd.service.channel import Channel
from socketd.service.donation import Offer
from socketd.web import upgrading
from socketd.web.body import MalformedBodyError
from socketd.web.caller import service
from socketd.web.representation import many_sockets
from socketd.web.schemas.passing import ManifestSchema

if TYPE_CHECKING:
    from socketd.service import Call
    from socketd.service.donation import Donation

PROTOCOL: Final = "socketd-give"
MANIFEST_BYTES: Final = 1024 * 1024
_LENGTH: Final = struct.Struct(">I")
_REFUSED: Final = b"\0"
_MANIFEST: Final = ManifestSchema()


def serve(asked: Call, connection: int, *, existing_ok: bool, fields: list[str] | None = None) -> None:
    """Switch the connection over, receive what is given and answer; the connection is to be ended then.

    What goes wrong is answered here: there is no HTTP any more.
    """
    scm.set_accepting(connection, is_accepting=True)
    channel = Channel(connection, asked.waiter, closer=service().table.closer)
    acknowledged = False
    try:
        channel.send(upgrading.switching(PROTOCOL))
        donation = service().passing.donation(asked, _manifest(channel), existing_ok=existing_ok)
        try:
            _receive(channel, donation)
            acknowledged = True
            answer = many_sockets(donation.finish(), asked.waiter.give_way, 201, fields)
        except BaseException:
            donation.abandon()
            raise
    except Exception as error:  # noqa: BLE001 (the application's own handlers sort them out)
        answer = current_app.make_response(current_app.handle_user_exception(error))
    _answer(channel, answer, b"" if acknowledged else _REFUSED)


def _manifest(channel: Channel) -> list[Offer]:
    """Read what will be given.

    Raises:
        InvalidRequestError, MalformedBodyError: It is too long, no JSON, or not as its schema.
    """
    (length,) = _LENGTH.unpack(channel.receive(_LENGTH.size))
    if length > MANIFEST_BYTES:
        raise InvalidRequestError(
            f"a manifest of {length} bytes; {MANIFEST_BYTES} are the most", symbol="EMSGSIZE"
        )
    try:
        read: dict[str, Any] = _MANIFEST.load(orjson.loads(channel.receive(length)))
    except orjson.JSONDecodeError as error:
        raise MalformedBodyError(f"the manifest is not JSON: {error}") from error
    except ValidationError as error:
        raise InvalidRequestError(f"the manifest is wrong: {error}", member="sockets") from error
    return [Offer(each.get("name")) for each in read["sockets"]]


def _receive(channel: Channel, donation: Donation) -> None:
    """Hold batch after batch; each is acknowledged, so that little is under way at any time."""
    while donation.missing:
        batch = channel.receive_batch()
        donation.add(batch)
        channel.send(bytes((len(batch),)))


def _answer(channel: Channel, answer: Response, prefix: bytes) -> None:
    body = b'{"status":%d,"body":%s}' % (answer.status_code, answer.get_data())
    try:
        channel.send(prefix + _LENGTH.pack(len(body)) + body)
    except (ClientGoneError, KernelRefusedError, PeerStalledError):
        return  # nobody is there to read it
