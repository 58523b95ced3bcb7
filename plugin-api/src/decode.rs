//! The loop that turns next-token logits into tokens, shared by plugins whose runtime has none of its own:
//! greedy or sampled, cached or uncached, rows that end early.

use crate::abi::RawFloats;
use crate::{Batch, Error, ErrorKind, GenerateOptions, Logits, Rows, Token, TokenSink};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A model that can be stepped.
pub trait StepModel {
    /// Runs `batch` from an empty cache and returns the logits of each row's last position, `[rows, vocab]`.
    /// Where `capacity` is more than the longest row, [`step`](Self::step) will follow until that many positions
    /// are used; where it is not, no cache is needed.
    ///
    /// # Errors
    /// The runtime's own.
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<NextLogits<'_>, Error>;

    /// Feeds one token to every row and returns the next logits, `[rows, vocab]`.
    ///
    /// # Errors
    /// The runtime's own.
    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error>;
}

/// Logits of one position per row, `[rows, vocab]`.
#[derive(Debug, Clone, Copy)]
pub enum NextLogits<'a> {
    /// In f32.
    F32(&'a [f32]),
    /// In f64.
    F64(&'a [f64]),
}

impl<'a> From<&'a Logits> for NextLogits<'a> {
    fn from(logits: &'a Logits) -> Self {
        match &logits.values {
            RawFloats::F32(values) => Self::F32(values),
            RawFloats::F64(values) => Self::F64(values),
        }
    }
}

/// Continues every row of `batch`.
///
/// # Errors
/// The model's own, and [`ErrorKind::NumericalFault`] for logits without a largest finite value.
pub fn generate(
    model: &mut impl StepModel,
    batch: Batch<'_>,
    options: &GenerateOptions<'_>,
    sink: &mut dyn TokenSink,
) -> Result<(), Error> {
    let picker = Picker::new(options, batch.rows());
    run(&mut Picked { model, picker }, batch, options, sink)
}

/// In place of a row's next token: its logits hold NaN or have no largest finite value.
pub const NO_TOKEN: u32 = u32::MAX;

/// A model that chooses the likeliest tokens itself, where its logits are: one id a row and step reaches the host.
pub trait GreedyModel {
    /// As [`StepModel::start`]; the likeliest next token of each row or [`NO_TOKEN`], `[rows]`. What a row has that is
    /// finished is not looked at.
    ///
    /// # Errors
    /// The runtime's own.
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<&[u32], Error>;

    /// Feeds every row the token that the last call gave, and gives the next.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    fn step(&mut self) -> Result<&[u32], Error>;
}

/// Continues every row of `batch` greedily; `options` must ask for no sampling.
///
/// # Errors
/// The model's own, and [`ErrorKind::NumericalFault`] for [`NO_TOKEN`] in a row that still runs.
pub fn generate_greedily(
    model: &mut impl GreedyModel,
    batch: Batch<'_>,
    options: &GenerateOptions<'_>,
    sink: &mut dyn TokenSink,
) -> Result<(), Error> {
    run(&mut Greedy(model), batch, options, sink)
}

/// Whatever gives the next token of every row.
trait Source {
    fn start(&mut self, batch: Batch<'_>, capacity: usize, to: &mut Progress<'_>) -> Result<(), Error>;
    fn step(&mut self, to: &mut Progress<'_>) -> Result<(), Error>;
}

struct Picked<'m, M> {
    model: &'m mut M,
    picker: Picker,
}

impl<M: StepModel> Source for Picked<'_, M> {
    fn start(&mut self, batch: Batch<'_>, capacity: usize, to: &mut Progress<'_>) -> Result<(), Error> {
        let logits = self.model.start(batch, capacity)?;
        to.set(|row, rows| self.picker.pick(logits, row, rows))
    }

    fn step(&mut self, to: &mut Progress<'_>) -> Result<(), Error> {
        let logits = self.model.step(&to.last)?;
        to.set(|row, rows| self.picker.pick(logits, row, rows))
    }
}

struct Greedy<'m, M>(&'m mut M);

impl<M: GreedyModel> Source for Greedy<'_, M> {
    fn start(&mut self, batch: Batch<'_>, capacity: usize, to: &mut Progress<'_>) -> Result<(), Error> {
        let tokens = self.0.start(batch, capacity)?;
        to.set(|row, _| chosen(tokens[row]))
    }

    fn step(&mut self, to: &mut Progress<'_>) -> Result<(), Error> {
        let tokens = self.0.step()?;
        to.set(|row, _| chosen(tokens[row]))
    }
}

fn chosen(token: u32) -> Result<u32, Error> {
    if token == NO_TOKEN { Err(no_largest()) } else { Ok(token) }
}

fn run(
    source: &mut impl Source,
    batch: Batch<'_>,
    options: &GenerateOptions<'_>,
    sink: &mut dyn TokenSink,
) -> Result<(), Error> {
    let mut state = Progress::new(batch, options);
    if options.use_cache {
        let capacity = batch.longest() + options.max_new_tokens as usize - 1;
        source.start(batch, capacity, &mut state)?;
        while state.hand_over(sink) {
            source.step(&mut state)?;
        }
        return Ok(());
    }
    let mut rows: Vec<Vec<u32>> = batch.iter().map(<[u32]>::to_vec).collect();
    loop {
        let grown = Rows::new(&rows);
        source.start(grown.batch(), grown.batch().longest(), &mut state)?;
        if !state.hand_over(sink) {
            return Ok(());
        }
        for (row, &id) in rows.iter_mut().zip(&state.last) {
            row.push(id);
        }
    }
}

/// Which rows still run, and what they fed last. A finished row keeps its place in the batch and is fed its
/// last token again; nobody reads what it gives.
struct Progress<'a> {
    options: &'a GenerateOptions<'a>,
    last: Vec<u32>,
    running: Vec<bool>,
    emitted: Vec<Token>,
    steps: u32,
}

impl<'a> Progress<'a> {
    fn new(batch: Batch<'_>, options: &'a GenerateOptions<'a>) -> Self {
        let rows = batch.rows();
        Self {
            options,
            last: vec![0; rows],
            running: vec![true; rows],
            emitted: Vec::with_capacity(rows),
            steps: 0,
        }
    }

    /// Takes this step's token of every row that still runs.
    fn set(&mut self, mut token: impl FnMut(usize, usize) -> Result<u32, Error>) -> Result<(), Error> {
        self.emitted.clear();
        let rows = self.last.len();
        for row in (0..rows).filter(|&row| self.running[row]) {
            let id = token(row, rows)?;
            self.last[row] = id;
            self.emitted.push(Token { row: u32::try_from(row).unwrap_or(u32::MAX), id });
        }
        Ok(())
    }

    /// Hands this step's tokens over; whether another step is wanted.
    fn hand_over(&mut self, sink: &mut dyn TokenSink) -> bool {
        for token in &self.emitted {
            if self.options.stop_tokens.contains(&token.id) {
                self.running[token.row as usize] = false;
            }
        }
        self.steps += 1;
        let wanted = sink.step(&self.emitted);
        wanted && self.steps < self.options.max_new_tokens && self.running.contains(&true)
    }
}

/// Chooses a token from logits. Every row has a generator of its own from the same seed, so that its draws are
/// those of the row alone: neither its place in the batch nor its neighbours move them.
struct Picker {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    generators: Vec<Xoshiro256PlusPlus>,
}

impl Picker {
    fn new(options: &GenerateOptions<'_>, rows: usize) -> Self {
        Self {
            temperature: f64::from(options.temperature),
            top_k: options.top_k as usize,
            top_p: f64::from(options.top_p),
            generators: vec![Xoshiro256PlusPlus::seed_from_u64(options.seed); rows],
        }
    }

    fn pick(&mut self, logits: NextLogits<'_>, row: usize, rows: usize) -> Result<u32, Error> {
        match logits {
            NextLogits::F32(values) => self.pick_from(row, row_of(values, row, rows)),
            NextLogits::F64(values) => self.pick_from(row, row_of(values, row, rows)),
        }
    }

    fn pick_from<T: Copy + PartialOrd + Into<f64>>(
        &mut self,
        row: usize,
        logits: &[T],
    ) -> Result<u32, Error> {
        let best = argmax(logits)?;
        if self.temperature == 0.0 {
            return Ok(best);
        }
        let drawn = unit(self.generators[row].next_u64());
        Ok(self.sample(logits, best, drawn))
    }

    /// Temperature, then top-k, then top-p over what is left, as Holtzman et al. (2020), "The Curious Case of
    /// Neural Text Degeneration", define it: the smallest set whose probability reaches `top_p`. `drawn` is uniform in
    /// [0, 1).
    fn sample<T: Copy + Into<f64>>(&self, logits: &[T], best: u32, drawn: f64) -> u32 {
        let top: f64 = logits[best as usize].into();
        let weight = |id: usize| ((logits[id].into() - top) / self.temperature).exp();
        let mut kept: Vec<(usize, f64)> = (0..logits.len()).map(|id| (id, weight(id))).collect();
        if self.top_k > 0 || self.top_p < 1.0 {
            self.limit(&mut kept);
        }
        let total: f64 = kept.iter().map(|(_, w)| w).sum();
        let mut left = drawn * total;
        for &(id, w) in &kept {
            left -= w;
            if left < 0.0 {
                return u32::try_from(id).unwrap_or(best);
            }
        }
        best
    }

    /// Leaves the likely ones, in the order of their ids: in that of their weights, two logits that are equal but
    /// for rounding would change places, and the draw with them.
    fn limit(&self, ranked: &mut Vec<(usize, f64)>) {
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.top_k > 0 {
            ranked.truncate(self.top_k);
        }
        let total: f64 = ranked.iter().map(|(_, w)| w).sum();
        let mut reached = 0.0;
        let last = ranked.iter().position(|(_, w)| {
            reached += w;
            reached >= self.top_p * total
        });
        ranked.truncate(last.map_or(ranked.len(), |last| last + 1));
        ranked.sort_by_key(|(id, _)| *id);
    }
}

/// A number in [0, 1) from 53 random bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn row_of<T>(values: &[T], row: usize, rows: usize) -> &[T] {
    let vocab = values.len() / rows.max(1);
    &values[row * vocab..(row + 1) * vocab]
}

/// The first of the largest logits.
///
/// # Errors
/// [`ErrorKind::NumericalFault`] where a logit is NaN or the largest is not finite.
fn argmax<T: Copy + PartialOrd + Into<f64>>(logits: &[T]) -> Result<u32, Error> {
    let mut best = 0;
    let mut sound = !logits.is_empty();
    for (id, &value) in logits.iter().enumerate() {
        sound &= value.partial_cmp(&value).is_some();
        if value > logits[best] {
            best = id;
        }
    }
    if sound && logits[best].into().is_finite() {
        return Ok(u32::try_from(best).unwrap_or(u32::MAX));
    }
    Err(no_largest())
}

fn no_largest() -> Error {
    Error::new(ErrorKind::NumericalFault, "the model's logits hold NaN or have no finite maximum")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(temperature: f32, top_k: u32, top_p: f32) -> GenerateOptions<'static> {
        GenerateOptions {
            max_new_tokens: 1,
            use_cache: true,
            stop_tokens: abi_stable::std_types::RSlice::EMPTY,
            temperature,
            top_k,
            top_p,
            seed: 7,
        }
    }

    /// Counts up from a row's last token, and knows what it was fed.
    #[derive(Default)]
    struct Counting {
        fed: Vec<Vec<u32>>,
        last: Vec<u32>,
    }

    impl GreedyModel for Counting {
        fn start(&mut self, batch: Batch<'_>, _: usize) -> Result<&[u32], Error> {
            self.fed.push(batch.iter().flatten().copied().collect());
            self.last = batch.iter().map(|row| row[row.len() - 1] + 1).collect();
            Ok(&self.last)
        }

        fn step(&mut self) -> Result<&[u32], Error> {
            self.last.iter_mut().for_each(|id| *id += 1);
            Ok(&self.last)
        }
    }

    struct Collected(Vec<Vec<(u32, u32)>>);

    impl TokenSink for Collected {
        fn step(&mut self, tokens: &[Token]) -> bool {
            self.0.push(tokens.iter().map(|token| (token.row, token.id)).collect());
            true
        }
    }

    #[test]
    fn a_model_that_chooses_itself_is_stepped_as_one_that_gives_logits() {
        let stop = [11];
        for use_cache in [true, false] {
            let options = GenerateOptions {
                max_new_tokens: 3,
                use_cache,
                stop_tokens: stop.as_slice().into(),
                ..options(0.0, 0, 1.0)
            };
            let (mut model, mut sink) = (Counting::default(), Collected(Vec::new()));
            generate_greedily(&mut model, Batch::new(&[5, 9, 10], &[2, 1]), &options, &mut sink).unwrap();
            assert_eq!(sink.0, [vec![(0, 10), (1, 11)], vec![(0, 11)]], "row 1 ends first, then row 0");
            let fed =
                if use_cache { vec![vec![5, 9, 10]] } else { vec![vec![5, 9, 10], vec![5, 9, 10, 10, 11]] };
            assert_eq!(model.fed, fed);
        }
    }

    #[test]
    fn only_a_row_that_still_runs_needs_a_token() {
        let stop = [11];
        let options = GenerateOptions {
            max_new_tokens: 3,
            stop_tokens: stop.as_slice().into(),
            ..options(0.0, 0, 1.0)
        };
        struct Given(Vec<Vec<u32>>);
        impl GreedyModel for Given {
            fn start(&mut self, _: Batch<'_>, _: usize) -> Result<&[u32], Error> {
                Ok(&self.0[0])
            }

            fn step(&mut self) -> Result<&[u32], Error> {
                self.0.remove(0);
                Ok(&self.0[0])
            }
        }
        let run = |steps: [[u32; 2]; 3]| {
            let mut model = Given(steps.iter().map(|step| step.to_vec()).collect());
            let mut sink = Collected(Vec::new());
            generate_greedily(&mut model, Batch::new(&[1, 2], &[1, 1]), &options, &mut sink).map(|()| sink.0)
        };
        let finished = run([[11, 4], [NO_TOKEN, 5], [NO_TOKEN, 6]]).unwrap();
        assert_eq!(finished, [vec![(0, 11), (1, 4)], vec![(1, 5)], vec![(1, 6)]]);
        let error = run([[3, 4], [NO_TOKEN, 5], [3, 6]]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NumericalFault);
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_refuses_nan() {
        assert_eq!(argmax(&[0.0f32, 2.0, 2.0]).unwrap(), 1);
        assert_eq!(argmax(&[f32::NAN, 2.0]).unwrap_err().kind, ErrorKind::NumericalFault);
        assert_eq!(argmax(&[2.0, f32::NAN]).unwrap_err().kind, ErrorKind::NumericalFault);
        assert_eq!(argmax(&[f64::INFINITY, 1.0]).unwrap_err().kind, ErrorKind::NumericalFault);
    }

    #[test]
    fn sampling_follows_the_distribution_within_its_limits() {
        // p = 0.5, 0.3, 0.2
        let logits = [0.5f64.ln(), 0.3f64.ln(), 0.2f64.ln()];
        let counts = |options: &GenerateOptions<'_>| {
            let mut picker = Picker::new(options, 1);
            let mut counts = [0u32; 3];
            for _ in 0..10_000 {
                counts[picker.pick_from(0, &logits).unwrap() as usize] += 1;
            }
            counts
        };
        let all = counts(&options(1.0, 0, 1.0));
        for (count, p) in all.iter().zip([0.5, 0.3, 0.2]) {
            assert!((f64::from(*count) / 10_000.0 - p).abs() < 0.02, "{all:?}");
        }
        assert_eq!(counts(&options(1.0, 2, 1.0))[2], 0);
        assert_eq!(counts(&options(1.0, 0, 0.4)), [10_000, 0, 0]);
        assert_eq!(counts(&options(1.0, 0, 0.7))[2], 0);
    }

    #[test]
    fn each_row_draws_as_if_alone() {
        let options = options(1.0, 0, 1.0);
        let logits = [0.0f32; 50];
        let draw = |picker: &mut Picker, row| picker.pick_from(row, &logits).unwrap();
        let mut alone = Picker::new(&options, 1);
        let alone: Vec<u32> = (0..20).map(|_| draw(&mut alone, 0)).collect();
        let mut batch = Picker::new(&options, 3);
        for &wanted in &alone {
            assert_eq!([draw(&mut batch, 0), draw(&mut batch, 2)], [wanted; 2]);
        }
    }
}
