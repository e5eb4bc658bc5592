"""Loading modules and factories of others, which may do anything: raise, exit, or end the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.user_texts import error_text


class _AskedToEnd(BaseException):
    """Code that is being loaded has called `os._exit`."""


def _refuse(status: int = 0, *more: object) -> NoReturn:
    raise _AskedToEnd(f"os._exit({status!r}) was called")


@contextmanager
def loading(failed: str) -> Iterator[None]:
    """Whatever ends the loading within is a ConfigurationError that begins with `failed`."""
    unguarded: Any = os._exit
    os._exit = _refuse
    try:
        yield
    except KeyboardInterrupt:
        raise
    except _AskedToEnd as error:
        raise ConfigurationError(f"{failed}: {error}") from error
    except BaseException as error:
        raise ConfigurationError(f"{failed}: {error_text(error)}") from error
    finally:
        os._exit = unguarded
