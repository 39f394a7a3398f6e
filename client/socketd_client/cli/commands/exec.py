"""``socketctl exec``: become a program that has held sockets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from socketd_client.cli.commands import activating
from socketd_client.cli.shape import Command
from socketd_client.cli.starting import obtained

if TYPE_CHECKING:
    from socketd_client.cli.session import Session


@click.command("exec", cls=Command, context_settings=activating.CONTEXT)
@activating.sockets_and_program
@click.pass_obj
def exec_command(session: Session, /, **given: Any) -> int:
    """Become PROGRAM, with the named sockets at descriptors 3, 4 and so on.

    A socket that does not exist yet is made; one that does is used as it is, with the connections that wait
    in it. So a program that is killed and started again loses none. PROGRAM replaces socketctl in the same
    process, finds LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID, and {fd:NAME} in its arguments is the
    descriptor's number.

    Examples:
      socketctl exec --listen web=0.0.0.0:8080 -- gunicorn app:app
      socketctl exec -l web=:8080 -- uvicorn app:app --fd {fd:web}
      socketctl exec -l web=127.0.0.1:8080 -e 'NGINX={fd:web};' -- nginx -c /etc/nginx/web.conf
      socketctl exec -l web=:8080 -- haproxy -f web.cfg        (web.cfg: bind fd@3)
      socketctl exec -l web=:80 -l admin=@admin --udp dns=127.0.0.1:5353 -- program
      socketctl exec --take web --take 70 -- program

    Exit status: PROGRAM's own; 1 if a socket is refused, 126 or 127 if PROGRAM cannot be run or found. The
    sockets stay in the daemon in any case, until socketctl close.
    """
    program, sockets = activating.program_and_sockets(given)
    program.execute(obtained(session, given, sockets), os.environ)
