//! The closed list of filters, tests and functions. All of them refuse secrets, but for the fixed filters and those that only move values around.

use crate::condition;
use crate::error::{Fault, FaultKind};
use crate::prepare::{AT, PLAIN, TEXT};
use crate::scope::SEED;
use crate::slot::{Tainted, holds_secret, refusal, slot, tainted};
use crate::value::{filtered, text_of, to_json};
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters, functions, tests};
use vigo_base::{Filter, SecretPath};
use vigo_secret::Salt;

/// Where a secret may be in the arguments.
#[derive(Clone, Copy)]
enum Secrets {
    /// Nowhere.
    Refused,
    /// Inside lists and maps, which are only taken apart.
    Inside,
}

macro_rules! wrapped {
    ($($name:literal => $function:path, $secrets:ident;)*) => {
        vec![$(($name, Value::from_function($function), Secrets::$secrets)),*]
    };
}

fn builtin_filters() -> Vec<(&'static str, Value, Secrets)> {
    wrapped! {
        "abs" => filters::abs, Refused;
        "batch" => filters::batch, Inside;
        "bool" => filters::bool, Refused;
        "capitalize" => filters::capitalize, Refused;
        "chain" => filters::chain, Inside;
        "count" => filters::length, Inside;
        "dictsort" => filters::dictsort, Inside;
        "escape" => filters::escape, Refused;
        "first" => filters::first, Inside;
        "float" => filters::float, Refused;
        "format" => filters::format, Refused;
        "groupby" => filters::groupby, Inside;
        "indent" => filters::indent, Refused;
        "int" => filters::int, Refused;
        "items" => filters::items, Inside;
        "last" => filters::last, Inside;
        "length" => filters::length, Inside;
        "lines" => filters::lines, Refused;
        "list" => filters::list, Inside;
        "lower" => filters::lower, Refused;
        "map" => filters::map, Inside;
        "max" => filters::max, Refused;
        "min" => filters::min, Refused;
        "reject" => filters::reject, Inside;
        "rejectattr" => filters::rejectattr, Inside;
        "replace" => filters::replace, Refused;
        "reverse" => filters::reverse, Inside;
        "round" => filters::round, Refused;
        "select" => filters::select, Inside;
        "selectattr" => filters::selectattr, Inside;
        "slice" => filters::slice, Inside;
        "sort" => filters::sort, Refused;
        "split" => filters::split, Refused;
        "sum" => filters::sum, Refused;
        "title" => filters::title, Refused;
        "unique" => filters::unique, Refused;
        "upper" => filters::upper, Refused;
        "zip" => filters::zip, Inside;
    }
}

fn builtin_tests() -> Vec<(&'static str, Value, Secrets)> {
    wrapped! {
        "boolean" => tests::is_boolean, Refused;
        "divisibleby" => tests::is_divisibleby, Refused;
        "endingwith" => tests::is_endingwith, Refused;
        "eq" => tests::is_eq, Refused;
        "equalto" => tests::is_eq, Refused;
        "even" => tests::is_even, Refused;
        "false" => tests::is_false, Refused;
        "float" => tests::is_float, Refused;
        "ge" => tests::is_ge, Refused;
        "greaterthan" => tests::is_gt, Refused;
        "gt" => tests::is_gt, Refused;
        "in" => tests::is_in, Refused;
        "integer" => tests::is_integer, Refused;
        "iterable" => tests::is_iterable, Refused;
        "le" => tests::is_le, Refused;
        "lessthan" => tests::is_lt, Refused;
        "lower" => tests::is_lower, Refused;
        "lt" => tests::is_lt, Refused;
        "mapping" => tests::is_mapping, Inside;
        "ne" => tests::is_ne, Refused;
        "none" => tests::is_none, Refused;
        "number" => tests::is_number, Refused;
        "odd" => tests::is_odd, Refused;
        "sameas" => tests::is_sameas, Refused;
        "sequence" => tests::is_sequence, Inside;
        "startingwith" => tests::is_startingwith, Refused;
        "string" => tests::is_string, Refused;
        "true" => tests::is_true, Refused;
        "upper" => tests::is_upper, Refused;
    }
}

/// Names of filters that a policy may use beside the built-in ones.
const OWN_FILTERS: [&str; 4] = ["default", "d", "join", "string"];
/// Names of tests beside the built-in ones; they ask for the name, not for what it holds.
const OWN_TESTS: [&str; 2] = ["defined", "undefined"];
/// Names of functions that exist everywhere.
const FUNCTIONS: [&str; 4] = ["secret", "range", "dict", "namespace"];

/// Every filter a policy may use.
pub fn filter_names() -> Vec<&'static str> {
    let builtin = builtin_filters().into_iter().map(|(name, ..)| name);
    builtin.chain(OWN_FILTERS).chain(Filter::ALL.into_iter().map(Filter::name)).chain(["e"]).collect()
}

/// Every test a policy may use.
pub fn test_names() -> Vec<&'static str> {
    builtin_tests().into_iter().map(|(name, ..)| name).chain(OWN_TESTS).collect()
}

/// Every function a policy may call.
pub fn function_names() -> Vec<&'static str> {
    FUNCTIONS.into_iter().chain(condition::FUNCTIONS).collect()
}

/// Puts everything into `environment`.
pub fn install(environment: &mut Environment<'static>) {
    for (name, function, secrets) in builtin_filters() {
        environment.add_filter(name, guarded("passed through", name, function, secrets));
    }
    environment.add_filter(
        "e",
        guarded("passed through", "e", Value::from_function(filters::escape), Secrets::Refused),
    );
    for (name, function, secrets) in builtin_tests() {
        let test = guarded("tested with", name, function, secrets);
        environment.add_test(name, move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
            test(state, arguments).map(|value| value.is_true())
        });
    }
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
    environment.add_filter("join", join);
    environment.add_filter("string", |value: &Value| text_of(value));
    environment.add_filter(PLAIN, plain);
    environment.add_filter(TEXT, text);
    environment.add_filter(AT, at);
    for filter in Filter::ALL {
        environment.add_filter(
            filter.name(),
            move |state: &State<'_, '_>, value: &Value, arguments: Rest<Value>| {
                fixed(state, filter, value, &arguments)
            },
        );
    }
    environment.add_function("secret", secret);
    environment.add_function("range", functions::range);
    environment.add_function("dict", functions::dict);
    environment.add_function("namespace", functions::namespace);
    condition::install(environment);
}

fn guarded(
    verb: &'static str,
    name: &'static str,
    function: Value,
    secrets: Secrets,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static {
    move |state, arguments| {
        let arguments = arguments.into_values();
        let hidden = arguments.iter().any(|value| match secrets {
            Secrets::Refused => holds_secret(value),
            Secrets::Inside => value.downcast_object_ref::<Tainted>().is_some(),
        });
        if hidden {
            return Err(refusal(&format!("{verb} `{name}`")));
        }
        function.call(state, &arguments)
    }
}

/// `secret("path")`.
fn secret(arguments: Rest<Value>) -> Result<Value, Error> {
    let [path] = arguments.as_slice() else {
        return Err(Fault::new(FaultKind::Other, "`secret()` takes one path").into());
    };
    if holds_secret(path) {
        return Err(refusal("used in the path of a secret"));
    }
    let path = text_of(path)?
        .parse::<SecretPath>()
        .map_err(|cause| Fault::new(FaultKind::Other, cause.to_string()))?;
    Ok(slot(path, Vec::new()))
}

/// A fixed filter, on a secret or on an ordinary value.
fn fixed(state: &State<'_, '_>, filter: Filter, value: &Value, arguments: &[Value]) -> Result<Value, Error> {
    let hidden = value.downcast_object_ref::<Tainted>();
    if let ([letters], Filter::Trim, None) = (arguments, filter, hidden) {
        let letters: Vec<char> = text_of(letters)?.chars().collect();
        return Ok(Value::from(text_of(value)?.trim_matches(letters.as_slice())));
    }
    if !arguments.is_empty() && hidden.is_some() {
        return Err(refusal(&format!("passed through `{}` with an argument", filter.name())));
    }
    if !arguments.is_empty() {
        return Err(
            Fault::new(FaultKind::Other, format!("`{}` takes no argument here", filter.name())).into()
        );
    }
    if let Some(hidden) = hidden {
        return hidden.filtered(filter);
    }
    if filter == Filter::Json {
        let pieces = to_json(value)?;
        return Ok(match pieces.as_literal() {
            Some(text) => Value::from(text),
            None => tainted(pieces),
        });
    }
    let text = text_of(value)?;
    let salt =
        if matches!(filter, Filter::Sha512Crypt | Filter::Bcrypt) { Some(salt(state, &text)?) } else { None };
    filtered(filter, &text, salt.as_ref()).map(Value::from)
}

/// The salt for an ordinary value: stable on this node, and nothing that the value alone would tell.
fn salt(state: &State<'_, '_>, text: &str) -> Result<Salt, Error> {
    let seed = state
        .lookup(SEED)
        .and_then(|seed| seed.as_bytes().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()));
    let seed = seed.ok_or_else(|| Fault::new(FaultKind::NeedsTraits, "a salt needs the seed of the node"))?;
    Ok(Salt::derive(&seed, b"", "ordinary value", text, 0))
}

/// What is compared or looked up must be no secret.
fn plain(value: &Value) -> Result<Value, Error> {
    if holds_secret(value) { Err(refusal("compared or looked up")) } else { Ok(value.clone()) }
}

/// What is joined by `~` must be text, or become it as we write it.
fn text(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Undefined | ValueKind::Invalid => {
            Ok(value.clone())
        }
        _ => text_of(value).map(Value::from),
    }
}

/// One step of a path that may be missing.
fn at(value: &Value, key: &Value) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() { Ok(Value::UNDEFINED) } else { valid(value.get_item(key)?) }
}

/// The value, or the error it stands for.
pub fn valid(value: Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Invalid {
        return Ok(value);
    }
    Value::from(vec![value]).try_iter()?.checked().next().unwrap_or(Ok(Value::UNDEFINED))
}

/// Joins a list as it would be written item by item.
fn join(value: &Value, between: Option<&Value>) -> Result<Value, Error> {
    let between = between.map(text_of).transpose()?;
    let mut out = String::new();
    for (index, item) in value.try_iter()?.checked().enumerate() {
        if index > 0 {
            out.push_str(between.as_deref().unwrap_or_default());
        }
        out.push_str(&text_of(&item?)?);
        if out.len() > vigo_base::limits::RENDERED {
            return Err(Fault::new(FaultKind::Limit, "the joined text is too long").into());
        }
    }
    Ok(Value::from(out))
}
