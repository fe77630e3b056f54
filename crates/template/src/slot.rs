//! The engine's view of a text with secrets in it: an object that can be placed and filtered, and refuses all else.

use crate::error::Fault;
use crate::problem::SECRET_HELP;
use crate::session;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};
use minijinja::{Error, State, Value};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use vigo_base::{Filter, Piece, Pieces, SecretPath, Slot};

/// A text with secrets in it. It holds names and filters, never a value.
#[derive(Debug)]
pub struct Tainted(pub Pieces);

/// The value for a text with secrets in it.
pub fn tainted(pieces: Pieces) -> Value {
    session::taint();
    Value::from_object(Tainted(pieces))
}

/// The value for one secret.
pub fn slot(path: SecretPath, filters: Vec<Filter>) -> Value {
    let mut pieces = Pieces::default();
    pieces.push_slot(Slot { path, filters });
    tainted(pieces)
}

/// The error for doing `what` to a secret.
pub fn refusal(what: &str) -> Error {
    Fault::secret(format!("a secret cannot be {what}")).help(SECRET_HELP).into()
}

impl Tainted {
    /// With one more filter on its way.
    pub fn filtered(&self, filter: Filter) -> Result<Value, Error> {
        match self.0.as_slice() {
            [Piece::Slot(one)] => {
                let mut filters = one.filters.clone();
                if filters.len() >= 8 {
                    return Err(refusal("passed through more than 8 filters"));
                }
                filters.push(filter);
                Ok(slot(one.path.clone(), filters))
            }
            _ => {
                Err(refusal(&format!("passed through `{}` together with the text around it", filter.name())))
            }
        }
    }
}

impl Object for Tainted {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from(refusal("looked into")))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        session::refuse("iterated over or measured");
        Enumerator::NonEnumerable
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn is_true(self: &Arc<Self>) -> bool {
        session::refuse("used as a condition");
        false
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        Err(refusal("called"))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        Err(refusal(&format!("used with `.{method}()`")))
    }

    fn custom_cmp(self: &Arc<Self>, _: &DynObject) -> Option<Ordering> {
        session::refuse("compared");
        Some(Ordering::Equal)
    }

    /// The engine writes a value like this where it makes one text of it and another. It cannot fail here without a panic.
    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        session::refuse("joined to other text");
        Ok(())
    }
}

/// True if a secret stands in `value` at any depth.
pub fn holds_secret(value: &Value) -> bool {
    session::is_tainted() && search(value, 0)
}

fn search(value: &Value, depth: usize) -> bool {
    if value.downcast_object_ref::<Tainted>().is_some() {
        return true;
    }
    let Some(object) = value.as_object().filter(|_| depth < 64) else { return false };
    match object.repr() {
        ObjectRepr::Map => object.try_iter_pairs().is_some_and(|mut pairs| {
            pairs.any(|(key, value)| search(&key, depth + 1) || search(&value, depth + 1))
        }),
        ObjectRepr::Seq | ObjectRepr::Iterable => {
            object.try_iter().is_some_and(|mut items| items.any(|item| search(&item, depth + 1)))
        }
        _ => false,
    }
}
