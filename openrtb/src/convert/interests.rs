//! Interests as they are gathered: no doubles, and a bound.

use haggle_domain::Tag;
use smallvec::SmallVec;

use super::tag;
use crate::request::{Channel, User, Words};

/// How many interests are kept: enough for what pages and users are described by, and a bound on the work that a
/// hostile request can cause.
const MOST: usize = 64;

/// No doubles, at most [`MOST`].
#[derive(Default)]
pub(super) struct Interests(pub(super) SmallVec<[Tag; 16]>);

impl Interests {
    pub(super) fn add_channel(&mut self, channel: &Channel<'_>) {
        for words in [&channel.cat, &channel.sectioncat, &channel.pagecat] {
            self.add_all(words.iter().map(|word| &**word));
        }
        let content = channel.content.as_deref();
        if let Some(content) = content {
            self.add_all(content.cat.iter().map(|word| &**word));
        }
        self.add_keywords(&channel.keywords, &channel.kwarray);
        if let Some(content) = content {
            self.add_keywords(&content.keywords, &content.kwarray);
        }
    }

    pub(super) fn add_user(&mut self, user: &User<'_>) {
        self.add_keywords(&user.keywords, &user.kwarray);
        self.add_all(user.data.iter().flat_map(|data| &data.segment).map(|segment| &*segment.id));
    }

    fn add_keywords(&mut self, keywords: &Words<'_>, kwarray: &Words<'_>) {
        self.add_all(keywords.iter().flat_map(|keywords| keywords.split(',')));
        self.add_all(kwarray.iter().map(|word| &**word));
    }

    fn add_all<'w>(&mut self, words: impl Iterator<Item = &'w str>) {
        for word in words {
            if self.0.len() == MOST {
                return;
            }
            let tag = tag(word);
            if tag.is_some() && !self.0.contains(&tag) {
                self.0.push(tag);
            }
        }
    }
}
