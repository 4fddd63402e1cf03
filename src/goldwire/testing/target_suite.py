"""What every target must do, as tests: subclass `TargetSuite`, say how to make yours and how to look into it, run pytest.

    class TestFax(TargetSuite):
        def make_target(self) -> FaxTarget:
            return FaxTarget("fax", FaxSettings(url=self.url), self.clock)

        async def held(self, entity_id: str) -> Held | None:
            ...ask the machine itself, not the target

The machine behind it should be a real one. What yours cannot do is said in the flags of `TargetHooks`; the tests that need it
are then skipped.
"""

from __future__ import annotations

import asyncio
import unittest

from goldwire.targets.base import Delivered, Duplicate, Item, LooksUp, Rejected, ShowsNewest, TakenEvent, Target, Unavailable
from goldwire.testing.target_hooks import SECRET, SYSTEM, Held, TargetHooks, texts_of

__all__ = ["SECRET", "SYSTEM", "Held", "TargetSuite"]


class TargetSuite(TargetHooks):
    """Subclass it as `Test…`. Each test makes a target of its own; `folder` is an empty folder of the test's own."""

    def test_a_new_record_arrives_with_its_values(self) -> None:
        """Upsert, first time."""

        async def check(target: Target) -> None:
            assert await self.send_one(target, self.event("a", 1, name="Ada", city="Paris")) == "Delivered"
            await self.expect("a", 1, {"name": "Ada", "city": "Paris"})

        self.run(check)

    def test_a_newer_version_replaces_the_older(self) -> None:
        """Upsert, second time."""

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 1, name="Ada"))
            assert await self.send_one(target, self.event("a", 3, name="Ada Lovelace")) == "Delivered"
            await self.expect("a", 3, {"name": "Ada Lovelace"})

        self.run(check)

    def test_the_same_event_twice_does_no_harm(self) -> None:
        """A resend after a crash."""

        async def check(target: Target) -> None:
            event = self.event("a", 1, name="Ada")
            await self.send_one(target, event)
            again = await self.send_one(target, event)
            assert again == "Duplicate" if self.fences else again in ("Delivered", "Duplicate")
            await self.expect("a", 1, {"name": "Ada"})

        self.run(check)

    def test_a_stale_upsert_never_wins(self) -> None:
        """A late retry."""
        self.needs_fence()

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 5, name="new"))
            assert await self.send_one(target, self.event("a", 4, name="old")) == "Duplicate"
            await self.expect("a", 5, {"name": "new"})

        self.run(check)

    def test_a_deleted_record_is_gone(self) -> None:
        """Delete."""

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 1, name="Ada"))
            assert await self.send_one(target, self.gone("a", 2)) == "Delivered"
            assert await self.held("a") is None

        self.run(check)

    def test_a_stale_upsert_brings_nothing_back_from_the_dead(self) -> None:
        """Resurrection."""
        self.needs_fence()

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 1, name="Ada"))
            await self.send_one(target, self.gone("a", 3))
            assert await self.send_one(target, self.event("a", 2, name="Ada")) == "Duplicate"
            assert await self.held("a") is None

        self.run(check)

    def test_a_delete_of_something_never_sent_keeps_a_stale_upsert_out(self) -> None:
        """A tombstone without a record before it."""
        self.needs_fence()

        async def check(target: Target) -> None:
            assert await self.send_one(target, self.gone("a", 3)) == "Delivered"
            assert await self.send_one(target, self.event("a", 2, name="Ada")) == "Duplicate"
            assert await self.held("a") is None

        self.run(check)

    def test_a_stale_delete_never_wins(self) -> None:
        """A late retry of a delete."""
        self.needs_fence()

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 5, name="Ada"))
            assert await self.send_one(target, self.gone("a", 4)) == "Duplicate"
            await self.expect("a", 5, {"name": "Ada"})

        self.run(check)

    def test_a_delete_twice_does_no_harm(self) -> None:
        """A resend of a delete."""

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 1, name="Ada"))
            await self.send_one(target, self.gone("a", 2))
            assert await self.send_one(target, self.gone("a", 2)) in ("Delivered", "Duplicate")
            assert await self.held("a") is None

        self.run(check)

    def test_a_deleted_record_can_come_back_with_a_higher_version(self) -> None:
        """Re-creation."""

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 1, name="Ada"))
            await self.send_one(target, self.gone("a", 2))
            assert await self.send_one(target, self.event("a", 3, name="Ada II")) == "Delivered"
            await self.expect("a", 3, {"name": "Ada II"})

        self.run(check)

    def test_a_batch_is_answered_item_by_item_and_in_order(self) -> None:
        """Every second item of a batch is stale."""

        async def check(target: Target) -> None:
            events = [self.event(f"e{n:03}", 2, name=f"name {n}") for n in range(self.batch_size)]
            outcomes = await self.send_all(target, events[::2])
            assert [type(outcome) for outcome in outcomes] == [Delivered] * len(events[::2])
            outcomes = await self.send_all(target, events)
            assert len(outcomes) == len(events)
            again = Duplicate if self.fences else (Delivered, Duplicate)
            for number, outcome in enumerate(outcomes):
                assert isinstance(outcome, again if number % 2 == 0 else Delivered), (number, outcome)
            for number in range(self.batch_size):
                await self.expect(f"e{number:03}", 2, {"name": f"name {number}"})

        self.run(check)

    def test_no_items_nosend_all(self) -> None:
        """The empty batch."""

        async def check(target: Target) -> None:
            assert list(await target.send([])) == []

        self.run(check)

    def test_one_bad_item_takes_no_other_with_it(self) -> None:
        """Isolation within a batch."""
        if not self.rejects:
            raise unittest.SkipTest("this target takes every event")

        async def check(target: Target) -> None:
            good = [self.event(f"e{n}", 1, name=f"name {n}") for n in range(6)]
            outcomes = await self.send_all(target, [*good[:3], self.bad_event(), *good[3:]])
            kinds = [type(outcome).__name__ for outcome in outcomes]
            assert kinds == ["Delivered"] * 3 + ["Rejected"] + ["Delivered"] * 3
            for number in range(6):
                await self.expect(f"e{number}", 1, {"name": f"name {number}"})
            assert await self.held("bad") is None

        self.run(check)

    def test_a_refusal_gives_a_reason_without_the_record_s_values(self) -> None:
        """Dead letters are shown to people who may not see the record."""
        if not self.rejects:
            raise unittest.SkipTest("this target takes every event")

        async def check(target: Target) -> None:
            event = self.bad_event()
            outcome = (await self.send_all(target, [event]))[0]
            assert isinstance(outcome, Rejected)
            assert outcome.reason
            for value in texts_of(event):
                assert value not in outcome.reason

        self.run(check)

    def test_text_of_any_script_and_length_arrives_whole(self) -> None:
        """Unicode, quotes, line ends, a megabyte."""

        async def check(target: Target) -> None:
            name = "Zoë 'Ö' \"李\" \\ \N{PILE OF POO} \n\t\u2028; DROP TABLE customer; --"
            outcomes = await self.send_all(
                target, [self.event("a", 1, name=name, city="İzmir"), self.event("b", 1, name="x" * 1_000_000)]
            )
            assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
            await self.expect("a", 1, {"name": name, "city": "İzmir"})
            await self.expect("b", 1, {"name": "x" * 1_000_000})

        self.run(check)

    def test_an_entity_id_of_any_script_is_one_of_its_own(self) -> None:
        """Ids that differ only by case or accent are different."""

        async def check(target: Target) -> None:
            ids = ["straße/1", "STRASSE/1", "Straße/1", "strasse/1", "a b%20c", "a b c"]
            await self.send_all(target, [self.event(id_, 1, name=str(n)) for n, id_ in enumerate(ids)])
            for number, id_ in enumerate(ids):
                await self.expect(id_, 1, {"name": str(number)})

        self.run(check)

    def test_null_removes_a_value(self) -> None:
        """A removed attribute, in a whole record."""

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 1, name="Ada", city="Paris"))
            await self.send_one(target, self.event("a", 2, name="Ada", city=None))
            await self.expect("a", 2, {"name": "Ada"})

        self.run(check)

    def test_sends_at_the_same_time_all_arrive(self) -> None:
        """Several batches in flight, of different entities."""

        async def check(target: Target) -> None:
            batches = [[self.event(f"b{b}-{n}", 1, name=f"{b} {n}") for n in range(5)] for b in range(8)]
            answers = await asyncio.gather(*(self.send_all(target, batch) for batch in batches))
            assert {type(outcome) for outcomes in answers for outcome in outcomes} == {Delivered}
            for b in range(8):
                for n in range(5):
                    await self.expect(f"b{b}-{n}", 1, {"name": f"{b} {n}"})

        self.run(check)

    def test_a_send_given_up_half_way_leaves_the_target_usable(self) -> None:
        """The relay's time-out cancels a send."""

        async def check(target: Target) -> None:
            sending = asyncio.ensure_future(self.send_all(target, [self.event("a", 1, name="x" * 10_000)]))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            assert await self.send_one(target, self.event("b", 1, name="Ada")) == "Delivered"
            assert await self.send_one(target, self.event("a", 2, name="Bea")) == "Delivered"
            await self.expect("a", 2, {"name": "Bea"})

        self.run(check)

    def test_closing_twice_and_closing_what_was_never_opened_is_harmless(self) -> None:
        """Close."""

        async def check() -> None:
            never_opened = self.make_target()
            await never_opened.close()
            target = self.make_target()
            await target.open()
            await target.close()
            await target.close()

        self.run_bare(check)

    def test_a_second_target_finds_what_the_first_wrote(self) -> None:
        """A restart of the relay."""
        if not self.resumes:
            raise unittest.SkipTest("this target holds nothing beyond its process")

        async def check() -> None:
            first = self.make_target()
            await first.open()
            await self.send_one(first, self.event("a", 2, name="Ada"))
            await first.close()
            second = self.make_target()
            await second.open()
            try:
                again = await self.send_one(second, self.event("a", 2, name="Ada"))
                assert again == "Duplicate" if self.fences else again in ("Delivered", "Duplicate")
                if self.fences:
                    assert await self.send_one(second, self.event("a", 1, name="old")) == "Duplicate"
                assert await self.send_one(second, self.event("a", 3, name="Bea")) == "Delivered"
                await self.expect("a", 3, {"name": "Bea"})
            finally:
                await second.close()

        self.run_bare(check)

    def test_what_is_down_is_unavailable_and_works_again_when_it_is_back(self) -> None:
        """An outage."""
        if not self.interruptible:
            raise unittest.SkipTest("nothing behind this target can be stopped")

        async def check(target: Target) -> None:
            await self.send_one(target, self.event("a", 1, name="Ada"))
            await self.take_down()
            try:
                outcome = (await self.send_all(target, [self.event("a", 2, name="Bea")]))[0]
                if not isinstance(outcome, Unavailable):
                    # A broken connection may answer Unknown once; then the target knows that the machine is down.
                    outcome = (await self.send_all(target, [self.event("a", 2, name="Bea")]))[0]
                assert isinstance(outcome, Unavailable), outcome
                assert outcome.reason
                assert SECRET not in outcome.reason
            finally:
                await self.bring_up()
            assert await self.send_one(target, self.event("a", 2, name="Bea")) == "Delivered"
            await self.expect("a", 2, {"name": "Bea"})

        self.run(check)

    def test_versions_can_be_looked_up(self) -> None:
        """How an ambiguous outcome is resolved."""

        async def check(target: Target) -> None:
            if not isinstance(target, LooksUp):
                raise unittest.SkipTest("this target cannot look up")
            events = [self.event("a", 4, name="Ada"), self.event("b", 1, name="Bea")]
            await self.send_all(target, events)
            await self.send_one(target, self.gone("b", 2))
            items = [Item(event) for event in (self.event("c", 1, name="Cid"), self.event("b", 3), self.event("a", 9))]
            assert list(await target.held_versions(items)) == [None, 2, 4]

        self.run(check)

    def test_a_duplicate_says_the_truth_about_what_is_held(self) -> None:
        """What an answer says that it holds is compared with the log, so that an older store is noticed."""

        async def check(target: Target) -> None:
            first, other, newer = self.event("a", 2, name="Ada"), self.event("a", 2, name="Eve"), self.event("a", 3, name="Ida")
            await self.send_all(target, [first])
            for sent, held in ((first, first), (other, first), (newer, None), (other, newer)):
                (answer,) = await target.send([Item(sent)])
                if isinstance(answer, Duplicate) and answer.held is not None:
                    assert held is not None, "what is newer is no duplicate"
                    assert answer.held == TakenEvent("a", held.version, held.hash)

        self.run(check)

    def test_what_was_taken_last_can_be_shown(self) -> None:
        """How an older store is noticed when the target is opened."""

        async def check(target: Target) -> None:
            if not isinstance(target, ShowsNewest):
                raise unittest.SkipTest("this target cannot show what it took last")
            assert list(await target.newest(9)) == []
            for name, version in (("a", 1), ("b", 1), ("c", 4)):
                await self.send_all(target, [self.event(name, version, name=name)])
            last = self.event("a", 2, name="Ida")
            await self.send_all(target, [last])
            shown = list(await target.newest(9))
            assert TakenEvent("a", 2, last.hash) in shown
            assert {(one.entity_id, one.version) for one in shown} == {("a", 2), ("b", 1), ("c", 4)}
            assert len(list(await target.newest(2))) == 2

        self.run(check)

    def test_no_secret_shows_in_the_target_or_its_settings(self) -> None:
        """Redaction."""
        target = self.make_target()
        shown = [repr(target), str(target), repr(getattr(target, "settings", "")), str(getattr(target, "settings", ""))]
        assert not [text for text in shown if SECRET in text]

    def test_the_batch_limit_is_a_positive_number(self) -> None:
        """Port."""
        assert self.make_target().batch_limit >= 1
