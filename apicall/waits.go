package apicall

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// waitAsAsked honours what a server says about the next attempt. A longer wait
// than the flow allows fails at once and says so.
func (a *attempt) waitAsAsked(out engine.TaskOutput, resp *http.Response) engine.TaskOutput {
	if !out.Err.Retryable {
		return out
	}
	wait, by, ok := askedWait(resp.Header, resp.StatusCode, time.Now())
	if !ok {
		return out
	}
	limit := a.props().retry.AfterMax
	if wait > limit {
		asked := by + " " + asSpan(wait)
		out.Err.Retryable = false
		out.Err.Message += ", " + asked
		out.Details.RetryReason = ""
		out.Details.NotRetried = fmt.Sprintf("%s is longer than retry_after_max (%s)", asked, round(limit))
		out.Details.Hint = fmt.Sprintf("retry_after_max is %s; raise it or try later", round(limit))
		return out
	}
	out.Err.RetryAfter, out.Err.RetryAfterBy = wait, by
	out.Details.RetryAfterMS = wait.Milliseconds()
	return out
}

// asSpan is a wait in words; of one without a sensible end that it is one.
func asSpan(d time.Duration) string {
	if d >= maxRetryAfter*time.Second {
		return "of decades"
	}
	return round(d)
}

// maxRetryAfter is the longest wait that a header is read as, in seconds; what
// is longer counts as this, so that it is refused and not overlooked.
const maxRetryAfter = 1e9

// askedWait is the wait that an answer asks for, and the header that does:
// Retry-After (RFC 9110, 10.2.3), or retry-after-ms, which some add to be more
// exact; else the end of a rate limit that is used up. ok is false when nothing
// that makes sense is there.
func askedWait(h http.Header, status int, now time.Time) (wait time.Duration, by string, ok bool) {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.ParseFloat(strings.TrimSpace(h.Get(name)), 64); err == nil && ms >= 0 {
			return seconds(ms / 1000), name, true
		}
	}
	if wait, ok := retryAfter(h.Get("Retry-After"), now); ok {
		return wait, "Retry-After", true
	}
	for _, l := range rateLimits(h) {
		exhausted := l.remaining == "0" || status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && l.remaining == ""
		if w, is := retryAfter(l.reset, now); is && exhausted && (!ok || w > wait) {
			wait, by, ok = w, l.by, true
		}
	}
	return wait, by, ok
}

// rateLimit is what an answer says about one limit. remaining is "" when it
// does not say.
type rateLimit struct{ by, remaining, reset string }

// limitNames are the families of headers that tell of limits, by what stands
// before and after "Remaining" and "Reset". The first is that of the drafts of
// "RateLimit header fields for HTTP"; the others grew wild.
var limitNames = [][2]string{
	{"Ratelimit-", ""}, {"X-Ratelimit-", ""}, {"X-Rate-Limit-", ""}, {"X-Ratelimit-", "-Requests"}, {"X-Ratelimit-", "-Tokens"},
}

func rateLimits(h http.Header) (limits []rateLimit) {
	for _, n := range limitNames {
		for _, reset := range []string{"Reset", "Reset-After"} {
			if v := h.Get(n[0] + reset + n[1]); v != "" {
				limits = append(limits, rateLimit{shownLimit(n[0] + reset + n[1]), wholeText(h.Get(n[0] + "Remaining" + n[1])), v})
				break
			}
		}
	}
	return append(limits, structuredLimits(h.Get("RateLimit"))...)
}

// structuredLimits reads the one header of the later drafts: a dictionary
// (limit=10, remaining=0, reset=5), then a list of policies ("day";r=0;t=5).
func structuredLimits(s string) (limits []rateLimit) {
	items := strings.Split(s, ",")
	if strings.Contains(s, "reset=") {
		items = []string{s}
	}
	for _, item := range items {
		l := rateLimit{by: "RateLimit"}
		for part := range strings.FieldsFuncSeq(item, func(c rune) bool { return c == ';' || c == ',' || c == ' ' }) {
			switch k, v, _ := strings.Cut(part, "="); k {
			case "r", "remaining":
				l.remaining = wholeText(v)
			case "t", "reset":
				l.reset = v
			}
		}
		if l.reset != "" {
			limits = append(limits, l)
		}
	}
	return limits
}

// wholeText is a number without what other tools put behind it: "0", "0.0" and
// "0, 0;w=60" are 0.
func wholeText(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), ",")
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// shownLimit writes a header's name as its inventors do.
func shownLimit(name string) string { return strings.Replace(name, "Ratelimit", "RateLimit", 1) }

// Numbers from these on are no waits but points in time, in seconds or in
// milliseconds since 1970: 2001, and in milliseconds 1973.
const (
	leastEpoch   = 1e9
	leastEpochMS = 1e11
	leastEndless = 1e14
)

// retryAfter reads a wait: seconds, also with a fraction; a point in time, as
// a number or as a date of HTTP or RFC 3339; a span such as 6m0s. ok is false
// for anything else.
func retryAfter(s string, now time.Time) (wait time.Duration, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	if strings.Trim(s, "0123456789.") == "" {
		n, err := strconv.ParseFloat(s, 64)
		switch {
		case err != nil && !math.IsInf(n, 0):
			return 0, false
		case n >= leastEndless:
			return seconds(n), true
		case n >= leastEpochMS:
			return until(time.UnixMilli(int64(n)), now), true
		case n > leastEpoch:
			return until(time.Unix(int64(n), int64((n-math.Floor(n))*1e9)), now), true
		}
		return seconds(n), true
	}
	if t, err := http.ParseTime(s); err == nil {
		return until(t, now), true
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return until(t, now), true
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 && s[0] != '+' && s[0] != '-' {
		return min(d, maxRetryAfter*time.Second), true
	}
	return 0, false
}

// seconds rounds up to a millisecond: a wait is never shorter than asked for.
func seconds(n float64) time.Duration {
	return time.Duration(math.Ceil(min(n, maxRetryAfter)*1000)) * time.Millisecond
}

func until(t, now time.Time) time.Duration {
	return min(max(0, t.Sub(now)), maxRetryAfter*time.Second)
}
