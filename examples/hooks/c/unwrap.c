/* unwrap.c is a hook that takes the body of a response out of its envelope, and
 * turns an error inside the envelope into a failure of the task.
 * Configuration: at, error, retry. */
#include "qarion_hook.h"

/* says: null, false and "" stand for no error. */
static int says(qh_str e) {
  return e.p && !qh_is(e, "null") && !qh_is(e, "false") && !qh_is(e, "\"\"");
}

static void unwrap(void) {
  qh_config_keys("at, error, retry");
  qh_str at = qh_config_text("at", "/data"), error_at = qh_config_text("error", "");
  int retry = qh_config_bool("retry", 0);
  if (qh_failed || qh_not_json(0)) return;
  qh_str error = qh_at(qh_json(), error_at);
  if (error_at.n && says(error)) {
    if (retry) qh_retry();
    qh_fail("envelope_error", qh_cat(2, QH_S("the envelope says: "), qh_string(error)));
    return;
  }
  qh_str value = qh_at(qh_json(), at);
  if (value.p)
    qh_body(value);
  else
    qh_fail("no_value", qh_cat(2, QH_S("the body has nothing at "), at));
}

QH_TRANSFORM(unwrap)
