"""The half that writes the paper; it never imports torch."""

from typing import Literal

Edition = Literal["en", "ko", "html", "ko.html"]
