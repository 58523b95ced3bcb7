//! Every crate in `Cargo.lock`, of all targets and features, comes from where `deny.toml` says and under a licence that it
//! lists: checked wherever the tests run, also without cargo-deny.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What Cargo says of every package.
fn packages() -> Vec<Value> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--all-features",
            "--manifest-path",
        ])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn listed<'a>(deny: &'a toml::Table, table: &str, key: &str) -> Vec<&'a str> {
    deny[table][key].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn licences_and_sources_are_those_of_deny_toml() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deny.toml")).unwrap();
    let deny: toml::Table = text.parse().unwrap();
    let (licences, registries) =
        (listed(&deny, "licenses", "allow"), listed(&deny, "sources", "allow-registry"));
    let (mut wrong, packages) = (Vec::new(), packages());
    for package in &packages {
        let name = format!("{} {}", package["name"], package["version"]);
        match package["source"].as_str() {
            None => {}
            Some(source) if registries.iter().any(|known| source == format!("registry+{known}")) => {}
            Some(source) => wrong.push(format!("{name} is from {source}")),
        }
        let licence = package["license"].as_str().unwrap_or_default();
        let allowed = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .is_ok_and(|licence| licence.evaluate(|one| licences.contains(&one.to_string().as_str())));
        if !allowed {
            wrong.push(format!("{name} is under {licence:?}"));
        }
    }
    assert!(packages.len() > 200, "{} packages", packages.len());
    assert!(wrong.is_empty(), "not as deny.toml says: {wrong:#?}");
}
