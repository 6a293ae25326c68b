//! Orders as the shop's server writes them: read whole, with the place of whatever is wrong.

use haggle_domain::{Decision, Micros, Order, OrderLine, ProvenClick, Rates, Tag, Timestamp, UserKey};
use serde_json::{Map, Value};

/// No order brings more than this; a larger claim is an error, not revenue.
pub(super) const MOST_REVENUE: Micros = Micros::from_units(10_000_000);
/// Click tokens of one order, at most.
const MOST_CLICKS: usize = 8;
/// Bytes of one order in the journal, or of what it was changed to, at most: what is written lies within a page of the disk.
const MOST_BYTES: usize = 3_000;
/// The longest name, in bytes.
const LONGEST: usize = 128;

/// What is wrong with an order, and where.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) index: usize,
    pub(super) field: String,
    pub(super) problem: String,
}

/// What the shop says of an order.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// It was placed. With the decisions behind its clicks.
    Placed(Box<Order>, Vec<Decision>),
    /// It was changed or cancelled.
    Corrected { order: Tag, value: Micros, lines: Vec<OrderLine> },
}

/// What it takes to read orders.
pub(super) struct Reading<'r> {
    /// What currencies are worth.
    pub(super) rates: &'r Rates,
    /// What time it is.
    pub(super) now: Timestamp,
    /// The decision in a click's token, if it is genuine.
    pub(super) open: &'r dyn Fn(&str) -> Option<Decision>,
}

/// An amount in a currency, in the account's, rounded to the nearest millionth.
pub(super) fn amount(text: &str, currency: Option<&str>, rates: &Rates) -> Result<Micros, String> {
    let rate = match currency {
        None => haggle_domain::Rate::ONE,
        Some(code) => rates.find(code).map(|(_, rate)| rate).ok_or_else(|| {
            format!("{code:?} is not the account's currency {} and has no rate", rates.account)
        })?,
    };
    let given: Micros = text.parse().map_err(|error| format!("{error}"))?;
    let billion = 1_000_000_000;
    let exact = i128::from(given.0) * i128::from(rate.billionths());
    let value = i64::try_from((exact + billion / 2).div_euclid(billion)).map_or(Micros::MAX, Micros);
    if (Micros::ZERO..=MOST_REVENUE).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{text} is not between 0 and {MOST_REVENUE} of the account's currency"))
    }
}

/// Reads a list of orders; nothing of it counts where any is wrong.
pub(super) fn read(list: Vec<Value>, reading: &Reading<'_>) -> Result<Vec<Told>, Wrong> {
    list.into_iter()
        .enumerate()
        .map(|(index, value)| {
            let Value::Object(members) = value else {
                let problem = "must be an object like {\"order\": \"A-1\", \"value\": \"59.90\"}".to_owned();
                return Err(Wrong { index, field: String::new(), problem });
            };
            let mut fields = Fields { members, prefix: String::new() };
            order(&mut fields, reading).map_err(|(field, problem)| Wrong { index, field, problem })
        })
        .collect()
}

type Read<T> = Result<T, (String, String)>;

/// The members of an object that are not read yet.
struct Fields {
    members: Map<String, Value>,
    prefix: String,
}

impl Fields {
    fn fail<T>(&self, field: &str, problem: impl Into<String>) -> Read<T> {
        Err((format!("{}{field}", self.prefix), problem.into()))
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.members.remove(field).filter(|value| !value.is_null())
    }

    /// A text that is neither empty nor long.
    fn text(&mut self, field: &str) -> Read<Option<String>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => self.fail(field, "must not be empty"),
            Some(Value::String(text)) if text.len() > LONGEST => {
                self.fail(field, format!("is longer than {LONGEST} bytes"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => self.fail(field, "must be a text"),
        }
    }

    fn need<T>(&self, field: &str, value: Option<T>) -> Read<T> {
        value.map_or_else(|| self.fail(field, "is missing"), Ok)
    }

    /// An amount, as a text or a plain number.
    fn amount(&mut self, field: &str, currency: Option<&str>, rates: &Rates) -> Read<Option<Micros>> {
        let text = match self.take(field) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return self.fail(field, "must be an amount like \"59.90\""),
        };
        amount(&text, currency, rates).map(Some).or_else(|problem| self.fail(field, problem))
    }

    fn list(&mut self, field: &str, most: usize) -> Read<Vec<Value>> {
        match self.take(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() <= most => Ok(list),
            Some(Value::Array(list)) => {
                self.fail(field, format!("has {} members; send at most {most}", list.len()))
            }
            Some(_) => self.fail(field, "must be a list"),
        }
    }

    /// What is left is not known.
    fn finish(&self) -> Read<()> {
        match self.members.keys().next() {
            Some(unknown) => {
                let shown: String = unknown.chars().take(40).collect();
                self.fail(&shown, "is not known here; docs/attribution.md lists the fields")
            }
            None => Ok(()),
        }
    }
}

fn order(fields: &mut Fields, reading: &Reading<'_>) -> Read<Told> {
    let id = fields.text("order")?;
    let id = fields.need("order", id)?;
    let currency = fields.text("currency")?;
    if let Some(code) = currency.as_deref().filter(|code| reading.rates.find(code).is_none()) {
        let problem =
            format!("{code:?} is not the account's currency {} and has no rate", reading.rates.account);
        return fields.fail("currency", problem);
    }
    let currency = currency.as_deref();
    let status = fields.text("status")?;
    let value = fields.amount("value", currency, reading.rates)?;
    let lines = lines(fields, currency, reading.rates)?;
    let tag = Tag::of(&id);
    match status.as_deref() {
        None | Some("placed") => {}
        Some("changed") => {
            let value = fields.need("value", value)?;
            fields.finish()?;
            kept(fields, &lines)?;
            return Ok(Told::Corrected { order: tag, value, lines });
        }
        Some("cancelled") => {
            if value.is_some_and(|value| value > Micros::ZERO) || !lines.is_empty() {
                return fields.fail("value", "is of a cancelled order; leave it out, or write \"changed\"");
            }
            fields.finish()?;
            return Ok(Told::Corrected { order: tag, value: Micros::ZERO, lines: Vec::new() });
        }
        Some(_) => return fields.fail("status", "is none of \"placed\", \"changed\", \"cancelled\""),
    }
    let value = fields.need("value", value)?;
    let placed_at = match fields.text("at")?.map(|text| text.parse::<Timestamp>()) {
        None => reading.now,
        // A clock that was never set; what reads the journal's tables may know no such time.
        Some(Ok(at)) if at < Timestamp(0) => return fields.fail("at", "is before 1970"),
        Some(Ok(at)) => at.min(reading.now),
        Some(Err(error)) => return fields.fail("at", error.to_string()),
    };
    let user = fields.text("user")?;
    let kind = fields.text("kind")?;
    let mut decisions = Vec::new();
    for (place, token) in fields.list("clicks", MOST_CLICKS)?.iter().enumerate() {
        match token.as_str().and_then(reading.open) {
            Some(decision) => decisions.push(decision),
            None => return fields.fail(&format!("clicks[{place}]"), "is not a genuine token of a click"),
        }
    }
    fields.finish()?;
    // Who clicked is who ordered, where the shop does not say otherwise.
    let clicked = decisions.iter().find_map(|decision| decision.user);
    let user = user.map(|user| UserKey::of(&user)).or(clicked);
    let clicks = decisions.iter().map(|decision| ProvenClick { bid: decision.bid, bid_at: decision.at });
    let order = Order { tag, id, user, clicks: clicks.collect(), placed_at, value, lines, kind };
    kept(fields, &order)?;
    Ok(Told::Placed(Box::new(order), decisions))
}

/// Whether what is to be written is not too long.
fn kept(fields: &Fields, written: &impl minicbor::Encode<()>) -> Read<()> {
    let bytes = minicbor::to_vec(written).map_or(usize::MAX, |bytes| bytes.len());
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    fields.fail("lines", format!("make the order {bytes} bytes long; at most {MOST_BYTES} are kept"))
}

fn lines(fields: &mut Fields, currency: Option<&str>, rates: &Rates) -> Read<Vec<OrderLine>> {
    let mut lines = Vec::new();
    for (place, line) in fields.list("lines", 100)?.into_iter().enumerate() {
        let Value::Object(members) = line else {
            return fields.fail(&format!("lines[{place}]"), "must be an object");
        };
        let mut line = Fields { members, prefix: format!("lines[{place}].") };
        let product = line.text("product")?;
        let product = line.need("product", product)?;
        let quantity = match line.take("quantity") {
            None => 1,
            Some(quantity) => match quantity.as_u64().and_then(|quantity| u32::try_from(quantity).ok()) {
                Some(quantity) => quantity,
                None => return line.fail("quantity", "must be a whole number"),
            },
        };
        let value = line.amount("value", currency, rates)?;
        let value = line.need("value", value)?;
        line.finish()?;
        lines.push(OrderLine { product, quantity, value });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(list: Value) -> Result<Vec<Told>, Wrong> {
        let rates =
            Rates { account: "USD".to_owned(), pairs: vec![("EUR".to_owned(), "1.0832".parse().unwrap())] };
        let open = |token: &str| {
            (token == "genuine").then(|| Decision {
                user: Some(UserKey(5)),
                at: Timestamp(3),
                ..Decision::default()
            })
        };
        let Value::Array(list) = list else { panic!("a list") };
        read(list, &Reading { rates: &rates, now: Timestamp(1_000_000_000), open: &open })
    }

    #[test]
    fn an_order_is_read_with_all_that_it_says() {
        let found = told(json!([{
            "order": "A-1", "user": "u", "clicks": ["genuine"], "at": "1970-01-01T00:00:10Z", "value": "59.90",
            "currency": "EUR", "kind": "first", "lines": [{ "product": "boots", "quantity": 2, "value": 59.9 }],
        }]));
        let Ok([Told::Placed(order, _)]) = found.as_deref() else { panic!("{found:?}") };
        assert_eq!((order.tag, order.user), (Tag::of("a-1"), Some(UserKey::of("u"))));
        assert_eq!((order.value, order.placed_at), (Micros(64_883_680), Timestamp(10_000_000)));
        let line = OrderLine { product: "boots".to_owned(), quantity: 2, value: Micros(64_883_680) };
        assert_eq!((&order.lines[..], order.clicks[0].bid_at), (&[line][..], Timestamp(3)));
        let found = told(
            json!([{ "order": "A", "value": "1", "clicks": ["genuine"], "at": "2100-01-01T00:00:00Z" }]),
        );
        let Ok([Told::Placed(order, _)]) = found.as_deref() else { panic!("{found:?}") };
        assert_eq!((order.user, order.placed_at), (Some(UserKey(5)), Timestamp(1_000_000_000)));
    }

    #[test]
    fn corrections_are_what_an_order_is_now() {
        let found = told(json!([
            { "order": "A", "status": "changed", "value": "10", "lines": [{ "product": "b", "value": "10" }] },
            { "order": "A", "status": "cancelled" },
        ]));
        let Ok([Told::Corrected { value, lines, .. }, Told::Corrected { value: nothing, .. }]) =
            found.as_deref()
        else {
            panic!("{found:?}")
        };
        assert_eq!((*value, lines.len(), *nothing), (Micros::from_units(10), 1, Micros::ZERO));
    }

    #[test]
    fn whatever_is_wrong_is_named_with_its_place() {
        let good = json!({ "order": "A", "value": "1" });
        let with = |change: Value| {
            let mut order = good.clone();
            order.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!([good, order])
        };
        let long = "x".repeat(129);
        let many: Vec<Value> = (0..60).map(|_| json!({ "product": "x".repeat(60), "value": "1" })).collect();
        for (list, field, says) in [
            (json!([good, 7]), "", "must be an object"),
            (json!([good, { "value": "1" }]), "order", "is missing"),
            (json!([good, { "order": "A" }]), "value", "is missing"),
            (with(json!({ "order": "" })), "order", "must not be empty"),
            (with(json!({ "order": long })), "order", "longer than 128"),
            (with(json!({ "value": "1,5" })), "value", "not a decimal"),
            (with(json!({ "value": -1 })), "value", "-1"),
            (with(json!({ "value": 1e300 })), "value", ""),
            (with(json!({ "value": "10000001" })), "value", "is not between 0 and"),
            (with(json!({ "value": true })), "value", "must be an amount"),
            (with(json!({ "currency": "XXX" })), "currency", "has no rate"),
            (with(json!({ "at": "yesterday" })), "at", "yesterday"),
            (with(json!({ "at": "0000-01-01T00:00:00Z" })), "at", "is before 1970"),
            (with(json!({ "at": "1969-12-31T23:59:59Z" })), "at", "is before 1970"),
            (with(json!({ "clicks": ["genuine", "forged"] })), "clicks[1]", "not a genuine token"),
            (with(json!({ "clicks": "genuine" })), "clicks", "must be a list"),
            (with(json!({ "clicks": vec!["genuine"; 9] })), "clicks", "at most 8"),
            (with(json!({ "lines": [{ "product": "b" }] })), "lines[0].value", "is missing"),
            (
                with(json!({ "lines": [{ "product": "b", "value": "1", "quantity": 1.5 }] })),
                "lines[0].quantity",
                "whole",
            ),
            (
                with(json!({ "lines": [{ "product": "b", "value": "1", "size": 4 }] })),
                "lines[0].size",
                "is not known",
            ),
            (with(json!({ "lines": many })), "lines", "at most 3000"),
            (with(json!({ "lines": many, "status": "changed" })), "lines", "at most 3000"),
            (with(json!({ "status": "returned" })), "status", "is none of"),
            (with(json!({ "status": "cancelled" })), "value", "cancelled order"),
            (with(json!({ "status": "changed", "user": "u" })), "user", "is not known"),
            (with(json!({ "valeu": "1" })), "valeu", "is not known"),
        ] {
            let wrong = told(list.clone()).expect_err(&list.to_string());
            assert_eq!((wrong.index, &*wrong.field), (1, field), "{list} {wrong:?}");
            assert!(wrong.problem.contains(says), "{list} {wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_json_is_orders_or_an_error(text in "\\[(\\{\"(order|value|lines|at)\":(\"\\PC{0,9}\"|[0-9.e-]{1,9}|\\[\\])\\},?){0,3}\\]") {
            if let Ok(list @ Value::Array(_)) = serde_json::from_str(&text) {
                drop(told(list));
            }
        }
    }
}
