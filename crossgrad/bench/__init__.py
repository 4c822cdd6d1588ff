"""Timings of the engines' cores: plan, gate, measure, results, and what is made of results."""
