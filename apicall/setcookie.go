package apicall

import (
	"math"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"

	"github.com/qarion/qarion/engine"
)

// maxCookie bounds a cookie's name and value, in bytes: twice what browsers
// keep, and half of a jar.
const maxCookie = 8 << 10

// maxCookies bounds how many cookies of one attempt are heeded.
const maxCookies = 500

// longestAge bounds how long a cookie may live, in seconds: a run is over by then.
const longestAge = 400 * 24 * 3600

// setCookie reads a Set-Cookie header field as browsers do (RFC 6265, 5.2 and
// 5.3): whatever stands in the value is the value, quotes too, and attributes
// that cannot be read count as none. ok is false when there is no cookie in it.
// refused says why a cookie does not go into a jar.
func setCookie(line string, from *url.URL, now time.Time) (c engine.Cookie, refused string, ok bool) {
	pair, attributes, _ := strings.Cut(line, ";")
	name, v, found := strings.Cut(pair, "=")
	name = strings.Trim(name, " \t")
	if name == "" || !found || !utf8.ValidString(name) {
		return c, "", false
	}
	c = engine.Cookie{From: from.Scheme + "://" + from.Host + from.EscapedPath(), Name: name}
	c.SetBytes(strings.Trim(v, " \t"))
	aged := false
	for part := range strings.SplitSeq(attributes, ";") {
		key, v, _ := strings.Cut(part, "=")
		v = strings.Trim(v, " \t")
		switch strings.ToLower(strings.Trim(key, " \t")) {
		case "path":
			if c.Path = ""; strings.HasPrefix(v, "/") && utf8.ValidString(v) {
				c.Path = v
			}
		case "domain":
			c.Domain = strings.ToLower(strings.TrimPrefix(strings.ToValidUTF8(v, "?"), "."))
		case "secure":
			c.Secure = true
		case "max-age":
			if seconds, ok := maxAge(v); ok {
				aged, c.Expires = true, max(1, now.Unix()+seconds)
			}
		case "expires":
			if at, ok := cookieDate(v); ok && !aged {
				c.Expires = max(1, min(at.Unix(), now.Unix()+longestAge))
			}
		}
	}
	if c.Expires != 0 && c.Expires <= now.Unix() {
		c.Expires, c.Value, c.Latin1 = 1, "", false // it is taken back
	}
	return c, notKept(line, &c, from), true
}

// maxAge is how long a cookie lives from now, in seconds (RFC 6265, 5.2.2):
// not at all where it says 0 or less.
func maxAge(v string) (seconds int64, ok bool) {
	digits := strings.TrimPrefix(v, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil { // more than 64 bits
		n = math.MaxInt64
	}
	if n <= 0 || digits != v {
		return math.MinInt32, true
	}
	return min(n, longestAge), true
}

// notKept says why a cookie does not go into a jar; "" when it does. A person
// who looks for a cookie that was not sent reads it.
func notKept(line string, c *engine.Cookie, from *url.URL) string {
	secure := from.Scheme == "https" || loopback(from.Hostname())
	prefix := strings.ToLower(c.Name)
	switch {
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return "it has a control character"
	case len(c.Name)+len(c.Value) > maxCookie:
		return "it is larger than 8 KiB"
	case !secure && (c.Secure || strings.HasPrefix(prefix, "__secure-") || strings.HasPrefix(prefix, "__host-")):
		return "Secure, but set over plain http"
	case !c.Secure && (strings.HasPrefix(prefix, "__secure-") || strings.HasPrefix(prefix, "__host-")):
		return "by its name it must be Secure"
	case strings.HasPrefix(prefix, "__host-") && (c.Domain != "" || c.Path != "/"):
		return "by its name it must have Path=/ and no Domain"
	case c.Domain != "" && !domainHolds(c.Domain, from):
		return "Domain=" + cut(c.Domain, 100) + " does not hold " + from.Hostname()
	}
	return ""
}

// domainHolds reports whether a host may set cookies for a domain: its own name,
// or one above it that is no public suffix. A jar says it.
func domainHolds(domain string, from *url.URL) bool {
	jar := newJar()
	jar.SetCookies(from, []*http.Cookie{{Name: "n", Domain: domain, Path: "/"}})
	return len(jar.Cookies(from)) > 0
}

func newJar() *cookiejar.Jar {
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // never fails
	return jar
}

// loopback reports whether a host is this machine: what is sent there passes no
// network, so it counts as secure, as in browsers.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// cookieDate reads a date of a cookie in whatever form it is written, in the
// order in which RFC 6265, 5.1.1, looks for its parts.
func cookieDate(text string) (time.Time, bool) {
	var clock, day, month, year []int
	for _, token := range strings.FieldsFunc(text, func(r rune) bool {
		return r == '\t' || r >= ' ' && r <= '/' || r >= ';' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
	}) {
		if clock == nil {
			if clock = clockOf(token); clock != nil {
				continue
			}
		}
		if day == nil {
			if day = number(token, 1, 2); day != nil {
				continue
			}
		}
		if month == nil {
			if month = monthOf(token); month != nil {
				continue
			}
		}
		if year == nil {
			year = number(token, 2, 4)
		}
	}
	if clock == nil || day == nil || month == nil || year == nil {
		return time.Time{}, false
	}
	switch y := &year[0]; {
	case *y >= 70 && *y <= 99:
		*y += 1900
	case *y <= 69:
		*y += 2000
	}
	at := time.Date(year[0], time.Month(month[0]), day[0], clock[0], clock[1], clock[2], 0, time.UTC)
	return at, year[0] >= 1601 && clock[0] <= 23 && clock[1] <= 59 && clock[2] <= 59 && at.Day() == day[0]
}

// number is what a token's leading digits say, if they are from least to most;
// nil when they are not. What follows them may be anything but a digit.
func number(token string, least, most int) []int {
	n := len(token) - len(strings.TrimLeft(token, "0123456789"))
	if n < least || n > most {
		return nil
	}
	v, _ := strconv.Atoi(token[:n])
	return []int{v}
}

// clockOf reads hour, minute and second of one or two digits each.
func clockOf(token string) (out []int) {
	parts := strings.SplitN(token, ":", 3)
	if len(parts) != 3 {
		return nil
	}
	for i, part := range parts {
		v := number(part, 1, 2)
		if v == nil || i < 2 && strings.Trim(part, "0123456789") != "" {
			return nil
		}
		out = append(out, v...)
	}
	return out
}

func monthOf(token string) []int {
	if len(token) < 3 {
		return nil
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(token[:3]))
	if i < 0 || i%3 != 0 {
		return nil
	}
	return []int{i/3 + 1}
}
