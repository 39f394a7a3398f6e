"""Targets that read bytes and files: the keeper's messages, notes, configuration, the kernel's records."""

from __future__ import annotations

import math
import os
import socket
import struct
from pathlib import Path

from socketd.errors import UnreadableSpecificationError
from socketd.keeper import protocol
from socketd.keeper.protocol import MalformedError, Record
from socketd.kernel import facts, inet_diag, netlink, sock_diag, tcp_info
from socketd.runtime import config, specification_format
from socketd.runtime.config import ConfigError
from socketd.runtime.keeping import notes
from socketd.runtime.settings import KEYS
from tests.fuzz.target import Target, check_message

RECORDED = Path(__file__).resolve().parents[1] / "data/kernel"
COUNT = slice(2, 4)  # of a packet: how many descriptors come along with some kinds


def recorded(pattern: str) -> tuple[bytes, ...]:
    """Return what a kernel has said."""
    return tuple(bytes.fromhex(path.read_text()) for path in sorted(RECORDED.glob(pattern)))


def read_from_daemon(data: bytes) -> None:
    """Read a packet as the keeper does; what is read is written the same."""
    _read_packet(protocol.from_daemon, data)


def read_from_keeper(data: bytes) -> None:
    """Read a packet as the daemon does; what is read is written the same."""
    _read_packet(protocol.from_keeper, data)


def _read_packet(read, data: bytes) -> None:
    for descriptors in (0, int.from_bytes(data[COUNT], "little")):
        try:
            sequence, message = read(data, descriptors)
        except MalformedError as error:
            check_message(error)
            continue
        assert protocol.encode(message, sequence) == data


def read_note(data: bytes) -> None:
    """Read a note; what is read is written so that the same is read again."""
    try:
        note = notes.decode(data)
    except notes.UnreadableNoteError as error:
        check_message(error)
        return
    if not math.isnan(note.created_at) and (note.taken_by is None or not math.isnan(note.taken_by.at)):
        assert notes.decode(notes.encode(note)) == note


def read_specification(data: bytes) -> None:
    """Read the file of a socket that is to be made again at boot."""
    try:
        saved = specification_format.decode(data, "web", "web.json")
    except UnreadableSpecificationError as error:
        check_message(error)
        return
    assert saved.name == "web"
    assert specification_format.decode(specification_format.encode(saved), "web", "web.json") == saved


def read_netlink(data: bytes) -> None:
    """Take a datagram apart, and what is in it."""
    try:
        for kind, flags, payload in netlink.messages(data):
            try:
                netlink.raise_for_error(kind, flags, payload)
            except OSError:
                continue
            netlink.attributes(payload)
    except ValueError:
        return


def read_sock_diag(data: bytes) -> None:
    """Read an answer about a socket, as each family's."""
    for protocol_number in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        _refused_or(lambda number=protocol_number: inet_diag.decode(data, number))
    _refused_or(lambda: sock_diag.decode_unix(data))
    _refused_or(lambda: sock_diag.file_inode(data))


def read_tcp_info(data: bytes) -> None:
    """Read the two arrays that getsockopt(2) gives."""
    _refused_or(lambda: tcp_info.decode(data))
    _refused_or(lambda: facts.decode_memory(data))


def read_configuration(data: bytes) -> None:
    """Read a configuration file; a refusal is one line."""
    os.ftruncate(FILE, 0)
    os.pwrite(FILE, data, 0)
    _refused_or(lambda: config.load({}, {}, f"/proc/self/fd/{FILE}"))


def _refused_or(read) -> None:
    try:
        read()
    except (ValueError, ConfigError) as error:
        check_message(error)


FILE = os.memfd_create("configuration")  # open as long as the process
RECORD = Record(3, b'{"v":1,"owner":{"uid":0},"at":1.5}')
SAID_BY_DAEMON = (
    protocol.Hello(protocol.VERSION, protocol.Mode.FETCH),
    protocol.Store(0, (RECORD, Record(4, b""))),
    protocol.Commit(7),
    protocol.Update((RECORD,)),
    protocol.Forget((3, 4)),
    protocol.Retain(((3, 99), (4, 100)), is_last=True),
    protocol.Ping(),
    protocol.Ack(5),
)
SAID_BY_KEEPER = (
    protocol.Welcome(protocol.VERSION, 2, 4, "systemd"),
    protocol.Batch((RECORD,), is_last=True),
    protocol.Ack(5),
    protocol.Missing((3,), is_last=False),
    protocol.Kept(((3, True), (4, False))),
    protocol.Refused(16, "busy"),
)
NOTES = (
    b'{"v":1,"owner":{"uid":7},"at":1.5}',
    (
        b'{"v":1,"owner":{"token":"ci"},"at":1,"name":"web","accepted_from":3,"persist":"boot","taken":2,'
        b'"taken_by":{"uid":1,"pid":null,"at":2.5},"blocking":true,'
        b'"file":{"path":"/run/x","device":1,"inode":2},"key":"k"}'
    ),
    b'{"v":2}',
    b'{"v":1,"owner":{"uid":7},"at":1,"file":{},"taken_by":0}',
    b'{"v":1,"owner":{"uid":7},"at":1' + b"0" * 400 + b"}",
    b'{"v":1,"owner":{"uid":7},"at":1,"taken":Infinity}',
    b"[" * 3000,
)
CONFIGURATIONS = (
    b"max_waits = 7\nmax_timeout_s = 1.5\n",
    b'tcp = "127.0.0.1:8080"\nhosts = ["a.example", "b"]\naudit = "/var/log/x"\nlog_level = "debug"\n',
    b'tls_certificate = "/x.pem"\ntls_client_ca = "/y.pem"\ntls_client_required = true\n',
    b"max_waits = " + b"1" * 5000,
    b"max_waits = " + b"[" * 3000,
)
SPECIFICATIONS = (
    b'{"version":1,"name":"web","owner":{"uid":7},"specification":{"family":"inet","bind":"127.0.0.1:80"}}',
    b'{"version":2}',
)
MEMBERS = (
    *('"v":1', '"owner":', '{"uid":', '{"token":', '{"certificate":', '"at":', '"name":', '"persist":'),
    *('"taken_by":', '"pid":', '"file":', '"path":', '"device":', '"inode":', '"key":', '"blocking":'),
    *("Infinity", "NaN", "-1", "1e999", "null", "true", r"\ud800", '"version":', '"specification":'),
)

# NLMSG_ERROR with a number that os.strerror() cannot be asked for
IMPOSSIBLE_ERRNO = struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -(2**31))

PACKETS = {
    "from-daemon": Target(
        read_from_daemon, tuple(protocol.encode(said, 1) for said in SAID_BY_DAEMON), tuple("HSCUFRPA")
    ),
    "from-keeper": Target(
        read_from_keeper, tuple(protocol.encode(said, 1) for said in SAID_BY_KEEPER), tuple("WBAMKX")
    ),
    "note": Target(read_note, NOTES, MEMBERS),
    "configuration": Target(read_configuration, CONFIGURATIONS, tuple(f"{key.name} = " for key in KEYS)),
    "specification": Target(read_specification, SPECIFICATIONS, MEMBERS),
    "netlink": Target(read_netlink, (*recorded("netlink-*"), IMPOSSIBLE_ERRNO)),
    "sock-diag": Target(read_sock_diag, recorded("inet_diag-*") + recorded("netlink-unix-*")),
    "tcp-info": Target(read_tcp_info, recorded("tcp_info-*") + recorded("meminfo-*")),
}
