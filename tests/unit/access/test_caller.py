"""Who asks: what is its own, and who stands for those that are not there now."""

from __future__ import annotations

import os
import pwd

import pytest

from socketd.access.caller import Caller, Owner, absent
from tests.policies import ANN, certificate, token, user

NOBODY_AT_ALL = 4_000_000_000


def test_who_has_a_token_or_a_certificate_has_no_uid():
    assert [caller.uid for caller in (user(ANN), token("ci"), certificate("web1"))] == [ANN, None, None]


def test_an_absent_user_has_the_groups_that_it_has_now():
    me = pwd.getpwuid(os.geteuid())
    groups = frozenset(os.getgrouplist(me.pw_name, me.pw_gid))
    assert absent(Owner(me.pw_uid)) == Caller(Owner(me.pw_uid), me.pw_gid, groups, None, "boot")


@pytest.mark.parametrize(
    "owner", [Owner(NOBODY_AT_ALL), Owner(2**32 - 2), Owner(token="root"), Owner(certificate="root")]
)
def test_an_absent_one_who_is_no_user_has_no_group(owner):
    assert absent(owner) == Caller(owner, None, frozenset(), None, "boot")
