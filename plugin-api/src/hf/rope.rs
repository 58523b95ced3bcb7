//! Rotary position embeddings (Su et al., 2021, "RoFormer"), with the ways of stretching them that transformers'
//! `modeling_rope_utils` knows and that do not depend on a row's length.
//!
//! transformers computes frequencies, angles, cosines and sines in float32 whatever the model's own type, so they
//! are part of the model, and of the oracle: each step here rounds to `f32` where it does there.

use super::keys::Keys;
use crate::Error;
use serde_json::Value;
use std::f64::consts::PI;

const KINDS: &str = "default, linear, dynamic, llama3 or yarn";

/// The angle of each pair of a head's elements, per position.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Radians per position, one for each pair.
    inv_freq: Vec<f32>,
    /// Cosines and sines are multiplied by it.
    attention_factor: f32,
}

impl Rope {
    /// Without any stretching.
    fn plain(theta: f64, head_dim: usize) -> Self {
        let inv_freq = powers(theta, head_dim).iter().map(|power| 1.0 / power).collect();
        Self { inv_freq, attention_factor: 1.0 }
    }

    /// From `rope_theta` and `rope_scaling`, or from the one `rope_parameters` that transformers 5 writes.
    pub(super) fn resolve(keys: &Keys<'_>, head_dim: usize, positions: usize) -> Result<Self, Error> {
        let both = keys.inside("rope_parameters", "rope_parameters.")?;
        let theta = match (keys.positive("rope_theta")?, &both) {
            (Some(theta), _) => theta,
            (None, Some(both)) => both.positive("rope_theta")?.unwrap_or(10_000.0),
            (None, None) => 10_000.0,
        };
        if theta <= 1.0 {
            return Err(Error::invalid(format!("rope_theta is {theta}, expected a number above 1")));
        }
        let plain = Self::plain(theta, head_dim);
        let Some(scaling) = keys.inside("rope_scaling", "rope_scaling.")?.or(both) else {
            return Ok(plain);
        };
        let of = Stretch { keys: scaling, theta, head_dim, positions };
        let rope = match of.kind()? {
            "default" => plain,
            "linear" => of.linear(plain)?,
            "dynamic" => of.dynamic()?,
            "llama3" => of.llama3(plain)?,
            "yarn" => of.yarn()?,
            other => {
                return Err(Error::unsupported(of.keys.wrong("rope_type", &other.into(), KINDS).message));
            }
        };
        if rope.inv_freq.iter().chain([&rope.attention_factor]).all(|value| value.is_finite()) {
            return Ok(rope);
        }
        Err(Error::invalid("rope_scaling: its numbers give angles that are not finite"))
    }

    /// Cosines and sines at `positions`, `[positions, head_dim / 2]` each.
    pub fn at(&self, positions: &[u32]) -> (Vec<f32>, Vec<f32>) {
        let angles =
            positions.iter().flat_map(|&p| self.inv_freq.iter().map(move |f| f64::from(f * p as f32)));
        // Through f64: correctly rounded, so the same on every machine.
        let turned =
            |(sin, cos): (f64, f64)| (cos as f32 * self.attention_factor, sin as f32 * self.attention_factor);
        angles.map(|angle| turned(angle.sin_cos())).unzip()
    }
}

/// theta^(2i / head_dim).
fn powers(theta: f64, head_dim: usize) -> Vec<f32> {
    let base = f64::from(theta as f32);
    let exponents = (0..head_dim).step_by(2).map(|i| i as f32 / head_dim as f32);
    exponents.map(|exponent| base.powf(exponent.into()) as f32).collect()
}

/// `rope_scaling`, and what its formulas need.
struct Stretch<'a> {
    keys: Keys<'a>,
    theta: f64,
    head_dim: usize,
    positions: usize,
}

impl Stretch<'_> {
    /// `type` is the key's older name.
    fn kind(&self) -> Result<&str, Error> {
        match (self.keys.text("type")?, self.keys.text("rope_type")?) {
            (Some(old), Some(new)) if old != new => {
                Err(self.keys.wrong("type", &old.into(), &format!("rope_type's {new:?}, or one of the two")))
            }
            (Some(kind), _) | (None, Some(kind)) => Ok(kind),
            (None, None) => Err(self.keys.wrong("rope_type", &Value::Null, KINDS)),
        }
    }

    fn original_positions(&self) -> Result<Option<f64>, Error> {
        self.keys.positive("original_max_position_embeddings")
    }

    fn linear(&self, plain: Rope) -> Result<Rope, Error> {
        let factor = self.keys.required("factor")? as f32;
        Ok(Rope { inv_freq: plain.inv_freq.iter().map(|f| f / factor).collect(), ..plain })
    }

    /// Beyond `max_position_embeddings` the base would grow with the row. No row is longer, and up to there it is
    /// this one, the given base but for rounding.
    fn dynamic(&self) -> Result<Rope, Error> {
        let factor = self.keys.required("factor")?;
        if self.head_dim <= 2 {
            return Err(self.keys.wrong("rope_type", &"dynamic".into(), "another, as head_dim is only 2"));
        }
        let (dim, positions) = (self.head_dim as f64, self.positions as f64);
        let growth = (factor * positions / positions) - (factor - 1.0);
        Ok(Rope::plain(self.theta * growth.powf(dim / (dim - 2.0)), self.head_dim))
    }

    /// Low frequencies divided by a factor, high ones kept, a smooth way between.
    fn llama3(&self, plain: Rope) -> Result<Rope, Error> {
        let [factor, low, high, original] =
            ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
                .map(|key| self.keys.required(key));
        let (factor, low, high, original) = (factor? as f32, low?, high?, original?);
        if high <= low {
            let expected = format!("more than low_freq_factor, {low}");
            return Err(self.keys.wrong("high_freq_factor", &high.into(), &expected));
        }
        let (longest, shortest) = ((original / low) as f32, (original / high) as f32);
        let stretch = |&frequency: &f32| {
            // A number divided by a tensor is, in torch, the tensor's reciprocal times the number.
            let length = frequency.recip() * (2.0 * PI) as f32;
            if length > longest {
                return frequency / factor;
            }
            if length < shortest {
                return frequency;
            }
            let smooth = (length.recip() * original as f32 - low as f32) / (high - low) as f32;
            (1.0 - smooth) * frequency / factor + smooth * frequency
        };
        Ok(Rope { inv_freq: plain.inv_freq.iter().map(stretch).collect(), ..plain })
    }

    /// Peng et al. (2023), "YaRN": frequencies divided by a factor below a ramp over the pairs, kept above it.
    fn yarn(&self) -> Result<Rope, Error> {
        let factor = self.keys.required("factor")?;
        let attention_factor = self.yarn_attention_factor(factor)? as f32;
        let (low, high) = self.yarn_range()?;
        let width = if low == high { 0.001 } else { high - low } as f32;
        let blend = |(pair, power): (usize, &f32)| {
            let kept = 1.0 - ((pair as f32 - low as f32) / width).clamp(0.0, 1.0);
            (factor as f32 * power).recip() * (1.0 - kept) + power.recip() * kept
        };
        let inv_freq = powers(self.theta, self.head_dim).iter().enumerate().map(blend).collect();
        Ok(Rope { inv_freq, attention_factor })
    }

    fn yarn_attention_factor(&self, factor: f64) -> Result<f64, Error> {
        let at = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
        Ok(match (self.keys.positive("attention_factor")?, self.scales()?) {
            (Some(given), _) => given,
            (None, Some((scale, all))) => at(scale) / at(all),
            (None, None) => at(1.0),
        })
    }

    fn scales(&self) -> Result<Option<(f64, f64)>, Error> {
        Ok(self.keys.positive("mscale")?.zip(self.keys.positive("mscale_all_dim")?))
    }

    /// The first and the last pair of the ramp.
    fn yarn_range(&self) -> Result<(f64, f64), Error> {
        let original = self.original_positions()?.unwrap_or(self.positions as f64);
        let pair = |key: &str, default: f64| {
            let turns = self.keys.positive(key)?.unwrap_or(default);
            let length = original / (turns * 2.0 * PI);
            Ok::<f64, Error>(self.head_dim as f64 * length.ln() / (2.0 * self.theta.ln()))
        };
        let (low, high) = (pair("beta_fast", 32.0)?, pair("beta_slow", 1.0)?);
        let truncate = self.keys.flag("truncate", true)?;
        let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
        Ok((low.max(0.0), high.min(self.head_dim as f64 - 1.0)))
    }
}
