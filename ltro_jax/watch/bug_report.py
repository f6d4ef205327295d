"""The facts that a bug report needs, as Markdown.

This process does not import JAX. Child processes query JAX and the run, so the report also covers installations that
are broken, crash or hang.
"""

import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from ltro_jax.config import SETTINGS

PACKAGES = ("ltro_jax", "jax", "jaxlib", "flax", "optax", "jaxmarl", "numpy", "scipy", "xarray", "h5netcdf", "brax")
PLUGINS = r"(jax|nvidia)[-_](cuda|cudnn|tpu).*|libtpu"  # packages that give JAX its devices
VARIABLES = r"(JAX|XLA|LTRO|CUDA|NVIDIA|TPU|LIBTPU|SLURM_NTASKS|OMP_NUM|MPLBACKEND|PYTHONPATH|MALLOC|LD_PRELOAD)\w*"
SECRET = r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH"
LAST_LINES = 15  # of what a child process prints
TIMEOUT = 120.0  # seconds for a child process

_DEVICES = """
import jax
devices = jax.local_devices()
kinds = {(device.platform, device.device_kind) for device in devices}
print(f"{len(devices)} x {', '.join(f'{kind} ({name})' for name, kind in sorted(kinds))}")
from ltro_jax.runs.memory import device_memory
print(f"{device_memory(devices[0]) / 2**30:.1f} GiB of memory that a program may use on a device")
"""
_STATUS = "import sys; from ltro_jax.cli import main; sys.exit(main(['status', sys.argv[1]]))"


def bug_report(run: str | Path | None = None) -> str:
    """Markdown with versions, devices, memory, environment variables and, for a run or a sweep, its settings and state.

    The reason replaces a missing part; nothing is raised. `~` replaces the home directory. Values of variables that may
    be secret, passwords in addresses and the name of the host are left out.

    Args:
        run: directory of a run or a sweep.
    """
    devices = _start(_DEVICES)
    status = None if run is None else _start(_STATUS, str(run))  # at the same time
    parts: list[tuple[str, Callable[[], str]]] = [
        ("Versions", _versions),
        ("Machine", _machine),
        ("Devices", lambda: _output(devices)),
        ("Environment variables", _variables),
    ]
    if run is not None:
        path = Path(run)
        parts += [
            (f"Run {path}", lambda: _output(status)),
            ("Start of the run", lambda: _started(path)),
            ("Settings that differ from the defaults", lambda: _settings(path)),
        ]
    return without_secrets("\n".join(f"### {title}\n\n```\n{_or_reason(part)}\n```\n" for title, part in parts))


def without_secrets(text: str) -> str:
    """`text` with `~` for the home directory and without passwords in addresses or the name of the host."""
    home = os.path.expanduser("~")
    for directory in dict.fromkeys((home, os.path.realpath(home))):
        if directory not in ("~", "/"):
            text = re.sub(rf"{re.escape(directory)}(?!\w)", "~", text)
    text = re.sub(r"://[^/\s@]+@", "://…@", text)
    return re.sub(rf"\bon {re.escape(socket.gethostname())}\b", "on this host", text)


def _or_reason(part: Callable[[], str]) -> str:
    try:
        return part()
    except Exception as error:
        return f"not available: {type(error).__name__}: {error}"


def _versions() -> str:
    installed = {dist.metadata["Name"] or "" for dist in metadata.distributions()}
    plugins = sorted(name for name in installed if re.fullmatch(PLUGINS, name))
    lines = [f"python {platform.python_version()} ({platform.python_implementation()})"]
    for name in (*PACKAGES, *plugins):
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} not installed")
    return "\n".join(lines)


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.release()}, {platform.machine()}\n{cores} cores, {memory:.1f} GiB of memory"


def _variables() -> str:
    chosen = {name: value for name, value in sorted(os.environ.items()) if re.fullmatch(VARIABLES, name)}
    shown = {name: "(hidden)" if re.search(SECRET, name) else value for name, value in chosen.items()}
    return "\n".join(f"{name}={value}" for name, value in shown.items()) or "none"


def _started(run: Path) -> str:
    """The records of the first start of each run, without the format version."""
    records = {file.parent: _json(file) for file in _files(run, "environment.json")}
    if not records:
        return "no environment.json"
    return "\n".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in next(iter(records.values())).items()
        if key != "format_version"
    )


def _settings(run: Path) -> str:
    """The settings as `name = value`; for a sweep, the settings of its first run."""
    files = _files(run, "settings.json")
    if not files:
        return "no settings.json"
    settings = _json(files[0])
    defaults = {name: json.loads(json.dumps(spec.default)) for name, spec in SETTINGS.items()}
    return "\n".join(
        f"{name} = {json.dumps(value)}"
        for name, value in settings.items()
        if name not in defaults or value != defaults[name]
    )


def _files(run: Path, name: str) -> list[Path]:
    """`name` in a run, or in the runs of a sweep."""
    return [run / name] if (run / name).is_file() else sorted(run.glob(f"*/{name}"))


def _json(file: Path) -> dict[str, object]:
    return json.loads(file.read_bytes())


def _start(program: str, *arguments: str) -> "subprocess.Popen[str] | OSError":
    """A child that runs `program` with this Python; the error where it cannot start."""
    try:
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return error


def _output(child: "subprocess.Popen[str] | OSError | None") -> str:
    """The last lines that the child printed, and its exit code where it failed."""
    if child is None or isinstance(child, OSError):
        raise child or OSError("it was not started")
    try:
        printed, _ = child.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        printed, _ = child.communicate()
        printed += f"\nno answer within {TIMEOUT:g} s"
    failed = [f"(exit code {child.returncode})"] if child.returncode else []
    return "\n".join([*printed.splitlines()[-LAST_LINES:], *failed])
