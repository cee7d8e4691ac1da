//! What was typed about taking part in swarms: how many peers, how much a second, in which order.

use super::typed::{count, text};
use super::values;
use crate::core::limits::CONVERSATIONS_MAX;
use crate::core::throttle::Limit;
use crate::leecher::picker::Order;
use crate::swarm::Terms;
use clap::ArgMatches;

/// Flags of both kinds of peer.
pub(super) fn terms(given: &ArgMatches) -> Result<Terms, String> {
    let most = CONVERSATIONS_MAX as u32;
    Ok(Terms {
        conversations_max: count(given, "max-peers", most, most)? as usize,
        limit_up: limit(given, "limit-up")?,
        limit_down: limit(given, "limit-down")?,
        local: !given.get_flag("no-local"),
        ..Terms::default()
    })
}

fn limit(given: &ArgMatches, flag: &'static str) -> Result<Limit, String> {
    let Some(text) = text(given, flag)? else { return Ok(None) };
    values::rate(text).map(Some).map_err(|why| format!("--{flag}: {why}"))
}

/// A leecher's `--order`.
pub(super) fn order(given: &ArgMatches) -> Result<Order, String> {
    match text(given, "order")? {
        None | Some("rarest") => Ok(Order::Rarest),
        Some("sequential") => Ok(Order::Sequential),
        Some(_) => Err("--order: write rarest or sequential".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::typed::{Peer, Typed, Wish, read};
    use super::*;
    use std::ffi::OsString;
    use std::num::NonZeroU64;

    fn peer(line: &str) -> Result<Peer, String> {
        match read(line.split_whitespace().map(OsString::from))? {
            Typed::Work { wish, .. } => match *wish {
                Wish::Seed { peer, .. } | Wish::Fetch { peer, .. } => Ok(peer),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn terms_are_read_and_nothing_said_is_no_limit() {
        let usual = Terms { local: true, ..Terms::default() };
        assert_eq!(peer("lmk leecher --want x").unwrap().terms, usual);
        let line = "--max-peers 7 --limit-up 500K --limit-down 2M --no-local";
        for command in ["seeder --file x", "leecher --want x"] {
            let terms = peer(&format!("lmk {command} {line}")).unwrap().terms;
            assert_eq!((terms.conversations_max, terms.local), (7, false));
            let limits = [terms.limit_up, terms.limit_down].map(|l| l.map_or(0, NonZeroU64::get));
            assert_eq!(limits, [500 << 10, 2 << 20]);
        }
        let terms = peer("lmk leecher --want x --order sequential").unwrap().terms;
        assert_eq!(terms.order, Order::Sequential);
        for wrong in ["--max-peers 0", "--limit-up 0", "--limit-down 5Q", "--order random"] {
            let said = peer(&format!("lmk leecher --want x {wrong}")).expect_err(wrong);
            assert!(said.starts_with(wrong.split(' ').next().unwrap()), "{said}");
        }
    }
}
