//! A seeder that was given a URL: the file comes from its origin first, and the origin is named to
//! others as a web seed.

use super::{Phase, Share};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, Input, Outbox};
use crate::core::report::Ending;
use crate::core::time::Time;
use crate::node::layout::Layout;
use crate::node::origin::{Origin, Stage};
use crate::node::say;
use crate::node::shared::Shared;
use crate::wire::tracker_url::TrackerUrl;
use std::net::IpAddr;

impl Share {
    pub fn is_fetching(&self) -> bool {
        matches!(self.phase, Some(Phase::Fetching(_)))
    }

    /// News of a connection; hands back what is not ours.
    pub fn got_connection<'a>(
        &mut self,
        input: Input<'a>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<Input<'a>>, Fatal> {
        match &mut self.phase {
            Some(Phase::Fetching(origin)) => {
                let done = origin.got_connection(input, now, out);
                done.inspect_err(|_| origin.abandon(out))
            }
            _ => Ok(Some(input)),
        }
    }

    /// A file operation came back while the file is fetched; hands back what is not ours.
    pub(super) fn got_fetching(
        &mut self,
        shared: &mut Shared,
        mut origin: Box<Origin>,
        (ticket, done): (Ticket, FileDone),
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, Fatal> {
        let came = origin.got_file(ticket, done, now, out);
        if let Ok(Err(_)) = &came {
            origin.abandon(out);
        }
        self.phase = Some(Phase::Fetching(origin));
        match came {
            Err(done) => Ok(Some(done)),
            Ok(stage) => self.went_on(shared, stage?, now, out).map(|()| None),
        }
    }

    /// Does what is due while the file is fetched.
    pub(in crate::node) fn fetch_on(
        &mut self,
        shared: &mut Shared,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Some(Phase::Fetching(origin)) = &mut self.phase else { return Ok(()) };
        let mut stage = origin.wake(now, out);
        if let Some(host) = origin.take_lookup() {
            shared.lookups.push(host);
            shared.find_names(now, out);
        }
        for found in std::mem::take(&mut shared.found) {
            stage = origin.got_found(&found, now, out).and(stage);
        }
        let stage = stage.inspect_err(|_| origin.abandon(out))?;
        self.went_on(shared, stage, now, out)
    }

    fn went_on(
        &mut self,
        shared: &mut Shared,
        stage: Stage,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match (stage, &self.phase) {
            (Stage::Fetched, Some(Phase::Fetching(origin))) => {
                self.plan.path = origin.target().to_owned();
                self.origin_gives_ranges = origin.gives_ranges();
                self.open(&Layout::File, out);
            }
            (Stage::Stopped(ending), _) => shared.end(ending, now, out),
            _ => {}
        }
        Ok(())
    }

    /// A signal. -> whether it ends by itself, soon.
    pub fn stop(&mut self, ending: Ending, now: Time, out: &mut Outbox) -> bool {
        match &mut self.phase {
            Some(Phase::Fetching(origin)) => origin.stop(ending, now, out),
            _ => false,
        }
    }

    pub fn is_stopping(&self) -> bool {
        matches!(&self.phase, Some(Phase::Fetching(origin)) if origin.is_stopping())
    }

    /// Where others find the same file on the web: at its origin, if that is good for them.
    pub(super) fn web_seeds(&self, shared: &Shared) -> Vec<String> {
        let alone = shared.plan.tracker.ip().is_loopback() && shared.tracker_open == Some(false);
        let origin = self.plan.origin.as_ref().filter(|_| self.origin_gives_ranges);
        let origin = origin.filter(|plan| may_be_named(&plan.url, alone));
        origin.map(|plan| plan.text.clone()).into_iter().collect()
    }

    pub(super) fn say_seeding(&self, shared: &Shared, out: &mut Outbox) {
        say::seeding(shared, &self.name, self.web_seeds(shared), out);
    }
}

/// Whether a URL says the same to others as to us (`alone`: they are all on this machine), and
/// nothing that is for us alone: a query may hold a secret.
fn may_be_named(url: &TrackerUrl, alone: bool) -> bool {
    let host = url.at.host.trim_end_matches('.');
    let here = match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    let is_file = !url.path.is_empty() && !url.path.ends_with('/');
    is_file && !url.path.contains('?') && (alone || !here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tracker_url::read;

    #[test]
    fn an_origin_is_named_only_if_it_is_good_for_others_and_tells_no_secret() {
        for (url, others, alone) in [
            ("https://example.org/a/big.zip", true, true),
            ("http://192.168.1.9:8000/big.zip", true, true),
            ("https://example.org/big.zip?token=1", false, false),
            ("https://example.org/", false, false),
            ("https://example.org/a/", false, false),
            ("http://127.0.0.1:8000/big.zip", false, true),
            ("http://[::1]/big.zip", false, true),
            ("http://localhost/big.zip", false, true),
        ] {
            let url = read(url).unwrap();
            let named = (may_be_named(&url, false), may_be_named(&url, true));
            assert_eq!(named, (others, alone), "{url:?}");
        }
    }
}
