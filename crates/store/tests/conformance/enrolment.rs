//! Tokens and enrolment.

use crate::samples::{assignment, enrol, enrolment, entry, envoy, id, token};
use vigo_base::Digest;
use vigo_store::{
    Enrolled, Enrolment, EnvoyState, NewEnvoy, Page, Posture, Sighting, Store, StoreError, Token, TokenId,
};

const WEEK: u64 = 7 * 24 * 60 * 60;

fn long(number: u8) -> Token {
    Token { expires_at: 100 * WEEK, ..token(number, 5) }
}

pub fn a_use_is_spent_with_the_envoy(store: &dyn Store) {
    let token = token(1, 2);
    store.add_token(&token, &[]).unwrap();
    assert!(store.token(&token.id).unwrap().unwrap() == token, "a token comes back as it was stored");
    let new = envoy("web-1", 9);
    let first = assignment(new.id, 1, 1);
    let enrolled = store
        .enrol(
            &Enrolment { assignment: Some(&first), ..enrolment(&token.id, b"r", 20, &new) },
            &[entry("web-1")],
        )
        .unwrap();
    assert_eq!(enrolled, Enrolled::New { replaced: None });
    assert_eq!(store.token(&token.id).unwrap().unwrap().uses_left, 1);
    let stored = store.envoy(&new.id).unwrap().unwrap();
    assert_eq!(stored.identity, new);
    assert_eq!((stored.state, stored.enrolled_at, stored.last_seen), (EnvoyState::Active, 20, None));
    assert_eq!(stored.environment, "production");
    assert_eq!(store.assignments(&new.id).unwrap(), [first]);
    assert_eq!(store.audit_head().unwrap().sequence, 1);
}

pub fn the_same_request_again_gets_the_same_answer_and_spends_nothing(store: &dyn Store) {
    let token = token(1, 1);
    store.add_token(&token, &[]).unwrap();
    let new = envoy("web-1", 9);
    store.enrol(&enrolment(&token.id, b"r", 20, &new), &[]).unwrap();
    let other = envoy("web-1", 10);
    let again = Enrolment { answer: b"another answer", ..enrolment(&token.id, b"r", 2_000, &other) };
    assert_eq!(store.enrol(&again, &[entry("again")]).unwrap(), Enrolled::Again(b"welcome".to_vec()));
    assert_eq!(store.envoy(&id(10)).unwrap(), None);
    assert_eq!(store.audit_head().unwrap().sequence, 0);
    let answer = store.answered(&token.id, &Digest::of(b"r")).unwrap();
    assert_eq!(answer.as_deref(), Some(b"welcome".as_slice()));
    assert_eq!(store.answered(&token.id, &Digest::of(b"s")).unwrap(), None);
}

pub fn spent_expired_and_unknown_tokens_are_refused_and_store_nothing(store: &dyn Store) {
    let token = token(1, 1);
    store.add_token(&token, &[]).unwrap();
    let (one, two) = (envoy("web-1", 1), envoy("web-2", 2));
    let late = enrolment(&token.id, b"late", 1_000, &one);
    assert!(matches!(store.enrol(&late, &[]), Err(StoreError::TokenExpired)));
    store.enrol(&enrolment(&token.id, b"r1", 999, &one), &[]).unwrap();
    assert!(matches!(store.enrol(&enrolment(&token.id, b"r2", 999, &two), &[]), Err(StoreError::TokenSpent)));
    let unknown = TokenId::from_bytes(b"?").unwrap();
    assert!(matches!(store.enrol(&enrolment(&unknown, b"r3", 20, &two), &[]), Err(StoreError::TokenUnknown)));
    assert_eq!(store.envoy(&id(2)).unwrap(), None);
}

pub fn a_name_has_one_living_id(store: &dyn Store) {
    let holder = enrol(store, "web-1", 1);
    let token = token(2, 1);
    store.add_token(&token, &[]).unwrap();
    let new = envoy("web-1", 2);
    let taken = store.enrol(&enrolment(&token.id, b"r", 30, &new), &[]).unwrap_err();
    assert!(matches!(taken, StoreError::NameTaken { .. }));
    assert!(taken.to_string().contains("vigocli envoys revoke web-1"), "{taken}");
    assert_eq!(store.token(&token.id).unwrap().unwrap().uses_left, 1, "a refusal spends nothing");
    store.set_envoy_state(&holder, EnvoyState::Revoked, &[]).unwrap();
    let enrolled = store.enrol(&enrolment(&token.id, b"r", 30, &new), &[]).unwrap();
    assert_eq!(enrolled, Enrolled::New { replaced: None });
}

pub fn a_token_that_replaces_revokes_the_holder(store: &dyn Store) {
    let holder = enrol(store, "web-1", 1);
    let token = Token { replace: true, ..token(2, 1) };
    store.add_token(&token, &[]).unwrap();
    let before = store.audit_head().unwrap().sequence;
    let enrolled =
        store.enrol(&enrolment(&token.id, b"r", 30, &envoy("web-1", 2)), &[entry("web-1")]).unwrap();
    assert_eq!(enrolled, Enrolled::New { replaced: Some(holder) });
    let written = store.audit(Page::first(9)).unwrap().items;
    assert_eq!(store.audit_head().unwrap().sequence, before + 2);
    assert_eq!(
        (written[0].entry.action.as_str(), written[0].entry.object.as_str()),
        ("envoys.write", "web-1")
    );
    assert!(written[0].entry.detail.contains(&format!("revoked {holder}")), "{written:?}");
    assert_eq!(store.envoy(&holder).unwrap().unwrap().state, EnvoyState::Revoked);
    assert_eq!(store.envoy_named("web-1").unwrap().unwrap().identity.id, id(2));
}

pub fn a_holder_unseen_for_a_week_loses_its_name(store: &dyn Store) {
    let holder = enrol(store, "web-1", 1);
    let sighting =
        Sighting { envoy: holder, at: 1_000, agent_version: "0.1.0".into(), posture: Posture::default() };
    store.record_sightings(&[sighting]).unwrap();
    store.add_token(&long(2), &[]).unwrap();
    let token = long(2).id;
    let new = envoy("web-1", 2);
    let early = store.enrol(&enrolment(&token, b"r", 999 + WEEK, &new), &[]);
    assert!(matches!(early, Err(StoreError::NameTaken { .. })));
    let enrolled = store.enrol(&enrolment(&token, b"r", 1_000 + WEEK, &new), &[]).unwrap();
    assert_eq!(enrolled, Enrolled::New { replaced: Some(holder) });
}

pub fn an_id_never_returns(store: &dyn Store) {
    let first = enrol(store, "web-1", 1);
    store.set_envoy_state(&first, EnvoyState::Revoked, &[]).unwrap();
    store.remove_envoy(&first, &[]).unwrap();
    store.add_token(&token(2, 1), &[]).unwrap();
    let back = NewEnvoy { id: first, ..envoy("web-2", 3) };
    let refused = store.enrol(&enrolment(&token(2, 1).id, b"r", 30, &back), &[]);
    assert!(matches!(refused, Err(StoreError::IdUsed { .. })));
    assert_eq!(store.token(&token(2, 1).id).unwrap().unwrap().uses_left, 1);
}

pub fn uses_are_spent_once_each_however_many_come_at_once(store: &dyn Store) {
    let token = token(200, 3);
    store.add_token(&token, &[]).unwrap();
    let enrolled = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=8_u8)
            .map(|number| {
                let token = &token.id;
                scope.spawn(move || {
                    let new = envoy(&format!("web-{number}"), number);
                    store.enrol(&enrolment(token, &[number], 20, &new), &[]).is_ok()
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|done| *done).count()
    });
    assert_eq!(enrolled, 3);
    assert_eq!(store.token(&token.id).unwrap().unwrap().uses_left, 0);
    assert_eq!(store.envoys("", Page::first(100)).unwrap().items.len(), 3);
}

pub fn expired_tokens_are_pruned_with_their_answers(store: &dyn Store) {
    enrol(store, "web-1", 1);
    store.add_token(&long(2), &[]).unwrap();
    assert_eq!(store.prune_tokens(1_001).unwrap(), 1);
    assert!(store.token(&token(1, 1).id).unwrap().is_none());
    assert_eq!(store.answered(&token(1, 1).id, &Digest::of(&[1])).unwrap(), None);
    assert!(store.token(&long(2).id).unwrap().is_some());
}

pub fn tokens_are_paged_and_removed(store: &dyn Store) {
    for number in 1..=3 {
        store.add_token(&token(number, 1), &[]).unwrap();
    }
    let first = store.tokens(Page::first(2)).unwrap();
    assert_eq!(first.items.len(), 2);
    let rest = store.tokens(Page::after(&first.next.unwrap(), 2)).unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    store.remove_token(&token(3, 1).id, &[entry("token")]).unwrap();
    assert!(matches!(store.remove_token(&token(3, 1).id, &[]), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.tokens(Page::after("zz", 2)), Err(StoreError::Cursor)));
}

pub fn a_refused_enrolment_leaves_no_audit_record(store: &dyn Store) {
    let token = token(1, 0);
    store.add_token(&token, &[]).unwrap();
    let refused = store.enrol(&enrolment(&token.id, b"r", 20, &envoy("web-1", 1)), &[entry("web-1")]);
    assert!(matches!(refused, Err(StoreError::TokenSpent)));
    assert_eq!(store.audit_head().unwrap().sequence, 0);
}
