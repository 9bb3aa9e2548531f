//! Plans by table, and by what must be true of every plan.

use super::*;
use proptest::prelude::*;

type Apps = BTreeMap<String, Arc<Spec>>;

fn app(id: &str, config: u64, instances: u64) -> (String, Arc<Spec>) {
    let spec = Spec { id: id.into(), config_version: config.to_string(), instances, ..Spec::default() };
    (id.to_owned(), Arc::new(spec))
}

fn changes(old: &Apps, new: &Apps) -> BTreeMap<String, Change> {
    let ids: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    ids.into_iter().map(|id| (id.clone(), (old.get(&id).cloned(), new.get(&id).cloned()))).collect()
}

fn edges(all: &[(&str, &[&str])]) -> Edges {
    all.iter().map(|(app, on)| ((*app).to_owned(), on.iter().map(|o| (*o).to_owned()).collect())).collect()
}

fn text(steps: &[Step]) -> Vec<String> {
    let action = |a: &Action| format!("{}{}", &a.action.as_str()[..3], a.app);
    steps.iter().map(|s| s.actions.iter().map(action).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn stops_starts_then_levels() {
    let old: Apps = [app("/gone", 1, 1), app("/same", 1, 1), app("/more", 1, 1)].into();
    let new: Apps = [app("/same", 1, 1), app("/more", 1, 2), app("/web", 2, 1), app("/db", 2, 1)].into();
    let edges = edges(&[("/web", &["/db", "/same"]), ("/db", &["/more"])]);
    let steps = plan(&changes(&old, &new), &edges);
    assert_eq!(text(&steps), ["Sto/gone", "Sta/db Sta/web", "Sca/more", "Sca/db", "Sca/web"]);
}

#[test]
fn a_change_restarts_and_a_cycle_ends() {
    let old: Apps = [app("/a", 1, 3), app("/b", 1, 3), app("/c", 1, 3)].into();
    let new: Apps = [app("/a", 2, 4), app("/b", 1, 3), app("/c", 2, 0)].into();
    let circle = edges(&[("/a", &["/b"]), ("/b", &["/a"])]);
    assert_eq!(text(&plan(&changes(&old, &new), &circle)), ["Sca/c", "Res/a"]);
    assert_eq!(plan(&changes(&old, &old), &circle), []);
    assert!(has_cycle(&circle) && has_cycle(&edges(&[("/a", &["/b", "/a"]), ("/c", &["/b"])])));
    assert!(!has_cycle(&edges(&[("/a", &["/b"]), ("/c", &["/b"])])));
}

#[test]
fn pods_are_said_as_pods() {
    let spec = Arc::new(Spec { pod: Some(crate::pod::PodSpec::default()), instances: 1, ..Spec::default() });
    let steps = plan(&[("/p".to_owned(), (None, Some(spec)))].into(), &Edges::new());
    assert_eq!(steps[1].said(), json!({ "actions": [{ "action": "ScalePod", "pod": "/p" }] }));
}

/// What is there after these steps: each action brings its app to what the plan was made for.
fn after(from: &Apps, to: &Apps, steps: &[Step]) -> Apps {
    let mut apps = from.clone();
    for action in steps.iter().flat_map(|step| &step.actions) {
        match (action.action, to.get(&action.app)) {
            (Kind::StopApplication, _) => {
                assert!(apps.remove(&action.app).is_some(), "stops what is there");
            }
            (Kind::StartApplication, Some(new)) => {
                let none = Spec { instances: 0, ..(**new).clone() };
                assert!(apps.insert(action.app.clone(), none.into()).is_none(), "starts what is not there");
            }
            (_, new) => {
                let new = new.expect("only what will be there is scaled or restarted").clone();
                assert!(apps.insert(action.app.clone(), new).is_some(), "changes what is there");
            }
        }
    }
    apps
}

fn seen(apps: &Apps) -> Vec<(String, String, u64)> {
    apps.values().map(|spec| (spec.id.clone(), spec.config_version.clone(), spec.instances)).collect()
}

fn some_apps() -> impl Strategy<Value = Apps> {
    proptest::collection::btree_map(0u8..12, (0u64..3, 0u64..4), 0..12).prop_map(|all| {
        all.into_iter().map(|(id, (config, instances))| app(&format!("/{id}"), config, instances)).collect()
    })
}

proptest! {
    #[test]
    fn every_plan_ends_where_it_should_and_keeps_the_order(
        old in some_apps(), new in some_apps(),
        on in proptest::collection::vec((0u8..12, 0u8..12), 0..20), cut in any::<prop::sample::Index>(),
    ) {
        // an app depends on those with smaller numbers only: no cycle
        let mut edges = Edges::new();
        for (a, b) in on.iter().filter(|(a, b)| a > b) {
            edges.entry(format!("/{a}")).or_default().insert(format!("/{b}"));
        }
        prop_assert!(!has_cycle(&edges));
        let steps = plan(&changes(&old, &new), &edges);
        prop_assert!(steps.iter().all(|step| !step.actions.is_empty()));
        prop_assert_eq!(seen(&after(&old, &new, &steps)), seen(&new));
        // planned again from any point it ends in the same place, and there nothing is left to do
        let half = after(&old, &new, &steps[..cut.index(steps.len() + 1)]);
        let rest = plan(&changes(&half, &new), &edges);
        prop_assert_eq!(seen(&after(&half, &new, &rest)), seen(&new));
        prop_assert!(rest.len() <= steps.len());
        prop_assert_eq!(plan(&changes(&new, &new), &edges), vec![]);
        // what others need comes first
        let when = |app: &str| {
            let moves = |s: &Step| s.actions.iter().any(|a| a.app == app && a.action >= Kind::ScaleApplication);
            steps.iter().position(moves)
        };
        for (app, on) in &edges {
            for on in on {
                if let (Some(later), Some(first)) = (when(app), when(on)) {
                    prop_assert!(first < later, "{} is needed by {}", on, app);
                }
            }
        }
    }
}
