//! Registries: every method is one file with its parameters, and one line in its folder's list.
//!
//! A method is a struct whose fields are its parameters: it deserialises from the recipe's map, its JSON schema
//! (docs, types, ranges, defaults) comes from the same fields, and its resolved form is what it serialises to.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// A method's parameters with its name, version and one line about it.
pub trait Method: Serialize + DeserializeOwned + JsonSchema + 'static {
    /// The name in recipes.
    const NAME: &'static str;
    /// Raised whenever the same parameters give other results; part of every hash.
    const VERSION: u32 = 1;
    /// One line for `csl list`.
    const ABOUT: &'static str;
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the parameter.
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// One registered method of a contract `T`.
pub struct Entry<T: ?Sized> {
    /// The name in recipes.
    pub name: &'static str,
    /// See [`Method::VERSION`].
    pub version: u32,
    /// See [`Method::ABOUT`].
    pub about: &'static str,
    /// The JSON schema of the parameters.
    pub schema: fn() -> Value,
    /// The parameters with every default written out.
    pub resolve: fn(&Value) -> Result<Value>,
    /// Builds the method from its parameters.
    pub build: fn(&Value) -> Result<Box<T>>,
}

impl<T: ?Sized> Clone for Entry<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Entry<T> {}

/// The methods of one contract, in the order in which they are shown.
pub struct Registry<T: ?Sized + 'static> {
    /// What the methods are: "learner", "fuser".
    pub what: &'static str,
    /// The methods.
    pub entries: &'static [Entry<T>],
}

impl<T: ?Sized> Registry<T> {
    /// The method `name`.
    ///
    /// # Errors
    /// [`Error::Argument`] with the nearest known name.
    pub fn get(&self, name: &str) -> Result<&Entry<T>> {
        self.entries.iter().find(|e| e.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.entries.iter().map(|e| e.name).collect();
            let error = Error::argument(format!("there is no {} named \"{name}\"", self.what))
                .expected(format!("one of {}", names.join(", ")));
            match nearest(name, names) {
                Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                None => error,
            }
        })
    }

    /// Builds `name` from its parameters.
    ///
    /// # Errors
    /// As [`Registry::get`], or what the parameters' check says.
    pub fn build(&self, name: &str, parameters: &Value) -> Result<Box<T>> {
        (self.get(name)?.build)(parameters)
    }
}

/// Decodes a method's parameters and checks them. `null` stands for no parameters.
///
/// # Errors
/// [`Error::Argument`] naming the method.
pub fn decode<M: Method>(parameters: &Value) -> Result<M> {
    let empty = Value::Object(serde_json::Map::new());
    let parameters = if parameters.is_null() { &empty } else { parameters };
    let method: M =
        serde_json::from_value(parameters.clone()).map_err(|e| Error::argument(e.to_string()).at(M::NAME))?;
    method.validate().map_err(|e| e.at(M::NAME))?;
    Ok(method)
}

/// The JSON schema of a type.
pub fn schema_of<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// The parameters of `M` with every default written out.
///
/// # Errors
/// As [`decode`].
pub fn resolve<M: Method>(parameters: &Value) -> Result<Value> {
    serde_json::to_value(decode::<M>(parameters)?).map_err(|e| Error::internal(e.to_string()))
}

/// An [`Entry`](crate::registry::Entry) of a contract for a [`Method`](crate::registry::Method) that implements it:
/// `entry!(dyn Learner, LogisticRegression)`.
#[macro_export]
macro_rules! entry {
    ($contract:ty, $method:ty) => {
        $crate::registry::Entry::<$contract> {
            name: <$method as $crate::registry::Method>::NAME,
            version: <$method as $crate::registry::Method>::VERSION,
            about: <$method as $crate::registry::Method>::ABOUT,
            schema: $crate::registry::schema_of::<$method>,
            resolve: $crate::registry::resolve::<$method>,
            build: |parameters| Ok(Box::new($crate::registry::decode::<$method>(parameters)?)),
        }
    };
}

/// The known name nearest to `name`, if any is within a third of its length in edits (two at least).
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|k| (edits(name, k), k))
        .filter(|(d, k)| *d <= limit && *d < k.chars().count())
        .min()
        .map(|(_, k)| k)
}

/// Optimal string alignment distance: insertions, deletions, substitutions, neighbours swapped.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 {
                j
            } else if j == 0 {
                i
            } else {
                let cost = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typing_errors_and_nothing_else() {
        let known = ["logistic", "naive_bayes", "random_forest"];
        assert_eq!(nearest("lgistic", known), Some("logistic"));
        assert_eq!(nearest("randm_forst", known), Some("random_forest"));
        assert_eq!(nearest("xyz", known), None);
        assert_eq!(nearest("spilt", ["split", "seed"]), Some("split"));
    }
}
