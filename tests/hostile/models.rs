//! Files that come with a model: weights, configs, graphs, tokenizers, programs; and the cache of what is made of them.

use super::mutate::Mutator;
use super::support::{copy, one_line, seed};
use inferhost::error::AppError;
use inferhost::model::onnx::proto::{ModelProto, StringStringEntryProto};
use inferhost::model::{ModelConfig, ModelError, TokenizerFiles, Weights, context_length, onnx, resolve};
use inferhost::prepare::artifact::{list, prune, verify};
use inferhost_plugin_api::hf::{Config, TensorFiles};
use inferhost_plugin_api::program::ProgramFile;
use inferhost_plugin_api::{GenaiConfig, find_graph};
use prost::Message;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Reads the model at `path` in all the ways that a run would.
fn opened(path: &Path, folder: &Path) {
    let spec = path.to_str().unwrap();
    let cache = folder.join("cache");
    said(context_length(spec));
    match resolve(spec, &cache) {
        Err(error) => one_line(&AppError::bad_input(error).message),
        Ok(model) => {
            assert!(model.folder.starts_with(folder));
            if model.tokenizer.is_some() {
                said(model.load_tokenizer());
            }
        }
    }
}

fn said<T>(result: Result<T, ModelError>) -> Option<T> {
    result.map_err(|error| one_line(&AppError::bad_input(error).message)).ok()
}

pub(super) fn safetensors(input: &mut Mutator, folder: &Path) {
    let model = folder.join("model");
    let case = input.pick(&["gpt2-tanh", "gpt2-untied", "llama-gqa"]);
    copy(&format!("../tests/golden/{case}"), &model);
    let shard = if case == "gpt2-untied" { "model-00001-of-00002.safetensors" } else { "model.safetensors" };
    let index = model.join("model.safetensors.index.json");
    if index.is_file() && input.one_in(2) {
        let text = fs::read_to_string(&index).unwrap();
        fs::write(&index, input.json(&text)).unwrap();
    } else {
        let file = fs::read(model.join(shard)).unwrap();
        fs::write(model.join(shard), tensors(input, &file)).unwrap();
    }
    opened(&model, folder);
    if let Some(weights) = said(Weights::open(&model)) {
        for name in weights.names().map(str::to_string).collect::<Vec<_>>() {
            said(weights.read_pieces(&name, |_| Ok::<_, ModelError>(())));
        }
        for file in weights.files() {
            assert_eq!(file.parent(), Some(model.as_path()));
        }
        plugins_view(&weights, &model);
    }
}

/// The same files by the reader of the plugins.
fn plugins_view(weights: &Weights, model: &Path) {
    let Ok(mut files) = TensorFiles::open(model) else { return };
    let mut bytes = Vec::new();
    for name in weights.names() {
        let shape = weights.shape(name).unwrap_or_default();
        let name = files.decoder_name(name);
        let _ = files.read(&name, shape, &mut bytes);
        let _ = files.place(&name);
    }
}

/// A safetensors file whose header was changed as JSON, or anything as bytes.
fn tensors(input: &mut Mutator, file: &[u8]) -> Vec<u8> {
    let old = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    if input.one_in(3) {
        return input.bytes(file);
    }
    let header = input.json(&String::from_utf8_lossy(&file[8..8 + old]));
    let length = if input.one_in(8) { input.number() } else { header.len() as u64 };
    [&length.to_le_bytes()[..], &header, &file[8 + old..]].concat()
}

pub(super) fn config(input: &mut Mutator, folder: &Path) {
    let model = folder.join("model");
    let cases = ["gpt2-erf", "llama-gqa", "llama3-rope", "mistral-window", "qwen2-bias"];
    copy(&format!("../tests/golden/{}", input.pick(&cases)), &model);
    for (name, always) in [("config.json", true), ("generation_config.json", false)] {
        if always || input.one_in(2) {
            let text = fs::read_to_string(model.join(name)).unwrap();
            fs::write(model.join(name), input.json(&text)).unwrap();
        }
    }
    opened(&model, folder);
    let path = model.join("config.json");
    said(ModelConfig::read_beside_graph(&path));
    if let Some(config) = said(ModelConfig::read(&path))
        && let inferhost::model::Architecture::Llama(llama) = &config.architecture
    {
        let (cos, sin) = llama.rope.tables(64.min(config.context_length.unwrap_or(64)));
        assert!(cos.iter().chain(&sin).all(|angle| angle.is_finite()));
    }
    if let Ok(config) = Config::read(&model) {
        assert!(config.vocab_size() > 0 && config.width() > 0 && config.context_length() > 0);
    }
}

pub(super) fn genai(input: &mut Mutator, folder: &Path) {
    let model = folder.join("model");
    copy("../tests/ort/genai", &model);
    let path = model.join("genai_config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, input.json(&text)).unwrap();
    opened(&model, folder);
    if let Ok(Some(config)) = GenaiConfig::of_folder(&model) {
        assert!(config.graph.canonicalize().unwrap().starts_with(model.canonicalize().unwrap()));
    }
    let _ = find_graph(&model);
}

pub(super) fn onnx(input: &mut Mutator, folder: &Path) {
    let graph = folder.join("model.onnx");
    let file =
        seed(input.pick(&["../tests/optimum/gpt2-no-past/model.onnx", "../tests/ort/genai/text.onnx"]));
    let changed = match input.one_in(3) {
        true => input.bytes(&file),
        false => graph_messages(input, &file),
    };
    fs::write(&graph, changed).unwrap();
    opened(&graph, folder);
    said(onnx::inspect(&graph));
    if let Some(summary) = said(onnx::summarise(&graph)) {
        assert!(summary.data_files.iter().all(|file| file.parent() == Some(folder)));
    }
}

/// A graph whose messages were changed: names that make cycles, sizes, places of weights.
pub(super) fn graph_messages(input: &mut Mutator, file: &[u8]) -> Vec<u8> {
    let mut model = ModelProto::decode(file).unwrap();
    let graph = model.graph.as_mut().unwrap();
    for _ in 0..=input.below(6) {
        let at = input.below(graph.node.len());
        let name = match input.one_in(4) {
            true => input.text(),
            false => graph.node[input.below(graph.node.len())].output.first().cloned().unwrap_or_default(),
        };
        let node = &mut graph.node[at];
        let weight = input.below(graph.initializer.len());
        let weight = &mut graph.initializer[weight];
        match input.below(8) {
            0 => node.input.iter_mut().for_each(|input| input.clone_from(&name)),
            1 => node.output = vec![name],
            2 => {
                node.op_type =
                    Some(input.pick(&["Identity", "MatMul", "MatMulNBits", "Cast", "QGemm"]).into())
            }
            3 => node.input.clear(),
            4 => weight.dims.iter_mut().for_each(|size| *size = input.number() as i64),
            5 => weight.data_type = Some(input.number() as i32),
            6 => {
                weight.data_location = Some(1);
                let (location, offset) = (input.text(), input.number().to_string());
                weight.external_data = vec![
                    StringStringEntryProto::new("location", location),
                    StringStringEntryProto::new("offset", offset),
                ];
            }
            _ => {
                node.op_type = Some("Identity".into());
                node.input = vec![name.clone()];
                node.output = vec![name.clone()];
                let user = input.below(graph.node.len());
                graph.node[user].op_type = Some("MatMul".into());
                graph.node[user].input = vec![name.clone(), name];
            }
        }
    }
    model.encode_to_vec()
}

const TOKENIZER: &str = r#"{"version":"1.0","truncation":{"direction":"Right","max_length":512,"strategy":"LongestFirst","stride":0},
"padding":{"strategy":{"Fixed":4},"direction":"Right","pad_to_multiple_of":8,"pad_id":0,"pad_type_id":0,"pad_token":"a"},
"added_tokens":[{"id":6,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"a+"},"content":"a"},{"type":"Lowercase"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(a|b)+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},
"post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true},
"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,"byte_fallback":false,
"vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4,"c":5},"merges":["a b","Ġ ab"]}}"#;

pub(super) fn tokenizer(input: &mut Mutator, folder: &Path) {
    if input.one_in(3) {
        let vocab = input.json(r#"{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4,"<|endoftext|>":5}"#);
        fs::write(folder.join("vocab.json"), vocab).unwrap();
        fs::write(folder.join("merges.txt"), input.bytes("#version: 0.2\na b\nĠ ab\n".as_bytes())).unwrap();
    } else {
        fs::write(folder.join("tokenizer.json"), input.json(TOKENIZER)).unwrap();
    }
    let Some(files) = TokenizerFiles::find(folder) else { return };
    let Some(tokenizer) = said(files.load()) else { return };
    for text in ["ab ab<|endoftext|>ba", &input.text()] {
        let Some(ids) = said(tokenizer.encode(text)) else { continue };
        said(tokenizer.decode(&ids));
        let mut stream = tokenizer.stream();
        for &id in ids.iter().chain(&[u32::MAX, 0, input.number() as u32]) {
            stream.push(id);
        }
        said(stream.finish());
    }
}

pub(super) fn program(input: &mut Mutator, folder: &Path) {
    let file = seed(input.pick(&[
        "../tests/torch/gpt2-erf/model.ts",
        "../tests/torch/llama-gqa/model.ts",
        "../tests/torch/other.ts",
        "../tests/torch/recipe.pt",
    ]));
    let path = folder.join("model.ts");
    fs::write(&path, archive(input, &file)).unwrap();
    opened(&path, folder);
    if let Err(problem) = ProgramFile::read(&path) {
        one_line(&AppError::bad_input(problem).message);
    }
}

/// A ZIP file whose directory, which is at its end, is changed more often than its content.
fn archive(input: &mut Mutator, file: &[u8]) -> Vec<u8> {
    let tail = file.len() - (100 + input.below(2000)).min(file.len());
    match input.below(3) {
        0 => input.bytes(file),
        1 => [&file[..tail], &input.bytes(&file[tail..])].concat(),
        _ => {
            let mut file = file.to_vec();
            let places: Vec<usize> =
                (0..file.len() - 46).filter(|&at| file[at..].starts_with(b"PK\x01\x02")).collect();
            let at = places[input.below(places.len())] + 4 + input.below(42);
            let width = [2, 4, 8][input.below(3)];
            let number = input.number().to_le_bytes();
            file[at..at + width].copy_from_slice(&number[..width]);
            file
        }
    }
}

pub(super) fn artifact_cache(input: &mut Mutator, folder: &Path) {
    let cache = folder.join("cache");
    let artifact = cache.join("artifacts/0123");
    fs::create_dir_all(&artifact).unwrap();
    fs::write(artifact.join("model.onnx"), "graph").unwrap();
    let name = if input.one_in(2) { input.text() } else { "model.onnx".into() };
    let info = serde_json::json!({
        "name": "onnx-fp32", "writer": 1, "model": "synthetic:tiny-gpt2", "model_sha256": "00", "parameters": 1,
        "bytes": 5, "sha256": "00", "opset": 21, "nodes": {"MatMul": 1},
        "coverage": {"weight_bytes": {"fp32": 4}, "products": {"fp32": 1}}, "build_seconds": 0.5,
        "files": [{"name": name, "bytes": 5, "sha256": "00"}],
    });
    let text = if input.one_in(2) { info.to_string().into_bytes() } else { input.json(&info.to_string()) };
    fs::write(artifact.join("artifact.json"), text).unwrap();
    let kept = folder.join("escaped");
    fs::write(&kept, "kept").unwrap();
    for stored in list(&cache).unwrap() {
        if let Some(problem) = verify(&stored) {
            one_line(&AppError::failed(problem).message);
        }
    }
    prune(&cache, Duration::ZERO).unwrap();
    assert!(kept.is_file() && list(&cache).unwrap().is_empty());
}
