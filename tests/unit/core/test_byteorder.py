"""Byte order functions agree with the C library's, and say no to what does not fit."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core.byteorder import convert
from socketd.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("htons", -1),
        ("htons", 65536),
        ("ntohs", 65536),
        ("htonl", 2**32),
        ("ntohl", 2**32),
        pytest.param("htonl", 10**5000, id="huge"),
    ],
)
def test_value_that_does_not_fit_is_refused(function, value):
    with pytest.raises(InvalidRequestError) as caught:
        convert(function, value)
    assert caught.value.member == "value"


def test_bool_is_not_a_value():
    with pytest.raises(InvalidRequestError):
        convert("htons", True)  # noqa: FBT003 (that is the point)


def test_unknown_function_is_refused_with_the_close_ones():
    with pytest.raises(InvalidRequestError) as caught:
        convert("htonz", 1)
    assert caught.value.member == "function"
    assert "htons" in caught.value.hint


@pytest.mark.parametrize("function", ["htons", "ntohs"])
@given(value=st.integers(0, 0xFFFF))
def test_short_agrees_with_the_c_library(function, value):
    assert convert(function, value).value_out == getattr(socket, function)(value)


@pytest.mark.parametrize("function", ["htonl", "ntohl"])
@given(value=st.integers(0, 2**32 - 1))
def test_long_agrees_with_the_c_library(function, value):
    assert convert(function, value).value_out == getattr(socket, function)(value)


@given(value=st.integers(0, 0xFFFF))
def test_bytes_are_those_of_the_number_meant(value):
    there = convert("htons", value)
    assert bytes(there.host_bytes) == struct.pack("=H", value)
    assert bytes(there.network_bytes) == struct.pack("!H", value) == struct.pack("=H", there.value_out)
    back = convert("ntohs", there.value_out)
    assert back.value_out == value
    assert (back.host_bytes, back.network_bytes) == (there.host_bytes, there.network_bytes)


def test_hexadecimal_is_padded_to_the_width():
    record = convert("htonl", 0x50)
    assert record.hex_in == "0x00000050"
    assert record.hex_out == f"0x{socket.htonl(0x50):08x}"
    assert convert("htons", 3490).hex_in == "0x0da2"
