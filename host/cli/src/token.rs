//! `edgepass token`.

#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edgepass::{
    Builder, Error, ErrorClass, ErrorDetail, Grant, Provider, Refresh, Secret, Token, TokenRequest,
    process_environment,
};
use zeroize::Zeroizing;

use super::arguments::{ConfigArguments, TokenArguments, TokenFormat};
use super::failure::{Failure, Warnings};
use super::{config, grant, output, watch};

/// Whether what this command presents is spent by being sent: a code, or a refresh token.
static SPENDS: AtomicBool = AtomicBool::new(false);

/// A component, bytes: ours has some hundred thousand.
#[cfg(feature = "compiler")]
const COMPONENT_BYTES: u64 = 64 * 1024 * 1024;

pub(crate) fn run(arguments: &TokenArguments, warnings: &mut Warnings) -> Result<(), Failure> {
    let mut session = Session::begin(
        &arguments.config,
        arguments.identity.as_deref(),
        arguments.timeout,
    );
    let granted = grant::read(&arguments.grant, &arguments.config)?;
    let is_of_a_user = !matches!(granted, Grant::ClientCredentials | Grant::Agent(_));
    SPENDS.store(granted.kind().is_single_use(), Ordering::Relaxed);
    let takes_scopes = arguments.scope.is_empty();
    session.takes_scopes_of_app = takes_scopes && !is_of_a_user;
    let mut request = TokenRequest {
        identity: arguments.identity.clone(),
        tenant: arguments.tenant.clone(),
        claims: arguments.claims.clone(),
        refresh: if arguments.force_refresh {
            Refresh::Force
        } else {
            Refresh::IfNeeded
        },
        grant: granted,
        ..TokenRequest::for_scopes(arguments.scope.iter().cloned())
    };
    let format = arguments.format.unwrap_or(TokenFormat::Json);
    let (ca_file, component) = (arguments.ca_file.as_deref(), arguments.component.as_deref());
    session.run(
        ca_file,
        component,
        warnings,
        async |provider, about, warnings| {
            if takes_scopes && is_of_a_user {
                request.scopes.clone_from(&about.scopes_of_users);
            }
            let token = provider.get_token(&request).await?;
            config::narrate_credentials(provider, &token.identity, &about.direct, warnings).await;
            warnings.add(lost(&token, format).as_slice());
            Ok(token)
        },
        |token| print(&token, format),
    )
}

/// One question to a provider that is built for it, by a command that ends with the answer.
pub(crate) struct Session<'a> {
    config: &'a ConfigArguments,
    identity: Option<&'a str>,
    deadline: Option<(Duration, Instant)>,
    /// The question is an app's own, and the configuration says for which scopes.
    takes_scopes_of_app: bool,
}

/// What there is to know of a configuration besides what its provider does.
pub(crate) struct About {
    /// The credential of the identity in words, where they are logged.
    direct: String,
    /// What requests for users ask for that name no scope, if that is not what the identity itself has.
    pub(crate) scopes_of_users: Vec<String>,
}

impl<'a> Session<'a> {
    /// From here on time counts, for all that is read and asked.
    pub(crate) fn begin(
        config: &'a ConfigArguments,
        identity: Option<&'a str>,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            config,
            identity,
            deadline: timeout.map(|given| (given, watch::deadline(given))),
            takes_scopes_of_app: false,
        }
    }

    /// Asks, and prints the answer.
    pub(crate) fn run<T>(
        self,
        ca_file: Option<&Path>,
        component: Option<&Path>,
        warnings: &mut Warnings,
        ask: impl AsyncFnOnce(&Provider, &About, &mut Warnings) -> Result<T, Error>,
        print: impl FnOnce(T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let document = config::read(self.config)?;
        if let (true, Some(document)) = (self.takes_scopes_of_app, &document) {
            document.check_scopes_of_app()?;
        }
        let process = process_environment();
        let environment = config::environment(document.as_ref(), &process);
        let about = About {
            direct: config::narrate(document.as_ref(), &process, &environment, self.identity),
            scopes_of_users: document
                .as_ref()
                .map_or_else(Vec::new, |document| document.scopes_of_users().to_vec()),
        };
        let json = document.as_ref().map(|document| document.text.as_str());
        let mut builder = config::builder(document.as_ref(), &environment);
        if let Some(path) = ca_file {
            builder = builder.ca_file(path).ca_option("--ca-file");
        }
        if let Some(path) = component {
            builder = with_component(builder, path)?;
        }
        if let Some((_, at)) = self.deadline {
            builder = builder.token_timeout(at.saturating_duration_since(Instant::now()));
        }
        check_open_files()?;
        check_threads()?;
        // one question: more threads would only cost their start
        // time and connections alone: the drivers of signals and processes take files that there may not be
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| Failure::setup(format!("no tokio runtime: {e}")))?;
        let got = runtime.block_on(async {
            let waiting = authorities(ca_file, component.is_some(), json);
            let built = builder.build().await;
            drop(waiting);
            let provider = match built {
                Ok(provider) => provider,
                Err(error) => {
                    config::warn_of_unread(json, &environment, warnings);
                    let failure = config::not_built(error, document.as_ref(), &environment);
                    return Err(config::located(failure, document.as_ref()));
                }
            };
            warnings.add(document.as_ref().map_or(&[], config::Document::notes));
            warnings.add(provider.warnings());
            let answer = within(self.deadline, ask(&provider, &about, warnings)).await;
            // its last answer, too, which no request waits for
            let settled = provider.token_store_settled();
            match self.deadline {
                Some((_, at)) => drop(tokio::time::timeout_at(at.into(), settled).await),
                None => settled.await,
            }
            // no request fails for the store, so nothing else tells of it
            warnings.add(&provider.token_store_faults());
            let answer = answer.map_err(|error| Failure::from(with_proxy_named(error)))?;
            Ok((provider, answer))
        });
        let (provider, answer) = match got {
            Ok(got) => got,
            Err(failure) => {
                // do not wait for what still runs: a file system that hangs, for one
                runtime.shutdown_background();
                return Err(failure);
            }
        };
        let printed = print(answer);
        end(&runtime, provider);
        // The process ends now, and the kernel is quicker at taking back what it has than this program is at giving it back.
        std::mem::forget(runtime);
        printed
    }
}

/// Ends the component and whatever holds secrets with it: its memory is unmapped, which leaves nothing of its many copies.
fn end(runtime: &tokio::runtime::Runtime, provider: Provider) {
    /// Turns of what runs beside: the component's task needs one or two, and a connection's one.
    const TURNS: usize = 8;

    drop(provider);
    runtime.block_on(async {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    });
}

/// The certification authorities that are read while the provider is built, if somebody has named any.
fn authorities(
    ca_file: Option<&Path>,
    is_compiled: bool,
    json: Option<&str>,
) -> Option<watch::Waiting> {
    if is_compiled {
        // it is compiled meanwhile
        return Some(watch::unbounded("the component"));
    }
    config::authorities(ca_file, json).map(watch::file)
}

/// The answer, or an error at that moment, which is so long after the beginning.
async fn within<T>(
    deadline: Option<(Duration, Instant)>,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some((given, at)) = deadline else {
        return answer.await;
    };
    tokio::time::timeout_at(at.into(), answer)
        .await
        .unwrap_or_else(|_| Err(timed_out(given, None)))
}

/// There is no token at the deadline. What is waited for is a server if nothing else is.
pub(crate) fn timed_out(given: Duration, waited_for: Option<&str>) -> Error {
    let may_be_spent = waited_for.is_none() && SPENDS.load(Ordering::Relaxed);
    let hint = match waited_for {
        Some(what) => format!("nothing has come yet of {what}"),
        None if may_be_spent => {
            "the server may have taken the code or refresh token already: start the sign-in again"
                .to_owned()
        }
        None => "the server, or the way to it, is slow; -vv shows the requests".to_owned(),
    };
    let detail = ErrorDetail {
        message: format!(
            "no token in {} s, which is what --timeout gives it",
            given.as_secs_f64()
        ),
        hint: Some(hint),
        retryable: !may_be_spent,
        ..ErrorDetail::default()
    };
    let error = Error::with_detail(ErrorClass::Timeout, detail);
    if waited_for.is_some() {
        error
    } else {
        with_proxy_named(error)
    }
}

/// Whoever has set the proxy of plain http alone may take it for used, where in truth nothing gets through without one.
fn with_proxy_named(error: Error) -> Error {
    const USED: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    const OF_HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];

    if !matches!(error.class(), ErrorClass::Network | ErrorClass::Timeout) {
        return error;
    }
    let is_set = |name: &&str| {
        std::env::var_os(name)
            .is_some_and(|value| value.to_str().is_none_or(|text| !text.trim().is_empty()))
    };
    let Some(name) = OF_HTTP.iter().find(|name| is_set(name)) else {
        return error;
    };
    if USED.iter().any(is_set) {
        return error;
    }
    let proxy = format!(
        "{name} is for plain http and not used: set HTTPS_PROXY if token endpoints are reached through a proxy"
    );
    let mut detail = error.detail().clone();
    detail.hint = Some(match &detail.hint {
        Some(hint) => format!("{proxy}; {hint}"),
        None => proxy,
    });
    Error::with_detail(error.class(), detail)
}

/// Sees to it that there are enough files to open. tokio panics where it cannot have the pair of sockets by which it
/// hears of signals, and what fails later does so with less to say for it.
#[cfg(unix)]
fn check_open_files() -> Result<(), Failure> {
    /// What the runtime, a token file, a bundle of certification authorities and a connection take.
    const FILES: usize = 9;

    let (first, second) = UnixStream::pair().map_err(|error| too_few(&error))?;
    let mut held = vec![second];
    for _ in 2..FILES {
        held.push(first.try_clone().map_err(|error| too_few(&error))?);
    }
    Ok(())
}

/// Sees to it that a thread can be started: names, files and authorities are read on one, and tokio panics without.
fn check_threads() -> Result<(), Failure> {
    let started = std::thread::Builder::new().spawn(|| ());
    // it ends at once
    started
        .map(drop)
        .map_err(|error| {
            Failure::setting(
                "RLIMIT_NPROC",
                format!("this process may start no thread: {error}"),
                "raise the limit: ulimit -u, TasksMax= of systemd, --pids-limit of docker, the pod's limit of process IDs",
            )
        })
}

#[cfg(unix)]
fn too_few(error: &std::io::Error) -> Failure {
    Failure::setting(
        "RLIMIT_NOFILE",
        format!("this process may open too few files: {error}"),
        "raise the limit, to 64 for example: ulimit -n 64, LimitNOFILE= of systemd, --ulimit nofile= of docker",
    )
}

#[cfg(not(unix))]
fn check_open_files() -> Result<(), Failure> {
    Ok(())
}

#[cfg(feature = "compiler")]
fn with_component(builder: Builder, path: &Path) -> Result<Builder, Failure> {
    Ok(builder.component(config::read_file(
        path,
        "--component",
        "component",
        COMPONENT_BYTES,
    )?))
}

#[cfg(not(feature = "compiler"))]
fn with_component(_: Builder, _: &Path) -> Result<Builder, Failure> {
    Err(Failure::setting(
        "--component",
        "this edgepass has no compiler, and runs only the component inside",
        "build one that has it: cargo build --release -p edgepass-cli --features compiler",
    ))
}

/// What the server has issued and this format does not print, if it matters: the refresh token that was sent may be good no
/// more (RFC 9700 section 4.14.2).
fn lost(token: &Token, format: TokenFormat) -> Option<String> {
    (token.refresh_token.is_some() && format != TokenFormat::Json).then(|| {
        "the server has issued a refresh token, which is printed with `-o json` alone: it is lost"
            .to_owned()
    })
}

fn print(token: &Token, format: TokenFormat) -> Result<(), Failure> {
    let text = match format {
        TokenFormat::Json => json(token)?,
        TokenFormat::Header => Zeroizing::new(format!(
            "Authorization: {}\n",
            token.authorization()?.expose()
        )),
        TokenFormat::Token => Zeroizing::new(format!("{}\n", token.token.expose())),
    };
    output::write(text.as_bytes())
}

fn json(token: &Token) -> Result<Zeroizing<String>, Failure> {
    #[derive(serde::Serialize)]
    struct Printed<'a> {
        access_token: &'a str,
        token_type: &'a str,
        expires_on: u64,
        refresh_on: u64,
        scope: &'a str,
        identity: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id_token: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        issued_token_type: Option<&'a str>,
    }
    let printed = Printed {
        access_token: token.token.expose(),
        token_type: &token.token_type,
        expires_on: token.expires_on,
        refresh_on: token.refresh_on,
        scope: &token.scope,
        identity: &token.identity,
        refresh_token: token.refresh_token.as_ref().map(Secret::expose),
        id_token: token.id_token.as_ref().map(Secret::expose),
        issued_token_type: token.issued_token_type.as_deref(),
    };
    let mut text = Zeroizing::new(
        serde_json::to_string(&printed)
            .map_err(|e| Failure::setup(format!("the token cannot be written: {e}")))?,
    );
    text.push('\n');
    Ok(text)
}
