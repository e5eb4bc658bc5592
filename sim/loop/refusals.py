"""What a simulated loop refuses, each with the call's name and what to do instead."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from holdfast.sim.errors import OutsideSimulation
from holdfast.sim.loop import guards

_LOOP: Final = "the world runs the loop; let the boot function start tasks and return"
_THREADS: Final = "there are no threads in a simulated process; use call_soon"
_SIGNALS: Final = "let the scenario call handle.shutdown() or handle.crash()"
_FILES: Final = "processes talk through the provider only"
_NETWORK: Final = "keep the network inside activities, and replace those by fakes here"
_PIPES: Final = "keep pipes and subprocesses inside activities, and replace those by fakes here"


def _plain(name: str, fix: str) -> Any:
    def refused(self: object, *args: object, **kwargs: object) -> None:
        raise guards.refusal(OutsideSimulation, f"loop.{name}() leaves the simulation ({self!r}): {fix}")

    return refused


def _coroutine(name: str, fix: str) -> Any:
    async def refused(self: object, *args: object, **kwargs: object) -> None:
        raise guards.refusal(OutsideSimulation, f"loop.{name}() leaves the simulation ({self!r}): {fix}")

    return refused


class RefusingLoop(asyncio.AbstractEventLoop):
    """The part of asyncio's interface that leads out of a simulation."""

    run_forever = _plain("run_forever", _LOOP)
    run_until_complete = _plain("run_until_complete", _LOOP)
    stop = _plain("stop", _LOOP)
    call_soon_threadsafe = _plain("call_soon_threadsafe", _THREADS)
    add_signal_handler = _plain("add_signal_handler", _SIGNALS)
    remove_signal_handler = _plain("remove_signal_handler", _SIGNALS)
    add_reader = _plain("add_reader", _FILES)
    remove_reader = _plain("remove_reader", _FILES)
    add_writer = _plain("add_writer", _FILES)
    remove_writer = _plain("remove_writer", _FILES)

    getaddrinfo = _coroutine("getaddrinfo", _NETWORK)
    getnameinfo = _coroutine("getnameinfo", _NETWORK)
    create_connection = _coroutine("create_connection", _NETWORK)
    create_server = _coroutine("create_server", _NETWORK)
    create_unix_connection = _coroutine("create_unix_connection", _NETWORK)
    create_unix_server = _coroutine("create_unix_server", _NETWORK)
    create_datagram_endpoint = _coroutine("create_datagram_endpoint", _NETWORK)
    connect_accepted_socket = _coroutine("connect_accepted_socket", _NETWORK)
    start_tls = _coroutine("start_tls", _NETWORK)
    sendfile = _coroutine("sendfile", _NETWORK)
    sock_recv = _coroutine("sock_recv", _NETWORK)
    sock_recv_into = _coroutine("sock_recv_into", _NETWORK)
    sock_recvfrom = _coroutine("sock_recvfrom", _NETWORK)
    sock_recvfrom_into = _coroutine("sock_recvfrom_into", _NETWORK)
    sock_sendall = _coroutine("sock_sendall", _NETWORK)
    sock_sendto = _coroutine("sock_sendto", _NETWORK)
    sock_connect = _coroutine("sock_connect", _NETWORK)
    sock_accept = _coroutine("sock_accept", _NETWORK)
    sock_sendfile = _coroutine("sock_sendfile", _NETWORK)
    connect_read_pipe = _coroutine("connect_read_pipe", _PIPES)
    connect_write_pipe = _coroutine("connect_write_pipe", _PIPES)
    subprocess_shell = _coroutine("subprocess_shell", _PIPES)
    subprocess_exec = _coroutine("subprocess_exec", _PIPES)
