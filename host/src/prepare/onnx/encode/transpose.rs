//! Transposition of large matrices, by tiles that stay in the processor's cache.

use rayon::prelude::*;

const TILE: usize = 32;

/// `values`, `[rows, columns]`, as `[columns, rows]`.
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(TILE * rows).enumerate().for_each(|(band, out)| {
        let first = band * TILE;
        for row in (0..rows).step_by(TILE) {
            for (c, out) in out.chunks_exact_mut(rows).enumerate() {
                let tile = row..rows.min(row + TILE);
                out[tile.clone()]
                    .iter_mut()
                    .zip(tile)
                    .for_each(|(to, r)| *to = values[r * columns + first + c]);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for (rows, columns) in [(1, 7), (33, 64), (70, 35)] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let out = transposed(&values, rows, columns);
            for (i, &value) in values.iter().enumerate() {
                assert_eq!(out[i % columns * rows + i / columns], value);
            }
        }
    }
}
