//! The tracker is killed, or its disk refuses, at every durable write while names are published.

use lmk::core::store::StoreError;
use lmk::sim::catalogue::Publishing;
use lmk::sim::store::Blow;
use lmk::sim::swarm::Cast;

#[test]
fn no_acknowledged_name_is_lost_at_any_durable_write() {
    let blows = [Blow::KilledBefore, Blow::KilledAfter, Blow::Refused(StoreError::Full)];
    let (mut scenes, mut answered, mut refused) = (0, 0, 0);
    for seed in 0..2 {
        let mut calm = Publishing::new(seed, Cast::real(), None);
        let writes = calm.play().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        assert!(writes > 30, "seed {seed}: only {writes} writes");
        for (at, blow) in (0..writes).flat_map(|at| blows.iter().map(move |blow| (at, blow))) {
            let mut scene = Publishing::new(seed, Cast::real(), Some((at, blow.clone())));
            if let Err(what) = scene.play() {
                panic!("seed {seed}, write {at}, {blow:?}: {what}");
            }
            scenes += 1;
            answered += scene.answers().0;
            refused += scene.answers().1;
        }
    }
    println!("{scenes} scenes, {answered} requests done, {refused} refused");
    assert!(refused > 0 && answered > refused);
}
