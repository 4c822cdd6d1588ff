"""Everything that executes a network: one folder an engine, and the contract that they share.

``base.py`` holds the contract and its laws, ``registry.py`` the table of
engines, ``allocation.py`` what the C library does with freed memory. Importing
any of them imports no framework.
"""
