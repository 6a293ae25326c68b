//! Where the ad shows.

use std::borrow::Cow;

use super::lenient::Words;
use super::object::{Bag, object};

object! {
    /// A site (section 3.2.13), an app (section 3.2.14) or screens out of home (section 3.2.32).
    pub Channel<'a> {
        b"id" =>
        /// As the exchange names it.
        pub id: Cow<'a, str>,
        b"name" =>
        /// Its name.
        pub name: Cow<'a, str>,
        b"domain" =>
        /// Its domain.
        pub domain: Cow<'a, str>,
        b"page" =>
        /// The site's page.
        pub page: Cow<'a, str>,
        b"ref" =>
        /// The page that led to it.
        pub ref_: Cow<'a, str>,
        b"mobile" =>
        /// The site is made for small screens.
        pub mobile: bool,
        b"bundle" =>
        /// The app's id in its store.
        pub bundle: Cow<'a, str>,
        b"storeurl" =>
        /// The app's page in its store.
        pub storeurl: Cow<'a, str>,
        b"inventorypartnerdomain" =>
        /// Whose `ads.txt` or `app-ads.txt` authorises the sale, where not the owner's.
        pub inventorypartnerdomain: Cow<'a, str>,
        b"cattax" =>
        /// The taxonomy of the categories (AdCOM list of category taxonomies).
        pub cattax: Option<i64>,
        b"cat" =>
        /// Content categories of the whole.
        pub cat: Words<'a>,
        b"sectioncat" =>
        /// Content categories of the section.
        pub sectioncat: Words<'a>,
        b"pagecat" =>
        /// Content categories of the page or view.
        pub pagecat: Words<'a>,
        b"keywords" =>
        /// Keywords, separated by commas.
        pub keywords: Words<'a>,
        b"kwarray" =>
        /// Keywords, one each.
        pub kwarray: Words<'a>,
        b"venuetype" =>
        /// The kind of place out of home.
        pub venuetype: Words<'a>,
        b"venuetypetax" =>
        /// The taxonomy of `venuetype` (AdCOM list of DOOH venue taxonomies).
        pub venuetypetax: Option<i64>,
        b"publisher" =>
        /// Who publishes it.
        pub publisher: Publisher<'a>,
        b"content" =>
        /// What the ad shows in.
        pub content: Option<Box<Content<'a>>>,
        b"ext" => ext: Bag,
    }
}

object! {
    /// A publisher (section 3.2.15).
    pub Publisher<'a> {
        b"id" =>
        /// As the exchange names it.
        pub id: Cow<'a, str>,
        b"name" =>
        /// Its name.
        pub name: Cow<'a, str>,
        b"domain" =>
        /// Its domain.
        pub domain: Cow<'a, str>,
        b"cat" =>
        /// Its categories.
        pub cat: Words<'a>,
    }
}

object! {
    /// An article, a film, a game (section 3.2.16).
    pub Content<'a> {
        b"id" =>
        /// As the publisher names it.
        pub id: Cow<'a, str>,
        b"title" =>
        /// Its title.
        pub title: Cow<'a, str>,
        b"series" =>
        /// The series that it is part of.
        pub series: Cow<'a, str>,
        b"season" =>
        /// The season of that series.
        pub season: Cow<'a, str>,
        b"genre" =>
        /// Its genre.
        pub genre: Cow<'a, str>,
        b"language" =>
        /// Its language, ISO 639-1.
        pub language: Cow<'a, str>,
        b"langb" =>
        /// Its language, IETF BCP 47.
        pub langb: Cow<'a, str>,
        b"contentrating" =>
        /// For which ages.
        pub contentrating: Cow<'a, str>,
        b"cattax" =>
        /// The taxonomy of `cat` (AdCOM list of category taxonomies).
        pub cattax: Option<i64>,
        b"cat" =>
        /// Its categories.
        pub cat: Words<'a>,
        b"keywords" =>
        /// Keywords, separated by commas.
        pub keywords: Words<'a>,
        b"kwarray" =>
        /// Keywords, one each.
        pub kwarray: Words<'a>,
    }
}
