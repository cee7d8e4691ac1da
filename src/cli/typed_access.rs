//! What was typed about access: tokens, keys, lists.

use super::typed::{Access, Common, Publisher, TokenFrom, Typed, Wish, duration, path, text};
use super::values;
use crate::core::id::{Hash32, InfoHash};
use crate::core::time::Span;
use crate::jobs::plan::TokenAsk;
use crate::wire::catalogue::signature::KEY_PREFIX;
use crate::wire::token::{Bearer, scope};
use crate::wire::token_keys::bytes_of_hex;
use clap::ArgMatches;
use std::ffi::OsString;
use std::path::PathBuf;

/// How long a token counts when nothing is said.
const EXPIRES: Span = Span::secs(30 * 86_400);

/// Whom a tracker answers.
pub fn access(given: &ArgMatches) -> Result<Access, String> {
    Ok(Access {
        private: given.get_flag("private"),
        public: given.get_flag("public"),
        allow: paths(given, "allow")?,
        deny: paths(given, "deny")?,
    })
}

fn paths(given: &ArgMatches, flag: &'static str) -> Result<Vec<PathBuf>, String> {
    let values = given.get_many::<OsString>(flag).into_iter().flatten();
    values.map(|value| super::typed::path_of(value, flag)).collect()
}

/// Hosts, each without a port: a certificate is one for all of them.
pub fn insecure(given: &ArgMatches) -> Result<Vec<String>, String> {
    const FLAG: &str = "--insecure-tracker";
    let typed = given.get_many::<OsString>("insecure-tracker").unwrap_or_default();
    let host = |value: &OsString| {
        let text = value.to_str().ok_or_else(|| format!("{FLAG}: the value is not UTF-8"))?;
        let at = values::host_port(text).map_err(|why| format!("{FLAG}: {why}"))?;
        match at.port {
            Some(_) => Err(format!("{FLAG}: give the host alone, without a port")),
            None => Ok(at.host.trim_end_matches('.').to_owned()),
        }
    };
    typed.map(host).collect()
}

/// Where the token of a client stands. A text that is none is refused and not repeated.
pub fn token_from(given: &ArgMatches) -> Result<TokenFrom, String> {
    match (text(given, "token")?, path(given, "token-file")?) {
        (None, None) => Ok(TokenFrom::Elsewhere),
        (Some(_), Some(_)) => Err("--token and --token-file: give one of them".into()),
        (None, Some(file)) => Ok(TokenFrom::File(file)),
        (Some(text), None) => match Bearer::read(text) {
            Some(bearer) => Ok(TokenFrom::Given(bearer)),
            None => Err("--token: this is no token; `lmk token` makes one".into()),
        },
    }
}

pub fn publisher(given: &ArgMatches) -> Result<Option<Publisher>, String> {
    match text(given, "publisher") {
        Ok(Some(key)) if key.starts_with(KEY_PREFIX) => {
            let key = values::public_key(key).map_err(|why| format!("--publisher: {why}"))?;
            Ok(Some(Publisher::Key(key)))
        }
        _ => Ok(path(given, "publisher")?.map(Publisher::File)),
    }
}

/// `lmk token`.
pub fn token(given: &ArgMatches) -> Result<Typed, String> {
    let acts = ["list", "new-key"].map(|flag| given.get_flag(flag));
    let revoke = key_id(given, "revoke")?;
    let makes = ["scope", "for", "expires", "key", "owner"].map(|flag| given.contains_id(flag));
    let more = acts.iter().filter(|act| **act).count() + usize::from(revoke.is_some());
    if more > 1 || (more == 1 && makes.contains(&true)) {
        return Err("--list, --new-key and --revoke are given alone".into());
    }
    let ask = match (acts, revoke) {
        ([true, _], _) => TokenAsk::List,
        ([_, true], _) => TokenAsk::NewKey,
        (_, Some(id)) => TokenAsk::Revoke(id),
        _ => make(given)?,
    };
    Ok(alone(Wish::Token(ask)))
}

fn make(given: &ArgMatches) -> Result<TokenAsk, String> {
    let bound = match text(given, "for")? {
        None => None,
        Some(hex) => Some(info_hash(hex).ok_or("--for: an info-hash has 40 or 64 hex digits")?),
    };
    let default = if bound.is_some() { scope::ANNOUNCE } else { scope::ALL };
    let scope = text(given, "scope")?.map_or(Ok(default), scopes)?;
    if bound.is_some() && scope != scope::ANNOUNCE {
        return Err("--for: a token for one content may announce; leave --scope out".into());
    }
    let expires = match text(given, "expires")? {
        Some("never") => None,
        _ => Some(duration(given, "expires")?.unwrap_or(EXPIRES).as_secs()),
    };
    Ok(TokenAsk::Make {
        scope,
        bound,
        expires_s: expires,
        key: key_id(given, "key")?,
        owner: text(given, "owner")?.map(str::to_owned),
    })
}

fn scopes(text: &str) -> Result<u8, String> {
    text.split(',').try_fold(0, |bits, word| match word.trim() {
        "announce" => Ok(bits | scope::ANNOUNCE),
        "read" => Ok(bits | scope::READ),
        "write" => Ok(bits | scope::WRITE),
        _ => Err("--scope: write announce, read and write, with commas between them".into()),
    })
}

fn key_id(given: &ArgMatches, flag: &'static str) -> Result<Option<u16>, String> {
    let Some(text) = text(given, flag)? else { return Ok(None) };
    match text.parse() {
        Ok(id) if id > 0 => Ok(Some(id)),
        _ => Err(format!("--{flag}: a key is a number from 1 up; see 'lmk token --list'")),
    }
}

/// 40 digits, or 64 of which the swarm is known by the first 40 (BEP 52).
fn info_hash(hex: &str) -> Option<InfoHash> {
    let long = bytes_of_hex(hex).map(|hash| Hash32(hash).truncated());
    bytes_of_hex(hex).map(InfoHash).or(long)
}

/// `lmk keygen`.
pub fn keygen(given: &ArgMatches) -> Result<Typed, String> {
    Ok(alone(Wish::Keygen { out: path(given, "out")? }))
}

/// Work that takes none of the flags of a role.
fn alone(wish: Wish) -> Typed {
    Typed::Work { wish: Box::new(wish), common: Common::default() }
}
