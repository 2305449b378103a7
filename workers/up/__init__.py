"""Everything on one machine: the processes, what is embedded for them, and who restarts and stops them."""
