//! Models that were trained elsewhere, in ONNX, asked for the probability of a click.
//!
//! A [`Net`] takes rows of as many numbers as there are features, side by side, and gives a probability for each. What the numbers
//! are is decided by who asks. The graph is run by tract, in this process, on the thread that asks; nothing of it is ever
//! fetched from elsewhere, and operators that tract does not know are refused when it is loaded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, Tensor, TractResult,
    TypedRunnableModel, tvec,
};
use tract_onnx::tract_hir::infer::Factoid;

/// Rows that are asked about at once; fewer are filled up with zeros.
const ROWS: usize = 256;
/// Probabilities stay this far from 0 and 1, so that no logarithm of one is infinite.
const LEAST: f32 = 1e-6;

/// What a net says of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scores {
    /// The probability itself, or the probabilities of no click and of a click.
    #[default]
    Probability,
    /// Its log odds.
    LogOdds,
}

/// Why a net is refused, or its answer is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetError {
    /// It is no ONNX, or has something that tract does not know.
    #[error("it cannot be read as ONNX: {0}")]
    Unreadable(String),
    /// It takes something else than one table of numbers.
    #[error("{0}")]
    Input(String),
    /// It gives no number for each row.
    #[error("{0}")]
    Output(String),
    /// It says something of a row that is no probability, or no number.
    #[error("it says {said} of a row, which is no {expected}; say with --scores what it gives")]
    Score {
        /// The number.
        said: f32,
        /// What was expected.
        expected: &'static str,
    },
    /// It failed at some rows.
    #[error("it fails at rows: {0}")]
    Run(String),
}

type Plan = Arc<TypedRunnableModel>;

/// A net that can be asked.
#[derive(Clone, Debug)]
pub struct Net {
    width: usize,
    numbers: DatumType,
    /// For one row, and for [`ROWS`].
    one: Plan,
    many: Plan,
    /// The number of the output that is read.
    output: usize,
    scores: Scores,
}

impl Net {
    /// Reads a net that takes rows of `width` numbers. Of its outputs the one of this name is read, else the first of
    /// numbers with a fraction.
    ///
    /// # Errors
    ///
    /// It cannot be read, or takes or gives something else.
    pub fn load(bytes: &[u8], width: usize, output: Option<&str>, scores: Scores) -> Result<Self, NetError> {
        let plan = |rows| contained(|| plan(bytes, width, rows, output), NetError::Unreadable)?;
        let (one, numbers, at) = plan(1)?;
        let (many, ..) = plan(ROWS)?;
        let net = Self { width, numbers, one, many, output: at, scores };
        net.check()?;
        Ok(net)
    }

    /// Asks some rows alone and together: what cannot be asked is better refused at once, and so is what says something else of a
    /// row beside others. What it says of rows that nobody has says nothing of it.
    fn check(&self) -> Result<(), NetError> {
        let rows: Vec<f32> = (0..3 * self.width).map(|at| (at % 5) as f32 - (at % 3) as f32).collect();
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        let said = |answer: Result<(), NetError>| match answer {
            Ok(()) => Ok(true),
            Err(NetError::Score { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        if !said(self.predict(&rows, &mut together))? {
            return said(self.predict(rows.get(..self.width).unwrap_or_default(), &mut alone)).map(drop);
        }
        for (row, beside) in rows.chunks(self.width.max(1)).zip(&together) {
            said(self.predict(row, &mut alone))?;
            if alone.first().is_some_and(|alone| (alone - beside).abs() > 1e-3) {
                return Err(NetError::Output(
                    "what it says of a row depends on the rows beside it".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Whether it takes whole numbers only.
    pub fn is_whole(&self) -> bool {
        self.numbers.is_integer()
    }

    /// Puts the probability of each of some rows, side by side in `rows`, into `out` and nothing else. Each is finite and strictly
    /// between 0 and 1.
    ///
    /// # Errors
    ///
    /// It fails, or says what is no score. `out` then has those of some rows.
    pub fn predict(&self, rows: &[f32], out: &mut Vec<f32>) -> Result<(), NetError> {
        out.clear();
        for some in rows.chunks((ROWS * self.width).max(1)) {
            contained(|| self.run(some, out), NetError::Run)??;
        }
        Ok(())
    }

    fn run(&self, some: &[f32], out: &mut Vec<f32>) -> Result<(), NetError> {
        let count = some.len() / self.width.max(1);
        let (plan, all) = if count == 1 { (&self.one, 1) } else { (&self.many, ROWS) };
        let asked = || -> TractResult<(Vec<f32>, usize)> {
            let mut numbers = some.to_vec();
            numbers.resize(all * self.width, 0.0);
            let input = Tensor::from_shape(&[all, self.width], &numbers)?;
            let input = input.cast_to_dt(self.numbers)?.into_owned();
            let answer = plan.run(tvec!(input.into()))?;
            let Some(answer) = answer.get(self.output) else { return Ok((Vec::new(), 0)) };
            let said: Vec<f32> =
                answer.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect();
            let columns = said.len() / all;
            Ok((said, columns))
        };
        let (said, columns) = asked().map_err(|error| NetError::Run(first_line(&error)))?;
        // Of two the second is a click's.
        for said in said.chunks_exact(columns.max(1)).take(count).filter_map(<[f32]>::last) {
            out.push(self.probability(*said)?);
        }
        Ok(())
    }

    fn probability(&self, said: f32) -> Result<f32, NetError> {
        let probability = match self.scores {
            Scores::Probability if (0.0..=1.0).contains(&said) => said,
            Scores::LogOdds if said.is_finite() => 1.0 / (1.0 + (-said).exp()),
            Scores::Probability => return Err(NetError::Score { said, expected: "probability" }),
            Scores::LogOdds => return Err(NetError::Score { said, expected: "log odds" }),
        };
        Ok(probability.clamp(LEAST, 1.0 - LEAST))
    }
}

/// A net ready for so many rows, what numbers it takes, and the number of the output that is read.
fn plan(
    bytes: &[u8],
    width: usize,
    rows: usize,
    output: Option<&str>,
) -> Result<(Plan, DatumType, usize), NetError> {
    let unreadable = |error: tract_onnx::prelude::TractError| NetError::Unreadable(first_line(&error));
    // Shapes that its author wrote down are those of their batches.
    let reader = tract_onnx::onnx().with_ignore_output_shapes(true);
    let mut model = reader.model_for_read(&mut &*bytes).map_err(unreadable)?;
    let inputs = model.input_outlets().map_err(unreadable)?.len();
    if inputs != 1 {
        return Err(NetError::Input(format!(
            "it takes {inputs} inputs; give it one, a row's numbers side by side"
        )));
    }
    let declared = model.input_fact(0).map_err(unreadable)?;
    let numbers = declared.datum_type.concretize().unwrap_or(DatumType::F32);
    if !(numbers.is_integer() || numbers.is_float()) {
        return Err(NetError::Input(format!("it takes {numbers:?}, and rows are numbers")));
    }
    let dims: Vec<_> = declared.shape.dims().map(|dim| dim.concretize()).collect();
    let takes = dims.get(1).cloned().flatten().and_then(|dim| dim.to_i64().ok());
    if dims.len() != 2 && !declared.shape.is_open() {
        return Err(NetError::Input(format!("it takes {} dimensions, and rows have 2", dims.len())));
    }
    if let Some(takes) = takes.filter(|takes| usize::try_from(*takes) != Ok(width)) {
        return Err(NetError::Input(format!(
            "it takes {takes} numbers a row, and rows have {width} features"
        )));
    }
    let fact = InferenceFact::dt_shape(numbers, [rows, width]);
    model.set_input_fact(0, fact).map_err(unreadable)?;
    let names: Vec<String> = model
        .output_outlets()
        .map_err(unreadable)?
        .iter()
        .map(|outlet| model.outlet_label(*outlet).unwrap_or_default().to_owned())
        .collect();
    let plan = model.into_optimized().and_then(IntoRunnable::into_runnable).map_err(unreadable)?;
    let facts = (0..names.len()).map(|at| plan.model().output_fact(at).cloned());
    let facts = facts.collect::<TractResult<Vec<_>>>().map_err(unreadable)?;
    let known = || {
        let each = names.iter().zip(&facts).map(|(name, fact)| format!("{name:?} ({fact:?})"));
        each.collect::<Vec<_>>().join(", ")
    };
    let at = match output {
        Some(output) => names.iter().position(|name| name == output),
        None => facts.iter().position(|fact| fact.datum_type.is_float()),
    };
    let fact = |at: usize| facts.get(at).filter(|fact| fact.datum_type.is_float());
    let Some((at, fact)) = at.and_then(|at| Some((at, fact(at)?))) else {
        return Err(NetError::Output(format!(
            "it has no such output of probabilities; it gives {}",
            known()
        )));
    };
    let shape = fact.shape.as_concrete().unwrap_or_default();
    match shape {
        [first, rest @ ..] if *first == rows && matches!(rest, [] | [1 | 2] | [1, 1]) => {
            Ok((plan, numbers, at))
        }
        _ => Err(NetError::Output(format!(
            "its output is neither a number nor two for each row; it gives {} for {rows} rows; name another with --output",
            known()
        ))),
    }
}

/// What tract says first; what follows is for its authors.
fn first_line(error: &tract_onnx::prelude::TractError) -> String {
    let chain: Vec<String> =
        error.chain().map(|cause| cause.to_string().lines().next().unwrap_or_default().to_owned()).collect();
    chain.join(": ")
}

/// Runs what may panic on a graph that makes no sense: tract checks much, but not all.
fn contained<T>(work: impl FnOnce() -> T, failed: impl FnOnce(String) -> NetError) -> Result<T, NetError> {
    // What it leaves behind is dropped.
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| failed("its graph makes no sense".to_owned()))
}
