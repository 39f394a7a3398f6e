"""The system calls on one socket: bind, listen, connect, shutdown; and what the kernel knows of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from socketd.core import flags
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import backlog, json, one_socket
from socketd.web.schemas.headers import ONE_SOCKET
from socketd.web.schemas.operations import InfoSchema
from socketd.web.schemas.sockets import BindSchema, ConnectSchema, ListenSchema, ShutdownSchema, SocketSchema

if TYPE_CHECKING:
    from flask import Response

blueprint = ApiBlueprint("operations", __name__, url_prefix="/v1/sockets", description="System calls")


@blueprint.post("/<ref>/bind")
@blueprint.arguments(BindSchema())
@blueprint.response(200, SocketSchema(), headers=ONE_SOCKET)
def bind_socket(body: dict[str, Any], ref: str) -> Response:
    """Give a socket its local address (`bind(2)`)."""
    return one_socket(service().operations.bind(call(), ref, body["address"]))


@blueprint.post("/<ref>/listen")
@blueprint.arguments(ListenSchema(), required=False)
@blueprint.response(200, SocketSchema(), headers=ONE_SOCKET)
def listen_socket(body: dict[str, int], ref: str) -> Response:
    """Start listening on a bound socket, or change the backlog (`listen(2)`)."""
    return one_socket(service().operations.listen(call(), ref, body["backlog"]))


@blueprint.post("/<ref>/connect")
@blueprint.arguments(ConnectSchema())
@blueprint.response(200, SocketSchema(), headers=ONE_SOCKET)
def connect_socket(body: dict[str, Any], ref: str) -> Response:
    """Connect and wait until that is done (`connect(2)`).

    With `timeout` 0 it answers EINPROGRESS and the connection goes on being made; poll it for POLLOUT.
    """
    return one_socket(service().operations.connect(call(), ref, body["address"], body.get("timeout")))


@blueprint.post("/<ref>/shutdown")
@blueprint.arguments(ShutdownSchema())
@blueprint.response(200, SocketSchema(), headers=ONE_SOCKET)
def shutdown_socket(body: dict[str, int], ref: str) -> Response:
    """End one or both directions, for every duplicate too (`shutdown(2)`)."""
    return one_socket(service().operations.shutdown(call(), ref, body["how"]))


@blueprint.get("/<ref>/info")
@blueprint.response(200, InfoSchema())
def socket_info(ref: str) -> Response:
    """Show what the kernel knows: queues, backlog, memory, TCP_INFO."""
    entry, info = service().operations.info(call(), ref)
    return json(
        {
            "fd": entry.fd,
            "inode": entry.inode,
            "cookie": entry.cookie,
            "state": info.state,
            "queues": dataclasses.asdict(info.queues),
            "listening": backlog(info.backlog),
            "memory": dataclasses.asdict(info.memory),
            "tcp_info": None if info.tcp_info is None else dataclasses.asdict(info.tcp_info),
            "poll": flags.poll_names(info.poll),
            "mark": info.mark,
            "priority": info.priority,
            "incoming_cpu": info.incoming_cpu,
        }
    )
