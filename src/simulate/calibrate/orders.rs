//! A shop's orders from a CSV file.

use std::collections::BTreeMap;
use std::path::Path;

use haggle_learning::data::{BadRows, DataError, Flaw, Records};

use crate::exit::{Exit, ExitError};
use crate::model::Progress;
use crate::replay::log::open;

/// Orders' values, in units of currency.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    pub(super) values: Vec<f64>,
    /// Orders that came to nothing or less: refunds, cancelled invoices, gifts.
    pub(super) left_out: u64,
    pub(super) bad: BadRows,
}

/// Records between two looks at whether it is to end.
const LOOK: u64 = 10_000;

/// Reads a file with titles: a column of values, or rows of invoices whose sums are the orders.
///
/// # Errors
///
/// A file that cannot be read, has neither, has more bad rows than are allowed, or no order.
pub(super) fn read(
    path: &Path,
    column: &str,
    most_bad: u64,
    progress: &Progress,
) -> Result<Orders, ExitError> {
    let name = path.display().to_string();
    let failed =
        |error: std::io::Error| ExitError::new(Exit::IoFailed, format!("{name} cannot be read: {error}"));
    let unusable = |problem: String| ExitError::new(Exit::InputUnusable, format!("{name}: {problem}"));
    let mut rows = Records::new(open(path)?);
    let titles: Vec<String> = match rows.next().map_err(failed)? {
        None => return Err(unusable("is empty; its first line names the columns".to_owned())),
        Some((text, ends)) => {
            fields(text, ends).map(|field| said(field).trim_start_matches('\u{feff}').to_owned()).collect()
        }
    };
    let place = |wanted: &str| titles.iter().position(|title| title.trim().eq_ignore_ascii_case(wanted));
    let invoice = place("InvoiceNo").or_else(|| place("Invoice"));
    let price = place("UnitPrice").or_else(|| place("Price"));
    let layout = match (place(column), invoice, place("Quantity"), price) {
        (Some(value), ..) => [value, value, value],
        (None, Some(invoice), Some(quantity), Some(price)) => [invoice, quantity, price],
        _ => {
            let problem = format!(
                "1:1: no column {column:?}, nor InvoiceNo, Quantity and UnitPrice; there are {}; name one with --order-column",
                titles.join(", ")
            );
            return Err(unusable(problem));
        }
    };
    let whole = layout[0] == layout[1];
    let mut orders =
        Orders { bad: BadRows { file: name.clone(), ..BadRows::default() }, ..Orders::default() };
    let (mut invoices, mut count) = (BTreeMap::<Vec<u8>, f64>::new(), 0u64);
    while let Some((text, ends)) = rows.next().map_err(failed)? {
        let row: Vec<&[u8]> = fields(text, ends).collect();
        let number = |at: usize| {
            let field = row.get(at).copied().ok_or_else(|| {
                Flaw::row(format!("{} columns; the titles are {}", row.len(), titles.len()))
            })?;
            let found = said(field).trim().parse::<f64>().ok().filter(|number| number.is_finite());
            let title = titles.get(at).map_or("", String::as_str);
            found.ok_or_else(|| Flaw::of(title, field, "is no number"))
        };
        let [first, second, third] = layout;
        let added = if whole {
            number(first).map(|value| orders.add(value))
        } else {
            number(second).and_then(|quantity| Ok(quantity * number(third)?)).map(|value| {
                let key = row.get(first).copied().unwrap_or_default();
                *invoices.entry(key.to_vec()).or_default() += value;
            })
        };
        let line = rows.number();
        if let Err(flaw) = added {
            orders.bad.add(line, flaw);
            if orders.bad.count > most_bad {
                return Err(DataError::TooManyBad { bad: orders.bad, limit: most_bad }.into());
            }
        }
        count += 1;
        if count.is_multiple_of(LOOK) {
            progress.check()?;
        }
    }
    invoices.values().for_each(|value| orders.add(*value));
    match orders.values.is_empty() {
        true => Err(unusable(format!("no order above 0 in {count} rows; name a file of orders"))),
        false => Ok(orders),
    }
}

impl Orders {
    fn add(&mut self, value: f64) {
        // Less than a cent is nothing.
        if value >= 0.01 { self.values.push(value) } else { self.left_out += 1 }
    }
}

fn fields<'r>(text: &'r [u8], ends: &'r [usize]) -> impl Iterator<Item = &'r [u8]> {
    ends.iter().scan(0, move |begin, end| {
        let field = text.get(*begin..*end).unwrap_or_default();
        *begin = *end;
        Some(field)
    })
}

fn said(field: &[u8]) -> &str {
    std::str::from_utf8(field).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, column: &str) -> Result<Orders, ExitError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, column, 1, &Progress::default())
    }

    #[test]
    fn an_invoice_is_one_order_and_refunds_are_left_out() {
        let text = "InvoiceNo,StockCode,Quantity,UnitPrice\n1,a,2,1.50\n1,\"b, c\",1,4\n2,a,1,10\nC3,a,-1,10\n1,d,1,0.5\n";
        let orders = of(text, "value").unwrap();
        assert_eq!((orders.values, orders.left_out, orders.bad.count), (vec![7.5, 10.0], 1, 0));
    }

    #[test]
    fn a_column_of_values_is_taken_by_its_title() {
        let orders = of("id,Total\n1,5.25\n2,0\n3,x\n", "total").unwrap();
        assert_eq!((orders.values, orders.left_out, orders.bad.count), (vec![5.25], 1, 1));
    }

    #[test]
    fn what_is_no_file_of_orders_is_refused_with_its_place() {
        for (text, problem) in [
            ("", "is empty"),
            (
                "id,total\n1,5\n",
                "no column \"value\", nor InvoiceNo, Quantity and UnitPrice; there are id, total",
            ),
            ("value\n-5\n", "no order above 0 in 1 rows"),
            ("value\nx\ny\n", "orders.csv:2"),
        ] {
            let said = of(text, "value").unwrap_err().message;
            assert!(said.contains(problem), "{said} for {text:?}");
        }
    }
}
