"""The half that trains; the only one that may import torch."""
