"""Where trackers write and send: inside the run directory, and to addresses from the user, never from the run."""

import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from ltro_jax.storage import RunError

CONNECT = 3.0  # seconds for the name look-up and the connection together
PORTS = {"http": 80, "https": 443}


def refuse_links_out(run: Path, *paths: Path) -> None:
    """Refuse to write through a symbolic link that leads out of the directory `run`.

    Raises:
        RunError: there is such a link; the message names it.
    """
    for path in paths:
        if not path.resolve().is_relative_to(run.resolve()):
            raise RunError(f"{path} is a symbolic link that leads out of the run; delete it, or copy its target there")


def without_password(address: str) -> str:
    """The address without user name and password, safe to store and show."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else address


def require_reachable(address: str, variable: str) -> None:
    """Connect once to the host of an http(s) address, or to its proxy; other addresses pass.

    Raises:
        RunError: nothing answers within `CONNECT` seconds.
    """
    if urlsplit(address).scheme not in PORTS:
        return
    target = urlsplit(address)
    proxy = getproxies().get(target.scheme)
    if proxy and not proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    where = (target.hostname or "", target.port or PORTS.get(target.scheme, 80))
    problem = [f"no answer within {CONNECT:g} s"]

    def connect() -> None:
        try:
            socket.create_connection(where, timeout=CONNECT).close()
            problem.clear()
        except OSError as error:
            problem[:] = [error.strerror or str(error)]

    thread = threading.Thread(target=connect, daemon=True)  # a name look-up has no time limit
    thread.start()
    thread.join(CONNECT)
    if problem:
        raise RunError(f"{without_password(address)} cannot be reached ({problem[0]}); check the network or {variable}")


@contextmanager
def quiet(defaults: Mapping[str, str], *loggers: str) -> Iterator[None]:
    """Within the body, set environment variables that the user has not set, and let loggers report errors only."""
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    levels = {name: logging.getLogger(name).level for name in loggers}
    os.environ.update(missing)
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
