//! Every recorded conversation with Apache Mesos, replayed against the real binary with the roles apart. What is known
//! not to match stands in `tests/conformance/known-differences.txt`, with its reason, and the list must be exact.

use mesolite_conformance::{Expected, Server, TRANSCRIPTS, replay_all};
use std::path::Path;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");

#[test]
fn transcripts_match_but_for_the_known_differences() {
    let dir = Path::new(DATA);
    let server = Server::Binary(env!("CARGO_BIN_EXE_mesolite").into());
    let expected = Expected::read(&dir.join("known-differences.txt")).expect("the list is read");
    let transcripts = dir.join("data/transcripts");
    let mut report = replay_all(&transcripts, &server, &[], |_, _| {}).expect("the transcripts are replayed");
    // A machine under load can be too slow for one of them: what is news is tried once more, with less beside it.
    let news = expected.news(&report);
    if !news.is_empty() {
        let again = replay_all(&transcripts, &server, &news, |_, _| {}).expect("they are replayed again");
        report.files.extend(again.files);
    }
    println!("{report}");
    assert_eq!(report.files.values().filter(|o| o.tried && o.steps > 0).count(), TRANSCRIPTS);
    let wrong = expected.wrong(&report);
    assert!(wrong.is_empty(), "{report}\n{}", wrong.join("\n"));
}
