//! The suite finds what it is there to find: a type for each promise that it breaks.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;
use vigo_base::{AbsolutePath, Mode, Pieces};
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Change, Context, Example, Failure, Host, Kind,
    Outcome, Ownership, Placement, Plan, Provides, Resource, SecretRule, TypeInfo,
};
use vigo_testkit::suite::check;

static ATTRIBUTES: [AttributeInfo; 2] = [
    AttributeInfo::new("path", Kind::Path, "Where.").identity(),
    AttributeInfo::new("content", Kind::Text, "What.").secrets(SecretRule::Unexposed),
];

const fn info(name: &'static str) -> TypeInfo {
    TypeInfo {
        name,
        doc: "A file for this test.",
        attributes: &ATTRIBUTES,
        states: &[],
        later: &[],
        exclusive: &[],
        provides: Provides::Path("path"),
        timeout: Duration::from_secs(1),
        examples: &[Example { title: "One", policy: "type: x\n" }],
    }
}

struct Body {
    path: AbsolutePath,
    content: Pieces,
}

fn parse(mut attributes: Attributes) -> Result<Body, Vec<AttributeProblem>> {
    let (path, content) = (attributes.path("path"), attributes.pieces("content"));
    attributes.finish(path.map(|path| Body { path, content: content.unwrap_or_default() }))
}

fn placement(body: &Body) -> Placement {
    Placement {
        path: body.path.clone(),
        mode: Mode::SECRET,
        ownership: Ownership::default(),
        in_place: false,
        validation: None,
    }
}

fn differs(body: &Body, host: &dyn Host, context: &Context<'_>) -> Result<bool, Failure> {
    Ok(host.compare_text(&body.path, &body.content, context)? != vigo_resource::Comparison::Same)
}

fn changed(line: String) -> Plan<()> {
    Plan::Change { outcome: Outcome::Updated, change: Change::line(line), steps: () }
}

macro_rules! broken {
    ($type:ident, $name:literal, $plan:expr, $apply:expr) => {
        struct $type(Body);
        impl Resource for $type {
            type Steps = ();
            const INFO: &'static TypeInfo = {
                static INFO: TypeInfo = info($name);
                &INFO
            };
            fn parse(attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
                parse(attributes).map(Self)
            }
            fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<()>, Failure> {
                let plan: fn(&Body, &dyn Host, &Context<'_>) -> Result<Plan<()>, Failure> = $plan;
                plan(&self.0, host, context)
            }
            fn apply(&self, host: &mut dyn Host, context: &Context<'_>, (): ()) -> Result<Applied, Failure> {
                let apply: fn(&Body, &mut dyn Host, &Context<'_>) -> Result<(), Failure> = $apply;
                apply(&self.0, host, context).map(|()| Applied::default())
            }
        }
    };
}

fn honest_plan(body: &Body, host: &dyn Host, context: &Context<'_>) -> Result<Plan<()>, Failure> {
    if differs(body, host, context)? { Ok(changed("write".into())) } else { Ok(Plan::unchanged()) }
}

fn honest_apply(body: &Body, host: &mut dyn Host, context: &Context<'_>) -> Result<(), Failure> {
    host.write_text(&placement(body), &body.content, context)
}

broken!(Honest, "honest", honest_plan, honest_apply);
broken!(Endless, "endless", |_, _, _| Ok(changed("write".into())), honest_apply);
broken!(
    Talking,
    "talking",
    |body, host, context| {
        Ok(if differs(body, host, context)? {
            changed("token canary-f00d".into())
        } else {
            Plan::unchanged()
        })
    },
    honest_apply
);
broken!(
    Forgetful,
    "forgetful",
    |body, host, context| {
        // Takes its mark for the goal, and sets the mark first.
        let mark = format!("{}.mark", body.path).parse().unwrap();
        let _ = context;
        Ok(if host.entry(&mark)?.is_some() { Plan::unchanged() } else { changed("write".into()) })
    },
    |body, host, context| {
        let mark = Placement { path: format!("{}.mark", body.path).parse().unwrap(), ..placement(body) };
        host.write_text(&mark, &Pieces::default(), context)?;
        honest_apply(body, host, context)
    }
);
broken!(
    Careless,
    "careless",
    |body, host, context| {
        // Takes a machine that cannot be looked at for one that is as it should be.
        Ok(if differs(body, host, context).unwrap_or(false) {
            changed("write".into())
        } else {
            Plan::unchanged()
        })
    },
    honest_apply
);

const CASES: &str = "
case: it is made
before:
  folder /etc
  secret web/token canary-f00d
resource:
  path: /etc/x
  content: secret:web/token
expect: updated
after:
  file /etc/x 0600 \"canary-f00d\"

case: it is there
before:
  file /etc/x 0600 \"a\"
resource:
  path: /etc/x
  content: a
expect: unchanged

case: it has no folder
resource:
  path: /nowhere/x
  content: a
expect: failed
";

fn complaints<R: Resource>() -> String {
    let kind: &'static dyn vigo_resource::ResourceType =
        Box::leak(Box::new(vigo_resource::TypeOf::<R>::new()));
    let registry = vigo_resource::Registry::new(Box::leak(Box::new([kind])));
    check(&registry, |_| Some(CASES.to_owned())).join("\n")
}

#[test]
fn an_honest_type_gets_no_complaint() {
    assert_eq!(complaints::<Honest>(), "");
}

#[test]
fn a_type_that_never_ends_is_found() {
    assert!(complaints::<Endless>().contains("the second run is not empty"));
}

#[test]
fn a_type_that_says_a_secret_is_found() {
    assert!(complaints::<Talking>().contains("says the secret `web/token`"));
}

#[test]
fn a_type_that_takes_a_half_done_change_for_the_goal_is_found() {
    assert!(complaints::<Forgetful>().contains("the next run misses the goal"));
}

#[test]
fn a_type_that_swallows_a_failure_is_found() {
    assert!(complaints::<Careless>().contains("claims to have reached the goal"));
}

#[test]
fn a_type_without_cases_or_with_too_few_is_found() {
    let kind: &'static dyn vigo_resource::ResourceType =
        Box::leak(Box::new(vigo_resource::TypeOf::<Honest>::new()));
    let registry = vigo_resource::Registry::new(Box::leak(Box::new([kind])));
    assert_eq!(check(&registry, |_| None), ["honest: no case file"]);
    let few = CASES.split("case: it is there").next().unwrap().to_owned();
    let said = check(&registry, |_| Some(few.clone())).join("\n");
    assert!(said.contains("needs cases with a change, without one, and with a failure"), "{said}");
}

#[test]
fn a_case_that_does_not_hold_is_named() {
    let kind: &'static dyn vigo_resource::ResourceType =
        Box::leak(Box::new(vigo_resource::TypeOf::<Honest>::new()));
    let registry = vigo_resource::Registry::new(Box::leak(Box::new([kind])));
    let wrong = CASES.replace("0600 \"canary-f00d\"", "0644 \"canary-f00d\"");
    let said = check(&registry, |_| Some(wrong.clone())).join("\n");
    assert!(said.contains("it is made: `/etc/x`"), "{said}");
}
