//! The command line.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use edgepass::options::{self, MOST_SECONDS};

/// Runs WebAssembly applications, and puts tokens on their outgoing requests: by the rules of the configuration's section
/// `http`, and never so that the application holds one. Or makes one component of an application and what does that.
#[derive(Parser)]
// as `edgepass` has it: of an option that is given twice the last one counts
#[command(name = "edgepass-run", version, args_override_self = true)]
pub(crate) struct Arguments {
    /// Say more on standard error: what happens, and twice each request of edgepass's own
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Run a command: a component that exports wasi:cli/run, of WASI 0.2 or 0.3
    Run(RunArguments),
    /// Serve HTTP by a component that exports wasi:http/incoming-handler (WASI 0.2) or wasi:http/handler (0.3)
    ServeHttp(ServeArguments),
    /// Make one component of an application and the credential provider, for any host of WASI 0.3
    ///
    /// The application asks for tokens by edgepass:credentials, or with --http has them put on its requests and holds none.
    Compose(ComposeArguments),
}

#[derive(Args)]
#[command(override_usage = "edgepass compose [OPTIONS] --output <FILE> <APP.wasm>")]
pub(crate) struct ComposeArguments {
    /// The application: a component, or the module of one that cargo leaves
    #[arg(value_name = "APP.wasm", required_unless_present = "token_store")]
    application: Option<PathBuf>,
    /// Where to write the composed component
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Put the HTTP filter between the requests of the application and the network: they get tokens by the rules of the
    /// configuration, and the application none
    #[arg(long)]
    pub(crate) http: bool,
    /// A configuration, JSON, YAML or TOML, that becomes part of the composed component: of its environment nothing is read
    /// then. Otherwise whoever runs it gives one, by the variable EDGEPASS_CONFIG_JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// An import that the application may share with the provider, for example wasi:http/client; once for each. Without it
    /// such an import is refused, and wasi:cli/environment is an empty one
    #[arg(long, value_name = "INTERFACE", value_parser = interface)]
    pub(crate) allow: Vec<String>,
    /// The component by which instances share their tokens: token-store-keyvalue.wasm, over wasi:keyvalue, or another that
    /// exports edgepass:credentials/token-store. Without the option that is an import of the whole
    #[arg(long, value_name = "COMPONENT", num_args = 0..=1, default_missing_value = OF_THE_RELEASE)]
    token_store: Option<PathBuf>,
    /// Take the provider that needs WASI alone (edgepass-standalone.wasm of this release), so that every host of WASI 0.3
    /// runs the composed component, the wasmtime command among them. It reads token files below the folders that it is
    /// given, and has neither certificates nor a token store
    #[arg(long, conflicts_with_all = ["provider", "token_store"])]
    pub(crate) standalone: bool,
    /// The provider; credential-provider.wasm of this release if left out
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) provider: Option<PathBuf>,
    /// The HTTP filter; edgepass-http.wasm of this release if left out
    #[arg(long, value_name = "COMPONENT", requires = "http")]
    pub(crate) filter: Option<PathBuf>,
}

impl ComposeArguments {
    /// The application, and the token store if there is one. What follows an option that need not have a value may be the
    /// application: there is one in any case.
    pub(crate) fn parts(&self) -> (&Path, Option<&Path>) {
        match (&self.application, &self.token_store) {
            (Some(application), store) => (application, store.as_deref()),
            (None, Some(application)) => (application, Some(Path::new(OF_THE_RELEASE))),
            // it is required then
            (None, None) => (Path::new(""), None),
        }
    }
}

/// The store that comes with a release.
pub(crate) const KEYVALUE: &str = "token-store-keyvalue.wasm";

/// In the place of a component that is not named. No file has such a name, also none that is called as the release's.
pub(crate) const OF_THE_RELEASE: &str = "\0";

#[derive(Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) application: ApplicationArguments,
    /// End the application after that many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
    /// The application, a component, and its arguments: what follows the application is its own
    #[arg(value_name = "APP.wasm [ARGUMENT]", required = true, num_args = 1.., trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) application: ApplicationArguments,
    /// The application, a component
    #[arg(value_name = "APP.wasm")]
    pub(crate) path: PathBuf,
    /// Where to listen. Port 0 is any that is free; the address is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = listener)]
    pub(crate) listen: SocketAddr,
    /// The longest time for a request to come to an instance, then for its answer to begin, and for each next part of that,
    /// seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) request_timeout: Duration,
    /// How long a client may take nothing of its answer, seconds. Then its connection is ended
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) write_timeout: Duration,
    /// Requests that are worked on at once. Who comes then waits
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = whole(1..=65_536), allow_negative_numbers = true)]
    pub(crate) max_requests: u32,
    /// How many requests one instance of a WASI 0.3 application works on at once; one of WASI 0.2 works on one
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = whole(1..=4_096), allow_negative_numbers = true)]
    pub(crate) max_requests_per_instance: u32,
    /// Instances of the application at once; who comes when all of them are busy waits. A composed service has a provider
    /// in each of them, which asks for tokens by itself: with 1 all its requests share one. As many as --max-requests if left
    /// out
    #[arg(long, value_name = "NUMBER", value_parser = whole(1..=65_536), allow_negative_numbers = true)]
    pub(crate) max_instances: Option<u32>,
}

#[derive(Args)]
pub(crate) struct ApplicationArguments {
    /// The configuration of identities and rules: JSON, YAML or TOML. Otherwise EDGEPASS_CONFIG names it
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Certification authorities in place of the system's, for token servers and for the application's requests
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A host that the application may ask without a token, beside those of the rules: host, host:port, *.domain,
    /// [IPv6 address]:port, or * for all but the addresses at which clouds give credentials
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
    /// A variable of the application's environment, which is empty otherwise
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// A directory for the application: HOST_PATH, or HOST_PATH::GUEST_PATH. It reads there, and writes with --writable
    #[arg(long, value_name = "PATH[::PATH]")]
    pub(crate) dir: Vec<String>,
    /// The application may write in its directories
    #[arg(long)]
    pub(crate) writable: bool,
    /// Linear memories and tables of one instance, all of them together, MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = whole(1..=4_096), allow_negative_numbers = true)]
    pub(crate) max_memory: u32,
    /// An interface of edgepass:credentials that the application may call, over WASI 0.2 or 0.3. credential-provider gives it
    /// tokens to hold: those of the identities that rules name, or without rules of the default identity
    #[arg(long, value_name = "INTERFACE", value_enum)]
    pub(crate) provide: Vec<Provided>,
    /// An identity whose tokens the application may ask for by --provide, beside those of the rules; * for all
    #[arg(long, value_name = "IDENTITY", requires = "provide")]
    pub(crate) allow_identity: Vec<String>,
    /// Where a record goes of each request that gets a token or is refused one; once for each place. A file or pipe, to which
    /// lines of JSON are appended; - for standard error; the URL of a receiver of logs by OTLP over HTTP, with the headers of
    /// OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) audit: Vec<String>,
}

/// What an application may import of edgepass.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Provided {
    CredentialProvider,
    OpaqueTokens,
    Status,
}

/// A time in seconds, which may have decimals, or in another unit that is named. Less than that no application does anything in.
fn seconds(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(10);

    options::seconds(text)
        .filter(|time| *time >= LEAST)
        .ok_or_else(|| {
            format!(
                "give seconds, from {} to {MOST_SECONDS}: 10, or 0.5 for half a second",
                LEAST.as_secs_f64()
            )
        })
}

/// A whole number of these.
fn whole(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            format!(
                "give a whole number from {} to {}, and no unit",
                range.start(),
                range.end()
            )
        })
    }
}

/// An import of an application.
fn interface(text: &str) -> Result<String, String> {
    match text.contains([',', ' ']) {
        true => Err("it is more than one interface: give --allow once for each".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// An address of this machine with a port.
fn listener(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "give ADDRESS:PORT, 127.0.0.1:8080 for this machine alone, 0.0.0.0:8080 for all who reach it, or [::1]:8080".to_owned()
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    /// With an equals sign or without, before the application or behind it.
    #[test]
    fn a_token_store_is_told_from_an_application() {
        const STORE: Option<&str> = Some("store.wasm");
        for (line, store) in [
            ("app.wasm", None),
            ("app.wasm --token-store", Some(OF_THE_RELEASE)),
            ("--token-store app.wasm", Some(OF_THE_RELEASE)),
            ("--token-store --http app.wasm", Some(OF_THE_RELEASE)),
            ("app.wasm --token-store=store.wasm", STORE),
            ("--token-store=store.wasm app.wasm", STORE),
            ("app.wasm --token-store store.wasm", STORE),
            (
                "app.wasm --token-store token-store-keyvalue.wasm",
                Some(KEYVALUE),
            ),
            ("--token-store store.wasm app.wasm", STORE),
            ("--token-store store.wasm --http app.wasm", STORE),
        ] {
            let words = format!("edgepass-run compose -o out.wasm {line}");
            let arguments = Arguments::try_parse_from(words.split(' '));
            let Ok(Verb::Compose(compose)) = arguments.map(|arguments| arguments.verb) else {
                panic!("{line}");
            };
            let expected = (Path::new("app.wasm"), store.map(Path::new));
            assert_eq!(compose.parts(), expected, "{line}");
        }
        for line in [
            "",
            "--http",
            "a.wasm b.wasm",
            "--token-store a.wasm b.wasm c.wasm",
        ] {
            let words = format!("edgepass-run compose -o out.wasm {line}");
            let words = words.split_whitespace();
            assert!(Arguments::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn of_an_option_that_is_given_twice_the_last_counts() {
        let line = "edgepass-run run -c a --config b --allow-host c --allow-host d app.wasm";
        let arguments = Arguments::try_parse_from(line.split(' '));
        let Ok(Verb::Run(run)) = arguments.map(|arguments| arguments.verb) else {
            panic!("{line}");
        };
        assert_eq!(run.application.config.as_deref(), Some(Path::new("b")));
        assert_eq!(run.application.allow_host, ["c", "d"]);
    }

    #[test]
    fn a_time_is_in_seconds_or_in_the_unit_that_is_named() {
        for (text, ms) in [
            ("1", Some(1_000)),
            ("0.5", Some(500)),
            ("1s", Some(1_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("86400", Some(86_400_000)),
            ("0.01", Some(10)),
            ("0.001", None),
            ("86401", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("inf", None),
            ("NaN", None),
            ("5h", None),
            ("s", None),
            ("", None),
        ] {
            let time = seconds(text).ok();
            assert_eq!(time, ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn where_to_listen_is_an_address_and_a_port() {
        for (text, is_good) in [
            ("127.0.0.1:8080", true),
            ("[::1]:0", true),
            ("8080", false),
            (":8080", false),
            ("localhost:8080", false),
            ("http://127.0.0.1:8080", false),
            ("127.0.0.1", false),
        ] {
            match listener(text) {
                Ok(_) => assert!(is_good, "{text}"),
                Err(said) => assert!(!is_good && said.contains("127.0.0.1:8080"), "{said}"),
            }
        }
    }
}
