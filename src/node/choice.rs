//! Which of the entries under a name is meant. Two different contents under one name are never
//! chosen between silently: a name is no identity.

use super::plan::{Pin, Want};
use crate::core::fault::Fatal;
use crate::core::id::Hash32;
use crate::core::report::{Ending, bytes_text, foreign};
use crate::wire::catalogue::entry::Listed;
use crate::wire::catalogue::signature::PublicKey;

/// The one entry that `want` means.
pub fn choose(want: &Want, entries: Vec<Listed>) -> Result<Listed, Fatal> {
    let name = foreign(&want.name);
    let named = entries.iter().any(|listed| listed.entry.name == want.name);
    let mut fitting: Vec<Listed> = entries
        .into_iter()
        .filter(|listed| listed.entry.name == want.name && fits(listed, want.pin.as_ref()))
        .collect();
    if let Some(publisher) = want.publisher {
        keep_signed(&mut fitting, publisher, &name)?;
    }
    if fitting.iter().any(|listed| listed.entry.sha256.is_some()) {
        let by_sha256 = matches!(want.pin, Some(Pin::Sha256(_)));
        fitting.retain(|listed| !by_sha256 || listed.entry.sha256.is_some());
    }
    newest_of_each_owner(&mut fitting, want.pin.is_some());
    match fitting.len() {
        0 if named => {
            let line = match want.publisher {
                Some(key) => format!("{name} is there, but nothing that {key} signed fits"),
                None => format!("{name} is there, but no version of it fits the pin after @"),
            };
            Err(Fatal { ending: Ending::NotFound, line })
        }
        0 => {
            let line = format!(
                "no content is named {name}; is it spelled as the seeder printed it? \
                 With --wait it is fetched once somebody publishes it"
            );
            Err(Fatal { ending: Ending::NotFound, line })
        }
        1 => Ok(fitting.remove(0)),
        n => Err(Fatal { ending: Ending::Ambiguous, line: ambiguous(&name, n, &fitting) }),
    }
}

/// Keeps what the wanted publisher signed. The signature is checked here: the tracker is not
/// trusted with it. An entry that only claims to be signed is worse than none.
fn keep_signed(fitting: &mut Vec<Listed>, publisher: PublicKey, name: &str) -> Result<(), Fatal> {
    let signed =
        |listed: &Listed| listed.entry.signed.as_ref().filter(|s| s.key == publisher).cloned();
    fitting.retain(|listed| signed(listed).is_some());
    let claimed = fitting.len();
    fitting.retain(|listed| signed(listed).is_some_and(|signed| signed.is_of(&listed.entry)));
    if fitting.is_empty() && claimed > 0 {
        let line = format!("the signature of {name} is not {publisher}'s; nothing was fetched");
        return Err(Fatal { ending: Ending::Verification, line });
    }
    Ok(())
}

fn fits(listed: &Listed, pin: Option<&Pin>) -> bool {
    let starts = |hash: Option<String>, digits: &str| hash.is_some_and(|h| h.starts_with(digits));
    match pin {
        None => true,
        Some(Pin::Hash(digits)) => {
            starts(listed.entry.v2.map(|hash| hash.to_string()), digits)
                || starts(listed.entry.v1.map(|hash| hash.to_string()), digits)
        }
        // Where the list does not say it, the file itself is asked, once it is there.
        Some(Pin::Sha256(hash)) => listed.entry.sha256.is_none_or(|own| own == Hash32(*hash)),
    }
}

/// An owner's newest version stands for its older ones, unless a pin asks for one of them. Equal
/// contents of several owners are one.
fn newest_of_each_owner(fitting: &mut Vec<Listed>, pinned: bool) {
    fitting.sort_by_key(|listed| std::cmp::Reverse(listed.generation));
    let mut kept: Vec<Listed> = Vec::new();
    for listed in fitting.drain(..) {
        let same_content =
            |k: &Listed| (k.entry.v1, k.entry.v2) == (listed.entry.v1, listed.entry.v2);
        let older = |k: &Listed| !pinned && k.owner.is_some() && k.owner == listed.owner;
        if !kept.iter().any(|k| same_content(k) || older(k)) {
            kept.push(listed);
        }
    }
    *fitting = kept;
}

fn ambiguous(name: &str, n: usize, fitting: &[Listed]) -> String {
    let each: Vec<String> = fitting
        .iter()
        .map(|listed| {
            let hash = listed.entry.v2.map(|hash| hash.to_string());
            let hash = hash.or_else(|| listed.entry.v1.map(|hash| hash.to_string()));
            let digits: String = hash.unwrap_or_default().chars().take(8).collect();
            let sources = match listed.complete {
                1 => "1 source".to_owned(),
                n => format!("{n} sources"),
            };
            format!("{name}@{digits} ({}, {sources})", bytes_text(listed.entry.size))
        })
        .collect();
    format!("{n} different contents are named {name}: {}; want one of these", each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::InfoHash;
    use crate::wire::catalogue::entry::Entry;
    use crate::wire::catalogue::hello::Owner;
    use crate::wire::catalogue::signature::SecretKey;

    fn listed(hash: u8, owner: u8, generation: u64) -> Listed {
        Listed {
            entry: Entry {
                name: "big.zip".into(),
                v1: None,
                v2: Some(Hash32([hash; 32])),
                size: 1000,
                piece_bytes: 16384,
                flags: 2,
                sha256: None,
                signed: None,
            },
            generation,
            time_s: 0,
            owner: Some(Owner([owner; 8])),
            complete: 1,
            incomplete: 0,
            available: 0,
        }
    }

    fn want(pin: Option<&str>) -> Want {
        let pin = pin.map(|digits| Pin::Hash(digits.into()));
        Want { name: "big.zip".into(), pin, publisher: None }
    }

    #[test]
    fn two_owners_with_different_contents_are_never_chosen_between() {
        let fatal = choose(&want(None), vec![listed(1, 1, 1), listed(2, 2, 2)]).unwrap_err();
        assert_eq!(fatal.ending, Ending::Ambiguous);
        for said in ["big.zip@01010101", "big.zip@02020202", "1000 B", "1 source)"] {
            assert!(fatal.line.contains(said), "{}", fatal.line);
        }
        let chosen = choose(&want(Some("01010101")), vec![listed(1, 1, 1), listed(2, 2, 2)]);
        assert_eq!(chosen.unwrap().entry.v2, Some(Hash32([1; 32])));
    }

    #[test]
    fn the_same_owners_newest_version_is_meant_and_an_older_one_by_its_pin() {
        let both = || vec![listed(1, 1, 1), listed(2, 1, 2)];
        assert_eq!(choose(&want(None), both()).unwrap().entry.v2, Some(Hash32([2; 32])));
        let older = choose(&want(Some("01010101")), both()).unwrap();
        assert_eq!(older.entry.v2, Some(Hash32([1; 32])));
    }

    #[test]
    fn equal_contents_of_two_owners_are_one() {
        assert!(choose(&want(None), vec![listed(1, 1, 1), listed(1, 2, 2)]).is_ok());
    }

    #[test]
    fn a_pin_by_sha256_takes_the_entry_that_says_it_and_else_the_only_one_that_may_be_it() {
        let pin = Some(Pin::Sha256([9; 32]));
        let want = Want { name: "big.zip".into(), pin, publisher: None };
        let says = |hash: u8, sha256: Option<u8>| {
            let mut listed = listed(hash, hash, hash.into());
            listed.entry.sha256 = sha256.map(|byte| Hash32([byte; 32]));
            listed
        };
        let chosen = choose(&want, vec![says(1, None), says(2, Some(9)), says(3, Some(8))]);
        assert_eq!(chosen.unwrap().entry.v2, Some(Hash32([2; 32])));
        assert_eq!(choose(&want, vec![says(1, None)]).unwrap().entry.v2, Some(Hash32([1; 32])));
        let two = choose(&want, vec![says(1, None), says(2, None)]).unwrap_err();
        assert_eq!(two.ending, Ending::Ambiguous);
        assert_eq!(choose(&want, vec![says(3, Some(8))]).unwrap_err().ending, Ending::NotFound);
    }

    #[test]
    fn only_what_the_wanted_publisher_signed_is_taken() {
        let (ann, eve) = (SecretKey([1; 32]), SecretKey([2; 32]));
        let signed = |hash: u8, key: &SecretKey| {
            let mut listed = listed(hash, hash, hash.into());
            listed.entry.signed = Some(Box::new(key.sign(&listed.entry)));
            listed
        };
        let want = Want { publisher: Some(ann.public()), ..want(None) };
        let all = vec![listed(3, 3, 30), signed(2, &eve), signed(1, &ann)];
        assert_eq!(choose(&want, all).unwrap().entry.v2, Some(Hash32([1; 32])));
        let others = choose(&want, vec![listed(3, 3, 30), signed(2, &eve)]).unwrap_err();
        assert_eq!(others.ending, Ending::NotFound, "{}", others.line);
        for lie in [
            |listed: &mut Listed| listed.entry.v2 = Some(Hash32([9; 32])),
            |listed: &mut Listed| listed.entry.v1 = Some(InfoHash([9; 20])),
            |listed: &mut Listed| listed.entry.size += 1,
            |listed: &mut Listed| listed.entry.signed.as_mut().unwrap().signature[5] ^= 1,
        ] {
            let mut lied = signed(1, &ann);
            lie(&mut lied);
            let refused = choose(&want, vec![lied, listed(3, 3, 30)]).unwrap_err();
            assert_eq!(refused.ending, Ending::Verification, "{}", refused.line);
        }
        let mut named = signed(1, &ann);
        named.entry.name = "other".into();
        let other = Want { name: "other".into(), ..want.clone() };
        assert_eq!(choose(&other, vec![named]).unwrap_err().ending, Ending::Verification);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(choose(&want(None), vec![]).unwrap_err().ending, Ending::NotFound);
        let pinned = choose(&want(Some("ffffffff")), vec![listed(1, 1, 1)]).unwrap_err();
        assert_eq!(pinned.ending, Ending::NotFound);
        assert!(pinned.line.contains("pin"));
    }
}
