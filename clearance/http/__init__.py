"""One HTTP exchange with somebody else's system: bounded in time and size, and what its end means."""
