from __future__ import annotations

import errno
import json
import pickle
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd_client import ApiError, KernelError, ResolveError, SocketdError, TransportError, errors
from socketd_client.errors import api_error
from socketd_client.problem import Problem, read_problem

BUILTINS = sorted({type(OSError(number, "")) for number in errno.errorcode}, key=lambda kind: kind.__name__)
EAI_NAMES = [name for name in dir(socket) if name.startswith("EAI_")]


def refusal(symbol: str | None, **members: object) -> ApiError:
    return api_error(Problem(409, "Refused", "it is refused", errno=symbol, **members))  # type: ignore[arg-type]


def test_refusal_without_errno_is_no_os_error():
    error = refusal(None)
    assert type(error) is ApiError
    assert not isinstance(error, OSError)


@pytest.mark.parametrize("symbol", ["EWINDOWSONLY", "EAI_WINDOWSONLY", "", "path", "error"])
def test_errno_that_this_platform_lacks_is_a_plain_api_error(symbol: str):
    error = refusal(symbol)
    assert type(error) is ApiError
    assert error.symbol == symbol
    assert error.number is None


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_errno_is_the_class_python_itself_raises(number: int):
    error = refusal(errno.errorcode[number])
    assert isinstance(error, type(OSError(number, "")))
    assert isinstance(error, KernelError)
    assert isinstance(error, OSError)
    assert (error.errno, error.number, error.strerror) == (number, number, "Refused")


@pytest.mark.parametrize("builtin", BUILTINS)
def test_every_builtin_subclass_has_a_class_of_ours(builtin: type[OSError]):
    assert errors._CLASSES[builtin] is not KernelError or builtin is OSError  # noqa: SLF001 - the table itself


@pytest.mark.parametrize("symbol", EAI_NAMES)
def test_every_resolver_error_is_gaierror(symbol: str):
    error = refusal(symbol)
    assert isinstance(error, ResolveError)
    assert isinstance(error, socket.gaierror)
    assert error.errno == getattr(socket, symbol)


def test_number_is_this_platforms_not_the_daemons():
    body = json.dumps({"errno": "EADDRINUSE", "number": 10048}).encode()
    error = api_error(read_problem(409, {"Content-Type": "application/problem+json"}, body))
    assert error.number == errno.EADDRINUSE


@pytest.mark.parametrize("caught", [ConnectionRefusedError, ConnectionError, OSError, ApiError, SocketdError])
def test_refused_connection_is_caught_by_each_of_its_names(caught: type[Exception]):
    with pytest.raises(caught):
        raise refusal("ECONNREFUSED")


def test_transport_errors_are_os_errors_without_errno():
    error = TransportError("nobody there", reason=ConnectionRefusedError(errno.ECONNREFUSED, "no"))
    assert isinstance(error, OSError)
    assert error.errno is None
    assert not isinstance(error, (ConnectionRefusedError, TimeoutError, ApiError))


def test_text_names_errno_and_hint():
    error = refusal("EADDRINUSE", hint="ss -tlnp shows who has it")
    assert str(error) == "it is refused [EADDRINUSE] (hint: ss -tlnp shows who has it)"


def test_text_names_every_bad_member():
    error = refusal(None, members={"bind.port": ("Must be at most 65535.",), "type": ("Unknown.", "Bad.")})
    assert str(error) == "it is refused; bind.port: Must be at most 65535.; type: Unknown. Bad."


@pytest.mark.parametrize("symbol", [None, "ECONNREFUSED", "EADDRINUSE", "EAI_NONAME"])
def test_error_survives_pickling(symbol: str | None):
    error = refusal(symbol, hint="wait", request_id="r-7")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.problem == error.problem
    assert str(again) == str(error)


def test_every_member_of_the_problem_is_read():
    body = {
        "title": "Address already in use",
        "detail": "bind: Address already in use",
        "code": "kernel_refused",
        "errno": "EADDRINUSE",
        "syscall": "bind",
        "socket": 64,
        "hint": "another port",
        "index": 3,
        "members": {"bind": ["taken"]},
        "sent": 7,
    }
    headers = {"Content-Type": "application/problem+json", "X-Request-Id": "r-1", "Retry-After": "2"}
    found = read_problem(409, headers, json.dumps(body).encode())
    assert found == Problem(
        409,
        "Address already in use",
        "bind: Address already in use",
        "kernel_refused",
        "EADDRINUSE",
        "bind",
        "another port",
        "64",
        3,
        "r-1",
        2.0,
        {"bind": ("taken",)},
        7,
    )


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        ("bind: no address", "bind: no address [EINVAL]"),
        ("no address", "no address [EINVAL]; bind: no address"),
    ],
)
def test_what_the_detail_says_of_a_member_is_said_once(detail: str, text: str):
    problem = Problem(422, "Invalid argument", detail, errno="EINVAL", members={"bind": ("no address",)})
    assert str(api_error(problem)) == text


def test_refusal_by_something_else_keeps_its_first_line():
    found = read_problem(502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>\nmore")
    assert (found.title, found.detail) == ("Bad Gateway", "<h1>Bad Gateway</h1>")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
member_names = st.sampled_from(["title", "detail", "code", "errno", "hint", "members", "index", "socket"])


@given(
    st.integers(300, 999),
    st.binary() | st.dictionaries(member_names, json_values).map(lambda d: json.dumps(d).encode()),
)
def test_no_body_of_a_refusal_can_break_the_reader(status: int, body: bytes):
    error = api_error(read_problem(status, {"Content-Type": "application/problem+json"}, body))
    assert error.status == status
    assert str(error)
