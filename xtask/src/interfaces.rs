//! `cargo xtask interfaces`: `docs/interfaces.md`, the interfaces as a page to read, from the files of `wit/`.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::PathBuf;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{PackageId, Resolve};

const HEAD: &str = "# The interfaces

Every record, function and error of `edgepass:credentials`, written by `cargo xtask interfaces` from the files of
[wit/](../wit/README.md), which says how they fit together, which one to import and what changes between versions.
[components.md](components.md) shows a component that calls them. Over WASI 0.2 the same interfaces are in
`edgepass:credentials-p2`, where `async func` is `func`.

";

/// Writes the page.
pub(crate) fn run() -> Result<()> {
    workspace::write_if_changed(&place(), page()?.as_bytes())?;
    Ok(())
}

/// Whether the page is that of the interfaces as they are.
pub(crate) fn check() -> Result<()> {
    let found = fs::read_to_string(place()).context("cannot read docs/interfaces.md")?;
    ensure!(
        found == page()?,
        "docs/interfaces.md is not what wit/ says: run `cargo xtask interfaces`"
    );
    Ok(())
}

fn place() -> PathBuf {
    workspace::root().join("docs/interfaces.md")
}

fn page() -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(workspace::root().join("wit"))
        .context("cannot read wit/")?;
    let version = resolve
        .packages
        .get(package)
        .and_then(|package| package.name.version.as_ref())
        .context("wit/ has no version")?
        .to_string();
    // the generator writes what a world has: one that has all of them
    let interfaces = resolve.packages.get(package).map(|one| &one.interfaces);
    let mut world = String::from("package edgepass:page;\nworld page {\n");
    for name in interfaces.into_iter().flat_map(|all| all.keys()) {
        world.push_str(&format!(
            "  import edgepass:credentials/{name}@{version};\n"
        ));
    }
    world.push('}');
    let all = resolve.push_str("page.wit", &world)?;
    let world = resolve.select_world(&[all], Some("page"))?;
    let mut files = Files::default();
    wit_bindgen_markdown::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)?;
    let written = files
        .iter()
        .find_map(|(name, content)| name.ends_with(".md").then_some(content))
        .context("the generator wrote no page")?;
    let written = String::from_utf8(written.to_vec()).context("the page is no text")?;
    Ok(HEAD.to_owned() + &ours(&written, &waiting(&resolve, package)))
}

/// The functions that are `async`, as the generator writes them, after their interface: it does not say which they are.
fn waiting(resolve: &Resolve, package: PackageId) -> Vec<(String, String)> {
    let package = resolve.packages.get(package);
    let interfaces = package.into_iter().flat_map(|one| &one.interfaces);
    interfaces
        .filter_map(|(name, id)| Some((name, resolve.interfaces.get(*id)?)))
        .flat_map(|(name, interface)| {
            let functions = interface.functions.values();
            functions
                .filter(|function| function.kind.is_async())
                .map(move |function| (name.replace('-', "_"), function.name.clone()))
        })
        .map(|(interface, function)| {
            let written = function
                .replace("[async method]", "[method]")
                .replace("[async]", "");
            (interface, written)
        })
        .collect()
}

/// The sections of our interfaces, of those that the generator writes: those of WASI are documented by WASI. Links to them
/// lose their target, and the generator's `<p>`, which it closes nowhere, goes.
fn ours(written: &str, waiting: &[(String, String)]) -> String {
    const SECTION: &str = "## <a id=\"";
    const OURS: &str = "edgepass_credentials_";
    let mut section = "";
    let mut page = String::new();
    let mut keep = false;
    for line in written.lines() {
        if let Some(anchor) = line.strip_prefix(SECTION) {
            keep = anchor.starts_with(OURS);
            section = anchor.strip_prefix(OURS).unwrap_or_default();
        }
        if !keep {
            continue;
        }
        let mut line = line.replace("Import interface ", "").replace("<p>", "");
        for (interface, function) in waiting {
            let version = section.strip_prefix(interface.as_str());
            // an interface's anchor ends with its version
            if version.is_some_and(|rest| rest.starts_with(['_', '"'])) {
                let from = format!("`{function}: func`");
                line = line.replace(&from, &format!("`{function}: async func`"));
            }
        }
        page.push_str(line.trim_end());
        page.push('\n');
    }
    let anchors: Vec<&str> = page
        .split("<a id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let mut linked = String::with_capacity(page.len());
    let mut rest = page.as_str();
    while let Some((before, link)) = rest.split_once("](#") {
        let Some((target, after)) = link.split_once(')') else {
            break;
        };
        if anchors.contains(&target) {
            linked.push_str(&format!("{before}](#{target})"));
        } else if let Some((head, text)) = before.rsplit_once('[') {
            linked.push_str(head);
            linked.push_str(text);
        }
        rest = after;
    }
    linked.push_str(rest);
    // one empty line where the generator leaves several
    while linked.contains("\n\n\n") {
        linked = linked.replace("\n\n\n", "\n\n");
    }
    linked.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::{ours, page};
    use crate::workspace;
    use wit_bindgen_core::wit_parser::Resolve;

    #[test]
    fn sections_of_others_go_and_links_to_them_lose_their_target() {
        let written = "# World\n## <a id=\"wasi_http\"></a>Import interface wasi:http\ntext\n## <a id=\"edgepass_credentials_types\"></a>Import interface types\n- <a id=\"a\"></a>`a`: [`b`](#b)\n  <p>Says.\n\n\n- <a id=\"b\"></a>`b`: [`fields`](#fields)\n";
        assert_eq!(
            ours(written, &[]),
            "## <a id=\"edgepass_credentials_types\"></a>types\n- <a id=\"a\"></a>`a`: [`b`](#b)\n  Says.\n\n- <a id=\"b\"></a>`b`: `fields`\n"
        );
    }

    #[test]
    fn the_page_has_every_function_of_the_interfaces() {
        let page = page().expect("the page");
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_dir(workspace::root().join("wit"))
            .expect("wit/");
        let interfaces = &resolve.packages[package].interfaces;
        assert!(interfaces.len() >= 9);
        for (name, id) in interfaces {
            let heading = format!("</a>edgepass:credentials/{name}@");
            let (_, section) = page.split_once(&heading).expect(name);
            let section = section.split("\n## ").next().unwrap_or_default();
            for function in resolve.interfaces[*id].functions.values() {
                let kind = if function.kind.is_async() {
                    "async func"
                } else {
                    "func"
                };
                let written = function.name.replace("[async method]", "[method]");
                let heading = format!("`{}: {kind}`", written.replace("[async]", ""));
                assert!(section.contains(&heading), "{name}: {heading}");
            }
        }
    }
}
