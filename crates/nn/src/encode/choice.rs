//! Encoders as recipes choose them, column by column.

use std::collections::BTreeMap;

use consilience_core::registry::nearest;
use consilience_core::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    CnnEncoder, Encoder, GruEncoder, LstmEncoder, MlpEncoder, ResnetEncoder, SpectrogramEncoder,
    TextBagEncoder, TextCnnEncoder, TransformerEncoder, WaveformEncoder,
};

/// Reads a map such as `{image: {cnn: {channels: [16, 32]}}}`. Settings that are left out take their defaults.
///
/// # Errors
/// An encoder or a setting that does not exist, with its column and the nearest name; a value of the wrong type.
pub fn by_column<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<BTreeMap<String, Encoder>, D::Error> {
    let all = BTreeMap::<String, Value>::deserialize(from)?;
    all.into_iter()
        .map(|(column, value)| match chosen(&value) {
            Ok(encoder) => Ok((column, encoder)),
            Err(e) => Err(D::Error::custom(e.at(format!("encoders.{column}")))),
        })
        .collect()
}

fn chosen(value: &Value) -> Result<Encoder> {
    let mut known = Map::new();
    for encoder in [
        Encoder::Mlp(MlpEncoder::default()),
        Encoder::Cnn(CnnEncoder::default()),
        Encoder::Gru(GruEncoder::default()),
        Encoder::Lstm(LstmEncoder::default()),
        Encoder::Resnet(ResnetEncoder::default()),
        Encoder::Spectrogram(SpectrogramEncoder::default()),
        Encoder::Waveform(WaveformEncoder::default()),
        Encoder::TextBag(TextBagEncoder::default()),
        Encoder::TextCnn(TextCnnEncoder::default()),
        Encoder::Transformer(TransformerEncoder::default()),
    ] {
        match serde_json::to_value(encoder) {
            Ok(Value::Object(map)) => known.extend(map),
            _ => return Err(Error::internal("an encoder is no map")),
        }
    }
    let mut entries = value.as_object().into_iter().flatten();
    let (Some((name, settings)), None) = (entries.next(), entries.next()) else {
        return Err(Error::argument("an entry names one encoder")
            .expected("such as {cnn: {channels: [16, 32]}}")
            .got(value));
    };
    let Some(defaults) = known.get(name) else {
        return Err(unknown("encoder", name, &known));
    };
    if let (Some(given), Some(defaults)) = (settings.as_object(), defaults.as_object())
        && let Some(key) = given.keys().find(|k| !defaults.contains_key(*k))
    {
        return Err(unknown("setting", key, defaults).at(name));
    }
    serde_json::from_value(value.clone()).map_err(|e| Error::argument(e.to_string()).at(name))
}

fn unknown(what: &str, name: &str, known: &Map<String, Value>) -> Error {
    let names = || known.keys().map(String::as_str);
    let error = Error::argument(format!("there is no {what} named \"{name}\""))
        .expected(format!("one of {}", names().collect::<Vec<_>>().join(", ")));
    match nearest(name, names()) {
        Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
        None => error,
    }
}
