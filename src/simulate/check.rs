//! What a run must hold, for scripts.

use std::fmt;
use std::str::FromStr;

use super::metrics::Metric;

/// A metric compared with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assertion {
    metric: Metric,
    relation: Relation,
    number: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Below,
    Above,
}

impl Relation {
    /// Longer ones first, so that they are found before their beginnings.
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Below),
        (">", Self::Above),
    ];
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write a metric, one of == != <= >= < >, and a number, like 'overspend_micros == 0'";
        let found =
            Relation::ALL.iter().find_map(|(sign, relation)| Some((text.split_once(sign)?, *relation)));
        let ((metric, number), relation) = found.ok_or_else(|| format!("compares nothing; {form}"))?;
        let metric = metric.trim();
        let metric = Metric::ALL.iter().find(|known| known.name() == metric).ok_or_else(|| {
            format!("{metric:?} is no metric; there are {}", Metric::ALL.map(Metric::name).join(", "))
        })?;
        let found = number.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let number = found.ok_or_else(|| format!("{:?} is no number; {form}", number.trim()))?;
        Ok(Self { metric: *metric, relation, number })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Relation::ALL
            .iter()
            .find(|(_, relation)| *relation == self.relation)
            .map_or("", |(sign, _)| sign);
        write!(f, "{} {sign} {}", self.metric.name(), self.number)
    }
}

impl Assertion {
    /// What it looks at.
    pub fn metric(self) -> Metric {
        self.metric
    }

    /// Whether it holds of a value; of one that is not there it does not.
    pub fn holds(self, value: Option<f64>) -> bool {
        value.is_some_and(|value| match self.relation {
            Relation::Equal => value.total_cmp(&self.number).is_eq(),
            Relation::Unequal => value.total_cmp(&self.number).is_ne(),
            Relation::AtMost => value <= self.number,
            Relation::AtLeast => value >= self.number,
            Relation::Below => value < self.number,
            Relation::Above => value > self.number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_compare() {
        let is = |text: &str, value: f64| text.parse::<Assertion>().unwrap().holds(Some(value));
        assert!(is("overspend_micros == 0", 0.0) && !is("overspend_micros==0", 1.0));
        assert!(is("clicks >= 10", 10.0) && !is("clicks > 10", 10.0) && is("cpa<2.5", 2.0));
        assert!(!"cpa < 2".parse::<Assertion>().unwrap().holds(None));
        for text in ["", "clicks", "clicks = 1", "nothing == 1", "clicks == x", "clicks > nan"] {
            assert!(text.parse::<Assertion>().is_err(), "{text}");
        }
        assert_eq!("clicks>=10".parse::<Assertion>().unwrap().to_string(), "clicks >= 10");
    }
}
