"""The half that writes the paper; it never imports torch."""
