//! Every row of the benchmark suite runs against the real binary with tiny counts and is correct. Nothing timed is
//! asserted.

use mesolite_bench::{Options, ROWS, Size, run};

#[test]
fn every_row_runs_and_is_correct() {
    for apart in [false, true] {
        let options =
            Options { binary: env!("CARGO_BIN_EXE_mesolite").into(), size: Size::Quick, rounds: None, apart };
        let report = run(&ROWS.map(|row| row.name.to_owned()), &options);
        assert_eq!(report.rows().len(), ROWS.len());
        for (row, outcome) in report.rows() {
            match outcome {
                Ok(figures) => assert!(
                    !figures.is_empty() && figures.iter().all(|f| f.value.is_finite() && f.value >= 0.0),
                    "{row}: {figures:?}"
                ),
                Err(why) if why.starts_with("SKIPPED") => eprintln!("{row} {why}"),
                Err(why) => panic!("{row} does not count: {why}"),
            }
        }
        let json = report.json();
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(ROWS.len()));
        assert!(json["machine"]["cores"].as_u64() >= Some(1), "{json}");
    }
}
