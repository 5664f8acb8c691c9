//! Outcomes to draw: ten digits seen and heard by six candidates, and a regression.

use std::collections::BTreeMap;

use consilience_core::model::LogRow;

use crate::outcome::{
    Bin, Candidate, ColumnSummary, Cost, DataSummary, Importance, Interval, Outcome, Reproduce, Role, Score,
    Subset, Verdict,
};

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn about(value: f64, half: f64) -> Interval {
    Interval { value, low: value - half, high: value + 0.9 * half }
}

fn score(metric: &str, value: f64, half: f64, against: Option<(f64, f64)>) -> Score {
    Score {
        metric: metric.to_owned(),
        greater_is_better: metric == "accuracy" || metric == "r2",
        value,
        interval: Some(about(value, half)),
        simultaneous: Some(about(value, 1.45 * half)),
        against_best_single: against.map(|(d, h)| about(d, h)),
    }
}

fn curve(epochs: u32, from: f32, floor: f32, rise: f32) -> Vec<LogRow> {
    (1..=epochs)
        .map(|e| {
            let t = e as f32 / epochs as f32;
            let wiggle = 0.015 * ((e * 37 % 11) as f32 / 11.0 - 0.5);
            let fit = floor * 0.5 + from * (-5.5 * t).exp();
            let held = floor + from * (-5.0 * t).exp() + rise * t * t + wiggle;
            LogRow { epoch: e, fit_loss: fit, held_loss: Some(held) }
        })
        .collect()
}

fn subset(on: &[&str], rows: usize, loss: f64, accuracy: f64) -> Subset {
    let scores = [("log_loss".to_owned(), loss), ("accuracy".to_owned(), accuracy)].into();
    Subset { on: names(on), rows, scores }
}

fn bins(shift: f64) -> Vec<Bin> {
    let rows = [0, 3, 9, 14, 21, 30, 44, 70, 139, 670];
    rows.iter()
        .enumerate()
        .map(|(i, rows)| {
            let confidence = (i as f64 + 0.55) / 10.0;
            let wave = 0.03 * ((i * 7 % 5) as f64 - 2.0) / 2.0;
            Bin {
                rows: *rows,
                confidence,
                accuracy: (confidence - shift * (1.0 - confidence) + wave).clamp(0.0, 1.0),
            }
        })
        .collect()
}

fn confusion(classes: usize, rows: u64) -> Vec<Vec<u64>> {
    let mut grid = vec![vec![0; classes]; classes];
    let mut state: u64 = 12345;
    #[allow(clippy::needless_range_loop)]
    for truth in 0..classes {
        let mut left = rows;
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let other = (state >> 33) as usize % classes;
            let wrong = (state >> 50) % 4;
            if other != truth && wrong < left {
                grid[truth][other] += wrong;
                left -= wrong;
            }
        }
        grid[truth][truth] += left;
    }
    grid
}

/// What a candidate of the sample is.
struct Plan {
    name: &'static str,
    role: Role,
    method: &'static str,
    of: &'static [&'static str],
    loss: f64,
    accuracy: f64,
    ece: f64,
    against: Option<(f64, f64)>,
    micros: f64,
    parameters: u64,
    seconds: f64,
}

const PLANS: [Plan; 6] = [
    Plan {
        name: "stack",
        role: Role::Fuse,
        method: "stacking",
        of: &["looks", "sounds"],
        loss: 0.1312,
        accuracy: 0.962,
        ece: 0.0113,
        against: Some((-0.0731, 0.021)),
        micros: 812.0,
        parameters: 184_912,
        seconds: 74.2,
    },
    Plan {
        name: "joint",
        role: Role::Fusion,
        method: "concat",
        of: &["image", "audio"],
        loss: 0.1467,
        accuracy: 0.957,
        ece: 0.0184,
        against: Some((-0.0576, 0.024)),
        micros: 640.0,
        parameters: 213_386,
        seconds: 121.5,
    },
    Plan {
        name: "vote",
        role: Role::Fuse,
        method: "soft_vote",
        of: &["looks", "sounds", "soup"],
        loss: 0.1829,
        accuracy: 0.951,
        ece: 0.0531,
        against: Some((-0.0214, 0.026)),
        micros: 1204.0,
        parameters: 246_618,
        seconds: 70.9,
    },
    Plan {
        name: "soup",
        role: Role::Merge,
        method: "linear",
        of: &["looks", "looks_again"],
        loss: 0.1988,
        accuracy: 0.941,
        ece: 0.0162,
        against: Some((-0.0055, 0.008)),
        micros: 231.0,
        parameters: 61_706,
        seconds: 52.1,
    },
    Plan {
        name: "looks",
        role: Role::Member,
        method: "cnn",
        of: &["image"],
        loss: 0.2043,
        accuracy: 0.938,
        ece: 0.0219,
        against: None,
        micros: 228.0,
        parameters: 61_706,
        seconds: 25.8,
    },
    Plan {
        name: "sounds",
        role: Role::Member,
        method: "linear",
        of: &["audio"],
        loss: 0.4127,
        accuracy: 0.867,
        ece: 0.0402,
        against: Some((0.2084, 0.037)),
        micros: 41.0,
        parameters: 12_810,
        seconds: 4.9,
    },
];

fn candidate(plan: &Plan) -> Candidate {
    let member = plan.role == Role::Member;
    Candidate {
        name: plan.name.to_owned(),
        role: plan.role,
        method: plan.method.to_owned(),
        of: names(plan.of),
        honest: Some(plan.loss * 1.04 + 0.003),
        scores: vec![
            score("log_loss", plan.loss, 0.08 * plan.loss + 0.008, plan.against),
            score("accuracy", plan.accuracy, 0.014, plan.against.map(|(d, h)| (-d / 3.0, h / 3.2))),
            score("ece", plan.ece, 0.006, None),
        ],
        cost: Cost {
            parameters: Some(plan.parameters),
            fit_seconds: plan.seconds,
            predict_micros: Some(plan.micros),
            bytes: Some(plan.parameters * 4 + 9_200),
        },
        spending: Vec::new(),
        pull: None,
        weights: match plan.name {
            "stack" => Some(vec![("looks".to_owned(), 0.6134), ("sounds".to_owned(), 0.4417)]),
            "vote" => Some(plan.of.iter().map(|m| ((*m).to_owned(), 1.0 / 3.0)).collect()),
            "soup" => Some(vec![("looks".to_owned(), 0.5), ("looks_again".to_owned(), 0.5)]),
            _ => None,
        },
        subsets: match plan.name {
            "stack" => vec![
                subset(&["image", "audio"], 1000, 0.1312, 0.962),
                subset(&["image"], 1000, 0.2051, 0.937),
                subset(&["audio"], 962, 0.4190, 0.866),
            ],
            "joint" => vec![
                subset(&["image", "audio"], 1000, 0.1467, 0.957),
                subset(&["image"], 1000, 0.2388, 0.929),
                subset(&["audio"], 962, 0.4731, 0.851),
            ],
            _ => Vec::new(),
        },
        curve: match plan.name {
            "looks" => curve(24, 2.1, 0.2, 0.03),
            "joint" => curve(30, 2.3, 0.14, 0.07),
            _ if member => curve(60, 1.9, 0.4, 0.0),
            _ => Vec::new(),
        },
        silent: if plan.name == "sounds" { 38 } else { 0 },
    }
}

/// Ten digits, six candidates, a gain.
pub(super) fn digits() -> Outcome {
    let classes: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    Outcome {
        run: "digits-3fa9c10b".to_owned(),
        level: 0.95,
        verdict: Verdict {
            sentence: "Composing pays: stack beats the best single member, looks, by 0.073 in log loss on rows that nothing had seen."
                .to_owned(),
            gain: true,
            metric: "log_loss".to_owned(),
            best_composition: Some("stack".to_owned()),
            best_single: "looks".to_owned(),
            exported: "stack".to_owned(),
            difference: Some(about(-0.0731, 0.021)),
            honest_difference: Some(about(-0.0688, 0.0095)),
            notes: vec![
                "sounds said nothing about 38 of the judged rows; they are scored by the class shares of the fitting rows."
                    .to_owned(),
                "The member theirs was declared to have seen none of these rows; nothing proves it.".to_owned(),
            ],
        },
        data: DataSummary {
            rows: 6000,
            parts: [4000, 1000, 1000],
            outer_folds: 0,
            judged_groups: Some(12),
            columns: vec![
                ColumnSummary { name: "image".to_owned(), kind: "image".to_owned(), shape: vec![28, 28, 1], unavailable: 0.0 },
                ColumnSummary { name: "audio".to_owned(), kind: "audio".to_owned(), shape: vec![8000], unavailable: 0.0383 },
                ColumnSummary { name: "age".to_owned(), kind: "number".to_owned(), shape: vec![], unavailable: 0.002 },
            ],
            classes: classes.iter().enumerate().map(|(i, c)| (c.clone(), 400 + (i * 53) % 41 - 18, 100)).collect(),
            notes: vec!["7 rows of images are the same as another row of the same part; they were kept.".to_owned()],
        },
        candidates: PLANS.iter().map(candidate).collect(),
        confusion: confusion(10, 100),
        reliability: [("stack".to_owned(), bins(0.04)), ("looks".to_owned(), bins(0.22))].into(),
        explained: None,
regions: None,
        importances: [
            ("image", true, 0.5312, 0.021),
            ("audio", true, 0.1874, 0.013),
            ("age", false, 0.0031, 0.0024),
            ("microphone", false, -0.0006, 0.0011),
        ]
        .into_iter()
        .map(|(name, modality, mean, error)| Importance { name: name.to_owned(), modality, mean, error })
        .collect(),
        reproduce: reproduce("digits"),
        classes,
        seconds: 283.4,
    }
}

fn reproduce(name: &str) -> Reproduce {
    let environment: BTreeMap<String, String> =
        [("version", "0.1.0"), ("instruction_set", "x86-64-v4"), ("threads", "16"), ("system", "Linux 6.8")]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
    Reproduce {
        command: format!("csl run recipes/{name}.yaml --data data --seed 7"),
        recipe: format!(
            "version: 1\nname: {name}\ntask: classify\nseed: 7\ndata:\n  table: pairs.csv\n  columns:\n    image: {{type: image, idx: images.gz}}\n    audio: {{type: audio, path: audio_file}}\n    label: {{role: target}}\nmembers:\n  looks:  {{fit: cnn, on: [image]}}\n  sounds: {{fit: linear, on: [audio]}}\nsynthesis:\n  stack: {{fuse: stacking, of: [looks, sounds]}}\njudge: {{choose: log_loss, report: [accuracy, ece]}}\n"
        ),
        environment,
        data: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
    }
}

/// House prices: no classes, a loss, no gain.
pub(super) fn prices() -> Outcome {
    let plan = [
        ("boosted", Role::Member, "boosting", 41_812.0, None),
        ("mean", Role::Fuse, "mean", 42_377.0, Some((565.0, 1240.0))),
        ("ridge", Role::Member, "ridge", 58_914.0, Some((17_102.0, 2960.0))),
    ];
    let mut outcome = digits();
    outcome.run = "prices-07be55d1".to_owned();
    outcome.classes = Vec::new();
    outcome.confusion = Vec::new();
    outcome.reliability = BTreeMap::new();
    outcome.verdict = Verdict {
        sentence: "No composition beats the best single member, boosted, beyond chance; boosted is exported."
            .to_owned(),
        gain: false,
        metric: "rmse".to_owned(),
        best_composition: Some("mean".to_owned()),
        best_single: "boosted".to_owned(),
        exported: "boosted".to_owned(),
        difference: Some(about(565.0, 1240.0)),
        honest_difference: None,
        notes: Vec::new(),
    };
    outcome.candidates = plan
        .into_iter()
        .map(|(name, role, method, rmse, against)| Candidate {
            name: name.to_owned(),
            role,
            method: method.to_owned(),
            of: names(&["rooms", "area"]),
            honest: None,
            scores: vec![
                score("rmse", rmse, 0.05 * rmse, against),
                Score {
                    interval: None,
                    simultaneous: None,
                    ..score("r2", 1.0 - rmse / 120_000.0, 0.0, None)
                },
            ],
            cost: Cost { fit_seconds: 0.42, predict_micros: Some(rmse / 9000.0), ..Cost::default() },
            spending: Vec::new(),
            pull: None,
            weights: (role == Role::Fuse)
                .then(|| vec![("boosted".to_owned(), 1.12), ("ridge".to_owned(), -0.12)]),
            subsets: Vec::new(),
            curve: Vec::new(),
            silent: 0,
        })
        .collect();
    outcome.data.classes = Vec::new();
    outcome.reproduce = reproduce("prices");
    outcome
}

/// So many candidates and classes, with names that are long and hostile.
pub(super) fn crowd(candidates: usize, classes: usize, name: &str) -> Outcome {
    let mut outcome = digits();
    outcome.candidates = (0..candidates)
        .map(|i| {
            let mut c = candidate(&PLANS[i % PLANS.len()]);
            c.name = format!("{name}{i}");
            c.cost.predict_micros = Some(3.0 + (i * i % 977) as f64);
            for s in &mut c.scores {
                s.value += (i % 83) as f64 * 0.004;
                s.interval = Some(about(s.value, 0.02));
            }
            c
        })
        .collect();
    outcome.classes = (0..classes).map(|i| format!("{name}{i}")).collect();
    outcome.data.classes = outcome.classes.iter().map(|c| (c.clone(), 20, 5)).collect();
    outcome.confusion = confusion(classes, 50);
    outcome
}
