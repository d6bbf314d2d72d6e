//! What a field may be beside a plain value: an object or a list of them, and what not every build reads.

#[cfg(feature = "every-credential")]
use crate::Table;

// An object, or a list of such objects. Who has it as a field describes it.
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(untagged, inline)
)]
pub(crate) enum OneOrMore<T> {
    One(T),
    More(#[cfg_attr(feature = "schema", schemars(length(min = 1, max = 16)))] Vec<T>),
}

impl<T> OneOrMore<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// Objects that the command alone has a use for, which has the schema as well. Elsewhere they are let through unread: the
/// code of each type is something that Envoy compiles.
#[cfg(feature = "schema")]
pub type ForTheCommand<T> = Vec<T>;

/// Whether there are objects that the command alone has a use for; with the feature `schema` it is a list of them.
#[cfg(not(feature = "schema"))]
pub type ForTheCommand<T> = Option<std::marker::PhantomData<T>>;

/// An object that builds with every credential read. The others know that it is there.
#[cfg(feature = "every-credential")]
pub(crate) type ForEveryBuild<T> = Option<T>;

/// An object that builds with every credential read. The others know that it is there.
#[cfg(not(feature = "every-credential"))]
pub(crate) type ForEveryBuild<T> = Option<std::marker::PhantomData<T>>;

/// An object that builds with Key Vault read. The others know that it is there.
#[cfg(feature = "key-vault")]
pub(crate) type ForKeyVaults<T> = Option<T>;

/// An object that builds with Key Vault read. The others know that it is there.
#[cfg(not(feature = "key-vault"))]
pub(crate) type ForKeyVaults<T> = Option<std::marker::PhantomData<T>>;

/// A text that builds with every credential read. The others know that it is there.
#[cfg(feature = "every-credential")]
pub(crate) type TextForEveryBuild = Option<String>;

/// The same, a list of texts.
#[cfg(feature = "every-credential")]
pub(crate) type TextsForEveryBuild = Vec<String>;

/// The same, parameters of a request: names, and a text or a list of texts each.
#[cfg(feature = "every-credential")]
pub(crate) type Parameters = Table<String, OneOrMore<String>>;

#[cfg(not(feature = "every-credential"))]
pub(crate) type TextForEveryBuild = Unread;

#[cfg(not(feature = "every-credential"))]
pub(crate) type TextsForEveryBuild = Unread;

#[cfg(not(feature = "every-credential"))]
pub(crate) type Parameters = Unread;

/// Whether something is there that this build does not read.
#[cfg(not(feature = "every-credential"))]
pub(crate) type Unread = Option<()>;
