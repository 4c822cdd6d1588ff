"""The published JSON Schemas of the files that crossgrad reads and writes."""
