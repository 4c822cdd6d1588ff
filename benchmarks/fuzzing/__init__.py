"""Fuzzing: what crossgrad reads, as functions of bytes, and a watch over what they do to the machine."""
