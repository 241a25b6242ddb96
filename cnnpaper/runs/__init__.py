"""Runs on disk: recorded, resumed, described, timed, launched. Nothing here decides a number."""
