//! What backends loaded, in the words that every output shares.

use super::figure::{NONE, bytes, figure};
use crate::manifest::ArtifactEntry;

/// The columns of a table of artifacts; the last two are numbers.
pub(super) const COLUMNS: [&str; 7] =
    ["artifact", "model", "backend", "computes in", "runs (rows x tokens)", "size", "build, s"];

/// One artifact's row.
pub(super) fn row(entry: &ArtifactEntry) -> [String; 7] {
    let computes: Vec<String> = entry.computes_in.iter().map(|(name, n)| format!("{n} in {name}")).collect();
    let profiles: Vec<String> = entry.profiles.iter().map(ToString::to_string).collect();
    let listed = |all: Vec<String>, none: &str| if all.is_empty() { none.into() } else { all.join(", ") };
    [
        entry.name.clone(),
        entry.model.clone(),
        entry.backend.clone(),
        listed(computes, NONE),
        listed(profiles, "any"),
        entry.bytes.map_or_else(|| NONE.into(), bytes),
        figure(entry.build_seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::shapes::{Shapes, profiles_for};

    #[test]
    fn an_engine_says_what_it_computes_in_and_runs() {
        let engine = ArtifactEntry {
            name: "plan-int8-qdq".into(),
            bytes: Some(2_500_000),
            build_seconds: Some(12.5),
            computes_in: [("fp32".to_string(), 3), ("int8".to_string(), 40)].into(),
            profiles: profiles_for(&Shapes::whole(2, 16)),
            ..ArtifactEntry::default()
        };
        let row = row(&engine);
        assert_eq!(row[3], "3 in fp32, 40 in int8");
        assert_eq!(row[4], "1..2 x 1..16, 1..2 x 1 after 1..15");
        assert_eq!(super::row(&ArtifactEntry::default())[3..], [NONE, "any", NONE, NONE]);
    }
}
