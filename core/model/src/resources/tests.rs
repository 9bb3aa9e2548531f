//! The algebra of resources, by example and by property.

#![allow(deprecated)]

use super::{Amount, Format, Item, Kind, Ranges, Resources, role_fault, to_float};
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
fn refuses_bad_messages_by_field() {
    let refuse = |message: mesos::Resource| Resources::from_messages([&message]).unwrap_err().to_string();
    assert!(refuse(scalar("", 1.0)).contains("Empty resource name"));
    for (value, reason) in [
        (-0.5, "cpus.scalar.value: -0.5 is negative"),
        (f64::NAN, "NaN is not a number"),
        (f64::INFINITY, "inf is not a number"),
        (0.0004, "less than a thousandth"),
    ] {
        assert!(refuse(scalar("cpus", value)).contains(reason));
    }
    let mut message = scalar("cpus", 1.0);
    message.r#type = 77;
    assert!(refuse(message).contains("cpus.type: unknown type 77"));
    let mut message = scalar("cpus", 1.0);
    message.set = Some(Default::default());
    assert!(refuse(message).contains("cpus.type: SCALAR but not exactly that value"));
    let mut message = scalar("mem", 1.0);
    message.disk = Some(Default::default());
    assert!(refuse(message).contains("mem.disk"));
    let mut message = scalar("cpus", 1.0);
    message.reservation = Some(Default::default());
    assert!(refuse(message).contains("cannot be dynamically reserved"));
    let mut message = parse("cpus(a):1").to_messages().remove(0);
    let mut inner = message.reservations[0].clone();
    inner.set_type(mesos::resource::reservation_info::Type::Dynamic);
    inner.role = Some("b/c".into());
    message.reservations.push(inner);
    assert!(refuse(message).contains("'b/c' is no child of 'a'"));
    assert!(
        Resources::from_messages([&scalar("cpus", 0.0)]).unwrap().is_empty(),
        "zero is allowed, and nothing"
    );
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
    message.disk = Some(DiskInfo { persistence: Some(persistence), ..Default::default() });
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
