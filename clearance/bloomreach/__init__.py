"""What Bloomreach Engagement is told: commands of its Tracking API, and what they are made from."""
