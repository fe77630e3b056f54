//! The one suite that every kind of store passes. A case knows the trait only; a new kind is one more line at the end of this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod api_tokens;
mod audit;
mod deployment;
mod enrolment;
mod envoys;
mod policies;
mod publishes;
mod runs;
mod samples;
mod secrets;
mod uses;

use vigo_store::{SqliteStore, Store};

fn sqlite(case: fn(&dyn Store)) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("private/store.db")).unwrap();
    case(&store);
}

macro_rules! cases {
    ($kind:ident; $($topic:ident: $($case:ident)*;)*) => {
        mod $kind {
            $(mod $topic { $(#[test] fn $case() { crate::$kind(crate::$topic::$case); })* })*
        }
    };
}

macro_rules! conformance {
    ($kind:ident) => {
        cases! { $kind;
        deployment:
            a_new_store_is_empty_and_is_founded_once
            a_store_that_holds_anything_is_not_founded
            the_term_only_rises
            versions_up_to_the_floor_are_not_given_again
            keys_are_found_by_purpose_newest_first_and_retired_last
            a_key_is_retired_once;
        publishes:
            versions_count_up_and_the_last_is_current
            a_stale_base_is_refused_and_changes_nothing
            a_tree_and_its_bundles_come_back_as_they_were
            a_bundle_that_no_version_has_is_not_given
            a_bundle_with_another_digest_is_refused
            what_is_too_large_is_refused
            history_is_paged_newest_first;
        enrolment:
            a_use_is_spent_with_the_envoy
            the_same_request_again_gets_the_same_answer_and_spends_nothing
            spent_expired_and_unknown_tokens_are_refused_and_store_nothing
            a_name_has_one_living_id
            a_token_that_replaces_revokes_the_holder
            a_holder_unseen_for_a_week_loses_its_name
            an_id_never_returns
            uses_are_spent_once_each_however_many_come_at_once
            expired_tokens_are_pruned_with_their_answers
            tokens_are_paged_and_removed
            a_refused_enrolment_leaves_no_audit_record;
        envoys:
            check_ins_are_written_in_batches_and_time_does_not_go_back
            traits_are_kept_whole
            an_assignment_is_only_followed_by_a_newer_one
            two_assignments_are_kept
            a_continuity_value_and_the_one_before_are_kept
            a_revoked_envoy_stays_revoked_and_only_it_can_be_removed
            a_quarantined_envoy_can_be_approved
            envoys_are_listed_by_prefix_and_page
            a_name_finds_the_living_envoy_before_the_revoked
            what_is_not_there_is_an_error_that_names_it;
        secrets:
            versions_count_up_one_by_one
            the_record_that_was_stored_comes_back
            a_removed_secret_is_gone_and_its_numbers_are_not_used_again
            changes_are_one_sequence_over_all_secrets
            secrets_are_listed_by_prefix_and_page
            history_is_paged_newest_first
            entitlement_is_read_in_one_moment
            a_record_that_is_too_large_is_refused;
        policies:
            policies_are_replaced_as_a_set_and_come_back_as_they_were
            only_the_next_revision_is_taken
            a_policy_that_changes_is_a_change_of_the_secrets_it_covers
            policies_are_read_in_the_moment_that_resolves
            more_policies_than_a_server_reads_are_refused;
        uses:
            the_last_use_of_each_is_kept
            where_a_secret_can_be_seen_goes_with_its_envoy;
        api_tokens:
            an_api_token_comes_back_as_it_was_until_it_is_removed
            api_tokens_are_paged_and_expired_ones_pruned
            everything_but_its_mac_is_under_the_mac_of_an_api_token;
        runs:
            a_report_is_stored_once
            the_last_real_run_stands_on_the_envoy
            only_the_last_runs_of_an_envoy_are_kept
            runs_are_paged_newest_first
            an_unknown_outcome_counts_as_failed
            a_run_of_nobody_is_refused;
        audit:
            records_form_a_chain_that_verifies
            records_of_a_change_stand_and_fall_with_it
            many_appends_at_once_lose_nothing_and_keep_the_chain
            an_overlong_field_is_refused_and_nothing_is_appended
            records_are_paged_newest_first
            foreign_cursors_are_refused;
        }
    };
}

conformance!(sqlite);
