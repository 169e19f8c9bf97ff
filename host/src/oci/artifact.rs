//! A component as an OCI artifact: its config, its manifest, and what they say when they are read.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::names::Digest;
use crate::trust::Signatures;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
/// Where a component's signatures stand, as they stand in its `.sig`.
const SIGNATURES: &str = "assay.component.signatures";
const TITLE: &str = "org.opencontainers.image.title";

/// What is pushed.
pub struct Contents {
    pub component: Bytes,
    pub signatures: Signatures,
    /// The file's name.
    pub title: String,
    pub exports: Vec<String>,
    pub imports: Vec<String>,
}

/// The same in the words of a registry.
pub(super) struct Artifact {
    pub config: Bytes,
    pub manifest: Bytes,
}

/// The component of a manifest.
#[derive(Debug)]
pub(super) struct Layer {
    pub digest: Digest,
    pub signatures: Signatures,
}

impl Contents {
    /// The same contents make the same bytes, so that nobody need push twice to find that out: the
    /// moment that the layout asks for is always the same one.
    pub(super) fn artifact(&self) -> Artifact {
        let layer = format!("sha256:{}", Digest::of(&self.component));
        let config = json!({
            "created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2",
            "layerDigests": [layer],
            "component": { "exports": self.exports, "imports": self.imports, "target": null },
        });
        let config = Bytes::from(config.to_string());
        let mut annotations = json!({ TITLE: self.title });
        if let (Value::Object(annotations), true) =
            (&mut annotations, self.signatures.iter().next().is_some())
        {
            let text = self.signatures.to_string();
            annotations.insert(SIGNATURES.to_owned(), text.into());
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {
                "mediaType": CONFIG, "digest": format!("sha256:{}", Digest::of(&config)),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": LAYER, "digest": layer, "size": self.component.len(),
                "annotations": annotations,
            }],
        });
        Artifact {
            config,
            manifest: manifest.to_string().into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// The component that a manifest names.
///
/// # Errors
/// What it is instead of a manifest of one.
pub(super) fn layer(manifest: &[u8]) -> Result<Layer, String> {
    let read: Result<Manifest, _> = serde_json::from_slice(manifest);
    let manifest = read.map_err(|error| format!("its manifest can't be read: {error}"))?;
    if manifest.config.media_type != CONFIG {
        return Err(format!(
            "its config is of type {}, not {CONFIG}",
            manifest.config.media_type
        ));
    }
    let mut layers = manifest.layers.into_iter();
    let (Some(layer), None) = (layers.next(), layers.next()) else {
        return Err("it has not one layer".to_owned());
    };
    if layer.media_type != LAYER {
        return Err(format!(
            "its layer is of type {}, not {LAYER}",
            layer.media_type
        ));
    }
    let digits = layer.digest.strip_prefix("sha256:").unwrap_or_default();
    let digest = Digest::try_from(digits.to_owned());
    let signatures = layer.annotations.get(SIGNATURES);
    let signatures = match signatures {
        None => Signatures::default(),
        Some(text) => Signatures::read(text).ok_or("its signatures can't be read")?,
    };
    Ok(Layer {
        digest: digest.map_err(|_| format!("its layer's digest is {:?}", layer.digest))?,
        signatures,
    })
}
