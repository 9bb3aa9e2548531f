//! Every kept input, through its target: what was found once stays found.

use std::path::PathBuf;

#[test]
fn every_kept_input_passes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in fuzz::TARGETS {
        let mut played = 0;
        for entry in std::fs::read_dir(root.join(name)).unwrap_or_else(|e| panic!("no corpus of {name}: {e}"))
        {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                panic!("{} fails on {}", name, path.display());
            }
            played += 1;
        }
        println!("{name}: {played} inputs");
        assert!(played > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn nothing_and_noise_pass() {
    let mut rng = base::Rng::from_number(7);
    for (_, target) in fuzz::TARGETS {
        target(&[]);
        for length in [1, 17, 300] {
            target(&(0..length).map(|_| rng.below(256) as u8).collect::<Vec<_>>());
        }
    }
}
