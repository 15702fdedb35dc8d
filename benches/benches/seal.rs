//! What sealing costs: once per session, and for each request and its verdict.

#![expect(clippy::unwrap_used, reason = "bench code")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use postern_agent::DirectoryKind;
use postern_agent::directory::{Answer, judge};
use postern_benches::Ends;
use postern_proto::verdict::{Verdict, VerdictReport};

const NOW: Duration = Duration::from_secs(1);

fn session(criterion: &mut Criterion) {
    let ends = Ends::new().unwrap();
    criterion.bench_function("session/establish", |bench| {
        bench.iter(|| black_box(ends.establish().unwrap()))
    });
    let (_, announcement) = ends.establish().unwrap();
    criterion.bench_function("session/accept", |bench| {
        bench.iter(|| black_box(ends.accept(&announcement).unwrap()))
    });
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
                (
                    ends.accept(&announcement).unwrap(),
                    ends.seal(&mut sealing).unwrap().0,
                )
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

/// From the directory's answer to a verdict on the wire: what an agent adds to each bind.
fn verdict(criterion: &mut Criterion) {
    let message = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1";
    let answer = Answer {
        code: 49,
        message,
        policy: None,
    };
    criterion.bench_function("verdict/judge and encode", |bench| {
        bench.iter(|| {
            let judged = judge(DirectoryKind::ActiveDirectory, black_box(&answer));
            black_box(VerdictReport::bare(judged.verdict).encode())
        });
    });
}

criterion_group!(benches, session, messages, verdict);
criterion_main!(benches);
