//! What is posted, and how it is signed.

use haggle_domain::{Attribution, CampaignKey, Timestamp};
use ring::hmac;
use serde_json::{Value, json};

/// The header with the Unix time in seconds at which it was sent.
pub const TIMESTAMP: &str = "x-haggle-timestamp";
/// The header with the signature.
pub const SIGNATURE: &str = "x-haggle-signature";
/// The header with what is the same whenever one and the same is sent again.
pub const DELIVERY: &str = "x-haggle-delivery";

/// `v1=` and HMAC-SHA256 (RFC 2104) over the timestamp's digits, a point, and the body; in hexadecimal digits.
pub fn signature(key: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    context.sign().as_ref().iter().fold("v1=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The body for an order. `named` gives a campaign's id, where it is known.
pub(super) fn body(
    attribution: &Attribution,
    delivery: &str,
    currency: &str,
    sent_at: Timestamp,
    named: impl Fn(CampaignKey) -> Option<String>,
) -> String {
    let credits: Vec<Value> = attribution
        .credits
        .iter()
        .map(|credit| {
            let campaign = named(credit.campaign).unwrap_or_else(|| credit.campaign.to_string());
            json!({
                "campaign": campaign, "value": credit.amount.to_string(), "value_micros": credit.amount,
                "touches": credit.touches, "clicks": credit.clicks,
            })
        })
        .collect();
    json!({
        "delivery": delivery, "event": attribution.standing.as_str(), "order": attribution.id,
        "order_key": format!("{:016x}", attribution.order.0), "placed_at": attribution.placed_at.to_string(),
        "sent_at": sent_at.to_string(), "value": attribution.value.to_string(),
        "value_micros": attribution.value, "currency": currency, "model": attribution.model.as_str(),
        "credits": credits,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by another program: `printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn the_signature_is_what_others_compute() {
        assert_eq!(
            signature("0123456789abcdef", 1_700_000_000, b"{}"),
            "v1=e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e"
        );
    }
}
