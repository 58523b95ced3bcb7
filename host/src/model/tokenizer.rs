//! Text to token ids and back, with the tokenizer that came with the model.
//!
//! `tokenizer.json` is taken where there is one; `vocab.json` with `merges.txt` is GPT-2's older form of the same
//! byte-level BPE.

use super::ModelError;
use crate::platform::caught;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::DecodeStream;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    Tokenizer as Inner,
};

const END_OF_TEXT: &str = "<|endoftext|>";

/// The files of a model's tokenizer; reading them takes a moment and most runs need no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenizerFiles {
    /// `tokenizer.json`.
    Json(PathBuf),
    /// GPT-2's `vocab.json` and `merges.txt`.
    VocabMerges {
        /// `vocab.json`.
        vocab: PathBuf,
        /// `merges.txt`.
        merges: PathBuf,
    },
}

impl TokenizerFiles {
    /// The tokenizer's files in a model folder; none where it has none.
    pub fn find(folder: &Path) -> Option<Self> {
        let json = folder.join("tokenizer.json");
        let (vocab, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        if json.is_file() {
            Some(Self::Json(json))
        } else {
            (vocab.is_file() && merges.is_file()).then_some(Self::VocabMerges { vocab, merges })
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// Which file is malformed.
    pub fn load(&self) -> Result<Tokenizer, ModelError> {
        let (path, inner) = match self {
            Self::Json(path) => (path, caught(|| bounded(path).and_then(|json| Inner::from_bytes(&json)))),
            Self::VocabMerges { vocab, merges } => (vocab, caught(|| byte_level_bpe(vocab, merges))),
        };
        let mut inner = inner.unwrap_or_else(stumbled).map_err(|e| malformed(path, &e))?;
        // A row is as long as its text: the file's own wishes for batches are not ours, and may be any size.
        inner.with_padding(None).with_truncation(None).map_err(|e| malformed(path, &e))?;
        Ok(Tokenizer { path: path.clone(), inner })
    }
}

/// A model's tokenizer.
pub struct Tokenizer {
    path: PathBuf,
    inner: Inner,
}

impl Tokenizer {
    /// The token ids of `text`; no special tokens are added.
    ///
    /// # Errors
    /// Text that the tokenizer has no tokens for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = caught(|| self.inner.encode_fast(text, false)).unwrap_or_else(stumbled);
        let encoding = encoding.map_err(|e| malformed(&self.path, &e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`, special tokens included; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// Ids that the tokenizer cannot join.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        let text = caught(|| self.inner.decode(ids, false)).unwrap_or_else(stumbled);
        text.map_err(|e| malformed(&self.path, &e))
    }

    /// The text of ids that come one by one.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream { tokenizer: self, steps: self.inner.decode_stream(false), ids: Vec::new(), given: 0 }
    }
}

type Steps<'a> = DecodeStream<
    'a,
    ModelWrapper,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// Text that grows token by token: a character whose bytes are still to come is held back, and spaces are those of
/// the whole text.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    steps: Steps<'a>,
    ids: Vec<u32>,
    /// Bytes of text given so far.
    given: usize,
}

impl TextStream<'_> {
    /// What is certain of the text since the last call, with one more id.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        // An id that the stream stumbles over is joined with all others at the end.
        let text = caught(|| self.steps.step(id)).and_then(Result::ok).flatten().unwrap_or_default();
        self.given += text.len();
        text
    }

    /// What was held back to the end.
    ///
    /// # Errors
    /// Ids that the tokenizer cannot join.
    pub fn finish(self) -> Result<String, ModelError> {
        let whole = self.tokenizer.decode(&self.ids)?;
        Ok(whole.get(self.given..).unwrap_or_default().to_string())
    }
}

/// How many times as long a tokenizer may make a text on its way to tokens.
const MOST_GROWTH: f64 = 4096.0;

/// The text of a `tokenizer.json` whose steps do not blow texts up beyond measure: each may double what the last one made.
fn bounded(path: &Path) -> tokenizers::Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Steps {
        normalizer: Option<Value>,
        pre_tokenizer: Option<Value>,
    }
    let json = std::fs::read(path)?;
    let steps: Steps = serde_json::from_slice(&json)?;
    let growth: f64 = [steps.normalizer, steps.pre_tokenizer].iter().flatten().map(growth).product();
    match growth <= MOST_GROWTH {
        true => Ok(json),
        false => Err(format!("its steps make a text up to {growth:.0} times as long; fetch it again").into()),
    }
}

/// By how much a step, with the steps in it, makes a text longer: a byte above ASCII is two after `ByteLevel`, and what
/// is put in place of a match or before all is as long as it is.
fn growth(step: &Value) -> f64 {
    let length = |key: &str| step.get(key).and_then(Value::as_str).map_or(1, str::len).max(1) as f64;
    let own = match step.get("type").and_then(Value::as_str) {
        Some("ByteLevel") => 2.0,
        Some("Replace") => length("content"),
        Some("Prepend") => length("prepend"),
        Some("Metaspace") => length("replacement"),
        _ => 1.0,
    };
    let inner = ["normalizers", "pretokenizers"].iter().filter_map(|key| step.get(key)?.as_array()).flatten();
    own * inner.map(growth).product::<f64>()
}

/// The tokenizers crate panics over some files in place of giving an error.
fn stumbled<T>() -> tokenizers::Result<T> {
    Err("its parts do not fit each other, or hold what is not understood; fetch it again".into())
}

fn malformed(path: &Path, error: &tokenizers::Error) -> ModelError {
    ModelError::malformed(path, format!("tokenizer: {error}"))
}

fn byte_level_bpe(vocab: &Path, merges: &Path) -> tokenizers::Result<Inner> {
    let bpe = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy()).build()?;
    let byte_level = ByteLevel::new(false, true, true);
    let mut inner = Inner::new(bpe);
    inner.with_pre_tokenizer(Some(byte_level)).with_decoder(Some(byte_level));
    if inner.token_to_id(END_OF_TEXT).is_some() {
        inner.add_special_tokens([AddedToken::from(END_OF_TEXT, true)])?;
    }
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shared;
    use std::fs;

    fn tiny(folder: &Path) -> Tokenizer {
        let vocab = r#"{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4,"<|endoftext|>":5}"#;
        fs::write(folder.join("vocab.json"), vocab).unwrap();
        fs::write(folder.join("merges.txt"), "#version: 0.2\na b\nĠ ab\n").unwrap();
        TokenizerFiles::find(folder).unwrap().load().unwrap()
    }

    #[test]
    fn vocabulary_and_merges_are_a_byte_level_bpe() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(TokenizerFiles::find(folder.path()), None);
        let tokenizer = tiny(folder.path());
        assert_eq!(tokenizer.inner.get_vocab_size(true), 6);
        let ids = tokenizer.encode("ab ab<|endoftext|>ba").unwrap();
        assert_eq!(ids, [3, 4, 5, 1, 0]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab ab<|endoftext|>ba");
    }

    /// The two bytes of é are two tokens: nothing is given before the second, and what never completes comes last.
    #[test]
    fn streamed_text_is_the_whole_text_without_broken_characters() {
        let folder = tempfile::tempdir().unwrap();
        let vocab = r#"{"a":0,"Ġb":1,"Ã":2,"©":3,"Ġ":4,"b":5}"#;
        fs::write(folder.path().join("vocab.json"), vocab).unwrap();
        fs::write(folder.path().join("merges.txt"), "#version: 0.2\nĠ b\n").unwrap();
        let tokenizer = TokenizerFiles::find(folder.path()).unwrap().load().unwrap();
        let ids = [1, 0, 2, 3, 1, 2];
        let mut stream = tokenizer.stream();
        let parts = ids.map(|id| stream.push(id));
        assert_eq!(parts, [" b", "a", "", "é", " b", ""]);
        assert_eq!(stream.finish().unwrap(), "\u{fffd}");
        assert_eq!(parts.concat() + "\u{fffd}", tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn a_malformed_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        fs::write(&path, "{}").unwrap();
        let message = TokenizerFiles::find(folder.path()).unwrap().load().err().unwrap().to_string();
        assert!(message.contains("tokenizer.json: tokenizer: "), "{message}");
    }

    #[test]
    fn a_file_that_blows_texts_up_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let load = |steps: usize| {
            let step =
                r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}"#;
            let steps = vec![step; steps].join(",");
            let model = r#"{"type":"BPE","vocab":{"a":0},"merges":[]}"#;
            let json = format!(
                r#"{{"model":{model},"pre_tokenizer":{{"type":"Sequence","pretokenizers":[{steps}]}}}}"#
            );
            fs::write(&path, json).unwrap();
            TokenizerFiles::find(folder.path()).unwrap().load().map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(load(3), Ok(()));
        let message = load(40).unwrap_err();
        assert!(
            message.contains("tokenizer.json: tokenizer: its steps make a text up to 1099511627776"),
            "{message}"
        );
    }

    #[test]
    fn both_forms_of_gpt2s_tokenizer_agree() {
        let (Some(model), Some(text)) =
            (shared("models/gpt2-wikitext-7m"), shared("data/wikitext-2-test-a.txt"))
        else {
            return;
        };
        let text = fs::read_to_string(text).unwrap();
        let json = TokenizerFiles::find(&model).unwrap();
        assert!(matches!(json, TokenizerFiles::Json(_)));
        let files =
            TokenizerFiles::VocabMerges { vocab: model.join("vocab.json"), merges: model.join("merges.txt") };
        let (json, files) = (json.load().unwrap(), files.load().unwrap());
        assert_eq!((json.inner.get_vocab_size(true), files.inner.get_vocab_size(true)), (50_257, 50_257));
        let ids = json.encode(&text).unwrap();
        assert!(ids == files.encode(&text).unwrap());
        assert_eq!(ids.len(), 179_370);
        assert!(json.decode(&ids).unwrap() == text && files.decode(&ids).unwrap() == text);
    }
}
