"""A real browser is made to attack the daemon by pages of other sites; it tries, and nothing is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.browsing import PAGE, browser, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess
    from tests.system.browsing import Site

pytestmark = pytest.mark.needs("chromium")
EVIL = "evil.example"
REFUSED, MISDIRECTED = 403, 421
SIMPLE_POSTS = 6  # plain, empty, vouched, beacon, form, upload
# Everything that a page can send without being asked, and two requests that the browser asks about before.
ATTACK = """
<!doctype html><title>attack</title><body><script>
const target = new URLSearchParams(location.search).get('target') || location.origin;
const sockets = target + '/v1/sockets', made = '{"name": "made"}';
const json = {'Content-Type': 'application/json'};
const loaded = (tag, fill) => new Promise(done => {
  const element = document.createElement(tag);
  element.onload = element.onerror = () => done('loaded');
  fill(element);
  document.body.append(element);
});
const form = enctype => loaded('iframe', frame => {
  frame.name = enctype;
  const sent = document.createElement('form');
  Object.assign(sent, {action: sockets, method: 'POST', enctype, target: enctype});
  sent.innerHTML = '<input name=\\'{"name": "made", "x": "\\' value=\\'"}\\'>';
  document.body.append(sent);
  setTimeout(() => sent.submit());
});
const shots = {
  plain: () => fetch(sockets, {method: 'POST', mode: 'no-cors', body: made}),
  empty: () => fetch(sockets, {method: 'POST', mode: 'no-cors'}),
  vouched: () => fetch(sockets, {method: 'POST', mode: 'no-cors', credentials: 'include', body: made}),
  asked: () => fetch(sockets, {method: 'POST', headers: json, body: made}),
  put: () => fetch(target + '/v1/names/made', {method: 'PUT', headers: json, body: '{}'}),
  read: () => fetch(target + '/v1/process/fds'),
  beacon: async () => navigator.sendBeacon(sockets, made),
  image: () => loaded('img', image => { image.src = sockets; }),
  script: () => loaded('script', script => { script.src = target + '/openapi.yaml'; }),
  frame: () => loaded('iframe', frame => { frame.src = target + '/docs'; }),
  form: () => form('text/plain'),
  upload: () => form('multipart/form-data'),
  socket: () => new Promise(done => {
    new WebSocket(sockets.replace('http', 'ws')).onclose = () => done('closed');
  }),
};
(async () => {
  const found = {};
  for (const [name, shoot] of Object.entries(shots)) {
    try {
      const answer = await shoot();
      found[name] = answer.status ?? 'sent';
    } catch (error) {
      found[name] = error.name;
    }
  }
  await fetch('/report', {method: 'POST', body: JSON.stringify(found)});
})();
</script>
"""
LINK = """
<!doctype html><title>link</title>
<script>location.href = new URLSearchParams(location.search).get('to')</script>
"""


@pytest.fixture
def way(daemon: DaemonProcess) -> Iterator[Site]:
    """The user's own way to the daemon, over HTTP; nothing is held after the test."""
    with serving(daemon.socket_path, ATTACK) as site:
        yield site
    for held in names(daemon):
        assert daemon.request("DELETE", f"/v1/sockets/{held}").status == 204


def names(daemon: DaemonProcess) -> list[int]:
    return [each["fd"] for each in daemon.request("GET", "/v1/sockets").json()["sockets"]]


def attacked(folder: Path, page: str, site: Site, way: Site) -> dict[str, object]:
    """Open the page; return what it saw of each of its attempts, when all of them have come."""
    with browser(folder, page, EVIL):
        while True:
            report = site.await_report()
            if report is not None:
                break
        # The beacon and the forms go out when they like.
        way.await_passed("POST", "/v1/sockets", SIMPLE_POSTS)
    found: dict[str, object] = report
    return found


@pytest.mark.parametrize("host", [EVIL, "localhost", "127.0.0.1"])
def test_page_of_another_origin_makes_nothing_and_reads_nothing(tmp_path, daemon, way, host):
    with serving(daemon.socket_path, ATTACK) as site:
        url = f"{site.origin(host)}{PAGE}?target={way.origin('localhost')}"
        seen = attacked(tmp_path, url, site, way)
    assert (seen["plain"], seen["asked"], seen["put"], seen["read"]) == (
        0,
        "TypeError",
        "TypeError",
        "TypeError",
    )
    came = [(each.method, each.path) for each in way.passed]
    # They were sent: it is the daemon that refused them.
    assert came.count(("POST", "/v1/sockets")) == SIMPLE_POSTS
    assert ("OPTIONS", "/v1/sockets") in came
    assert ("GET", "/docs") in came
    assert {each.status for each in way.passed} == {REFUSED}
    assert not [name for each in way.passed for name in each.headers if name.lower().startswith("access-")]
    assert names(daemon) == []


def test_page_whose_name_was_rebound_to_the_daemon_is_told_that_it_is_wrong_here(tmp_path, daemon, way):
    """The browser finds page and API of one origin: only the name says that it is not ours."""
    seen = attacked(tmp_path, way.origin(EVIL) + PAGE, way, way)
    assert (seen["plain"], seen["asked"], seen["put"], seen["read"]) == (MISDIRECTED,) * 4
    assert {each.status for each in way.passed} == {MISDIRECTED}
    assert names(daemon) == []


def test_the_attacks_work_where_the_origin_is_the_daemons_own(tmp_path, daemon, way):
    """Without this the others would prove nothing."""
    seen = attacked(tmp_path, way.origin("localhost") + PAGE, way, way)
    assert (seen["empty"], seen["asked"], seen["put"], seen["read"]) == (201, 201, 200, 200)
    assert names(daemon) != []


@pytest.mark.parametrize(
    ("path", "status"), [("/docs", 200), ("/docs/errors", 200), ("/v1/sockets", REFUSED)]
)
def test_link_of_another_site_opens_the_pages_and_not_the_api(tmp_path, daemon, way, path, status):
    with serving(daemon.socket_path, LINK) as site:
        url = f"{site.origin(EVIL)}{PAGE}?to={way.origin('localhost')}{path}"
        with browser(tmp_path, url, EVIL):
            assert way.await_passed("GET", path).status == status


def test_docs_are_shown_when_they_are_asked_for(tmp_path, way):
    with browser(tmp_path, way.origin("localhost") + "/docs"):
        found = way.await_passed("GET", "/docs")
    assert (found.status, found.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
