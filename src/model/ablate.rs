//! Which features help: the same model learned without each of them, side by side from one reading of the rows, and judged
//! on the same rows as the one that has all.

use std::collections::HashSet;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::{fs, thread};

use haggle_learning::data::{How, ReadOptions, Schema};
use haggle_learning::offline::bootstrap::{Comparison, Paired, Verdict};
use haggle_learning::offline::{
    DeepSettings, FactorSettings, FfmSettings, Learner, LinearSettings, Settings,
};
use haggle_learning::{Batch, Slot};
use serde::Serialize;

use super::args::{AblateArgs, ModelKind};
use super::folder::RowKind;
use super::input::{self, Progress, each_batch, fields};
use super::report::left_out;
use super::{THREADS, options, say};
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};

/// What leaving features out showed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    model: String,
    data: String,
    test: String,
    passes: u32,
    rows: u64,
    clicks: u64,
    bad_rows: u64,
    repeated_rows: u64,
    test_rows: u64,
    test_clicks: u64,
    test_bad_rows: u64,
    seconds: f64,
    /// Of memory, all models together.
    bytes: u64,
    /// Of the model that has all features.
    log_loss: f64,
    auc: Option<f64>,
    /// What saying the training data's click rate of every row comes to.
    rate_alone: Without,
    /// The one that helps most comes first.
    features: Vec<Without>,
}

/// A model that does without something. Differences are to the model that has all features, which is subtracted.
#[derive(Clone, Debug, Serialize)]
struct Without {
    feature: String,
    /// Crosses of the feature, which went with it.
    with: Vec<String>,
    log_loss: f64,
    difference: f64,
    /// Ends of the difference's 95 % interval.
    low: Option<f64>,
    high: Option<f64>,
    auc: Option<f64>,
    auc_difference: Option<f64>,
    /// `helps`, `hurts` or `no difference shown`: the feature, by the log loss.
    verdict: &'static str,
}

impl Without {
    fn new(feature: String, with: Vec<String>, comparison: &Comparison) -> Self {
        let (log_loss, auc) = (comparison.log_loss, comparison.auc);
        let interval = log_loss.difference.interval;
        Self {
            feature,
            with,
            log_loss: log_loss.candidate,
            difference: log_loss.difference.value,
            low: interval.map(|it| it.0),
            high: interval.map(|it| it.1),
            auc: auc.map(|it| it.candidate),
            auc_difference: auc.map(|it| it.difference.value),
            // The verdict is of the model without it.
            verdict: match comparison.verdict() {
                Verdict::Worse => "helps",
                Verdict::Better => "hurts",
                Verdict::NoDifferenceShown => "no difference shown",
            },
        }
    }

    fn row(&self, width: usize) -> String {
        let interval = match self.low.zip(self.high) {
            Some((low, high)) => format!("{low:+.6} to {high:+.6}"),
            None => "too few clicks".to_owned(),
        };
        let area = self.auc_difference.map_or("unknown".to_owned(), |it| format!("{it:+.6}"));
        let also =
            if self.with.is_empty() { String::new() } else { format!(", with {}", self.with.join(", ")) };
        let Self { feature, log_loss, difference, verdict, .. } = self;
        format!(
            "{feature:<width$}{log_loss:>11.6}{difference:>+12.6}  {interval:<23}{area:>11}  {verdict}{also}"
        )
    }
}

impl Report {
    /// For a person.
    pub(super) fn text(&self) -> String {
        let Self { model, data, test, rows, clicks, test_rows, test_clicks, seconds, bytes, .. } = self;
        let named = self.features.iter().map(|it| it.feature.chars().count());
        let width = named.chain([self.rate_alone.feature.chars().count()]).max().unwrap_or_default() + 2;
        let area = self.auc.map_or("unknown".to_owned(), |it| format!("{it:.6}"));
        let mut lines = vec![
            format!("{model} learned {rows} rows of {data}, {clicks} clicks, in {seconds:.1} s"),
            format!("{} models side by side, {:.1} MB", self.features.len() + 1, *bytes as f64 / 1e6),
            format!("with all features, on {test_rows} rows of {test}, {test_clicks} clicks:"),
            format!("log loss {:.6}, AUC {area}", self.log_loss),
            format!(
                "{:<width$}{:>11}{:>12}  {:<23}{:>11}",
                "without", "log loss", "difference", "95 % interval", "AUC"
            ),
        ];
        lines.extend(self.features.iter().map(|it| it.row(width)));
        lines.push(self.rate_alone.row(width));
        lines.join("\n")
    }
}

/// A model and what it does without.
struct Tried {
    feature: String,
    with: Vec<String>,
    gone: HashSet<usize>,
    model: Box<dyn Learner>,
    /// The rows at hand as it sees them, and what it says of them.
    batch: Batch,
    predicted: Vec<f32>,
    /// Beside the model that has all.
    paired: Paired,
}

impl Tried {
    /// The rows as the model sees them.
    fn seen<'b>(gone: &HashSet<usize>, rows: &'b Batch, own: &'b mut Batch) -> &'b Batch {
        if gone.is_empty() {
            return rows;
        }
        own.clear();
        let left = |slots: &[Slot], own: &mut Batch| {
            slots.iter().filter(|slot| !gone.contains(&slot.field.into())).for_each(|slot| own.push(*slot));
        };
        for (label, slots) in rows.rows() {
            left(slots, own);
            own.end(label);
        }
        for (label, slots) in rows.conversions().rows() {
            left(slots, own);
            own.end_conversion(label);
        }
        own
    }

    fn learn(&mut self, rows: &Batch) {
        self.model.learn(Self::seen(&self.gone, rows, &mut self.batch));
    }

    fn predict(&mut self, rows: &Batch) {
        self.model.predict(Self::seen(&self.gone, rows, &mut self.batch), &mut self.predicted);
    }

    fn without(self) -> Result<Without, ExitError> {
        let comparison = self.paired.comparison().ok_or_else(no_rows)?;
        Ok(Without::new(self.feature, self.with, &comparison))
    }
}

fn no_rows() -> ExitError {
    ExitError::new(Exit::InputUnusable, "no rows to judge the features on")
}

/// Does something with each model, on all cores. What a model learns depends on no other.
fn side_by_side(models: &mut [Tried], work: impl Fn(&mut Tried) + Sync) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = models.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        for some in models.chunks_mut(share) {
            let work = &work;
            scope.spawn(move || some.iter_mut().for_each(work));
        }
    });
}

/// Which features there are to leave out: their fields, and names, those that `asked` names or all.
fn features(asked: &[String], names: &[String], count: usize) -> Result<Vec<(usize, String)>, ExitError> {
    let name = |field: usize| names.get(field).cloned().unwrap_or_else(|| field.to_string());
    let all: Vec<(usize, String)> = (0..count).map(|field| (field, name(field))).collect();
    if asked.is_empty() {
        return Ok(all);
    }
    let mut found: Vec<(usize, String)> = Vec::new();
    for asked in asked {
        let Some(feature) = all.iter().find(|(_, name)| name == asked) else {
            let known: Vec<&str> = all.iter().map(|(_, name)| name.as_str()).collect();
            let problem = format!("there is no feature {asked}; there are {}", known.join(", "));
            return Err(ExitError::new(Exit::Usage, problem));
        };
        if !found.contains(feature) {
            found.push(feature.clone());
        }
    }
    Ok(found)
}

/// The crosses of a feature.
fn crosses(schema: Option<&Schema>, feature: usize) -> Vec<usize> {
    let all = schema.map_or(&[][..], Schema::features).iter().enumerate();
    all.filter(|(_, it)| matches!(&it.how, How::Cross(of) if of.contains(&feature)))
        .map(|(at, _)| at)
        .collect()
}

fn settings(args: &AblateArgs, fields: usize, bits: u32) -> Result<Settings, ExitError> {
    let usage = |problem: &str| Err(ExitError::new(Exit::Usage, problem.to_owned()));
    let own = LinearSettings::default();
    let linear = LinearSettings { bits: args.bits.unwrap_or(bits as u8), ..own };
    let vectors = args.vector_bits;
    // More fields than any model takes are refused by the model itself.
    let few = fields < 2;
    let fields = u16::try_from(fields).unwrap_or(u16::MAX);
    Ok(match args.model {
        ModelKind::Logistic if vectors.is_some() => {
            return usage("logistic has no vectors; leave --vector-bits out");
        }
        ModelKind::Logistic => Settings::Logistic(linear),
        _ if few => return usage("all features are of one field, so there are no pairs of fields to learn"),
        ModelKind::Ffm => {
            let own = FactorSettings::default();
            let factors =
                FactorSettings { fields, bits: vectors.unwrap_or(own.bits), seed: args.seed, ..own };
            Settings::Ffm(FfmSettings { linear, factors })
        }
        ModelKind::Deep => {
            let own = DeepSettings::default();
            let bits = vectors.unwrap_or(own.bits);
            Settings::Deep(DeepSettings { linear, fields, bits, seed: args.seed, ..own })
        }
    })
}

/// Runs the command.
pub(super) fn ablate(args: &AblateArgs, progress: &Progress) -> Result<Report, ExitError> {
    let clicks = args.clicks.as_deref();
    let (mut options, kind, _) = options(&args.data, args.schema.as_deref(), &args.rows, clicks, args.bits)?;
    let (names, count) = fields(&args.data, &options)?;
    if kind == RowKind::Vw {
        options.namespaces.clone_from(&names);
    }
    let schema = options.schema.as_ref();
    let settings = settings(args, count, schema.map_or(options.bits, Schema::bits))?;
    let asked = features(&args.features, &names, count)?;
    let test_options = ReadOptions { clicks: args.test_clicks.clone(), ..options.clone() };
    input::check(&args.test, &test_options)?;

    let build = || settings.build().map_err(|error| ExitError::new(Exit::Usage, error));
    let tried = |feature: String, with: Vec<usize>, gone: HashSet<usize>, model| Tried {
        with: with.iter().filter_map(|at| names.get(*at).cloned()).collect(),
        feature,
        gone,
        model,
        batch: Batch::default(),
        predicted: Vec::new(),
        paired: Paired::new(args.seed),
    };
    let full = build()?;
    let bytes = (full.bytes() + Paired::bytes()) as u64 * (asked.len() as u64 + 1);
    say(&format!("{} models side by side take {:.1} MB of memory", asked.len() + 1, bytes as f64 / 1e6));
    let mut models = vec![tried(String::new(), Vec::new(), HashSet::new(), full)];
    for (field, name) in asked {
        let with = crosses(options.schema.as_ref(), field);
        let gone = with.iter().copied().chain([field]).collect();
        models.push(tried(name, with, gone, build()?));
    }

    let length = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    let whole = length(&args.data) * u64::from(args.passes) + length(&args.test);
    progress.length.store(whole, Ordering::Relaxed);
    let begun = monotonic();
    let mut learned = None;
    for _ in 0..args.passes {
        let read = each_batch(&args.data, &options, THREADS, progress, |batch| {
            side_by_side(&mut models, |it| it.learn(batch));
            Ok(())
        })?;
        side_by_side(&mut models, |it| it.model.end_pass());
        if learned.is_none() {
            say(&left_out(&read));
            learned = Some(read);
        }
    }
    let Some(learned) = learned.filter(|read| read.rows > 0) else {
        let problem = format!("{}: no rows to learn from", args.data.display());
        return Err(ExitError::new(Exit::InputUnusable, problem));
    };
    let seconds = begun.elapsed().as_secs_f64();

    let rate = learned.clicks as f64 / learned.rows as f64;
    let (mut rate_alone, mut rates) = (Paired::new(args.seed), Vec::new());
    let tested = each_batch(&args.test, &test_options, THREADS, progress, |batch| {
        side_by_side(&mut models, |it| it.predict(batch));
        if let Some((full, others)) = models.split_first_mut() {
            side_by_side(others, |it| it.paired.note(&it.predicted, &full.predicted, batch.labels()));
            rates.clear();
            rates.resize(batch.len(), rate as f32);
            rate_alone.note(&rates, &full.predicted, batch.labels());
        }
        Ok(())
    })?;
    say(&left_out(&tested));
    let alone = rate_alone.comparison().ok_or_else(no_rows)?;
    let all = models.split_off(1).into_iter().map(Tried::without);
    let mut features = all.collect::<Result<Vec<Without>, ExitError>>()?;
    features.sort_by(|one, other| other.difference.total_cmp(&one.difference));
    Ok(Report {
        model: args.model.name().to_owned(),
        data: args.data.display().to_string(),
        test: args.test.display().to_string(),
        passes: args.passes,
        rows: learned.rows,
        clicks: learned.clicks,
        bad_rows: learned.bad.count,
        repeated_rows: learned.repeated,
        test_rows: rate_alone.rows(),
        test_clicks: rate_alone.clicks(),
        test_bad_rows: tested.bad.count,
        seconds,
        bytes,
        log_loss: alone.log_loss.base,
        auc: alone.auc.map(|it| it.base),
        rate_alone: Without::new("all (click rate alone)".to_owned(), Vec::new(), &alone),
        features,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::read("s.toml", text).unwrap()
    }

    #[test]
    fn a_feature_goes_with_its_crosses_and_nothing_else_does() {
        let schema = schema(
            "label = 'click'\nfeature = [{name = 'a', kind = 'categorical'}, {name = 'b', kind = 'categorical'}, \
             {name = 'ab', cross = ['a', 'b']}, {name = 'c', kind = 'categorical'}, {name = 'bc', cross = ['b', 'c']}]",
        );
        let of = |feature| crosses(Some(&schema), feature);
        assert_eq!([of(0), of(1), of(2), of(3)], [vec![2], vec![2, 4], vec![], vec![4]]);
        assert_eq!(crosses(None, 0), Vec::<usize>::new());

        let mut rows = Batch::default();
        let slot = |field| Slot { field, index: 7, value: 1.0 };
        for label in [1.0, 0.0] {
            (0..5).for_each(|field| rows.push(slot(field)));
            rows.end(label);
            rows.repeat_as_conversion(1.0);
        }
        let mut own = Batch::default();
        let seen = Tried::seen(&HashSet::from([0, 2]), &rows, &mut own);
        assert_eq!(seen.labels(), rows.labels());
        assert_eq!(seen.conversions().labels(), rows.conversions().labels());
        assert!(seen.rows().all(|(_, slots)| slots == [slot(1), slot(3), slot(4)]));
        assert!(seen.conversions().rows().all(|(_, slots)| slots == [slot(1), slot(3), slot(4)]));
        assert_eq!(Tried::seen(&HashSet::new(), &rows, &mut own), &rows);
    }

    #[test]
    fn features_are_asked_for_by_name_or_by_number_where_they_have_none() {
        let names = ["user".to_owned(), "ad".to_owned()];
        let asked = |asked: &[&str], names: &[String], count| {
            let asked: Vec<String> = asked.iter().map(|it| (*it).to_owned()).collect();
            features(&asked, names, count).map_err(|error| error.to_string())
        };
        assert_eq!(asked(&[], &names, 2).unwrap().len(), 2);
        assert_eq!(asked(&["ad", "ad"], &names, 2).unwrap(), [(1, "ad".to_owned())]);
        assert_eq!(asked(&["2"], &[], 3).unwrap(), [(2, "2".to_owned())]);
        assert!(
            asked(&["site"], &names, 2)
                .unwrap_err()
                .ends_with("there is no feature site; there are user, ad")
        );
    }
}
