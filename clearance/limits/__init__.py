"""What belongs to the whole fleet: cool-downs, kept in Redis."""
