//! `/metrics`: figures in the text format of Prometheus, version 0.0.4.

use crate::tracker::desk::Desk;
use crate::tracker::figures::Kind;
use std::fmt::Write as _;

pub const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric: its name without the prefix, its type, what it says.
struct Metric(&'static str, &'static str, &'static str);

/// The text, one metric after the other. All names begin with `lmk_`, labels are words of ours.
pub fn text(desk: &Desk<'_>) -> String {
    let mut text = String::new();
    let figures = &desk.figures;
    let by_kind = |pick: &dyn Fn((u64, u64, u64)) -> u64| {
        Kind::ALL.map(|(kind, name)| (format!("kind=\"{name}\""), pick(figures.of(kind))))
    };
    let counter = "counter";
    let rows = by_kind(&|(received, _, _)| received);
    add(&mut text, Metric("datagrams_received_total", counter, "Datagrams received."), &rows);
    let rows = by_kind(&|(_, answered, _)| answered);
    add(&mut text, Metric("datagrams_sent_total", counter, "Datagrams answered."), &rows);
    let rows = by_kind(&|(_, _, dropped)| dropped);
    add(&mut text, Metric("datagrams_dropped_total", counter, "Left without an answer."), &rows);
    let way = |udp_in, udp_out, tcp_in, tcp_out| {
        let row = |way: &str, by: &str, n| (format!("direction=\"{way}\",over=\"{by}\""), n);
        let udp = [row("in", "udp", udp_in), row("out", "udp", udp_out)];
        [udp, [row("in", "tcp", tcp_in), row("out", "tcp", tcp_out)]].concat()
    };
    let rows = way(
        figures.datagram_bytes_in,
        figures.datagram_bytes_out,
        figures.stream_bytes_in,
        figures.stream_bytes_out,
    );
    add(&mut text, Metric("bytes_total", counter, "Bytes of payload."), &rows);
    let announces = figures.of(Kind::Announce).1;
    let over = |by: &str, n| (format!("over=\"{by}\""), n);
    let rows = [over("udp", announces), over("http", desk.pages.announces)];
    add(&mut text, Metric("announces_total", counter, "Announces answered."), &rows);
    let rows = [over("udp", figures.of(Kind::Scrape).1), over("http", desk.pages.scrapes)];
    add(&mut text, Metric("scrapes_total", counter, "Scrapes answered."), &rows);
    let rows = desk.registry.tables().map(|(table, n)| (format!("table=\"{table}\""), n as u64));
    add(&mut text, Metric("table_rows", "gauge", "Lengths of tables."), &rows.collect::<Vec<_>>());
    singles(desk, &mut text);
    text
}

/// Metrics without labels.
fn singles(desk: &Desk<'_>, text: &mut String) {
    let (figures, registry) = (&desk.figures, &*desk.registry);
    let nodes = registry.nodes();
    let registrations = &registry.registrations;
    let (counter, gauge) = ("counter", "gauge");
    let store = registry.keeping.row().unwrap_or_default();
    let rows = [
        (Metric("http_requests_total", counter, "HTTP requests."), desk.pages.asked),
        (Metric("connections_total", counter, "Connections taken."), figures.connections),
        (
            Metric("connections_dropped_total", counter, "Closed for what they said."),
            figures.connections_dropped,
        ),
        (Metric("connections", gauge, "Connections open."), figures.open),
        (Metric("names", gauge, "Names listed."), registry.names.listed()),
        (Metric("swarms", gauge, "Swarms with a peer."), registry.swarms.active() as u64),
        (Metric("peers", gauge, "Peers in all swarms."), registry.swarms.peers() as u64),
        (Metric("seeders", gauge, "Nodes that have it all."), nodes.complete.into()),
        (Metric("leechers", gauge, "Nodes that do not."), nodes.incomplete.into()),
        (Metric("fleet_nodes", gauge, "Nodes shown with their part."), registry.fleet.len() as u64),
        (
            Metric("registered_nodes", gauge, "Nodes that registered contents."),
            registrations.nodes() as u64,
        ),
        (
            Metric("registered_contents", gauge, "Contents they registered."),
            registrations.bound() as u64,
        ),
        (Metric("commits_total", counter, "Transactions of the database."), store.commits),
        (
            Metric("commit_longest_us", gauge, "The longest commit, microseconds."),
            store.longest.0 / 1000,
        ),
        (
            Metric("slice_longest_us", gauge, "The longest commit of peers, microseconds."),
            store.longest_slice.0 / 1000,
        ),
        (
            Metric("checkpoint_longest_us", gauge, "The longest move of the log, microseconds."),
            store.longest_checkpoint.0 / 1000,
        ),
        (Metric("unsaved_changes", gauge, "Changes not written yet."), store.unsaved),
        (
            Metric("not_saving", gauge, "1 while nothing can be saved."),
            store.trouble.is_some().into(),
        ),
        (Metric("watch_bytes", gauge, "Bytes kept for watches."), registry.watch_bytes as u64),
        (
            Metric("catalogue_generation", gauge, "Number of the catalogue's last change."),
            registry.names.generation(),
        ),
        (Metric("uptime_seconds", gauge, "Seconds since the start."), desk.now.secs()),
    ];
    for (metric, value) in rows {
        add(text, metric, &[(String::new(), value)]);
    }
}

fn add(text: &mut String, Metric(name, kind, help): Metric, rows: &[(String, u64)]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP lmk_{name} {help}\n# TYPE lmk_{name} {kind}");
    for (labels, value) in rows {
        let _ = match labels.is_empty() {
            true => writeln!(text, "lmk_{name} {value}"),
            false => writeln!(text, "lmk_{name}{{{labels}}} {value}"),
        };
    }
}
