//! The fuzzer's corpus of what directories say, replayed, with some thousand mutations of it.

use std::path::Path;

use proptest::prelude::*;

#[path = "../../fuzz/verdict.rs"]
mod verdict;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answer");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the corpus is there");
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_gets_verdicts_that_it_gives_reason_for() {
    corpus().iter().for_each(|bytes| verdict::check(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mutations_of_it_do_as_well(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let corpus = corpus();
        let mut bytes = which.get(&corpus).clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        verdict::check(&bytes);
    }
}
