"""A caller comes to socket files beneath the folder it was granted, and to none outside."""

from __future__ import annotations

import _socket
import os
import socket
import stat
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from socketd.access.caller import Caller
from socketd.core import calls, connecting, transfer
from socketd.core.address import Address, FileAccess, unix_abstract, unix_path, unix_unnamed
from socketd.core.owner import Owner
from socketd.core.transfer import Outgoing
from socketd.errors import InvalidRequestError, KernelRefusedError, NotPermittedError, SocketdError
from socketd.service import paths
from tests.held import ANN, Held, specification
from tests.swapping import swapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.entry import Entry, UnixFile

ROUNDS = 300
MOST_ROUNDS = 100_000  # of what ends by itself once both processes had their turn
ROOT = Caller(Owner(0), 0, frozenset({0}), None, "unix")
STRANGER = 4_000_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user")


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    found = tmp_path / "granted"
    found.mkdir()
    return found


@pytest.fixture
def public() -> Iterator[Path]:
    """Give a folder that every user may pass, which pytest's are not."""
    with TemporaryDirectory() as name:
        found = Path(name)
        found.chmod(0o755)
        yield found


def access_of(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_gid


def bind(path: Path | str, folder: Path | str | None, **access: int | str) -> UnixFile | None:
    """Bind a socket for a moment; the file stays."""
    asked = Address(socket.AF_UNIX, str(path), FileAccess(**access) if access else None)  # type: ignore[arg-type]
    with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        made = calls.bind(sock, paths.to_bind(asked, ROOT, None if folder is None else f"{folder}/"))
        assert sock.getsockname() == str(path)
        return made


def refused(path: Path | str, folder: Path | str | None, **access: int | str) -> SocketdError:
    with pytest.raises(SocketdError) as caught:
        bind(path, folder, **access)
    return caught.value


# --- refusals ---


@pytest.mark.parametrize(
    "path", ["{out}/x", "{in}/../out/x", "{in}/./../../x", "{in}x/y", "/", "{in}/a/../x"]
)
def test_a_path_that_does_not_lie_beneath_is_refused_and_nothing_made(granted: Path, path: str):
    out = granted.parent / "out"
    out.mkdir()
    (granted / "a").mkdir()
    error = refused(path.format_map({"in": granted, "out": out}), granted)
    assert (error.code, error.symbol) == ("not_permitted", "EPERM")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("target", ["/tmp", "..", "real"])
def test_a_link_on_the_way_is_refused_wherever_it_leads(granted: Path, target: str):
    (granted / "real").mkdir()
    (granted / "link").symlink_to(target)
    error = refused(granted / "link" / "x.sock", granted)
    assert (error.code, error.hint) == (
        "not_permitted",
        f"beneath {granted}/ links are not followed; write the path that it leads to",
    )
    assert not (granted / "real" / "x.sock").exists()


def test_a_link_in_the_place_of_the_file_is_in_use_even_if_it_leads_nowhere(granted: Path):
    (granted / "x.sock").symlink_to(granted.parent / "outside")
    assert refused(granted / "x.sock", granted).symbol == "EADDRINUSE"
    assert not (granted.parent / "outside").exists()


def test_a_granted_folder_that_is_a_link_is_refused(granted: Path):
    link = granted.parent / "link"
    link.symlink_to(granted)
    assert "is a link, or no folder" in str(refused(link / "x.sock", link))


@as_root
def test_a_folder_that_another_user_could_replace_is_refused(granted: Path):
    (granted / "sub").mkdir()
    os.chown(granted, STRANGER, -1)
    error = refused(granted / "sub" / "x.sock", granted)
    assert (error.code, f"uid {STRANGER}" in str(error)) == ("not_permitted", True)
    assert bind(granted / "x.sock", granted)


def test_a_folder_that_everybody_may_write_to_is_refused_with_all_that_it_has(granted: Path):
    (granted / "sub").mkdir()
    granted.chmod(0o777)
    assert refused(granted / "sub" / "x.sock", granted).code == "not_permitted"
    assert bind(granted / "x.sock", granted)


def test_a_folder_that_is_missing_is_enoent(granted: Path):
    error = refused(granted / "sub" / "x.sock", granted)
    assert (error.symbol, error.syscall) == ("ENOENT", "bind")
    assert refused(granted / "sub" / "x.sock", None, mode=0o600).symbol == "ENOENT"


def test_a_file_in_the_place_of_a_folder_is_enotdir(granted: Path):
    (granted / "file").touch()
    assert refused(granted / "file" / "x.sock", granted).symbol == "ENOTDIR"


def test_an_unknown_group_is_a_wrong_request():
    for group in ("no-such-group-here", "nul\0", "\ud800"):
        with pytest.raises(InvalidRequestError) as caught:
            paths.to_bind(Address(socket.AF_UNIX, "/x", FileAccess(None, group)), ROOT, None)
        assert caught.value.member == "group"


@pytest.mark.parametrize(
    "owner", [Owner(ANN), Owner(token="ci"), Owner(certificate="web1")], ids=["uid", "token", "certificate"]
)
def test_a_group_that_the_caller_is_not_in_is_refused(owner: Owner):
    caller = Caller(owner, None, frozenset({5, ANN}), None, "unix")
    with pytest.raises(NotPermittedError):
        paths.to_bind(Address(socket.AF_UNIX, "/x", FileAccess(None, 6)), caller, None)
    assert paths.to_bind(Address(socket.AF_UNIX, "/x", FileAccess(None, 5)), caller, None).way


def test_bind_that_fails_leaves_the_sockets_own_bits_and_no_file(granted: Path):
    with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        before = os.fstat(sock.fileno()).st_mode
        sock.bind(str(granted / "first"))
        wanted = Address(socket.AF_UNIX, str(granted / "second"), FileAccess(0o600))
        with pytest.raises(KernelRefusedError) as caught:
            calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/"))
        assert caught.value.symbol == "EINVAL"
        assert os.fstat(sock.fileno()).st_mode == before
    assert [each.name for each in granted.iterdir()] == ["first"]


@as_root
def test_what_cannot_be_given_its_group_leaves_no_file(public: Path):
    public.chmod(0o777)
    unprivileged = f"""
import os, _socket, socket
from socketd.access.caller import Caller
from socketd.core.address import Address, FileAccess
from socketd.core.owner import Owner
from socketd.errors import KernelRefusedError
from socketd.service import paths
os.setgroups([]); os.setresgid(1, 1, 1); os.setresuid(1, 1, 1)
caller = Caller(Owner(9), 5, frozenset({{5}}), None, "unix")
wanted = paths.to_bind(Address(socket.AF_UNIX, {str(public / "x")!r}, FileAccess(0o660, 5)), caller, None)
try:
    wanted.way.bind(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), wanted.sockaddr)
except KernelRefusedError as error:
    print(error.symbol, error.syscall, bool(error.hint))
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", unprivileged], env=environ, capture_output=True, check=False)
    assert done.stdout == b"EPERM chown True\n", done.stderr
    assert list(public.iterdir()) == []


# --- what works ---


@pytest.mark.parametrize("below", ["x.sock", "sub/x.sock", "sub//./x.sock"])
def test_a_path_beneath_is_bound_by_its_own_name(granted: Path, below: str):
    (granted / "sub").mkdir()
    path = f"{granted}/{below}"
    made = bind(path, granted)
    found = Path(path).lstat()
    assert made is not None
    assert (made.path, made.device, made.inode) == (path, found.st_dev, found.st_ino)
    made.remove()
    assert not Path(path).exists()


def test_the_whole_file_system_can_be_granted(granted: Path):
    assert bind(granted / "x.sock", "") is not None


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777, 0])
@pytest.mark.parametrize("confined", [True, False])
def test_the_file_has_the_mode_asked_for_whatever_the_umask(granted: Path, mode: int, confined: bool):  # noqa: FBT001
    path = granted / "x.sock"
    assert bind(path, granted if confined else None, mode=mode) is not None
    assert access_of(path)[0] == mode


@as_root
@pytest.mark.parametrize("group", [12345, "daemon"])
def test_the_file_has_the_group_asked_for(granted: Path, group: int | str):
    assert bind(granted / "x.sock", granted, mode=0o660, group=group) is not None
    mode, gid = access_of(granted / "x.sock")
    assert mode == 0o660
    assert gid == (12345 if group == 12345 else 1)


def test_until_its_group_is_set_the_file_is_its_owners_alone(granted: Path):
    seen = []

    class Watched(_socket.socket):
        def bind(self, address: str, /) -> None:
            super().bind(address)
            seen.append(access_of(Path(address))[0])

    with closing(Watched(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        wanted = Address(socket.AF_UNIX, str(granted / "x.sock"), FileAccess(0o666))
        calls.bind(sock, paths.to_bind(wanted, ROOT, None))
    assert seen[0] & 0o077 == 0
    assert access_of(granted / "x.sock")[0] == 0o666


@pytest.mark.parametrize("replacement", ["file", "link", "hard link"])
def test_what_is_put_in_the_files_place_is_refused_and_left_alone(granted: Path, replacement: str):
    precious = granted.parent / "precious"
    with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as theirs:
        theirs.bind(str(precious))

    class Replaced(_socket.socket):
        def bind(self, address: str, /) -> None:
            super().bind(address)
            Path(address).unlink()
            if replacement == "hard link":
                os.link(precious, address)
            elif replacement == "link":
                Path(address).symlink_to(precious)
            else:
                Path(address).touch()

    before = access_of(precious)
    with closing(Replaced(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        wanted = Address(socket.AF_UNIX, str(granted / "x.sock"), FileAccess(0o666))
        with pytest.raises(NotPermittedError, match="replaced"):
            calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/"))
    assert access_of(precious) == before
    assert (granted / "x.sock").exists()


def test_a_file_that_is_gone_at_once_is_no_error(granted: Path):
    class Removed(_socket.socket):
        def bind(self, address: str, /) -> None:
            super().bind(address)
            Path(address).unlink()

    with closing(Removed(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        wanted = Address(socket.AF_UNIX, str(granted / "x.sock"), FileAccess(0o666))
        assert calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/")) is None


def test_what_is_no_path_and_what_is_not_confined_stays_as_it_is():
    for address in (unix_abstract("x"), unix_unnamed(), Address(socket.AF_INET, ("127.0.0.1", 0))):
        assert paths.to_bind(address, ROOT, "/granted/") is address
        assert paths.to_reach(address, "/granted/") is address
    anywhere = unix_path("/run/x.sock")
    assert paths.to_bind(anywhere, ROOT, None) is anywhere
    assert paths.to_reach(anywhere, None) is anywhere


def test_a_way_makes_no_other_address():
    plain, on_its_way = unix_path("/run/x.sock"), paths.to_reach(unix_path("/run/x.sock"), "/run/")
    assert on_its_way.way is not None
    assert on_its_way == plain
    assert hash(on_its_way) == hash(plain)


# --- the granted folder itself ---


def test_a_granted_folder_is_made_where_the_one_above_is_ours(granted: Path):
    path = granted / "ann" / "x.sock"
    assert bind(path, granted / "ann") is not None
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711


def test_only_the_last_folder_is_made(granted: Path):
    assert refused(granted / "deep" / "ann" / "x.sock", granted / "deep" / "ann").symbol == "ENOENT"
    assert list(granted.iterdir()) == []


def test_no_folder_is_made_where_others_may_write(granted: Path):
    granted.chmod(0o1777)
    assert refused(granted / "ann" / "x.sock", granted / "ann").symbol == "ENOENT"
    assert list(granted.iterdir()) == []


@as_root
def test_no_folder_is_made_where_a_strangers_link_leads(granted: Path):
    (granted / "target").mkdir()
    theirs = granted / "theirs"
    theirs.mkdir()
    (theirs / "run").symlink_to(granted / "target")
    os.chown(theirs, STRANGER, -1)
    assert refused(theirs / "run" / "ann" / "x.sock", theirs / "run" / "ann").code == "not_permitted"
    assert list((granted / "target").iterdir()) == []


# --- connect and send ---


def connected(held: Held, near: Entry, address: Address) -> None:
    connecting.connect(near, address, held.patience(10))


def sent(held: Held, near: Entry, address: Address) -> None:
    transfer.send(near, [Outgoing(b"hello", address)], 0, held.patience(10))


EITHER = pytest.mark.parametrize(
    ("kind", "call"), [(socket.SOCK_STREAM, connected), (socket.SOCK_DGRAM, sent)], ids=["connect", "send"]
)


@EITHER
def test_connect_and_send_reach_a_socket_beneath_and_say_its_name(
    held: Held, granted: Path, kind: int, call: Callable[[Held, Entry, Address], None]
):
    path = str(granted / "x.sock")
    backlog = 64 if kind == socket.SOCK_STREAM else None
    far = held.make(specification(kind=kind, bind=path, backlog=backlog))
    near = held.make(specification(socket.AF_UNIX, kind))
    call(held, near, paths.to_reach(unix_path(path), f"{granted}/"))
    if kind == socket.SOCK_STREAM:
        assert near.sock.getpeername() == path
    else:
        assert far.sock.recv(10) == b"hello"


@EITHER
def test_connect_and_send_follow_no_link_and_leave_no_folder(
    held: Held, granted: Path, kind: int, call: Callable[[Held, Entry, Address], None]
):
    outside = granted.parent / "out.sock"
    backlog = 64 if kind == socket.SOCK_STREAM else None
    held.make(specification(kind=kind, bind=str(outside), backlog=backlog))
    (granted / "link.sock").symlink_to(outside)
    (granted / "up").symlink_to("..")
    near = held.make(specification(socket.AF_UNIX, kind))
    for wrong in (granted / "link.sock", granted / "up" / "out.sock", outside, f"{granted}/../out.sock"):
        with pytest.raises(NotPermittedError):
            call(held, near, paths.to_reach(unix_path(str(wrong)), f"{granted}/"))
        call(held, held.make(specification(socket.AF_UNIX, kind)), unix_path(str(wrong)))


@EITHER
def test_connect_and_send_to_nothing_say_so(
    held: Held, granted: Path, kind: int, call: Callable[[Held, Entry, Address], None]
):
    (granted / "file").touch()
    near = held.make(specification(socket.AF_UNIX, kind))
    for path, symbol in (("nowhere", "ENOENT"), ("file", "ECONNREFUSED"), ("file/x", "ENOTDIR")):
        with pytest.raises(KernelRefusedError) as caught:
            call(held, near, paths.to_reach(unix_path(str(granted / path)), f"{granted}/"))
        assert caught.value.symbol == symbol


# --- races ---


@pytest.mark.parametrize(
    "attacker", [-1, pytest.param(STRANGER, marks=as_root)], ids=["same user", "another user"]
)
def test_a_folder_that_is_swapped_by_a_link_lets_no_file_out(public: Path, attacker: int):
    granted, outside = public / "granted", public / "outside"
    (granted / "sub").mkdir(parents=True)
    outside.mkdir()
    if attacker < 0:
        granted.chmod(0o777)
    else:
        os.chown(granted, attacker, -1)
    path = granted / "sub" / "x.sock"
    with swapping(granted / "sub", outside, attacker):
        for _ in range(ROUNDS):
            with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
                wanted = Address(socket.AF_UNIX, str(path), FileAccess(0o666))
                with pytest.raises(SocketdError) as caught:
                    calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/"))
                assert caught.value.symbol in {"EPERM", "ENOENT"}
    assert list(outside.iterdir()) == []
    assert not path.exists()


def test_the_same_swapping_does_lead_out_whoever_may_go_everywhere(public: Path):
    """Shows that the attack of these tests is one."""
    folder, outside = public / "folder", public / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    path = folder / "sub" / "x.sock"
    with swapping(folder / "sub", outside):
        for _ in range(MOST_ROUNDS):
            with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock, suppress(OSError):
                sock.bind(str(path))
            if any(outside.iterdir()):
                return
    pytest.fail("never outside")


def test_a_folder_that_is_swapped_by_a_link_lets_no_connection_out(
    held: Held, tmp_path_factory: pytest.TempPathFactory, granted: Path
):
    outside = tmp_path_factory.mktemp("outside")
    (granted / "sub").mkdir()
    inner = held.make(specification(kind=socket.SOCK_DGRAM, bind=str(granted / "sub" / "x.sock")))
    outer = held.make(specification(kind=socket.SOCK_DGRAM, bind=str(outside / "x.sock")))
    near = held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM))
    address = paths.to_reach(unix_path(str(granted / "sub" / "x.sock")), f"{granted}/")
    arrived = 0
    with swapping(granted / "sub", outside):
        for done in range(MOST_ROUNDS):
            if done >= ROUNDS and arrived:
                break
            try:
                sent(held, near, address)
            except SocketdError as error:
                assert error.symbol in {"EPERM", "ENOENT"}  # noqa: PT017 (it need not fail)
            else:
                arrived += inner.sock.recv(10, socket.MSG_DONTWAIT) == b"hello"
    assert arrived
    with pytest.raises(BlockingIOError):
        outer.sock.recv(10, socket.MSG_DONTWAIT)
