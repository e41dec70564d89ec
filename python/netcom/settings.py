"""What the user's own settings say, for nodes that are told nothing."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

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


def naming(directory: Path | None) -> dict[str, Any]:
    """The ``[naming]`` table of a data directory's ``config.toml``; empty where there is none."""
    if directory is None:
        return {}
    path = directory / "config.toml"
    try:
        with path.open("rb") as file:
            table = tomllib.load(file).get("naming", {})
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise BadArgument(f"{path} cannot be read: {error}", code="config") from error
    if not isinstance(table, dict):
        raise BadArgument(f"{path}: [naming] is no table", code="config")
    return table
