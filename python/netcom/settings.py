"""What the user's own settings say, for nodes that are told nothing."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from .errors import BadArgument


def data_dir() -> Path | None:
    """Where the user's data directory is, whether it exists or not."""
    if named := os.environ.get("NETCOM_DATA_DIR"):
        return Path(named)
    # The XDG specification has relative paths ignored.
    if (data := os.environ.get("XDG_DATA_HOME", "")) and os.path.isabs(data):
        return Path(data, "netcom")
    if (home := os.environ.get("HOME", "")) and os.path.isabs(home):
        return Path(home, ".local/share/netcom")
    return None


def naming(directory: Path | None) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """What ``config.toml`` in a data directory says under ``[naming]``: names with their keys, and
    who answers for the names under which suffix. Both are empty where there is no such file."""
    if directory is None:
        return {}, {}
    path = directory / "config.toml"
    try:
        with path.open("rb") as file:
            table = tomllib.load(file).get("naming", {})
    except FileNotFoundError:
        return {}, {}
    # What is no text or no TOML is a ValueError, and so is a path that no file can have.
    except (OSError, ValueError) as error:
        message = f"{str(path)!r} cannot be read: {error}"
        raise BadArgument(message, code="config", hint=_MEND) from error
    try:
        names = {str(name): str(key) for name, key in table.get("static", {}).items()}
        directories = {
            str(suffix): _directory(directory, entry)
            for suffix, entry in table.get("directories", {}).items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        message = f"{path}: [naming] is not as it should be: {error!r}"
        raise BadArgument(message, code="config", hint=_MEND) from error
    return names, directories


def _directory(data_dir: Path, entry: dict[str, str]) -> tuple[str, ...]:
    authority = (str(data_dir / entry["ca"]),) if "ca" in entry else ()
    return (entry["url"], entry["key"], *authority)


_MEND = "mend the file, or name another data directory: Node.create(data_dir=…)"
