//! OCI image layouts: what `skopeo`, `crane` and `oras` push to a registry (the OCI image specification 1.1, image-layout,
//! manifest and descriptor), without a container engine.
//!
//! The filter has two forms, those that Istio and Envoy Gateway fetch: an image with one layer that holds `plugin.wasm`
//! (the variant "compat" of the Wasm image specification, solo-io/wasm, spec/spec-compat.md), and an artifact of two
//! layers, the configuration and the module itself (spec/spec.md there). Both are told apart by the media types of their
//! layers, in Istio's pkg/wasm/imagefetcher.go and Envoy Gateway's copy of it. The component is an artifact as the CNCF's
//! Wasm working group describes it (one layer `application/wasm`).

use anyhow::{Context as _, Result, bail, ensure};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::digest::sha256;
use crate::workspace;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const FILTER_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
pub(crate) const FILTER_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
pub(crate) const COMPONENT_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const COMPONENT_LAYER: &str = "application/wasm";
/// A bill of materials.
pub(crate) const BILL: &str = "application/vnd.cyclonedx+json";
/// The configuration of an artifact that has none: `{}`.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The name of a manifest in the layout.
const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// A blob, as others name it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What a name in a layout stands for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    /// The manifest that this one says something of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Descriptor>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Descriptor>,
}

/// A layout that is being written.
pub(crate) struct Layout {
    root: PathBuf,
    manifests: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
}

/// A file of an image.
pub(crate) struct File {
    /// Without a slash at the beginning.
    pub(crate) path: &'static str,
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
}

impl Layout {
    /// An empty one in the place of whatever is there. The annotations are those of every manifest.
    pub(crate) fn create(root: &Path, annotations: BTreeMap<String, String>) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(root)
                .with_context(|| format!("cannot empty {}", workspace::shown(root)))?;
        }
        fs::create_dir_all(root.join("blobs/sha256"))
            .with_context(|| format!("cannot create {}", workspace::shown(root)))?;
        Ok(Self {
            root: root.to_owned(),
            manifests: Vec::new(),
            annotations,
        })
    }

    /// An image of one layer with these files. `run` is the part `config` of its configuration.
    pub(crate) fn image(
        &mut self,
        name: &str,
        files: &[File],
        run: &Value,
        annotations: &[(&str, &str)],
    ) -> Result<()> {
        let files: Vec<_> = files
            .iter()
            .map(|file| (file.path, file.mode, file.content.as_slice()))
            .collect();
        let tar = tar(&files)?;
        let layer = self.blob(IMAGE_LAYER, &gzip(&tar)?)?;
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": run,
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&tar))] },
        });
        let config = self.blob(IMAGE_CONFIG, &serde_json::to_vec(&config)?)?;
        self.manifest(name, None, config, vec![layer], annotations)
    }

    /// The filter as an artifact: Istio wants two layers, the configuration among them.
    pub(crate) fn filter_artifact(&mut self, name: &str, module: &[u8]) -> Result<()> {
        let config = json!({
            "type": "envoy_proxy",
            "abiVersions": ["0.2.1"],
            "config": { "root_ids": ["edgepass"] },
        });
        let config = self.blob(FILTER_CONFIG, &serde_json::to_vec(&config)?)?;
        let title = |file: &str| ("org.opencontainers.image.title".to_owned(), file.to_owned());
        let mut runtime = config.clone();
        runtime.annotations.extend([title("runtime-config.json")]);
        let mut layer = self.blob(FILTER_LAYER, module)?;
        layer.annotations.extend([title("plugin.wasm")]);
        let artifact = Some(FILTER_CONFIG.to_owned());
        self.manifest(name, artifact, config, vec![runtime, layer], &[])
    }

    /// A component as an artifact, with the names of what it imports and exports.
    pub(crate) fn component(
        &mut self,
        name: &str,
        component: &[u8],
        imports: &[String],
        exports: &[String],
    ) -> Result<()> {
        let layer = self.blob(COMPONENT_LAYER, component)?;
        let config = json!({
            // required there; the same for everybody who packs the same
            "created": "1970-01-01T00:00:00Z",
            "architecture": "wasm",
            // the name for components, of whatever WASI
            "os": "wasip2",
            "layerDigests": [layer.digest],
            "component": { "imports": imports, "exports": exports },
        });
        let config = self.blob(COMPONENT_CONFIG, &serde_json::to_vec(&config)?)?;
        self.manifest(name, None, config, vec![layer], &[])
    }

    /// The bill of materials of the artifact of that name. Registries list it among its referrers, and `oras discover`
    /// shows it; it has no name of its own.
    pub(crate) fn bill(&mut self, of: &str, bill: &[u8]) -> Result<()> {
        let subject = self
            .manifests
            .iter()
            .find(|manifest| manifest.annotations.get(REFERENCE).map(String::as_str) == Some(of));
        let mut subject = subject
            .with_context(|| format!("the layout has no {of}"))?
            .clone();
        subject.annotations.clear();
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: Some(BILL.to_owned()),
            config: self.blob(EMPTY, b"{}")?,
            layers: vec![self.blob(BILL, bill)?],
            subject: Some(subject),
            annotations: self.annotations.clone(),
        };
        let descriptor = self.blob(MANIFEST, &serde_json::to_vec_pretty(&manifest)?)?;
        self.manifests.push(descriptor);
        Ok(())
    }

    /// Writes what leads to the manifests.
    pub(crate) fn finish(self) -> Result<()> {
        let index = Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: self.manifests,
        };
        let write = |name: &str, bytes: Vec<u8>| {
            fs::write(self.root.join(name), bytes)
                .with_context(|| format!("cannot write {name} of the image layout"))
        };
        write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())?;
        write("index.json", serde_json::to_vec_pretty(&index)?)
    }

    fn manifest(
        &mut self,
        name: &str,
        artifact_type: Option<String>,
        config: Descriptor,
        layers: Vec<Descriptor>,
        annotations: &[(&str, &str)],
    ) -> Result<()> {
        let own = annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type,
            config,
            layers,
            subject: None,
            annotations: self.annotations.clone().into_iter().chain(own).collect(),
        };
        let mut descriptor = self.blob(MANIFEST, &serde_json::to_vec_pretty(&manifest)?)?;
        descriptor
            .annotations
            .insert(REFERENCE.to_owned(), name.to_owned());
        self.manifests.push(descriptor);
        Ok(())
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = sha256(bytes);
        fs::write(self.root.join("blobs/sha256").join(&digest), bytes)
            .context("cannot write a blob of the image layout")?;
        Ok(Descriptor {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{digest}"),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
        })
    }
}

/// A layout, read as one reads it who trusts nothing of it.
pub(crate) struct Reader {
    root: PathBuf,
    index: Index,
}

impl Reader {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let read = |name: &str| {
            fs::read(root.join(name)).with_context(|| format!("the image layout has no {name}"))
        };
        let version: Value = serde_json::from_slice(&read("oci-layout")?)?;
        ensure!(
            version == json!({ "imageLayoutVersion": "1.0.0" }),
            "oci-layout is {version}"
        );
        let index: Index = serde_json::from_slice(&read("index.json")?)?;
        ensure!(
            (index.schema_version, index.media_type.as_str()) == (2, INDEX),
            "index.json is no image index"
        );
        Ok(Self {
            root: root.to_owned(),
            index,
        })
    }

    /// The names of its manifests.
    pub(crate) fn names(&self) -> Vec<&str> {
        let manifests = self.index.manifests.iter();
        manifests
            .filter_map(|manifest| manifest.annotations.get(REFERENCE))
            .map(String::as_str)
            .collect()
    }

    /// The manifest of that name, whose blobs are all there and are what it says.
    pub(crate) fn manifest(&self, name: &str) -> Result<Manifest> {
        let mut found = self.index.manifests.iter().filter(|manifest| {
            manifest.annotations.get(REFERENCE).map(String::as_str) == Some(name)
        });
        let (Some(descriptor), None) = (found.next(), found.next()) else {
            bail!("the layout does not have exactly one {name}");
        };
        ensure!(descriptor.media_type == MANIFEST, "{name} is no manifest");
        let manifest: Manifest = serde_json::from_slice(&self.blob(descriptor)?)?;
        ensure!(
            (manifest.schema_version, manifest.media_type.as_str()) == (2, MANIFEST),
            "{name} is no image manifest"
        );
        self.blob(&manifest.config)?;
        for layer in &manifest.layers {
            self.blob(layer)?;
        }
        Ok(manifest)
    }

    /// The bills of materials of the artifact of that name.
    pub(crate) fn bills(&self, of: &str) -> Result<Vec<Vec<u8>>> {
        self.manifest(of)?;
        let subject =
            self.index.manifests.iter().find(|manifest| {
                manifest.annotations.get(REFERENCE).map(String::as_str) == Some(of)
            });
        let mut found = Vec::new();
        for descriptor in &self.index.manifests {
            let manifest: Manifest = serde_json::from_slice(&self.blob(descriptor)?)?;
            let digest = manifest.subject.map(|subject| subject.digest);
            if manifest.artifact_type.as_deref() == Some(BILL)
                && digest.as_ref() == subject.map(|subject| &subject.digest)
            {
                let [layer] = manifest.layers.as_slice() else {
                    bail!("a bill of {of} has not one layer");
                };
                found.push(self.blob(layer)?);
            }
        }
        Ok(found)
    }

    /// The bytes of a blob, which have the size and the digest that they are said to have.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let digest = descriptor
            .digest
            .strip_prefix("sha256:")
            .with_context(|| format!("{} is no SHA-256", descriptor.digest))?;
        let bytes = fs::read(self.root.join("blobs/sha256").join(digest))
            .with_context(|| format!("there is no blob {digest}"))?;
        ensure!(
            bytes.len() as u64 == descriptor.size,
            "the blob {digest} has {} bytes, not {}",
            bytes.len(),
            descriptor.size
        );
        ensure!(
            sha256(&bytes) == digest,
            "the blob {digest} holds something else"
        );
        Ok(bytes)
    }

    /// The files of an image of one layer, by path with their mode, as a container engine unpacks it.
    pub(crate) fn unpack(&self, name: &str) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
        let manifest = self.manifest(name)?;
        ensure!(
            manifest.config.media_type == IMAGE_CONFIG,
            "{name} is no image"
        );
        let [layer] = manifest.layers.as_slice() else {
            bail!("{name} has {} layers, not one", manifest.layers.len());
        };
        ensure!(
            layer.media_type == IMAGE_LAYER,
            "the layer of {name} is {}",
            layer.media_type
        );
        let mut tar = Vec::new();
        GzDecoder::new(self.blob(layer)?.as_slice())
            .read_to_end(&mut tar)
            .with_context(|| format!("the layer of {name} is not compressed by gzip"))?;
        let config: Value = serde_json::from_slice(&self.blob(&manifest.config)?)?;
        ensure!(
            config.pointer("/rootfs/diff_ids")
                == Some(&json!([format!("sha256:{}", sha256(&tar))])),
            "{name} has other diff_ids than its layer"
        );
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(tar.as_slice()).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.display().to_string();
            let mode = entry.header().mode()?;
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(path, (mode, content));
        }
        Ok(files)
    }

    /// The module that Istio and Envoy Gateway take of it: of an image with one layer the file `plugin.wasm`, else the
    /// layer of the module's type of an artifact with two.
    pub(crate) fn plugin(&self, name: &str) -> Result<Vec<u8>> {
        let manifest = self.manifest(name)?;
        if manifest.layers.len() == 1 {
            let (_, module) = self
                .unpack(name)?
                .remove("plugin.wasm")
                .with_context(|| format!("{name} has no plugin.wasm"))?;
            return Ok(module);
        }
        ensure!(
            manifest.layers.len() == 2,
            "{name} has neither one layer nor two"
        );
        let layer = manifest
            .layers
            .iter()
            .find(|layer| layer.media_type == FILTER_LAYER)
            .with_context(|| format!("{name} has no layer {FILTER_LAYER}"))?;
        self.blob(layer)
    }
}

/// An archive of these files (path, mode, content), the same whenever it is made.
pub(crate) fn tar(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive
            .append_data(&mut header, path, *content)
            .with_context(|| format!("cannot archive {path}"))?;
    }
    Ok(archive.into_inner()?)
}

/// Compressed, the same whenever it is done.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// As OCI has it, which is Go's name.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Outside;

    fn write(folder: &Outside) -> Result<()> {
        let mut layout = Layout::create(
            &folder.0,
            [("org.opencontainers.image.version".into(), "1".into())].into(),
        )?;
        let file = |path, mode, content: &[u8]| File {
            path,
            mode,
            content: content.to_vec(),
        };
        layout.image(
            "command",
            &[
                file("usr/bin/it", 0o755, b"program"),
                file("etc/x", 0o644, b"x"),
            ],
            &json!({ "Entrypoint": ["/usr/bin/it"] }),
            &[],
        )?;
        layout.image(
            "filter",
            &[file("plugin.wasm", 0o644, b"\0asm")],
            &json!({}),
            &[("module.wasm.image/variant", "compat")],
        )?;
        layout.filter_artifact("artifact", b"\0asm")?;
        layout.component("component", b"\0asm", &["a:b/c".to_owned()], &[])?;
        layout.finish()
    }

    #[test]
    fn a_layout_is_read_as_its_users_read_it() -> Result<()> {
        let folder = Outside::new("oci-read")?;
        write(&folder)?;
        let reader = Reader::open(&folder.0)?;
        assert_eq!(
            reader.names(),
            ["command", "filter", "artifact", "component"]
        );
        let files = reader.unpack("command")?;
        assert_eq!(files.get("usr/bin/it"), Some(&(0o755, b"program".to_vec())));
        assert_eq!(files.get("etc/x"), Some(&(0o644, b"x".to_vec())));
        for name in ["filter", "artifact"] {
            assert_eq!(reader.plugin(name)?, b"\0asm", "{name}");
        }
        let filter = reader.manifest("filter")?;
        assert_eq!(
            filter.annotations.get("module.wasm.image/variant"),
            Some(&"compat".to_owned())
        );
        assert!(reader.plugin("command").is_err());
        let component = reader.manifest("component")?;
        let types: Vec<_> = component.layers.iter().map(|l| &l.media_type).collect();
        assert_eq!(types, [COMPONENT_LAYER]);
        assert_eq!(component.config.media_type, COMPONENT_CONFIG);
        let config: Value = serde_json::from_slice(&reader.blob(&component.config)?)?;
        assert_eq!(
            config.pointer("/layerDigests/0").and_then(Value::as_str),
            component.layers.first().map(|layer| layer.digest.as_str())
        );
        Ok(())
    }

    #[test]
    fn the_same_files_make_the_same_layout() -> Result<()> {
        let (one, two) = (Outside::new("oci-one")?, Outside::new("oci-two")?);
        write(&one)?;
        write(&two)?;
        let index = |folder: &Outside| fs::read(folder.0.join("index.json"));
        assert_eq!(index(&one)?, index(&two)?);
        Ok(())
    }

    #[test]
    fn a_blob_that_holds_something_else_is_seen() -> Result<()> {
        let folder = Outside::new("oci-damaged")?;
        write(&folder)?;
        let reader = Reader::open(&folder.0)?;
        let layer = reader.manifest("filter")?.layers.remove(0);
        let path = folder
            .0
            .join("blobs")
            .join(layer.digest.replace("sha256:", "sha256/"));
        let mut bytes = fs::read(&path)?;
        bytes.reverse();
        fs::write(&path, bytes)?;
        let error = reader.plugin("filter").expect_err("damaged");
        assert!(error.to_string().contains("something else"), "{error}");
        Ok(())
    }
}
