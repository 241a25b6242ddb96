"""One file for each network, with a function ``build() -> nn.Module``.

To add one, write its file here and describe it in ``experiments/NAME.toml``.
"""
