//! JSON that may have secrets in it.

use serde_json::Value;
use zeroize::Zeroize as _;

/// JSON in parts, whose texts are wiped when it goes: any of them may be a secret.
pub struct SecretJson(pub Value);

impl Drop for SecretJson {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Wipes each text of it.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::wipe;

    #[test]
    fn each_text_is_wiped() {
        let mut value =
            json!({ "a": "hunter2", "b": [{ "c": "hunter2" }, "hunter2"], "d": 1, "e": null });
        wipe(&mut value);
        assert_eq!(
            value,
            json!({ "a": "", "b": [{ "c": "" }, ""], "d": 1, "e": null })
        );
    }
}
