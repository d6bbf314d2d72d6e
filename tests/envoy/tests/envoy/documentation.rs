//! The documentation names what there is. What it shows is compared in `generated`.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../../../docs/envoy.md");

#[test]
fn every_metric_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filters/envoy/src/metrics.rs");
    let text = fs::read_to_string(path).unwrap();
    let names: Vec<&str> = text
        .split('"')
        .filter(|part| part.starts_with("edgepass_"))
        .filter_map(|name| name.split(['{', '.']).next())
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(PAGE.contains(name), "docs/envoy.md does not name {name}");
    }
}
