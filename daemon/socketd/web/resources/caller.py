"""Who the daemon takes a caller for, and what that one may."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from socketd.access.caller import group_name
from socketd.access.rules import Quota
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import json, owner
from socketd.web.schemas.caller import StandingSchema

if TYPE_CHECKING:
    from flask import Response

    from socketd.access.caller import Caller
    from socketd.service.standing import Standing

blueprint = ApiBlueprint("caller", __name__, url_prefix="/v1/caller", description="Who you are")
_BOUNDS: Final = tuple(bound.name for bound in fields(Quota))


@blueprint.get("")
@blueprint.response(200, StandingSchema())
def show_caller() -> Response:
    """Show who the daemon takes you for, and what you may: the rules that are for you, and your bounds."""
    asked = call()
    return json({**_identity(asked.caller), **_standing(service().standings.of(asked.caller))})


def _identity(of: Caller) -> dict[str, Any]:
    groups = [{"gid": gid, "group": group_name(gid)} for gid in sorted(of.groups)]
    return {**owner(of.owner), "gid": of.gid, "groups": groups, "pid": of.pid, "via": of.via}


def _standing(of: Standing) -> dict[str, Any]:
    quota = of.grants.quota
    return {
        "policy": of.source,
        "rules": [{"name": rule.name, "grants": rule.words} for rule in of.grants.rules],
        "quota": {name: {"most": getattr(quota, name), "used": of.used.get(name)} for name in _BOUNDS},
    }
