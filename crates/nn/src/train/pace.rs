//! What is told while a network is trained; never part of any result.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use consilience_core::model::Task;

use super::standing::Standing;

/// Rows a second are those of so many last seconds.
const WINDOW: Duration = Duration::from_secs(5);

/// How fast rows are trained on.
#[derive(Debug)]
pub struct Pace {
    /// When a batch ended, and its rows.
    ends: VecDeque<(Instant, usize)>,
}

impl Pace {
    /// From now on.
    pub fn start() -> Self {
        Self { ends: VecDeque::from([(Instant::now(), 0)]) }
    }

    /// Some rows were trained on; gives the rows a second of the last seconds.
    pub fn rows(&mut self, rows: usize) -> f64 {
        self.rows_at(rows, Instant::now())
    }

    fn rows_at(&mut self, rows: usize, now: Instant) -> f64 {
        self.ends.push_back((now, rows));
        // The oldest end that is kept is where the time begins; its own rows came before.
        while self.ends.len() > 2 && self.ends.get(1).is_some_and(|(end, _)| now - *end >= WINDOW) {
            self.ends.pop_front();
        }
        let begin = self.ends.front().map_or(now, |(end, _)| *end);
        let sum: usize = self.ends.iter().skip(1).map(|(_, rows)| rows).sum();
        sum as f64 / (now - begin).as_secs_f64().max(1e-9)
    }
}

/// A note such as "epoch 3/8, loss 0.412, accuracy 0.873, 1234 rows/s, held 0.401": the means of the epoch so far over the
/// rows that are trained on, and the last loss on those held out. Of values the root mean squared error is told, in their
/// own units; `deviation` is what they were divided by.
pub fn note(at: &Standing, epochs: u32, task: &Task, deviation: f64, pace: f64) -> String {
    let sums = &at.sums;
    let mean = |sum: f64, of: f64| if of > 0.0 { sum / of } else { 0.0 };
    let score = mean(sums.score, sums.rows as f64);
    let mut note = format!("epoch {}/{epochs}, loss {}", at.epoch + 1, short(mean(sums.loss, sums.weight)));
    note += &match task {
        Task::Classify(_) => format!(", accuracy {score:.3}"),
        Task::Regress => format!(", rmse {}", short(score.sqrt() * deviation)),
    };
    let pace = match pace {
        p if p < 10.0 => format!("{p:.1}"),
        p if p < 9999.5 => format!("{p:.0}"),
        p => format!("{:.0}k", p / 1000.0),
    };
    note += &format!(", {pace} rows/s");
    if let Some(held) = at.log.last().and_then(|l| l.held_loss) {
        note += &format!(", held {}", short(f64::from(held)));
    }
    note
}

/// A number in few signs.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if !(0.001..1e6).contains(&v) => format!("{value:.1e}"),
        v if v < 10.0 => format!("{value:.3}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use consilience_core::model::{Classes, LogRow};

    #[test]
    fn rows_a_second_are_those_of_the_last_seconds() {
        let mut pace = Pace::start();
        let begin = pace.ends[0].0;
        let at = |s: u64| begin + Duration::from_secs(s);
        assert!((pace.rows_at(100, at(1)) - 100.0).abs() < 1e-6);
        assert!((pace.rows_at(300, at(2)) - 200.0).abs() < 1e-6);
        // Ten seconds later the first rows no longer count: 500 rows since the second second.
        assert!((pace.rows_at(500, at(12)) - 50.0).abs() < 1e-6);
        assert!((pace.rows_at(70, at(13)) - 570.0 / 11.0).abs() < 1e-6);
        assert!((pace.rows_at(30, at(17)) - 20.0).abs() < 1e-6);
    }

    #[test]
    fn the_note_says_loss_metric_pace_and_the_last_held_out_loss() {
        let mut at = Standing::start(Params::default(), false);
        let sums = &mut at.sums;
        (sums.loss, sums.weight, sums.rows, sums.score) = (3.0, 4.0, 8, 6.0);
        let task = Task::Classify(Classes::new(vec!["a".into(), "b".into()]).unwrap());
        assert_eq!(note(&at, 12, &task, 1.0, 1234.4), "epoch 1/12, loss 0.750, accuracy 0.750, 1234 rows/s");
        at.log.push(LogRow { epoch: 1, fit_loss: 0.5, held_loss: Some(0.25) });
        at.epoch = 1;
        at.sums.score = 32.0;
        let said = note(&at, 12, &Task::Regress, 50.0, 2.25);
        assert_eq!(said, "epoch 2/12, loss 0.750, rmse 100.0, 2.2 rows/s, held 0.250");
        assert!(note(&at, 12, &task, 1.0, 45_678.0).contains(", 46k rows/s"));
        assert_eq!([0.0, 2e-5, 12.34, 1234.5, 3e7].map(short), ["0", "2.0e-5", "12.3", "1234", "3.0e7"]);
    }
}
