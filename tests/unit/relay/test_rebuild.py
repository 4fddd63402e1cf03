"""Whatever happened on the way: what is made again of an entity's past is what its target was sent, byte for byte."""

import asyncio
import contextlib
import tempfile
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldwire.changelog.replays import Selection
from goldwire.contract.spec import ContractSpec
from goldwire.errors import TargetStoppedError
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.rebuild import rebuild
from goldwire.relay.replay_source import ReplaySource
from goldwire.targets.base import DELIVERED, Duplicate, Rejected, Throttled, Unavailable, Unknown

ENTITIES = ("a", "b")
CITIES = st.sampled_from(("Rome", "Oslo", "x"))
ATTRIBUTES = st.fixed_dictionaries({}, optional={"city": CITIES, "name": st.sampled_from(("Ann", "Bob"))})
CHANGES = st.lists(st.tuples(st.sampled_from(ENTITIES), st.none() | ATTRIBUTES), min_size=1, max_size=4)
SPECS = st.builds(
    ContractSpec,
    golden=st.sampled_from((False,)),
    payload=st.sampled_from(("delta", "full")),
    attributes=st.sampled_from((("city", "name"), ("city",), ("name",))),
    where=st.sampled_from((None, 'has(a.city) && a.city != "x"')),
    reveals=st.just(("city",)),
    deselect=st.booleans(),
)
ANSWERS = st.sampled_from(
    (DELIVERED, DELIVERED, Duplicate(), Unknown("lost"), Unavailable("down"), Rejected("no"), Throttled())
)
STEPS = st.one_of(
    st.tuples(st.just("commit"), CHANGES),
    st.tuples(st.just("contract"), SPECS),
    st.tuples(st.just("run"), st.tuples(st.sampled_from(("every", "latest")), st.lists(ANSWERS, max_size=6))),
    st.tuples(st.just("mended"), st.tuples(CHANGES, SPECS)),
    st.tuples(st.just("redrive"), st.none()),
    st.tuples(st.just("discard"), st.none()),
)


class Course:
    """One course of events at one target, and what it took."""

    def __init__(self, world):
        self.world = world
        self.taken = defaultdict(dict)
        """By entity the body of each version that the target said to hold."""
        self.city = {}
        """By entity and version the record's city."""
        self.spec = None

    def go(self, steps):
        for word, what in [*steps, ("redrive", None), ("run", ("every", []))]:
            getattr(self, word)(what)

    def commit(self, changes):
        self.world.commit(*changes)
        versions = dict(self.world.versions)
        for entity_id, attributes in reversed(changes):
            self.city[entity_id, versions[entity_id]] = (attributes or {}).get("city")
            versions[entity_id] -= 1

    def contract(self, spec):
        self.spec = spec
        self.world.contract(spec)

    def run(self, how):
        mode, script = how
        answers = iter(script)

        def answer(item):
            found = next(answers, DELIVERED)
            if isinstance(found, type(DELIVERED) | Duplicate):
                self.taken[item.event.entity_id].setdefault(item.event.version, item.event.body)
            return found

        self.world.target.answer = answer
        with contextlib.suppress(TargetStoppedError):
            self.world.run(mode=mode, chunk_size=3, max_attempts=2, backoff_limit_seconds=5.0, dead_letter_minimum=100)

    def mended(self, how):
        """What was refused under one contract is delivered under the next."""
        changes, spec = how
        self.commit(changes)
        self.run(("every", [Rejected("no")] * len(changes)))
        self.contract(spec)
        self.redrive(None)

    def redrive(self, _):
        self.world.store.redrive("t", self._letters(), self.world.clock.now())

    def discard(self, _):
        self.world.store.discard("t", self._letters(), self.world.clock.now())

    def _letters(self):
        return [letter.seq for _, letter in self.world.store.dead_letters("t") if letter.state == "dead"]


@contextlib.contextmanager
def course(make_world, first_spec):
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder) / "log.db")
        asyncio.set_event_loop(world.loop)
        try:
            made = Course(world)
            made.contract(first_spec)
            world.run()
            yield made
        finally:
            world.store.close()
            world.loop.close()
            asyncio.set_event_loop(None)


def contracts_of(world, compiled):
    contracts = ContractRevisions("t", compiled)
    contracts.refresh(world.store.revisions("t"))
    return contracts


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(first=SPECS, steps=st.lists(STEPS, max_size=14))
def test_what_is_made_again_is_what_was_sent(make_world, compile_revision, first, steps):
    with course(make_world, first) as made:
        made.go(steps)
        contracts = contracts_of(made.world, compile_revision)
        for entity_id, past in made.world.store.pasts("t", ENTITIES).items():
            sent = rebuild(past, contracts, 0) if past.control is not None else []
            assert sent is not None, "the past could not be proven"
            assert [(one.row.version, one.event.body) for one in sent] == sorted(made.taken[entity_id].items())


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(first=SPECS, steps=st.lists(STEPS, max_size=10), last=SPECS)
def test_nothing_leaves_that_the_present_contract_would_not_show(make_world, compile_revision, first, steps, last):
    with course(make_world, first) as made:
        made.go(steps)
        made.contract(last)
        source = ReplaySource("t", made.world.store, StoreCall(), ContractRevisions("t", compile_revision))
        made.world.loop.run_until_complete(source.refresh())
        whole = Selection(0, made.world.store.position())
        found = made.world.loop.run_until_complete(source.gather(whole, None, ENTITIES))
        withheld = found.withheld
        for repeat in found.repeats:
            withheld += repeat.withheld
            newest = max(made.taken[repeat.entity_id])
            assert repeat.sent[-1].row.version == newest, "the newest goes last, or nothing goes"
            for one in repeat.sent:
                body = msgspec.json.decode(one.event.body)
                if one.event.deleted:
                    continue
                assert set(body["changes"]["attributes"]) <= set(last.attributes)
                if last.where is not None:
                    assert made.city[repeat.entity_id, one.row.version] not in (None, "x")
        in_all = sum(
            len(made.taken[entity_id]) for entity_id in ENTITIES if not any(one.entity_id == entity_id for one in found.blocked)
        )
        assert withheld + sum(len(repeat.sent) for repeat in found.repeats) == in_all
