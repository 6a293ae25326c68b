//! A scenario's keys as a file, with what each was fitted to.

use toml::{Table, Value};

use super::super::scenario::wrong;
use crate::exit::ExitError;

/// The file: keys first, then lists of tables and tables. `said` has comments, by key; those of no key stand on top.
///
/// # Errors
///
/// What has no form in TOML.
pub(super) fn text(world: &Table, said: &[(&str, String)]) -> Result<String, ExitError> {
    let mut text = String::new();
    let comment = |text: &mut String, key: &str| {
        for (_, line) in said.iter().filter(|(of, _)| *of == key) {
            text.push_str("# ");
            text.push_str(line);
            text.push('\n');
        }
    };
    let is_table = |value: &Value| match value {
        Value::Table(_) => true,
        Value::Array(all) => all.first().is_some_and(Value::is_table),
        _ => false,
    };
    let form = |key: &str, value: Value| {
        toml::to_string(&Table::from_iter([(key.to_owned(), value)]))
            .map_err(|error| wrong(format!("{key}: {error}")))
    };
    comment(&mut text, "");
    for (key, value) in world.iter().filter(|(_, value)| !is_table(value)) {
        comment(&mut text, key);
        text.push_str(&form(key, value.clone())?);
    }
    for (key, value) in world.iter().filter(|(_, value)| is_table(value)) {
        text.push('\n');
        comment(&mut text, key);
        match value {
            Value::Array(all) => {
                let each: Vec<String> = all
                    .iter()
                    .map(|one| form(key, Value::Array(vec![one.clone()])))
                    .collect::<Result<_, _>>()?;
                text.push_str(&each.join("\n"));
            }
            _ => text.push_str(&form(key, value.clone())?),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_what_it_was() {
        let world: Table = toml::from_str(
            "name = \"a\"\ndays = 1.0\nweek = [1.0, 2.0]\nrival = []\n[bots]\nshare = 0.1\n[[exchange]]\nname = \"x\"\n\
             [[exchange.deal]]\nid = \"d\"\n[[exchange]]\nname = \"y\"\n",
        )
        .unwrap();
        let said = [("", "on top".to_owned()), ("exchange", "of two".to_owned()), ("days", "one".to_owned())];
        let text = text(&world, &said).unwrap();
        assert_eq!(toml::from_str::<Table>(&text).unwrap(), world, "{text}");
        assert!(text.starts_with("# on top\n") && text.contains("# one\ndays = 1.0\n"), "{text}");
        assert!(text.contains("# of two\n[[exchange]]\nname = \"x\""), "{text}");
    }
}
