"""The command line: one module a command; ``app.py`` puts them together and turns errors into exit codes."""
