"""A service where Ann may little, Bob nothing and root everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd.service.guard import Fixed
from tests.held import ANN, FixedResolver, Held
from tests.policies import policy

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = (
    'see = "all"\n'
    + "".join(
        f'{grant} = "*"\n'
        for grant in ("families", "types", "protocols", "bind", "connect", "options", "names")
    )
    + "".join(f"{grant} = true\n" for grant in ("take", "give", "adopt_pid", "persist", "api"))
)
NARROW = f"""
[[rule]]
name = "ann"
uid = {ANN}
families = ["inet", "inet6", "unix"]
types = ["stream", "dgram"]
bind = ["127.0.0.1:1024-65535"]
connect = ["127.0.0.1:1024-65535", "unix:@ann.*"]
options = ["SO_KEEPALIVE", "SO_REUSEADDR"]
names = "ann.*"
quota = {{ sockets = 3, waits = 1, requests_per_s = 2, burst = 2 }}
[[rule]]
name = "root"
uid = [0]
{ALL}
"""
NAMES = FixedResolver(
    {
        "here": ["127.0.0.1"],
        "both": ["127.0.0.2", "127.0.0.1"],
        "there": ["192.0.2.1"],
        "inner": ["127.0.0.9"],
    }
)


@pytest.fixture
def held() -> Iterator[Held]:
    """A service where Ann may little, Bob nothing, and root everything."""
    made = Held(policies=Fixed(policy(NARROW)), resolver=NAMES)
    yield made
    made.service.close()
