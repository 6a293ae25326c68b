//! What page and user are about, as it is gathered: no doubles, and a bound.

use haggle_domain::Tag;
use smallvec::SmallVec;

use super::tag;
use crate::domains::trimmed;
use crate::request::{Channel, User, Words};

/// How many of each kind are kept: enough for what pages and users are described by, and a bound on the work that a
/// hostile request can cause.
const MOST: usize = 64;

/// The taxonomy of content categories where a request names none: IAB's content taxonomy 1.0.
const CONTENT_1: u8 = 1;

/// No doubles, at most [`MOST`].
#[derive(Default)]
pub(super) struct Gathered<const N: usize>(pub(super) SmallVec<[Tag; N]>)
where
    [Tag; N]: smallvec::Array<Item = Tag>;

impl<const N: usize> Gathered<N>
where
    [Tag; N]: smallvec::Array<Item = Tag>,
{
    fn add(&mut self, tag: Tag) {
        if self.0.len() < MOST && tag.is_some() && !self.0.contains(&tag) {
            self.0.push(tag);
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() == MOST
    }
}

/// What the page or app is about.
#[derive(Default)]
pub(super) struct Page {
    /// Categories, whatever their taxonomy, and keywords.
    pub(super) interests: Gathered<16>,
    /// Categories in their taxonomies, each of taxonomy 1.0 with the one that it belongs to.
    pub(super) categories: Gathered<8>,
    /// Keywords.
    pub(super) keywords: Gathered<8>,
}

impl Page {
    pub(super) fn add_channel(&mut self, channel: &Channel<'_>) {
        let taxonomy = taxonomy(channel.cattax);
        for words in [&channel.cat, &channel.sectioncat, &channel.pagecat] {
            self.add_categories(taxonomy, words);
        }
        let content = channel.content.as_deref();
        if let Some(content) = content {
            self.add_categories(self::taxonomy(content.cattax), &content.cat);
        }
        self.add_keywords(&channel.keywords, &channel.kwarray);
        if let Some(content) = content {
            self.add_keywords(&content.keywords, &content.kwarray);
        }
    }

    fn add_categories(&mut self, taxonomy: Option<u8>, words: &Words<'_>) {
        for code in words.iter().map(|word| trimmed(word)) {
            if self.interests.is_full() && self.categories.is_full() {
                return;
            }
            self.interests.add(tag(code));
            let Some(taxonomy) = taxonomy else { continue };
            self.categories.add(Tag::category(taxonomy, code));
            if let Some((tier, _)) = code.split_once('-').filter(|_| taxonomy == CONTENT_1) {
                self.categories.add(Tag::category(taxonomy, tier));
            }
        }
    }

    fn add_keywords(&mut self, keywords: &Words<'_>, kwarray: &Words<'_>) {
        for word in each_keyword(keywords, kwarray) {
            if self.interests.is_full() && self.keywords.is_full() {
                return;
            }
            let tag = tag(word);
            self.interests.add(tag);
            self.keywords.add(tag);
        }
    }
}

/// Segments and keywords of the user.
pub(super) fn segments(user: &User<'_>) -> SmallVec<[Tag; 16]> {
    let mut gathered = Gathered::<16>::default();
    let ids = user.data.iter().flat_map(|data| &data.segment).map(|segment| &*segment.id);
    for word in each_keyword(&user.keywords, &user.kwarray).chain(ids) {
        if gathered.is_full() {
            break;
        }
        gathered.add(tag(word));
    }
    gathered.0
}

fn each_keyword<'w>(keywords: &'w Words<'_>, kwarray: &'w Words<'_>) -> impl Iterator<Item = &'w str> {
    keywords.iter().flat_map(|keywords| keywords.split(',')).chain(kwarray.iter().map(|word| &**word))
}

/// `cattax`, where it is a number that a list of taxonomies could have.
fn taxonomy(cattax: Option<i64>) -> Option<u8> {
    cattax.map_or(Some(CONTENT_1), |number| u8::try_from(number).ok().filter(|number| *number > 0))
}
