"""Listing sockets: filters, fields, pages that lose and repeat nothing, and one socket a line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web

ANY_PORT = "127.0.0.1:0"


def numbers(web: Web, query: str) -> list[int]:
    return [one["fd"] for one in web.done("GET", f"/v1/sockets?{query}")["sockets"]]


@pytest.mark.parametrize(
    ("query", "member"),
    [
        ("colour=red", "colour"),
        ("state=bored", "state"),
        ("family=nonsense", "family"),
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("cursor=-1", "cursor"),
        ("cursor=x", "cursor"),
        ("port=4294967296", "port"),
        ("owner=-1", "owner"),
        ("fields=colour", "fields"),
    ],
)
def test_wrong_query_is_named(web: Web, query, member):
    assert web.wrong_members("GET", f"/v1/sockets?{query}") == {member}


def test_each_filter_shows_what_it_says(web: Web):
    tcp = web.create(name="tcp", bind=ANY_PORT, listen=True)
    udp = web.create(name="udp", bind=ANY_PORT, type="dgram")
    unix = web.create(family="unix")
    assert numbers(web, "family=unix") == [unix["fd"]]
    assert numbers(web, "type=dgram") == [udp["fd"]]
    assert numbers(web, "state=created") == [unix["fd"]]
    assert numbers(web, "name=tcp") == [tcp["fd"]]
    assert numbers(web, f"port={udp['local']['port']}&type=dgram") == [udp["fd"]]
    assert numbers(web, "owner=0&family=inet") == [tcp["fd"], udp["fd"]]
    assert numbers(web, "owner=12345") == []
    assert numbers(web, "family=inet&state=listening&name=udp") == []


def test_fields_are_given_in_the_listing_too(web: Web):
    web.create(name="a")
    page = web.done("GET", "/v1/sockets?fields=name,state")
    assert page == {"sockets": [{"name": "a", "state": "created"}], "next_cursor": None}


def test_pages_see_every_socket_that_stays_exactly_once(web: Web):
    staying = [web.create()["fd"] for _ in range(30)]
    going = [web.create()["fd"] for _ in range(10)]
    seen: list[int] = []
    path = "/v1/sockets?limit=4&fields=fd"
    for turn in range(40):
        answer = web.ask("GET", path)
        seen += [one["fd"] for one in answer.json["sockets"]]
        if answer.json["next_cursor"] is None:
            assert "Link" not in answer.headers
            break
        path = re.fullmatch(r'<(.+)>; rel="next"', answer.headers["Link"])[1]
        assert f"cursor={answer.json['next_cursor']}" in path
        web.create()
        if turn < len(going):
            web.ask("DELETE", f"/v1/sockets/{going[turn]}")
    else:
        pytest.fail("the pages never end")
    assert len(seen) == len(set(seen))
    assert set(staying) <= set(seen)


def test_page_that_just_fits_is_the_last(web: Web):
    for _ in range(4):
        web.create()
    assert web.done("GET", "/v1/sockets?limit=4")["next_cursor"] is None


def test_ndjson_is_one_socket_a_line(web: Web):
    made = [web.create(), web.create()]
    answer = web.ask("GET", "/v1/sockets", headers={"Accept": "application/x-ndjson"})
    assert answer.mimetype == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == made


def test_ndjson_of_nothing_is_empty(web: Web):
    assert web.ask("GET", "/v1/sockets", headers={"Accept": "application/x-ndjson"}).text == ""
