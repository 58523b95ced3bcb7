//! A program's file: found in a folder, and told by what is inside.

use super::archive::Archive;
use super::{Contract, REMEDY};
use crate::ModelForm;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What programs are called; `.pt` has weights too.
const EXTENSIONS: [&str; 3] = ["pt2", "ts", "pt"];

/// Whether a file of that name may hold a program.
pub fn is_program_name(path: &Path) -> bool {
    path.extension().is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known))
}

/// The only file in `folder` that is called as a program is; none where there is none at all.
///
/// # Errors
/// A text that fits after the folder's path, where several files could be meant or the folder cannot be read.
pub fn find_program(folder: &Path) -> Result<Option<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("cannot be read: {e}"))?;
    let files = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = files.filter(|file| is_program_name(file) && file.is_file()).collect();
    found.sort();
    if found.len() > 1 {
        let names = found.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy());
        return Err(format!("holds {}; name the one to open", names.collect::<Vec<_>>().join(", ")));
    }
    Ok(found.pop())
}

/// What can be read off a program without PyTorch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFile {
    /// [`ModelForm::TorchScript`] or [`ModelForm::AotInductor`].
    pub form: ModelForm,
    /// The model's name within its package; empty for TorchScript.
    pub model: String,
    /// What the compiler left in a package, as `AOTI_DEVICE_KEY`; empty for TorchScript.
    pub metadata: BTreeMap<String, String>,
    /// What it says of its inputs and outputs, where it was exported by our script.
    pub contract: Option<Contract>,
    /// The file's size.
    pub bytes: u64,
}

impl ProgramFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A text that fits after the file's path: what it is instead of a program, and what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut archive = Archive::open(path)?;
        if let Some(model) = packaged_model(&archive)? {
            return Self::package(&mut archive, model);
        }
        let inside = |name: &str| archive.names().any(|entry| below_root(entry) == name);
        let with = |start: &str| archive.names().any(|entry| below_root(entry).starts_with(start));
        if inside("constants.pkl") && with("code/") {
            let said =
                archive.names().find(|entry| below_root(entry) == "extra/inferhost.json").map(String::from);
            let contract = said.map(|entry| read_text(&mut archive, &entry)).transpose()?;
            return Ok(Self {
                form: ModelForm::TorchScript,
                model: String::new(),
                metadata: BTreeMap::new(),
                contract: contract.map(|text| Contract::read(&text)).transpose()?,
                bytes: archive.length(),
            });
        }
        Err(if with("models/") || inside("serialized_exported_program.json") {
            format!(
                "is an exported program that was not compiled (torch.export.save); compile it with torch._inductor.aoti_compile_and_package, or {REMEDY}"
            )
        } else if inside("data.pkl") {
            format!("holds tensors or objects that torch.save wrote, and no program; {REMEDY}")
        } else {
            format!("is a ZIP archive, but neither a TorchScript file nor an AOTInductor package; {REMEDY}")
        })
    }

    fn package(archive: &mut Archive, model: String) -> Result<Self, String> {
        let folder = format!("data/aotinductor/{model}/");
        let files = archive.names().filter(|entry| below_root(entry).starts_with(&folder));
        // A kernel's own, beside it, says the same.
        let file = files
            .filter(|entry| entry.ends_with("_metadata.json"))
            .max_by_key(|entry| entry.contains("wrapper"));
        let metadata = match file.map(String::from) {
            None => BTreeMap::new(),
            Some(file) => serde_json::from_str::<BTreeMap<String, String>>(&read_text(archive, &file)?)
                .map_err(|e| format!("is damaged: {file} is no table of texts: {e}; export it again"))?,
        };
        Ok(Self {
            form: ModelForm::AotInductor,
            model,
            contract: metadata.get("inferhost").map(|text| Contract::read(text)).transpose()?,
            metadata,
            bytes: archive.length(),
        })
    }
}

/// The name of the model in an AOTInductor package; none in other archives.
fn packaged_model(archive: &Archive) -> Result<Option<String>, String> {
    let name =
        |entry| below_root(entry).strip_prefix("data/aotinductor/")?.split_once('/').map(|(model, _)| model);
    let mut models: Vec<&str> = archive.names().filter_map(name).collect();
    models.dedup();
    match models.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).into())),
        several => Err(format!(
            "is an AOTInductor package of {} ({}); package one model alone",
            several.len(),
            several.join(", ")
        )),
    }
}

/// All entries lie in one folder, which is called as the file once was.
fn below_root(entry: &str) -> &str {
    entry.split_once('/').map_or(entry, |(_, below)| below)
}

fn read_text(archive: &mut Archive, entry: &str) -> Result<String, String> {
    let bytes = archive.read(entry)?;
    String::from_utf8(bytes).map_err(|_| format!("is damaged: {entry} is no text; export it again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Size;
    use std::fs;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/torch").join(name)
    }

    /// Files in a folder of its own.
    fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("inferhost-program-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        folder
    }

    /// A ZIP archive of stored entries, with 64-bit fields throughout as those above 4 GiB have.
    fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, text) in entries {
            let header = bytes.len() as u64;
            let (size, length) = (text.len() as u64, (name.len() as u16).to_le_bytes());
            let sizes = [&[0u8; 8][..], &u32::MAX.to_le_bytes(), &u32::MAX.to_le_bytes()].concat();
            bytes.extend(
                [
                    b"PK\x03\x04\0\0\0\0\0\0".as_slice(),
                    &[0; 4],
                    &sizes[4..],
                    &length,
                    &[0, 0],
                    name.as_bytes(),
                    text.as_bytes(),
                ]
                .concat(),
            );
            let wide = [size, size, header].map(u64::to_le_bytes).concat();
            directory.extend(
                [
                    b"PK\x01\x02\0\0\0\0\0\0".as_slice(),
                    &[0; 10 - 4],
                    &[0; 4],
                    &sizes[8..],
                    &length,
                    &28u16.to_le_bytes(),
                    &[0; 10],
                    &u32::MAX.to_le_bytes(),
                    name.as_bytes(),
                    &[1, 0, 24, 0],
                    &wide,
                ]
                .concat(),
            );
        }
        let (start, length) = (bytes.len() as u64, directory.len() as u64);
        bytes.extend(directory);
        let trailer = bytes.len() as u64;
        bytes.extend(
            [b"PK\x06\x06".as_slice(), &[0; 36], &length.to_le_bytes(), &start.to_le_bytes()].concat(),
        );
        bytes.extend([b"PK\x06\x07".as_slice(), &[0; 4], &trailer.to_le_bytes(), &[0; 4]].concat());
        bytes.extend([b"PK\x05\x06".as_slice(), &[0; 8], &[255; 8], &[0, 0]].concat());
        bytes
    }

    #[test]
    fn a_script_is_read_with_what_it_says() {
        let program = ProgramFile::read(&fixture("llama-gqa/model.ts")).unwrap();
        let contract = program.contract.unwrap();
        assert_eq!(
            (program.form, contract.version, contract.precision.as_str()),
            (ModelForm::TorchScript, 1, "f32")
        );
        assert_eq!(contract.inputs[0].shape, ["batch", "sequence"].map(|name| Size::Open(name.into())));
        assert!(contract.vocab_size().is_some() && contract.parameters.is_some());
        for other in ["recipe.pt", "other.ts"] {
            let program = ProgramFile::read(&fixture(other)).unwrap();
            assert_eq!((program.form, program.contract), (ModelForm::TorchScript, None));
        }
    }

    #[test]
    fn a_package_is_told_by_what_is_inside() {
        let package = |json: &str| {
            zip(&[("x/data/aotinductor/model/a.wrapper_metadata.json", json), ("x/version", "1")])
        };
        let folder = folder(
            "package",
            &[("x.ts", &package(r#"{"AOTI_DEVICE_KEY": "cuda"}"#)), ("bad.ts", &package("[]"))],
        );
        let program = ProgramFile::read(&folder.join("x.ts")).unwrap();
        assert_eq!(
            (program.form, program.model.as_str(), program.contract),
            (ModelForm::AotInductor, "model", None)
        );
        assert_eq!(program.metadata["AOTI_DEVICE_KEY"], "cuda");
        assert!(ProgramFile::read(&folder.join("bad.ts")).unwrap_err().contains("is no table of texts"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_program_is_said() {
        let script = fs::read(fixture("other.ts")).unwrap();
        let said = |json: &str| {
            zip(&[("x/constants.pkl", ""), ("x/code/a.py", ""), ("x/extra/inferhost.json", json)])
        };
        let several = zip(&[("x/data/aotinductor/a/b", ""), ("x/data/aotinductor/c/d", "")]);
        let cases: [(&[u8], &str); 10] = [
            (b"", "not a ZIP archive"),
            (b"weights", "not a ZIP archive"),
            (&script[..script.len() / 2], "is cut short or damaged"),
            (&script[..script.len() - 30], "is cut short or damaged"),
            (&zip(&[("x/models/model.json", "")]), "was not compiled"),
            (&zip(&[("x/data.pkl", "")]), "torch.save"),
            (&zip(&[("x/a", "")]), "neither a TorchScript file nor an AOTInductor package"),
            (&several, "an AOTInductor package of 2 (a, c); package one"),
            (&said("{}"), "missing field `version`"),
            (
                &said(
                    r#"{"version":2,"inputs":[],"outputs":[],"padding":"left","precision":"f32","device":"cpu"}"#,
                ),
                "version 2, expected 1",
            ),
        ];
        for (index, (bytes, expected)) in cases.into_iter().enumerate() {
            let folder = folder(&format!("bad-{index}"), &[("x.pt", bytes)]);
            let message = ProgramFile::read(&folder.join("x.pt")).unwrap_err();
            assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn a_folder_holds_one_program_or_says_which() {
        type Found = Result<Option<&'static str>, &'static str>;
        let cases: [(&[&str], Found); 4] = [
            (&["config.json"], Ok(None)),
            (&["config.json", "model.ts"], Ok(Some("model.ts"))),
            (&["a.pt", "a.bin"], Ok(Some("a.pt"))),
            (&["model.ts", "model.pt2"], Err("holds model.pt2, model.ts; name the one to open")),
        ];
        for (index, (files, expected)) in cases.into_iter().enumerate() {
            let files: Vec<(&str, &[u8])> = files.iter().map(|name| (*name, &b""[..])).collect();
            let folder = folder(&format!("find-{index}"), &files);
            let found = find_program(&folder);
            assert_eq!(found, expected.map(|name| name.map(|name| folder.join(name))).map_err(String::from));
            fs::remove_dir_all(folder).unwrap();
        }
    }
}
