//! What the shop sells, and what an ad therefore advertises.

use crate::ad::SimAd;

/// A department of the shop; also a taste that users have and a topic that sites have.
pub(crate) struct Aisle {
    /// The word in segments and keywords.
    pub(crate) word: &'static str,
    /// The segment's name for people.
    pub(crate) title: &'static str,
    /// IAB content taxonomy 1.0.
    pub(crate) iab: &'static str,
    /// Product words, as in the shop's paths, keywords and behaviours.
    pub(crate) products: &'static [&'static str],
    /// How many people care, relative to the others.
    pub(crate) popularity: f64,
    /// The median order's value in units of currency.
    pub(crate) basket: f64,
}

const fn aisle(
    word: &'static str,
    title: &'static str,
    iab: &'static str,
    products: &'static [&'static str],
    popularity: f64,
    basket: f64,
) -> Aisle {
    Aisle { word, title, iab, products, popularity, basket }
}

pub(crate) const AISLE_COUNT: usize = 8;

// One line each, so that it reads as a table.
#[rustfmt::skip]
pub(crate) const AISLES: [Aisle; AISLE_COUNT] = [
    aisle("hiking", "Hiking and trekking", "IAB20", &["boots", "backpacks", "rainwear"], 1.3, 68.0),
    aisle("camping", "Camping", "IAB20-9", &["tents", "sleeping-bags", "lanterns"], 1.0, 74.0),
    aisle("running", "Running", "IAB17-30", &["shoes", "sports-watches"], 1.1, 58.0),
    aisle("cycling", "Cycling", "IAB17-3", &["helmets", "bike-lights"], 0.9, 42.0),
    aisle("cooking", "Cooking and coffee", "IAB8", &["coffee", "cookware"], 1.3, 24.0),
    aisle("gardening", "Gardening", "IAB10-4", &["planters", "grills"], 0.9, 31.0),
    aisle("decor", "Interior decorating", "IAB10-7", &["lamps", "blankets"], 1.1, 36.0),
    aisle("skiing", "Skiing and winter", "IAB17-35", &["parkas", "skis"], 1.0, 96.0),
];

/// One product line: an aisle and a position in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Product {
    pub(crate) aisle: usize,
    pub(crate) item: usize,
}

impl Product {
    pub(crate) fn word(self) -> &'static str {
        AISLES[self.aisle].products[self.item]
    }
}

/// What an ad advertises; nothing where it is none of the shop's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advertised {
    pub(crate) aisle: Option<usize>,
    pub(crate) product: Option<Product>,
}

impl Advertised {
    /// The most particular thing that can be read from the ad: a product word in the landing page's path or the
    /// category, else an aisle's word, else the IAB category, else the IAB category's tier above.
    pub(crate) fn by(ad: &SimAd) -> Self {
        let path = ad.landing.split_once("://").map_or(ad.landing.as_str(), |(_, rest)| rest);
        let path = path.split_once('/').map_or("", |(_, path)| path);
        let words: Vec<&str> =
            path.split(['/', '?', '&', '=', '#', '.']).chain([ad.category.as_str()]).collect();
        let named = |word: &str| words.iter().any(|given| given.eq_ignore_ascii_case(word));
        for (aisle, facts) in AISLES.iter().enumerate() {
            if let Some(item) = facts.products.iter().position(|product| named(product)) {
                return Self { aisle: Some(aisle), product: Some(Product { aisle, item }) };
            }
        }
        let tier_one = |code: &str| code.split_once('-').map_or(code.to_owned(), |(tier, _)| tier.to_owned());
        let aisle = AISLES
            .iter()
            .position(|facts| named(facts.word))
            .or_else(|| AISLES.iter().position(|facts| facts.iab.eq_ignore_ascii_case(&ad.category)))
            .or_else(|| AISLES.iter().position(|facts| tier_one(facts.iab) == tier_one(&ad.category)));
        Self { aisle, product: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(category: &str, landing: &str) -> (Option<&'static str>, Option<&'static str>) {
        let ad = SimAd { category: category.into(), landing: landing.into(), ..SimAd::default() };
        let found = Advertised::by(&ad);
        (found.aisle.map(|aisle| AISLES[aisle].word), found.product.map(Product::word))
    }

    #[test]
    fn an_ad_sells_what_its_landing_page_or_category_says() {
        assert_eq!(advertised("IAB20", "https://fernway.example/boots"), (Some("hiking"), Some("boots")));
        assert_eq!(advertised("IAB20-9", "https://fernway.example/sale?x=1"), (Some("camping"), None));
        assert_eq!(advertised("IAB17-21", "https://fernway.example/"), (Some("running"), None));
        assert_eq!(advertised("Lamps", ""), (Some("decor"), Some("lamps")));
        assert_eq!(advertised("IAB13", "https://bank.example/loans"), (None, None));
        assert_eq!(advertised("", ""), (None, None));
    }
}
