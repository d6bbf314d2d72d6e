//! What the host says of files and settings, in the names that their user has for them.

use edgepass_core::{Config, CredentialState, CredentialTrial, Error, IdentityStatus};
use edgepass_settings::Names;

use crate::instance::Answer;

/// Whose names those are.
pub(crate) enum Words {
    /// The document's own.
    Document,
    /// Those of variables, which alone describe the identity.
    Variables(Box<Config>),
    /// Those of other settings, of which the document was made.
    Imported(Names),
}

impl Words {
    /// That text in these names.
    pub(crate) fn say(&self, text: &str) -> String {
        match self {
            Self::Document => text.to_owned(),
            Self::Variables(config) => config.in_variables(text),
            Self::Imported(names) => names.say(text, None),
        }
    }

    /// What the component says, in these names. Of variables it has them itself.
    pub(crate) fn answer(&self, result: Result<Answer, Error>) -> Result<Answer, Error> {
        let Self::Imported(names) = self else {
            return result;
        };
        match result {
            Ok(Answer::Trials(mut trials)) => {
                trials
                    .iter_mut()
                    .for_each(|trial| explain_trial(names, trial));
                Ok(Answer::Trials(trials))
            }
            Ok(Answer::Status(mut identities)) => {
                identities
                    .iter_mut()
                    .for_each(|identity| explain_status(names, identity));
                Ok(Answer::Status(identities))
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(names.explain(error)),
        }
    }
}

/// What the component says, each hint as that has it.
pub(crate) fn with_hints(
    result: Result<Answer, Error>,
    explain: impl Fn(&str) -> String,
) -> Result<Answer, Error> {
    let explain =
        |error: Error| error.edit(|detail| detail.hint = detail.hint.as_deref().map(&explain));
    match result {
        Ok(Answer::Trials(mut trials)) => {
            for trial in &mut trials {
                trial.problem = trial.problem.take().map(&explain);
            }
            Ok(Answer::Trials(trials))
        }
        other => other.map_err(explain),
    }
}

fn explain_trial(names: &Names, trial: &mut CredentialTrial) {
    let problem = trial.problem.take();
    let credential = &trial.credential;
    // its error need not name it
    let with_credential = |error: Error| {
        error.edit(|detail| {
            detail.credential.get_or_insert_with(|| credential.clone());
        })
    };
    trial.problem = problem.map(|error| names.explain(with_credential(error)));
}

fn explain_status(names: &Names, status: &mut IdentityStatus) {
    let say = |text: &str| names.say(text, Some(&status.identity));
    if let Some(failure) = &mut status.last_failure {
        failure.message = say(&failure.message);
    }
    for credential in &mut status.credentials {
        if let CredentialState::Aside { failure, .. } = &mut credential.state {
            failure.message = say(&failure.message);
        }
    }
}
