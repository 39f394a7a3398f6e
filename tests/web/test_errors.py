"""The one table and the one body: every class of error, every errno, and everything HTTP itself refuses."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, g

from socketd import errors
from socketd.web import answers, body, browsers, instance, upgrading
from socketd.web import errors as web_errors
from tests.web.in_process import check_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.in_process import Web

STATUSES = {
    409: "EADDRINUSE EISCONN ENOTCONN EINVAL EALREADY EDESTADDRREQ EEXIST EBUSY EAGAIN ENOTSOCK EINPROGRESS",
    404: "EBADF ESRCH",
    412: "ESTALE",
    403: "EACCES EPERM",
    413: "EMSGSIZE",
    422: "EAFNOSUPPORT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP ENOPROTOOPT EADDRNOTAVAIL EPROTOTYPE "
    "ENAMETOOLONG ENODEV EDOM ENOENT ENOTDIR ENOSYS",
    503: "EMFILE ENFILE ENOBUFS ENOMEM ETOOMANYREFS",
    502: "ECONNREFUSED ECONNRESET ECONNABORTED EPIPE EHOSTUNREACH ENETUNREACH ENETDOWN EHOSTDOWN",
    504: "ETIMEDOUT",
}
BY_SYMBOL = {symbol: status for status, symbols in STATUSES.items() for symbol in symbols.split()}
REST = 409
PRETENDED = OSError(errno.EADDRINUSE, "no")

BY_CLASS: list[tuple[errors.SocketdError, int]] = [
    (errors.KernelRefusedError(PRETENDED, "bind", hint="another"), 409),
    (errors.InvalidRequestError("no", member="bind"), 422),
    (errors.InvalidRequestError("no", symbol="EAFNOSUPPORT"), 422),
    (errors.ResolveError("no", symbol="EAI_NONAME", number=socket.EAI_NONAME), 422),
    (errors.UnknownSocketError("64"), 404),
    (errors.ClosedMeanwhileError("64", "accept"), 404),
    (errors.UnknownDescriptorError(9), 404),
    (errors.StaleError("64"), 412),
    (errors.NameTakenError("web"), 409),
    (errors.DiffersError("web", ("bind", "type")), 409),
    (errors.BadStateError("no", symbol="EINVAL"), 409),
    (errors.WouldBlockError("recv"), 409),
    (errors.WaitTimeoutError("recv", 0.5), 504),
    (errors.ShuttingDownError(), 503),
    (errors.ClientGoneError(), 499),
    (errors.OutOfDescriptorsError(1024), 503),
    (errors.TooManyWaitsError(9), 429),
    (errors.QuotaError("no"), 429),
    (errors.TooManyFollowersError(9), 429),
    (errors.TooManyConnectionsError(), 503),
    (errors.SlowRequestError(30.0), 408),
    (errors.UnauthenticatedError(), 401),
    (errors.NotPermittedError("no"), 403),
    (errors.NeedsUnixSocketError(), 409),
    (errors.NotReceivingError(), 409),
    (errors.BusyError("64", "accept"), 409),
    (errors.AlreadyHeldError("64"), 409),
    (errors.PeerStalledError("sendmsg", 5), 408),
    (errors.NotSavedError(OSError(errno.ENOSPC, "no"), "write", "/state/sockets/web"), 503),
    (errors.UnreadableSpecificationError("/state/sockets/web", "no"), 409),
    (body.MalformedBodyError("no"), 400),
    (body.MediaTypeError("text/plain", "application/json"), 415),
    (errors.UnknownForwardError("5f2e8a01c4d7"), 404),
    (errors.UploadOffsetError(9, 4), 409),
    (errors.UploadInterruptedError(), 503),
    (errors.TooManyForwardsError(128), 503),
    (browsers.MalformedHostError("no"), 400),
    (browsers.ForeignHostError("evil.example"), 421),
    (browsers.ForeignOriginError("Origin", "null"), 403),
    (answers.KeyReusedError(), 422),
    (answers.AnswerForgottenError(), 409),
    (body.CutBodyError(), 400),
    (upgrading.UpgradeRequiredError("tcp"), 426),
    (instance.OtherInstanceError(), 412),
]


def classes_below(base: type[errors.SocketdError]) -> Iterator[type[errors.SocketdError]]:
    for cls in base.__subclasses__():
        yield cls
        yield from classes_below(cls)


def answer_to(error: Exception) -> Any:
    """Give the answer of an application whose only view raises ``error``."""
    app = Flask("raises")
    web_errors.install(app)

    @app.before_request
    def _name() -> None:
        g.request_id = "a-request"

    @app.after_request
    def _tell(response: Any) -> Any:
        response.headers["X-Request-Id"] = g.request_id
        return response

    @app.get("/<ref>")
    def _view(ref: str) -> None:
        del ref
        raise error

    return app.test_client().get("/64")


def test_every_class_is_listed_here():
    ours = {cls for cls in classes_below(errors.SocketdError) if cls.__module__.startswith("socketd.")}
    assert {type(error) for error, _ in BY_CLASS} == ours


@pytest.mark.parametrize(("error", "status"), BY_CLASS, ids=lambda value: type(value).__name__)
def test_every_class_has_its_status_and_the_one_body(error, status):
    answer = answer_to(error)
    check_problem(answer)
    told = answer.json
    assert (answer.status_code, told["code"], told["errno"]) == (status, error.code, error.symbol)
    assert (told["detail"], told["hint"], told["number"]) == (str(error), error.hint, error.number)
    assert told["socket"] == (error.subject or "64")
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_errno_of_the_kernel_has_its_status(number):
    answer = answer_to(errors.KernelRefusedError(OSError(number, "no"), "ioctl"))
    check_problem(answer)
    told = answer.json
    assert (told["number"], told["title"]) == (number, os.strerror(number))
    assert getattr(errno, told["errno"]) == number
    assert answer.status_code == BY_SYMBOL.get(told["errno"], REST)


def test_errno_that_this_python_has_no_name_for_is_told_by_number():
    answer = answer_to(errors.KernelRefusedError(OSError(524, "ENOTSUPP"), "setsockopt"))
    check_problem(answer)
    assert (answer.status_code, answer.json["errno"], answer.json["number"]) == (409, "E524", 524)


def test_index_and_members_are_in_the_body():
    failed = errors.NameTakenError("web")
    failed.index = 3
    assert answer_to(failed).json["index"] == 3
    assert set(answer_to(errors.DiffersError("web", ("bind", "type"))).json["members"]) == {"bind", "type"}
    assert set(answer_to(errors.InvalidRequestError("no", member="bind")).json["members"]) == {"bind"}


def test_one_wrong_member_is_told_in_the_cores_own_words(web: Web):
    answer = web.ask("POST", "/v1/sockets", {"bind": f"/{'a' * 108}"})
    told = answer.json
    assert (answer.status_code, told["errno"], told["number"]) == (422, "ENAMETOOLONG", errno.ENAMETOOLONG)
    assert told["title"] == os.strerror(errno.ENAMETOOLONG)
    assert told["detail"] == f"bind: {told['members']['bind'][0]}"
    assert "sun_path" in told["hint"]


def test_several_wrong_members_are_einval_each_with_its_hint(web: Web):
    told = web.ask("POST", "/v1/sockets", {"bind": f"/{'a' * 108}", "connect": "127.0.0.1"}).json
    assert (told["errno"], told["code"], told["hint"]) == ("EINVAL", "invalid_request", None)
    assert "sun_path" in told["members"]["bind"][0]
    assert "[::1]:80" in told["members"]["connect"][0]


def test_fault_of_ours_is_logged_and_not_told(caplog):
    answer = answer_to(RuntimeError("a secret"))
    check_problem(answer)
    assert (answer.status_code, answer.json["errno"]) == (500, "EIO")
    assert "secret" not in answer.text
    assert "a secret" in caplog.text


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/v1/sockets/", "/v1//sockets", "/v2/sockets"])
def test_unknown_route_is_404(web: Web, path):
    assert web.refused("GET", path) == (404, "ENOENT")


def test_wrong_method_is_405_with_allow(web: Web):
    for rule in web.app.url_map.iter_rules():
        path = rule.rule.replace("<int:n>", "1").replace("<", "").replace(">", "")
        answer = web.ask("PATCH", path)
        assert (answer.status_code, answer.json["errno"]) == (405, "EOPNOTSUPP")
        assert set(answer.allow) >= rule.methods - {"HEAD", "OPTIONS"}


def test_options_request_tells_the_methods(web: Web):
    answer = web.ask("OPTIONS", "/v1/sockets")
    assert (answer.status_code, set(answer.allow)) == (200, {"GET", "HEAD", "OPTIONS", "POST"})
