//! Sandboxes of what has ended: kept over restarts, removed by age, sooner when the disk fills.

mod world;

use agent::Input;
use base::Duration;
use model::{
    container::{ContainerId, Termination},
    mesos::{AgentId, internal},
};
use world::World;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn ended(w: &mut World, id: &str) -> String {
    let container = w.run(id, |_| {});
    let sandbox = w.launches.last().expect("a launch").sandbox.clone();
    end(w, container);
    sandbox
}

fn end(w: &mut World, container: ContainerId) {
    w.step(Input::Launched { container: container.clone(), pid: 42 });
    w.step(Input::Terminated { container, how: Termination::Exited(0) });
    for _ in 0..3 {
        w.next();
    }
}

/// Days without a ping; then it registers again.
fn pass(w: &mut World, time: Duration) {
    w.pass(time);
    w.hear(internal::SlaveReregisteredMessage {
        slave_id: AgentId { value: "S0".into() },
        ..Default::default()
    });
    w.sent.clear();
}

#[test]
fn a_sandbox_is_kept_for_a_week_over_restarts_and_then_goes() {
    let mut w = World::fresh();
    let sandbox = ended(&mut w, "t");
    pass(&mut w, 3 * DAY);
    assert!(w.discarded.is_empty());
    let mut w = World::from(w.records.clone(), w.now);
    w.step(Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() });
    let readable: Vec<_> =
        w.agent.sandboxes().map(|(f, e, d)| (f.to_owned(), e.to_owned(), d.to_owned())).collect();
    assert_eq!(readable, [("F".to_owned(), "t".to_owned(), sandbox.clone())], "it can still be read");
    pass(&mut w, 3 * DAY);
    assert!(w.discarded.is_empty());
    pass(&mut w, DAY);
    assert_eq!(w.discarded, std::slice::from_ref(&sandbox));
    assert!(w.records.keys().any(|k| k.starts_with("garbage")), "it is remembered until it is gone");
    w.step(Input::Discarded { directory: sandbox, gone: true });
    assert!(!w.records.keys().any(|k| k.starts_with("garbage")), "{:?}", w.records.keys());
}

#[test]
fn the_fuller_the_disk_the_sooner_and_never_what_still_runs() {
    let mut w = World::fresh();
    let old = ended(&mut w, "old");
    pass(&mut w, DAY);
    let new = ended(&mut w, "new");
    let container = w.run("running", |_| {});
    w.step(Input::DiskUsed { part: 0.2 });
    assert!(w.discarded.is_empty(), "0.7 of a week");
    w.step(Input::DiskUsed { part: 0.8 });
    assert_eq!(w.discarded, [old], "0.1 of a week");
    w.step(Input::DiskUsed { part: 0.95 });
    assert_eq!(w.discarded[1..], [new]);
    end(&mut w, container);
    pass(&mut w, Duration::from_secs(1));
    assert_eq!(w.discarded.len(), 3, "at once, while the disk is full");
}
