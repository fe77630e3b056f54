//! One list of types, and types behind one pointer.

use crate::{Applied, AttributeProblem, Attributes, Context, Failure, Host, Plan, TypeInfo};
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

/// A resource type: parse, plan, apply, in this order and once each a run.
pub trait Resource: Sized + 'static {
    /// What apply has to know of the plan.
    type Steps: 'static;

    /// What the type says of itself.
    const INFO: &'static TypeInfo;

    /// Takes rendered attributes. All problems are reported, not only the first; a name that nobody took is one of them.
    fn parse(attributes: Attributes) -> Result<Self, Vec<AttributeProblem>>;

    /// Finds out what is to be done. It cannot change anything.
    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Self::Steps>, Failure>;

    /// Does what the plan says, and nothing else.
    fn apply(
        &self,
        host: &mut dyn Host,
        context: &Context<'_>,
        steps: Self::Steps,
    ) -> Result<Applied, Failure>;
}

/// Steps of a type that is not known here.
pub struct AnySteps(Box<dyn Any>);

impl fmt::Debug for AnySteps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AnySteps")
    }
}

/// A resource of a type that is not known here.
pub trait AnyResource {
    /// [`Resource::plan`].
    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<AnySteps>, Failure>;

    /// [`Resource::apply`].
    fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: AnySteps) -> Result<Applied, Failure>;
}

impl<R: Resource> AnyResource for R {
    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<AnySteps>, Failure> {
        Ok(match Resource::plan(self, host, context)? {
            Plan::Unchanged(how) => Plan::Unchanged(how),
            Plan::Change { outcome, change, steps } => {
                Plan::Change { outcome, change, steps: AnySteps(Box::new(steps)) }
            }
        })
    }

    fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: AnySteps) -> Result<Applied, Failure> {
        match steps.0.downcast::<R::Steps>() {
            Ok(steps) => Resource::apply(self, host, context, *steps),
            Err(_) => Err(Failure::failed(format!(
                "the steps given to `{}` are of another type; this is a bug in vigo",
                context.id
            ))),
        }
    }
}

/// A type, as the registry holds it.
pub trait ResourceType: Sync {
    /// What the type says of itself.
    fn info(&self) -> &'static TypeInfo;

    /// [`Resource::parse`].
    fn parse(&self, attributes: Attributes) -> Result<Box<dyn AnyResource>, Vec<AttributeProblem>>;
}

/// A type as a value, without one of its resources.
#[derive(Debug)]
pub struct TypeOf<R>(PhantomData<fn() -> R>);

impl<R> TypeOf<R> {
    /// The type.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R> Default for TypeOf<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Resource> ResourceType for TypeOf<R> {
    fn info(&self) -> &'static TypeInfo {
        R::INFO
    }

    fn parse(&self, attributes: Attributes) -> Result<Box<dyn AnyResource>, Vec<AttributeProblem>> {
        R::parse(attributes).map(|resource| Box::new(resource) as Box<dyn AnyResource>)
    }
}

/// The list of types. There is one, made by [`registry!`](crate::registry!).
pub struct Registry(&'static [&'static dyn ResourceType]);

impl Registry {
    /// A list of types.
    #[must_use]
    pub const fn new(types: &'static [&'static dyn ResourceType]) -> Self {
        Self(types)
    }

    /// The type of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'static dyn ResourceType> {
        self.0.iter().copied().find(|kind| kind.info().name == name)
    }

    /// Every type, in the order of the manual.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn ResourceType> {
        self.0.iter().copied()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.iter().map(|kind| kind.info().name)).finish()
    }
}

/// Makes the registry: one line a type, and nothing else has to be touched for a new one.
#[macro_export]
macro_rules! registry {
    ($(#[$meta:meta])* $visibility:vis static $name:ident = [$($type:ty),+ $(,)?];) => {
        $(#[$meta])*
        $visibility static $name: $crate::Registry =
            $crate::Registry::new(&[$(&$crate::TypeOf::<$type>::new() as &dyn $crate::ResourceType),+]);
    };
}
