//! The commands of docs/grants.md, as they are printed there, beside the emulator: each gets its token, and what a server issues
//! beside it is where the page says.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Browser, Lab, Ran};
use edgepass_emulator::{App, Mint, User};
use serde_json::{Value, json};

/// What the page has in the place of what is everybody's own.
const AGENT: &str = "AGENT_CLIENT_ID";
const NONCE: &str = "NONCE";
const USER: &str = "alice@contoso.example";
const REDIRECT_URI: &str = "https://app.example/callback";

/// The agent's client ID.
const AGENT_ID: &str = "7c1d2e3f-0000-4000-8000-0000000000a1";

/// The names under which [`commands`] has what is no grant.
const BEGIN: &str = "authorization-url";

struct World {
    lab: Lab,
}

impl World {
    fn new(test: &str) -> Result<Self> {
        let lab = Lab::new(test)?;
        let emulator = &lab.emulator;
        let app = emulator.app(emulator.client_id());
        let app = app.context("no application")?.blueprint();
        emulator.register_app(app.redirect_uri(REDIRECT_URI));
        emulator.register_app(App::new(AGENT_ID).agent_of(emulator.client_id()));
        let user = User::new(USER).of_agent(AGENT_ID);
        let graph = "https://graph.microsoft.com";
        emulator.register_user(user.consent(AGENT_ID, graph, &["User.Read"]));
        Ok(Self { lab })
    }

    /// A file of the page's.
    fn write(&self, name: &str, secret: &str) -> Result<()> {
        self.lab.evidence.secret(name, secret);
        // as an editor leaves it
        self.lab.write(name, format!("{secret}\n")).map(drop)
    }

    /// The token with which a user calls the application.
    fn caller(&self) -> Result<String> {
        let emulator = &self.lab.emulator;
        emulator.user_token(emulator.username(), &emulator.own_resource(), &Mint::new())
    }

    /// An assertion for the token server that is not Entra ID.
    fn assertion(&self) -> Result<String> {
        let mint = Mint::new().audience(&self.lab.emulator.generic_issuer());
        self.lab.emulator.issuer().mint(&mint)
    }

    /// The code of a user who has just signed in, at the address that the page's command prints; the verifier is in its file,
    /// and the nonce comes with the code.
    async fn sign_in(&self) -> Result<(String, String)> {
        let begun = self.run(&command(BEGIN)?, "", "")?.token()?;
        let field = |name: &str| {
            let text = begun.get(name).and_then(Value::as_str);
            text.map(str::to_owned).with_context(|| name.to_owned())
        };
        let (url, state, nonce) = (field("url")?, field("state")?, field("nonce")?);
        self.write("verifier", &field("code_verifier")?)?;
        let url = format!("{url}&login_hint={}", self.lab.emulator.username());
        let (page, next) = Browser::new(&self.lab)?.look(&url).await?;
        let next = next.with_context(|| page.text.clone())?;
        ensure!(next.as_str().starts_with(REDIRECT_URI), "{next}");
        let answer: BTreeMap<_, _> = next.query_pairs().collect();
        ensure!(answer.get("state").is_some_and(|said| *said == state));
        let code = answer.get("code").context("no code")?.to_string();
        self.lab.evidence.secret("code", &code);
        Ok((code, nonce))
    }

    /// A refresh token, by a command of its own.
    async fn refresh_token(&self) -> Result<String> {
        let (code, nonce) = self.sign_in().await?;
        let ran = self.run(&command("authorization-code")?, &code, &nonce)?;
        let token = ran.token()?;
        let token = token.get("refresh_token").and_then(Value::as_str);
        let token = token.context("none came")?;
        self.lab.evidence.secret("refresh token", token);
        Ok(token.to_owned())
    }

    /// The configuration of the token server that is not Entra ID.
    fn elsewhere(&self) -> Value {
        let emulator = &self.lab.emulator;
        json!({
            "authority_hosts": [format!("localhost:{}", emulator.port())],
            "identities": { "partner": {
                "issuer": emulator.generic_issuer(),
                "client_id": emulator.client_id(),
                "credential": { "client_secret": { "value": emulator.client_secret() } },
            } },
        })
    }

    /// Runs a command of the page with files and names of this world.
    fn run(&self, line: &[String], input: &str, nonce: &str) -> Result<Ran> {
        let is_file = |word: &str| self.lab.scratch().join(word).is_file();
        let words: Vec<String> = line
            .iter()
            .map(|word| match word.as_str() {
                AGENT => AGENT_ID.to_owned(),
                NONCE => nonce.to_owned(),
                "orders" => self.lab.emulator.client_id().to_owned(),
                word if is_file(word) => self.lab.scratch().join(word).display().to_string(),
                word => word.to_owned(),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let command = self.lab.edgepass(&words)?.input(input);
        let elsewhere = ["jwt-bearer", "token-exchange"];
        if words.iter().any(|word| elsewhere.contains(word)) {
            command.config(&self.elsewhere())?.run()
        } else {
            command.run()
        }
    }
}

fn page() -> Result<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grants.md");
    Ok(fs::read_to_string(page)?)
}

/// A command of the page.
fn command(name: &str) -> Result<Vec<String>> {
    commands()?.remove(name).with_context(|| name.to_owned())
}

/// The commands of the page, by the grant that they name, or by their own name.
fn commands() -> Result<BTreeMap<String, Vec<String>>> {
    let page = page()?.replace("\\\n", " ");
    let lines = page.lines().filter_map(|line| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        (words.first()? == "edgepass").then(|| words.into_iter().skip(1).collect::<Vec<_>>())
    });
    let by_grant = lines.map(|words| {
        let named = words.iter().skip_while(|word| *word != "--grant").nth(1);
        let other = match words.first() {
            Some(own) if own != "token" => own.as_str(),
            _ => "client-credentials",
        };
        let name = named.map_or(other, String::as_str);
        (name.to_owned(), words)
    });
    let commands: BTreeMap<_, _> = by_grant.collect();
    ensure!(commands.len() == 9, "the page has {:?}", commands.keys());
    Ok(commands)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_get_their_tokens() -> Result<()> {
    let world = World::new("command_grants")?;
    world.write("caller.token", &world.caller()?)?;
    for name in ["assertion.jwt", "user.jwt", "service.jwt"] {
        world.write(name, &world.assertion()?)?;
    }
    let mut commands = commands()?;
    // it begins each sign-in below
    commands.remove(BEGIN);
    for (grant, line) in commands {
        let (input, nonce) = match grant.as_str() {
            "authorization-code" => world.sign_in().await?,
            "refresh-token" => (world.refresh_token().await?, String::new()),
            _ => (String::new(), String::new()),
        };
        let ran = world.run(&line, &format!("{input}\n"), &nonce)?;
        let token = ran.token().with_context(|| grant.clone())?;
        let of_user = ["authorization-code", "refresh-token"].contains(&grant.as_str());
        for name in ["refresh_token", "id_token"] {
            if let Some(secret) = token[name].as_str() {
                world.lab.evidence.secret(name, secret);
            }
            ensure!(token[name].is_string() == of_user, "{grant}: {name}");
        }
        ensure!(
            token["issued_token_type"].is_string() == (grant == "token-exchange"),
            "{grant}: issued_token_type"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_not_printed_is_said_to_be_lost() -> Result<()> {
    let world = World::new("command_grants_lost")?;
    let mut line = command("refresh-token")?;
    line.extend(["-o".to_owned(), "header".to_owned()]);
    let ran = world.run(&line, &world.refresh_token().await?, "")?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    ensure!(ran.stdout.starts_with("Authorization: Bearer "));
    ensure!(
        ran.stderr.contains("`-o json` alone: it is lost"),
        "{}",
        ran.stderr
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_counts_once_and_says_so() -> Result<()> {
    let world = World::new("command_grants_twice")?;
    let line = command("authorization-code")?;
    let (code, nonce) = world.sign_in().await?;
    world.run(&line, &code, &nonce)?.token()?;
    let (status, error) = world.run(&line, &code, &nonce)?.error()?;
    ensure!(status == 1, "{status}");
    ensure!(error["oauth_error"] == "invalid_grant", "{error}");
    ensure!(!error.to_string().contains(&code));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_of_another_sign_in_is_refused_and_no_token_printed() -> Result<()> {
    let world = World::new("command_grants_nonce")?;
    let (code, nonce) = world.sign_in().await?;
    let ran = world.run(&command("authorization-code")?, &code, &format!("{nonce}x"))?;
    let (status, error) = ran.error()?;
    ensure!(
        status == 1 && error["class"] == "invalid-response",
        "{error}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_printed_for_people_too() -> Result<()> {
    let world = World::new("command_grants_text")?;
    let mut line = command(BEGIN)?;
    line.extend(["-o".to_owned(), "text".to_owned()]);
    let ran = world.run(&line, "", "")?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    let names: Vec<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name)
        .collect();
    ensure!(
        names.starts_with(&["url", "state", "nonce", "code_verifier"]),
        "{names:?}"
    );
    let further = [
        ["--response-mode", "form_post"],
        ["--domain-hint", "contoso.example"],
        ["--parameter", "ui_locales=de"],
        ["--parameter", "x=a=b"],
    ];
    line.extend(further.concat().into_iter().map(str::to_owned));
    let ran = world.run(&line, "", "")?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    let mut lines = ran.stdout.lines();
    let url = lines.find_map(|line| line.strip_prefix("url: "));
    for part in [
        "response_mode=form_post",
        "domain_hint=contoso.example",
        "ui_locales=de",
        "x=a%3Db",
    ] {
        ensure!(url.is_some_and(|url| url.contains(part)), "{part}: {url:?}");
    }
    // what no server takes is said before anything is sent
    let bad = world
        .lab
        .edgepass(&["authorization-url", "--redirect-uri", "nowhere"])?
        .run()?;
    let (status, error) = bad.error()?;
    ensure!(
        status == 2 && error["class"] == "invalid-request",
        "{error}"
    );
    ensure!(world.lab.emulator.token_requests().is_empty());
    Ok(())
}
