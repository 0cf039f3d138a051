// A hook that takes the body of a response out of its envelope, and turns an
// error inside the envelope into a failure of the task. Configuration: at,
// error, retry.

import { Value, begin, configBool, configKeys, configText, endTransform, fail, failed, giveValue, json, needJSON, retry } from "./qarion";
export { qarion_abi_version, qarion_alloc } from "./qarion";

export function qarion_transform(p: usize, meta: u32, body: u32): u64 {
  begin(p, meta, body);
  unwrap();
  return endTransform();
}

function unwrap(): void {
  configKeys(["at", "error", "retry"]);
  let at = configText("at", "/data"), errorAt = configText("error", ""), again = configBool("retry", false);
  if (failed() || !needJSON()) return;
  let error = json().at(errorAt);
  if (errorAt != "" && says(error)) {
    if (again) retry();
    fail("envelope_error", "the envelope says: " + error.text);
    return;
  }
  let value = json().at(at);
  if (value.exists) giveValue(value);
  else fail("no_value", "the body has nothing at " + at);
}

/** null, false and "" stand for no error. */
function says(error: Value): bool {
  return error.exists && !error.rawIs("null") && !error.rawIs("false") && !error.rawIs('""');
}
