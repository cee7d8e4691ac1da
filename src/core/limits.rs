//! Every bound in one place: the unit stands last in the name, the reason in the comment.

use super::time::Span;

/// Bytes in one block: the unit of a request (BEP 3 practice) and of a merkle leaf (BEP 52).
pub const BLOCK_BYTES: u32 = 16 * 1024;

/// Longest peer-wire message taken, whatever its type: a bitfield of `PIECES_MAX` is 256 KiB.
pub const PEER_MESSAGE_BYTES_MAX: u32 = 1024 * 1024;
/// Longest extension payload kept: extension handshakes and `lmk_state` are far below it.
pub const EXTENDED_BYTES_MAX: u32 = 32 * 1024;
/// Most hashes in one BEP 52 `hashes` message: 8192 nodes (a 128 MiB piece) and 32 uncles.
pub const HASHES_BYTES_MAX: u32 = 49 + 32 * (8192 + 32);

/// Most pieces of one content: a bitfield of 256 KiB.
pub const PIECES_MAX: u32 = 2_097_152;
/// Largest .torrent file read, bytes: room for 2,097,152 pieces of either kind, or for 1,930,000 of
/// both.
pub const TORRENT_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Most files of a folder that a .torrent is made of, and most names in one directory: the values
/// of a hybrid, 24 for each file, are still read.
pub const FOLDER_FILES_MAX: usize = 120_000;
/// Deepest nesting of bencode.
pub const BENCODE_DEPTH_MAX: usize = 64;
/// Most values in one bencoded text.
pub const BENCODE_TOKENS_MAX: usize = 3_000_000;

/// Longest catalogue message: a PUBLISH with both info dicts and the piece layers.
pub const CATALOGUE_MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest message of a client that may not write: 256 names of 255 bytes, and some to spare.
pub const CATALOGUE_READER_BYTES_MAX: usize = 128 * 1024;
/// Bytes of requests and answers of one catalogue connection that are kept at any time: one that
/// reads, or publishes what is small, is never in want of a share.
pub const CATALOGUE_SMALL_BYTES: usize = 64 * 1024;
/// Bytes kept beyond that for all catalogue connections together: unfinished messages, and requests
/// and answers that wait.
pub const CATALOGUE_HELD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The same for those of one public address (or IPv6 /64): a PUBLISH of the longest while its
/// memory grows.
pub const ADDRESS_HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest frame a server or client of ours takes.
pub const CATALOGUE_FRAME_BYTES_MAX: u32 = 1024 * 1024;
/// Largest answer a catalogue client takes: piece layers of 2,097,152 pieces.
pub const CATALOGUE_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024 + 4096;
/// Longest name of a content, bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// Most bytes of UDP payload answered: stays under the 1,280-byte IPv6 minimum with its headers.
pub const DATAGRAM_BYTES_MAX: usize = 1200;

/// Bytes read from one connection in one turn before the others get theirs.
pub const READ_QUOTA_BYTES: usize = 1024 * 1024;
/// Bytes written to one connection in one turn.
pub const WRITE_QUOTA_BYTES: usize = 1024 * 1024;
/// Bytes gathered for one write: eight blocks and their heads measured fastest.
pub const WRITE_GATHER_BYTES: usize = 256 * 1024;
/// From this length on a file span goes by `sendfile`; shorter ones leave framed with their heads.
pub const SENDFILE_BYTES: u32 = 128 * 1024;
/// Bytes read from all connections together in one turn: what the role makes of them, pieces to be
/// written in the same turn for one, is then still in the caches when it leaves.
pub const TURN_READ_BYTES: usize = 1024 * 1024;
/// Bytes written to all connections together in one turn: 5 ms at 4 GB/s, so that datagrams and
/// deadlines do not wait behind a thousand busy connections.
pub const TURN_BYTES: usize = 16 * 1024 * 1024;
/// Connections taken from the backlog in one turn.
pub const ACCEPTS_PER_TURN: usize = 64;
/// Pause of the listener after the system refused a descriptor.
pub const ACCEPT_BACKOFF_MS: u64 = 100;
/// Datagrams taken in one turn.
pub const DATAGRAMS_PER_TURN: usize = 256;
/// Receive queue asked for datagrams: the default holds only 256 of them, 1 ms of load.
pub const DATAGRAM_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Datagrams kept while the system takes none; later ones are dropped.
pub const DATAGRAM_RESEND_MAX: usize = 64;
/// Time between two attempts to send kept datagrams.
pub const DATAGRAM_RESEND_MS: u64 = 5;
/// A connection that is closed after its queue left gets this long without any progress.
pub const FLUSH_IDLE_MS: u64 = 10_000;
/// After the last byte we wait this long for the other side's end: closing while it still sends
/// would reset the connection and destroy what it has not read yet.
pub const LINGER_MS: u64 = 1_000;
/// Descriptors asked of the system at most.
pub const DESCRIPTORS_MAX: u64 = 65_536;
/// Bytes of file operations applied in one turn; the rest waits, in order, for the next.
pub const FILE_TURN_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of one file operation: larger ones are cut so that a turn stays short.
pub const FILE_STEP_BYTES: usize = 1024 * 1024;

/// Bytes of pieces held in memory while they fill and are written: two full request pipelines.
pub const PAGES_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The same for all fetches of one process together: four of them have as much as if alone.
pub const FETCHES_PAGES_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Names, .torrent files and magnet links that one leecher takes: a bit for each.
pub const FETCHES_MAX: usize = 64;
/// Pieces that may always be open, however large they are (16 MiB each at the most).
pub const PAGES_MIN: u64 = 3;
/// Pieces whose failed attempt is remembered, 36 bytes a block, to find out who lied: others that
/// several sources spoiled wait until one of these matched.
pub const FAILED_PIECES_MAX: usize = 4;
/// Blocks asked of one source at a time: 4 MiB on the way.
pub const REQUESTS_OUT_MAX: usize = 256;
/// Sources that a leecher dials and keeps when `--sources` says nothing.
pub const SOURCES_DEFAULT: u32 = 10;
/// Most sources that `--sources` takes: each has blocks on the way.
pub const SOURCES_MAX: u32 = 200;
/// Conversations about one content at a time: 2,000 machines, and those that come again before they
/// are missed.
pub const CONVERSATIONS_MAX: usize = 4096;
/// How many of them one public address (or IPv6 /64) may begin: many people behind one router.
pub const ADDRESS_CONVERSATIONS_MAX: usize = 256;
/// Encrypted handshakes answered in a second: each takes a tenth of a millisecond or two.
pub const AGREEMENTS_PER_S: u32 = 200;
/// Those of one public address (or IPv6 /64).
pub const ADDRESS_AGREEMENTS_PER_S: u32 = 20;
/// Leechers served at once when `--slots` says nothing.
pub const SLOTS_DEFAULT: u32 = 8;
/// The same for a torrent among strangers, and one more by chance: the custom of BitTorrent.
pub const STRANGERS_SLOTS_DEFAULT: u32 = 4;
/// Most slots that `--slots` takes: each may hold a write buffer.
pub const SLOTS_MAX: u32 = 1024;
/// How long a name without a source stays listed when `--keep-names` says nothing.
pub const KEEP_NAMES: Span = Span::secs(24 * 3600);
/// Bytes of pieces written after which the part file is synced, at most: so many on a quick disk.
pub const SYNC_BYTES: u64 = 32 * 1024 * 1024;
/// So many at the least, and at the first sync of a run, before it is known how quick the disk is.
pub const SYNC_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// A sync that takes longer than so long makes the next one have less to do.
pub const SYNC_SPAN: Span = Span::ms(100);
/// The part file is synced after so long in any case.
pub const SYNC_EVERY: Span = Span::secs(5);
/// With so many bytes of pieces not yet synced nothing more is asked for: with the pages that are
/// on their way and the sample of an earlier run, at most 64 MiB are read again after a crash.
pub const UNSYNCED_BYTES_MAX: u64 = 40 * 1024 * 1024;
/// Pieces of an earlier run that are read again although the journal vouches for them.
pub const SAMPLE_PIECES: usize = 64;
/// Bytes of such pieces, but one piece at the least.
pub const SAMPLE_BYTES: u64 = 8 * 1024 * 1024;
/// Time between two looks at a disk that was full.
pub const DISK_FULL_RETRY: Span = Span::secs(10);
/// Free bytes with which a download goes on after the disk was full, or one piece if it is larger:
/// what one source has on the way.
pub const ROOM_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// So often a part file whose times say that another program wrote to it is read again at once;
/// after that its times count for nothing, and it is read whole at the end.
pub const TOUCHES_MAX: u32 = 3;
/// What is written is made durable for so long after a signal.
pub const STOP_FLUSH: Span = Span::secs(3);
/// Peers a tracker knows when `--max-peers` says nothing: about 60 bytes each.
pub const TRACKED_PEERS_MAX: usize = 4_000_000;
/// Peers of one swarm when `--max-swarm-peers` says nothing.
pub const SWARM_PEERS_MAX: usize = 20_000;
/// Entries of one public address (or IPv6 /64) in all swarms together when `--max-torrents-per-ip`
/// says nothing.
pub const ADDRESS_TORRENTS_MAX: u32 = 4096;
/// Peers of one public address (or IPv6 /64) in one swarm.
pub const ADDRESS_PEERS_MAX: usize = 8;
/// Swarms without peers that a tracker keeps for their count of completions. The oldest of the
/// address that left most of them goes first. Counts are kept of no other swarms than these and
/// those with peers.
pub const PARKED_SWARMS_MAX: usize = 100_000;
/// Counts of completions that wait to be written while the database takes none.
pub const FINISHED_UNWRITTEN_MAX: usize = 100_000;
/// Tickets of one public address (or IPv6 /64) that are not used yet: each is a connection to the
/// catalogue that nobody else is promised for 20 s.
pub const ADDRESS_TICKETS_MAX: u32 = 64;
/// Names in a tracker's catalogue that came from one public address (or IPv6 /64): a twentieth of
/// all there may be.
pub const ADDRESS_NAMES_MAX: u32 = 100_000;
/// Metainfo kept of names that came from one public address (or IPv6 /64): a sixteenth of all.
pub const ADDRESS_METAINFO_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Contents that all nodes of one public address (or IPv6 /64) register together: those of a large
/// folder, and as many of a connection before that is being forgotten.
pub const ADDRESS_CONTENTS_MAX: u32 = 524_288;
/// Longest time between announces when `--max-interval` says nothing: the legacy ping.
pub const INTERVAL_MAX: Span = Span::secs(120);
/// Longest that `--max-interval` takes: two and a half of it fit in a record of a peer.
pub const INTERVAL_TOP: Span = Span::secs(1600);
/// UDP requests of one public address (or IPv6 /64) a tracker answers, and four times as many at
/// once; loopback may send what it likes.
pub const ADDRESS_REQUESTS_PER_S: u64 = 50;
/// The same for a private address, unless the tracker is `--public`.
pub const NEAR_REQUESTS_PER_S: u64 = 20_000;
/// Networks that `--site` may name.
pub const SITES_MAX: usize = 256;
/// Web seeds of one content that are asked.
pub const WEB_SEEDS_MAX: usize = 16;
/// Bytes asked of a web seed with one request, one block more at the most.
pub const WEB_RANGE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of a file that are read past to come to the part that is wanted, where a web seed sends
/// the whole file in place of a part.
pub const WEB_SKIP_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Host names that are looked up at one time.
pub const LOOKUPS_MAX: usize = 64;
/// Host names whose addresses are kept: trackers, web seeds and where they send us.
pub const NAMES_KEPT_MAX: usize = 256;
