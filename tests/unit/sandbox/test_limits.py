"""The vendor's limit: 50 requests in any 10 seconds, for each key and API group."""

from clearance.sandbox.limits import Group, Limit, SlidingWindows


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_fifty_first_request_of_ten_seconds_is_refused() -> None:
    windows = SlidingWindows({}, _Clock())
    assert [windows.admits("key", Group.GENERAL) for _ in range(51)] == [True] * 50 + [False]


def test_the_window_slides_with_each_request_and_does_not_restart_at_once() -> None:
    clock = _Clock()
    windows = SlidingWindows({Group.GENERAL: Limit(requests=2, window_s=10)}, clock)
    assert windows.admits("key", Group.GENERAL)
    clock.now_s = 6
    assert windows.admits("key", Group.GENERAL)
    clock.now_s = 9.9
    assert not windows.admits("key", Group.GENERAL)
    clock.now_s = 10
    assert windows.admits("key", Group.GENERAL)
    assert not windows.admits("key", Group.GENERAL), "the request at 6 s still counts"


def test_a_refused_request_does_not_count() -> None:
    clock = _Clock()
    windows = SlidingWindows({Group.GENERAL: Limit(requests=1, window_s=10)}, clock)
    windows.admits("key", Group.GENERAL)
    clock.now_s = 9
    assert not windows.admits("key", Group.GENERAL)
    clock.now_s = 10
    assert windows.admits("key", Group.GENERAL)


def test_groups_and_keys_have_windows_of_their_own() -> None:
    windows = SlidingWindows({group: Limit(requests=1) for group in Group}, _Clock())
    assert windows.admits("one", Group.GENERAL)
    assert windows.admits("one", Group.CUSTOMERS)
    assert windows.admits("two", Group.GENERAL)
    assert not windows.admits("one", Group.GENERAL)


def test_approvals_are_unlimited_until_a_limit_is_put() -> None:
    windows = SlidingWindows({}, _Clock())
    assert all(windows.admits("key", Group.TRIGGERED_APPROVAL) for _ in range(500))
    windows.put(Group.TRIGGERED_APPROVAL, Limit(requests=1))
    assert windows.admits("key", Group.TRIGGERED_APPROVAL)
    assert not windows.admits("key", Group.TRIGGERED_APPROVAL)
