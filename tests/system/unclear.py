"""Requests that are unclear about where they end, each as bytes, and one that may hide behind them."""

from __future__ import annotations

LONG = b"a" * 9_000
HOST = b"Host: localhost"
JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked"
TOKEN = b"Authorization: Bearer sesame"


def request(*fields: bytes, line: bytes = b"POST /v1/sockets HTTP/1.1", body: bytes = b"") -> bytes:
    """Write a request; a field that names no ``Host`` of its own gets ours."""
    return b"\r\n".join([line, HOST, TOKEN, JSON, *fields, b"", body])


def bare(*fields: bytes, line: bytes = b"POST /v1/sockets HTTP/1.1", body: bytes = b"") -> bytes:
    """Write a request without a ``Host``."""
    return b"\r\n".join([line, TOKEN, JSON, *fields, b"", body])


def chunked(body: bytes, *fields: bytes) -> bytes:
    return request(*fields, CHUNKED, body=body)


HIDDEN_BODY = b'{"name": "hidden"}'
HIDDEN = request(b"Content-Length: %d" % len(HIDDEN_BODY), body=HIDDEN_BODY)

# What ends where is unclear: the connection ends with the refusal, and what follows is not looked at.
FRAMING = {
    "length and chunks": request(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "chunks and length": request(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
    "two lengths": request(b"Content-Length: 0", b"Content-Length: 200"),
    "the same length twice": request(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "lengths in a list": request(b"Content-Length: 2, 2", body=b"{}"),
    "length with a sign": request(b"Content-Length: +2", body=b"{}"),
    "length below zero": request(b"Content-Length: -1"),
    "length in hexadecimal": request(b"Content-Length: 0x2", body=b"{}"),
    "length with an underscore": request(b"Content-Length: 0_2", body=b"{}"),
    "length as a fraction": request(b"Content-Length: 2.0", body=b"{}"),
    "length with a space inside": request(b"Content-Length: 2 2", body=b"{}"),
    "length that is empty": request(b"Content-Length:"),
    "length in another script": request(b"Content-Length: \xb2", body=b"{}"),
    "length beyond all numbers": request(b"Content-Length: " + b"9" * 5_000),
    "chunked twice": request(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "chunked in two fields": request(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunked before another": request(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "identity alone": request(b"Transfer-Encoding: identity"),
    "gzip alone": request(b"Transfer-Encoding: gzip"),
    "nearly chunked": request(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked with a parameter": request(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"),
    "chunked in quotes": request(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "chunked after a tabulator": request(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "no coding": request(b"Transfer-Encoding:", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": request(CHUNKED, line=b"POST /v1/sockets HTTP/1.0", body=b"0\r\n\r\n"),
    "folded coding": request(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
    "folded length": request(b"Content-Length: 2\r\n\t2", body=b"{}"),
    "folded first field": b"POST /v1/sockets HTTP/1.1\r\n " + request()[27:],
    "space before the colon": request(b"Content-Length : 2", body=b"{}"),
    "tabulator before the colon": request(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"),
    "no name": request(b": 2"),
    "no colon": request(b"Content-Length 2"),
    "name with a control character": request(b"Content-\x00Length: 2"),
    "name beyond ASCII": request(b"Content-L\xe9ngth: 2"),
    "value with a zero": request(b"X: a\x00b"),
    "value with an escape": request(b"X: \x1b[2J"),
    "value with a delete": request(b"X: a\x7f"),
    "carriage return in a value": request(b"X: y\rTransfer-Encoding: chunked"),
    "line feed in a value": request(b"X: y\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "line feed after the first line": request().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
    "line feeds alone": request().replace(b"\r\n", b"\n"),
    "line feed at the end": request()[:-2] + b"\n",
    "carriage returns alone": request().replace(b"\r\n", b"\r") + b"\r\n\r\n",
    "two spaces": request(line=b"POST  /v1/sockets HTTP/1.1"),
    "space in the target": request(line=b"POST /v1/sockets HTTP/1.1 HTTP/1.1"),
    "zero in the target": request(line=b"POST /v1/sockets\x00 HTTP/1.1"),
    "target beyond ASCII": request(line=b"POST /v1/sockets/\xff HTTP/1.1"),
    "tabulators in the first line": request(line=b"POST\t/v1/sockets\tHTTP/1.1"),
    "method in small letters": request(line=b"post /v1/sockets HTTP/1.1"),
    "target without a slash": request(line=b"POST v1/sockets HTTP/1.1"),
    "scheme without a host": request(line=b"POST http:/v1/sockets HTTP/1.1"),
    "no version": request(line=b"POST /v1/sockets"),
    "HTTP/2 without a negotiation": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /v1/\r\n",
    "two Hosts": request(b"Host: evil.example"),
    "the same Host twice": request(HOST),
    "two content types": request(JSON),
    "line of a proxy": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + request(),
    "long target": request(line=b"POST /" + LONG + b" HTTP/1.1"),
    "long field": request(b"X: " + LONG),
    "many fields": request(*[b"X: y"] * 101),
}
# The head is sound; the body, which the operation reads, is not.
CHUNKS = {
    "no number": chunked(b"zz\r\n{}\r\n0\r\n\r\n"),
    "a sign": chunked(b"+2\r\n{}\r\n0\r\n\r\n"),
    "below zero": chunked(b"-2\r\n{}\r\n0\r\n\r\n"),
    "a prefix": chunked(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "an underscore": chunked(b"0_2\r\n{}\r\n0\r\n\r\n"),
    "space before": chunked(b" 2\r\n{}\r\n0\r\n\r\n"),
    "space after": chunked(b"2 \r\n{}\r\n0\r\n\r\n"),
    "nothing": chunked(b"\r\n{}\r\n0\r\n\r\n"),
    "only an extension": chunked(b";x=y\r\n{}\r\n0\r\n\r\n"),
    "line feed after the size": chunked(b"2\n{}\r\n0\r\n\r\n"),
    "line feed after the bytes": chunked(b"2\r\n{}\n0\r\n\r\n"),
    "carriage return in an extension": chunked(b"2;x\ry\r\n{}\r\n0\r\n\r\n"),
    "line feed in an extension": chunked(b"2;x\ny\r\n{}\r\n0\r\n\r\n"),
    "zero in an extension": chunked(b"2;x=\x00\r\n{}\r\n0\r\n\r\n"),
    "more bytes than the size": chunked(b"2\r\n{} \r\n0\r\n\r\n"),
    "fewer bytes than the size": chunked(b"3\r\n{}\r\n0\r\n\r\n"),
    "length in the trailer": chunked(b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n"),
    "coding in the trailer": chunked(b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "Host in the trailer": chunked(b"2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n"),
    "token in the trailer": chunked(b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n"),
    "folded trailer": chunked(b"2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n"),
    "line feed in the trailer": chunked(b"2\r\n{}\r\n0\r\nX: y\nZ: z\r\n\r\n"),
    "endless size line": chunked(b"0" * 10_000),
    "endless extension": chunked(b"2;x=" + LONG),
}
