//! Values of flags, read from text: durations, addresses, wants, counts. Errors are the second half
//! of a line that begins with the flag.

use crate::core;
use crate::core::id::{Hash32, InfoHash};
use crate::core::report::foreign;
use crate::core::time::Span;
use crate::node::plan::{Pin, Want};
use crate::peer::Encryption;
use crate::tracker::sites::Network;
use crate::wire::catalogue::signature::{KEY_PREFIX, PublicKey};
use crate::wire::token_keys::bytes_of_hex;
pub use crate::wire::tracker_url::{HostPort, host_port};
use std::ffi::OsStr;
use std::num::NonZeroU64;
use unicode_normalization::UnicodeNormalization;

/// `30s`, `5m`, `2h`, `1d`, or a plain number of seconds.
pub fn duration(text: &str) -> Result<Span, String> {
    let wrong = || format!("'{text}' is no duration; write 30s, 5m, 2h or a number of seconds");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_s = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Span::secs(count.saturating_mul(unit_s)))
}

/// `CIDR=NAME`.
pub fn site(text: &OsStr) -> Result<(Network, String), String> {
    let shown = foreign(&text.to_string_lossy());
    let wrong = || format!("'{shown}': write CIDR=NAME, as 10.1.0.0/16=rack1");
    let (network, name) = text.to_str().and_then(|text| text.split_once('=')).ok_or_else(wrong)?;
    let network = Network::parse(network).ok_or_else(wrong)?;
    if name.is_empty() { Err(wrong()) } else { Ok((network, name.to_owned())) }
}

/// Bytes a second: `500K`, `2M`, `1G` (units of 1,024), or a plain number.
pub fn rate(text: &str) -> Result<NonZeroU64, String> {
    let wrong = || {
        let shown = foreign(text);
        format!("'{shown}' is no rate; write bytes a second, as 500K, 2M or 1G")
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "m" | "MiB" => 20,
        "G" | "g" | "GiB" => 30,
        _ => return Err(wrong()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift));
    bytes.and_then(NonZeroU64::new).ok_or_else(wrong)
}

/// A count from 1 to `most`.
pub fn count(text: &str, most: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(format!("'{text}' is no number from 1 to {most}")),
    }
}

/// `NAME`, `NAME@PIN` or `./NAME`; a pin is 8 to 64 hex digits, or `sha256:` or `ed25519:` and 64
/// of them.
pub fn want(text: &str) -> Result<Want, String> {
    if let Some(literal) = text.strip_prefix("./") {
        return Ok(Want { name: name(literal)?, pin: None, publisher: None });
    }
    if let Some((before, pin)) = text.rsplit_once('@') {
        if let Some(hex) = pin.strip_prefix("sha256:") {
            let bytes = bytes_of(hex).ok_or("after 'sha256:' come 64 hex digits")?;
            return Ok(Want {
                name: name(before)?,
                pin: Some(Pin::Sha256(bytes)),
                publisher: None,
            });
        }
        if pin.starts_with(KEY_PREFIX) {
            return Ok(Want { name: name(before)?, pin: None, publisher: Some(public_key(pin)?) });
        }
        if pin.len() >= 8 && pin.bytes().all(|b| b.is_ascii_hexdigit()) {
            if pin.len() > 64 {
                return Err("a pin has at most 64 hex digits".into());
            }
            let pin = Some(Pin::Hash(pin.to_ascii_lowercase()));
            return Ok(Want { name: name(before)?, pin, publisher: None });
        }
    }
    Ok(Want { name: name(text)?, pin: None, publisher: None })
}

/// `ed25519:` and 64 hex digits.
pub fn public_key(text: &str) -> Result<PublicKey, String> {
    let key = text.strip_prefix(KEY_PREFIX).and_then(bytes_of);
    key.map(PublicKey).ok_or_else(|| format!("after '{KEY_PREFIX}' come 64 hex digits"))
}

/// A name as the catalogue carries it: whichever Unicode form was typed, the composed one is meant.
pub fn name(text: &str) -> Result<String, String> {
    let name: String = text.nfc().collect();
    match core::name::check(name.as_bytes()) {
        Ok(_) => Ok(name),
        Err(why) => Err(why.to_string()),
    }
}

/// 40 hex digits, or the 64 of a v2 hash, of which the first 40 count (BEP 52).
pub fn info_hash(text: &str) -> Result<InfoHash, String> {
    let wrong = || format!("'{}' is no hash; write 40 or 64 hex digits", foreign(text));
    let bytes = match text.len() {
        40 => bytes_of(&format!("{text}{}", "0".repeat(24))),
        _ => bytes_of(text),
    };
    bytes.map(|bytes| Hash32(bytes).truncated()).ok_or_else(wrong)
}

fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    bytes_of_hex(hex)
}

/// When conversations are encrypted.
pub fn encryption(text: &str) -> Result<Encryption, String> {
    match text {
        "allow" => Ok(Encryption::Allow),
        "require" => Ok(Encryption::Require),
        "off" => Ok(Encryption::Off),
        other => {
            Err(format!("--encryption: write allow, require or off, not '{}'", foreign(other)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_units_and_nothing_else() {
        assert_eq!(duration("90"), Ok(Span::secs(90)));
        assert_eq!(duration("30s"), Ok(Span::secs(30)));
        assert_eq!(duration("5m"), Ok(Span::secs(300)));
        assert_eq!(duration("2h"), Ok(Span::secs(7200)));
        assert_eq!(duration("0"), Ok(Span::ZERO));
        for bad in ["", "s", "-1", "+1", "1.5h", "5 m", "5ms", "99999999999999999999", "5é", "h5"]
        {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rates_are_bytes_a_second_and_never_none() {
        let read = |text: &str| rate(text).map(NonZeroU64::get);
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("500K"), Ok(512_000));
        assert_eq!(read("2MiB"), Ok(2 << 20));
        assert_eq!(read("3g"), Ok(3 << 30));
        assert_eq!(read("18446744073709551615"), Ok(u64::MAX));
        for bad in ["", "0", "0K", "K", "-1", "+1", "1.5M", "1 M", "1T", "17179869184G", "5é"] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_hash_has_40_digits_or_64_of_which_40_count() {
        let hash = Ok(InfoHash([0xab; 20]));
        assert_eq!(info_hash(&"ab".repeat(20)), hash);
        assert_eq!(info_hash(&format!("{}{}", "AB".repeat(20), "cd".repeat(12))), hash);
        for bad in ["", "ab", &"ab".repeat(21), &"zz".repeat(20), &"é".repeat(20)] {
            assert!(info_hash(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_come_in_every_customary_form() {
        let made = |host: &str, port| Ok(HostPort { host: host.into(), port });
        assert_eq!(host_port("10.0.0.1"), made("10.0.0.1", None));
        assert_eq!(host_port("10.0.0.1:7000"), made("10.0.0.1", Some(7000)));
        assert_eq!(host_port("[::1]:6969"), made("::1", Some(6969)));
        assert_eq!(host_port("[::1]"), made("::1", None));
        assert_eq!(host_port("fe80::1"), made("fe80::1", None));
        assert_eq!(host_port("box.local:0"), made("box.local", Some(0)));
        for bad in
            ["", ":6969", "h:", "h:x", "h:+1", "h:65536", "[::1", "[h]:1", "[::1]x", "a:b:1", "h/x"]
        {
            assert!(host_port(bad).is_err(), "{bad:?}: {:?}", host_port(bad));
        }
    }

    #[test]
    fn a_want_may_carry_a_pin() {
        let plain = |name: &str| Ok(Want { name: name.into(), pin: None, publisher: None });
        let pinned = |name: &str, hex: &str| {
            Ok(Want { name: name.into(), pin: Some(Pin::Hash(hex.into())), publisher: None })
        };
        assert_eq!(want("big.zip"), plain("big.zip"));
        assert_eq!(want("big.zip@3F2A9C01"), pinned("big.zip", "3f2a9c01"));
        assert_eq!(want("me@home"), plain("me@home"));
        assert_eq!(want("a@1234567"), plain("a@1234567"));
        assert_eq!(want("a@b@12345678"), pinned("a@b", "12345678"));
        assert_eq!(want("./big.zip@3f2a9c01"), plain("big.zip@3f2a9c01"));
        let digest = format!("a@sha256:{}", "0f".repeat(32));
        let pin = Some(Pin::Sha256([15; 32]));
        assert_eq!(want(&digest), Ok(Want { name: "a".into(), pin, publisher: None }));
        let signed = want(&format!("a@ed25519:{}", "0F".repeat(32))).unwrap();
        assert_eq!((signed.pin, signed.publisher), (None, Some(PublicKey([15; 32]))));
    }

    #[test]
    fn a_want_that_cannot_be_a_name_is_refused() {
        let long = "x".repeat(256);
        let digits = format!("a@{}", "0".repeat(65));
        for bad in [
            "",
            "../../x",
            "/etc/passwd",
            "a\\b",
            "..",
            "./",
            "./..",
            "a\nb",
            "@12345678",
            "a@sha256:00",
            "a@sha256:",
            &long,
            &digits,
        ] {
            assert!(want(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in any::<String>(), tail in "[0-9a-zé@:\\[\\]%./-]{0,70}") {
            for text in [text, tail] {
                let _ = (duration(&text), host_port(&text), want(&text), count(&text, 9));
                let _ = rate(&text);
            }
        }
    }
}
