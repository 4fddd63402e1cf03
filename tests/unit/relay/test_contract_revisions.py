import pytest

from goldwire.changelog.rows import Revision
from goldwire.errors import ConfigError
from goldwire.relay.contract_revisions import ContractRevisions


def contracts(*effective_after: int) -> ContractRevisions:
    made = ContractRevisions("crm", lambda revision: revision.revision)
    made.refresh([Revision(number, after, "", b"") for number, after in enumerate(effective_after, start=1)])
    return made


def test_each_position_is_sealed_by_the_newest_revision_that_starts_below_it():
    it = contracts(0, 5, 5, 9)
    assert [it.at(seq) for seq in range(1, 12)] == [1, 1, 1, 1, 1, 3, 3, 3, 3, 4, 4]


def test_the_first_revision_also_seals_what_was_before_it():
    assert contracts(7).at(3) == 1


def test_a_chunk_ends_where_the_next_revision_begins():
    it = contracts(0, 5, 9)
    assert it.last_position_of(1, 100) == 5
    assert it.last_position_of(5, 100) == 5
    assert it.last_position_of(6, 7) == 7
    assert it.last_position_of(6, 100) == 9
    assert it.last_position_of(10, 100) == 100


def test_a_target_without_contract_says_what_to_do():
    with pytest.raises(ConfigError, match="goldwire apply"):
        ContractRevisions("crm", lambda revision: revision).refresh([])


def test_a_revision_whose_start_a_release_took_back_seals_nothing():
    it = contracts(0, 20, 12, 30)
    assert [it.at(seq) for seq in (12, 13, 20, 21, 30, 31)] == [1, 3, 3, 3, 3, 4]
    assert it.last_position_of(13, 100) == 30
