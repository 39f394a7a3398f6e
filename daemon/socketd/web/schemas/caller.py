"""Shapes of what a caller is told of itself."""

from __future__ import annotations

from marshmallow import fields, validate

from socketd.web.schemas.base import AnswerSchema


class GroupSchema(AnswerSchema):
    """A group of the caller's."""

    gid = fields.Integer(required=True)
    group = fields.String(
        required=True, allow_none=True, metadata={"description": "null: the host has no name for it."}
    )


class RuleSchema(AnswerSchema):
    """A rule of the policy that is for the caller."""

    name = fields.String(required=True, metadata={"example": "members"})
    grants = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={
            "description": "What it grants, as it stands in the policy.",
            "example": {"families": ["inet"], "bind": ["127.0.0.0/8:1024-65535"], "take": True},
        },
    )


class BoundSchema(AnswerSchema):
    """A bound, and how near the caller is to it."""

    most = fields.Float(
        required=True, allow_none=True, metadata={"description": "null: the policy does not bound it."}
    )
    used = fields.Integer(
        required=True, allow_none=True, metadata={"description": "null: of a rate, nothing is used up."}
    )


class StandingSchema(AnswerSchema):
    """Who the daemon takes you for, and what you may."""

    uid = fields.Integer(required=True, allow_none=True)
    user = fields.String(required=True, allow_none=True)
    token = fields.String(required=True, allow_none=True)
    certificate = fields.String(required=True, allow_none=True)
    gid = fields.Integer(required=True, allow_none=True)
    groups = fields.List(
        fields.Nested(GroupSchema()),
        required=True,
        metadata={"description": "Of the process that connected, as they were then."},
    )
    pid = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The process that connected."}
    )
    via = fields.String(required=True, validate=validate.OneOf(("unix", "tcp")))
    policy = fields.String(
        required=True, metadata={"description": "Where it is from.", "example": "/etc/socketd/policy.toml"}
    )
    rules = fields.List(
        fields.Nested(RuleSchema()),
        required=True,
        metadata={"description": "Those that are for you; what they grant adds up."},
    )
    quota = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(BoundSchema()),
        required=True,
        metadata={"description": "Your bounds: of the rules that are for you, the largest of each."},
    )
