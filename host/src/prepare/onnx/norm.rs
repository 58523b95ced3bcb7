//! Normalisation, and the addition to the residual stream that comes before it.

use super::decoder::{Norm, NormKind};
use super::encode::{Float, Vector};
use super::graph::{ABSENT, CONTRIB, float, int};
use super::writer::Writer;
use crate::prepare::artifact::Dialect;

/// What a block's half leaves: the residual stream and its normalised form.
pub(super) struct Normed {
    pub(super) sum: String,
    pub(super) normed: String,
}

impl Writer<'_> {
    /// `value` of the residual stream normalised, in the type that is computed in.
    pub(super) fn norm(&mut self, norm: &Norm, value: &str) -> String {
        let name = norm.weight.name.trim_end_matches(".weight");
        let weight = self.vector(&norm.weight, self.residual);
        let normed = match &norm.kind {
            NormKind::Layer(bias) => {
                let bias = self.vector(bias, self.residual);
                let attributes = [int("axis", -1), float("epsilon", norm.epsilon)];
                self.g.node("LayerNormalization", name, &[value, &weight, &bias], &attributes)
            }
            NormKind::Rms => self.rms(name, value, &weight, norm.epsilon),
        };
        self.cast(&normed, self.residual, self.compute)
    }

    /// x / sqrt(mean x^2 + epsilon) * weight, computed in 32 bits (Zhang and Sennrich 2019, "Root Mean Square Layer
    /// Normalization").
    fn rms(&mut self, name: &str, value: &str, weight: &str, epsilon: f32) -> String {
        let x = self.cast(value, self.residual, Float::F32);
        let last = self.g.integers("[-1]", &[-1]);
        let epsilon = self.g.float("epsilon", epsilon);
        let g = &mut self.g;
        let squares = g.node("Mul", &format!("{name}/squares"), &[&x, &x], &[]);
        let mean = g.node("ReduceMean", &format!("{name}/mean"), &[&squares, &last], &[]);
        let shifted = g.node("Add", &format!("{name}/shifted"), &[&mean, &epsilon], &[]);
        let root = g.node("Sqrt", &format!("{name}/root"), &[&shifted], &[]);
        let scaled = g.node("Div", &format!("{name}/scaled"), &[&x, &root], &[]);
        let scaled = self.cast(&scaled, Float::F32, self.residual);
        self.g.node("Mul", name, &[&scaled, weight], &[])
    }

    /// Adds `branch` and its `bias` to the residual stream and normalises the sum.
    pub(super) fn add_norm(
        &mut self,
        norm: &Norm,
        residual: &str,
        branch: &str,
        bias: Option<&Vector>,
    ) -> Normed {
        let name = norm.weight.name.trim_end_matches(".weight").to_string();
        let sum = format!("{name}/residual");
        // `SkipLayerNormalization` would do it in one, but took 1.2 times as long on the CPU (ONNX Runtime 1.31.1, 76 x 768).
        if self.artifact.dialect == Dialect::Portable || matches!(norm.kind, NormKind::Layer(_)) {
            let branch = self.add_bias(&format!("{name}/branch"), branch, bias);
            let branch = self.cast(&branch, self.compute, self.residual);
            self.g.node("Add", &sum, &[residual, &branch], &[]);
            return Normed { normed: self.norm(norm, &sum), sum };
        }
        let weight = self.vector(&norm.weight, self.residual);
        let bias = bias.map(|bias| self.vector(bias, self.residual));
        let mut inputs = vec![branch, residual, &weight];
        inputs.extend(bias.as_deref());
        let outputs = [name.as_str(), ABSENT, ABSENT, &sum];
        let attributes = [float("epsilon", norm.epsilon)];
        self.g.push("SkipSimplifiedLayerNormalization", Some(CONTRIB), &name, &inputs, &attributes, &outputs);
        Normed { sum, normed: name }
    }
}
