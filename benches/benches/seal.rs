//! What sealing costs: once per session, and for each request and its verdict.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use postern_benches::Ends;
use postern_proto::verdict::{Verdict, VerdictReport};

const NOW: Duration = Duration::from_secs(1);

fn session(criterion: &mut Criterion) {
    let ends = Ends::new().unwrap();
    criterion.bench_function("session/establish", |bench| bench.iter(|| black_box(ends.establish().unwrap())));
    let (_, announcement) = ends.establish().unwrap();
    criterion.bench_function("session/accept", |bench| bench.iter(|| black_box(ends.accept(&announcement).unwrap())));
}

fn messages(criterion: &mut Criterion) {
    let ends = Ends::new().unwrap();
    // A session takes 2^20 requests; criterion may ask for more, so each batch brings its own.
    criterion.bench_function("request/seal", |bench| {
        bench.iter_batched_ref(
            || ends.establish().unwrap().0,
            |session| black_box(ends.seal(session).unwrap()),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("request/open", |bench| {
        bench.iter_batched(
            || {
                let (mut sealing, announcement) = ends.establish().unwrap();
                (ends.accept(&announcement).unwrap(), ends.seal(&mut sealing).unwrap().0)
            },
            |(mut opening, sealed)| black_box(opening.open(&sealed, NOW).unwrap()),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("verdict/seal and open", |bench| {
        bench.iter_batched(
            || {
                let (mut sealing, announcement) = ends.establish().unwrap();
                let (sealed, opener) = ends.seal(&mut sealing).unwrap();
                let opened = ends.accept(&announcement).unwrap().open(&sealed, NOW).unwrap();
                (opened.sealer, opener)
            },
            |(sealer, opener)| {
                let sealed = sealer.seal(&VerdictReport::bare(Verdict::Accepted));
                black_box(opener.open(&sealed.ciphertext).unwrap())
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, session, messages);
criterion_main!(benches);
