"""Names of before; see :mod:`cnnpaper.files`."""

from cnnpaper.files import Interrupted, UserError, nearest

__all__ = ["Interrupted", "UserError", "nearest"]
