//! Where requests go: what the command line and `envoy.upstreams` say of it, and the rules that follow.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use edgepass::Config;
use edgepass::config::envoy::{
    EnvoyGrant, EnvoyMatchFile, EnvoyRuleFile, EnvoyTokenExchangeFile, EnvoyUpstreamFile,
};
use edgepass_core::authority::{port_number, split_port};
use edgepass_rules::{NoPrefix, check_prefix, is_plain};

use super::document::Node;
use super::plan::Naming;
use crate::failure::Failure;

/// The option that says it.
const OPTION: &str = "--upstream";

/// The cluster where there is one upstream, for everything.
pub(super) const ONLY_CLUSTER: &str = "upstream";

/// What stands where nobody has said it.
pub(super) const PLACEHOLDER: &str = "upstream.example:80";

/// How upstreams are written.
const FORM: &str = "write HOST:PORT, http://HOST or https://HOST";

/// A server, and the path that replaces the prefix of the requests' if there is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    path: Option<String>,
}

/// What `--upstream` says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Upstream {
    place: Place,
    server: Server,
}

/// The requests that go to one upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// A host, or `*.` and a domain.
    pub(super) host: Option<String>,
    pub(super) prefix: String,
}

/// One upstream of the plan.
pub(super) struct Target {
    /// What names it for whoever wrote it.
    setting: String,
    pub(super) cluster: String,
    pub(super) place: Place,
    pub(super) server: Server,
    /// The rule for its requests, if it brings one.
    rule: Option<EnvoyRuleFile>,
}

impl Target {
    /// The paths in it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.place.prefix), self.server.path.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

impl FromStr for Upstream {
    type Err = String;

    /// Takes `URL`, `/PREFIX=URL`, `HOST=URL` and `HOST/PREFIX=URL`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (place, url) = match text.split_once('=') {
            None => ("/", text),
            Some((place, url)) => (place, url),
        };
        if place.contains("://") || place.is_empty() {
            return Err("before `=` there is a host, a path or both, without http".to_owned());
        }
        let at = place.find('/').unwrap_or(place.len());
        let (host, prefix) = place.split_at(at);
        let prefix = if prefix.is_empty() { "/" } else { prefix };
        let place = Place {
            host: (!host.is_empty()).then(|| host.to_ascii_lowercase()),
            prefix: prefix.to_owned(),
        };
        place.check().map_err(|wrong| wrong.said())?;
        let server = Server::parse(url)?;
        server.check_path(&place.prefix)?;
        Ok(Self { place, server })
    }
}

/// What is wrong with a place: the field, and how.
struct Wrong(&'static str, &'static str, String);

impl Wrong {
    fn said(&self) -> String {
        format!("its {} {}; {}", self.0, self.1, self.2)
    }
}

impl Place {
    fn check(&self) -> Result<(), Wrong> {
        if let Some(host) = &self.host {
            let rest = host.strip_prefix("*.").unwrap_or(host);
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            if rest.is_empty() || !rest.bytes().all(plain) {
                return Err(Wrong(
                    "host",
                    "is neither a host nor `*.` and a domain",
                    "write api.example or *.example, without scheme and port".to_owned(),
                ));
            }
        }
        check_prefix(&self.prefix)
            .map_err(|NoPrefix { message, hint, .. }| Wrong("path_prefix", message, hint))
    }

    /// Whether a request of the other place may be one of this.
    fn meets(&self, other: &Self) -> bool {
        let hosts = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => covers(a, b) || covers(b, a),
            _ => true,
        };
        hosts(&self.host, &other.host)
            && (self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix))
    }

    /// Whether every request of the other place is one of this.
    fn holds(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => covers(own, other),
        };
        host && other.prefix.starts_with(&self.prefix)
    }
}

/// Whether a host pattern stands for all that another one does.
pub(super) fn covers(pattern: &str, other: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(domain) => {
            let other = other
                .strip_prefix('*')
                .unwrap_or(other)
                .to_ascii_lowercase();
            other.ends_with(&domain.to_ascii_lowercase())
        }
        None => pattern.eq_ignore_ascii_case(other),
    }
}

impl Server {
    /// Takes `HOST:PORT`, `http://HOST[:PORT][/PATH]` or `https://HOST[:PORT][/PATH]`.
    fn parse(text: &str) -> Result<Self, String> {
        let (rest, port, tls) = match text.split_once("://") {
            None => (text, None, false),
            Some(("http", rest)) => (rest, Some(80), false),
            Some(("https", rest)) => (rest, Some(443), true),
            Some(_) => return Err(format!("it is neither http nor https; {FORM}")),
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        if !path.is_empty() && (port.is_none() || !is_plain(path)) {
            return Err(format!("its path is not a plain one; {FORM}"));
        }
        let (host, port) = match split_port(authority) {
            (host, Some(digits)) => (
                host,
                port_number(digits).ok_or(format!("its port is not a number; {FORM}"))?,
            ),
            (host, None) => (host, port.ok_or(format!("it has no port; {FORM}"))?),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_host(host),
        };
        if !is_host {
            return Err(format!("its host is not a name or address; {FORM}"));
        }
        let host = bare.unwrap_or(host);
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
            path: (!path.is_empty()).then(|| path.to_owned()),
        })
    }

    /// What is left of a path must begin with a slash, and with one only.
    fn check_path(&self, prefix: &str) -> Result<(), String> {
        match &self.path {
            Some(path) if path.ends_with('/') != prefix.ends_with('/') => Err(format!(
                "its path ends with / and the prefix does not, or the other way round; write both with a / at the end, or both without: {}/ and {}/",
                prefix.trim_end_matches('/'),
                path.trim_end_matches('/'),
            )),
            _ => Ok(()),
        }
    }
}

/// A name (RFC 1123 section 2.1, and the underscores that some have), or an IPv4 address.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        edge(bytes.first()) && edge(bytes.last()) || label.starts_with('_')
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let is_name = host.bytes().all(plain) && host.split('.').all(is_label);
    // what looks like an address must be one
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    is_name && (!is_number || host.parse::<Ipv4Addr>().is_ok())
}

impl Server {
    /// The port by which it is called where a proxy makes TLS of what goes there.
    pub(super) fn called_at(&self) -> u16 {
        if self.tls { 80 } else { self.port }
    }
}

impl Target {
    /// Puts its rule into a document for its requests alone. `false` if they are left as they are.
    pub(super) fn complete_alone(&self, document: &mut Node) -> bool {
        let Some(mut rule) = rule(self) else {
            return true;
        };
        rule.remove("match");
        if self.rule.as_ref().is_some_and(|rule| rule.disabled) {
            return false;
        }
        if let Some(section) = document.field("envoy", Node::object())
            && let Some(Node::List(list)) = section.field("rules", Node::List(Vec::new()))
        {
            list.push(rule);
        }
        true
    }

    /// What its path prefix is replaced by.
    pub(super) fn rewrite(&self) -> Option<&str> {
        let path = self.server.path.as_deref();
        path.filter(|path| *path != self.place.prefix)
    }

    /// Its requests as the filter sees them: an upstream filter comes after the route, which names the upstream's host
    /// and path in place of the caller's.
    fn seen(&self, as_upstream_filter: bool) -> Place {
        if !as_upstream_filter {
            return self.place.clone();
        }
        Place {
            host: if self.server.tls {
                Some(self.server.host.clone())
            } else {
                self.place.host.clone()
            },
            prefix: self.rewrite().unwrap_or(&self.place.prefix).to_owned(),
        }
    }
}

/// All upstreams: those of the document, at other servers where the command line says so, and further ones of the command
/// line.
pub(super) fn targets(
    config: &Config,
    given: &[Upstream],
    naming: Naming,
) -> Result<Vec<Target>, Failure> {
    let file = config.envoy.as_ref();
    let mut targets: Vec<Target> = Vec::new();
    for (index, upstream) in file.iter().flat_map(|file| &file.upstreams).enumerate() {
        targets.push(written(index, upstream)?);
    }
    let of_document = targets.len();
    for upstream in given {
        let known = targets
            .iter_mut()
            .find(|known| known.place == upstream.place);
        match known {
            Some(known) if known.setting != OPTION => known.server = upstream.server.clone(),
            _ => targets.push(Target {
                setting: OPTION.to_owned(),
                cluster: String::new(),
                place: upstream.place.clone(),
                server: upstream.server.clone(),
                rule: None,
            }),
        }
    }
    if targets.is_empty() {
        let server = Server::parse(PLACEHOLDER).map_err(Failure::setup)?;
        targets.push(Target {
            setting: OPTION.to_owned(),
            cluster: String::new(),
            place: Place {
                host: None,
                prefix: "/".to_owned(),
            },
            server,
            rule: None,
        });
    }
    for (index, target) in targets.iter().enumerate() {
        let others = targets.iter().take(index);
        if let Some(other) = others.into_iter().find(|other| other.place == target.place) {
            let at = if index < of_document {
                format!(" ({})", other.setting)
            } else {
                String::new()
            };
            return Err(Failure::setting(
                target.setting.clone(),
                format!(
                    "is for the same host and path as another one{at}: {}{}",
                    target.place.host.as_deref().unwrap_or_default(),
                    target.place.prefix
                ),
                "give each upstream a host or path prefix of its own",
            ));
        }
    }
    if naming == Naming::Istio {
        let own = file.is_some_and(|file| !file.rules.is_empty());
        in_istio(&mut targets, own)?;
    }
    if naming == Naming::Gateway
        && let Some(file) = file
        && let Some(index) = file
            .rules
            .iter()
            .position(|rule| rule.matching.cluster.is_some())
    {
        return Err(Failure::setting(
            format!("envoy.rules[{index}].match.cluster"),
            "names a cluster, and Envoy Gateway names them itself",
            "write identity, scopes or \"disabled\": true into the upstream",
        ));
    }
    name(&mut targets, config)?;
    Ok(targets)
}

/// In a mesh the application calls each API by its own name, and the cluster has the name that Istio gives it. The filter
/// sees all requests to those ports, so without a rule there is one for the upstream and nothing else.
fn in_istio(targets: &mut [Target], has_rules: bool) -> Result<(), Failure> {
    for target in targets {
        let (place, server) = (&target.place, &target.server);
        let own_name = place
            .host
            .as_ref()
            .is_none_or(|host| host.eq_ignore_ascii_case(&server.host));
        if place.prefix != "/" || target.rewrite().is_some() || !own_name {
            return Err(Failure::setting(
                target.setting.clone(),
                "has a path or another host than its url's, and in Istio the application calls each API by its own host",
                "leave path_prefix and the path of url out, and write the host of url as `host`",
            ));
        }
        if target.cluster.is_empty() {
            target.cluster = format!("outbound|{}||{}", server.called_at(), server.host);
        }
        if !has_rules {
            target.rule.get_or_insert_default();
        }
    }
    Ok(())
}

/// One of the document.
fn written(index: usize, file: &EnvoyUpstreamFile) -> Result<Target, Failure> {
    let setting = format!("envoy.upstreams[{index}]");
    let place = Place {
        host: file.host.as_ref().map(|host| host.to_ascii_lowercase()),
        prefix: file.path_prefix.clone().unwrap_or_else(|| "/".to_owned()),
    };
    place.check().map_err(|Wrong(field, how, fix)| {
        Failure::setting(format!("{setting}.{field}"), how, fix)
    })?;
    let server = Server::parse(&file.url).and_then(|server| {
        server.check_path(&place.prefix)?;
        Ok(server)
    });
    let server = server.map_err(|wrong| {
        let (how, fix) = wrong.split_once("; ").unwrap_or((&wrong, FORM));
        Failure::setting(format!("{setting}.url"), how, fix)
    })?;
    let has_grant = file.grant != EnvoyGrant::default() || file.token_exchange.is_some();
    let named = file.identity.is_some() || !file.scopes.is_empty() || has_grant;
    if named && file.disabled {
        return Err(Failure::setting(
            format!("{setting}.disabled"),
            "is set, and so is what token these requests get",
            "leave out either that, or identity, scopes and grant",
        ));
    }
    let rule = EnvoyRuleFile {
        identity: file.identity.clone(),
        scopes: file.scopes.clone(),
        grant: file.grant,
        token_exchange: file.token_exchange.clone(),
        disabled: file.disabled,
        ..EnvoyRuleFile::default()
    };
    Ok(Target {
        setting,
        cluster: file.cluster.clone().unwrap_or_default(),
        place,
        server,
        rule: (named || file.disabled).then_some(rule),
    })
}

/// Gives each a cluster: its rule is for that and not for what a caller can write.
fn name(targets: &mut [Target], config: &Config) -> Result<(), Failure> {
    let file = config.envoy.clone().unwrap_or_default();
    let mut taken: BTreeSet<String> = file.token_clusters.values().cloned().collect();
    taken.extend(file.files.map(|files| files.cluster));
    for target in targets.iter().filter(|target| !target.cluster.is_empty()) {
        if !taken.insert(target.cluster.clone()) {
            return Err(Failure::setting(
                format!("{}.cluster", target.setting),
                format!(
                    "`{}` is the cluster of something else as well",
                    target.cluster
                ),
                "choose another name, or leave it out",
            ));
        }
    }
    if let [only] = targets
        && only.cluster.is_empty()
    {
        ONLY_CLUSTER.clone_into(&mut only.cluster);
        return Ok(());
    }
    for target in targets
        .iter_mut()
        .filter(|target| target.cluster.is_empty())
    {
        target.cluster = unused_name("upstream", &target.server.host, &mut taken);
    }
    Ok(())
}

/// A cluster's name for a host, without the dots that would take Envoy's statistics apart.
pub(super) fn unused_name(kind: &str, host: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let first = format!("{kind}_{}", host.chars().map(plain).collect::<String>());
    let mut name = first.clone();
    let mut number = 1_u32;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{first}_{number}");
    }
    name
}

/// Puts their rules into the document, after those that it has, in place of the upstreams.
pub(super) fn complete(document: &mut Node, targets: &[Target]) {
    let rules: Vec<Node> = targets.iter().filter_map(rule).collect();
    if let Some(section) = document.existing("envoy") {
        section.remove("upstreams");
    }
    if !rules.is_empty()
        && let Some(section) = document.field("envoy", Node::object())
        && let Some(Node::List(list)) = section.field("rules", Node::List(Vec::new()))
    {
        list.extend(rules);
    }
}

fn rule(target: &Target) -> Option<Node> {
    let rule = target.rule.as_ref()?;
    let mut matching = Node::object();
    matching.field("cluster", Node::text(&target.cluster));
    let mut node = Node::object();
    node.field("match", matching);
    if let Some(identity) = &rule.identity {
        node.field("identity", Node::text(identity));
    }
    if !rule.scopes.is_empty() {
        let scopes = rule.scopes.iter().map(|scope| Node::text(scope)).collect();
        node.field("scopes", Node::List(scopes));
    }
    if rule.grant != EnvoyGrant::default() {
        node.field("grant", Node::text(rule.grant.name()));
    }
    if let Some(exchange) = &rule.token_exchange {
        node.field("token_exchange", token_exchange(exchange));
    }
    if rule.disabled {
        node.field("disabled", Node::yes());
    }
    Some(node)
}

fn token_exchange(file: &EnvoyTokenExchangeFile) -> Node {
    let mut node = Node::object();
    let texts = [
        ("subject_token_type", &file.subject_token_type),
        ("requested_token_type", &file.requested_token_type),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            node.field(name, Node::text(text));
        }
    }
    for (name, list) in [("audience", &file.audience), ("resource", &file.resource)] {
        if !list.is_empty() {
            let list = list.iter().map(|text| Node::text(text)).collect();
            node.field(name, Node::List(list));
        }
    }
    node
}

/// Whether each upstream has its rule. `own` are the rules that the document has itself.
pub(super) fn check(
    own: &[EnvoyRuleFile],
    targets: &[Target],
    as_upstream_filter: bool,
) -> Result<(), Failure> {
    let bring = targets
        .iter()
        .filter(|target| target.rule.is_some())
        .count();
    for target in targets {
        let seen = target.seen(as_upstream_filter);
        let is_for = |rule: &EnvoyRuleFile, whole: bool| {
            let matching = &rule.matching;
            let place = of_rule(matching);
            let cluster = matching.cluster.as_ref();
            cluster.is_none_or(|name| *name == target.cluster)
                && matching.route_metadata.is_none()
                && if whole {
                    place.holds(&seen)
                } else {
                    place.meets(&seen)
                }
        };
        if target.rule.is_some() {
            if let Some(index) = own.iter().position(|rule| is_for(rule, true)) {
                return Err(Failure::setting(
                    format!("envoy.rules[{index}]"),
                    format!(
                        "is for every request that goes to {}, so what that says of their token would never count",
                        target.setting
                    ),
                    "narrow the rule down, or leave identity, scopes and `disabled` of the upstream out",
                ));
            }
            continue;
        }
        // one upstream alone is what the rules have always been about, and may be left by them as it is
        if targets.len() == 1 {
            continue;
        }
        let nothing_said = own.is_empty() && bring == 0;
        if nothing_said {
            return Err(Failure::setting(
                if target.setting == OPTION {
                    "envoy.rules"
                } else {
                    &target.setting
                },
                "there are several upstreams, and nothing says which of them gets which token: all of them would get that of the default identity",
                "write identity, scopes or \"disabled\": true with each of envoy.upstreams, or write envoy.rules",
            ));
        }
        if !own.iter().any(|rule| is_for(rule, false)) {
            return Err(Failure::setting(
                target.setting.clone(),
                format!(
                    "no rule is for the requests that go to {}: they would go there without a token",
                    target.server.host
                ),
                format!(
                    "write identity, scopes or \"disabled\": true with it under envoy.upstreams, or a rule: {{\"match\": {{\"cluster\": \"{}\"}}, …}}",
                    target.cluster
                ),
            ));
        }
    }
    Ok(())
}

fn of_rule(matching: &EnvoyMatchFile) -> Place {
    Place {
        host: matching.host.clone(),
        prefix: matching.path_prefix.clone().unwrap_or_default(),
    }
}

/// The setting of a rule that an upstream has brought is the upstream's.
pub(super) fn setting_of(setting: &str, own: usize, targets: &[Target]) -> Option<String> {
    let rest = setting.strip_prefix("envoy.rules[")?;
    let (index, field) = rest.split_once(']')?;
    let nth = index.parse::<usize>().ok()?.checked_sub(own)?;
    let mut bring = targets.iter().filter(|target| target.rule.is_some());
    let target = bring.nth(nth)?;
    Some(format!("{}{field}", target.setting))
}

#[cfg(test)]
mod tests;
