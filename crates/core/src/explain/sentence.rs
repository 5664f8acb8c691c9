//! The sentence about a member: what it is to its composition, in plain words.

use super::ablation::Cost;
use super::reading::{MemberReading, Role};
use crate::metrics::Metric;

/// One sentence: the weight, where there is one, and the finding with its figures.
pub(super) fn sentence(reading: &MemberReading, metric: &dyn Metric, trial_weight: f64) -> String {
    let finding = finding(reading, metric, trial_weight);
    match reading.weight {
        Some(weight) if reading.role != Role::Alone => {
            let and = if reading.role == Role::Replaceable { ", but" } else { ":" };
            format!("weight {}{and} {finding}", figure(weight, 2))
        }
        _ => finding,
    }
}

fn finding(reading: &MemberReading, metric: &dyn Metric, trial_weight: f64) -> String {
    let metric_name = metric.name().replace("log_loss", "log-loss").replace('_', " ");
    let cost = reading.ablation.as_ref().map(|a| a.cost);
    match reading.role {
        Role::Alone => "the only member".to_owned(),
        Role::Constant => "constant, it says the same of every row".to_owned(),
        Role::Redundant => redundant(reading),
        Role::Harmful => {
            let moves = if metric.greater_is_better() { "falls" } else { "rises" };
            let by = reading.trial.map_or(0.0, |t| t.value);
            format!(
                "it would make the composition worse ({metric_name} {moves} by {} at weight {})",
                figure(by, decimals(by)),
                figure(trial_weight, 2),
            )
        }
        Role::Idle => {
            format!("a weight of {} would change nothing beyond its interval", figure(trial_weight, 2))
        }
        Role::Needed => needed(reading, &metric_name),
        Role::Hindering => {
            let gain = cost.map_or(String::new(), |c| {
                let turned =
                    Cost { value: 0.0 - c.value, low: c.high.map(|v| 0.0 - v), high: c.low.map(|v| 0.0 - v) };
                with_interval(&turned)
            });
            format!("taking it out gains {gain}")
        }
        Role::Replaceable => "taking it out changes nothing beyond its interval".to_owned(),
    }
}

fn redundant(reading: &MemberReading) -> String {
    let Some(near) = &reading.redundancy.nearest else { return "redundant".to_owned() };
    let mut text =
        format!("redundant with \"{}\" (errors correlate {})", near.member, figure(near.correlation, 2));
    if let Some(explained) = reading.redundancy.explained.filter(|e| *e > near.correlation) {
        text = format!(
            "redundant: the members with weight explain {} of its errors, \"{}\" most (they correlate {})",
            figure(explained, 2),
            near.member,
            figure(near.correlation, 2)
        );
    }
    text
}

fn needed(reading: &MemberReading, metric_name: &str) -> String {
    let Some(ablation) = &reading.ablation else { return "needed".to_owned() };
    let lost = match ablation.rows_lost {
        0 => String::new(),
        1 => "1 row has nobody else".to_owned(),
        n => format!("{n} rows have nobody else"),
    };
    if !ablation.cost.is_certain() {
        return lost;
    }
    let cost = format!("taking it out costs {} of {metric_name}", with_interval(&ablation.cost));
    if lost.is_empty() { cost } else { format!("{cost}, and {lost}") }
}

/// A value with its interval.
fn with_interval(cost: &Cost) -> String {
    let most =
        [Some(cost.value), cost.low, cost.high].into_iter().flatten().fold(0.0f64, |a, v| a.max(v.abs()));
    let places = decimals(most);
    match (cost.low, cost.high) {
        (Some(low), Some(high)) => {
            format!("{} [{}, {}]", figure(cost.value, places), figure(low, places), figure(high, places))
        }
        _ => figure(cost.value, places),
    }
}

/// The decimals that give a number two significant digits.
fn decimals(v: f64) -> usize {
    if v == 0.0 || !v.is_finite() {
        return 2;
    }
    usize::try_from((1.0 - v.abs().log10().floor()).clamp(0.0, 12.0) as i64).unwrap_or(0)
}

/// A number with so many decimals, without the zero before the point; a plain zero where it rounds to it.
fn figure(v: f64, decimals: usize) -> String {
    let text = format!("{v:.decimals$}");
    if !text.contains(|c: char| ('1'..='9').contains(&c)) {
        return "0".to_owned();
    }
    if let Some(rest) = text.strip_prefix("0.") {
        return format!(".{rest}");
    }
    text.strip_prefix("-0.").map_or(text.clone(), |rest| format!("-.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_two_digits_and_no_leading_zero() {
        let cost = Cost { value: 0.004_31, low: Some(0.002_14), high: Some(0.006_38) };
        assert_eq!(with_interval(&cost), ".0043 [.0021, .0064]");
        let cost = Cost { value: 1234.5, low: Some(-3.0), high: Some(2000.4) };
        assert_eq!(with_interval(&cost), "1234 [-3, 2000]");
        assert_eq!(with_interval(&Cost { value: -0.25, low: None, high: None }), "-.25");
        assert_eq!(
            (figure(0.0, 2), figure(-0.001, 2), figure(1.0, 2)),
            ("0".into(), "0".into(), "1.00".into())
        );
    }
}
