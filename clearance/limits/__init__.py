"""What belongs to the whole fleet: cool-downs and rate limits, kept in Redis."""
