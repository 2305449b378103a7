"""How Flower is set up: its configuration file, which Flower itself executes (`--conf`).

Each name below is one of Flower's options. It shows obligation ids, states, retries and errors; no task argument holds
personal data. It only reads: what is to be done about an obligation is done through the ledger.
"""

from pathlib import Path

from config import settings

_here = settings.load()

address = _here.flower_host
port = _here.flower_port
basic_auth = [f"{_here.flower_user}:{_here.flower_password}"]
# Celery's own buttons act on messages, which the ledger would only publish again.
read_only = True

# What was seen survives a restart, and a kill but for the last seconds: without the interval it is saved at a clean end
# only. What is saved is written beside the old files and then takes their place (flower 2.2).
persistent = True
db = str(Path(_here.state_dir) / "flower.db")
state_save_interval = 5_000
max_tasks = 20_000

# A retry shows as RETRY with its exception, attempt and time.
tasks_columns = "name,uuid,args,state,retries,exception,eta,received,started,runtime,worker"
natural_time = False
# The default waits a second for each worker that is not there.
inspect_timeout = 500.0
# A worker that was replaced stays visible for so many seconds.
purge_offline_workers = 600
