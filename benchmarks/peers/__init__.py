"""The comparison of crossgrad with other ways to check gradients; ``benchmarks/peers.py`` is the command."""
