"""Tests that look at what is logged hear it, whatever ran before them in their process."""

import io

import structlog
from structlog.testing import capture_logs

from gateway import logs

log = structlog.get_logger("tests.heard")


def test_a_gateway_s_logging_is_heard_too() -> None:
    logs.configure("error", stream=io.StringIO())
    log.error("first")
    with capture_logs() as heard:
        log.error("second")
    assert [entry["event"] for entry in heard] == ["second"]


def test_what_is_quieter_is_heard_after_a_test_that_wanted_errors_only() -> None:
    with capture_logs() as heard:
        log.info("third")
    assert [entry["event"] for entry in heard] == ["third"]
