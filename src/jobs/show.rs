//! What a job says: rows whose columns have fixed widths, with the name last, so that a list of
//! millions is written as it comes; and the same as facts.

use crate::announce::control::Ready;
use crate::core::report::{Event, bytes_text, counted, foreign};
use crate::core::time::Span;
use crate::wire::catalogue::answer::Stat;
use crate::wire::catalogue::entry::{Listed, flag};

/// The line above the rows of [`row`].
pub const HEAD: &str = "      SIZE  SOURCES  LEECHERS  CHANGED       HASH      NAME";

/// One entry of a list.
pub fn row(listed: &Listed, unix_s: u64) -> Event {
    let digits: String = hash(listed).chars().take(8).collect();
    let line = format!(
        "{:>10}  {:>7}  {:>8}  {:<12}  {digits}  {}",
        bytes_text(listed.entry.size),
        listed.complete,
        listed.incomplete,
        ago(listed.time_s, unix_s),
        foreign(&listed.entry.name),
    );
    facts(Event::result("entry", line), listed)
}

/// One content of a name, a line for each thing that is known of it.
pub fn content(listed: &Listed, unix_s: u64) -> Vec<Event> {
    let entry = &listed.entry;
    let pieces = entry.size.div_ceil(u64::from(entry.piece_bytes.max(1)));
    let mut lines = vec![
        ("name", foreign(&entry.name)),
        ("size", format!("{} ({} bytes)", bytes_text(entry.size), entry.size)),
        ("pieces", format!("{pieces} of {}", bytes_text(entry.piece_bytes.into()))),
    ];
    lines.extend(entry.v2.map(|hash| ("v2", hash.to_string())));
    lines.extend(entry.v1.map(|hash| ("v1", hash.to_string())));
    lines.extend(entry.sha256.map(|hash| ("sha256", hash.to_string())));
    lines.extend(signer(listed).map(|said| ("signed", said)));
    lines.extend(listed.owner.map(|owner| ("owner", hex(&owner.0))));
    let kept = entry.flags & flag::METAINFO != 0;
    lines.push(("metainfo", if kept { "with the tracker" } else { "with the sources" }.to_owned()));
    lines.push(("changed", ago(listed.time_s, unix_s)));
    lines.push(("sources", listed.complete.to_string()));
    lines.push(("leechers", listed.incomplete.to_string()));
    let line = |(key, value): (&str, String)| Event::result("entry", format!("{key:<9} {value}"));
    lines.into_iter().map(line).collect()
}

/// The tracker itself, a line for each figure.
pub fn status(tracker: &str, ready: &Ready, stat: &Stat) -> Vec<(&'static str, String)> {
    let mut lines = vec![("tracker", foreign(tracker))];
    let up = ready.age_s.map(|age_s| Span::secs(age_s.into()));
    lines.extend(up.map(|up| ("up", up.to_string())));
    lines.push(("network", if ready.is_open() { "open" } else { "this machine only" }.to_owned()));
    lines.push(("names", stat.names.to_string()));
    lines.push(("sources", stat.seeders.to_string()));
    lines.push(("leechers", stat.leechers.to_string()));
    if let Some(not) = &stat.not_saving {
        let (began, waiting) = (ago(not.since_s, stat.time_s), counted(not.changes, "change"));
        lines.push(("trouble", format!("{} (began {began}; {waiting} waiting)", not.why)));
    }
    lines
}

/// The same as facts of one event.
pub fn status_facts(tracker: &str, ready: &Ready, stat: &Stat) -> Event {
    let (names, sources) = (counted(stat.names, "name"), counted(stat.seeders, "source"));
    let line = format!("{tracker}: {names}, {sources}");
    let event = Event::result("status", line).text("tracker", tracker);
    let event = match ready.age_s {
        Some(age_s) => event.number("up_s", age_s.into()),
        None => event,
    };
    let event = event.flag("open", ready.is_open()).number("names", stat.names);
    let event = event.number("sources", stat.seeders).number("leechers", stat.leechers);
    let event = event.text("generation", stat.generation.to_string());
    let event = event.number("time_s", stat.time_s);
    match &stat.not_saving {
        None => event,
        Some(not) => event
            .text("not_saving", not.why.clone())
            .number("not_saving_since_s", not.since_s)
            .number("unsaved_changes", not.changes),
    }
}

/// Adds everything that is known of an entry. The name is the exact one, by the rule for names.
pub fn facts(event: Event, listed: &Listed) -> Event {
    let entry = &listed.entry;
    let mut event = event.text("name", entry.name.as_str()).number("size", entry.size);
    event = event.number("piece_bytes", entry.piece_bytes.into());
    for (key, hash) in [
        ("v1", entry.v1.map(|hash| hash.to_string())),
        ("v2", entry.v2.map(|hash| hash.to_string())),
        ("sha256", entry.sha256.map(|hash| hash.to_string())),
        ("owner", listed.owner.map(|owner| hex(&owner.0))),
        ("signer", entry.signed.as_ref().filter(|s| s.is_of(entry)).map(|s| s.key.to_string())),
    ] {
        if let Some(hash) = hash {
            event = event.text(key, hash);
        }
    }
    let event = event.number("sources", listed.complete.into());
    let event = event.number("leechers", listed.incomplete.into());
    // More than 2^53, where most readers of JSON lose digits of a number.
    let event = event.text("generation", listed.generation.to_string());
    let event = event.number("time_s", listed.time_s);
    event.flag("metainfo", entry.flags & flag::METAINFO != 0)
}

/// Who signed an entry. It is checked here: a tracker may say what it likes.
fn signer(listed: &Listed) -> Option<String> {
    let signed = listed.entry.signed.as_ref()?;
    Some(match signed.is_of(&listed.entry) {
        true => signed.key.to_string(),
        false => format!("WRONG: not by {}", signed.key),
    })
}

fn hash(listed: &Listed) -> String {
    let v2 = listed.entry.v2.map(|hash| hash.to_string());
    v2.or_else(|| listed.entry.v1.map(|hash| hash.to_string())).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long before `unix_s` something was, by the tracker's clock.
fn ago(time_s: u64, unix_s: u64) -> String {
    let s = unix_s.saturating_sub(time_s);
    match s {
        0..60 => format!("{s} s ago"),
        60..3600 => format!("{} min ago", s / 60),
        3600..172_800 => format!("{} h ago", s / 3600),
        _ => format!("{} d ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::{Hash32, InfoHash};
    use crate::core::time::Time;
    use crate::wire::catalogue::answer::NotSaving;
    use crate::wire::catalogue::entry::Entry;

    #[test]
    fn trouble_with_saving_is_a_line_and_facts() {
        let why = "not saving: disk full".to_owned();
        let not_saving = Some(NotSaving { why, since_s: 900, changes: 1 });
        let (names, generation, seeders, leechers) = (1, 1 << 55, 2, 3);
        let stat = Stat { names, generation, time_s: 1000, seeders, leechers, not_saving };
        let ready = Ready {
            ticket: [0; 24],
            nonce: [0; 8],
            until: Time::ZERO,
            catalogue: "127.0.0.1:6969".parse().unwrap(),
            caps: 0,
            generation,
            names,
            max_frame: 4096,
            max_page: 1,
            age_s: None,
        };
        let lines = status("box", &ready, &stat);
        let said = "not saving: disk full (began 1 min ago; 1 change waiting)".to_owned();
        assert_eq!(lines.last(), Some(&("trouble", said)));
        assert_eq!(status_facts("box", &ready, &stat).line, "box: 1 name, 2 sources");
    }

    #[test]
    fn rows_stand_under_their_heads_and_names_cannot_steer_the_terminal() {
        let listed = |name: &str, size, complete| Listed {
            entry: Entry {
                name: name.into(),
                v1: Some(InfoHash([0x11; 20])),
                v2: Some(Hash32([0xab; 32])),
                size,
                piece_bytes: 16_384,
                flags: 3,
                sha256: None,
                signed: None,
            },
            generation: 9,
            time_s: 1000,
            owner: None,
            complete,
            incomplete: 7,
            available: 0,
        };
        let rows = [
            row(&listed("big.zip", 1023 << 20, 3), 1042).line,
            row(&listed("a\u{200b}b", 0, 4_000_000), 1000 + 900 * 86_400).line,
        ];
        assert_eq!(rows[0], "1023.0 MiB        3         7  42 s ago      abababab  big.zip");
        assert_eq!(rows[1], "       0 B  4000000         7  900 d ago     abababab  a\u{fffd}b");
        assert_eq!(HEAD.find("NAME"), rows[0].find("big.zip"));
        assert_eq!(HEAD.find("HASH"), rows[0].find("abababab"));
        assert_eq!(HEAD.find("CHANGED"), rows[0].find("42 s"));
    }
}
