//! How long an answer is held back: a fixed time, or one that is drawn. Pure: the draws come in.

use std::time::Duration;

/// Longest delay, whatever is drawn: no client waits longer.
pub const DELAY_MAX: Duration = Duration::from_secs(3600);

/// Standard deviations from the median to the 99th percentile.
const P99_DEVIATIONS: f64 = 2.326_347_874;

/// A time, or how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Always this.
    Fixed(Duration),
    /// Any time in between, each as likely.
    Uniform {
        /// The shortest.
        from: Duration,
        /// The longest.
        to: Duration,
    },
    /// Mostly short, seldom long: the time between events that know nothing of each other.
    Exponential {
        /// On average, before longer ones are cut.
        mean: Duration,
        /// The longest.
        most: Duration,
    },
    /// As servers under load answer: a usual time and a long tail.
    LogNormal {
        /// Half of them are shorter.
        median: Duration,
        /// One in a hundred is longer.
        p99: Duration,
        /// The longest.
        most: Duration,
    },
}

impl Delay {
    /// A time. `draw` gives numbers from 0 to 1, without 1.
    pub fn sample(&self, draw: &mut dyn FnMut() -> f64) -> Duration {
        match *self {
            Self::Fixed(time) => time,
            Self::Uniform { from, to } => from + to.saturating_sub(from).mul_f64(draw()),
            Self::Exponential { mean, most } => scaled(mean, -(1.0 - draw()).ln(), most),
            Self::LogNormal { median, p99, most } => {
                let deviation = (p99.as_secs_f64() / median.as_secs_f64()).ln() / P99_DEVIATIONS;
                // A normal deviate by Box and Muller.
                let (radius, turn) = ((-2.0 * (1.0 - draw()).ln()).sqrt(), draw());
                let normal = radius * (std::f64::consts::TAU * turn).cos();
                scaled(median, (deviation * normal).exp(), most)
            }
        }
    }

    /// Whether its times are in order and none is above [`DELAY_MAX`].
    pub(super) fn is_sound(&self) -> bool {
        let none = Duration::ZERO;
        match *self {
            Self::Fixed(time) => time <= DELAY_MAX,
            Self::Uniform { from, to } => from <= to && to <= DELAY_MAX,
            Self::Exponential { mean, most } => none < mean && mean <= most && most <= DELAY_MAX,
            Self::LogNormal { median, p99, most } => {
                none < median && median <= p99 && p99 <= most && most <= DELAY_MAX
            }
        }
    }
}

fn scaled(time: Duration, by: f64, most: Duration) -> Duration {
    // The seconds stay far below what a duration can be: the smaller of the two is taken first.
    Duration::from_secs_f64((time.as_secs_f64() * by).min(most.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use postern_kit::random::{SeededRandom, fraction};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Quantiles of many draws, in milliseconds: 50 and 99 of a hundred, and the greatest.
    fn quantiles(delay: Delay) -> (u128, u128, u128) {
        let random = SeededRandom::new(3);
        let mut all: Vec<_> = (0..10_000)
            .map(|_| delay.sample(&mut || fraction(&random)).as_millis())
            .collect();
        all.sort_unstable();
        (all[5000], all[9900], all[9999])
    }

    #[test]
    fn draws_are_distributed_as_they_say() {
        assert_eq!(quantiles(Delay::Fixed(MS * 7)), (7, 7, 7));
        let (median, p99, most) = quantiles(Delay::Uniform {
            from: MS * 100,
            to: MS * 200,
        });
        assert!((147..153).contains(&median) && (198..200).contains(&p99) && most < 200);
        let (median, p99, most) = quantiles(Delay::Exponential {
            mean: MS * 100,
            most: MS * 600,
        });
        // ln 2 and ln 100 times the mean.
        assert!((66..73).contains(&median) && (435..490).contains(&p99) && most == 600);
        let (median, p99, most) = quantiles(Delay::LogNormal {
            median: MS * 20,
            p99: MS * 400,
            most: MS * 900,
        });
        assert!((18..22).contains(&median) && (340..470).contains(&p99) && most == 900);
    }

    #[test]
    fn a_draw_of_zero_is_no_trouble() {
        let most = MS * 10;
        for delay in [
            Delay::Exponential { mean: MS, most },
            Delay::LogNormal {
                median: MS,
                p99: MS * 2,
                most,
            },
        ] {
            assert!(delay.sample(&mut || 0.0) <= most);
            assert!(delay.sample(&mut || 1.0 - f64::EPSILON / 2.0) <= most);
        }
    }
}
