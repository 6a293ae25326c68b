//! An address with places that each order fills in: `https://crm.example/orders/{order}?event={event}`.

use std::fmt;

use haggle_domain::Attribution;

/// What can be filled in.
const PLACES: [&str; 4] = ["order", "event", "value", "delivery"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// By its position in [`PLACES`].
    Place(usize),
}

/// See the module's text. Places stand behind the host alone, so no order decides who is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// A brace without its other, a place that is not known, or one in front of the path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("{text:?} has a brace that nothing closes"))?;
            let place = PLACES.iter().position(|place| *place == name).ok_or_else(|| {
                format!("{{{name}}} is none of {}", PLACES.map(|place| format!("{{{place}}}")).join(", "))
            })?;
            let so_far = text.len().saturating_sub(rest.len()) + before.len();
            let path = text.split_once("://").and_then(|(scheme, rest)| {
                rest.find(['/', '?']).map(|path| scheme.len() + "://".len() + path)
            });
            if path.is_none_or(|path| so_far <= path) {
                return Err(format!(
                    "{{{name}}} stands in front of the path; the host is the same for all orders"
                ));
            }
            parts.extend([Part::Text(before.to_owned()), Part::Place(place)]);
            rest = after;
        }
        if rest.contains('}') || text.contains('#') {
            return Err(format!("{text:?} has a brace that nothing opens, or a fragment"));
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    fn fill_with(&self, fill: impl Fn(usize) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(place) => encoded(&fill(*place)),
        };
        self.0.iter().map(part).collect()
    }

    /// The address for something harmless.
    pub fn example(&self) -> String {
        self.fill_with(|_| "x".to_owned())
    }

    /// The address for an order. One whose id would make a segment of points of its place, which is a way up, is called by its key.
    pub fn fill(&self, attribution: &Attribution, delivery: &str) -> String {
        let key = format!("{:016x}", attribution.order.0);
        let filled = |order: &str| {
            self.fill_with(|place| match place {
                0 => order.to_owned(),
                1 => attribution.standing.as_str().to_owned(),
                2 => attribution.value.to_string(),
                _ => delivery.to_owned(),
            })
        };
        let address = filled(attribution.id.as_deref().unwrap_or(&key));
        // What the operator has written so is meant.
        if ways_up(&address) > ways_up(&self.example()) { filled(&key) } else { address }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Place(place) => write!(f, "{{{}}}", PLACES.get(*place).unwrap_or(&"")),
        })
    }
}

/// How many segments of an address's path are one or two points, also where they are written as codes.
fn ways_up(address: &str) -> usize {
    let path = address.split('?').next().unwrap_or_default();
    let points = |segment: &&str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    path.split(['/', '\\']).filter(points).count()
}

/// All but unreserved letters (RFC 3986, section 2.3) as their bytes' codes: nothing in a value is part of the address.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use haggle_domain::{AttributionModel, Micros, Standing, Tag, Timestamp};

    use super::*;

    #[test]
    fn an_order_fills_its_places_and_never_leaves_them() {
        let text = "https://crm.example/orders/{order}?e={event}&v={value}&d={delivery}";
        let template = Template::parse(text).unwrap();
        assert_eq!(template.to_string(), text);
        let attribution = Attribution {
            order: Tag(7),
            id: Some("../A 1?x=&é#".to_owned()),
            placed_at: Timestamp(0),
            value: Micros(59_900_000),
            standing: Standing::Credited,
            model: AttributionModel::Last,
            credits: Vec::new(),
        };
        let filled = template.fill(&attribution, "crm-12");
        assert_eq!(
            filled,
            "https://crm.example/orders/..%2FA%201%3Fx%3D%26%C3%A9%23?e=credited&v=59.90&d=crm-12"
        );
        let unnamed = Attribution { id: None, ..attribution };
        assert!(template.fill(&unnamed, "").contains("/0000000000000007?"));
    }

    /// An address's reader takes a segment of one or two points, however they are written, for a way up.
    #[test]
    fn an_order_of_points_stays_below_its_path() {
        let filled = |template: &str, id: &str| {
            let attribution = Attribution {
                order: Tag(7),
                id: Some(id.to_owned()),
                placed_at: Timestamp(0),
                value: Micros(0),
                standing: Standing::Credited,
                model: AttributionModel::Last,
                credits: Vec::new(),
            };
            Template::parse(template).unwrap().fill(&attribution, "crm-12")
        };
        let key = "0000000000000007";
        for template in [
            "https://crm.example/orders/{order}",
            "https://crm.example/orders/{order}?e={event}",
            "https://crm.example/orders/{order}/lines",
            "https://crm.example/orders/.{order}",
            "https://crm.example/orders/%2e{order}",
            "https://crm.example/orders/%2E{order}/x",
        ] {
            for id in [".", ".."] {
                let filled = filled(template, id);
                let parsed = url::Url::parse(&filled).unwrap();
                assert!(parsed.path().starts_with("/orders/"), "{template} {id}: {filled}");
                let whole = template.contains("/{order}") || id == ".";
                assert_eq!(filled.contains(key), whole, "{template} {id}: {filled}");
            }
        }
        // What is no way up stays what the shop calls it, and what the template says is the operator's.
        assert_eq!(filled("https://crm.example/orders/{order}", "..."), "https://crm.example/orders/...");
        assert_eq!(filled("https://crm.example/o?order={order}", ".."), "https://crm.example/o?order=..");
        assert_eq!(filled("https://crm.example/a/../{order}", "A1"), "https://crm.example/a/../A1");
    }

    #[test]
    fn places_are_known_and_behind_the_host() {
        for wrong in [
            "https://{order}.example/",
            "https://crm.example{order}/",
            "{event}://crm.example/",
            "https://crm.example/{user}",
            "https://crm.example/{order",
            "https://crm.example/order}",
            "https://crm.example/#{order}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Template::parse("https://crm.example?o={order}").is_ok());
    }
}
