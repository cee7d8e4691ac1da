//! `lmk states`: the transition tables of both halves of a peer, as the code has them.

use crate::leecher::link;
use crate::seeder::states::{self as slots, Stand};

fn stand(stand: Stand) -> &'static str {
    match stand {
        Stand::Idle => "IDLE",
        Stand::Queued => "QUEUED",
        Stand::Active => "ACTIVE",
        Stand::Away => "-",
    }
}

/// The rows of the seeder's table: from, event, condition, to, on the wire.
fn slot_rows() -> Vec<[String; 5]> {
    let row = |row: &slots::Row| {
        let says: Vec<&str> = row.says.iter().map(|word| word.text()).collect();
        let says = if says.is_empty() { "nothing".to_owned() } else { says.join(", ") };
        let [from, to] = [row.from, row.to].map(|at| stand(at).to_owned());
        [from, row.event.text().to_owned(), row.when.text().to_owned(), to, says]
    };
    slots::TABLE.iter().map(row).collect()
}

/// The rows of the leecher's table: from, event, to. What stays where it is, is left out.
fn link_rows() -> Vec<[String; 3]> {
    const FROM: [&str; 3] = ["Available", "Connected", "Unavailable"];
    let mut rows = Vec::new();
    for (event, nexts) in link::TABLE {
        for (from, next) in FROM.iter().zip(nexts) {
            if let Some(to) = next.text() {
                rows.push([(*from).to_owned(), event.text().to_owned(), to.to_owned()]);
            }
        }
    }
    rows
}

fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head) + &line(&["---"; N]);
    for row in rows {
        text.push_str(&line(&row.each_ref().map(String::as_str)));
    }
    text
}

/// For a terminal.
pub fn plain() -> String {
    let mut text = String::new();
    for [from, event, when, to, says] in slot_rows() {
        let when = if when.is_empty() { when } else { format!(" ({when})") };
        text.push_str(&format!("seeder   {from:6} -> {to:6}  {event}{when}: {says}\n"));
    }
    for [from, event, to] in link_rows() {
        text.push_str(&format!("leecher  {from} -> {to}  {event}\n"));
    }
    text
}

/// The document `docs/states.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# States\n\nMade by `lmk states --markdown` from `src/seeder/states.rs` and \
         `src/leecher/link.rs`; a test fails when they\ndiffer.\n\n\
         ## A leecher at the seeder's slots\n\n\
         What the customer calls Connected is ACTIVE here: it holds a slot and is served, \
         unchoked. IDLE is Available while a\nslot is free, else Unavailable; \
         QUEUED is Unavailable, with a place in the queue. `-` is no conversation. What goes \
         on\nthe wire goes in this order, in one write; `state` is `lmk_state` (`docs/wire.md`), \
         at most 4 a second and 8 at once,\n\
         and only for peers that speak it: stock clients get the same by choke and unchoke, and a \
         keep-alive every 8 s while\nthey are QUEUED.\n\n\
         Law: no slot is free while somebody is QUEUED.\n\n",
    );
    text.push_str(&table(["from", "event", "when", "to", "on the wire"], &slot_rows()));
    text.push_str(
        "\n## A source at the leecher's link\n\nA link begins Unavailable. Choke and unchoke are \
         trusted over words. What is not listed changes nothing.\n\n",
    );
    text.push_str(&table(["from", "event", "to"], &link_rows()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_one_the_code_makes() {
        assert!(
            include_str!("../../docs/states.md") == markdown(),
            "docs/states.md is old: cargo run -- states --markdown > docs/states.md"
        );
    }
}
