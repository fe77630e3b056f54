//! API tokens.

use crate::samples::entry;
use vigo_store::{ApiToken, Page, Store, StoreError, TokenId};

fn token(number: u8, expires_at: u64) -> ApiToken {
    ApiToken {
        id: TokenId::from_bytes(&[number; 8]).unwrap(),
        hash: [number; 32],
        user: "alice".into(),
        permissions: vec!["secrets.get".into(), "secrets.list".into()],
        paths: vec!["web/".parse().unwrap()],
        expires_at,
        created_by: "admin".into(),
        created_at: 3,
        mac: vec![number; 32],
    }
}

pub fn an_api_token_comes_back_as_it_was_until_it_is_removed(store: &dyn Store) {
    let token = token(1, 100);
    assert_eq!(store.api_token(&token.id).unwrap(), None);
    store.add_api_token(&token, &[entry("create")]).unwrap();
    assert_eq!(store.api_token(&token.id).unwrap(), Some(token.clone()));
    store.remove_api_token(&token.id, &[entry("rm")]).unwrap();
    assert_eq!(store.api_token(&token.id).unwrap(), None);
    assert!(matches!(store.remove_api_token(&token.id, &[]), Err(StoreError::NotFound { .. })));
    assert_eq!(store.audit_head().unwrap().sequence, 2);
}

pub fn api_tokens_are_paged_and_expired_ones_pruned(store: &dyn Store) {
    for number in 1..=3 {
        store.add_api_token(&token(number, 100 * u64::from(number)), &[]).unwrap();
    }
    let first = store.api_tokens(Page::first(2)).unwrap();
    let rest = store.api_tokens(Page::after(&first.next.unwrap(), 2)).unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (2, 1, None));
    assert_eq!(store.prune_api_tokens(200).unwrap(), 1);
    assert_eq!(store.api_tokens(Page::first(9)).unwrap().items.len(), 2);
}

pub fn everything_but_its_mac_is_under_the_mac_of_an_api_token(_: &dyn Store) {
    let change: [fn(&mut ApiToken); 9] = [
        |one| one.id = TokenId::from_bytes(&[7; 8]).unwrap(),
        |one| one.hash = [7; 32],
        |one| one.user.push('x'),
        |one| drop(one.permissions.pop()),
        |one| one.paths.clear(),
        |one| {
            let moved = one.permissions.pop().unwrap();
            one.paths.insert(0, moved.parse().unwrap());
        },
        |one| one.expires_at += 1,
        |one| one.created_by.push('x'),
        |one| one.created_at += 1,
    ];
    for change in change {
        let mut other = token(1, 100);
        change(&mut other);
        assert_ne!(other.granting_bytes(), token(1, 100).granting_bytes(), "{other:?}");
    }
}
