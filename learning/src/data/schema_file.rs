//! A schema as people write it, in TOML. Every mistake is reported, with its line.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::schema::{Feature, How, Positive, Scale, Schema};
use super::time::Part;

const KEYS: [&str; 8] =
    ["label", "positive", "at_least", "conversion", "unique", "missing", "bits", "feature"];
const FEATURE_KEYS: [&str; 7] = ["name", "column", "kind", "transform", "bins", "separator", "cross"];
/// How many bits indices have when the schema does not say: four million values.
const BITS: u32 = 22;
/// More would be a mistake, and fields are counted in 16 bits.
const MOST_FEATURES: usize = 1024;

/// A mistake in a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// The file.
    pub file: String,
    /// The line, from 1; `None` for what is wrong with the file as a whole.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// All mistakes in a schema, in the order of their lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct SchemaErrors(pub Vec<SchemaError>);

impl fmt::Display for SchemaErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let SchemaError { file, line, problem } = error;
            let end = if index == 0 { "" } else { "\n" };
            match line {
                Some(line) => write!(out, "{end}{file}:{line}: {problem}")?,
                None => write!(out, "{end}{file}: {problem}")?,
            }
        }
        Ok(())
    }
}

impl Schema {
    /// Reads a schema; `file` is for messages.
    ///
    /// # Errors
    ///
    /// All mistakes.
    pub fn read(file: &str, text: &str) -> Result<Self, SchemaErrors> {
        let problems = Problems { file, text, found: RefCell::default() };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            problems.add(error.span(), format!("not valid TOML: {}", error.message()));
        }
        let schema = if errors.is_empty() { read(root.get_ref(), &problems) } else { None };
        let mut found = problems.found.into_inner();
        found.sort_by_key(|error| error.line);
        match schema {
            Some(schema) if found.is_empty() => Ok(schema),
            _ => Err(SchemaErrors(found)),
        }
    }
}

struct Problems<'a> {
    file: &'a str,
    text: &'a str,
    found: RefCell<Vec<SchemaError>>,
}

impl Problems<'_> {
    fn add(&self, span: Option<Range<usize>>, problem: impl Into<String>) {
        let line_of = |at| self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        self.found.borrow_mut().push(SchemaError {
            file: self.file.to_owned(),
            line: span.map(|span| line_of(span.start)),
            problem: problem.into(),
        });
    }
}

/// A table with what its mistakes are called after.
struct Table<'a> {
    entries: &'a DeTable<'a>,
    span: Option<Range<usize>>,
    name: String,
    problems: &'a Problems<'a>,
}

impl<'a> Table<'a> {
    fn only(&self, known: &[&str]) {
        for key in self.entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let problem =
                format!("{}unknown key `{}`; known are {}", self.name, key.get_ref(), known.join(", "));
            self.problems.add(Some(key.span()), problem);
        }
    }

    fn fail(&self, key: &str, problem: &str) {
        let span = self.entries.get(key).map(toml::Spanned::span).or_else(|| self.span.clone());
        self.problems.add(span, format!("{}{problem}", self.name));
    }

    fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A value that `read` understands; otherwise `must` is what it must be.
    fn read<T>(&self, key: &str, must: &str, read: impl FnOnce(&'a DeValue<'a>) -> Option<T>) -> Option<T> {
        let value = self.entries.get(key)?;
        let found = read(value.get_ref());
        if found.is_none() {
            self.fail(key, &format!("`{key}` must be {must}"));
        }
        found
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.read(key, "a text in quotes, not an empty one", |value| {
            value.as_str().filter(|it| !it.is_empty())
        })
    }

    fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.read(key, "a list of texts in quotes", |value| {
            value.as_array()?.iter().map(|one| one.get_ref().as_str().map(str::to_owned)).collect()
        })
    }

    fn one_of<T: Copy>(&self, key: &str, names: &[(&str, T)]) -> Option<T> {
        let must = names.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
        self.read(key, &must, |value| {
            let text = value.as_str()?;
            names.iter().find(|(name, _)| *name == text).map(|(_, it)| *it)
        })
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let number = match value {
        DeValue::Integer(it) => i64::from_str_radix(it.as_str(), it.radix()).ok()? as f64,
        DeValue::Float(it) => it.as_str().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The columns that were named so far.
#[derive(Default)]
struct Columns(Vec<String>);

impl Columns {
    fn place(&mut self, name: &str) -> usize {
        self.0.iter().position(|column| column == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }
}

fn read(root: &DeTable<'_>, problems: &Problems<'_>) -> Option<Schema> {
    let table = Table { entries: root, span: None, name: String::new(), problems };
    table.only(&KEYS);
    let mut columns = Columns::default();
    if !table.has("label") {
        table.fail("label", "no label; write label = \"click\" with the name of the label's column");
    }
    let label = table.text("label").map(|name| columns.place(name));
    let unique = table.text("unique").map(|name| columns.place(name));
    let missing = table.texts("missing").unwrap_or_default();
    let bits = table.read("bits", "a whole number from 8 to 30", |value| {
        number(value)
            .filter(|bits| (8.0..=30.0).contains(bits) && bits.fract() == 0.0)
            .map(|bits| bits as u32)
    });
    let positive = match (table.texts("positive"), table.read("at_least", "a finite number", number)) {
        (Some(_), Some(_)) => {
            table.fail("at_least", "`positive` and `at_least` both say which labels are clicks; remove one");
            None
        }
        (Some(texts), None) if texts.is_empty() => {
            table.fail("positive", "`positive` names no label, so nothing would be a click");
            None
        }
        (Some(texts), None) => Some(Positive::Among(texts)),
        (None, Some(least)) => Some(Positive::AtLeast(least)),
        (None, None) => Some(Positive::One),
    };
    let features = features(&table, &mut columns)?;
    // After all others, which keep their places.
    let conversion = table.text("conversion").map(|name| columns.place(name));
    let label = label?;
    for (key, column) in [("label", Some(label)), ("conversion", conversion)] {
        for feature in features.iter().filter(|feature| column.is_some() && feature.how.column() == column) {
            let problem =
                format!("feature `{}` is made of the {key}; a model would learn nothing else", feature.name);
            table.fail(key, &problem);
        }
    }
    if conversion == Some(label) {
        table.fail(
            "conversion",
            "`conversion` is the label's column; name the one that says which clicks led to an order",
        );
    }
    Some(Schema {
        columns: columns.0,
        label,
        positive: positive?,
        conversion,
        unique,
        missing,
        bits: bits.unwrap_or(BITS),
        features,
    })
}

fn features(root: &Table<'_>, columns: &mut Columns) -> Option<Vec<Feature>> {
    let tables = match root.entries.get("feature").map(toml::Spanned::get_ref) {
        Some(DeValue::Array(tables)) if !tables.is_empty() => tables,
        _ => {
            root.fail("feature", "no features; write at least one [[feature]] with a name and a kind");
            return None;
        }
    };
    if tables.len() > MOST_FEATURES {
        root.fail("feature", &format!("more than {MOST_FEATURES} features; leave some out"));
        return None;
    }
    let mut features: Vec<Feature> = Vec::with_capacity(tables.len());
    let mut crosses = Vec::new();
    let mut whole = true;
    for value in tables {
        let DeValue::Table(entries) = value.get_ref() else {
            root.problems.add(Some(value.span()), "a feature must be a table: [[feature]]");
            whole = false;
            continue;
        };
        let name = entries.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default();
        let table = Table {
            entries,
            span: Some(value.span()),
            name: if name.is_empty() { "a feature: ".to_owned() } else { format!("feature `{name}`: ") },
            problems: root.problems,
        };
        table.only(&FEATURE_KEYS);
        if !table.has("name") {
            table.fail("name", "has no name");
        }
        let name = table.text("name");
        if name.is_some_and(|name| features.iter().any(|feature| feature.name == name)) {
            table.fail("name", "another feature has this name; names must differ, a `column` may come twice");
        }
        let how = if table.has("cross") { cross(&table) } else { plain(&table, name, columns) };
        whole &= name.is_some() && how.is_some();
        // What is wrong keeps its place and its name, so that no cross is told that it is unknown.
        let how = how.unwrap_or(How::Category(0));
        features.push(Feature { name: name.unwrap_or_default().to_owned(), how });
        crosses.push(table);
    }
    let sources: Vec<_> = crosses.iter().map(|table| resolve(table, &features)).collect();
    for (feature, sources) in features.iter_mut().zip(sources) {
        if let (How::Cross(of), Some(sources)) = (&mut feature.how, sources) {
            *of = sources;
        }
    }
    whole.then_some(features)
}

fn cross(table: &Table<'_>) -> Option<How> {
    for key in ["column", "kind", "transform", "bins", "separator"].into_iter().filter(|key| table.has(key)) {
        table.fail(key, &format!("a cross has no `{key}`; give it to the features that it combines"));
    }
    let count = table.texts("cross")?.len();
    if !(2..=4).contains(&count) {
        table.fail("cross", "`cross` must name two to four features");
        return None;
    }
    Some(How::Cross(Vec::new()))
}

/// Which features a cross combines.
fn resolve(table: &Table<'_>, features: &[Feature]) -> Option<Vec<usize>> {
    let names = table.entries.get("cross")?.get_ref().as_array()?;
    let names: Vec<&str> = names.iter().filter_map(|name| name.get_ref().as_str()).collect();
    let mut places = Vec::new();
    for name in names {
        let Some(place) = features.iter().position(|feature| feature.name == name) else {
            table.fail("cross", &format!("`cross` names `{name}`, but no feature has this name"));
            continue;
        };
        let one_value = match features.get(place).map(|feature| &feature.how) {
            Some(How::Number(..)) => Err("a number without bins; give it `bins`"),
            Some(How::Several(..) | How::Words(_)) => Err("of several values"),
            Some(How::Cross(_)) => Err("a cross; name what it is made of"),
            _ => Ok(()),
        };
        if let Err(why) = one_value {
            table.fail("cross", &format!("`cross` names `{name}`, which is {why}"));
        } else if places.contains(&place) {
            table.fail("cross", &format!("`cross` names `{name}` twice"));
        }
        places.push(place);
    }
    Some(places)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Categorical,
    Numeric,
    Multi,
    Text,
    Time,
}

fn plain(table: &Table<'_>, name: Option<&str>, columns: &mut Columns) -> Option<How> {
    if !table.has("kind") {
        table.fail(
            "kind",
            "has no kind; write kind = \"categorical\", \"numeric\", \"multi\", \"text\" or \"time\"",
        );
    }
    let kind = table.one_of(
        "kind",
        &[
            ("categorical", Kind::Categorical),
            ("numeric", Kind::Numeric),
            ("multi", Kind::Multi),
            ("text", Kind::Text),
            ("time", Kind::Time),
        ],
    );
    let column = if table.has("column") { table.text("column") } else { name };
    let (kind, column) = (kind?, columns.place(column?));
    for (key, wanted, of) in [
        ("bins", Kind::Numeric, "numeric features"),
        ("separator", Kind::Multi, "features of kind \"multi\""),
    ] {
        if table.has(key) && kind != wanted {
            table.fail(key, &format!("`{key}` is only for {of}"));
        }
    }
    if table.has("transform") && !matches!(kind, Kind::Numeric | Kind::Time) {
        table.fail("transform", "`transform` is only for numeric features and times");
    }
    Some(match kind {
        Kind::Categorical => How::Category(column),
        Kind::Text => How::Words(column),
        Kind::Multi => {
            if !table.has("separator") {
                table.fail(
                    "separator",
                    "has no separator; write separator = \",\" with what is between the values",
                );
            }
            How::Several(column, table.text("separator")?.to_owned())
        }
        Kind::Time => {
            let parts =
                [("hour", Part::Hour), ("weekday", Part::Weekday), ("hour_of_week", Part::HourOfWeek)];
            let part = table.one_of("transform", &parts);
            How::Time(column, part.unwrap_or(Part::HourOfWeek))
        }
        Kind::Numeric => numeric(table, column)?,
    })
}

fn numeric(table: &Table<'_>, column: usize) -> Option<How> {
    let scales = [("log", Some(Scale::Log)), ("sqrt", Some(Scale::Sqrt)), ("bins", None)];
    let scale = if table.has("transform") { table.one_of("transform", &scales)? } else { Some(Scale::AsIs) };
    match scale {
        Some(scale) if !table.has("bins") => Some(How::Number(column, scale)),
        Some(Scale::Log | Scale::Sqrt) => {
            table.fail("bins", "`bins` goes with no other transform; set the bins on the number as it is");
            None
        }
        _ => {
            if !table.has("bins") {
                table.fail(
                    "transform",
                    "has no bins; write bins = [0, 10, 100] with the edges in rising order",
                );
            }
            let rising = |edges: &Vec<f64>| !edges.is_empty() && edges.windows(2).all(|two| two[0] < two[1]);
            let bins = table.read("bins", "a list of numbers, each larger than the one before", |value| {
                value
                    .as_array()?
                    .iter()
                    .map(|one| number(one.get_ref()))
                    .collect::<Option<_>>()
                    .filter(rising)
            })?;
            Some(How::Bins(column, bins))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_is_read() {
        let schema = Schema::read(
            "s.toml",
            "label = \"rating\"\nat_least = 4\nunique = \"id\"\nmissing = [\"null\", \"NA\"]\nbits = 20\n\
             [[feature]]\nname = \"user\"\nkind = \"categorical\"\n\
             [[feature]]\nname = \"hour\"\ncolumn = \"at\"\nkind = \"time\"\ntransform = \"hour\"\n\
             [[feature]]\nname = \"week\"\ncolumn = \"at\"\nkind = \"time\"\n\
             [[feature]]\nname = \"price\"\nkind = \"numeric\"\ntransform = \"log\"\n\
             [[feature]]\nname = \"band\"\ncolumn = \"price\"\nkind = \"numeric\"\ntransform = \"bins\"\nbins = [1, 2.5]\n\
             [[feature]]\nname = \"tags\"\nkind = \"multi\"\nseparator = \",\"\n\
             [[feature]]\nname = \"title\"\nkind = \"text\"\n\
             [[feature]]\nname = \"both\"\ncross = [\"user\", \"band\"]\n",
        )
        .unwrap();
        assert_eq!(schema.columns(), ["rating", "id", "user", "at", "price", "tags", "title"]);
        let how: Vec<_> = schema.features().iter().map(|feature| feature.how.clone()).collect();
        assert_eq!(
            how,
            [
                How::Category(2),
                How::Time(3, Part::Hour),
                How::Time(3, Part::HourOfWeek),
                How::Number(4, Scale::Log),
                How::Bins(4, vec![1.0, 2.5]),
                How::Several(5, ",".to_owned()),
                How::Words(6),
                How::Cross(vec![0, 4]),
            ]
        );
        assert_eq!((schema.label(), schema.bits(), schema.feature("both")), ("rating", 20, Some(7)));
    }

    #[test]
    fn all_mistakes_are_said_at_once_with_their_lines() {
        let errors = Schema::read(
            "s.toml",
            "labels = \"click\"\nbits = 40\npositive = [1]\n\
             [[feature]]\nname = \"a\"\nkind = \"categoric\"\n\
             [[feature]]\nname = \"b\"\nkind = \"numeric\"\nbins = [2, 1]\n\
             [[feature]]\nname = \"b\"\nkind = \"multi\"\n\
             [[feature]]\nname = \"c\"\nkind = \"text\"\ntransform = \"log\"\nhash = 3\n\
             [[feature]]\nname = \"d\"\ncross = [\"c\", \"e\"]\n\
             [[feature]]\nname = \"f\"\ncross = [\"a\"]\nkind = \"text\"\n\
             [[feature]]\nkind = \"text\"\n",
        )
        .unwrap_err()
        .to_string();
        for expected in [
            "s.toml: no label;",
            "s.toml:1: unknown key `labels`; known are label,",
            "s.toml:2: `bits` must be a whole number from 8 to 30",
            "s.toml:3: `positive` must be a list of texts in quotes",
            "s.toml:6: feature `a`: `kind` must be \"categorical\" or",
            "s.toml:10: feature `b`: `bins` must be a list of numbers, each larger",
            "s.toml:12: feature `b`: another feature has this name;",
            "s.toml:11: feature `b`: has no separator;",
            "s.toml:17: feature `c`: `transform` is only for",
            "s.toml:18: feature `c`: unknown key `hash`; known are name,",
            "s.toml:21: feature `d`: `cross` names `c`, which is of several values",
            "s.toml:21: feature `d`: `cross` names `e`, but no feature has this name",
            "s.toml:24: feature `f`: `cross` must name two to four",
            "s.toml:25: feature `f`: a cross has no `kind`;",
            "s.toml:26: a feature: has no name",
        ] {
            assert!(errors.contains(expected), "{expected}\nnot in\n{errors}");
        }
        assert_eq!(errors.lines().count(), 15, "{errors}");
    }

    #[test]
    fn what_is_no_toml_or_a_label_in_disguise_is_refused() {
        let error = |text: &str| Schema::read("s", text).unwrap_err().to_string();
        assert!(error("label = ").starts_with("s:1: not valid TOML: "), "{}", error("label = "));
        let leak = error("label = 'y'\nfeature = [{name = 'y', kind = 'categorical'}]");
        assert!(leak.contains("feature `y` is made of the label"), "{leak}");
        let both =
            error("label = 'y'\nat_least = 1\npositive = ['2']\nfeature = [{name = 'a', kind = 'text'}]");
        assert!(both.contains("s:2: `positive` and `at_least` both say"), "{both}");
        let selfish =
            error("label = 'y'\nfeature = [{name = 'a', kind = 'text'}, {name = 'b', cross = ['b', 'b']}]");
        assert!(selfish.contains("which is a cross"), "{selfish}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_with_a_reason(
            text in "(label|bits|feature|name|kind|cross| |=|'a'|\\[|\\]|\\{|\\}|,|1|\n){0,40}",
        ) {
            if let Err(errors) = Schema::read("s", &text) {
                prop_assert!(!errors.0.is_empty(), "refused without a reason: {text}");
            }
        }
    }
}
