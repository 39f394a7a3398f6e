"""The figures as Prometheus reads them (text exposition format 0.0.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Response

from socketd.core import constants
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, house

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from socketd.service.figures import Figures
    from socketd.web.caller import House

    Samples = Iterable[tuple[Mapping[str, str], float]]

blueprint = ApiBlueprint("metrics", __name__, url_prefix="/metrics", description="Figures")
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_DOCUMENTED: Final = "text/plain"
_SCHEMA: Final = {"type": "string", "description": "Prometheus' text format, 0.0.4."}
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_COUNTER: Final = "counter"
_GAUGE: Final = "gauge"
_OK: Final = "ok"


@blueprint.get("")
@blueprint.response(200, _SCHEMA, content_type=_DOCUMENTED, description="The figures")
def show_metrics() -> Response:
    """Tell the figures in Prometheus' text format; for root, since they tell of everybody's sockets."""
    asked, known = call(), house()
    figures = known.service.counting.read(asked)
    text = "".join(_lines(known, figures))
    return Response(text, content_type=PROMETHEUS)


def _lines(known: House, figures: Figures) -> Iterator[str]:
    yield from _family("socketd_info", _GAUGE, "The daemon.", [({"version": known.settings.version}, 1)])
    yield from _family("socketd_sockets", _GAUGE, "Held sockets.", _sockets(figures))
    yield from _family("socketd_changes_total", _COUNTER, "Changes, and refused ones.", _changes(figures))
    yield from _family(
        "socketd_requests_total",
        _COUNTER,
        "Requests that were answered.",
        [({"status": str(status)}, count) for status, count in sorted(known.answered.items())],
    )
    yield from _one("socketd_waits", _GAUGE, "Requests that wait.", known.gauges.waits())
    yield from _one("socketd_followers", _GAUGE, "Readers of the events.", figures.followers)
    yield from _one("socketd_forwards", _GAUGE, "Forwards that run.", figures.forwards)
    yield from _one(
        "socketd_forwarded_bytes_total",
        _COUNTER,
        "Bytes that forwards have delivered, both ways.",
        figures.forwarded_bytes,
    )
    lost = known.gauges.audit_lost()
    if lost is not None:
        yield from _one("socketd_audit_lost_lines_total", _COUNTER, "Lines that the audit has lost.", lost)
    process = figures.process
    yield from _one("process_resident_memory_bytes", _GAUGE, "Resident memory.", process.rss_bytes)
    yield from _one("process_open_fds", _GAUGE, "Open descriptors.", process.descriptors_open)
    yield from _one("process_max_fds", _GAUGE, "RLIMIT_NOFILE.", process.descriptor_limit_soft)
    yield from _one("process_threads", _GAUGE, "Threads.", process.threads)
    yield from _one("process_start_time_seconds", _GAUGE, "Start, in Unix seconds.", process.started_at)


def _sockets(figures: Figures) -> Samples:
    return [
        ({"family": constants.family_name(family), "type": constants.type_name(kind)}, count)
        for (family, kind), count in sorted(figures.sockets.items())
    ]


def _changes(figures: Figures) -> Samples:
    done = [({"change": kind, "result": _OK}, count) for kind, count in figures.done.items()]
    refused = [
        ({"change": kind, "result": result}, count)
        for (kind, result), count in sorted(figures.refused.items())
    ]
    return [*done, *refused]


def _one(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    return _family(name, kind, text, [({}, value)])


def _family(name: str, kind: str, text: str, samples: Samples) -> Iterator[str]:
    """Write one metric with its samples; no metric without one."""
    found = list(samples)
    if not found:
        return
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for labels, value in found:
        inside = ",".join(f'{label}="{said.translate(_ESCAPED)}"' for label, said in labels.items())
        yield f"{name}{{{inside}}} {value}\n" if inside else f"{name} {value}\n"
