"""Outputs of commands: what could not be written is refused before any work."""

import os
from pathlib import Path

from scalor_pyro.config import ConfigError


def require_new_output(option: str, path: Path, suffix: str, overwrite: bool) -> None:
    """Refuse a file that could not be written.

    :param option: that asks for the file.
    :param suffix: that its name must have.
    :raises ConfigError: saying why.
    """
    if path.suffix.lower() != suffix:
        raise ConfigError(f"{option} {path}: expected a name that ends in {suffix}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{option} {path}: the folder {path.parent} does not exist.")
    if path.is_dir():
        raise ConfigError(f"{option} {path}: expected a file, got a folder.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{option} {path}: the file exists; choose another name or add --overwrite.")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ConfigError(f"{option} {path}: permission denied.")


def require_folder(option: str, path: Path) -> None:
    """Refuse a folder that could not be made or written to.

    :param option: that asks for the folder.
    :raises ConfigError: saying why.
    """
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ConfigError(f"{option} {path}: expected a folder, but {there} is a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {path}: permission denied in {there}.")
