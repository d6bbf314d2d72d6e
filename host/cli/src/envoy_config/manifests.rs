//! The manifests for Kubernetes, Istio and Envoy Gateway. They are text around parts of Envoy's configuration, which are
//! written as for everybody else; the filter's configuration is JSON, which YAML takes as it is.

use std::path::Path;

use edgepass_rules::Module;

use super::bootstrap;
use super::plan::{Naming, Plan};
use super::upstream::{Server, Target};
use crate::arguments::{EnvoyConfigArguments, EnvoyFormat, EnvoyModule, Part};
use crate::failure::Failure;

/// For whom a token of the cluster's issuer has to be, to be exchanged at Entra ID.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// The volume of the token file.
const VOLUME: &str = "azure-identity-token";

/// How clusters are called there.
pub(super) fn naming(arguments: &EnvoyConfigArguments) -> Naming {
    match arguments.format {
        EnvoyFormat::Istio => Naming::Istio,
        EnvoyFormat::Gateway => Naming::Gateway,
        EnvoyFormat::Envoy | EnvoyFormat::Kubernetes => Naming::Own,
    }
}

/// Which of the filter's modules it is for.
pub(super) fn module(arguments: &EnvoyConfigArguments) -> Module {
    match arguments.module {
        EnvoyModule::Default => Module::Default,
        EnvoyModule::Full => Module::Full,
    }
}

/// The options with what is usual there where they are left out.
pub(super) fn usual(arguments: &EnvoyConfigArguments) -> EnvoyConfigArguments {
    let mut arguments = arguments.clone();
    let folder = match arguments.format {
        // the sidecar can write there and nowhere else
        EnvoyFormat::Istio => "/etc/istio/proxy",
        EnvoyFormat::Gateway => "/var/run/edgepass",
        EnvoyFormat::Envoy | EnvoyFormat::Kubernetes => EnvoyConfigArguments::SOCKET_DIR,
    };
    if arguments.socket_dir == EnvoyConfigArguments::SOCKET_DIR {
        folder.clone_into(&mut arguments.socket_dir);
    }
    if arguments.module == EnvoyModule::Full {
        // its image has it under the name of the other
        if arguments.format == EnvoyFormat::Envoy && arguments.wasm == EnvoyConfigArguments::WASM {
            EnvoyConfigArguments::FULL_WASM.clone_into(&mut arguments.wasm);
        }
        if arguments.image == EnvoyConfigArguments::IMAGE {
            EnvoyConfigArguments::FULL_IMAGE.clone_into(&mut arguments.image);
        }
    }
    match arguments.format {
        EnvoyFormat::Kubernetes if arguments.wasm == EnvoyConfigArguments::WASM => {
            "/opt/edgepass/edgepass-envoy.wasm".clone_into(&mut arguments.wasm);
        }
        // the kubelet never writes a token in place, and their Envoy may be older than 1.39
        EnvoyFormat::Istio | EnvoyFormat::Gateway => arguments.no_watch_modify = true,
        EnvoyFormat::Envoy | EnvoyFormat::Kubernetes => {}
    }
    arguments
}

/// All manifests of that format.
pub(super) fn write(plan: &Plan, arguments: &EnvoyConfigArguments) -> Result<String, Failure> {
    for (option, name) in [
        ("--app", &arguments.app),
        ("--namespace", &arguments.namespace),
    ] {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edges = |text: &str| text.starts_with('-') || text.ends_with('-');
        if name.is_empty() || name.len() > 50 || !name.bytes().all(plain) || edges(name) {
            return Err(Failure::setting(
                option,
                "is not a name of Kubernetes",
                "use up to 50 lower-case letters, digits and -",
            ));
        }
    }
    let image = arguments.image.trim_start_matches("oci://");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"./:@_-".contains(&b);
    if image.is_empty() || !image.bytes().all(plain) {
        return Err(Failure::setting(
            "--image",
            "is not a reference of an image",
            "write for example oci://registry.example/edgepass-envoy:0.1.0",
        ));
    }
    if arguments.upstream_filter && arguments.format != EnvoyFormat::Kubernetes {
        return Err(Failure::setting(
            "--upstream-filter",
            "has no place in manifests for Istio and Envoy Gateway",
            "leave it out, or take --format kubernetes",
        ));
    }
    let is_address = |upstream: &&Target| upstream.server.host.parse::<std::net::IpAddr>().is_ok();
    if let Some(upstream) = plan.upstreams.iter().find(is_address)
        && arguments.format != EnvoyFormat::Kubernetes
    {
        return Err(Failure::setting(
            "envoy.upstreams",
            format!(
                "{} is an address, and these manifests need a name",
                upstream.server.host
            ),
            "write the name of the server",
        ));
    }
    if let Some(variable) = plan.variables.first() {
        return Err(Failure::setting(
            variable.clone(),
            "completes the configuration, and the manifests set no variables",
            "write tenant_id, client_id and the path of the token file into the configuration",
        ));
    }
    for (setting, text) in written(plan, arguments, image) {
        if !is_plain_text(text) {
            return Err(Failure::setting(
                setting,
                format!("is {text:?}, which YAML reads as something else, or which breaks it"),
                "use a name that begins with a letter, or a path, without blanks, # and a colon at its end",
            ));
        }
    }
    let context = Context {
        plan,
        arguments,
        image,
        token: token_file(plan, arguments)?,
        names: names(&plan.upstreams),
    };
    match arguments.format {
        EnvoyFormat::Istio => context.istio(),
        EnvoyFormat::Gateway => context.gateway(),
        EnvoyFormat::Envoy | EnvoyFormat::Kubernetes => context.kubernetes(),
    }
}

/// What manifests have as it is given, and by what it was given.
fn written<'t>(
    plan: &'t Plan,
    arguments: &'t EnvoyConfigArguments,
    image: &'t str,
) -> Vec<(&'static str, &'t str)> {
    let mut all = vec![
        ("--app", arguments.app.as_str()),
        ("--namespace", &arguments.namespace),
        ("--image", image),
        ("--wasm", &arguments.wasm),
        ("--ca-file", &arguments.ca_file),
        ("--socket-dir", &arguments.socket_dir),
    ];
    for (_, path) in &plan.files_read {
        let name = path
            .rsplit_once('/')
            .map_or(path.as_str(), |(_, name)| name);
        all.push(("federated_token_file.path", name));
    }
    if arguments.format != EnvoyFormat::Kubernetes {
        for upstream in &plan.upstreams {
            all.push(("envoy.upstreams", &upstream.server.host));
            all.extend(upstream.texts().map(|text| ("envoy.upstreams", text)));
        }
    }
    all
}

/// Whether YAML, of either version, reads it as this text where it stands without quotes.
fn is_plain_text(text: &str) -> bool {
    const WORDS: &[&str] = &["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-@:*~%+".contains(&b);
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '/';
    // numbers of any base, times and dates
    let is_number = text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b"xXoO:._-+".contains(&b));
    text.starts_with(begins)
        && !text.ends_with(':')
        && text.bytes().all(plain)
        && !is_number
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

struct Context<'a> {
    plan: &'a Plan,
    arguments: &'a EnvoyConfigArguments,
    image: &'a str,
    /// Its folder and name, if there is one.
    token: Option<(String, String)>,
    /// Of the upstreams, for resources of theirs.
    names: Vec<String>,
}

/// The folder and the name of the token file. What else the filter may read, these manifests have no volume for.
fn token_file(
    plan: &Plan,
    arguments: &EnvoyConfigArguments,
) -> Result<Option<(String, String)>, Failure> {
    const FIX: &str =
        "print the parts with --only and mount the file yourself, or use federated_token_file";
    if let Some((setting, _)) = plan
        .files_read
        .iter()
        .find(|(setting, _)| !is_token_file(setting))
    {
        return Err(Failure::setting(
            setting.clone(),
            "is a file for which these manifests have no volume",
            FIX,
        ));
    }
    if let Some(certificate) = plan.certificates().first() {
        return Err(Failure::setting(
            format!("certificates.{}", certificate.name),
            "has files for which these manifests have no volume",
            FIX,
        ));
    }
    let mut files = plan.files_read.iter();
    let Some((_, first)) = files.next() else {
        return Ok(None);
    };
    if let Some((setting, _)) = files.find(|(_, path)| path != first) {
        return Err(Failure::setting(
            setting.clone(),
            "is another file than that of the first identity, and a service account has one token",
            "use the same file for all identities",
        ));
    }
    let (folder, name) = first.rsplit_once('/').unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"./_-".contains(&b);
    if folder.is_empty() || !first.bytes().all(plain) {
        return Err(Failure::setting(
            "federated_token_file.path",
            "is not a plain path in a folder, where a volume could be mounted",
            "use /var/run/secrets/azure/tokens/azure-identity-token",
        ));
    }
    if arguments.format == EnvoyFormat::Kubernetes
        && Path::new(&arguments.socket_dir).starts_with(folder)
    {
        return Err(Failure::setting(
            "--socket-dir",
            "is in the volume of the token file, which cannot be written",
            "choose another folder",
        ));
    }
    Ok(Some((folder.to_owned(), name.to_owned())))
}

fn is_token_file(setting: &str) -> bool {
    setting.ends_with("federated_token_file.path")
        || setting.starts_with("AZURE_FEDERATED_TOKEN_FILE")
}

/// A name of its own for each upstream, after its host.
fn names(upstreams: &[Target]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for upstream in upstreams {
        let plain = |c: char| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '-',
        };
        let host: String = upstream.server.host.chars().take(40).map(plain).collect();
        let first = host.trim_matches('-').to_owned();
        let mut name = first.clone();
        let mut number = 1_u32;
        while name.is_empty() || names.contains(&name) {
            number += 1;
            name = format!("{first}-{number}").trim_matches('-').to_owned();
        }
        names.push(name);
    }
    names
}

/// Each line so many columns further in.
fn indented(text: &str, columns: usize) -> String {
    let blanks = " ".repeat(columns);
    let lines = text.trim_end().lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{blanks}{line}\n"),
    });
    lines.collect()
}

impl Context<'_> {
    fn head(&self, what: &str) -> String {
        let namespace = &self.arguments.namespace;
        let account = &self.arguments.app;
        let subject = match (&self.token, self.arguments.format) {
            (None, _) => String::new(),
            (Some(_), EnvoyFormat::Gateway) => "# The subject of the federated credential is the service account of the proxy's pods, which Envoy Gateway makes.\n".to_owned(),
            (Some(_), _) => format!("# The subject of the federated credential is system:serviceaccount:{namespace}:{account}.\n"),
        };
        format!("{what}{subject}")
    }

    fn metadata(&self, name: &str) -> String {
        let namespace = &self.arguments.namespace;
        format!("metadata:\n  name: {name}\n  namespace: {namespace}\n")
    }

    /// Items of `volumes`.
    fn token_volume(&self) -> String {
        let Some((_, name)) = &self.token else {
            return String::new();
        };
        format!(
            "- name: {VOLUME}\n  projected:\n    sources:\n    - serviceAccountToken:\n        audience: {AUDIENCE}\n        expirationSeconds: 3600\n        path: {name}\n"
        )
    }

    /// Items of `volumeMounts`.
    fn token_mount(&self) -> String {
        let Some((folder, _)) = &self.token else {
            return String::new();
        };
        format!("- name: {VOLUME}\n  mountPath: {folder}\n  readOnly: true\n")
    }

    /// A cluster or a listener of Envoy's.
    fn parts(&self) -> Result<(Vec<String>, Vec<String>), Failure> {
        Ok((
            bootstrap::items(self.plan, Part::Listener, self.arguments)?,
            bootstrap::items(self.plan, Part::TokenClusters, self.arguments)?,
        ))
    }

    fn kubernetes(&self) -> Result<String, Failure> {
        let EnvoyConfigArguments { app, wasm, .. } = self.arguments;
        let socket_dir = self.arguments.socket_dir.trim_end_matches('/');
        let (wasm_dir, wasm_name) = wasm.rsplit_once('/').unwrap_or_default();
        if wasm_dir.is_empty() || wasm_dir == "/etc/envoy" || wasm_name != "edgepass-envoy.wasm" {
            return Err(Failure::setting(
                "--wasm",
                "cannot be where the image is mounted",
                "write the name that the image has, edgepass-envoy.wasm, in a folder other than /etc/envoy: /opt/edgepass/edgepass-envoy.wasm",
            ));
        }
        let head = self.head(
            "# A workload with Envoy beside it, as `edgepass envoy-config --format kubernetes` prints it: the application calls\n\
             # Envoy at 127.0.0.1, which sends the calls on with an access token. Nobody outside the pod reaches Envoy.\n\
             # The image of the filter is mounted as a volume (Kubernetes 1.35 or newer).\n",
        );
        let envoy = bootstrap::write(self.plan, self.arguments)?;
        let listen = self.arguments.listen;
        Ok(format!(
            "{head}---\napiVersion: v1\nkind: ServiceAccount\n{account}---\napiVersion: v1\nkind: ConfigMap\n{config}data:\n  envoy.yaml: |\n{envoy}\
             ---\napiVersion: v1\nkind: Service\n{account}spec:\n  selector:\n    app: {app}\n  ports:\n  - name: http\n    port: 80\n    targetPort: http\n\
             ---\napiVersion: apps/v1\nkind: Deployment\n{account}spec:\n  replicas: 1\n  selector:\n    matchLabels:\n      app: {app}\n  template:\n    metadata:\n      labels:\n        app: {app}\n    spec:\n\
             \x20     serviceAccountName: {app}\n      # the application needs no token of the cluster either\n      automountServiceAccountToken: false\n      securityContext:\n        # Envoy may read the token file\n        fsGroup: 101\n        seccompProfile:\n          type: RuntimeDefault\n\
             \x20     containers:\n      - name: app\n        image: registry.example/app:1.0.0\n        ports:\n        - name: http\n          containerPort: 8000\n        env:\n        - name: APIS_URL\n          value: http://{listen}\n\
             \x20     - name: envoy\n        image: envoyproxy/envoy:v1.40.0\n        args: [\"-c\", \"/etc/envoy/envoy.yaml\", \"--concurrency\", \"2\"]\n        volumeMounts:\n        - name: config\n          mountPath: /etc/envoy\n          readOnly: true\n        - name: filter\n          mountPath: {wasm_dir}\n          readOnly: true\n        # the socket between the filter and the listener of its files\n        - name: run\n          mountPath: {socket_dir}\n{mount}\
             \x20       resources:\n          requests:\n            cpu: 50m\n            memory: 128Mi\n          # a flood of requests before the first token takes up to 240 MB of each worker\n          limits:\n            memory: 768Mi\n        securityContext:\n          runAsNonRoot: true\n          runAsUser: 101\n          runAsGroup: 101\n          allowPrivilegeEscalation: false\n          readOnlyRootFilesystem: true\n          capabilities:\n            drop: [\"ALL\"]\n\
             \x20     volumes:\n      - name: config\n        configMap:\n          name: {app}-envoy\n      - name: filter\n        image:\n          reference: {image}\n      - name: run\n        emptyDir:\n          medium: Memory\n{volume}",
            account = self.metadata(app),
            config = self.metadata(&format!("{app}-envoy")),
            envoy = indented(&envoy, 4),
            mount = indented(&self.token_mount(), 8),
            volume = indented(&self.token_volume(), 6),
            image = self.image,
        ))
    }

    fn istio(&self) -> Result<String, Failure> {
        let EnvoyConfigArguments { app, .. } = self.arguments;
        let (listeners, clusters) = self.parts()?;
        let mut out = self.head(
            "# The filter in Istio's sidecars, as `edgepass envoy-config --format istio` prints it, for the requests of one workload.\n\
             # The application calls each API by its name, as http to port 80; the sidecar makes TLS of it. It needs a sidecar whose\n\
             # Envoy is 1.36 or newer, with V8.\n",
        );
        out.push_str(&format!(
            "---\napiVersion: v1\nkind: ServiceAccount\n{account}---\napiVersion: apps/v1\nkind: Deployment\n{account}spec:\n  selector:\n    matchLabels:\n      app: {app}\n  template:\n    metadata:\n      labels:\n        app: {app}\n",
            account = self.metadata(app),
        ));
        if let Some((folder, name)) = &self.token {
            out.push_str(&format!(
                "      annotations:\n        # the sidecar comes after the workload identity webhook has looked at the pod, so it gets the token file here\n        sidecar.istio.io/userVolume: >-\n          [{{\"name\": \"{VOLUME}\", \"projected\": {{\"sources\": [{{\"serviceAccountToken\":\n          {{\"audience\": \"{AUDIENCE}\", \"expirationSeconds\": 3600, \"path\": \"{name}\"}}}}]}}}}]\n        sidecar.istio.io/userVolumeMount: >-\n          [{{\"name\": \"{VOLUME}\", \"mountPath\": \"{folder}\", \"readOnly\": true}}]\n"
            ));
        }
        out.push_str(&format!(
            "    spec:\n      serviceAccountName: {app}\n      containers:\n      - name: app\n        image: registry.example/app:1.0.0\n"
        ));
        let mut ports: Vec<u16> = self
            .plan
            .upstreams
            .iter()
            .map(|u| u.server.called_at())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        let ports: String = ports
            .iter()
            .map(|port| format!("    - number: {port}\n"))
            .collect();
        out.push_str(&format!(
            "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n{metadata}spec:\n  selector:\n    matchLabels:\n      app: {app}\n  url: oci://{image}\n  match:\n  - mode: CLIENT\n    ports:\n{ports}  pluginConfig:\n{config}",
            metadata = self.metadata("edgepass"),
            image = self.image,
            config = indented(&self.plan.plugin, 4),
        ));
        out.push_str(&format!(
            "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\n{metadata}spec:\n  workloadSelector:\n    labels:\n      app: {app}\n  configPatches:\n",
            metadata = self.metadata("edgepass"),
        ));
        let kinds = [("LISTENER", &listeners), ("CLUSTER", &clusters)];
        for (kind, items) in kinds {
            for item in items {
                out.push_str(&format!(
                    "  - applyTo: {kind}\n    match:\n      context: SIDECAR_OUTBOUND\n    patch:\n      operation: ADD\n      value:\n{}",
                    indented(item, 8)
                ));
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        for (upstream, name) in self.plan.upstreams.iter().zip(&self.names) {
            let host = upstream.server.host.as_str();
            if seen.contains(&host) {
                continue;
            }
            seen.push(host);
            out.push_str(&self.istio_host(host, name)?);
        }
        Ok(out)
    }

    /// A host outside the mesh, with all the ports that it is called at. Istio merges no two entries for one.
    fn istio_host(&self, host: &str, name: &str) -> Result<String, Failure> {
        let of_host = self.plan.upstreams.iter().map(|upstream| &upstream.server);
        let of_host = of_host.filter(|server| server.host == host);
        let mut servers: Vec<&Server> = Vec::new();
        for server in of_host {
            let same = |other: &&Server| other.called_at() == server.called_at();
            match servers.iter().copied().find(same) {
                None => servers.push(server),
                Some(other) if (other.port, other.tls) == (server.port, server.tls) => {}
                Some(_) => {
                    return Err(Failure::setting(
                        "envoy.upstreams",
                        format!(
                            "has two servers of {host} that the application would call at port {}: with TLS and without, or at two ports",
                            server.called_at()
                        ),
                        "leave one of them out, or give one another name",
                    ));
                }
            }
        }
        let mut ports = String::new();
        for (number, server) in servers.iter().enumerate() {
            let (called, port) = (server.called_at(), server.port);
            let name = match number {
                0 => "http".to_owned(),
                _ => format!("http-{called}"),
            };
            ports.push_str(&format!(
                "  - number: {called}\n    name: {name}\n    protocol: HTTP\n"
            ));
            if called != port {
                ports.push_str(&format!("    targetPort: {port}\n"));
            }
        }
        let metadata = self.metadata(name);
        let mut out = format!(
            "---\napiVersion: networking.istio.io/v1beta1\nkind: ServiceEntry\n{metadata}spec:\n  hosts:\n  - {host}\n  location: MESH_EXTERNAL\n  resolution: DNS\n  ports:\n{ports}"
        );
        let tls = format!(
            "tls:\n  mode: SIMPLE\n  sni: {host}\n  # without these two the token goes to whoever answers\n  caCertificates: {ca}\n  subjectAltNames:\n  - {host}\n",
            ca = self.arguments.ca_file,
        );
        let policy = match servers.as_slice() {
            [server] if server.tls => indented(&tls, 4),
            _ => {
                let with_tls = servers.iter().filter(|server| server.tls);
                let ports: String = with_tls
                    .map(|server| {
                        format!(
                            "    - port:\n        number: {}\n{}",
                            server.called_at(),
                            indented(&tls, 6)
                        )
                    })
                    .collect();
                match ports.as_str() {
                    "" => String::new(),
                    ports => format!("    portLevelSettings:\n{ports}"),
                }
            }
        };
        if !policy.is_empty() {
            out.push_str(&format!(
                "---\napiVersion: networking.istio.io/v1beta1\nkind: DestinationRule\n{metadata}spec:\n  host: {host}\n  trafficPolicy:\n{policy}"
            ));
        }
        Ok(out)
    }

    fn gateway(&self) -> Result<String, Failure> {
        let socket_dir = self.arguments.socket_dir.trim_end_matches('/');
        let (listeners, clusters) = self.parts()?;
        let mut out = self.head(
            "# The filter in Envoy Gateway, as `edgepass envoy-config --format gateway` prints it: one route for each API.\n\
             # It needs an Envoy Gateway whose Envoy is 1.36 or newer, and in the EnvoyGateway configuration\n\
             # `extensionApis: {enableEnvoyPatchPolicy: true, enableBackend: true}`.\n",
        );
        out.push_str(&format!(
            "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyProxy\n{metadata}spec:\n  provider:\n    type: Kubernetes\n    kubernetes:\n      envoyDeployment:\n        container:\n          volumeMounts:\n{mount}          # the socket between the filter and the listener of its files\n          - name: edgepass\n            mountPath: {socket_dir}\n        pod:\n          volumes:\n{volume}          - name: edgepass\n            emptyDir:\n              medium: Memory\n\
             ---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n{metadata}spec:\n  gatewayClassName: envoy-gateway\n  infrastructure:\n    parametersRef:\n      group: gateway.envoyproxy.io\n      kind: EnvoyProxy\n      name: edgepass\n  listeners:\n  - name: http\n    protocol: HTTP\n    port: {port}\n",
            metadata = self.metadata("edgepass"),
            mount = indented(&self.token_mount(), 10),
            volume = indented(&self.token_volume(), 10),
            port = self.arguments.listen.port(),
        ));
        for (upstream, name) in self.plan.upstreams.iter().zip(&self.names) {
            out.push_str(&self.gateway_route(upstream, name)?);
        }
        out.push_str(&format!(
            "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyPatchPolicy\n{metadata}spec:\n  targetRef:\n    group: gateway.networking.k8s.io\n    kind: Gateway\n    name: edgepass\n  type: JSONPatch\n  jsonPatches:\n",
            metadata = self.metadata("edgepass"),
        ));
        let kinds = [
            ("listener.v3.Listener", &listeners),
            ("cluster.v3.Cluster", &clusters),
        ];
        for (kind, items) in kinds {
            for item in items {
                let name = item
                    .lines()
                    .next()
                    .and_then(|line| line.strip_prefix("name: "));
                let name = name
                    .and_then(|rest| rest.split(" #").next())
                    .unwrap_or_default();
                out.push_str(&format!(
                    "  - type: type.googleapis.com/envoy.config.{kind}\n    name: {name}\n    operation:\n      op: add\n      path: \"\"\n      value:\n{}",
                    indented(item, 8)
                ));
            }
        }
        Ok(out)
    }

    /// The route to one API, the API, and the filter for that route alone.
    fn gateway_route(&self, upstream: &Target, name: &str) -> Result<String, Failure> {
        let metadata = self.metadata(name);
        let server = &upstream.server;
        let (host, port) = (&server.host, server.port);
        let hostnames = match &upstream.place.host {
            Some(host) => format!("  hostnames:\n  - \"{host}\"\n"),
            None => String::new(),
        };
        let mut rewrite = String::new();
        if server.tls {
            rewrite.push_str(&format!("        hostname: {host}\n"));
        }
        if let Some(path) = upstream.rewrite() {
            rewrite.push_str(&format!(
                "        path:\n          type: ReplacePrefixMatch\n          replacePrefixMatch: {path}\n"
            ));
        }
        let filters = if rewrite.is_empty() {
            String::new()
        } else {
            format!("    filters:\n    - type: URLRewrite\n      urlRewrite:\n{rewrite}")
        };
        let mut out = format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n{metadata}spec:\n  parentRefs:\n  - name: edgepass\n{hostnames}  rules:\n  - matches:\n    - path:\n        type: PathPrefix\n        value: {prefix}\n{filters}    backendRefs:\n    - group: gateway.envoyproxy.io\n      kind: Backend\n      name: {name}\n\
             ---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\n{metadata}spec:\n  endpoints:\n  - fqdn:\n      hostname: {host}\n      port: {port}\n",
            prefix = upstream.place.prefix,
        );
        if server.tls {
            out.push_str(&format!(
                "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n{metadata}spec:\n  targetRefs:\n  - group: gateway.envoyproxy.io\n    kind: Backend\n    name: {name}\n  validation:\n    # without this the token goes to whoever answers\n    wellKnownCACertificates: System\n    hostname: {host}\n"
            ));
        }
        if let Some(plugin) = self.plan.plugin_for(upstream)? {
            out.push_str(&format!(
                "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\n{metadata}spec:\n  targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: HTTPRoute\n    name: {name}\n  wasm:\n  - name: edgepass\n    rootID: edgepass\n    failOpen: false\n    code:\n      type: Image\n      image:\n        url: {image}\n    config:\n{config}",
                image = self.image,
                config = indented(&plugin, 6),
            ));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The image of a module has it under one name; without an image the file has the module's own.
    #[test]
    fn a_module_is_chosen_by_its_image_or_its_file() {
        use crate::arguments::{Arguments, Command};
        use clap::Parser as _;

        let of = |more: &[&str]| {
            let line = [&["edgepass", "envoy-config"], more].concat();
            let Command::EnvoyConfig(arguments) = Arguments::parse_from(line).command else {
                panic!("it is envoy-config");
            };
            let arguments = usual(&arguments);
            let image = arguments.image.rsplit_once(':').unwrap().0.to_owned();
            (image, arguments.wasm)
        };
        const IMAGE: &str = "oci://registry.example/edgepass-envoy";
        for (more, image, wasm) in [
            (&[][..], IMAGE, "/etc/envoy/edgepass-envoy.wasm"),
            (
                &["--module", "full"],
                "oci://registry.example/edgepass-envoy-full",
                "/etc/envoy/edgepass-envoy-full.wasm",
            ),
            (
                &["--module", "full", "--format", "kubernetes"],
                "oci://registry.example/edgepass-envoy-full",
                "/opt/edgepass/edgepass-envoy.wasm",
            ),
            (
                &["--module", "full", "--wasm", "/x.wasm", "--image", "r/i:1"],
                "r/i",
                "/x.wasm",
            ),
        ] {
            assert_eq!(of(more), (image.to_owned(), wasm.to_owned()), "{more:?}");
        }
    }

    #[test]
    fn what_yaml_reads_as_something_else_is_no_plain_text() {
        for good in [
            "app",
            "api-2",
            "a1.example",
            "/opt/edgepass/edgepass-envoy.wasm",
            "registry.example:5000/edgepass-envoy:0.1.0",
            "registry.example/edgepass-envoy@sha256:00ff",
            "3scale.example",
            "/v1.0/",
        ] {
            assert!(is_plain_text(good), "{good}");
            let read: serde_json::Value = serde_saphyr::from_str(good).unwrap();
            assert_eq!(read.as_str(), Some(good));
        }
        for bad in [
            "",
            "123",
            "12.5",
            "1e3",
            "0x1f",
            "0o17",
            "1:20",
            "2026-11-26",
            "true",
            "Null",
            "on",
            "NO",
            "y",
            "~",
            "-",
            "---",
            "a:",
            "a b",
            "a #b",
            "@x",
            "*a",
            "&a",
            "!a",
            "a\n- b",
            "\"a\"",
            "{a}",
            "[a]",
            ".5",
        ] {
            assert!(!is_plain_text(bad), "{bad}");
        }
    }
}
