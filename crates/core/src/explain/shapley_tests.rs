use super::*;
use crate::fuse::cases::{honest, named, values};
use crate::model::{Origin, Predictions};

fn run(data: &Honest, payoff: Payoff, settings: &ShapleySettings) -> Shapley {
    shapley_values(data, payoff, None, settings, Seed::new(3), &Stop::default()).unwrap()
}

/// The same with further members.
fn with(data: &Honest, more: Vec<(String, Predictions, Origin)>) -> Honest {
    let mut members = named(data);
    members.extend(more);
    Honest::new(members, data.target().clone(), data.fold().to_vec(), None, None).unwrap()
}

#[test]
fn values_sum_to_the_gain_and_equal_members_share() {
    let settings = ShapleySettings::default();
    for (data, payoff) in [
        (honest(60, 3, 4, true), Payoff::LogLoss),
        (honest(60, 3, 4, false), Payoff::LogLoss),
        (honest(60, 3, 4, false), Payoff::Accuracy),
        (honest(60, 3, 4, false), Payoff::Brier),
        (values(60, 4, false), Payoff::SquaredError),
        (values(60, 4, true), Payoff::SquaredError),
    ] {
        let (_, twin, origin) = named(&data).remove(2);
        let data = with(&data, vec![("twin".to_owned(), twin, origin)]);
        let out = run(&data, payoff, &settings);
        assert_eq!((out.method, out.members.len()), (ShapleyMethod::Exact, 5));
        let sum: f64 = out.values.iter().sum();
        assert!((sum - (out.everybody - out.nobody)).abs() < 1e-10, "{payoff:?} {sum}");
        assert!((out.values[2] - out.values[4]).abs() < 1e-10, "{payoff:?} {:?}", out.values);
        assert!((out.values[0] - out.values[2]).abs() > 1e-6, "{payoff:?} {:?}", out.values);
        // Members in another order have their values in that order.
        let mut turned = named(&data);
        turned.reverse();
        let turned = Honest::new(turned, data.target().clone(), data.fold().to_vec(), None, None).unwrap();
        for (a, b) in out.values.iter().zip(run(&turned, payoff, &settings).values.iter().rev()) {
            assert!((a - b).abs() < 1e-10, "{payoff:?}");
        }
        let text = serde_json::to_string(&out).unwrap();
        assert_eq!(serde_json::from_str::<Shapley>(&text).unwrap().members, out.members);
    }
}

#[test]
fn a_member_that_never_counts_has_nothing() {
    for data in [honest(60, 3, 4, true), honest(60, 3, 4, false)] {
        for payoff in [Payoff::LogLoss, Payoff::Brier, Payoff::Accuracy] {
            let weights = [0.3, 0.0, 0.6, 0.1];
            let settings = ShapleySettings::default();
            let out =
                shapley_values(&data, payoff, Some(&weights), &settings, Seed::new(3), &Stop::default())
                    .unwrap();
            assert!(out.values[1].abs() < 1e-12, "{payoff:?} {:?}", out.values);
            assert!((out.values.iter().sum::<f64>() - (out.everybody - out.nobody)).abs() < 1e-10);
        }
    }
}

#[test]
fn the_closed_form_is_that_of_every_set() {
    let stop = Stop::default();
    for (data, payoff) in [
        (values(80, 6, false), Payoff::SquaredError),
        (honest(80, 3, 5, false), Payoff::Brier),
        (values(30, 1, false), Payoff::SquaredError),
    ] {
        let game = Game::new(&data, payoff, None).unwrap();
        let v = game.values(&stop).unwrap();
        let closed = run(&data, payoff, &ShapleySettings::default());
        for (a, b) in closed.values.iter().zip(exact(&v, game.count())) {
            assert!((a - b).abs() < 1e-10, "{payoff:?} {a} {b}");
        }
        assert!((closed.everybody - v[v.len() - 1]).abs() < 1e-10);
    }
    // Beyond twenty members too.
    let out = run(&values(50, 24, false), Payoff::SquaredError, &ShapleySettings::default());
    assert_eq!(out.method, ShapleyMethod::Exact);
    assert!((out.values.iter().sum::<f64>() - (out.everybody - out.nobody)).abs() < 1e-9);
}

#[test]
fn drawn_orders_come_within_their_errors() {
    let data = honest(200, 3, 8, true);
    for payoff in [Payoff::LogLoss, Payoff::Accuracy] {
        let exact = run(&data, payoff, &ShapleySettings::default());
        let few = ShapleySettings { budget: 1000.0, pairs: 300 };
        let drawn = run(&data, payoff, &few);
        assert_eq!(drawn.method, ShapleyMethod::Sampled { pairs: 300 });
        let errors = drawn.standard_errors.clone().unwrap();
        let largest = exact.values.iter().fold(0.0f64, |a, v| a.max(v.abs()));
        for ((a, b), error) in drawn.values.iter().zip(&exact.values).zip(&errors) {
            assert!((a - b).abs() < 4.0 * error, "{payoff:?} {a} {b} {error}");
            assert!(*error > 0.0 && *error < 0.1 * largest, "{error}");
        }
        // Every order telescopes.
        assert!((drawn.values.iter().sum::<f64>() - (drawn.everybody - drawn.nobody)).abs() < 1e-10);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| run(&data, payoff, &few)), drawn);
        assert!(
            shapley_values(
                &data,
                payoff,
                None,
                &ShapleySettings { budget: 0.0, pairs: 1 },
                Seed::new(1),
                &Stop::default()
            )
            .is_err()
        );
    }
    let many =
        run(&honest(40, 2, 22, false), Payoff::LogLoss, &ShapleySettings { pairs: 5, ..Default::default() });
    assert_eq!(many.method, ShapleyMethod::Sampled { pairs: 5 });
}
