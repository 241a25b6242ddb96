"""The images: found in whatever form people have them, verified, fetched where they are missing."""

from cnnpaper.data.mirrors import fetch
from cnnpaper.data.read import Records, check, load
from cnnpaper.data.sources import find

__all__ = ["Records", "check", "fetch", "find", "load"]
