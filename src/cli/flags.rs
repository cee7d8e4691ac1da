//! One table of commands and flags; the parser and every help text are made from it.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command};

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    /// Nothing, and may be repeated for more of it.
    Count,
    /// One value, shown under this name.
    Value(&'static str),
    /// One value, and may be repeated for more.
    Each(&'static str),
    /// One value, which may be left out.
    Maybe(&'static str),
    /// One value that must be given.
    Needed(&'static str),
    /// One value without the name of the flag before it.
    Bare(&'static str),
    /// The same, and it must be given.
    BareNeeded(&'static str),
}

pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    pub help: &'static str,
    /// The commands that know it.
    pub on: &'static [&'static str],
}

impl Flag {
    /// How it is typed: a bare value shows its own name.
    pub fn shown(&self) -> String {
        match self.takes {
            Takes::Bare(shown) | Takes::BareNeeded(shown) => shown.to_owned(),
            _ => format!("--{}", self.name),
        }
    }
}

pub struct CommandRow {
    pub name: &'static str,
    pub about: &'static str,
    pub examples: &'static str,
}

const PEERS: &[&str] = &["seeder", "leecher"];
const WEB: &[&str] = &["seeder", "leecher", "probe"];
const CLIENTS: &[&str] = &["seeder", "leecher", "ls", "info", "status"];
const ROLES: &[&str] =
    &["tracker", "seeder", "leecher", "ls", "info", "status", "probe", "create", "show", "verify"];

#[rustfmt::skip]
pub const FLAGS: &[Flag] = &[
    Flag { name: "bind", short: None, takes: Takes::Value("ADDR[:PORT]"), on: &["tracker"],
        help: "Where to listen [default: 127.0.0.1:6969]; 0.0.0.0 or [::] opens it to the network" },
    Flag { name: "keep-names", short: None, takes: Takes::Value("DURATION"), on: &["tracker"],
        help: "How long a name without a source stays listed [default: 24h]" },
    Flag { name: "private", short: None, takes: Takes::Nothing, on: &["tracker"],
        help: "Answer only those who show a token of `lmk token`" },
    Flag { name: "allow", short: None, takes: Takes::Each("FILE"), on: &["tracker"],
        help: "Only these: a file of info-hashes and networks, one a line; may be repeated" },
    Flag { name: "deny", short: None, takes: Takes::Each("FILE"), on: &["tracker"],
        help: "None of these: a file of info-hashes and networks, one a line; may be repeated" },
    Flag { name: "db", short: None, takes: Takes::Value("FILE|none"), on: &["tracker"],
        help: "Where names are kept [default: tracker.db in the state directory]; none = in memory" },
    Flag { name: "max-peers", short: None, takes: Takes::Value("N"), on: &["tracker"],
        help: "Most peers known at a time [default: 4000000]" },
    Flag { name: "max-swarm-peers", short: None, takes: Takes::Value("N"), on: &["tracker"],
        help: "Most peers of one content [default: 20000]" },
    Flag { name: "max-torrents-per-ip", short: None, takes: Takes::Value("N"), on: &["tracker"],
        help: "Most contents that one public address may announce [default: 4096]" },
    Flag { name: "max-interval", short: None, takes: Takes::Value("DURATION"), on: &["tracker"],
        help: "Longest time between announces, 5s to 1600s [default: 120s]" },
    Flag { name: "site", short: None, takes: Takes::Each("CIDR=NAME"), on: &["tracker"],
        help: "Give peers of one site to each other first; may be repeated" },
    Flag { name: "public", short: None, takes: Takes::Nothing, on: &["tracker"],
        help: "Serve machines outside of private networks; limits per address count for all then" },
    Flag { name: "trace", short: None, takes: Takes::Nothing, on: &["tracker"],
        help: "Tell of each datagram: time, direction, source, bytes in hex and meaning" },
    Flag { name: "file", short: None, takes: Takes::Needed("FILE"), on: &["seeder"],
        help: "The file to offer" },
    Flag { name: "as", short: None, takes: Takes::Value("NAME"), on: &["seeder"],
        help: "Publish under this name instead of the file's own" },
    Flag { name: "slots", short: None, takes: Takes::Value("N"), on: &["seeder"],
        help: "How many leechers are served at once [default: 8]" },
    Flag { name: "write-torrent", short: None, takes: Takes::Value("FILE"), on: &["seeder"],
        help: "Also write a .torrent for stock BitTorrent clients" },
    Flag { name: "sign", short: None, takes: Takes::Value("FILE"), on: &["seeder"],
        help: "Sign what is published with the secret key in FILE, made by `lmk keygen`" },
    Flag { name: "max-peers", short: None, takes: Takes::Value("N"), on: PEERS,
        help: "Most peers it is connected to at a time [default: 4096]" },
    Flag { name: "limit-up", short: None, takes: Takes::Value("RATE"), on: PEERS,
        help: "Send no more than this a second, as 500K or 2M [default: no limit]" },
    Flag { name: "limit-down", short: None, takes: Takes::Value("RATE"), on: PEERS,
        help: "Fetch no more than this a second, as 500K or 2M [default: no limit]" },
    Flag { name: "stats-log", short: None, takes: Takes::Value("FILE"), on: PEERS,
        help: "Append the figures of each second to FILE, one JSON object a line" },
    Flag { name: "want", short: None, takes: Takes::Each("NAME[@PIN]"), on: &["leecher"],
        help: "The name to fetch; a pin is 8 or more digits of its hash, or sha256:HEX; may be repeated" },
    Flag { name: "torrent", short: None, takes: Takes::Each("FILE"), on: &["leecher"],
        help: "What it is, in place of a name or beside it: a .torrent; its trackers are asked; may be repeated" },
    Flag { name: "torrent", short: None, takes: Takes::Value("FILE"), on: &["seeder"],
        help: "What it is, in place of a name: a .torrent; its trackers are asked" },
    Flag { name: "order", short: None, takes: Takes::Value("ORDER"), on: &["leecher"],
        help: "Which pieces first: rarest, or sequential from the beginning [default: rarest]" },
    Flag { name: "magnet", short: None, takes: Takes::Each("URI"), on: &["leecher"],
        help: "A magnet link in place of a name or beside it: what it is, its peers tell; may be repeated" },
    Flag { name: "out", short: Some('d'), takes: Takes::Value("DIR|FILE"), on: &["leecher"],
        help: "Where to write it [default: the working directory, under its own name]; of several, a folder" },
    Flag { name: "files", short: None, takes: Takes::Value("LIST"), on: &["leecher"],
        help: "Only these files of a folder: numbers as in lmk show, ranges, globs: 1,4-6,*.jpg" },
    Flag { name: "overwrite", short: None, takes: Takes::Nothing, on: &["leecher"],
        help: "Replace an existing file that has other content" },
    Flag { name: "keep-seeding", short: None, takes: Takes::Nothing, on: &["leecher"],
        help: "Stay after completion and serve others" },
    Flag { name: "sources", short: None, takes: Takes::Value("N"), on: &["leecher"],
        help: "How many sources it dials and keeps at a time [default: 10]" },
    Flag { name: "timeout", short: None, takes: Takes::Value("DURATION"), on: &["leecher"],
        help: "Give up after so long without a source [default: wait]" },
    Flag { name: "wait", short: None, takes: Takes::Maybe("DURATION"), on: &["leecher"],
        help: "Wait for a name that nobody has published yet [default: do not; without DURATION: for ever]" },
    Flag { name: "publisher", short: None, takes: Takes::Value("KEY|FILE"), on: &["leecher"],
        help: "Take only what was signed with this key: ed25519:HEX, or a file that holds it" },
    Flag { name: "scope", short: None, takes: Takes::Value("SCOPES"), on: &["token"],
        help: "What it may: announce, read, write [default: announce,read,write]" },
    Flag { name: "for", short: None, takes: Takes::Value("HASH"), on: &["token"],
        help: "For one content alone, by its info-hash; such a token may announce" },
    Flag { name: "expires", short: None, takes: Takes::Value("DURATION|never"), on: &["token"],
        help: "How long it counts [default: 30d]" },
    Flag { name: "key", short: None, takes: Takes::Value("ID"), on: &["token"],
        help: "Make it with this key [default: the newest]" },
    Flag { name: "owner", short: None, takes: Takes::Value("TEXT"), on: &["token"],
        help: "Whose names are published with it; equal texts are one owner [default: a new one]" },
    Flag { name: "list", short: None, takes: Takes::Nothing, on: &["token"],
        help: "Show the keys, without their secrets" },
    Flag { name: "new-key", short: None, takes: Takes::Nothing, on: &["token"],
        help: "Make a key; older ones go on counting" },
    Flag { name: "revoke", short: None, takes: Takes::Value("ID"), on: &["token"],
        help: "Revoke a key: no token that was made with it counts any more" },
    Flag { name: "out", short: None, takes: Takes::Value("FILE"), on: &["keygen"],
        help: "Where the secret goes [default: publisher.key beside the other state]" },
    Flag { name: "glob", short: None, takes: Takes::Bare("GLOB"), on: &["ls"],
        help: "Only names that fit, as in '*.iso' [default: all]" },
    Flag { name: "name", short: None, takes: Takes::BareNeeded("NAME"), on: &["info"],
        help: "The name to tell of" },
    Flag { name: "url", short: None, takes: Takes::BareNeeded("TRACKER-URL"), on: &["probe"],
        help: "udp://HOST:PORT/..., http(s)://HOST:PORT/announce..., or HOST[:PORT] for UDP" },
    Flag { name: "hash", short: None, takes: Takes::Bare("HASH"), on: &["probe"],
        help: "What to ask about: 40 or 64 hex digits [default: a hash that nobody has]" },
    Flag { name: "path", short: None, takes: Takes::BareNeeded("PATH"), on: &["create"],
        help: "The file or folder" },
    Flag { name: "out", short: Some('o'), takes: Takes::Value("FILE"), on: &["create"],
        help: "Where the .torrent goes [default: NAME.torrent in the working directory]" },
    Flag { name: "overwrite", short: None, takes: Takes::Nothing, on: &["create"],
        help: "Replace a .torrent that is there" },
    Flag { name: "v1", short: None, takes: Takes::Nothing, on: &["create"],
        help: "SHA-1 alone, as all clients read it (BEP 3)" },
    Flag { name: "v2", short: None, takes: Takes::Nothing, on: &["create"],
        help: "SHA-256 alone (BEP 52)" },
    Flag { name: "hybrid", short: None, takes: Takes::Nothing, on: &["create"],
        help: "Both in one [default]" },
    Flag { name: "piece-length", short: None, takes: Takes::Value("SIZE"), on: &["create"],
        help: "A power of two from 16K to 128M [default: by the size of the content]" },
    Flag { name: "announce", short: None, takes: Takes::Each("URL[,URL]"), on: &["create"],
        help: "A tier of trackers, udp://, http:// or https://; repeated, a further tier" },
    Flag { name: "webseed", short: None, takes: Takes::Each("URL"), on: &["create"],
        help: "Where the same files are served over HTTP; may be repeated" },
    Flag { name: "private", short: None, takes: Takes::Nothing, on: &["create"],
        help: "Clients shall ask these trackers alone for peers (BEP 27)" },
    Flag { name: "comment", short: None, takes: Takes::Value("TEXT"), on: &["create"],
        help: "A line for people" },
    Flag { name: "source", short: None, takes: Takes::Value("TEXT"), on: &["create"],
        help: "A word that gives equal files another info-hash" },
    Flag { name: "date", short: None, takes: Takes::Maybe("SECONDS"), on: &["create"],
        help: "Say when it was made, in seconds since 1970 [default: do not; without SECONDS: now]" },
    Flag { name: "subject", short: None, takes: Takes::BareNeeded("FILE|MAGNET"), on: &["show"],
        help: "A .torrent file or a magnet link" },
    Flag { name: "torrent", short: None, takes: Takes::BareNeeded("FILE"), on: &["verify"],
        help: "The .torrent file" },
    Flag { name: "path", short: None, takes: Takes::BareNeeded("PATH"), on: &["verify"],
        help: "The file or folder it describes, or what that lies in" },
    Flag { name: "lenient", short: None, takes: Takes::Nothing,
        on: &["seeder", "leecher", "show", "verify"],
        help: "Take a v1 torrent whose keys are not sorted; its hash is that of its bytes" },
    Flag { name: "announce-all", short: None, takes: Takes::Nothing, on: &["seeder", "leecher"],
        help: "Ask all tiers of trackers at once [default: a tier when those before it fail]" },
    Flag { name: "token", short: None, takes: Takes::Value("TOKEN"), on: &["probe"],
        help: "Shown to the tracker; LMK_TOKEN is not, as a probe may go anywhere" },
    Flag { name: "token-file", short: None, takes: Takes::Value("FILE"), on: &["probe"],
        help: "A file that holds the token" },
    Flag { name: "tracker", short: None, takes: Takes::Value("HOST[:PORT]|URL"), on: CLIENTS,
        help: "The tracker [default: 127.0.0.1:6969]; or its URL, as a magnet link has it" },
    Flag { name: "token", short: None, takes: Takes::Value("TOKEN"), on: CLIENTS,
        help: "Shown to a tracker that is private (also: LMK_TOKEN in the environment)" },
    Flag { name: "token-file", short: None, takes: Takes::Value("FILE"), on: CLIENTS,
        help: "A file that holds the token" },
    Flag { name: "listen", short: None, takes: Takes::Value("ADDR[:PORT]"), on: PEERS,
        help: "Where to take connections [default: the first free port of 6881-6999]" },
    Flag { name: "ca-file", short: None, takes: Takes::Value("FILE"), on: WEB,
        help: "For https://, also trust the authorities whose certificates FILE holds (PEM)" },
    Flag { name: "insecure-tracker", short: None, takes: Takes::Each("HOST"), on: WEB,
        help: "For https://, take any certificate of HOST; said on every start; may be repeated" },
    Flag { name: "encryption", short: None, takes: Takes::Value("WHEN"), on: PEERS,
        help: "Hide what connections are: allow, require or off [default: allow, with those who want it]" },
    Flag { name: "quiet", short: Some('q'), takes: Takes::Nothing, on: ROLES,
        help: "Show results and errors only" },
    Flag { name: "verbose", short: Some('v'), takes: Takes::Count, on: ROLES,
        help: "Show more; twice: what the event loop does, too" },
    Flag { name: "json", short: None, takes: Takes::Nothing, on: ROLES,
        help: "Write events to standard output, one JSON object a line" },
    Flag { name: "log-file", short: None, takes: Takes::Value("FILE"), on: ROLES,
        help: "Append a log with times to FILE" },
    Flag { name: "no-color", short: None, takes: Takes::Nothing, on: ROLES,
        help: "No colours (so does the environment variable NO_COLOR)" },
    Flag { name: "markdown", short: None, takes: Takes::Nothing, on: &["limits", "states"],
        help: "Print them as the document in docs/" },
];

pub const COMMANDS: &[CommandRow] = &[
    CommandRow {
        name: "tracker",
        about: "Tells machines about names and about each other",
        examples: "Examples:
  lmk tracker                        for this machine alone
  lmk tracker --bind 0.0.0.0         for the network, port 6969
  lmk tracker --bind '[::1]:7000'    IPv6, another port
  lmk tracker --private              for those who have a token of `lmk token`
  lmk tracker --deny hashes.txt --deny networks.txt",
    },
    CommandRow {
        name: "seeder",
        about: "Offers a file under its name",
        examples: "Examples:
  lmk seeder --file big.zip
  lmk seeder --file big.zip --tracker 192.168.1.5
  lmk seeder --file build/out.img --as nightly.img --slots 16
  lmk seeder --file big.zip --write-torrent big.torrent
  lmk seeder --file big.zip --sign release.key --token-file token.txt
  lmk seeder --torrent big.torrent --file big.zip",
    },
    CommandRow {
        name: "leecher",
        about: "Fetches a file by name and verifies every byte",
        examples: "Examples:
  lmk leecher --want big.zip
  lmk leecher --want big.zip --tracker 192.168.1.5 --out /data/
  lmk leecher --want big.zip@3f2a9c01 --out copy.zip --overwrite
  lmk leecher --want big.zip --keep-seeding --timeout 10m
  lmk leecher --want big.zip --publisher release.pub
  lmk leecher --torrent big.torrent -d /data/ --limit-up 500K
  lmk leecher --want a.zip --want b.zip --torrent c.torrent -d /data/
  lmk leecher --magnet 'magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567'",
    },
    CommandRow {
        name: "ls",
        about: "Lists the names a tracker knows",
        examples: "Examples:
  lmk ls
  lmk ls '*.iso' --tracker 192.168.1.5
  lmk ls --json",
    },
    CommandRow {
        name: "info",
        about: "Tells what a tracker knows of one name",
        examples: "Examples:
  lmk info big.zip
  lmk info big.zip --json --tracker 192.168.1.5",
    },
    CommandRow {
        name: "status",
        about: "Tells how a tracker is doing, and who has what",
        examples: "Examples:
  lmk status
  lmk status --json --tracker 192.168.1.5",
    },
    CommandRow {
        name: "probe",
        about: "Talks to any tracker and tells each step",
        examples: "Examples:
  lmk probe 192.168.1.5
  lmk probe udp://192.168.1.5:6969 0123456789abcdef0123456789abcdef01234567
  lmk probe http://192.168.1.5:6969/announce --json",
    },
    CommandRow {
        name: "token",
        about: "Makes tokens for a private tracker",
        examples: "Examples:
  lmk token                          may all, for 30 days
  lmk token --scope announce,read --expires 12h
  lmk token --for 3f2a9c01d2a9c013f2a9c01d2a9c013f2a9c01d3 --expires never
  lmk token --list
  lmk token --new-key
  lmk token --revoke 1",
    },
    CommandRow {
        name: "keygen",
        about: "Makes a key to sign what is published",
        examples: "Examples:
  lmk keygen
  lmk keygen --out release.key",
    },
    CommandRow {
        name: "create",
        about: "Makes a .torrent of a file or a folder",
        examples: "Examples:
  lmk create photos                     photos.torrent, for old and new clients
  lmk create big.iso -o big.torrent --announce udp://192.168.1.5:6969/announce
  lmk create photos --v1 --piece-length 1M --private --source team
  lmk create photos --announce udp://a:1/announce,udp://b:1/announce --announce http://c/announce
  lmk create photos --webseed https://example.org/files/ --comment summer --date",
    },
    CommandRow {
        name: "show",
        about: "Tells what a .torrent or a magnet link says",
        examples: "Examples:
  lmk show photos.torrent
  lmk show photos.torrent --json
  lmk show 'magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567'",
    },
    CommandRow {
        name: "verify",
        about: "Compares files with a .torrent",
        examples: "Examples:
  lmk verify photos.torrent photos
  lmk verify big.torrent /data/ --json",
    },
    CommandRow {
        name: "limits",
        about: "Prints every built-in limit and its reason",
        examples: "Examples:
  lmk limits",
    },
    CommandRow {
        name: "states",
        about: "Prints the transition tables of slots and links",
        examples: "Examples:
  lmk states",
    },
];

/// The parser of the whole command line. Values stay raw: `typed` reads them.
pub fn command() -> Command {
    let root = Command::new("lmk")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Puts a file on 2 to 2,000 machines as fast as one copy, by name")
        .after_help(
            "Examples, each in its own terminal:
  lmk tracker
  lmk seeder --file big.zip
  lmk leecher --want big.zip",
        )
        .subcommand_required(true)
        .disable_help_subcommand(true);
    COMMANDS.iter().fold(root, |root, row| root.subcommand(subcommand(row)))
}

fn subcommand(row: &'static CommandRow) -> Command {
    // What only developers ask for is not listed.
    let hidden = row.name == "states";
    let bare = Command::new(row.name).about(row.about).after_help(row.examples).hide(hidden);
    FLAGS.iter().filter(|flag| flag.on.contains(&row.name)).fold(bare, |made, flag| {
        let bare = matches!(flag.takes, Takes::Bare(_) | Takes::BareNeeded(_));
        let arg = Arg::new(flag.name).help(flag.help);
        let arg = if bare { arg } else { arg.long(flag.name) };
        let arg = flag.short.into_iter().fold(arg, Arg::short);
        made.arg(match flag.takes {
            Takes::Nothing => arg.action(ArgAction::SetTrue),
            Takes::Count => arg.action(ArgAction::Count),
            Takes::Value(shown) | Takes::Bare(shown) => value(arg, shown),
            Takes::Each(shown) => value(arg, shown).action(ArgAction::Append),
            Takes::Maybe(shown) => value(arg, shown).num_args(0..=1).default_missing_value(""),
            Takes::Needed(shown) | Takes::BareNeeded(shown) => value(arg, shown).required(true),
        })
    })
}

fn value(arg: Arg, shown: &'static str) -> Arg {
    arg.action(ArgAction::Set).value_name(shown).value_parser(ValueParser::os_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_a_sound_parser() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_belongs_to_commands_that_exist() {
        for flag in FLAGS {
            assert!(!flag.on.is_empty(), "--{} belongs to no command", flag.name);
            for on in flag.on {
                assert!(COMMANDS.iter().any(|row| row.name == *on), "--{}: {on}?", flag.name);
            }
        }
    }

    #[test]
    fn help_of_each_command_shows_examples_that_parse() {
        for row in COMMANDS {
            for line in row.examples.lines().skip(1) {
                let typed = line.trim().split("   ").next().unwrap_or_default().replace('\'', "");
                let words = typed.split_whitespace();
                let read = crate::cli::typed::read(words.map(std::ffi::OsString::from));
                assert!(read.is_ok(), "{line}: {read:?}");
            }
        }
    }
}
