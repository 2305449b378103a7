"""The fleet's limits, by an injected clock."""
