//! A recorded run is told as written in `recorded/*.txt`.

use crate::fake::{Fake, stream};
use crate::tutti::{Tutti, same_as_file};

#[test]
fn recorded_runs_are_told_as_written() {
    for name in ["sequential", "concurrent", "handoff", "person", "dynamic", "group_chat"] {
        let path = format!("{}/tests/it/recorded/{name}.sse", env!("CARGO_MANIFEST_DIR"));
        let events = std::fs::read_to_string(path).unwrap();
        let fake = Fake::start(vec![stream(None, &events)]);
        let done = Tutti::new().run(&["runs", "events", "r1", "--url", &fake.url]);
        assert_eq!((done.code, done.err.as_str()), (0, ""));
        same_as_file(&format!("tests/it/recorded/{name}.txt"), &done.out);
    }
}
