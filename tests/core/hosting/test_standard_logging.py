"""Records in the `logging` module: who hears what, in which form, and what an operator is told (RT-23)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.core.contract.errors import ConfigurationError, ProviderError
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.core.hosting import standard_logging
from holdfast.core.hosting.idle_options import without_effect
from holdfast.core.hosting.log import Log, StructuredLog, tee
from holdfast.core.hosting.options import ObservabilityOptions, RuntimeOptions, UnregisteredBackoff
from holdfast.core.hosting.standard_logging import OwnHandler, TextLines, logger_of, set_up
from holdfast.core.program.registry import Registry

MINUTE = timedelta(minutes=1)


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def named(self, event: str) -> list[logging.LogRecord]:
        return [record for record in self.records if getattr(record, "event", None) == event]


class WithoutPytest(list[logging.Handler]):
    """The handlers of the root logger, but for those that pytest adds for each phase of a test."""

    def append(self, handler: logging.Handler) -> None:
        if not type(handler).__module__.startswith("_pytest"):
            super().append(handler)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A program that has not configured logging; what the test does to our loggers is undone."""
    names = ["holdfast", "holdfast.orchestration", "holdfast.activity", "holdfast.runtime.worker"]
    before = [(each, each.level, each.handlers[:]) for each in map(logging.getLogger, names)]
    for logger, _, _ in before:
        logger.setLevel(logging.NOTSET)
        logger.handlers[:] = []
    monkeypatch.setattr(logging.getLogger(), "handlers", WithoutPytest())
    monkeypatch.delenv(standard_logging.ENVIRONMENT, raising=False)
    monkeypatch.setattr(standard_logging, "_levels_set", {})
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def heard(bare: None) -> Heard:
    """A program that listens on the root logger, from whatever level its loggers let through."""
    handler = Heard()
    logging.getLogger().addHandler(handler)
    return handler


def item(name: str, **more: Any) -> ActivityExecute:
    return ActivityExecute(instance="i", execution_id=1, id=1, name=name, input="", **more)


def registry() -> Registry:
    registry = Registry()

    @registry.orchestration()
    async def talks(ctx: Any, input: str) -> None:
        for level in ("debug", "info", "warn", "error"):
            ctx.trace(level, f"orchestration says {level}")
        await ctx.schedule_activity("talks", "")

    @registry.activity(name="talks")
    async def activity(ctx: Any, input: str) -> None:
        ctx.trace_debug("activity says debug")
        ctx.trace_info("activity says info")
        ctx.trace_warn("activity says warn")
        ctx.trace_error("activity says error")

    @registry.activity()
    async def fails(ctx: Any, input: str) -> None:
        raise LookupError("no such word")

    return registry


# --- what an operator must hear ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "options", "logger"),
    [
        ("fetch_orchestration_item", {"worker_concurrency": 0}, "holdfast.runtime.dispatchers.orchestration"),
        ("fetch_session_work_item", {"orchestration_concurrency": 0}, "holdfast.runtime.worker"),
        (
            "fetch_work_item",
            {"orchestration_concurrency": 0, "max_sessions_per_worker": 0},
            "holdfast.runtime.worker",
        ),
    ],
)
@pytest.mark.parametrize("retryable", [True, False])
def test_rt_23_4_a_streak_of_failed_fetches_is_told_at_its_beginning_and_at_its_end(
    world: Any, heard: Heard, operation: str, options: dict[str, Any], logger: str, retryable: bool
) -> None:
    """RT-23.4: once however many slots ask, not once a fetch; the count when the store works again."""
    logging.getLogger("holdfast").setLevel(logging.INFO)
    made = ProviderError.transient if retryable else ProviderError.permanent

    async def scenario() -> None:
        for streak in (1, 2):
            host = await world.start(registry(), **options)
            host.probe.failures[operation] = [made(operation, "disk full") for _ in range(5 * streak)]
            await world.sleep(60)
            await host.runtime.shutdown(timedelta(0))
            assert [record.levelname for record in heard.named("Fetch failed")] == ["WARNING"] * streak
            (again,) = heard.named(f"Fetch works again after {5 * streak} failures")
            assert again.levelname == "INFO"
            told = heard.named("Fetch failed")[-1]
            assert told.name == again.name == logger
            assert "disk full" in told.getMessage()

    world.run(scenario())


def test_a_renewal_that_fails_is_told_once_a_streak(world: Any, heard: Heard) -> None:
    """RT-6.3: it is tried again in silence, and the item may be lost in the end."""

    async def scenario() -> None:
        waits = Registry()

        @waits.activity()
        async def long(ctx: Any, input: str) -> None:
            await world.sleep(100)

        host = await world.start(waits, orchestration_concurrency=0)
        host.probe.failures["renew_work_item_lock"] = [ProviderError.transient("renew", "busy")] * 2
        await world.provider.enqueue_for_worker(item("long"))
        await world.sleep(90)
        (told,) = heard.named("Lock renewal failed, trying again")
        assert told.levelname == "WARNING" and "activity_name=long" in told.getMessage()

    world.run(scenario())


def test_rt_23_4_the_record_of_a_failed_activity_has_its_traceback(world: Any, heard: Heard) -> None:
    """RT-23.4, RT-23.5: whose it is, and where it was raised."""

    async def scenario() -> None:
        await world.start(registry(), orchestration_concurrency=0)
        await world.provider.enqueue_for_worker(item("fails", tag=None))
        await world.until(lambda: heard.named("Activity failed (application error)"))
        (told,) = heard.named("Activity failed (application error)")
        assert told.levelname == "WARNING" and told.name == "holdfast.runtime.worker"
        text = logging.Formatter().format(told)
        assert told.exc_info is not None and told.exc_info[0] is LookupError
        assert "LookupError: no such word" in text and 'raise LookupError("no such word")' in text
        fields: dict[str, object] = vars(told)["fields"]
        assert fields.keys() >= {"instance_id", "execution_id", "activity_name", "activity_id", "worker_id"}
        assert fields["outcome"] == "app_error" and "duration_ms" in fields

    world.run(scenario())


def test_rt_23_4_the_record_of_a_failed_orchestration_has_its_traceback(world: Any, heard: Heard) -> None:
    """RT-23.4: below the line of the record, not in it."""
    fails = Registry()

    @fails.orchestration(name="fails")
    async def orchestration(ctx: Any, input: str) -> None:
        raise LookupError("no such word")

    async def scenario() -> None:
        await world.start(fails)
        await world.client.start_orchestration("i", "fails")
        await world.client.wait_for_orchestration("i", MINUTE)
        (told,) = heard.named("Orchestration failed (application error)")
        first, *below = logging.Formatter().format(told).splitlines()
        assert "LookupError: no such word" in first and "Traceback" not in first
        assert any('raise LookupError("no such word")' in line for line in below)

    world.run(scenario())


# --- what users say themselves ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "said"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1), ("off", 0), ("trace", 4)]
)
def test_rt_23_2_user_traces_are_heard_from_the_level_asked_for(
    world: Any, heard: Heard, level: str, said: int
) -> None:
    """RT-23.1, RT-23.2, RT-23.3: two loggers of their own; all else from warnings upwards."""

    async def scenario() -> None:
        await world.start(registry(), observability=ObservabilityOptions(log_level=level))
        await world.client.start_orchestration("i", "talks")
        await world.client.wait_for_orchestration("i", MINUTE)

    world.run(scenario())
    expected = [f"says {each}" for each in ("debug", "info", "warn", "error")][4 - said :]
    for target in ("orchestration", "activity"):
        records = [record for record in heard.records if record.name == f"holdfast.{target}"]
        events = [str(vars(record)["event"]) for record in records]
        assert events == [f"{target} {each}" for each in expected]
        assert all(vars(record)["fields"]["instance_id"] == "i" for record in records)
    runtime = [record for record in heard.records if record.name.startswith("holdfast.runtime")]
    assert not [record for record in runtime if record.levelno < logging.WARNING]


def test_rt_23_5_records_of_orchestrations_name_their_dispatcher(world: Any, heard: Heard) -> None:
    """RT-23.5: with the program's own level for everything of ours."""
    logging.getLogger("holdfast").setLevel(logging.DEBUG)

    async def scenario() -> None:
        await world.start(registry())
        await world.client.start_orchestration("i", "talks")
        await world.client.wait_for_orchestration("i", MINUTE)

    world.run(scenario())
    (told,) = heard.named("Orchestration completed")
    fields: dict[str, Any] = vars(told)["fields"]
    assert fields["worker_id"].startswith("orch-") and fields["orchestration_name"] == "talks"
    assert told.name == "holdfast.runtime.dispatchers.orchestration"


# --- where it goes ----------------------------------------------------------------------------------------


def written(options: ObservabilityOptions, write: Callable[[Log], object]) -> str:
    """What a program without logging of its own finds on its standard error."""
    assert list(set_up(options)) == []
    (handler,) = logging.getLogger("holdfast").handlers
    assert isinstance(handler, OwnHandler)
    stream = handler.stream = io.StringIO()
    write(Log(None, "runtime.worker", worker_id="w"))
    return stream.getvalue()


def raised() -> ValueError:
    try:
        raise ValueError("odd \x1b[31m red\nline")
    except ValueError as error:
        return error


@pytest.mark.parametrize("form", ["Pretty", "Compact"])
def test_text_is_one_line_a_record_with_the_traceback_below(bare: None, form: Any) -> None:
    """No control sequence of a value reaches the terminal, and none begins a line of its own."""
    text = written(
        ObservabilityOptions(log_format=form),
        lambda log: log.failure("Fetch failed", raised(), "warning", count=3),
    )
    first, *below = text.splitlines()
    assert first.endswith(r"Fetch failed worker_id=w count=3 error='ValueError: odd \x1b[31m red\nline'")
    assert ("WARNING holdfast.runtime.worker:" if form == "Pretty" else " W runtime.worker ") in first
    assert below[0] == "Traceback (most recent call last):" and "raise ValueError" in text
    assert "\x1b" not in text


def test_json_is_one_object_a_line(bare: None) -> None:
    options = ObservabilityOptions(log_format="Json", service_name="orders", service_version="7")
    text = written(
        options, lambda log: log.failure("lost \ud800 half", raised(), "error", odd={1}, none=None)
    )
    (line,) = text.splitlines()
    record = json.loads(line)
    assert line.isascii()
    assert datetime.fromisoformat(record["timestamp"]).tzinfo is UTC
    assert record["traceback"].startswith("Traceback")
    shown = {name: record[name] for name in record.keys() - {"timestamp", "traceback"}}
    assert shown == {
        "level": "ERROR",
        "target": "holdfast.runtime.worker",
        "message": "lost \ud800 half",
        "service_name": "orders",
        "service_version": "7",
        "worker_id": "w",
        "odd": "{1}",
        "error": "ValueError: odd \x1b[31m red\nline",
    }


def test_the_program_is_not_written_twice_once_it_has_handlers_of_its_own(bare: None) -> None:
    heard = Heard()

    def write(log: Log) -> None:
        logging.getLogger().addHandler(heard)
        log.warning("told")

    assert written(ObservabilityOptions(), write) == ""
    assert len(heard.named("told")) == 1


def test_rt_23_2_a_program_that_has_configured_logging_keeps_it(heard: Heard) -> None:
    """RT-23.2: no handler is added, and the option that cannot do anything is named."""
    assert list(set_up(ObservabilityOptions())) == []
    (idle,) = set_up(ObservabilityOptions(log_format="Json"))
    assert idle.startswith("observability.log_format Json: the program has configured `logging`")
    assert logging.getLogger("holdfast").handlers == []
    assert logging.getLogger().handlers == [heard]


def test_rt_23_2_a_second_initialisation_is_tolerated(bare: None) -> None:
    """RT-23.2: it replaces what the first one has set up, and adds no second handler."""
    assert list(set_up(ObservabilityOptions(log_format="Json"))) == []
    (handler,) = logging.getLogger("holdfast").handlers
    assert list(set_up(ObservabilityOptions(log_format="Compact", log_level="debug"))) == []
    assert logging.getLogger("holdfast").handlers == [handler]
    assert isinstance(handler.formatter, TextLines)
    assert logger_of("activity").level == logging.DEBUG
    assert list(set_up(ObservabilityOptions())) == []
    assert logger_of("activity").level == logging.INFO


def test_rt_23_2_a_level_that_the_program_has_set_stays(bare: None) -> None:
    """RT-23.2: and the option that cannot do anything is named."""
    logger_of("activity").setLevel(logging.ERROR)
    logging.getLogger("holdfast").setLevel(logging.DEBUG)
    assert list(set_up(ObservabilityOptions())) == []
    (idle,) = set_up(ObservabilityOptions(log_level="debug"))
    assert idle.endswith("debug: the level of the logger holdfast.activity is ERROR already")
    levels = [logger_of(name).level for name in ("activity", "orchestration")]
    assert levels == [logging.ERROR, logging.DEBUG]
    assert logging.getLogger("holdfast").level == logging.DEBUG


def test_rt_23_2_a_filter_of_the_environment_overrides_the_levels(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RT-23.2: for everything, or for one target; what is no level is told."""
    monkeypatch.setenv(
        standard_logging.ENVIRONMENT, "error, runtime.worker=DEBUG,holdfast.activity=off,x=loud"
    )
    (idle,) = set_up(ObservabilityOptions())
    assert idle.startswith("HOLDFAST_LOG 'x=loud': 'loud' is no level, known are trace, debug")
    levels = [logger_of(name).level for name in ("orchestration", "activity", "runtime.worker")]
    assert levels == [logging.ERROR, 100, logging.DEBUG]
    assert logging.getLogger("holdfast").level == logging.ERROR


def test_rt_23_12_a_handler_that_fails_disturbs_nobody(heard: Heard) -> None:
    """RT-23.12."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("disk full")

    logging.getLogger("holdfast").addHandler(Broken())
    Log(None).warning("told")
    assert not heard.named("told"), "it is behind the broken one"


def test_an_observer_that_takes_the_records_gets_them_alone(heard: Heard) -> None:
    class Takes(StructuredLog):
        takes_records = True

    seen: list[str] = []

    def sink(level: int, event: str, fields: Any) -> None:
        seen.append(event)

    Log(Takes(sink)).warning("taken")
    Log(tee(StructuredLog(sink), Takes(sink))).warning("taken by one of two")
    Log(StructuredLog(sink)).warning("beside")
    assert seen == ["taken", "taken by one of two", "taken by one of two", "beside"]
    assert [vars(record)["event"] for record in heard.records] == ["beside"]


# --- options that do nothing ------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)
IDLE: list[tuple[str, dict[str, Any]]] = [
    ("worker_lock_renewal_buffer", {"worker_lock_renewal_buffer": SECOND, "worker_lock_timeout": SECOND}),
    ("orchestrator_lock_renewal_buffer", {"orchestrator_lock_renewal_buffer": SECOND}),
    ("session_idle_timeout", {"session_idle_timeout": SECOND, "max_sessions_per_worker": 0}),
    ("session_lock_duration", {"session_lock_duration": SECOND, "max_sessions_per_worker": 0}),
    ("worker_lock_timeout", {"worker_lock_timeout": MINUTE, "worker_concurrency": 0}),
    ("max_stuck_threads", {"max_stuck_threads": 3, "worker_concurrency": 0}),
    (
        "activity_cancellation_grace_period",
        {"activity_cancellation_grace_period": SECOND, "worker_concurrency": 0},
    ),
    ("orchestrator_lock_timeout", {"orchestrator_lock_timeout": MINUTE, "orchestration_concurrency": 0}),
    (
        "unregistered_backoff.base_delay",
        {"unregistered_backoff": UnregisteredBackoff(base_delay=MINUTE, max_delay=SECOND)},
    ),
]
IDLE += [
    ("turn_cpu_limit", {"turn_cpu_limit": MINUTE}),  # the clock of these tests watches nothing
    (
        "observability.gauge_poll_interval",
        {"observability": ObservabilityOptions(gauge_poll_interval=SECOND)},
    ),
    ("observability.service_name", {"observability": ObservabilityOptions(service_name="shop")}),
    ("observability.log_format", {"observability": ObservabilityOptions(log_format="Json")}),
    ("worker_lock_renewal_buffer", {"worker_lock_renewal_buffer": MINUTE, "worker_lock_timeout": MINUTE}),
    (
        "max_attempts",
        {
            "max_attempts": 3,
            "worker_concurrency": 0,
            "orchestration_concurrency": 0,
            "dispatcher_long_poll_timeout": timedelta(seconds=30),
        },
    ),
    (
        "unregistered_backoff.max_delay",
        {"unregistered_backoff": UnregisteredBackoff(base_delay=SECOND, max_delay=2 * MINUTE)},
    ),
]


@pytest.mark.parametrize(("option", "options"), IDLE, ids=[option for option, _ in IDLE])
def test_an_option_that_has_no_effect_is_named_at_the_start(
    world: Any, heard: Heard, option: str, options: dict[str, Any]
) -> None:
    """RT-21, RT-5.5, RT-13.15: with its value and the reason."""

    async def scenario() -> None:
        await world.start(registry(), **({"session_lock_duration": timedelta(minutes=10)} | options))

    world.run(scenario())
    told = [r.getMessage() for r in heard.records if "has no effect" in r.getMessage()]
    assert [text.split(": ")[1].split(" ")[0] for text in told] == [option]


def test_every_option_has_an_effect_or_says_that_it_has_none() -> None:
    """RT-21.3: a worker that runs nothing; a new option has to be put on one side or the other."""
    changed: dict[str, Any] = {
        "dispatcher_min_poll_interval": SECOND,
        "dispatcher_long_poll_timeout": SECOND,
        "orchestration_concurrency": 0,
        "worker_concurrency": 0,
        "unregistered_backoff": UnregisteredBackoff(base_delay=2 * SECOND),
        "max_attempts": 3,
        "max_stuck_threads": 3,
        "supported_replay_versions": (),
        "worker_node_id": "w",
        "worker_tag_filter": TagFilter.any(),
        "observability": ObservabilityOptions(log_level="debug"),
        "max_sessions_per_worker": 3,
        "max_sessions_per_orchestration": 3,
    }
    names = {each.name for each in fields(RuntimeOptions)}
    options = RuntimeOptions(**({name: 20 * SECOND for name in names} | changed))
    told = {text.split(" ")[0] for text in without_effect(options, supports_sessions=True)}
    assert names - told == {"orchestration_concurrency", "worker_concurrency", "observability"}


def test_options_at_their_defaults_are_never_told_to_have_no_effect() -> None:
    """RT-5.5: the default buffer of the instance lock is one that has none."""
    assert list(without_effect(RuntimeOptions(), supports_sessions=True)) == []
    assert list(without_effect(RuntimeOptions(), supports_sessions=False)) == []
    idle = RuntimeOptions(worker_concurrency=0, orchestration_concurrency=0)
    assert list(without_effect(idle, supports_sessions=True)) == []
    (text,) = without_effect(RuntimeOptions(session_idle_timeout=SECOND), supports_sessions=False)
    assert text.endswith("the provider has no sessions")


def test_ss_20_6_a_level_that_is_none_is_refused() -> None:
    """SS-20.6, RT-21.3."""
    with pytest.raises(ConfigurationError, match=r"log_level is 'loud', expected one of trace, debug, info"):
        ObservabilityOptions(log_level="loud")


def test_records_compare_without_their_exception() -> None:
    """Two runs of one schedule say the same; their exceptions are two objects."""
    assert Logged("a", "info", {}, raised()) == Logged("a", "info", {}, raised())
