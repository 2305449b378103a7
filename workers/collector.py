"""How often Python looks for garbage in a busy process: seldom, and not in what is there for good.

By default the collector runs every 700 new objects and now and then walks everything that Celery and SQLAlchemy ever
imported. At 300 notifications a second that made them wait 1.8 times as long (docs/adr/0007). Almost nothing here is
cyclic garbage; reference counts free the rest at once.
"""

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 50, 100


def settle() -> None:
    """Call once a process is complete: what exists now is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
