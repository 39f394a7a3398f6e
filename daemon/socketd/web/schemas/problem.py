"""The one error body (RFC 9457)."""

from __future__ import annotations

from marshmallow import fields

from socketd.web.schemas.base import AnswerSchema


class ProblemSchema(AnswerSchema):
    """What went wrong: the errno, the system call, and what to do."""

    type = fields.String(
        required=True,
        metadata={"description": "A page about the cause.", "example": "/docs/errors#EADDRINUSE"},
    )
    title = fields.String(
        required=True, metadata={"description": "strerror(3).", "example": "Address already in use"}
    )
    status = fields.Integer(required=True, metadata={"example": 409})
    detail = fields.String(required=True)
    instance = fields.String(required=True, metadata={"description": "The request's id, as in X-Request-Id."})
    code = fields.String(
        required=True, metadata={"description": "The meaning; stable.", "example": "kernel_refused"}
    )
    errno = fields.String(required=True, metadata={"example": "EADDRINUSE"})
    number = fields.Integer(required=True, allow_none=True, metadata={"example": 98})
    syscall = fields.String(required=True, allow_none=True, metadata={"example": "bind"})
    socket = fields.String(required=True, allow_none=True)
    hint = fields.String(required=True, allow_none=True)
    members = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "Which members of the request are wrong, and how."},
    )
    index = fields.Integer(metadata={"description": "Which one of several failed, from 0."})
    sent = fields.Integer(
        metadata={"description": "Of a stream: how many bytes of the request were sent before it failed."}
    )
