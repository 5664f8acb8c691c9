use super::*;
use crate::fuse::cases::{honest, named, values};

fn weighted(data: &Honest) -> Honest {
    let weight = (0..data.rows()).map(|r| 0.5 + (r % 5) as f32).collect();
    let fold = data.fold().to_vec();
    Honest::new(named(data), data.target().clone(), fold, None, Some(weight)).unwrap()
}

/// What a set is worth, from the definition.
fn by_hand(data: &Honest, payoff: Payoff, weights: &[f64], set: usize) -> f64 {
    let said: Vec<_> = data.predictions().collect();
    let width = data.target().task().width();
    let rows: Vec<usize> = (0..data.rows()).filter(|r| !data.silent().is_set(*r)).collect();
    let omega = |r: usize| data.weight().map_or(1.0, |w| f64::from(w[r]));
    let total: f64 = rows.iter().map(|r| omega(*r)).sum();
    let truth = |r: usize, k: usize| match data.target() {
        Target::Classes { codes, .. } => f64::from(u8::from(codes[r] as usize == k)),
        Target::Values(values) => f64::from(values[r]),
    };
    let prior: Vec<f64> =
        (0..width).map(|k| rows.iter().map(|r| omega(*r) * truth(*r, k)).sum::<f64>() / total).collect();
    let pay = |r: usize| {
        let voices = || (0..said.len()).filter(|m| (set >> m) & 1 == 1 && !said[*m].absent().is_set(r));
        let mass: f64 = voices().map(|m| weights[m]).sum();
        let sum = |k: usize| voices().map(|m| weights[m] * f64::from(said[m].matrix()[[r, k]])).sum::<f64>();
        let q: Vec<f64> = (0..width).map(|k| if mass > 0.0 { sum(k) / mass } else { prior[k] }).collect();
        let class = (0..width).max_by(|a, b| truth(r, *a).total_cmp(&truth(r, *b))).unwrap();
        match payoff {
            Payoff::LogLoss => q[class].max(1e-7).ln(),
            Payoff::Accuracy => {
                let best = (0..width).rev().max_by(|a, b| q[*a].total_cmp(&q[*b])).unwrap();
                f64::from(u8::from(best == class))
            }
            Payoff::Brier if width == 2 => -(q[1] - truth(r, 1)).powi(2),
            _ => -(0..width).map(|k| (q[k] - truth(r, k)).powi(2)).sum::<f64>(),
        }
    };
    rows.iter().map(|r| omega(*r) * pay(*r)).sum::<f64>() / total
}

#[test]
fn every_set_is_worth_what_the_definition_says() {
    let stop = Stop::default();
    let mut compared = 0;
    for (data, payoffs) in [
        (honest(40, 3, 4, false), &[Payoff::LogLoss, Payoff::Brier, Payoff::Accuracy][..]),
        (honest(40, 3, 4, true), &[Payoff::LogLoss, Payoff::Brier, Payoff::Accuracy]),
        (honest(40, 2, 4, false), &[Payoff::Brier, Payoff::Accuracy]),
        (honest(40, 2, 4, true), &[Payoff::Brier]),
        (values(40, 4, false), &[Payoff::SquaredError]),
        (values(40, 4, true), &[Payoff::SquaredError]),
    ] {
        for data in [data.clone(), weighted(&data)] {
            for payoff in payoffs {
                for weights in [None, Some([0.4, 0.0, 0.5, 0.1])] {
                    let game = Game::new(&data, *payoff, weights.as_ref().map(|w| &w[..])).unwrap();
                    let got = game.values(&stop).unwrap();
                    assert_eq!(got.len(), 16);
                    for (set, got) in got.iter().enumerate() {
                        let want = by_hand(&data, *payoff, &weights.unwrap_or([1.0; 4]), set);
                        assert!((got - want).abs() < 1e-11, "{payoff:?} {weights:?} {set}: {got} {want}");
                        compared += 1;
                    }
                    assert!((game.nobody() - got[0]).abs() < 1e-12);
                    let along = game.along(&[2, 0, 3, 1]);
                    for (step, set) in along.iter().zip([0, 4, 5, 13, 15]) {
                        assert!((step - got[set]).abs() < 1e-11, "{payoff:?} {set}");
                    }
                }
            }
        }
    }
    assert_eq!(compared, 11 * 2 * 2 * 16);
}

#[test]
fn many_members_are_split_into_pieces_and_no_number_depends_on_threads() {
    // Ten members: two are fixed for each piece of work. More than one chunk of rows.
    let data = honest(600, 2, 10, true);
    let game = Game::new(&data, Payoff::LogLoss, None).unwrap();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| game.values(&Stop::default()).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(3));
    for set in [1, 0b10_0000_0000, 0b11_0000_0101, 0b01_1111_1111, 1023] {
        let want = by_hand(&data, Payoff::LogLoss, &[1.0; 10], set);
        assert!((one[set] - want).abs() < 1e-11, "{set}");
    }
}

#[test]
fn certain_mistakes_cost_what_the_metric_says() {
    // Thirty-two zeros in a lane: the product of floored probabilities must not vanish.
    let rows = 600;
    let classes = crate::model::Classes::new(vec!["a".into(), "b".into()]).unwrap();
    let p = crate::array::Matrix::from_shape_fn((rows, 2), |(_, k)| k as f32);
    let mask = crate::model::Mask::none(rows);
    let p = crate::model::Predictions::probabilities((0..rows as u64).collect(), classes.clone(), p, mask)
        .unwrap();
    let target = Target::Classes { classes, codes: vec![0; rows] };
    let members = vec![("wrong".to_owned(), p, crate::model::Origin::Validation)];
    let data = Honest::new(members, target, vec![0; rows], None, None).unwrap();
    let v = Game::new(&data, Payoff::LogLoss, None).unwrap().values(&Stop::default()).unwrap();
    assert!((v[1] - f64::from(MIN_PROBABILITY).ln()).abs() < 1e-9, "{}", v[1]);
    // The prior knows that there is one class only.
    assert!(v[0].abs() < 1e-12);
}

#[test]
fn what_does_not_suit_is_refused() {
    let data = honest(20, 2, 2, false);
    assert!(Game::new(&data, Payoff::SquaredError, None).is_err());
    assert!(Game::new(&values(20, 2, false), Payoff::LogLoss, None).is_err());
    assert!(Game::new(&data, Payoff::LogLoss, Some(&[1.0])).is_err());
    assert!(
        Game::new(&honest(20, 2, 21, false), Payoff::Brier, None).unwrap().values(&Stop::default()).is_err()
    );
    let stop = Stop::default();
    stop.request();
    assert!(Game::new(&data, Payoff::LogLoss, None).unwrap().values(&stop).is_err());
    assert_eq!(
        Payoff::for_metric(
            "auc",
            data.target().task().classes().map(|c| Task::Classify(c.clone())).as_ref().unwrap()
        ),
        Payoff::LogLoss
    );
}
