"""A relay claims its place once, before it sends anything, and sends nothing where it may not."""

from __future__ import annotations

from typing import Any

import pytest

from goldwire.errors import ConfigError


def test_a_place_is_claimed_once_before_the_first_event_and_not_for_nothing(world: Any) -> None:
    sent_before: list[int] = []
    world.claim = lambda: sent_before.append(len(world.target.sent))
    world.run()
    assert sent_before == []
    for number in range(4):
        world.commit(*[(f"e{n}", {"city": f"{number}"}) for n in range(20)])
    world.run(batch_size=2, concurrency=8)
    assert sent_before == [0]
    world.replay()
    world.run()
    assert sent_before == [0, 80], "each relay claims anew, also for a replay: its settings may be others"


def test_nothing_is_sent_where_a_place_may_not_be_claimed_and_nothing_is_lost(world: Any) -> None:
    def refuse() -> None:
        raise ConfigError("target 't': another was first")

    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(20)])
    world.claim = refuse
    for _ in range(2):
        with pytest.raises(ConfigError, match="another was first"):
            world.run(batch_size=2, concurrency=8)
    assert world.target.sent == []
    assert "another was first" in world.store.cursors()[0].unopened
    world.claim = None
    world.run()
    assert len(world.target.sent) == 20
    assert world.balanced()
