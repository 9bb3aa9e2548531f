//! The algebra of resources, by example and by property.

#![allow(deprecated)]

use super::{
    Allocated, Amount, Conversion, Format, Item, Kind, Ranges, Resources, downgrade, role_fault, to_float,
    upgrade,
};
use crate::mesos;
use proptest::prelude::*;

fn parse(text: &str) -> Resources {
    Resources::parse(text, "*").unwrap()
}

fn scalar(name: &str, value: f64) -> mesos::Resource {
    let mut message = mesos::Resource { name: name.into(), ..Default::default() };
    message.set_type(mesos::value::Type::Scalar);
    message.scalar = Some(mesos::value::Scalar { value });
    message
}

#[test]
fn thousandths_add_up_exactly() {
    let tenth = Resources::scalars([("cpus", 0.1)]);
    let sum: Resources = [&tenth, &tenth, &tenth].into_iter().sum();
    assert_eq!(sum, Resources::scalars([("cpus", 0.3)]));
    assert_eq!(sum.scalar("cpus"), 0.3);
    assert_eq!(Resources::scalars([("cpus", 0.1005)]).milli("cpus"), 101, "rounded as upstream does");
}

#[test]
fn totals_are_those_of_the_items_whatever_happens_to_a_copy() {
    let mut all = parse("cpus:4;cpus(x):2;mem:100;ports:[1-9];widgets:3");
    let copy = all.clone();
    assert_eq!(
        all.totals(),
        &super::Totals { scalars: Some([6_000, 0, 100_000, 0]), others: true, shared: false }
    );
    all.cut(&parse("cpus:1;widgets:3"));
    assert_eq!(all.totals().scalars, Some([5_000, 0, 100_000, 0]));
    assert!(!all.totals().others && copy.totals().others, "a copy keeps what it has");
    all += &parse("disk:7");
    assert_eq!((all.quantity(&"disk".into()), all.quantity(&"cpus".into())), (7_000, 5_000));
    assert_eq!(Resources::new().totals(), &super::Totals { scalars: Some([0; 4]), ..Default::default() });
    let most = |role: &str| {
        let kind = parse(&format!("cpus({role}):1")).iter().next().unwrap().kind.clone();
        Item::new(kind, Amount::Scalar(i64::MAX))
    };
    let absurd: Resources = [most("x"), most("y")].into_iter().collect();
    assert_eq!((absurd.totals().scalars, absurd.quantity(&"cpus".into())), (None, i64::MAX));
}

#[test]
fn says_and_reads_what_mesos_says() {
    let text = "cpus:4; mem:4096.25; ports:[31000-32000, 33000-33001]; bugs:{a, b}";
    assert_eq!(parse(text).to_string(), text);
    assert_eq!(parse("ports:[5-9,1-4,20-20]").ports().as_slice(), [(1, 9), (20, 20)]);
    assert_eq!(parse("").to_string(), "{}");
    assert_eq!(parse("cpus(a/b):0.5").to_string(), "cpus(reservations: [(STATIC,a/b)]):0.5");
    assert_eq!(Resources::parse("cpus:1;mem(*):2", "web").unwrap().by_role().len(), 2);
}

#[test]
fn refuses_bad_text_by_name() {
    for (text, reason) in [
        ("cpus", "one ':'"),
        ("cpus:1:2", "one ':'"),
        ("cpus:-1", "-1 is negative"),
        ("cpus:NaN", "NaN is not a number"),
        ("cpus:inf", "inf is not a number"),
        ("cpus:0.0001", "less than a thousandth"),
        ("cpus:1e13", "more than"),
        ("cpus:x", "neither a number"),
        ("ports:[9-1]", "begins after its end"),
        ("ports:[1-2", "without ']'"),
        ("ports:[-1-2]", "no range"),
        (":1", "Empty resource name"),
        ("cpus(a:1", "'(' without ')'"),
        ("cpus(a/../b):1", "cannot include '..'"),
    ] {
        let error = Resources::parse(text, "*").unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn refuses_bad_messages_in_upstreams_words() {
    let refuse = |message: mesos::Resource| Resources::from_messages([&message]).unwrap_err().to_string();
    assert_eq!(refuse(scalar("", 1.0)), "Resource ':1' is invalid: Empty resource name");
    for (value, text) in [
        (-1.0, "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0"),
        (1e-5, "Resource 'cpus:0' is invalid: Invalid scalar resource: value <= 0"),
        (-1e-5, "Resource 'cpus:0' is invalid: Invalid scalar resource: value <= 0"),
    ] {
        assert_eq!(refuse(scalar("cpus", value)), text);
    }
    for value in [f64::NAN, f64::INFINITY, 1e13] {
        assert!(refuse(scalar("cpus", value)).contains("is not a number up to 1000000000000"));
    }
    let mut message = scalar("cpus", 1.0);
    message.r#type = 77;
    assert!(refuse(message).contains("Invalid resource type"));
    let mut message = scalar("cpus", 1.0);
    message.set = Some(Default::default());
    assert!(refuse(message).contains("Invalid scalar resource"));
    let mut message = scalar("cpus", 1.0);
    message.scalar = None;
    assert_eq!(refuse(message), "Resource 'cpus:0' is invalid: Invalid scalar resource");
    for (all, text) in [
        (vec![(31001, 31000)], "'ports:[31001-31000]' is invalid: Invalid ranges resource: begin > end"),
        (
            vec![(31000, 31001), (31001, 31002)],
            "'ports:[31000-31001, 31001-31002]' is invalid: Invalid ranges resource: overlapping ranges",
        ),
    ] {
        let range = all.into_iter().map(|(begin, end)| mesos::value::Range { begin, end }).collect();
        let mut message = mesos::Resource { name: "ports".into(), ..Default::default() };
        message.set_type(mesos::value::Type::Ranges);
        message.ranges = Some(mesos::value::Ranges { range });
        assert!(refuse(message).contains(text));
    }
    let mut message = scalar("mem", 1.0);
    message.disk = Some(Default::default());
    assert!(refuse(message).contains("DiskInfo should not be set for mem resource"));
    let mut message = scalar("cpus", 1.0);
    message.reservation = Some(Default::default());
    assert!(refuse(message).contains("role \"*\" cannot be dynamically reserved"));
    let mut message = parse("cpus(a):1").to_messages().remove(0);
    let mut inner = message.reservations[0].clone();
    inner.set_type(mesos::resource::reservation_info::Type::Dynamic);
    inner.role = Some("b/c".into());
    message.reservations.push(inner);
    assert!(refuse(message).contains("role 'b/c' is not a refinement of 'a'"));
    let mut message = scalar("cpus", 1.0);
    message.reservations = vec![reservation("*")];
    assert_eq!(
        refuse(message),
        "Resource 'cpus(reservations: [(DYNAMIC,*)]):1' is invalid: Invalid reservation: role \"*\" cannot be \
         reserved"
    );
    assert!(
        Resources::from_messages([&scalar("cpus", 0.0)]).unwrap().is_empty(),
        "zero is allowed, and nothing"
    );
}

fn reservation(role: &str) -> mesos::resource::ReservationInfo {
    let mut made = mesos::resource::ReservationInfo { role: Some(role.into()), ..Default::default() };
    made.set_type(mesos::resource::reservation_info::Type::Dynamic);
    made
}

fn volume(id: &str, path: &str, size: f64) -> mesos::Resource {
    let mut message = scalar("disk", size);
    message.reservations = vec![reservation("eng")];
    let mut mounted = mesos::Volume { container_path: path.into(), ..Default::default() };
    mounted.set_mode(mesos::volume::Mode::Rw);
    message.disk = Some(Box::new(mesos::resource::DiskInfo {
        persistence: Some(mesos::resource::disk_info::Persistence { id: id.into(), principal: None }),
        volume: Some(mounted),
        source: None,
    }));
    message
}

#[test]
fn operations_convert_resources_and_back() {
    use mesos::offer::{Operation, operation};
    let mut disk = scalar("disk", 100.0);
    disk.reservations = vec![reservation("eng")];
    let bare = Resources::from_messages([&disk]).unwrap();
    let mut reserve = Operation {
        reserve: Some(operation::Reserve { resources: vec![disk], source: vec![] }),
        ..Default::default()
    };
    reserve.set_type(operation::Type::Reserve);
    let made = Conversion::of(&reserve).unwrap();
    assert_eq!((made.consumed.to_string(), &made.converted), ("disk:100".into(), &bare));
    let mut create = Operation {
        create: Some(operation::Create { volumes: vec![volume("v", "data", 100.0)] }),
        ..Default::default()
    };
    create.set_type(operation::Type::Create);
    let made = Conversion::of(&create).unwrap();
    assert_eq!(made.consumed, bare);
    assert_eq!(
        Allocated(&made.converted, "eng").to_string(),
        "disk(allocated: eng)(reservations: [(DYNAMIC,eng)])[v:data]:100"
    );
    let mut destroy = Operation {
        destroy: Some(operation::Destroy { volumes: vec![volume("v", "/elsewhere", 100.0)] }),
        ..Default::default()
    };
    destroy.set_type(operation::Type::Destroy);
    let back = Conversion::of(&destroy).unwrap();
    assert_eq!((back.consumed, &back.converted), (made.converted, &bare), "the mount is no part of a volume");
    let mut addition = scalar("disk", 50.0);
    addition.reservations = vec![reservation("eng")];
    let mut grow = Operation {
        grow_volume: Some(operation::GrowVolume { volume: volume("v", "data", 100.0), addition }),
        ..Default::default()
    };
    grow.set_type(operation::Type::GrowVolume);
    let made = Conversion::of(&grow).unwrap();
    assert_eq!((made.consumed.scalar("disk"), made.converted.scalar("disk")), (150.0, 150.0));
    assert_eq!((made.consumed.to_messages().len(), made.converted.to_messages().len()), (2, 1));
    let subtract = mesos::value::Scalar { value: 30.0 };
    let mut shrink = Operation {
        shrink_volume: Some(operation::ShrinkVolume { volume: volume("v", "data", 100.0), subtract }),
        ..Default::default()
    };
    shrink.set_type(operation::Type::ShrinkVolume);
    let made = Conversion::of(&shrink).unwrap();
    assert_eq!(
        made.converted.to_string(),
        "disk(reservations: [(DYNAMIC,eng)])[v:data]:70; disk(reservations: [(DYNAMIC,eng)]):30"
    );
}

#[test]
fn an_agent_has_what_it_was_given_and_what_it_remembers() {
    let configured = parse("cpus:4;disk:1000");
    let remembered = Resources::from_messages([&volume("v", "data", 100.0)]).unwrap();
    let all = configured.with_checkpointed(&remembered).unwrap();
    assert_eq!((all.unreserved().scalar("disk"), all.scalar("disk")), (900.0, 1000.0));
    assert_eq!(all.to_checkpoint(), remembered);
    assert!(parse("disk:50").with_checkpointed(&remembered).is_none());
}

#[test]
fn formats_are_converted_both_ways() {
    let mut message = parse("cpus(a):1").to_messages().remove(0);
    message.reservations[0].set_type(mesos::resource::reservation_info::Type::Dynamic);
    let stacked = vec![message];
    let mut flat = stacked.clone();
    downgrade(&mut flat);
    assert_eq!((flat[0].role(), flat[0].reservation.is_some(), flat[0].reservations.len()), ("a", true, 0));
    upgrade(&mut flat);
    assert_eq!(flat, stacked);
}

#[test]
fn keeps_kinds_apart() {
    let all = parse("cpus:4;cpus(a):2;cpus(a/b):1;mem:10");
    assert_eq!(all.milli("cpus"), 7000);
    assert_eq!(all.usable_by("a").scalar("cpus"), 6.0);
    assert_eq!(all.usable_by("a/b").scalar("cpus"), 7.0);
    assert_eq!(all.usable_by("ab").scalar("cpus"), 4.0);
    assert_eq!(all.unreserved(), parse("cpus:4;mem:10"));
    assert_eq!(all.flatten(), parse("cpus:7;mem:10"));
    assert!(!all.contains(&parse("cpus:5")));
    let short = all.short_of(&parse("cpus(a):2.5")).unwrap();
    assert_eq!(short.to_string(), "cpus(reservations: [(STATIC,a)]):2.5 wanted, 2 available");
}

#[test]
fn takes_all_or_nothing() {
    let mut all = parse("cpus:4;mem:100");
    assert!(all.subtract(&parse("cpus:1;mem:101")).is_err());
    assert_eq!(all, parse("cpus:4;mem:100"));
    all.cut(&parse("cpus:1;mem:101;disk:3"));
    assert_eq!(all, parse("cpus:3"));
}

#[test]
fn formats_of_reservations_round_trip() {
    let mut dynamic = parse("mem(web):64").to_messages().remove(0);
    dynamic.reservations[0].set_type(mesos::resource::reservation_info::Type::Dynamic);
    dynamic.reservations[0].principal = Some("ops".into());
    let all = Resources::from_messages([&dynamic]).unwrap() + &parse("cpus:1;cpus(a):2;ports:[1-2]");
    for format in [Format::Stacked, Format::Flat, Format::Both] {
        let messages = all.to_messages_as(format);
        assert_eq!(Resources::from_messages(&messages).unwrap(), all, "{format:?}");
    }
    let flat = all.to_messages_as(Format::Flat);
    let mem = flat.iter().find(|message| message.name == "mem").unwrap();
    assert_eq!(mem.role(), "web");
    assert!(mem.reservations.is_empty());
    assert_eq!(mem.reservation.as_ref().unwrap().principal(), "ops");
    let given = all.allocate("a", Format::Stacked);
    assert_eq!(super::allocation_role(&given), Some("a"));
    assert_eq!(Resources::from_messages(&given).unwrap(), all, "who has it is no part of the value");
}

#[test]
fn whole_disks_are_neither_merged_nor_divided() {
    use mesos::resource::{DiskInfo, disk_info};
    let mut message = scalar("disk", 100.0);
    let persistence = disk_info::Persistence { id: "v1".into(), principal: None };
    message.disk = Some(Box::new(DiskInfo { persistence: Some(persistence), ..Default::default() }));
    let volume = Resources::from_messages([&message]).unwrap();
    message.scalar = Some(mesos::value::Scalar { value: 40.0 });
    let part = Resources::from_messages([&message]).unwrap();
    assert!(!volume.contains(&part));
    let two = volume.clone() + &volume;
    assert_eq!(two.to_messages().len(), 2);
    assert_eq!(two.difference(&volume), volume);
    assert_eq!(volume.to_string(), "disk[v1]:100");
}

#[test]
fn role_names() {
    for good in ["*", "a", "a/b-c", "web.1"] {
        assert_eq!(role_fault(good), None, "{good}");
    }
    for bad in ["", "/a", "a/", "a//b", ".", "a/..", "a/*", "-a", "a b", "a\tb", "a\u{7f}"] {
        assert!(role_fault(bad).is_some(), "{bad:?}");
    }
}

fn ranges() -> impl Strategy<Value = Ranges> {
    prop::collection::vec((0u64..60, 0u64..8), 0..6)
        .prop_map(|all| Ranges::new(all.into_iter().map(|(begin, length)| (begin, begin + length))))
}

fn resources() -> impl Strategy<Value = Resources> {
    let names = prop::sample::select(vec!["cpus", "mem", "disk", "cpus(a)", "mem(a/b)", "tokens"]);
    let scalars = prop::collection::vec((names, 1i64..5000), 0..6);
    let words = prop::collection::vec("[a-e]", 0..4);
    (scalars, ranges(), words).prop_map(|(scalars, ports, words)| {
        let mut all = Resources::new();
        for (name, milli) in scalars {
            all += &parse(&format!("{name}:{}", to_float(milli)));
        }
        all.add_item(Item::new(Kind::plain("ports"), Amount::Ranges(ports)));
        all.add_item(Item::new(Kind::plain("words"), Amount::Set(super::Items::new(words))));
        all
    })
}

proptest! {
    #[test]
    fn ranges_are_sets_of_integers(a in ranges(), b in ranges()) {
        let of = |ranges: &Ranges| ranges.iter().collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(of(&a.union(&b)), of(&a).union(&of(&b)).copied().collect());
        prop_assert_eq!(of(&a.difference(&b)), of(&a).difference(&of(&b)).copied().collect());
        prop_assert_eq!(a.contains(&b), of(&b).is_subset(&of(&a)));
        prop_assert_eq!(a.count(), of(&a).len() as u64);
        prop_assert!((0..80).all(|n| a.has(n) == of(&a).contains(&n)));
        // Canonical: equal sets are equal values.
        prop_assert_eq!(a.difference(&b), Ranges::new(a.difference(&b).iter().map(|n| (n, n))));
    }

    #[test]
    fn the_algebra_holds(a in resources(), b in resources(), c in resources()) {
        let sum = a.clone() + &b;
        prop_assert_eq!(&sum, &(b.clone() + &a));
        prop_assert_eq!(sum.clone() + &c, a.clone() + &(b.clone() + &c));
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        // Ports and words are sets: only what was not shared comes back whole.
        let scalars = |all: &Resources| all.filter(|item| matches!(item.amount, Amount::Scalar(_)));
        let mut rest = scalars(&sum);
        prop_assert!(rest.subtract(&scalars(&b)).is_ok());
        prop_assert_eq!(rest, scalars(&a));
        let apart = a.difference(&b);
        prop_assert!(a.contains(&apart));
        if a.contains(&b) {
            prop_assert_eq!(apart + &b, a.clone());
        } else {
            let mut untouched = a.clone();
            prop_assert!(untouched.subtract(&b).is_err());
            prop_assert_eq!(&untouched, &a);
        }
        prop_assert_eq!(a.contains(&b) && b.contains(&a), a == b);
        prop_assert!(a.difference(&a).is_empty());
    }

    #[test]
    fn messages_round_trip(a in resources()) {
        prop_assert_eq!(&Resources::from_messages(&a.to_messages()).unwrap(), &a);
        prop_assert_eq!(Resources::from_messages(&a.to_messages_as(Format::Flat)).unwrap(), a);
    }

    #[test]
    fn never_panics_on_any_text(text in "[a-z0-9:;,{}()\\[\\]./ -]{0,40}") {
        let _ = Resources::parse(&text, "*");
    }
}
