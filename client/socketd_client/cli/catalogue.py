"""Every command: where it is, and the line about it in ``socketctl --help``."""

from __future__ import annotations

from typing import Final

# Section, then command: (module, help). The help stands here so that listing it imports no command.
SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "See": {
        "ls": ("listing", "List held sockets."),
        "show": ("listing", "Show one socket and what the kernel knows about it."),
        "fds": ("listing", "Draw the daemon's descriptor table."),
        "events": ("events", "Follow what happens to sockets."),
        "whoami": ("whoami", "Show who the daemon takes you for, and what you may."),
        "names": ("names", "List names, what is made again at boot, and why it was not; delete them."),
        "options": ("options", "List, get and set socket options."),
    },
    "Make and end": {
        "create": ("making", "Create a socket; bind, listen or connect it too."),
        "ensure": ("making", "Make sure that a named socket exists."),
        "close": ("making", "Close sockets."),
    },
    "Use": {
        "accept": ("talking", "Wait for a connection."),
        "connect": ("talking", "Connect a held socket."),
        "send": ("talking", "Send standard input, or a text."),
        "recv": ("talking", "Receive to standard output."),
        "forward": ("forward", "Join two sockets inside the daemon."),
        "forwards": ("forward", "List, show and stop forwards."),
        "nc": ("netcat", "Talk through a socket, both ways."),
    },
    "Hand over": {
        "exec": ("exec", "Become a program that has the sockets."),
        "run": ("run", "Run a program, and replace it without dropping a connection."),
        "take": ("passing", "Become a program that has a socket as its standard input."),
        "give": ("passing", "Give sockets to the daemon."),
    },
    "Learn": {
        "addrinfo": ("learning", "Resolve a name with getaddrinfo."),
        "byteorder": ("learning", "Turn a number between host and network order."),
        "net": ("learning", "Explain an address and its prefix length."),
        "completion": ("completing", "Print the completion script of a shell."),
    },
}

COMMANDS: Final = {name: found for section in SECTIONS.values() for name, found in section.items()}
