"""What the shell offers after Tab: the names of held sockets, and the ids of forwards."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from click.shell_completion import CompletionItem

from socketd_client.cli.session import Session

if TYPE_CHECKING:
    import click

_WAIT_S = 1.0  # somebody looks at a prompt that does not move


def complete_reference(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer names, and numbers of sockets without one; nothing where the daemon cannot be asked."""
    query = urlencode({"fields": "fd,name,state,local", "limit": 1000})
    return _offered(ctx, f"/v1/sockets?{query}", "sockets", incomplete)


def complete_name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer names, those too whose socket is not held."""
    return _offered(ctx, "/v1/names", "names", incomplete)


def complete_forward(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the ids of forwards, ended ones included."""
    return _offered(ctx, "/v1/forwards", "forwards", incomplete)


def _offered(ctx: click.Context, path: str, member: str, incomplete: str) -> list[CompletionItem]:
    root = ctx.find_root().params
    try:
        session = Session()
        session.choose(root.get("url"), root.get("token"))
        with session.direct(_WAIT_S) as direct:
            found = direct.ask("GET", path).json()[member]
        return [item for one in found if (item := _item(one)).value.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - whatever it is, a message would be written into the line being typed
        return []


def _item(one: dict[str, object]) -> CompletionItem:
    local = one.get("local")
    text = local.get("text", "") if isinstance(local, dict) else ""
    help_text = f"{one.get('state', '')} {text}".strip()
    return CompletionItem(str(one.get("name") or one.get("fd") or one["id"]), help=help_text)
