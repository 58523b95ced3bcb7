//! What a graph says of itself: its size, its vocabulary, and the files that hold its weights.

use super::proto::{
    BFLOAT16, DOUBLE, EXTERNAL, FLOAT, FLOAT8E4M3FN, FLOAT16, GraphProto, INT8, ModelProto, TensorProto,
    UINT8,
};
use crate::model::ModelError;
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Elements compared to tell whether two large weights are one, tied.
const SAMPLES: u64 = 1024;
/// Below this a coincidence of shapes is likely, and the count hardly matters.
const LARGE: u64 = 1 << 20;

/// What can be read off an ONNX file without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Values in float weights, and in 8-bit ones of two or more dimensions; a tied pair counts once.
    pub parameters: u64,
    /// The last dimension of the output `logits`, where it is fixed.
    pub vocab_size: Option<u32>,
    /// Files with external weights, sorted.
    pub data_files: Vec<PathBuf>,
}

/// Reads the ONNX file at `path`.
///
/// # Errors
/// A file that is no ONNX model, or which of its external files is missing.
pub fn summarise(path: &Path) -> Result<Summary, ModelError> {
    let bytes = Bytes::from(fs::read(path).map_err(ModelError::io(path))?);
    let model = ModelProto::decode(bytes)
        .map_err(|e| ModelError::malformed(path, format!("not an ONNX model, or truncated: {e}")))?;
    let graph = model.graph.filter(|graph| !graph.node.is_empty());
    let graph = graph.ok_or_else(|| ModelError::malformed(path, "not an ONNX model: it has no graph"))?;
    let mut data_files = BTreeSet::new();
    let mut weights = Vec::new();
    for tensor in &graph.initializer {
        let weight = Weight::of(tensor, path)?;
        data_files.extend(weight.external.iter().map(|external| external.file.clone()));
        if weight.is_parameter() {
            weights.push(weight);
        }
    }
    let mut parameters: u64 = 0;
    for (index, weight) in weights.iter().enumerate() {
        if !weight.is_copy_of_any(&weights[..index])? {
            parameters = parameters.saturating_add(weight.len());
        }
    }
    Ok(Summary { parameters, vocab_size: vocab_size(&graph), data_files: data_files.into_iter().collect() })
}

fn vocab_size(graph: &GraphProto) -> Option<u32> {
    let logits = graph.output.iter().find(|output| output.name.as_deref() == Some("logits"))?;
    let shape = logits.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    shape.dim.last()?.dim_value?.try_into().ok().filter(|&size| size > 0)
}

/// An initialiser with its place.
struct Weight<'a> {
    shape: Vec<u64>,
    data_type: i32,
    raw: &'a [u8],
    external: Option<External>,
}

struct External {
    file: PathBuf,
    offset: u64,
}

impl<'a> Weight<'a> {
    fn of(tensor: &'a TensorProto, graph_file: &Path) -> Result<Self, ModelError> {
        let name = tensor.name.as_deref().unwrap_or("without a name");
        let shape = tensor.dims.iter().map(|&n| u64::try_from(n)).collect::<Result<_, _>>();
        let shape = shape.map_err(|_| ModelError::tensor(graph_file, name, "has a negative dimension"))?;
        let external = match tensor.data_location {
            Some(EXTERNAL) => Some(External::of(tensor, name, graph_file)?),
            _ => None,
        };
        let raw = tensor.raw_data.as_deref().unwrap_or_default();
        Ok(Self { shape, data_type: tensor.data_type.unwrap_or_default(), raw, external })
    }

    fn len(&self) -> u64 {
        self.shape.iter().fold(1, |len, &n| len.saturating_mul(n))
    }

    /// Scalars and integer vectors are constants of the graph.
    fn is_parameter(&self) -> bool {
        match self.data_type {
            FLOAT | FLOAT16 | BFLOAT16 | DOUBLE => !self.shape.is_empty(),
            INT8 | UINT8 | FLOAT8E4M3FN => self.shape.len() >= 2,
            _ => false,
        }
    }

    const fn element_bytes(&self) -> u64 {
        match self.data_type {
            FLOAT => 4,
            DOUBLE => 8,
            FLOAT16 | BFLOAT16 => 2,
            _ => 1,
        }
    }

    /// Exporters store a tied head as a second, transposed token embedding.
    fn is_copy_of_any(&self, others: &[Self]) -> Result<bool, ModelError> {
        let &[rows, columns] = &self.shape[..] else { return Ok(false) };
        if rows.checked_mul(columns).is_none_or(|values| values < LARGE) {
            return Ok(false);
        }
        for other in others.iter().filter(|other| other.data_type == self.data_type) {
            let transposed = other.shape == [columns, rows];
            if (transposed || other.shape == self.shape) && self.samples_equal(other, transposed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn samples_equal(&self, other: &Self, transposed: bool) -> Result<bool, ModelError> {
        let (rows, columns) = (self.shape[0], self.shape[1]);
        for sample in 0..SAMPLES {
            // A stride prime to any shape walks over rows and columns alike.
            let index = sample * 1_000_003 % (rows * columns);
            let (row, column) = (index / columns, index % columns);
            let at_other = if transposed { column * rows + row } else { index };
            match (self.element(index)?, other.element(at_other)?) {
                (Some(a), Some(b)) if a == b => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The bytes of one element; none where they are stored in a way that is not read here.
    fn element(&self, index: u64) -> Result<Option<Vec<u8>>, ModelError> {
        let size = self.element_bytes();
        let start = index.saturating_mul(size);
        let Some(External { file, offset }) = &self.external else {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            return Ok(self.raw.get(start..).and_then(|rest| rest.get(..size as usize)).map(<[u8]>::to_vec));
        };
        let mut element = vec![0; size as usize];
        let mut open = File::open(file).map_err(ModelError::io(file))?;
        open.seek(SeekFrom::Start(offset.saturating_add(start))).map_err(ModelError::io(file))?;
        open.read_exact(&mut element).map_err(ModelError::io(file))?;
        Ok(Some(element))
    }
}

impl External {
    fn of(tensor: &TensorProto, name: &str, graph_file: &Path) -> Result<Self, ModelError> {
        let value = |key: &str| {
            let entry = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
            entry.and_then(|entry| entry.value.as_deref())
        };
        let number = |key: &str| value(key).and_then(|text| text.parse::<u64>().ok());
        let bad = |problem: String| ModelError::tensor(graph_file, name, problem);
        let location = value("location").ok_or_else(|| bad("names no external file".into()))?;
        // The graph must not reach outside of its folder.
        if !Path::new(location)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(bad(format!("lies in {location:?}, outside of the model's folder")));
        }
        let file = graph_file.parent().unwrap_or(Path::new("")).join(location);
        let found = file.metadata().map_err(|e| bad(format!("lies in {location}: {e}")))?;
        if !found.is_file() {
            return Err(bad(format!("lies in {location:?}, which is not a file")));
        }
        let size = found.len();
        let offset = number("offset").unwrap_or(0);
        if offset.saturating_add(number("length").unwrap_or(0)) > size {
            return Err(bad(format!(
                "ends beyond {location}, which has {size} bytes; the file is truncated"
            )));
        }
        Ok(Self { file, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::{
        DimensionProto, INT64, NodeProto, StringStringEntryProto, TensorShapeProto, TensorTypeProto,
        TypeProto, ValueInfoProto,
    };
    use super::*;

    fn tensor(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            data_type: Some(data_type),
            dims: dims.to_vec(),
            ..TensorProto::default()
        }
    }

    fn logits(vocab: i64) -> ValueInfoProto {
        let dim = vec![DimensionProto::default(), DimensionProto { dim_value: Some(vocab), dim_param: None }];
        let tensor = TensorTypeProto { elem_type: Some(FLOAT), shape: Some(TensorShapeProto { dim }) };
        ValueInfoProto { name: Some("logits".into()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
    }

    fn summary(folder: &Path, initializer: Vec<TensorProto>) -> Result<Summary, ModelError> {
        let graph = GraphProto {
            node: vec![NodeProto::default()],
            initializer,
            output: vec![logits(7)],
            ..Default::default()
        };
        let path = folder.join("x.onnx");
        fs::write(&path, ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec()).unwrap();
        summarise(&path)
    }

    #[test]
    fn weights_are_counted_and_constants_not() {
        let folder = tempfile::tempdir().unwrap();
        let found = summary(
            folder.path(),
            vec![
                tensor("weight", FLOAT, &[3, 4]),
                tensor("half", FLOAT16, &[5]),
                tensor("quantised", INT8, &[2, 2]),
                tensor("8-bit floats", FLOAT8E4M3FN, &[3, 2]),
                tensor("their zero point", FLOAT8E4M3FN, &[]),
                tensor("zero points", UINT8, &[9]),
                tensor("shape", INT64, &[4]),
                tensor("scale", FLOAT, &[]),
            ],
        );
        let expected = Summary { parameters: 12 + 5 + 4 + 6, vocab_size: Some(7), data_files: vec![] };
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn a_transposed_copy_counts_once_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let (rows, columns) = (1024u32, 1025u32);
        let values = |transposed: bool| -> Vec<u8> {
            let at = |i: u32| if transposed { i % rows * columns + i / rows } else { i };
            (0..rows * columns).flat_map(|i| (at(i) as f32).to_le_bytes()).collect()
        };
        fs::write(folder.path().join("x.data"), values(true)).unwrap();
        let inline = TensorProto {
            raw_data: Some(values(false).into()),
            ..tensor("embedding", FLOAT, &[rows.into(), columns.into()])
        };
        let external = TensorProto {
            data_location: Some(EXTERNAL),
            external_data: vec![StringStringEntryProto::new("location", "x.data")],
            ..tensor("head", FLOAT, &[columns.into(), rows.into()])
        };
        let found = summary(folder.path(), vec![inline.clone(), external.clone()]).unwrap();
        assert_eq!(found.parameters, u64::from(rows * columns));
        assert_eq!(found.data_files, [folder.path().join("x.data")]);
        fs::write(folder.path().join("x.data"), values(false)).unwrap();
        assert_eq!(summary(folder.path(), vec![inline, external]).unwrap().parameters, 2 * 1024 * 1025);
    }

    #[test]
    fn external_files_must_be_whole_and_inside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.data"), [0; 8]).unwrap();
        for (location, length, expected) in [
            ("absent.data", "8", "tensor w lies in absent.data: "),
            ("../x.data", "8", "outside of the model's folder"),
            ("x.data", "9", "ends beyond x.data, which has 8 bytes"),
        ] {
            let external = TensorProto {
                data_location: Some(EXTERNAL),
                external_data: vec![
                    StringStringEntryProto::new("location", location),
                    StringStringEntryProto::new("length", length),
                ],
                ..tensor("w", FLOAT, &[2])
            };
            let message = summary(folder.path(), vec![external]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
