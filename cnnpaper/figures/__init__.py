"""The paper's figures: plain frames in, a matplotlib figure out; nothing is written here."""
