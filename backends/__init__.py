"""Everything that executes a network: one folder an engine, and the contract that they share.

``base.py`` holds the contract and its laws, ``registry.py`` the table of
engines. Importing either imports no framework.
"""
