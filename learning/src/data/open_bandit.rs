//! Logs of a bandit with propensities, in the columns of the Open Bandit Dataset (Saito et al., *Open Bandit Dataset
//! and Pipeline*, NeurIPS 2021): `item_id`, `position`, `click`, `propensity_score`, and the user's features.
//!
//! Columns `user_feature…` are read, each value as a category; others, such as affinities, are passed over.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::csv::Records;
use super::error::{BadRows, DataError, Flaw};
use super::number::{number, whole};
use super::reader::csv_header;
use super::source::Source;

/// Below this a row would weigh more than all that a log can hold.
pub const LEAST_PROPENSITY: f64 = 1e-9;
const NEEDED: [&str; 4] = ["item_id", "position", "click", "propensity_score"];

/// One round: what was chosen where, how probable that was, and whether it was clicked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BanditRow {
    /// Which item was shown.
    pub item: u64,
    /// In which place.
    pub position: u64,
    /// Whether it was clicked.
    pub clicked: bool,
    /// The probability with which the item was chosen for that place, in (0, 1].
    pub propensity: f64,
    /// The user's features, hashed; the same value in two columns differs.
    pub user: Vec<u32>,
}

/// A log that is read row by row.
pub struct OpenBandit {
    records: Records<Source>,
    file: String,
    width: usize,
    needed: [usize; NEEDED.len()],
    user: Vec<usize>,
    bad: BadRows,
    limit: u64,
}

impl OpenBandit {
    /// Opens a log, unpacked where its name ends in `.gz`, and reads its header. Up to `bad_rows` bad rows are left
    /// out.
    ///
    /// # Errors
    ///
    /// What the system says, or columns that are not there.
    pub fn open(path: &Path, bad_rows: u64) -> Result<Self, DataError> {
        let file = path.display().to_string();
        let failed = |error| DataError::Io { file: file.clone(), error };
        let mut records = Records::new(Source::open(path).map_err(failed)?);
        let header = csv_header(&mut records).map_err(failed)?;
        let mut needed = [0; NEEDED.len()];
        let mut missing = Vec::new();
        for (place, name) in needed.iter_mut().zip(NEEDED) {
            match header.iter().position(|column| column == name) {
                Some(at) => *place = at,
                None => missing.push(format!("`{name}`")),
            }
        }
        if !missing.is_empty() {
            let problem = format!(
                "its header has no {}; a log in the format of the Open Bandit Dataset needs item_id, position, click and \
                 propensity_score",
                missing.join(", ")
            );
            return Err(DataError::Unusable { file, problem });
        }
        let user = header.iter().enumerate().filter(|(_, name)| name.starts_with("user_feature"));
        let user = user.map(|(at, _)| at).collect();
        let bad = BadRows { file: file.clone(), ..BadRows::default() };
        Ok(Self { records, file, width: header.len(), needed, user, bad, limit: bad_rows })
    }

    /// The next good row, or `None` at the end.
    ///
    /// # Errors
    ///
    /// What the system says, or more bad rows than are allowed.
    pub fn read(&mut self) -> Result<Option<BanditRow>, DataError> {
        loop {
            let next = self.records.next();
            let Some((text, ends)) =
                next.map_err(|error| DataError::Io { file: self.file.clone(), error })?
            else {
                return Ok(None);
            };
            match row(text, ends, self.width, self.needed, &self.user) {
                Ok(row) => return Ok(Some(row)),
                Err(flaw) => self.bad.add(self.records.number(), flaw),
            }
            if self.bad.count > self.limit {
                return Err(DataError::TooManyBad { bad: self.bad.clone(), limit: self.limit });
            }
        }
    }

    /// The rows that were left out so far.
    pub fn bad(&self) -> &BadRows {
        &self.bad
    }
}

fn field<'t>(text: &'t [u8], ends: &[usize], at: usize) -> &'t [u8] {
    let start = at.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end);
    ends.get(at).and_then(|end| text.get(start..*end)).unwrap_or_default()
}

fn row(
    text: &[u8],
    ends: &[usize],
    width: usize,
    needed: [usize; NEEDED.len()],
    user: &[usize],
) -> Result<BanditRow, Flaw> {
    if ends.len() != width {
        return Err(Flaw::row(format!("{} fields, and the header has {width}", ends.len())));
    }
    let [item, position, click, propensity] = needed.map(|at| field(text, ends, at));
    let [item_name, position_name, click_name, propensity_name] = NEEDED;
    let number_of = |name, value: &[u8]| {
        whole(value.trim_ascii()).ok_or_else(|| Flaw::of(name, value, "is no whole number"))
    };
    let clicked = match number(click) {
        Some(click) if click.to_bits() == 0.0_f64.to_bits() => false,
        Some(click) if click.to_bits() == 1.0_f64.to_bits() => true,
        _ => return Err(Flaw::of(click_name, click, "is neither 0 nor 1")),
    };
    let propensity =
        number(propensity).filter(|it| (LEAST_PROPENSITY..=1.0).contains(it)).ok_or_else(|| {
            Flaw::of(
                propensity_name,
                propensity,
                "is no probability from 1e-9 to 1, so the row cannot be weighted",
            )
        })?;
    Ok(BanditRow {
        item: number_of(item_name, item)?,
        position: number_of(position_name, position)?,
        clicked,
        propensity,
        user: user.iter().map(|at| xxh3_64_with_seed(field(text, ends, *at), *at as u64) as u32).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(text: &str, bad_rows: u64) -> Result<Vec<BanditRow>, String> {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut log = OpenBandit::open(file.path(), bad_rows).map_err(|error| error.to_string())?;
        let mut rows = Vec::new();
        while let Some(row) = log.read().map_err(|error| error.to_string())? {
            rows.push(row);
        }
        Ok(rows)
    }

    const HEADER: &str = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1\n";

    #[test]
    fn rows_are_read_by_the_names_of_the_columns() {
        let rows = open(&format!("{HEADER}0,now,7,3,1,0.25,x,x\n1,now,8,1,0,1,y,x\n"), 0).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].item, rows[0].position, rows[0].clicked), (7, 3, true));
        assert!((rows[0].propensity - 0.25).abs() < 1e-12 && !rows[1].clicked);
        assert_ne!(rows[0].user[0], rows[0].user[1], "the same value in two columns");
        assert_eq!(rows[0].user[1], rows[1].user[1]);
    }

    #[test]
    fn a_propensity_that_is_none_is_an_error_with_its_place() {
        for value in ["1e-300", "0", "-0.1", "1.5", "nan", "inf", ""] {
            let error =
                open(&format!("{HEADER}0,now,7,3,1,0.2,x,x\n0,now,7,3,1,{value},x,x\n"), 0).unwrap_err();
            assert!(error.contains(":3: column `propensity_score`: "), "{value}: {error}");
        }
        let rows = open(&format!("{HEADER}0,now,7,3,1,0,x,x\n0,now,7,3,1,.5,x,x\n"), 1).unwrap();
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn other_flaws_are_located_too() {
        for (line, said) in [
            ("0,now,x,3,1,0.2,x,x", "column `item_id`: \"x\" is no whole number"),
            ("0,now,1,?,1,0.2,x,x", "column `position`"),
            ("0,now,1,2,2,0.2,x,x", "column `click`: \"2\" is neither 0 nor 1"),
            ("0,now,1,2,1", "5 fields, and the header has 8"),
        ] {
            let error = open(&format!("{HEADER}{line}\n"), 0).unwrap_err();
            assert!(error.contains(":2: ") && error.contains(said), "{line}: {error}");
        }
        assert!(open("a,b\n1,2\n", 0).unwrap_err().contains("`item_id`, `position`"));
        assert!(open("", 0).unwrap_err().contains("its header has no"));
    }

    proptest! {
        #[test]
        fn whatever_a_file_holds_rows_that_come_out_can_be_weighted(text in "[0-9a.,\"\n -]{0,200}") {
            let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
            std::fs::write(file.path(), format!("item_id,position,click,propensity_score\n{text}")).unwrap();
            let mut log = OpenBandit::open(file.path(), u64::MAX).unwrap();
            while let Some(row) = log.read().unwrap() {
                prop_assert!(row.propensity > 0.0 && row.propensity <= 1.0);
            }
        }
    }
}
