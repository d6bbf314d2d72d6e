//! From an application and a provider to one component.

use wac_graph::types::{ItemKind, Package, are_semver_compatible};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId, plug};

use crate::component::component_of;
use crate::environment::environment;
use crate::{Error, Part, imports};

/// The variable that provider and filter read their configuration from.
const CONFIGURATION: &str = "EDGEPASS_CONFIG_JSON";

/// The parts of a composition.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Whose imports are answered.
    pub application: Part,
    /// The one provider of all parts.
    pub provider: Part,
    /// What the provider shares its tokens by, where that is a component, too.
    pub token_store: Option<Part>,
    /// What stands between the application's requests and the network.
    pub filter: Option<Part>,
    /// What the application may share with the provider: interfaces, with or without version.
    pub allowed: Vec<String>,
    /// The configuration, JSON, where it becomes part of the whole: of the environment nothing is read then. Otherwise
    /// whoever runs the whole gives it, by the variable `EDGEPASS_CONFIG_JSON`.
    pub config: Option<String>,
}

/// What became of a composition.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The component.
    pub bytes: Vec<u8>,
    /// Environments that are empty for the application.
    pub emptied: Vec<String>,
    /// What the application imports beside the provider's own imports: a host must link it for the application.
    pub further: Vec<String>,
    /// What the provider itself asks others for, as a provider does that is to be composed with another before.
    pub asked: Vec<String>,
}

/// Plugs what the provider exports, or with a filter what that exports, into what the application imports. What provider and
/// filter import becomes imports of the whole, and the application's imports that reach what they have are refused, or an
/// empty environment, unless they are allowed.
///
/// # Errors
///
/// The parts do not fit, or the application reaches for what is the provider's.
pub fn compose(parts: Parts) -> Result<Composed, Error> {
    let mut graph = CompositionGraph::new();
    let application = Member::register(&mut graph, "edgepass:application", parts.application)?;
    let provider = match parts.token_store {
        Some(store) => with_token_store(parts.provider, store)?,
        None => parts.provider,
    };
    let provider = Member::register(&mut graph, "edgepass:provider", provider)?;
    let filter = match parts.filter {
        Some(filter) => Some(Member::register(&mut graph, "edgepass:http", filter)?),
        None => None,
    };
    let mut needed = provider.imports.clone();
    needed.extend(filter.iter().flat_map(|filter| filter.imports.clone()));
    // behind a filter the tokens themselves are not for the application, unless it is said
    let exporter = filter.as_ref().unwrap_or(&provider);
    application.check(&graph, exporter, filter.is_some())?;
    // what puts tokens on requests gets them from the provider, or from nobody
    if let Some(filter) = &filter
        && imports::answered(&filter.imports, &provider.exports).is_empty()
    {
        return Err(filter.unanswered(&provider, false, None));
    }
    let judged = imports::judge(
        &application.imports,
        &exporter.exports,
        &needed,
        &parts.allowed,
        parts.config.is_some(),
    )?;

    // where the configuration is part of the whole, it is all the environment that they have
    let mut settings = Vec::new();
    for name in needed.iter().filter(|name| imports::is_environment(name)) {
        let known = |(_, names): &(NodeId, Vec<String>)| names.contains(name);
        if let Some(config) = &parts.config
            && !settings.iter().any(known)
        {
            let text = environment(name, &[(CONFIGURATION, config)]);
            let package = format!("edgepass:configuration{}", settings.len());
            settings.push((generated(&mut graph, &package, &text)?, vec![name.clone()]));
        }
    }
    if parts.config.is_some() {
        needed.retain(|name| !imports::is_environment(name));
    }
    let provider_node = graph.instantiate(provider.id);
    for (node, names) in &settings {
        provider.take(&mut graph, provider_node, "the configuration", *node, names)?;
    }
    let mut plugs = Vec::new();
    if let Some(filter) = &filter {
        let node = graph.instantiate(filter.id);
        for (node_of_settings, names) in &settings {
            filter.take(
                &mut graph,
                node,
                "the configuration",
                *node_of_settings,
                names,
            )?;
        }
        let (name, tokens) = (&provider.name, &provider.exports);
        filter.take(&mut graph, node, name, provider_node, tokens)?;
        plugs.push((filter.name.clone(), node, filter.exports.clone()));
    }
    let tokens = provider.exports.clone();
    plugs.push((provider.name.clone(), provider_node, tokens));
    for (index, name) in judged.emptied.iter().enumerate() {
        let text = environment(name, &[]);
        let node = generated(&mut graph, &format!("empty:environment{index}"), &text)?;
        plugs.push(("an empty environment".to_owned(), node, vec![name.clone()]));
    }
    let node = graph.instantiate(application.id);
    let mut plugged = Vec::new();
    for (name, plug, exports) in &plugs {
        plugged.extend(application.take(&mut graph, node, name, *plug, exports)?);
    }
    application.hand_out(&mut graph, node, &application.exports)?;
    let bytes = encode(&graph, &application.name)?;
    // of two compatible versions the composition imports one
    let is_needed = |import: &String| {
        let mut needed = needed.iter();
        needed.any(|name| name == import || are_semver_compatible(name, import))
    };
    let further = application.imports.into_iter().filter(|import| {
        !plugged.contains(import) && !is_needed(import) && !imports::has_types_alone(import)
    });
    let asked = provider.imports.iter();
    let asked = asked.filter(|import| imports::asks(import)).cloned();
    Ok(Composed {
        bytes,
        emptied: judged.emptied,
        further: further.collect(),
        asked: asked.collect(),
    })
}

/// One component of a provider, what it imports of its host, and a command over it. It imports WASI alone, and exports what
/// the provider and the command export.
///
/// # Errors
///
/// The parts do not fit.
pub fn standalone(provider: Part, adapters: Part, command: Part) -> Result<Vec<u8>, Error> {
    let mut graph = CompositionGraph::new();
    let provider = Member::register(&mut graph, "edgepass:provider", provider)?;
    let adapters = Member::register(&mut graph, "edgepass:adapters", adapters)?;
    let command = Member::register(&mut graph, "edgepass:command", command)?;
    let adapters_node = graph.instantiate(adapters.id);
    let provider_node = graph.instantiate(provider.id);
    let (name, exports) = (&adapters.name, &adapters.exports);
    provider.take(&mut graph, provider_node, name, adapters_node, exports)?;
    let command_node = graph.instantiate(command.id);
    let (name, exports) = (&provider.name, &provider.exports);
    command.take(&mut graph, command_node, name, provider_node, exports)?;
    command.hand_out(&mut graph, command_node, &command.exports)?;
    provider.hand_out(&mut graph, provider_node, &provider.exports)?;
    encode(&graph, &provider.name)
}

/// What a token store exports.
const TOKEN_STORE: &str = "edgepass:credentials/token-store@";

/// The provider with what exports its token store plugged into it. What that imports becomes the provider's.
fn with_token_store(provider: Part, store: Part) -> Result<Part, Error> {
    let mut graph = CompositionGraph::new();
    let provider = Member::register(&mut graph, "edgepass:provider", provider)?;
    let store = Member::register(&mut graph, "edgepass:token-store", store)?;
    // whatever fits would be plugged, and what fits may be something else
    if !store
        .exports
        .iter()
        .any(|name| name.starts_with(TOKEN_STORE))
    {
        return Err(Error::NoTokenStore {
            store: store.name,
            provider: provider.name,
            reason: "it exports no token-store".to_owned(),
        });
    }
    plug(&mut graph, vec![store.id], provider.id).map_err(|error| Error::NoTokenStore {
        store: store.name,
        provider: provider.name.clone(),
        reason: format!("{error:#}"),
    })?;
    let bytes = encode(&graph, &provider.name)?;
    Ok(Part {
        name: provider.name,
        bytes,
    })
}

/// A component of the graph.
struct Member {
    name: String,
    id: PackageId,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Member {
    fn register(graph: &mut CompositionGraph, package: &str, part: Part) -> Result<Self, Error> {
        let name = part.name.clone();
        let bytes = component_of(part)?;
        let invalid = |reason| Error::Invalid {
            name: name.clone(),
            reason,
        };
        let package = Package::from_bytes(package, None, bytes, graph.types_mut())
            .map_err(|error| invalid(format!("{error:#}")))?;
        let world = &graph.types()[package.ty()];
        let imports = world.imports.keys().cloned().collect();
        let exports = world.exports.keys().cloned().collect();
        let id = graph.register_package(package);
        let id = id.map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            name,
            id,
            imports,
            exports,
        })
    }

    /// Whether something can come of it, with words for what people take for an application.
    fn check(
        &self,
        graph: &CompositionGraph,
        exporter: &Self,
        has_filter: bool,
    ) -> Result<(), Error> {
        let name = || self.name.clone();
        if imports::is_provider(&self.exports) {
            return Err(Error::IsProvider(name()));
        }
        if imports::is_composed(&self.imports) {
            return Err(Error::ComposedAlready(name()));
        }
        let answered = imports::answered(&self.imports, &exporter.exports);
        // of the other version it may have an interface that both have
        let is_other = !has_filter && self.other_version(exporter, false).is_some();
        if answered.is_empty() || is_other {
            let hint = imports::hint(&self.imports, has_filter);
            return Err(self.unanswered(exporter, has_filter, hint));
        }
        let Some(export) = imports::cannot_wait(&self.exports) else {
            return Ok(());
        };
        // one function that waits is enough, whichever interface has it
        match answered.iter().find(|import| self.waits(graph, import)) {
            Some(import) => Err(Error::CannotWait {
                application: name(),
                export: export.clone(),
                import: (*import).clone(),
            }),
            None => Ok(()),
        }
    }

    /// That none of its imports is answered, and why.
    fn unanswered(&self, exporter: &Self, is_filter: bool, hint: Option<&'static str>) -> Error {
        let application = self.name.clone();
        match self.other_version(exporter, is_filter) {
            Some(found) => Error::OtherVersion {
                application,
                import: found.import.clone(),
                version: found.version,
                exporter: exporter.name.clone(),
                other: found.other,
                hint: found.hint,
            },
            None => Error::NothingToPlug {
                application,
                exporter: exporter.name.clone(),
                exported: exporter.exports.clone(),
                hint,
            },
        }
    }

    /// An import that the exporter has for the other version of WASI.
    fn other_version<'a>(
        &'a self,
        exporter: &'a Self,
        is_filter: bool,
    ) -> Option<imports::OtherVersion<'a>> {
        let exports = imports::Exporter {
            exports: &exporter.exports,
            is_filter,
        };
        imports::other_version(&self.imports, &exports)
    }

    /// Whether it imports an asynchronous function by that interface.
    fn waits(&self, graph: &CompositionGraph, import: &str) -> bool {
        let types = graph.types();
        let item = types[graph[self.id].ty()].imports.get(import);
        let Some(ItemKind::Instance(interface)) = item else {
            return false;
        };
        let mut items = types[*interface].exports.values();
        items.any(|item| matches!(item, ItemKind::Func(function) if types[*function].is_async))
    }

    /// Gives an instance of it what it imports of these exports, by their names, or by names of versions that are compatible.
    /// The names that it has for them.
    fn take(
        &self,
        graph: &mut CompositionGraph,
        instance: NodeId,
        exporter: &str,
        plug: NodeId,
        exports: &[String],
    ) -> Result<Vec<String>, Error> {
        let mut plugged = Vec::new();
        for export in exports {
            let mut compatible = self
                .imports
                .iter()
                .filter(|name| *name == export || are_semver_compatible(name, export));
            let Some(import) = compatible.next() else {
                continue;
            };
            let differs = |reason| Error::OtherType {
                import: import.clone(),
                application: self.name.clone(),
                exporter: exporter.to_owned(),
                reason,
            };
            let argument = graph.alias_instance_export(plug, export);
            let argument = argument.map_err(|error| differs(in_words(&error)))?;
            graph
                .set_instantiation_argument(instance, import, argument)
                .map_err(|error| differs(in_words(&error)))?;
            plugged.push(import.clone());
        }
        Ok(plugged)
    }

    /// Exports of an instance of it become exports of the whole.
    fn hand_out(
        &self,
        graph: &mut CompositionGraph,
        instance: NodeId,
        names: &[String],
    ) -> Result<(), Error> {
        for name in names {
            let failed = |reason| Error::Encoding {
                name: self.name.clone(),
                reason,
            };
            let export = graph.alias_instance_export(instance, name);
            let export = export.map_err(|error| failed(in_words(&error)))?;
            let exported = graph.export(export, name);
            exported.map_err(|error| failed(in_words(&error)))?;
        }
        Ok(())
    }
}

/// An instance of a component that is made here.
fn generated(graph: &mut CompositionGraph, package: &str, text: &str) -> Result<NodeId, Error> {
    let failed = |reason| Error::Invalid {
        name: package.to_owned(),
        reason,
    };
    let bytes = wat::parse_str(text).map_err(|error| failed(error.to_string()))?;
    let part = Part {
        name: package.to_owned(),
        bytes,
    };
    let member = Member::register(graph, package, part)?;
    Ok(graph.instantiate(member.id))
}

fn encode(graph: &CompositionGraph, name: &str) -> Result<Vec<u8>, Error> {
    let encoded = graph.encode(EncodeOptions::default());
    encoded.map_err(|error| Error::Encoding {
        name: name.to_owned(),
        reason: in_words(&error),
    })
}

/// An error and its causes.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
