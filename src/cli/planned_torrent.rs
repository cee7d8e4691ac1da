//! From typed to planned, for .torrent files: paths absolute, names found, the date read.

use super::machine::Machine;
use super::planned::absolute;
use super::typed_torrent::{Create, Date, Shown, TorrentWish};
use crate::content::metainfo::Wanted;
use crate::content::metainfo::outside::Outside;
use crate::core::fault::Fatal;
use crate::core::report::Ending;
use crate::engine::Plan;
use crate::jobs::plan::{CreatePlan, ShowPlan, Subject, VerifyPlan};
use crate::jobs::torrent_file::{TorrentFile, shown};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub(super) fn plan(wish: TorrentWish, table: bool, machine: &Machine) -> Result<Plan, Fatal> {
    Ok(match wish {
        TorrentWish::Create(create) => Plan::Create(create_plan(*create, table, machine)?),
        TorrentWish::Show { subject, order } => {
            let subject = match subject {
                Shown::Torrent(path) => {
                    Subject::Torrent(TorrentFile { path: absolute(&path, machine), order })
                }
                Shown::Magnet(magnet) => Subject::Magnet(magnet),
            };
            Plan::Show(ShowPlan { subject, table })
        }
        TorrentWish::Verify { torrent, path, order } => Plan::Verify(VerifyPlan {
            torrent: TorrentFile { path: absolute(&torrent, machine), order },
            path: absolute(&path, machine),
        }),
    })
}

fn create_plan(create: Create, table: bool, machine: &Machine) -> Result<CreatePlan, Fatal> {
    let path = absolute(&create.path, machine);
    let Some(name) = path.file_name().map(|name| name.as_bytes().to_vec()) else {
        let line = format!("{}: it has no name of its own; name it whole", shown(&create.path));
        return Err(Fatal { ending: Ending::Usage, line });
    };
    let usual = || {
        let file = [name.as_slice(), b".torrent"].concat();
        machine.directory.join(OsStr::from_bytes(&file))
    };
    Ok(CreatePlan {
        out: create.out.map_or_else(usual, |out| absolute(&out, machine)),
        overwrite: create.overwrite,
        wanted: Wanted {
            form: create.form,
            piece_length: create.piece_length,
            private: create.private,
            source: create.source,
            outside: Outside {
                tiers: create.announce,
                web_seeds: create.web_seeds,
                comment: create.comment,
                created_s: create.date.map(|date| match date {
                    Date::Now => machine.wall_start_s,
                    Date::At(unix_s) => unix_s,
                }),
                ..Outside::default()
            },
        },
        table,
        path,
        name,
    })
}
