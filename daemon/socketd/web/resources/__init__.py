"""One blueprint a resource; a view asks the service and represents what it gets."""

from __future__ import annotations

from socketd.web.resources import (
    arithmetic,
    caller,
    events,
    forwards,
    metrics,
    names,
    operations,
    options,
    passing,
    polling,
    process,
    receiving,
    resolver,
    root,
    sending,
    sockets,
    streams,
    tunnel,
)

BLUEPRINTS = (
    root.blueprint,
    caller.blueprint,
    sockets.blueprint,
    names.blueprint,
    operations.blueprint,
    sending.blueprint,
    receiving.blueprint,
    streams.blueprint,
    tunnel.blueprint,
    options.blueprint,
    polling.blueprint,
    passing.blueprint,
    forwards.blueprint,
    process.blueprint,
    resolver.blueprint,
    arithmetic.blueprint,
    events.blueprint,
    metrics.blueprint,
)
