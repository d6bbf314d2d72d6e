//! Why a text is refused and what to write in its place, for whoever knows which setting it was. It judges nothing itself.

/// Why a text is refused; the caller knows which setting it was. One pointer, because every rule hands it on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal(Box<Reason>);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reason {
    /// Continues the name of the setting.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(Box::new(Reason {
            message: message.into(),
            hint: hint.into(),
        }))
    }

    pub(crate) fn into_reason(self) -> Reason {
        *self.0
    }
}

impl std::ops::Deref for Refusal {
    type Target = Reason;

    fn deref(&self) -> &Reason {
        &self.0
    }
}
