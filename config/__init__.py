"""What may differ between two deployments: settings, queues, Celery options, logs, metrics."""
