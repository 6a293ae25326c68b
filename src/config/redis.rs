//! Where Redis is: an address that may hold a password, which nothing shows.

use std::fmt;

use url::Url;

use super::value::Value;

/// The address of a Redis server, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress(Url);

const EXAMPLE: &str = "write it like \"redis://host:6379/0\", or \"redis://user:password@host:6379/0\"";

impl RedisAddress {
    /// Reads it. What is wrong is said without the text itself, because of the password.
    fn of(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}; {EXAMPLE}"));
        let Ok(url) = Url::parse(text) else { return wrong("is not an address") };
        match url.scheme() {
            "redis" => {}
            "rediss" => {
                return wrong(
                    "asks for TLS, which is not supported: put a tunnel before the server that does it",
                );
            }
            _ => return wrong("does not begin with redis://"),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return wrong("names no host");
        }
        let database = url.path().trim_start_matches('/');
        if !database.is_empty() && database.parse::<u16>().is_err() {
            return wrong("does not end with the number of a database");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong("has something behind the database");
        }
        Ok(Self(url))
    }

    /// The address with its password.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

/// Without the password.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() {
            // It has a host, so it can have a password.
            let _ = shown.set_password(Some("***"));
        }
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

impl Value for Option<RedisAddress> {
    const PLACEHOLDER: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { RedisAddress::of(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_password() {
        let address =
            <Option<RedisAddress>>::parse("redis://haggle:s3cr%25et@redis.internal:6379/2").unwrap();
        let shown = format!("{} {address:?}", address.show());
        assert!(shown.starts_with("redis://haggle:***@redis.internal:6379/2 "), "{shown}");
        assert!(!shown.contains("s3cr"), "{shown}");
        assert_eq!(address.unwrap().expose(), "redis://haggle:s3cr%25et@redis.internal:6379/2");
        assert_eq!(<Option<RedisAddress>>::parse("").unwrap(), None);
        let plain = <Option<RedisAddress>>::parse("redis://127.0.0.1").unwrap();
        assert_eq!(plain.show(), "redis://127.0.0.1");
    }

    #[test]
    fn a_mistake_is_told_without_the_password() {
        for (text, says) in [
            ("redis.internal:6379:s3cret", "redis://"),
            ("http://u:s3cret@host/0", "does not begin with redis://"),
            ("rediss://u:s3cret@host/0", "TLS"),
            ("redis://u:s3cret@host/zero", "number of a database"),
            ("redis://u:s3cret@host/0?timeout=1", "behind the database"),
            ("redis:///0", "host"),
            ("s3cret", "is not an address"),
        ] {
            let problem = <Option<RedisAddress>>::parse(text).unwrap_err();
            assert!(problem.contains(says) && !problem.contains("s3cret"), "{text}: {problem}");
        }
    }
}
