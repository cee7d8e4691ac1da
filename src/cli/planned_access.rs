//! Tokens and keys, from where they stand: the command line, the environment, a file.

use super::machine::Machine;
use super::planned::absolute;
use super::tracker_url::TrackerUrl;
use super::typed::{Access, Publisher, TokenFrom};
use crate::core::fault::Fatal;
use crate::core::report::{Ending, foreign};
use crate::jobs::plan::{KeygenPlan, TokenAsk, TokenPlan};
use crate::node::plan::Want;
use crate::tracker::plan::AccessPlan;
use crate::wire::catalogue::signature::{KEY_PREFIX, PublicKey, SECRET_PREFIX, SecretKey};
use crate::wire::token::{self, Bearer};
use std::path::{Path, PathBuf};

/// Most bytes of a file that holds a token or a key.
const SMALL_BYTES_MAX: u64 = 4096;

/// The file of the keys of tokens, in the state directory.
const KEYS_FILE: &str = "token.keys";

fn usage(line: String) -> Fatal {
    Fatal { ending: Ending::Usage, line }
}

/// A file that the command line names: its bytes, and how it is shown.
fn load(path: &Path, machine: &Machine) -> Result<(Vec<u8>, String), Fatal> {
    let shown = foreign(&path.to_string_lossy());
    let bytes = (machine.load)(&absolute(path, machine), SMALL_BYTES_MAX).map_err(|error| {
        Fatal { ending: Ending::Disk, line: format!("cannot read {shown}: {error}") }
    })?;
    Ok((bytes, shown))
}

/// The token of a client. What the command line says comes before the environment.
pub fn token(from: &TokenFrom, machine: &Machine) -> Result<Option<Bearer>, Fatal> {
    let read = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|t| Bearer::read(t.trim()));
    match from {
        TokenFrom::Given(bearer) => Ok(Some(bearer.clone())),
        TokenFrom::File(path) => {
            let (bytes, shown) = load(path, machine)?;
            let none = || usage(format!("{shown} holds no token; `lmk token` makes one"));
            read(&bytes).map(Some).ok_or_else(none)
        }
        TokenFrom::Elsewhere => match &machine.token {
            None => Ok(None),
            Some(secret) => read(secret.0.as_encoded_bytes())
                .map(Some)
                .ok_or_else(|| usage("LMK_TOKEN holds no token; `lmk token` makes one".into())),
        },
    }
}

/// Puts the token that a probe was given where a tracker looks for it: into the query of its URL.
pub fn show(url: &mut TrackerUrl, from: &TokenFrom, machine: &Machine) -> Result<(), Fatal> {
    if *from == TokenFrom::Elsewhere {
        return Ok(());
    }
    if token::in_url_data(url.path.as_bytes()).is_some() {
        return Err(usage("there is a token in the URL already; leave --token out".into()));
    }
    let Some(bearer) = self::token(from, machine)? else { return Ok(()) };
    if url.path.is_empty() {
        url.path.push_str("/announce");
    }
    url.path.push(if url.path.contains('?') { '&' } else { '?' });
    url.path.push_str(&bearer.pair());
    Ok(())
}

/// The key that `--sign FILE` names.
pub fn sign(path: &Path, machine: &Machine) -> Result<SecretKey, Fatal> {
    let (bytes, shown) = load(path, machine)?;
    let none = || usage(format!("{shown} holds no secret key; `lmk keygen` makes one"));
    SecretKey::read_file(&bytes).ok_or_else(none)
}

/// The want with the key of `--publisher`.
pub fn want(
    mut want: Want,
    publisher: Option<Publisher>,
    machine: &Machine,
) -> Result<Want, Fatal> {
    let key = match publisher {
        None => return Ok(want),
        Some(Publisher::Key(key)) => key,
        Some(Publisher::File(path)) => public_key(&path, machine)?,
    };
    if want.publisher.is_some_and(|other| other != key) {
        return Err(usage("--publisher and the pin in --want name two keys".into()));
    }
    want.publisher = Some(key);
    Ok(want)
}

fn public_key(path: &Path, machine: &Machine) -> Result<PublicKey, Fatal> {
    let (bytes, shown) = load(path, machine)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.trim_start().starts_with(SECRET_PREFIX) {
        let line =
            format!("{shown} is a secret key; --publisher takes the one `lmk keygen` printed");
        return Err(usage(line));
    }
    let mut lines = text.lines().map(str::trim);
    let key = lines.find_map(|line| super::values::public_key(line).ok());
    key.ok_or_else(|| usage(format!("{shown} holds no public key; it begins with {KEY_PREFIX}")))
}

/// Whom a tracker answers.
pub fn access(typed: Access, machine: &Machine) -> Result<AccessPlan, Fatal> {
    let all = |paths: Vec<PathBuf>| paths.iter().map(|path| absolute(path, machine)).collect();
    Ok(AccessPlan {
        keys_file: typed.private.then(|| keys_file(machine)).transpose()?,
        public: typed.public,
        allow: all(typed.allow),
        deny: all(typed.deny),
    })
}

fn keys_file(machine: &Machine) -> Result<PathBuf, Fatal> {
    state(machine).map(|state| state.join(KEYS_FILE))
}

fn state(machine: &Machine) -> Result<&PathBuf, Fatal> {
    let none = "there is no place for keys: set HOME or XDG_STATE_HOME to an absolute path";
    machine.state.as_ref().ok_or_else(|| usage(none.into()))
}

pub fn token_plan(ask: TokenAsk, machine: &Machine) -> Result<TokenPlan, Fatal> {
    Ok(TokenPlan {
        keys_file: keys_file(machine)?,
        ask,
        wall_s: machine.wall_start_s,
        secret: machine.random.secret,
    })
}

pub fn keygen_plan(out: Option<PathBuf>, machine: &Machine) -> Result<KeygenPlan, Fatal> {
    let out = match out {
        Some(out) => absolute(&out, machine),
        None => state(machine)?.join("publisher.key"),
    };
    Ok(KeygenPlan { out, secret: SecretKey(machine.random.secret) })
}
