"""Which of the planted bugs the simulation lets pass, and what catches them instead."""

from __future__ import annotations

NOT_CAUGHT: dict[str, str] = {
    "fact-of-the-moment-of-deletion-counts": (
        "tests/unit/mastering/test_ties.py::test_a_deletion_of_the_same_time_takes_the_edges_too"
    ),
    "deletion-keeps-the-claims-of-its-moment": (
        "tests/unit/mastering/test_mastering.py::"
        "test_what_was_observed_at_the_very_time_of_a_deletion_goes_with_it_in_either_order"
    ),
    "ranks-saved-only-beside-a-hub": (
        "tests/unit/mastering/test_ties.py::test_the_store_keeps_what_a_row_of_the_same_time_still_has_to_be_compared_with"
    ),
    "late-record-undoes-a-deletion-by-a-steward": (
        "tests/unit/mastering/test_decisions.py::test_a_stewards_delete_holds_against_older_facts_and_yields_to_newer_ones"
    ),
    "merge-forgets-the-decisions-of-the-loser": (
        "tests/unit/mastering/test_merging.py::test_a_merge_and_then_its_unmerge_restore_all_values"
    ),
    "moved-record-leaves-its-source-untouched": (
        "tests/unit/mastering/test_entity_ids.py::test_a_record_without_a_home_gets_its_own_id_also_after_an_unmerge"
    ),
    "merge-forgets-what-was-held-apart": (
        "tests/unit/mastering/test_remaster.py::test_what_is_held_apart_stays_apart_when_both_are_merged_at_once"
    ),
    "unmerged-records-unite-again": (
        "tests/unit/mastering/test_decisions.py::test_whoever_joins_later_does_not_unite_what_is_apart"
    ),
    "decision-carried-out-once-more": (
        "tests/unit/mastering/test_decisions.py::test_a_decision_that_comes_again_does_not_undo_a_later_one"
    ),
    "keys-replaced-by-those-gained": (
        "tests/unit/mastering/test_corrections.py::"
        "test_a_key_that_did_not_change_unites_still_when_another_one_of_the_record_did"
    ),
    "block-limit-one-too-low": "tests/unit/mastering/test_mastering.py::test_a_key_that_too_many_share_links_nobody",
    "placeholders-of-a-system-are-evidence": (
        "tests/unit/mastering/test_placeholders.py::test_a_rule_may_do_without_the_list_and_a_system_may_have_its_own"
    ),
    "tie-goes-to-the-last-system": (
        "tests/unit/mastering/test_survivorship.py::test_a_full_tie_goes_to_the_first_by_system_and_id"
    ),
    "merge-publishes-what-was-withdrawn": (
        "tests/unit/mastering/test_decisions.py::test_a_merge_does_not_publish_what_was_withdrawn"
    ),
    "new-external-ids-are-no-change": (
        "tests/unit/mastering/test_mastering.py::test_records_with_a_common_key_are_one_entity_in_one_batch_and_over_two"
    ),
    "deleted-again-and-again": (
        "tests/unit/mastering/test_decisions.py::test_a_stewards_delete_holds_against_older_facts_and_yields_to_newer_ones"
    ),
    "merged-into-the-next-and-not-the-last": (
        "tests/unit/mastering/test_decisions.py::test_what_is_merged_along_a_chain_in_one_batch_names_the_last_survivor"
    ),
    "confidence-of-the-last-attribute": (
        "tests/unit/mastering/test_mastering.py::test_a_golden_record_is_as_sure_as_the_least_sure_of_its_attributes[0.5-1.0]"
    ),
    "remaster-looks-once": "tests/unit/mastering/test_remaster.py::test_rules_that_came_later_count_as_if_they_had_been_there",
    "numbers-remembered-before-the-commit": (
        "tests/integration/changelog/test_sqlite_faults.py::test_a_number_that_was_rolled_back_is_not_remembered"
    ),
    "redrive-keeps-the-strikes": (
        "tests/integration/changelog/test_sqlite_suite.py::"
        "TestSqliteStore::test_a_redriven_letter_retries_at_once_and_frees_what_was_parked"
    ),
    "lane-put-in-order-up-to-the-first-dead": (
        "tests/unit/changelog/test_rules.py::test_a_lane_is_put_in_the_states_that_fit_its_order[states1-become1]"
    ),
    "cancelled-resync-goes-on": (
        "tests/integration/changelog/test_sqlite_suite.py::TestSqliteStore::test_what_has_ended_appends_nothing"
    ),
    "what-only-the-selection-reads-is-sent": "tests/unit/event/test_seal.py::test_only_what_the_contract_names_is_carried",
    "least-confidence-is-not-enough": (
        "tests/unit/event/test_seal.py::test_a_record_is_selected_as_the_contract_says[spec2-state2-True]"
    ),
    "retention-of-the-longest": "tests/unit/event/test_seal.py::test_the_classification_is_that_of_what_the_event_carries",
    "tombstone-sent-twice": "tests/unit/event/test_seal.py::test_a_tombstone_reaches_whoever_may_hold_the_record[merged-out]",
    "merge-keeps-silent-about-the-survivor": (
        "tests/unit/event/test_seal.py::test_a_tombstone_reaches_whoever_may_hold_the_record[merged-out]"
    ),
    "replay-under-the-first-message-id": "tests/unit/event/test_headers.py::test_a_replay_has_an_id_of_its_own_which_also_fits",
    "replay-unparks-a-lane": (
        "tests/unit/relay/test_replay_under_way.py::"
        "test_a_change_behind_a_dead_letter_stays_parked_while_a_replay_holds_its_entity"
    ),
    "leaving-in-silence-forgotten": (
        "tests/unit/relay/test_replay.py::test_what_left_the_filter_and_came_back_is_repeated_as_it_was"
    ),
    "outage-kills-deliveries": "tests/unit/relay/test_retry_policy.py::test_an_outage_kills_nothing_however_long_it_lasts",
    "lane-sent-before-it-is-marked": (
        "tests/unit/relay/test_relay.py::test_a_retry_that_crashed_is_repeated_under_the_contract_it_was_sealed_with"
    ),
    "released-although-it-may-have-been-sent": (
        "tests/unit/relay/test_reservation.py::test_a_relay_that_ends_before_it_caught_up_leaves_what_is_unclear_declared"
    ),
    "old-contract-for-one-position-more": (
        "tests/unit/relay/test_contract_revisions.py::test_a_revision_whose_start_a_release_took_back_seals_nothing"
    ),
    "begun-but-not-written-down": (
        "tests/unit/relay/test_replay_under_way.py::"
        "test_a_crash_between_a_send_and_its_progress_repeats_what_was_begun_before_anything_live"
    ),
    "replay-blind-to-the-proof-of-silence": (
        "tests/unit/relay/test_replay.py::test_what_left_the_filter_and_came_back_is_repeated_as_it_was"
    ),
    "resync-leaves-to-the-log-what-an-old-contract-seals": (
        "tests/unit/relay/test_resync.py::"
        "test_what_the_revision_before_will_still_seal_is_judged_and_what_the_newest_seals_is_not"
    ),
    "resync-blind-to-classification": (
        "tests/unit/relay/test_effect.py::test_another_classification_or_retention_changes_what_was_sent"
    ),
    "retried-removal-counts-again": "tests/unit/relay/test_mass_guard.py::test_a_removal_that_is_tried_again_counts_once",
    "memory-takes-a-version-twice": "tests/unit/targets/test_memory.py::TestMemory::test_the_same_event_twice_does_no_harm",
    "reason-of-the-tombstone-not-kept": (
        "tests/unit/consumer/test_consumer.py::test_a_late_upsert_cannot_bring_back_what_is_gone[deleted]"
    ),
    "handled-before-the-version-is-held": (
        "tests/unit/consumer/test_consumer.py::test_apply_works_in_a_transaction_of_the_subscriber"
    ),
    "discarded-letter-stands-in-its-lane": (
        "tests/integration/changelog/test_sqlite_suite.py::TestSqliteStore::"
        "test_a_rewind_refuses_to_bring_back_a_discarded_letter_before_what_may_have_arrived"
    ),
    "replay-renewed-skips-one": (
        "tests/unit/relay/test_replay.py::test_a_contract_that_hides_nothing_skips_no_event_of_a_replay_under_way"
    ),
    "replay-waits-behind-a-dead-letter": (
        "tests/unit/relay/test_replay_under_way.py::test_behind_a_dead_letter_the_position_to_redrive_is_the_dead_letters"
    ),
    "resync-passes-over-what-left": (
        "tests/unit/relay/test_resync.py::test_what_left_and_could_not_come_back_is_sent_again_under_the_same_revision"
    ),
    "resync-overtakes-the-old-contract": (
        "tests/unit/relay/test_resync.py::test_a_resync_waits_until_the_revision_before_has_sealed_all_that_it_seals"
    ),
    "failed-probe-keeps-the-way-shut": ("tests/unit/relay/test_pace.py::test_after_a_success_the_rests_begin_short_again"),
    "resync-forgets-its-progress-with-its-rows": (
        "tests/integration/changelog/test_sqlite_suite.py::"
        "TestSqliteStore::test_a_crash_leaves_neither_rows_nor_progress[resend:after-log]"
    ),
    "whole-row-drops-what-was-said-beside-it": (
        "tests/unit/mastering/test_ties.py::test_an_edge_that_is_said_beside_a_whole_row_outlives_that_row_in_any_order"
    ),
    "correction-takes-along-what-stays": (
        "tests/unit/mastering/test_corrections.py::test_what_shares_a_key_with_a_record_that_stays_stays_too"
    ),
    "removed-edge-stays": "tests/unit/consumer/test_fold.py::test_a_delta_takes_away_what_it_says_is_gone",
}
"""By name of a bug that the simulation lets pass: the unit test that catches it."""
