# SPDX-License-Identifier: MIT
"""Texts that a worker sends to its host: no values of secrets, and bounded work on texts of any size."""
import time

import pytest

from slither import _errors, _native

SECRET = "hunter2"


def raised(function):
    with pytest.raises(BaseException) as caught:
        function()
    return caught.value


def login(settings):
    raise ValueError("no login with %r" % (settings,))


def test_exception_with_cause_group_and_note():
    def fail():
        try:
            login({"password": SECRET})
        except ValueError as reason:
            group = ExceptionGroup("token=" + SECRET, [reason, KeyError({"api_key": SECRET})])
            group.add_note("cookie: " + SECRET)
            raise group from reason

    code, details, line = _errors.describe(raised(fail), 3)
    assert code == "python_exception" and details["item"] == 3
    for text in (details["message"], details["traceback"], line):
        assert SECRET not in text
    assert "{'password': '***'}" in details["traceback"]
    assert "{'api_key': '***'}" in details["traceback"]
    assert "token=***" in details["message"]
    assert "raise ValueError(" in details["traceback"]


def test_source_lines_keep_their_code():
    settings = {"password": SECRET}
    _, details, _ = _errors.describe(raised(lambda: login(password=settings["password"])), None)
    assert 'login(password=settings["password"])' in details["traceback"]


def test_text_that_is_no_utf8():
    _, details, _ = _errors.describe(ValueError("pwd='\udc80' secret=\udcff x"), None)
    assert details["message"] == "ValueError: pwd='***' secret=*** x"


def test_gigantic_message_is_cut_first():
    begin = time.process_time()
    _, details, _ = _errors.describe(ValueError("password=[" * 10_000_000), None)
    assert len(details["message"]) <= _errors.MESSAGE_MAX
    assert time.process_time() - begin < 20


def test_marks_as_they_travel():
    import slither
    for mark in (slither.skip("token=" + SECRET), slither.error("token=" + SECRET)):
        assert slither.unpack(slither.pack(mark)).text == "token=***"
        assert mark.text == "token=" + SECRET  # it is what the function made
    route = slither.route("token=" + SECRET, {"password": SECRET})
    assert slither.unpack(slither.pack(route)) == route
    assert slither.unpack(slither.pack({"password": SECRET})) == {"password": SECRET}


def test_native_function():
    assert _native.redact("password = abcd") == "password = ***"
    assert _native.redact("password = abcd", True) == "password = abcd"
    assert _native.redact("") == ""
    with pytest.raises(TypeError):
        _native.redact(b"password=x")
    with pytest.raises(UnicodeEncodeError):
        _native.redact("\udc80")
